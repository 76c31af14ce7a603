"""What was read of the modules is believed only while their files are the same."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from cspine import fingerprint as module
from cspine import module_memory
from cspine.fingerprint import fingerprint, remember


@pytest.fixture
def file(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The registry's stage and one helper as a package of their own, remembered; the helper's path."""
    package = workplace / "cspine"
    (package / "stages").mkdir(parents=True)
    (package / "helper.py").write_text("VALUE = 1\n")
    (package / "stages/stage.py").write_text("from cspine.helper import VALUE\n\nprint(VALUE)\n")
    monkeypatch.setattr(module, "PACKAGE", package)
    monkeypatch.setattr(module, "_known", {})
    another_process()
    fingerprint("stage")
    remember()
    another_process()
    yield package / "helper.py"
    another_process()


def another_process() -> None:
    for cached in (module.closure, module._tree, module._read, module._imports, module_memory._memory):
        cached.cache_clear()


def test_another_process_parses_nothing_and_finds_the_same(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> ast.Module:
        raise AssertionError("a module was parsed")

    module_memory.MEMORY.rename("kept.json")
    expected = fingerprint("stage")
    Path("kept.json").rename(module_memory.MEMORY)
    another_process()
    monkeypatch.setattr(ast, "parse", refuse)
    assert fingerprint("stage") == expected


def test_an_edit_of_the_same_length_is_noticed(file: Path) -> None:
    before = fingerprint("stage")
    another_process()
    file.write_text("VALUE = 2\n")
    assert fingerprint("stage") != before


def test_a_file_exchanged_by_a_rename_is_noticed_with_its_times_kept(file: Path) -> None:
    before, times = fingerprint("stage"), file.stat()
    another_process()
    other = file.with_name("other.py")
    other.write_text("VALUE = 3\n")
    os.utime(other, ns=(times.st_atime_ns, times.st_mtime_ns))
    other.replace(file)
    assert fingerprint("stage") != before


@pytest.mark.parametrize("damage", ["", "{", "[1, 2]", "null"])
def test_a_damaged_memory_costs_time_only(file: Path, damage: str) -> None:
    expected = fingerprint("stage")
    another_process()
    module_memory.MEMORY.write_text(damage)
    assert fingerprint("stage") == expected


def test_what_another_reader_took_down_is_not_believed(file: Path, tmp_path: Path) -> None:
    path = module._path("cspine.helper")
    assert path is not None
    assert module_memory.recall("cspine.helper", path, Path(module.__file__)) is not None
    other = tmp_path / "fingerprint.py"
    other.write_text("a later version of it\n")
    assert module_memory.recall("cspine.helper", path, other) is None


def test_nothing_is_written_where_nothing_changed(file: Path) -> None:
    fingerprint("stage")
    before = module_memory.MEMORY.stat().st_mtime_ns
    remember()
    assert module_memory.MEMORY.stat().st_mtime_ns == before
