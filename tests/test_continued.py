"""A training goes on for more epochs with other settings: only the new part is done, and every file says where it came
from."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from cspine import runtime
from cspine.blocks import block
from cspine.cli import main
from cspine.config import complete_config, read_yaml
from cspine.end_state import End, end_of, go_on_from, read_end, write_end
from cspine.errors import CspineError
from cspine.hashing import canonical_json, file_digest
from cspine.layers import Config
from cspine.models import read_model
from cspine.optimisation import Optimisation
from cspine.precision import Precision
from cspine.tables import read_table
from small_trainings import FEW, FILES, trained, write_files
from smoke_projects import ROOT, checkout
from training_makers import Noise, config_of, equal, network, run

EXACT = Precision("fp32", "cpu")
SCHEMA = read_yaml(ROOT / "workflow/schemas/config.schema.yaml")
DEFAULT = read_yaml(ROOT / "config.yaml")


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(runtime.VARIABLE, '{"device": "cpu", "checkpoint_steps": 2}')


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a small cache and its training set, and the current folder."""
    monkeypatch.chdir(tmp_path)
    write_files(tmp_path)
    return tmp_path


# -- the optimiser --------------------------------------------------------------------------------------------------


def stepped(optimisation: Optimisation, first: int, last: int, before: int = 0) -> Optimisation:
    """Steps ``first`` to ``last`` on examples that are functions of the step over all parts."""
    for number in range(first, last + 1):
        torch.manual_seed(before + number)
        optimisation.backward(optimisation.network.train()(torch.rand(8, 6)).square().sum())
        optimisation.step(number)
    return optimisation


def through_a_file(folder: Path, optimisation: Optimisation, steps: int) -> End:
    write_end(folder / "state.safetensors", end_of(optimisation, steps), {"part": 0})
    return read_end(folder / "state.safetensors")


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "momentum", "lamb", "adan", "lion", "adafactor", "muon"])
def test_at_the_same_settings_the_optimiser_goes_on_as_if_it_had_never_stopped(tmp_path: Path, optimizer: str) -> None:
    config = config_of(optimizer=optimizer, weight_decay=0.05, ema=0.9, learning_rate=1e-3)
    whole = stepped(Optimisation(network(), config, EXACT, 9), 1, 9)
    state = through_a_file(tmp_path, stepped(Optimisation(network(), config, EXACT, 4), 1, 4), 4).state
    second = Optimisation(network(), config, EXACT, 2)
    go_on_from(second, state)
    state = through_a_file(tmp_path, stepped(second, 1, 2, before=4), 2).state
    third = Optimisation(network(), config, EXACT, 3)
    go_on_from(third, state)
    stepped(third, 1, 3, before=6)
    assert equal(third.network.state_dict(), whole.network.state_dict())
    assert equal(third.judged.state_dict(), whole.judged.state_dict())


def test_the_learning_rate_and_the_decay_are_the_new_parts_own(tmp_path: Path) -> None:
    first = stepped(Optimisation(network(), config_of(optimizer="adamw", schedule="cosine"), EXACT, 4), 1, 4)
    new = config_of(optimizer="adamw", schedule="cosine", learning_rate=1e-4, weight_decay=0.1)
    second = Optimisation(network(), new, EXACT, 4)
    go_on_from(second, through_a_file(tmp_path, first, 4).state)
    groups = second.optimiser.param_groups
    assert [(group["lr"], group["weight_decay"]) for group in groups] == [(1e-4, 0.0), (1e-4, 0.1)]  # before: one group
    names = {id(weights): name for name, weights in second.network.named_parameters()}
    before = {id(w): memory for w, memory in first.optimiser.state.items()}
    for mine, own in zip(first.network.parameters(), second.network.parameters(), strict=True):
        assert torch.equal(before[id(mine)]["exp_avg"], second.optimiser.state[own]["exp_avg"]), names[id(own)]


