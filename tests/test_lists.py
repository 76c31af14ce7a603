"""A list of files is one input to Snakemake, and the files themselves to a stage, its key and its record."""

from __future__ import annotations

from pathlib import Path

import pytest

from cspine import lists
from cspine.errors import CspineError
from cspine.planning import Job, _with_files
from cspine.signature import signature_of

TRAIN = signature_of("train")


def test_a_stage_gets_the_files_of_a_list_in_its_order_and_other_inputs_as_they_are(tmp_path: Path) -> None:
    files = [tmp_path / f"shard-{number}.parquet" for number in (10, 2)]
    for file in files:
        file.touch()
    listed = tmp_path / "shards.list"
    listed.write_text(lists.written(files), encoding="utf-8")
    assert listed.read_text(encoding="utf-8") == "shard-10.parquet\nshard-2.parquet\n"  # no folder: it may be moved
    given = {"shards": ["a.parquet", str(listed)], "training_set": ["t.parquet"], "model": ["m.list"]}
    found = lists.expanded(TRAIN, given)
    assert found == {**given, "shards": ["a.parquet", *map(str, files)]}


def test_a_list_that_is_gone_or_names_what_is_gone_is_an_error_with_its_path(tmp_path: Path) -> None:
    listed = tmp_path / "shards.list"
    with pytest.raises(CspineError, match=r"shards\.list: No such file or directory; expected a list"):
        lists.expanded(TRAIN, {"shards": [str(listed)]})
    listed.write_text("shard-0.parquet\n", encoding="utf-8")
    with pytest.raises(CspineError, match=r"shard-0\.parquet: not there, though .*shards\.list names it; remove"):
        lists.expanded(TRAIN, {"shards": [str(listed)]})


def test_a_plan_knows_the_files_of_a_list_that_has_still_to_be_made() -> None:
    making = Job(("list_shards", "--shards", "c/shard-0.parquet", "c/shard-1.parquet", "--listed", "c/shards.list"))
    using = ("build_wheel", "--root", ".", "--sources", "c/shards.list", "--wheel", "w.whl")
    before, after = _with_files([making, Job(using)])
    assert before == making
    assert after.inputs == {"sources": [Path("c/shard-0.parquet"), Path("c/shard-1.parquet")]}
    assert after.lists == (Path("c/shards.list"),)
