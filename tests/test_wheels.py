"""One wheel is the whole project: built offline, installed, and laid out again as a checkout."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

from cspine import project_files
from cspine.cli import main
from cspine.errors import CspineError
from cspine.fingerprint import PACKAGE, fingerprint
from cspine.signature import known_stages
from cspine.wheels import build_wheel
from smoke_projects import ROOT, clean
from wheel_installs import BLOCKED, Installed, installed

PARTS = {*project_files.PARTS, "src"}


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    return installed(tmp_path_factory)


@pytest.fixture(scope="module")
def unpacked(there: Installed, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unpacked") / "project"
    there.run("-m", "cspine", "unpack", folder)
    return folder


def content(folder: Path) -> dict[str, bytes]:
    files = [p for p in folder.rglob("*") if p.is_file() and "__pycache__" not in p.parts]
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in files}


def test_the_wheel_holds_package_and_project_and_nothing_else(there: Installed) -> None:
    named = set(zipfile.ZipFile(there.wheel).namelist())
    package = {f"cspine/{path.relative_to(PACKAGE)}" for path in PACKAGE.rglob("*.py")}
    carried = {name for name in named if name.startswith("cspine/project/")}
    assert package <= named and {name.split("/")[2] for name in carried} == set(project_files.PARTS)
    assert {name.split("/")[0] for name in named - package - carried} == {"cspine-0.1.0.dist-info"}
    assert not [name for name in named if "__pycache__" in name or name.split("/")[-1].startswith(".")]


def test_the_same_sources_give_the_same_bytes_wherever_and_however_they_lie(
    there: Installed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkout = tmp_path / "repository/checkout"
    project_files.lay_out(project_files.of_checkout(ROOT), checkout)
    (tmp_path / "repository/.gitignore").write_text("*.yaml\n")  # of a folder above
    (checkout / "notebooks/.ipynb_checkpoints").mkdir()
    (checkout / "notebooks/.ipynb_checkpoints/old.ipynb").write_text("{}")
    (checkout / "Snakefile").chmod(0o777)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    assert build_wheel(checkout, tmp_path / "dist").read_bytes() == there.wheel.read_bytes()


def test_what_is_unpacked_is_the_checkout_and_builds_the_same_wheel(
    there: Installed, unpacked: Path, tmp_path: Path
) -> None:
    assert {path.name for path in unpacked.iterdir()} == PARTS
    files = content(unpacked)
    assert files == {name: path.read_bytes() for name, path in project_files.of_checkout(ROOT).items()}
    assert all((ROOT / name).read_bytes() == data for name, data in files.items())
    assert build_wheel(unpacked, tmp_path).read_bytes() == there.wheel.read_bytes()


def test_the_code_there_and_in_the_wheel_has_the_fingerprints_of_the_clone(there: Installed, unpacked: Path) -> None:
    stages = known_stages()
    ask = f"from cspine.fingerprint import *; print(PACKAGE, *[fingerprint(s, 'slice_cnn') for s in {stages}])"
    expected = [fingerprint(stage, "slice_cnn") for stage in stages]
    there_package, *in_wheel = there.run("-c", ask).split()
    assert Path(there_package).is_relative_to(there.python.parents[1]) and in_wheel == expected
    laid_out, *in_folder = there.run("-c", ask, PYTHONPATH=str(unpacked / "src")).split()
    assert Path(laid_out) == unpacked / "src/cspine" and in_folder == expected


@pytest.mark.workflow
def test_the_workflow_runs_in_what_is_unpacked(there: Installed, unpacked: Path) -> None:
    run = ("-m", "snakemake", "--cores", "2", "-n", "submission", "--configfile", "presets/smoke.yaml")
    printed = there.run(*run, cwd=unpacked)
    assert "write_submission" in printed and "Error" not in printed


def test_a_checkout_is_unpacked_too_and_only_into_an_empty_folder(
    workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("project").mkdir()
    number = Path("project").stat().st_ino
    assert main(["unpack", "project"]) == 0 and Path("project").stat().st_ino == number
    assert {path.name for path in Path("project").iterdir()} == PARTS
    before = content(workplace)
    assert main(["unpack", "project"]) == 1 and main(["unpack", "project/Snakefile"]) == 1
    assert "expected an empty folder" in capsys.readouterr().err and content(workplace) == before


def test_without_a_part_of_the_project_no_wheel_is_built(tmp_path: Path) -> None:
    project_files.lay_out(project_files.of_checkout(ROOT), tmp_path / "checkout")
    shutil.rmtree(tmp_path / "checkout/profiles")
    with pytest.raises(CspineError, match="found no profiles; expected the whole project"):
        build_wheel(tmp_path / "checkout", tmp_path / "dist")
    assert not (tmp_path / "dist").exists()


def test_an_editable_install_has_no_second_copy_of_the_project() -> None:
    files = [str(file) for file in metadata.files("cspine") or []]
    assert files and not [file for file in files if file.startswith("cspine/")]


def test_the_block_of_these_tests_holds(there: Installed) -> None:
    for call in ('create_connection(("192.0.2.1", 80), 1)', 'getaddrinfo("example.org", 80)'):
        assert BLOCKED in there.run("-c", f"import socket; socket.{call}", ok=False)
    there.run("-c", "import socket as s; a = s.create_server(('127.0.0.1', 0)); s.create_connection(a.getsockname())")


def test_make_wheel_calls_the_command(tmp_path: Path) -> None:
    lines = (ROOT / "Makefile").read_text(encoding="utf-8").splitlines()
    recipe = lines[lines.index(next(line for line in lines if line.startswith("wheel:"))) + 1]
    assert recipe == "\t$(BIN)/python -m cspine wheel"
    words = [sys.executable, "-m", "cspine", "wheel"]
    printed = subprocess.run(words, cwd=tmp_path, env=clean({}), check=True, capture_output=True, text=True).stdout
    assert printed.startswith("dist/cspine-0.1.0-py3-none-any.whl: ")