def test_another_optimiser_and_a_new_average_begin_anew_and_say_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = stepped(Optimisation(network(), config_of(), EXACT, 4), 1, 4)
    second = Optimisation(network(), config_of(optimizer="lion", ema=0.99), EXACT, 4)
    go_on_from(second, through_a_file(tmp_path, first, 4).state)
    said = capsys.readouterr().err
    assert "lion begins without memory: the part before was trained with adam" in said
    assert "the averaged weights begin here" in said and not second.optimiser.state
    assert equal(second.judged.state_dict(), first.network.state_dict())
    third = Optimisation(network(), config_of(optimizer="lion"), EXACT, 4)
    go_on_from(third, through_a_file(tmp_path, stepped(second, 1, 4), 4).state)
    assert "the averaged weights end here" in capsys.readouterr().err
    assert equal(third.network.state_dict(), second.network.state_dict())


# -- the loop -------------------------------------------------------------------------------------------------------

PARTS = {
    "all that can change": config_of(
        epochs=2, learning_rate=1e-3, schedule="cosine", warmup_steps=2, batch_size=6, optimizer="adamw", ema=0.9,
        mixup=0.3, sampling="balanced", loss="focal", keep="best", clip_gradient=1.0,
    ),
    "another optimiser, no average": config_of(epochs=2, optimizer="momentum", patience=1, accumulate=2),
}  # fmt: skip


@pytest.mark.parametrize("dies", [1, 9, 23, 30, 40])
@pytest.mark.parametrize("part", PARTS.values(), ids=list(PARTS))
def test_a_continued_part_cut_off_anywhere_ends_in_the_same_bytes(tmp_path: Path, part: Any, dies: int) -> None:
    config = config_of(optimizer="adamw", ema=0.99)
    first = run(network(), tmp_path / "first", Noise(22), config).end
    ends = []
    for name, deaths in (("whole", []), ("cut", [dies, 1])):
        for death in deaths:
            with pytest.raises(KeyboardInterrupt):
                run(network(), tmp_path / name, Noise(22, dies_at=death), part, seed=4, start=first)
        model = network()
        done = run(model, tmp_path / name, Noise(22), part, seed=4, start=first)
        write_end(tmp_path / f"{name}.safetensors", done.end | {"history": done.history}, {})
        ends.append((model.state_dict(), (tmp_path / f"{name}.safetensors").read_bytes()))
    assert equal(ends[0][0], ends[1][0]) and ends[0][1] == ends[1][1]


def test_the_end_of_a_training_that_a_kill_kept_from_being_written_is_the_same(tmp_path: Path) -> None:
    config = config_of(ema=0.9, keep="best", learning_rate=0.1, epochs=3)
    states = [run(network(), tmp_path, Noise(22), config).end for _ in range(2)]  # the second finds all steps done
    for number, state in enumerate(states):
        write_end(tmp_path / f"{number}.safetensors", state, {})
    assert (tmp_path / "0.safetensors").read_bytes() == (tmp_path / "1.safetensors").read_bytes()
    own, average = states[0]["network"], states[0]["average"]
    assert not equal(own, average)  # the state holds the weights that were trained, not those that were kept


# -- the stage ------------------------------------------------------------------------------------------------------


def test_figures_and_history_go_on_and_the_model_says_what_it_continues(place: Path) -> None:
    first = trained(place, "first", **FEW | {"epochs": 2, "batch_size": "auto"})
    state = first.with_name("state.safetensors")
    second = trained(
        place, "second", continue_from=state, seed=8, augment={"probability": 0.0}, **FEW | {"batch_size": "auto"}
    )
    rows = read_table(second.with_name("history.parquet"))
    assert rows["part"].tolist() == [0, 0, 1] and rows["epoch"].tolist() == [0, 1, 2]
    assert rows["steps"].tolist() == [3, 6, 9]
    assert rows[:2].equals(read_table(first.with_name("history.parquet")))
    description = read_model(second)[1]
    assert (description["part"], description["epochs"], description["steps"]) == (1, 1, 3)
    assert description["training"]["batch_size"] == 32  # decided once
    before = description["continued_from"]
    assert before["sha256"] == file_digest(state) and before["description"] == read_model(first)[1]
    assert read_end(second.with_name("state.safetensors")).description == description


