"""The README says only what is there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_tree_names_every_module_and_nothing_else() -> None:
    tree = README.split("## What is where")[1].split("src/cspine/\n")[1].split("tests/ ")[0]
    lines = [
        line
        for line in tree.splitlines()
        if line.startswith("  ") and not line.strip().startswith(("stages/", "methods/", "phantom/"))
    ]
    named = {word for line in lines for word in re.split(r" {2,}", line.strip())[0].split()}
    modules = {path.stem for path in (ROOT / "src/cspine").glob("*.py")} - {
        "__init__",
        "__main__",
        "errors",
        "hashing",
        "progress",
        "stage",
        "faults",
    }
    assert named == modules


def test_every_file_it_links_or_shows_exists() -> None:
    for target in re.findall(r"\]\((?!http)([^)]+)\)", README):
        assert (ROOT / target).exists(), target


def test_every_preset_is_described() -> None:
    for path in (ROOT / "presets").glob("*.yaml"):
        assert path.stem in README, path.name


def test_every_reason_code_in_the_code_is_explained_in_the_findings_page() -> None:
    page = (ROOT / "docs/findings.md").read_text(encoding="utf-8")
    explained = set(re.findall(r"^\| `([a-z0-9-]+)` \|", page, re.MULTILINE))
    for name in ("labels.py", "submission.py", "boxes.py", "series.py", "stages/inventory.py", "stages/index.py"):
        text = (ROOT / "src/cspine" / name).read_text(encoding="utf-8")
        used = set(re.findall(r'"((?:box|boxed|no|some|test|empty|mask|duplicate|unreadable)(?:-[a-z]+)+)"', text))
        assert used <= explained, (name, used - explained)
