"""The files that are the project: where this cspine has them, and the same laid out in another folder.

A checkout has them at its top and in src/cspine/; an installed wheel carries all but the package itself in
cspine/project/. Standard library only.
"""

from __future__ import annotations

import shutil
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

from cspine.errors import CspineError

PARTS = (
    "LICENSE", "Snakefile", "config.yaml", "envs", "notebooks", "presets", "profiles", "pyproject.toml", "workflow",
)  # fmt: skip
SOURCE = "src/cspine"  # the package in a checkout
CARRIED = "project"  # the folder in the installed package that holds the parts
HERE = Path(__file__).parent

Files = Mapping[str, Path]  # where a file lies in a checkout (with /), and where it is read


def of_checkout(root: Path) -> Files:
    """The project's files in a checkout, or in what `cspine unpack` has made; nothing else that lies there.

    Raises:
        CspineError: a part of the project is missing.
    """
    return dict(sorted([*_listed(root, PARTS), *_listed(root, (SOURCE,))]))


def of_this_cspine() -> Files:
    """The files of the project whose code is running, be it a checkout or an installed wheel.

    Raises:
        CspineError: it is neither, or a part of the project is missing.
    """
    if not (HERE / CARRIED).is_dir():
        return of_checkout(HERE.parents[1])
    package = {name: path for name, path in _below(HERE, SOURCE) if not name.startswith(f"{SOURCE}/{CARRIED}/")}
    return dict(sorted({**dict(_listed(HERE / CARRIED, PARTS)), **package}.items()))


def wheel_name(pyproject: Path) -> str:
    """The name of the wheel of the project that this pyproject.toml describes."""
    version = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]["version"]
    return f"cspine-{version}-py3-none-any.whl"


def lay_out(files: Files, folder: Path) -> None:
    """Copy the files to their places below ``folder``; a copy that is cut off leaves nothing there.

    Args:
        files: of ``of_checkout`` or ``of_this_cspine``.
        folder: not there yet, or empty.

    Raises:
        CspineError: ``folder`` holds something.
    """
    folder = folder.resolve()
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise CspineError(f"{folder}: found something there already; expected an empty folder, or none: name another")
    temporary = folder.with_name(f"{folder.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    for name, source in files.items():
        place = temporary / name
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, place)  # without times and modes: those of a mounted wheel mean nothing
    folder.mkdir(exist_ok=True)  # one that is there is filled, not replaced: somebody's shell may stand in it
    for path in sorted(temporary.iterdir()):
        path.replace(folder / path.name)
    temporary.rmdir()


def _listed(root: Path, parts: tuple[str, ...]) -> Iterator[tuple[str, Path]]:
    for part in parts:
        if not (root / part).exists():
            raise CspineError(
                f"{root}: found no {part}; expected the whole project: {', '.join((*PARTS, SOURCE))}. Work in a clone, "
                "in what `cspine unpack` has made, or with a cspine installed from the wheel of `make wheel`"
            )
        yield from _below(root / part, part)


def _below(place: Path, name: str) -> Iterator[tuple[str, Path]]:
    """The file, or the files below the folder; no compiled ones, none that an editor or the system has hidden there."""
    for path in [place] if place.is_file() else place.rglob("*"):
        inside = path.relative_to(place).parts
        if path.is_file() and "__pycache__" not in inside and not any(part.startswith(".") for part in inside):
            yield "/".join((name, *inside)), path
