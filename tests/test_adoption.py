"""What other code has made is pointed out, and taken over on the user's word; the rest is refused with its reason."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cspine import store
from cspine.blocks import block
from cspine.cli import main
from cspine.present import present
from cspine.store import Request, adoption, locks, roots
from cspine.store.causes import Causes
from cspine.store.holdings import Held, held, holdings
from small_stores import CODE_BEFORE, begin, finish, request

FOLDS = {"folds": "results/folds.parquet"}
STUDIES = {"studies": "results/index/studies.parquet"}
AT = "method=semi_supervised,fold=0,round=0"
MODEL = {"model": "results/semi_supervised/fold-0/round-0/model.safetensors"}


@pytest.fixture(autouse=True)
def inputs(workplace: Path) -> None:
    for path in (STUDIES["studies"], "results/training_set.parquet"):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(path)


def folds(code: str | None = None, **differences: object) -> Request:
    return request(
        "assign_folds", FOLDS, {**block(present().config, "assign_folds"), **differences}, STUDIES, code=code
    )


def training(code: str | None = None) -> Request:
    config = block(present().config, "train", method="semi_supervised", fold="0", round="0")
    return request("train", MODEL, config, {"training_set": "results/training_set.parquet"}, AT, code)


def present_of(asked: Request) -> Path:
    return store.WORK / asked.stage / asked.key()


def test_a_finished_result_of_other_code_is_found_under_the_present_key_and_says_so(
    capsys: pytest.CaptureFixture[str],
) -> None:
    old = finish(folds(CODE_BEFORE))
    assert store.lookup(present_of(folds())) is None
    assert main(["adopt", "assign_folds"]) == 0
    printed = capsys.readouterr().out
    assert f"{present_of(folds())} now has a result that took 1 s, from {old.folder} (code:" in printed
    done = store.lookup(present_of(folds()))
    assert done is not None and done["code"] == folds().code and done["key"] == folds().key()
    assert [(n["key"], n["code"]) for n in done["adopted"]] == [(old.folder.name, CODE_BEFORE)]
    assert store.lookup(old.folder) == old.record  # nothing is taken from it
    new, before = (folder / "folds.parquet" for folder in (present_of(folds()), old.folder))
    assert new.stat().st_ino == before.stat().st_ino  # no second copy on the disk


def test_adopted_twice_both_origins_are_on_record(monkeypatch: pytest.MonkeyPatch) -> None:
    first = finish(folds(CODE_BEFORE))
    second = adoption.adopt(first, "1" * 12)
    third = adoption.adopt(held(second), folds().code)
    assert third == present_of(folds())
    assert [note["key"] for note in held(third).record["adopted"]] == [first.folder.name, second.name]


def test_checkpoints_of_other_code_go_on_under_the_present_key(capsys: pytest.CaptureFixture[str]) -> None:
    old = begin(training(CODE_BEFORE), steps=30)
    assert main(["adopt", "train", "--at", "fold=0"]) == 0
    assert "now has 30 of 40 steps" in capsys.readouterr().out
    new = held(present_of(training()))
    assert new.begun and new.record["adopted"][0]["key"] == old.folder.name
    assert (new.folder / "scratch/part-30").read_text() == "half" and (old.folder / "scratch/part-30").exists()
    (new.folder / "scratch/part-30").write_text("more")
    assert (old.folder / "scratch/part-30").read_text() == "half"  # a copy: a trainer writes there


def test_checkpoints_replace_fewer_of_the_present_code_and_never_as_many(capsys: pytest.CaptureFixture[str]) -> None:
    begin(training(CODE_BEFORE), steps=30)
    own = begin(training(), steps=31)
    assert main(["adopt", "train"]) == 1
    assert "is as far by the present code's own checkpoints" in capsys.readouterr().out
    (own.folder / "scratch/part-31").unlink()
    assert main(["adopt", "train"]) == 0
    assert (own.folder / "scratch/part-30").exists() and any(own.folder.glob("scratch.before-*"))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("config", "assign_folds: nothing to adopt; the newest is {}: config: count 7 -> 5; code:"),
        ("input", "assign_folds: nothing to adopt; the newest is {}: code: not what it was; input results/index"),
        ("damage", "assign_folds: not adopted: {}/folds.parquet was altered since it was made; it cannot be adopted"),
        ("work", "assign_folds: not adopted: {} is in use by process"),
    ],
)
def test_what_differs_by_more_than_code_is_not_adopted(
    change: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = folds(CODE_BEFORE, count=7) if change == "config" else folds(CODE_BEFORE)
    asked.record["modules"] = {} if change == "input" else asked.record["modules"]
    old = finish(asked)
    if change == "input":
        Path(STUDIES["studies"]).write_text("other")
    if change == "damage":
        (old.folder / "folds.parquet").chmod(0o644)
        (old.folder / "folds.parquet").write_text("altered")
    with locks.locked(old.folder) if change == "work" else locks.locked(Path("work/another")):
        assert main(["adopt", "assign_folds"]) == 1
    assert words.format(old.folder) in capsys.readouterr().out
    assert len(holdings(["assign_folds"])) == 1


def test_what_the_present_code_has_made_needs_no_adoption(capsys: pytest.CaptureFixture[str]) -> None:
    finish(folds())
    assert main(["adopt", "assign_folds"]) == 1
    assert "is the present code's" in capsys.readouterr().out
    assert main(["adopt", "train"]) == 1
    assert "there is nothing to adopt" in capsys.readouterr().out
    assert main(["adopt", "trian"]) == 1
    assert "no stage 'trian'" in capsys.readouterr().err


def test_a_hint_is_given_for_what_would_cost_more_than_a_minute(workplace: Path) -> None:
    asked, old = training(), begin(training(CODE_BEFORE), steps=30)
    line = adoption.hint(asked, present_of(asked))
    assert line is not None and f"{old.folder} holds 30 of 40 steps, made by other code (changed: " in line
    assert "`python -m cspine adopt train` lets it go on" in line
    assert adoption.hint(folds(), present_of(folds())) is None
    finish(folds(CODE_BEFORE), seconds=59)
    assert adoption.hint(folds(), present_of(folds())) is None
    finish(folds("1" * 12), seconds=7200)
    line = adoption.hint(folds(), present_of(folds()))
    assert line is not None and "a result that took 2 h" in line and "adopt assign_folds` takes it over" in line


def test_a_hint_is_not_given_for_another_config_or_checkpoints_of_its_own() -> None:
    asked = training()
    other = {**json.loads(json.dumps(asked.config)), "seed": 1}
    begin(request("train", MODEL, other, {"training_set": "results/training_set.parquet"}, AT, CODE_BEFORE))
    assert adoption.hint(asked, present_of(asked)) is None
    begin(training(CODE_BEFORE), steps=30)
    begin(training(), steps=31)
    assert adoption.hint(asked, present_of(asked)) is None


def test_what_an_earlier_session_made_by_other_code_is_pointed_out_and_copied_from_there(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    old = finish(folds(CODE_BEFORE), seconds=600)
    place = Path("session-1").absolute()
    place.mkdir()
    Path("work").rename(place / "work")
    monkeypatch.setenv(roots.VARIABLE, json.dumps([str(place / "work")]))
    line = adoption.hint(folds(), present_of(folds()))
    assert line is not None and f"{place / old.folder} holds a result that took 10 min" in line
    assert main(["adopt", "assign_folds", "--config", f"resume_from=[{place / 'work'}]"]) == 0
    assert store.lookup(present_of(folds())) is not None
    assert (place / old.folder / "folds.parquet").exists() and not (place / old.folder / "lock").exists()


def test_a_run_goes_on_saying_what_was_adopted(studies: object) -> None:
    """The note outlives the new request.json and stands in the done.json of what was finished under the new key."""
    from cspine.tables import write_table

    write_table(studies, Path(STUDIES["studies"]))  # type: ignore[arg-type]
    adopted = adoption.adopt(begin(folds(CODE_BEFORE)), folds().code)
    config = json.dumps(block(present().config, "assign_folds"))
    words = ["assign_folds", "--studies", STUDIES["studies"], "--folds", FOLDS["folds"], "--config", config]
    assert main(words) == 0
    done = store.lookup(adopted)
    assert done is not None and done["adopted"][0]["code"] == CODE_BEFORE


def test_the_first_causes_are_config_module_and_input_wherever_upstream_they_are() -> None:
    studies = finish(request("index", STUDIES, None), "studies")
    made = finish(folds())
    causes = _causes(holdings())
    assert causes.of(made, "", Path(FOLDS["folds"])) == []
    finish(request("index", STUDIES, None, code=CODE_BEFORE), "others")
    (studies.folder / store.DONE).unlink()
    made = finish(folds(count=7))
    found = [str(cause) for cause in _causes(holdings()).of(made, "", Path(FOLDS["folds"]))]
    assert found == ["assign_folds: config: count 7 -> 5", "index: code: not what it was"]


def _causes(found: list[Held]) -> Causes:
    config = present().config
    return Causes(found, lambda stage, **at: block(config, stage, **at), Path("data/phantom"))
