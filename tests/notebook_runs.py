"""The notebooks executed as Kaggle executes them: by a kernel of an image's Python, without network, cell by cell."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import pytest
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient

from smoke_projects import ENOUGH_SECONDS, ROOT
from wheel_installs import Installed, fresh_python, installed

COMPETITION = "rsna-2022-cervical-spine-fracture-detection"
TRAIN, SUBMISSION = (ROOT / f"notebooks/kaggle-{name}.ipynb" for name in ("train", "submission"))


class _OwnPython(KernelSpecManager):
    """Knows one kernel: ipykernel in the Python that is named."""

    def __init__(self, python: Path) -> None:
        super().__init__()
        self._argv = [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        return KernelSpec(argv=self._argv, display_name=kernel_name, language="python")


@dataclass(frozen=True)
class Image:
    """A Python as an image brings it: libraries, and no cspine."""

    installed: Installed  # whose wheel and block of the network are used

    def execute(self, notebook: Path, inputs: Path, working: Path, settings: str, **environment: str) -> str:
        """Run all cells, with ``settings`` after the first one; returns what they printed.

        Raises:
            nbclient.exceptions.CellExecutionError: a cell failed, and with it the version.
        """
        cells = nbformat.read(notebook, as_version=4)
        first = next(i for i, cell in enumerate(cells.cells) if cell.cell_type == "code")
        cells.cells.insert(first + 1, nbformat.v4.new_code_cell(settings))
        places = {"CSPINE_KAGGLE_INPUT": str(inputs), "CSPINE_KAGGLE_WORKING": str(working)}
        with tempfile.TemporaryDirectory(prefix="cspine-") as own:  # a short path, for sockets lie in it
            kernel = AsyncKernelManager(kernel_spec_manager=_OwnPython(self.installed.python), transport="ipc")
            kernel.connection_file = f"{own}/kernel.json"
            client = NotebookClient(cells, km=kernel, timeout=ENOUGH_SECONDS, resources={"metadata": {"path": working}})
            client.execute(cleanup_kc=True, env=self.installed.environment(IPYTHONDIR=own, **places, **environment))
        return "".join(_printed(output) for cell in cells.cells for output in cell.get("outputs", []))


def _printed(output: Any) -> str:
    return str(output.get("text") or output.get("data", {}).get("text/plain", ""))


def image(factory: pytest.TempPathFactory) -> Image:
    """An image of one's own, since notebooks install into it."""
    shared = installed(factory)
    python = fresh_python(factory.mktemp("image") / "venv")
    return Image(Installed(shared.wheel, python, shared.blocker))


def mounted_inputs(folder: Path, wheel: Path, phantom: Path) -> Path:
    """/kaggle/input of a first session: the competition's folder (of a phantom), and a data set with the wheel."""
    shutil.copytree(phantom, folder / "competitions" / COMPETITION)
    (folder / "datasets/somebody/cspine").mkdir(parents=True)
    shutil.copy(wheel, folder / "datasets/somebody/cspine")
    return folder
