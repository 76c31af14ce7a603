"""One set of exact versions: the pins in pyproject.toml, what is installed, the conda environments, the licences."""

from __future__ import annotations

import ast
import os
import re
import sys
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import licences
import pins

ROOT = Path(__file__).resolve().parent.parent
PROJECT = pins.read_project()
PINS = pins.pins_of(PROJECT)
BUILD_PINS = pins.pins_of(PROJECT, "build-constraint-dependencies")
EVERYTHING = pins.dependencies_of(PROJECT) + pins.dependencies_of(PROJECT, "dev")
OF_THE_PERSON = {"pip", "cspine"}  # pip comes with the person's Python and installs nothing but uv

NOT_IMPORTED = {
    "pygments": "what `snakemake --report` imports",
    "python-gdcm": "pydicom decodes compressed pixels with it",
    "scikit-image": "for masks and crops",
    "snakemake": "the workflow itself",
}

pinned_environment = pytest.mark.skipif(
    Path(sys.prefix) != ROOT / ".venv" or "CSPINE_LOWEST" in os.environ,
    reason="made otherwise than by `make` or `uv sync`: its versions are its own",
)


def installed() -> dict[str, str]:
    return {canonicalize_name(package.name): package.version for package in metadata.distributions()}


def imported(folder: str) -> set[str]:
    """The packages that the Python files of a folder import, imports inside functions included."""
    modules: set[str] = set()
    for path in (ROOT / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                modules |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                modules.add(node.module.split(".")[0])
    packages = metadata.packages_distributions()
    names: set[str] = {canonicalize_name(packages[module][0]) for module in modules & packages.keys()}
    return names - {"cspine"}


def declared(group: str | None = None) -> set[str]:
    return {canonicalize_name(Requirement(line).name) for line in pins.dependencies_of(PROJECT, group)}


def test_the_code_imports_what_is_declared_and_no_more() -> None:
    assert imported("src") - declared() == set(), "imported in src/, but no dependency in pyproject.toml"
    assert declared() - imported("src") <= NOT_IMPORTED.keys(), "a dependency that nothing in src/ imports"


def test_the_tests_import_what_is_declared() -> None:
    # both come with nbclient, whose arguments they are
    assert imported("tests") - declared() - declared("dev") == {"jupyter-client", "nbformat"}


def test_every_dependency_is_pinned_within_its_range() -> None:
    for requirement in map(Requirement, EVERYTHING):
        name = canonicalize_name(requirement.name)
        assert name in PINS, f"{name} has no pin in pyproject.toml, tool.uv.constraint-dependencies"
        assert requirement.specifier.contains(PINS[name], prereleases=True), f"{requirement}: pinned at {PINS[name]}"


@pytest.mark.parametrize("loose", ["numpy>=2.4", "numpy==2.*", "numpy", "numpy==2.4 ; python_version < '3.12'"])
def test_a_pin_that_is_not_exact_is_refused(loose: str) -> None:
    project = {"tool": {"uv": {"constraint-dependencies": [loose]}}}
    with pytest.raises(ValueError, match="not an exact version"):
        pins.pins_of(project)


def test_the_workflow_and_the_range_name_the_same_oldest_snakemake() -> None:
    floor = re.search(r'min_version\("([0-9.]+)"\)', (ROOT / "Snakefile").read_text(encoding="utf-8"))
    assert floor is not None
    assert f"snakemake>={floor[1]}" in pins.dependencies_of(PROJECT)


def test_pins_are_sorted_and_named_once() -> None:
    for key in ("constraint-dependencies", "build-constraint-dependencies"):
        listed = PROJECT["tool"]["uv"][key]
        assert listed == sorted(set(listed))
        assert len(listed) == len(pins.pins_of(PROJECT, key))


def test_the_build_backend_is_pinned_once() -> None:
    assert PROJECT["build-system"]["requires"] == [f"hatchling=={BUILD_PINS['hatchling']}"]


@pytest.mark.parametrize(
    "name", ["pyproject.toml", "Makefile", ".ci/run", *(f"envs/{n}.yaml" for n in pins.ENVIRONMENTS)]
)
def test_no_package_host_is_written_down(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    assert not re.search(r"\w://|index-url|find-links|extra-index|\bpypi\b", text, re.IGNORECASE)


def test_no_lock_file_is_kept() -> None:
    # a lock file names the package host of the machine that made it; the pins are in pyproject.toml instead
    assert "uv.lock" in (ROOT / ".gitignore").read_text(encoding="utf-8").split()
    assert not (ROOT / "uv.toml").exists()


@pytest.mark.parametrize("name", pins.ENVIRONMENTS)
def test_a_conda_environment_holds_the_pinned_versions(name: str) -> None:
    environment = yaml.safe_load((ROOT / "envs" / f"{name}.yaml").read_text(encoding="utf-8"))
    assert environment["channels"] == ["conda-forge", "nodefaults"]
    packages = {
        Requirement(line).name: str(Requirement(line).specifier) for line in environment["dependencies"][-1]["pip"]
    }
    assert packages == {package: f"=={PINS[package]}" for package in packages}
    without = pins.ENVIRONMENTS[name][1]
    assert declared() - packages.keys() == without


def test_only_the_training_environment_has_torch() -> None:
    with_torch = {name for name in pins.ENVIRONMENTS if "torch==" in (ROOT / "envs" / f"{name}.yaml").read_text()}
    assert with_torch == {"torch"}


@pinned_environment
def test_what_is_installed_is_what_is_pinned() -> None:
    versions = {name: version for name, version in installed().items() if name not in OF_THE_PERSON}
    assert versions == {name: PINS.get(name) for name in versions}
    needed = pins.closure(EVERYTHING, pins.MACOS if sys.platform == "darwin" else pins.LINUX)
    assert needed <= versions.keys()


@pinned_environment
@pytest.mark.skipif(sys.platform != "linux", reason="the page lists the Linux packages")
def test_the_pins_are_the_closure_and_the_made_files_follow_them() -> None:
    assert pins.complaints() == []


@pinned_environment
def test_nothing_needed_at_run_time_is_under_the_gpl() -> None:
    runtime = pins.closure(pins.dependencies_of(PROJECT), pins.LINUX) & installed().keys()
    named = {name: licences.licence_of(name) for name in runtime}
    assert not {name: licence for name, licence in named.items() if "GPL" in licence or licence == "unknown"}
    assert "pylibjpeg-libjpeg" not in PINS  # GPL-3.0: pydicom would use it for JPEG were it there
