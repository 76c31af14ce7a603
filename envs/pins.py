"""Keep the exact versions in step: the pins in pyproject.toml, the conda environments, the table of licences.

    .venv/bin/python envs/pins.py --check      does everything agree? No network; part of `make lint`
    .venv/bin/python envs/pins.py --write      write envs/*.yaml and docs/licences.md from the pins
    .venv/bin/python envs/pins.py --upgrade    pin the newest versions that pyproject.toml's ranges allow

After --upgrade: `make test test-lowest`, then --write. What depends on what is read from the installed packages,
so this runs in the project's own environment, made by `make` or `uv sync`.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from licences import licences_page

ROOT = Path(__file__).resolve().parent.parent
PYTHON = "3.11"  # of the conda environments: the oldest supported one, so that all of them share one closure
LINUX = {
    "sys_platform": "linux",
    "platform_system": "Linux",
    "platform_machine": "x86_64",
    "os_name": "posix",
}
MACOS = {
    "sys_platform": "darwin",
    "platform_system": "Darwin",
    "platform_machine": "arm64",
    "os_name": "posix",
}
# snakemake starts these environments and is not in them; the tables' stages need no network library
WORKFLOW = {"snakemake", "pygments", "rich"}
BY_TORCHIO = {"pygments", "rich"}  # torchio needs rich, which needs pygments
TRAINING = {"torch", "torchio", "torchvision", "timm", "monai", "albumentations", "wandb"}
ENVIRONMENTS = {
    "tables": ("stages that read studies and tables: no torch", WORKFLOW | TRAINING),
    "torch": ("stages that train or predict, and what reads CT through torchio", WORKFLOW - BY_TORCHIO),
}
BUILD_TOOLS = [
    "hatchling",
    "editables",
    "setuptools",
    "wheel",
]  # the last two: connection-pool comes as source


def read_project(path: Path = ROOT / "pyproject.toml") -> dict[str, Any]:
    """pyproject.toml as plain values."""
    return tomllib.loads(path.read_text(encoding="utf-8"))


def pins_of(project: Mapping[str, Any], key: str = "constraint-dependencies") -> dict[str, str]:
    """{canonical name: version} of one list of pins; a pin that is not `name==version` is an error."""
    pins = {}
    for line in project["tool"]["uv"][key]:
        match = re.fullmatch(r"([a-z0-9-]+)==([0-9][0-9a-z.+]*)", line)
        if match is None:
            raise ValueError(f"pyproject.toml, tool.uv.{key}: {line!r} is not an exact version, write name==1.2.3")
        pins[match[1]] = match[2]
    return pins


def dependencies_of(project: Mapping[str, Any], group: str | None = None) -> list[str]:
    """The requirements of the project, or of one dependency group with the groups it includes."""
    if group is None:
        return list(project["project"]["dependencies"])
    found: list[str] = []
    for entry in project["dependency-groups"][group]:
        found += [entry] if isinstance(entry, str) else dependencies_of(project, entry["include-group"])
    return found


def closure(requirements: Iterable[str], platform: Mapping[str, str]) -> set[str]:
    """Canonical names of everything the requirements need on ``platform``, as the installed packages say it."""
    where = {**platform, "python_version": PYTHON, "python_full_version": f"{PYTHON}.0"}
    found: set[str] = set()
    seen: set[tuple[str, str]] = set()
    todo = [Requirement(text) for text in requirements]
    while todo:
        requirement = todo.pop()
        name = canonicalize_name(requirement.name)
        found.add(name)
        for extra in {"", *requirement.extras}:
            if (name, extra) in seen:
                continue
            seen.add((name, extra))
            wanted = map(Requirement, _requires(name))
            todo += [r for r in wanted if not r.marker or r.marker.evaluate({**where, "extra": extra})]
    return found


def _requires(name: str) -> list[str]:
    try:
        return metadata.requires(name) or []
    except metadata.PackageNotFoundError:
        return []  # of another platform or Python version: pinned all the same, its own needs are in the pins too


def environment_file(name: str, project: Mapping[str, Any]) -> str:
    """The text of envs/{name}.yaml: one Python, and every package of its closure at the pinned version."""
    purpose, without = ENVIRONMENTS[name]
    pins = pins_of(project)
    wanted = [r for r in dependencies_of(project) if canonicalize_name(Requirement(r).name) not in without]
    everywhere = closure(wanted, MACOS)
    lines = []
    for package in sorted(closure(wanted, LINUX) | everywhere):
        marker = "" if package in everywhere else " ; sys_platform == 'linux'"
        lines.append(f'      - "{package}=={pins[package]}{marker}"\n')
    return (
        f"# For `snakemake --sdm conda`: {purpose}.\n"
        "# Made by `python envs/pins.py --write` from the pins in pyproject.toml; edit those instead.\n"
        f"channels:\n  - conda-forge\n  - nodefaults\ndependencies:\n  - python={PYTHON}\n  - pip\n  - pip:\n"
    ) + "".join(lines)


def expected_files() -> dict[Path, str]:
    """What --write writes and --check compares: {path: text}."""
    project = read_project()
    files = {ROOT / "envs" / f"{name}.yaml": environment_file(name, project) for name in ENVIRONMENTS}
    runtime = closure(dependencies_of(project) + dependencies_of(project, "slurm"), LINUX)
    files[ROOT / "docs" / "licences.md"] = licences_page(runtime, pins_of(project))
    return files


def complaints() -> list[str]:
    """What does not agree, one sentence each; empty when all is well."""
    project = read_project()
    pins = pins_of(project)
    wanted = dependencies_of(project) + dependencies_of(project, "dev")
    needed = closure(wanted, LINUX) | closure(wanted, MACOS)
    found = [f"{name} is needed but has no pin in pyproject.toml" for name in sorted(needed - pins.keys())]
    found += [f"{name} is pinned in pyproject.toml but nothing needs it" for name in sorted(pins.keys() - needed)]
    if found:
        return [*found, "pin by hand, or run `python envs/pins.py --upgrade`"]
    for path, text in expected_files().items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            found.append(f"{path.relative_to(ROOT)} is not what the pins give: run `python envs/pins.py --write`")
    return found


def upgrade() -> None:
    """Ask uv for the newest versions that the ranges allow on every platform and write them into pyproject.toml."""
    path = ROOT / "pyproject.toml"
    text = path.read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder:
        bare = Path(folder) / "pyproject.toml"
        bare.write_text(_with_pins(_with_pins(text, "constraint", []), "build-constraint", []), encoding="utf-8")
        pins = _resolve([str(bare), "--group", f"{bare}:dev"], folder)
        tools = Path(folder) / "tools.in"
        tools.write_text("\n".join(BUILD_TOOLS), encoding="utf-8")
        build = _resolve([str(tools)], folder)
    path.write_text(_with_pins(_with_pins(text, "constraint", pins), "build-constraint", build), encoding="utf-8")
    print("pyproject.toml: pins written; now `make test test-lowest` and `python envs/pins.py --write`")


def _resolve(sources: list[str], folder: str) -> list[str]:
    options = [
        "--universal",
        "--fork-strategy",
        "fewest",
        "--python-version",
        PYTHON,
        "--no-header",
        "--no-annotate",
        "--quiet",
    ]
    command = ["uv", "pip", "compile", *sources, *options]
    listed = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout
    pins = [line.split(";")[0].strip() for line in listed.splitlines()]
    if len({pin.split("==")[0] for pin in pins}) != len(pins):
        raise SystemExit("some package resolves to two versions on two platforms: narrow its range in pyproject.toml")
    return sorted(pins)


def _with_pins(text: str, kind: str, pins: list[str]) -> str:
    block = "".join(f'    "{pin}",\n' for pin in pins)
    pattern = rf"(?m)^({kind}-dependencies = \[\n)[^\]]*\]"
    return re.sub(pattern, lambda match: f"{match[1]}{block}]", text)


def main(arguments: list[str]) -> int:
    """Run one of --check, --write, --upgrade; returns the exit status."""
    if arguments == ["--upgrade"]:
        upgrade()
    elif arguments == ["--write"]:
        for path, text in expected_files().items():
            path.write_text(text, encoding="utf-8")
    elif arguments == ["--check"]:
        found = complaints()
        print("\n".join(found) if found else "pins: pyproject.toml, envs/ and docs/licences.md agree")
        return 1 if found else 0
    else:
        print(__doc__)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
