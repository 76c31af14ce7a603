"""A clean-up takes what nothing needs and leaves all that a run would otherwise make again."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cspine import store
from cspine.cli import main
from cspine.store import keeping, locks
from cspine.store.holdings import Held, at_place, holdings, inputs_at
from small_stores import begin, finish, request

LABELS = {"labels": "results/labels/slices.parquet"}
TRAINING_SET = {"training_set": "results/m/fold-0/round-0/training_set.parquet"}
AT = "method=m,fold=0,round=0"


@pytest.fixture
def chain(workplace: Path) -> list[Held]:
    """Labels and the training set made from them, both in use, a week old; and the same of an earlier config."""
    made = []
    for weight in (1, 2):
        labels = finish(request("label_slices", LABELS, {"weight_box": weight}), f"weight {weight}", 60, 7)
        made += [labels, finish(_training_set(), f"taught {weight}", 120, 7)]
    return made


def _training_set() -> store.Request:
    return request("build_training_set", TRAINING_SET, {"round": 0}, {"labels": LABELS["labels"]}, AT)


def block(stage: str, **at: str) -> dict[str, int]:
    """A present that has another value of everything."""
    return {"now": 1}


def kept(found: list[Held]) -> dict[Path, str]:
    """Folder -> why it is kept."""
    return {fate.held.folder: fate.why for fate in keeping.fates(found, block) if fate.why}


def test_what_results_shows_is_kept_and_the_earlier_configs_results_go(chain: list[Held]) -> None:
    old, new = chain[:2], chain[2:]
    assert kept(holdings()) == {held.folder: keeping.IN_USE for held in new}
    assert main(["gc"]) == 0
    assert {held.folder for held in holdings()} == {held.folder for held in new}
    assert not any(held.folder.exists() for held in old)
    assert Path(TRAINING_SET["training_set"]).read_text() == "taught 2 training_set"


def test_what_a_kept_result_was_made_from_is_kept_where_nothing_shows_it(chain: list[Held]) -> None:
    Path(LABELS["labels"]).unlink()
    assert kept(holdings()) == {chain[3].folder: keeping.IN_USE, chain[2].folder: keeping.NEEDED}


def test_where_a_run_took_outputs_away_the_newest_result_of_the_present_config_is_kept(chain: list[Held]) -> None:
    recent = finish(request("build_training_set", TRAINING_SET, {"round": 7}, {"labels": LABELS["labels"]}, AT))
    Path(TRAINING_SET["training_set"]).unlink()  # as of an output whose input may have changed
    found = keeping.fates(holdings(), lambda stage, **at: {"round": 0}, keep_days=0)
    why = {fate.held.folder: fate.why for fate in found}
    assert why[chain[3].folder] == keeping.FITTING and why[chain[1].folder] == why[recent.folder] == ""


def test_of_two_results_of_equal_content_the_one_in_use_is_enough(chain: list[Held]) -> None:
    equal = finish(request("label_slices", LABELS, {"weight_box": 3}), "weight 2", age_days=7)
    assert kept(holdings()) == {equal.folder: keeping.IN_USE, chain[3].folder: keeping.IN_USE}


def test_recent_results_are_kept_unless_told_otherwise(chain: list[Held], capsys: pytest.CaptureFixture[str]) -> None:
    recent = finish(request("label_slices", LABELS, {"weight_box": 3}), "weight 3", seconds=4000)
    again = finish(request("label_slices", LABELS, {"weight_box": 2}), "weight 2", age_days=7)
    assert kept(holdings())[recent.folder] == keeping.RECENT
    assert main(["gc", "--dry-run"]) == 0
    printed = capsys.readouterr().out
    assert "Kept only because younger than 1 day: 1 result" in printed and "--keep-days 0 lets them go" in printed
    assert main(["gc", "--keep-days", "0"]) == 0
    printed = capsys.readouterr().out
    assert "What goes took 70 min to make, label_slices alone 67 min" in printed and "make it again" in printed
    assert not recent.folder.exists() and again.folder.exists()


def test_a_dry_run_deletes_nothing(chain: list[Held], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gc", "--dry-run"]) == 0
    assert all(held.folder.exists() for held in chain)
    printed = capsys.readouterr().out
    assert "would go" in printed and "1 in use" in printed


def test_the_newest_unfinished_result_of_each_place_is_kept_with_what_it_needs(chain: list[Held]) -> None:
    def training(seed: int, age: float, labels: str) -> Held:
        asked = request("train", {"model": "results/m/fold-0/round-0/m"}, {"seed": seed}, {"training_set": labels}, AT)
        return begin(asked, age_days=age)

    finish(request("label_slices", LABELS, {"weight_box": 1}), "weight 1", age_days=7)
    finish(_training_set(), "taught 1", age_days=7)
    newest = training(1, 3, TRAINING_SET["training_set"])
    older = training(2, 5, TRAINING_SET["training_set"])
    finish(request("label_slices", LABELS, {"weight_box": 2}), "weight 2", age_days=7)
    finish(_training_set(), "taught 2", age_days=7)
    why = kept(holdings())
    assert why[newest.folder] == keeping.UNFINISHED and older.folder not in why
    assert why[chain[1].folder] == why[chain[0].folder] == keeping.NEEDED


def test_what_a_process_works_on_is_kept(chain: list[Held]) -> None:
    with locks.locked(chain[0].folder):
        assert kept(holdings())[chain[0].folder] == keeping.AT_WORK


def test_while_a_run_is_at_work_only_a_dry_run_is_possible(
    chain: list[Held], capsys: pytest.CaptureFixture[str]
) -> None:
    with locks.run_alone():
        assert main(["gc"]) == 1
        assert f"process {os.getpid()}" in capsys.readouterr().err
        assert main(["gc", "--dry-run"]) == 0
    assert all(held.folder.exists() for held in chain)


def test_a_clean_up_cut_off_leaves_no_half_result_and_the_next_one_clears_up(chain: list[Held]) -> None:
    command = [sys.executable, "-m", "cspine", "gc"]
    done = subprocess.run(command, env={**os.environ, "CSPINE_FAULT": "gc-after-rename:1"})
    assert done.returncode == -signal.SIGKILL
    assert all((held.folder / store.DONE).exists() == held.folder.exists() for held in chain)
    assert sum(held.folder.exists() for held in chain) == 3 and any(keeping.GONE.iterdir())
    assert main(["gc"]) == 0
    assert not keeping.GONE.exists() and len(holdings()) == 2


def test_a_link_out_of_the_store_is_not_followed(chain: list[Held], tmp_path: Path) -> None:
    place = tmp_path / "elsewhere"
    shutil.move("work/label_slices", place / "label_slices")
    Path("work/label_slices").symlink_to(place / "label_slices")
    inside = chain[1].folder / "linked"
    inside.symlink_to(place)
    assert main(["gc"]) == 0
    assert not inside.parent.exists() and len(list((place / "label_slices").glob("*/done.json"))) == 2


def test_a_folder_that_is_no_result_is_left_alone(chain: list[Held]) -> None:
    Path("work/label_slices/notes").mkdir()
    assert main(["gc", "--keep-days", "0"]) == 0
    assert Path("work/label_slices/notes").is_dir()


def test_a_store_above_its_size_says_what_a_clean_up_would_free(chain: list[Held]) -> None:
    assert keeping.warning(0, block) is None and keeping.warning(1, block) is None
    line = keeping.warning(1e-9, block)
    assert line is not None and "more than store.max_gb" in line
    assert "`python -m cspine gc --keep-days 0` frees" in line and "build_training_set" in line
    assert main(["gc", "--keep-days", "0"]) == 0
    assert (keeping.warning(1e-9, block) or "").endswith("all of it is needed")


def test_a_result_that_serves_two_methods_is_known_by_both_places(workplace: Path) -> None:
    Path("labels").write_text("x")
    path = TRAINING_SET["training_set"]
    record = finish(request("build_training_set", TRAINING_SET, {}, {"labels": "labels"}, AT)).record
    assert at_place(record, Path(path)) == AT
    assert at_place(record, Path(path.replace("/m/", "/other/"))) == AT.replace("=m", "=other")
    assert at_place(record, Path(path.replace("fold-0", "fold-3"))) == AT.replace("fold=0", "fold=3")
    assert at_place(record, Path(path + ".x")) is None
    record["inputs"]["labels"][0]["path"] = "results/m/fold-0/round-1/model"
    assert inputs_at(record, AT.replace("=m", "=other"))[0][0] == Path("results/other/fold-0/round-1/model")
