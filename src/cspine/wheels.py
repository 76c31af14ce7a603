"""One wheel that is the whole project: the package and, in cspine/project/, what turns it into a checkout again.

It is built by hatchling itself, in this process: no pip, no network, no environment of its own.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cspine.errors import CspineError
from cspine.project_files import CARRIED, SOURCE, Files, lay_out, of_checkout

HEARD_BY_HATCHLING = ("SOURCE_DATE_EPOCH", "HATCH_")  # how environment variables begin that would change the bytes


def build_wheel(root: Path, folder: Path) -> Path:
    """Build ``cspine-<version>-py3-none-any.whl`` of the checkout at ``root``.

    The same sources give the same bytes, wherever they lie (with the same hatchling, whose version the wheel names, and
    the same zlib).

    Args:
        root: a checkout, or what `cspine unpack` has made; nothing is written there.
        folder: where the wheel goes; made when it is not there, an older wheel of the same name is replaced.

    Returns:
        the wheel's path.

    Raises:
        CspineError: a part of the project is missing.
    """
    return build_wheel_of(of_checkout(root), folder)


def build_wheel_of(files: Files, folder: Path) -> Path:
    """The same for the files of a project that lie anywhere: see ``cspine.project_files``."""
    try:
        from hatchling.builders.wheel import WheelBuilder
    except ImportError as error:
        raise CspineError(f"no wheel can be built: {error}; install hatchling, or run `make env`") from None

    folder.mkdir(parents=True, exist_ok=True)
    # From a copy that holds nothing but the project: what else lies in the folder, and its files' modes, do not count.
    with tempfile.TemporaryDirectory() as temporary, _unheard():
        staged = Path(temporary).resolve() / "cspine"
        lay_out(files, staged)
        builder = WheelBuilder(str(staged), config=_with_the_parts(staged, files))
        (built,) = builder.build(directory=str(folder.resolve()), versions=["standard"])
    return folder / Path(built).name


def _with_the_parts(staged: Path, files: Files) -> dict[str, Any]:
    """pyproject.toml, with the parts beside the package; not in the file, for then editable installs had a copy too."""
    project = tomllib.loads((staged / "pyproject.toml").read_text(encoding="utf-8"))
    parts = [name for name in files if not name.startswith(f"{SOURCE}/")]
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    wheel["force-include"] = {name: f"{Path(SOURCE).name}/{CARRIED}/{name}" for name in parts}
    wheel["ignore-vcs"] = True  # no .gitignore of a folder above counts
    return project


@contextlib.contextmanager
def _unheard() -> Iterator[None]:
    heard = {name: value for name, value in os.environ.items() if name.startswith(HEARD_BY_HATCHLING)}
    for name in heard:
        del os.environ[name]
    try:
        yield
    finally:
        os.environ.update(heard)
