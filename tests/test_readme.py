"""The README says only what is there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
FILES = (ROOT / "docs/files.md").read_text(encoding="utf-8")


def test_the_tree_has_a_line_for_every_file_and_no_other() -> None:
    lines = FILES.split("```")[1].splitlines()
    named, folder = set(), ""
    for line in lines:
        name = line.split()[0] if line.startswith("  ") else ""
        folder = name if name.endswith("/") else folder if line.startswith("    ") else ""
        named |= {folder + name} if name.endswith(".py") else set()
    package = ROOT / "src/cspine"
    there = {str(path.relative_to(package)) for path in package.rglob("*.py")}
    assert named == {name for name in there if not name.endswith(("__init__.py", "__main__.py"))}
    for line in lines:
        if line and not line.startswith(" "):
            assert (ROOT / line.split()[0]).exists(), line


def test_every_page_of_the_docs_is_linked() -> None:
    for path in (ROOT / "docs").glob("*.md"):
        assert f"](docs/{path.name})" in README, path.name


def test_every_folder_of_its_tree_exists() -> None:
    for line in README.split("## What is where")[1].split("```")[1].splitlines():
        if line and not line.startswith(" "):
            assert (ROOT / line.split()[0]).exists(), line


def test_every_file_it_links_or_shows_exists() -> None:
    for target in re.findall(r"\]\((?!http)([^)]+)\)", README):
        assert (ROOT / target).exists(), target


def test_every_preset_is_described() -> None:
    for path in (ROOT / "presets").glob("*.yaml"):
        assert path.stem in README, path.name


def test_every_reason_code_in_the_code_is_explained_in_the_findings_page() -> None:
    page = (ROOT / "docs/findings.md").read_text(encoding="utf-8")
    explained = set(re.findall(r"^\| `([a-z0-9-]+)` \|", page, re.MULTILINE))
    for name in (
        "labels.py",
        "slice_labels.py",
        "submission.py",
        "boxes.py",
        "dicom/notes.py",
        "stages/inventory.py",
        "stages/index.py",
        "stages/label_presence.py",
    ):
        text = (ROOT / "src/cspine" / name).read_text(encoding="utf-8")
        used = set(re.findall(r'"((?:box(?:ed|es)?|no|some|test|empty|mask|duplicate|unreadable)(?:-[a-z]+)+)"', text))
        assert used <= explained, (name, used - explained)
