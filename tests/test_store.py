"""The store: the same request is answered once, and nothing but a finished, unaltered result is an answer."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from cspine import store
from cspine.cli import main
from cspine.errors import CspineError
from cspine.hashing import file_digest
from cspine.signature import known_stages, signature_of
from cspine.store import locks
from cspine.store.contents import Contents
from cspine.store.wiring import rewired
from cspine.tables import read_table, write_table

CONFIG = {"count": 5, "select": 0.2, "seed": 7}


def arguments(config: dict[str, object] | None = None, out: str = "results/folds.parquet") -> list[str]:
    block = json.dumps(config or CONFIG)
    return ["assign_folds", "--studies", "results/studies.parquet", "--folds", out, "--config", block]


@pytest.fixture
def folds(workplace: Path, studies: pd.DataFrame) -> Path:
    """results/folds.parquet, made once through the runner."""
    write_table(studies, Path("results/studies.parquet"))
    assert main(arguments()) == 0
    return Path("results/folds.parquet")


def made() -> list[Path]:
    return sorted(Path("work/assign_folds").iterdir())


def segments() -> int:
    return sum(len(list((folder / "segments").iterdir())) for folder in made())


def test_a_declared_output_is_a_relative_link_into_a_finished_folder(folds: Path) -> None:
    assert folds.is_symlink() and not folds.readlink().is_absolute()
    assert (folds.resolve().parent / "done.json").exists()


def test_the_same_request_runs_once(folds: Path) -> None:
    assert main(arguments()) == 0
    assert segments() == 1


def test_a_deleted_output_comes_back_without_running(folds: Path) -> None:
    before = read_table(folds)
    folds.unlink()
    assert main(arguments()) == 0
    pd.testing.assert_frame_equal(read_table(folds), before)
    assert segments() == 1


def test_order_of_config_keys_and_place_of_files_are_not_part_of_the_key(folds: Path) -> None:
    Path("elsewhere").mkdir()
    Path("elsewhere/s.parquet").write_bytes(Path("results/studies.parquet").read_bytes())
    call = arguments(dict(reversed(CONFIG.items())), out="elsewhere/f.parquet")
    call[call.index("results/studies.parquet")] = "elsewhere/s.parquet"
    assert main(call) == 0
    assert len(made()) == 1


def test_another_config_value_is_another_result_and_flipping_back_costs_nothing(folds: Path) -> None:
    first = folds.resolve()
    assert main(arguments({**CONFIG, "seed": 8})) == 0
    assert folds.resolve() != first
    assert main(arguments()) == 0
    assert folds.resolve() == first and segments() == 2


def test_another_input_content_is_another_result(folds: Path, studies: pd.DataFrame) -> None:
    write_table(studies.iloc[1:], Path("results/studies.parquet"))
    assert main(arguments()) == 0
    assert len(made()) == 2


@pytest.mark.parametrize("damage", ["altered", "missing"])
def test_a_damaged_store_file_is_named_and_made_again(
    folds: Path, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = folds.read_bytes()
    victim = folds.resolve()
    victim.chmod(0o644)
    if damage == "altered":
        victim.write_bytes(whole[:-1] + b"x")
    else:
        victim.unlink()
    assert main(arguments()) == 0
    assert folds.read_bytes() == whole
    assert victim.name in capsys.readouterr().err and segments() == 2


def test_a_moved_store_is_believed_by_its_digests(folds: Path) -> None:
    os.utime(folds.resolve(), (1, 1))
    assert main(arguments()) == 0
    assert segments() == 1


def test_a_stage_that_never_finished_is_no_result(folds: Path) -> None:
    (folds.resolve().parent / "done.json").unlink()
    assert main(arguments()) == 0
    assert segments() == 2


def test_store_files_are_write_protected(folds: Path) -> None:
    assert folds.resolve().stat().st_mode & 0o222 == 0


def test_a_folder_in_use_is_not_entered_and_its_owner_is_named(workplace: Path) -> None:
    folder = Path("work/train/abc")
    with (
        locks.locked(folder),
        pytest.raises(CspineError, match=f"in use by process {os.getpid()}"),
        locks.locked(folder, patience=0),
    ):
        pass


def test_a_lookup_that_hits_imports_neither_pandas_nor_torch(folds: Path) -> None:
    code = "import sys; from cspine.cli import main; assert main(sys.argv[1:]) == 0; print(sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code, *arguments()], capture_output=True, text=True, check=True)
    heavy = {"pandas", "numpy", "pyarrow", "torch", "jsonargparse", "argparse", "yaml"}
    assert heavy & set(eval(done.stdout)) == set()


def test_a_real_file_output_has_a_receipt_beside_it(workplace: Path) -> None:
    folder = Path("work/write_submission/k")
    folder.mkdir(parents=True)
    (folder / "submission.csv").write_text("row_id,fractured\n")
    place = Path("results/submission.csv")
    request = store.Request("write_submission", "c", {}, {}, {"submission": [place]}, copies=frozenset({"submission"}))
    store.put_in_place(folder, request, store.commit(folder, request, {}))
    assert place.is_file() and not place.is_symlink()
    receipt = store.read_receipt(place)
    assert receipt is not None and receipt["key"] == "k" and receipt["digest"] == file_digest(place)


def test_costs_of_all_segments_are_added_up_in_done_json(folds: Path) -> None:
    (folds.resolve().parent / "done.json").unlink()
    assert main(arguments()) == 0
    done = store.read_done(folds.resolve().parent)
    assert done is not None and done["costs"]["segments"] == 2


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (["assign_fold"], "no stage 'assign_fold'; the stages are:"),
        (["assign_folds", "--studys", "x"], "no parameter --studys"),
        (["assign_folds", "--studies", "x"], "missing --folds, --config"),
        (arguments(), "results/studies.parquet does not exist"),
    ],
)
def test_a_wrong_call_is_one_line_without_traceback(
    workplace: Path, capsys: pytest.CaptureFixture[str], call: list[str], words: str
) -> None:
    assert main(call) == 1
    printed = capsys.readouterr().err
    assert words in printed and "Traceback" not in printed


def test_a_config_that_does_not_fit_names_the_field(folds: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments({**CONFIG, "cuont": 3})) == 1
    assert "cuont" in capsys.readouterr().err


@pytest.mark.parametrize("stage", known_stages())
def test_every_stage_explains_its_call(stage: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([stage, "--help"]) == 0
    printed = capsys.readouterr().out
    for parameter in signature_of(stage).parameters:
        assert (f"--{parameter.name}" in printed) == (parameter.kind != "Scratch"), parameter.name


def test_the_output_of_a_stage_that_is_gone_is_made_again_where_a_rule_writes_and_left_alone_elsewhere() -> None:
    done = {"stage": "predict", "inputs": {}}  # what predict_slices was called once
    assert rewired(done, {"model": [Path("model.safetensors")]}, Contents()) == "the stage predict that made it is gone"
    assert rewired(done, {}, Contents()) is None