def test_a_continued_training_gives_the_same_bytes_again(place: Path) -> None:
    state = trained(place, "first", **FEW).with_name("state.safetensors")
    one, other = (trained(place, name, continue_from=state, **FEW | {"learning_rate": 1e-4}) for name in ("a", "b"))
    for file in FILES:
        assert one.with_name(file).read_bytes() == other.with_name(file).read_bytes(), file


def test_a_published_network_is_not_fetched_again_for_a_later_part(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = trained(place, "first", **FEW).with_name("state.safetensors")
    end = read_end(state)
    end.description["network"]["weights"] = "hub"
    write_end(state, end.state, end.description)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    trained(place, "second", continue_from=state, network={"weights": "hub"}, **FEW)


def test_another_network_or_a_model_cannot_be_continued(place: Path) -> None:
    model = trained(place, "first", **FEW)
    state = model.with_name("state.safetensors")
    with pytest.raises(CspineError, match=r"state.safetensors was trained with network .*'dropout': 0.2.* init_from"):
        trained(place, "dropout", continue_from=state, network={"dropout": 0.3}, **FEW)
    with pytest.raises(CspineError, match=r"was trained with outputs \['C1'"):
        trained(place, "outputs", continue_from=state, **FEW | {"any_fracture_weight": 0.1})
    with pytest.raises(CspineError, match=r"model.safetensors is a model and not the end of a training"):
        trained(place, "model", continue_from=model, **FEW)


# -- the config and the store ---------------------------------------------------------------------------------------


def complete(setting: str) -> Config:
    return complete_config(copy.deepcopy(DEFAULT) | {"set": setting}, SCHEMA)


CONTINUED = "methods.semi_supervised.student.continued"


def test_a_part_is_the_part_before_with_its_differences_and_a_seed_of_its_own() -> None:
    at = {"method": "semi_supervised", "fold": "0", "round": "1"}
    alone = block(complete(""), "train", **at)
    slower, plain = "{training: {epochs: 2, learning_rate: 1e-4}}", "{training: {epochs: 1}, augment: {probability: 0}}"
    config = complete(f"{CONTINUED}=[{slower}, {plain}]")
    parts = [block(config, "train", **at, part=str(number)) for number in range(3)]
    assert parts[0] == alone  # the finished training is found again
    assert parts[1]["training"] == alone["training"] | {"epochs": 2, "learning_rate": 1e-4}
    assert parts[2]["training"] == parts[1]["training"] | {"epochs": 1}
    assert [part["augment"]["probability"] for part in parts] == [0.4, 0.4, 0.0]
    assert len({part["seed"] for part in parts}) == 3 and block(config, "train", **at) == parts[2]
    assert block(config, "train", **at | {"round": "0"}) == block(complete(""), "train", **at | {"round": "0"})
    with pytest.raises(KeyError):
        block(config, "train", **at, part="3")


def test_a_list_of_parts_is_replaced_as_a_whole() -> None:
    config = complete(
        "methods.semi_supervised.continued=[{training: {epochs: 1}},{training: {epochs: 2}}] "
        f"{CONTINUED}=[{{training: {{epochs: 3}}}}]"
    )
    at = {"method": "semi_supervised", "fold": "0"}
    assert [block(config, "train", **at, round=r)["training"]["epochs"] for r in "01"] == [2, 3]


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("{training: {learning_rate: 1e-4}}", "continued.0.training.epochs: missing; expected an integer at least 1"),
        ("{training: {epochs: 1, lr: 1}}", "continued.0.training.lr: unknown key"),
        ("{training: {epochs: 1}, network: {}}", "continued.0.network: unknown key; known here: augment, training"),
        (
            "{training: {epochs: 1, batch_size: auto}}",
            "continued.0.training.batch_size: auto is found out when a train",
        ),
        ("{training: {epochs: 1, presence_weight: 0}}", "presence_weight: found 0.0 after 0.2: 0 is a network without"),
        ("{training: {epochs: 1, epoch_steps: 50}}", "warmup_steps: found 100, but there are 50 steps"),
    ],
)
def test_what_cannot_change_within_a_training_is_refused(entry: str, words: str) -> None:
    with pytest.raises(CspineError) as caught:
        complete(f"{CONTINUED}=[{entry}]")
    assert words in str(caught.value)


