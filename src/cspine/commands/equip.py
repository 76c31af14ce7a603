"""Install what this Python lacks of what cspine needs."""

from __future__ import annotations

import importlib
import importlib.util
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from cspine import equipment, mounts
from cspine.errors import CspineError

if TYPE_CHECKING:
    from packaging.requirements import Requirement

PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet")
BRIEFLY = ("--retries", "1", "--timeout", "30")  # without internet the answer shall not take minutes


def main(wheels: list[str] | None = None, requires: list[str] | None = None, keep: str = "") -> int:
    """Install what this Python lacks of what cspine needs, and what that needs: the rest of an image stays as it is.

    Wheels that lie at hand come first, then the network, where there is one. torch, torchvision and numpy are never
    replaced.

    Args:
        wheels: folders in which wheels are looked for, at any depth
        requires: what is needed, e.g. snakemake>=9.19 (default: all that the installed cspine requires)
        keep: a folder in which the wheels that were installed are kept, for a session without network
    """
    if importlib.util.find_spec("packaging") is None:
        raise CspineError("equip itself needs packaging, which this Python lacks: pip install packaging")
    wanted, folders = equipment.needed() if requires is None else requires, wheels or []
    missing = equipment.lacking(wanted)
    if not missing:
        print(f"nothing is missing; {_listed(equipment.held())} stay as they are")
        return 0
    print("missing:", _listed(missing))
    _refuse_to_replace(requirement.name for requirement in missing)
    found, unmet = equipment.chosen(missing, _wheels_below(folders))
    with tempfile.TemporaryDirectory() as temporary:
        chosen = _fetched(missing, unmet, folders, Path(temporary)) if unmet else found
        _install(chosen)
        if keep:
            Path(keep).mkdir(parents=True, exist_ok=True)
            for path in chosen:
                shutil.copy(path, keep)
    importlib.invalidate_caches()
    if still := equipment.lacking(wanted):
        raise CspineError(f"still missing after installing: {_listed(still)}")
    return 0


def _refuse_to_replace(names: Iterable[str]) -> None:
    if own := [name for name in names if name in equipment.HELD]:
        raise CspineError(
            f"{_listed(own)}: missing here, or older than cspine needs, and never installed by it, since only the "
            "image's own fits its GPU; choose a newer image"
        )


def _install(wheels: Iterable[Path]) -> None:
    paths = sorted(map(str, wheels))
    if subprocess.run([*PIP, "install", "--no-index", "--no-deps", *paths]).returncode:
        raise CspineError(f"pip could not install {_listed(paths)}; its own words are above")
    print("installed:", *(Path(path).name for path in paths))


def _fetched(missing: Iterable[Requirement], unmet: list[str], folders: list[str], folder: Path) -> list[Path]:
    """Let pip say what it would install beside what is held, and fetch exactly that, as wheels, into ``folder``."""
    near = [word for link in sorted({str(p.parent) for p in _wheels_below(folders)}) for word in ("--find-links", link)]
    with tempfile.TemporaryDirectory() as temporary:
        constraints, report = Path(temporary, "held.txt"), Path(temporary, "report.json")
        constraints.write_text("\n".join(equipment.held()), encoding="utf-8")
        planning = ["install", "--dry-run", "--report", str(report), "--constraint", str(constraints)]
        _ask_pip([*planning, *near, *map(str, missing)], unmet, folders)
        entries = [entry["metadata"] for entry in json.loads(report.read_text(encoding="utf-8"))["install"]]
    _refuse_to_replace(entry["name"] for entry in entries)
    exact = sorted(f"{entry['name']}=={entry['version']}" for entry in entries)
    _ask_pip(["wheel", "--no-deps", "--wheel-dir", str(folder), *near, *exact], unmet, folders)
    return equipment.chosen(equipment.lacking(exact), folder.glob("*.whl"))[0]


def _ask_pip(words: list[str], unmet: list[str], folders: list[str]) -> None:
    if subprocess.run([*PIP, words[0], *BRIEFLY, *words[1:]]).returncode:
        below = f"; found no wheels of them below {_listed(folders)}" if folders else ""
        raise CspineError(
            f"this Python lacks {_listed(unmet)}{below}, and pip could not fetch them (its words are above). Turn the "
            "session's internet on; or, in a session that has it, run `python -m cspine equip --keep wheels`, and add "
            "that folder to the inputs here"
        )


def _wheels_below(folders: list[str]) -> list[Path]:
    return [path for folder in folders for path in mounts.files(Path(folder), "*.whl")]


def _listed(words: Iterable[object]) -> str:
    return ", ".join(map(str, words))
