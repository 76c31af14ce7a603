"""The project as one wheel: the package, and the workflow inside of it."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from cspine import wheels
from cspine.stage import InPath, OutCopy, RawFolder


def build_wheel(root: RawFolder, sources: list[InPath], wheel: OutCopy) -> None:
    """Build the wheel of the project at ``root``.

    Args:
        root: the folder of the Snakefile.
        sources: every file of the project; what the wheel's key is made of.
        wheel: a pure Python wheel; equal sources give equal bytes.
    """
    with tempfile.TemporaryDirectory() as folder:
        shutil.copyfile(wheels.build_wheel(root, Path(folder)), wheel)