def trained_in_the_store(config: Config, part: int | None, last: int) -> None:
    """As the rules train and train_part call it: one part of the training of round 0."""
    folder = Path("results") if part is None else Path(f"results/parts/{part}")
    number = last if part is None else part
    at = {"method": "semi_supervised", "fold": "0", "round": "0"} | ({} if part is None else {"part": str(part)})
    before = ["--continue-from", f"results/parts/{number - 1}/state.safetensors"] if number else []
    places = [word for file in FILES for word in (f"--{file.split('.')[0]}", str(folder / file))]
    config_text = canonical_json(block(config, "train", **at))
    words = ["--training-set", "training_set.parquet", "--shards", "shard-0.parquet", *places, *before]
    assert main(["train", *words, "--config", config_text, "--at", ",".join(f"{k}={v}" for k, v in at.items())]) == 0


def executed() -> dict[str, float]:
    """What was trained: the learning rate of each result, by its key."""
    done = [json.loads(path.read_text()) for path in Path("work/train").glob("*/done.json")]
    return {record["key"]: record["config"]["training"]["learning_rate"] for record in done}


def test_adding_a_part_trains_that_part_only_and_changing_an_early_one_what_follows_too(place: Path) -> None:
    def config(rate: str, *more: str) -> Config:
        """A first part at ``rate`` and further parts."""
        parts = ", ".join(f"{{training: {{epochs: 1, learning_rate: {r}}}}}" for r in more)
        few = {"epochs": 1, "epoch_steps": 3, "warmup_steps": 0, "learning_rate": rate}
        setting = " ".join(f"methods.semi_supervised.training.{key}={value}" for key, value in few.items())
        return complete(f"{setting} methods.semi_supervised.continued=[{parts}]")

    trained_in_the_store(config("1e-2"), None, 0)
    first = executed()
    for part in (0, None):
        trained_in_the_store(config("1e-2", "1e-3"), part, 1)
    second = {key: rate for key, rate in executed().items() if key not in first}
    assert list(first.values()) == [1e-2] and list(second.values()) == [1e-3]
    for part in (0, 1, None):
        trained_in_the_store(config("1e-2", "1e-3", "1e-4"), part, 2)
    third = {key: rate for key, rate in executed().items() if key not in first | second}
    assert list(third.values()) == [1e-4]
    for part in (0, 1, None):
        trained_in_the_store(config("5e-3", "1e-3", "1e-4"), part, 2)
    again = [rate for key, rate in executed().items() if key not in first | second | third]
    assert sorted(again) == [1e-4, 1e-3, 5e-3]


def test_the_workflow_plans_one_more_training_for_a_part_and_hands_it_the_state_before(tmp_path: Path) -> None:
    project = checkout(tmp_path / "run")
    setting = f"set={CONTINUED}=[{{training: {{epochs: 2, learning_rate: 1e-4}}}}]"
    printed = project.run("submission", "-n", "-p", "--quiet", "progress", "--config", setting)
    calls = [line for line in printed.splitlines() if "python -m cspine train --" in line]
    student = [line for line in calls if "round=1" in line]
    assert len(calls) == 3 and len(student) == 2
    early, last = sorted(student, key=lambda line: "--continue_from" in line)
    folder = "results/semi_supervised/fold-0/round-1"
    assert f"--state {folder}/parts/0/state.safetensors" in early and "--init_from" in early
    assert f"--continue_from {folder}/parts/0/state.safetensors" in last and "--init_from" not in last
    assert f"--model {folder}/model.safetensors" in last and "part=0" in early and "part=" not in last
