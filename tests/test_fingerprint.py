"""The code fingerprint changes when, and only when, code a stage runs has changed."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cspine import fingerprint as module
from cspine.fingerprint import CANNOT_CHANGE_A_RESULT, closure, fingerprint
from cspine.methods.registry import FAMILIES, module_of
from cspine.signature import known_stages


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the package that may be edited."""
    copy = tmp_path / "cspine"
    shutil.copytree(module.PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(module, "PACKAGE", copy)
    forget()
    yield copy
    forget()


WITH_A_FAMILY = {
    "train",
    "predict_slices",
    "predict_studies",
    "explain_cases",
    "predict_localizer",
    "predict_with_bundle",
}  # they use the module that their config names


def forget() -> None:
    for cached in (module.closure, module._tree, module._read, module._imports):
        cached.cache_clear()


def prints() -> dict[str, str]:
    forget()
    return {stage: fingerprint(stage, "slice_cnn" if stage in WITH_A_FAMILY else None) for stage in known_stages()}


def edit(path: Path, change: Callable[[str], str]) -> None:
    path.write_text(change(path.read_text(encoding="utf-8")), encoding="utf-8")


def changed(package: Path, file: str, change: Callable[[str], str]) -> set[str]:
    before = prints()
    edit(package / file, change)
    after = prints()
    return {stage for stage in before if before[stage] != after[stage]}


def test_a_comment_an_empty_line_and_a_docstring_change_no_key(package: Path) -> None:
    assert changed(package, "metric.py", lambda s: "# a comment\n\n" + s + "\n\n# another\n") == set()
    assert changed(package, "errors.py", lambda s: s.replace('"""The one', '"""The only')) == set()
    assert changed(package, "folds.py", lambda s: '"""Other words."""\n' + s.split('"""', 2)[2]) == set()


def test_an_edit_in_a_helper_changes_exactly_the_stages_that_import_it(package: Path) -> None:
    importers = {stage for stage in known_stages() if "cspine.folds" in closure(f"cspine.stages.{stage}")}
    assert "assign_folds" in importers and "ingest" not in importers
    assert changed(package, "folds.py", lambda s: s + "\nADDED = 1\n") == importers


def test_an_edit_in_a_method_changes_only_the_stages_that_use_it(package: Path) -> None:
    assert changed(package, "methods/slice_cnn.py", lambda s: s + "\nADDED = 1\n") == WITH_A_FAMILY


def test_adding_a_method_changes_no_key(package: Path) -> None:
    (package / "methods/another.py").write_text("ANSWER = 42\n")
    line = '    "another": Family("cspine.methods.another"),\n'
    assert (
        changed(package, "methods/registry.py", lambda s: s.replace("FAMILIES = {\n", "FAMILIES = {\n" + line)) == set()
    )


def test_modules_that_cannot_change_a_result_are_in_no_key(package: Path) -> None:
    before = prints()
    for name in sorted(CANNOT_CHANGE_A_RESULT):  # all edits at once: each look takes seconds
        edit(package / (name.removeprefix("cspine.").replace(".", "/") + ".py"), lambda s: s + "\nADDED = 1\n")
    assert prints() == before


def test_every_left_out_module_exists_and_has_its_reason_beside_it() -> None:
    text = Path(module.__file__).read_text(encoding="utf-8")
    for name in CANNOT_CHANGE_A_RESULT:
        assert module._path(name) is not None, name
        assert f'"{name}",  # ' in text, name


def test_the_runner_and_the_workflow_are_in_no_stage() -> None:
    for stage in known_stages():
        inside = closure(f"cspine.stages.{stage}")
        assert not inside & {
            "cspine.cli",
            "cspine.running",
            "cspine.store",
            "cspine.workflow",
            "cspine.blocks",
        }, stage


def test_table_stages_import_no_torch() -> None:
    for stage in set(known_stages()) - WITH_A_FAMILY:
        for name in closure(f"cspine.stages.{stage}"):
            assert "torch" not in {n.split(".")[0] for n in foreign_imports(name)}, f"{stage} through {name}"


def test_every_registered_family_is_a_module_of_the_package() -> None:
    for family in FAMILIES:
        assert module._path(module_of(family)) is not None, family


def foreign_imports(name: str) -> set[str]:
    import ast

    found: set[str] = set()
    for node in ast.walk(module._tree(name)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found
