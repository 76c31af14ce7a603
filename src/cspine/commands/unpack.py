"""The whole project in a folder, as a clone would have it."""

from __future__ import annotations

from pathlib import Path

from cspine import project_files


def main(folder: str) -> int:
    """Lay the project out in FOLDER as a clone would have it: the workflow, its config, and src/cspine.

    What an installed wheel carries is enough; nothing is fetched. `cd FOLDER && snakemake --cores 4 submission` then
    runs with the code in FOLDER/src, and finds whatever a clone of the same code has made.

    Args:
        folder: empty, or not there yet
    """
    files = project_files.of_this_cspine()
    project_files.lay_out(files, Path(folder))
    print(f"{folder}: {len(files)} files, the whole project\ncd {folder} && snakemake --cores 4 submission")
    return 0
