"""The whole project as one wheel."""

from __future__ import annotations

from pathlib import Path

from cspine import amounts, project_files, wheels


def main(output: str = "dist") -> int:
    """Build the wheel of this cspine: the package with the whole workflow in it, offline.

    `pip install --no-deps` of it and `python -m cspine unpack FOLDER` are a clone again. The same sources give the same
    bytes.

    Args:
        output: the folder it goes into
    """
    wheel = wheels.build_wheel_of(project_files.of_this_cspine(), Path(output))
    print(f"{wheel}: {amounts.size(wheel.stat().st_size)}")
    return 0
