"""What a Python lacks of what cspine needs, and the wheels that bring it.

What an image has stays, unless it is too old; of the rest only what is needed comes. packaging is
imported inside functions: stages that never get here need no such package.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Iterator
from email import message_from_bytes
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from cspine.errors import CspineError

if TYPE_CHECKING:
    from packaging.requirements import Requirement
    from packaging.version import Version

HELD = ("torch", "torchvision", "numpy")  # the image's own, built for its GPU: never replaced
STAND_INS = {  # the same modules under another name
    "opencv-python-headless": ("opencv-python", "opencv-contrib-python", "opencv-contrib-python-headless"),
}


def needed() -> list[str]:
    """The requirements of the installed cspine.

    Raises:
        CspineError: cspine is not installed, as in a checkout that is only on the path.
    """
    try:
        return metadata.requires("cspine") or []
    except metadata.PackageNotFoundError:
        raise CspineError(
            "found no installed cspine; expected the wheel of `make wheel`: pip install --no-deps"
        ) from None


def lacking(wanted: Iterable[str]) -> list[Requirement]:
    """Those of ``wanted`` that apply here and are not installed, or not in a version within the range.

    Args:
        wanted: requirements as in pyproject.toml: ``snakemake>=9.19``.
    """
    return [requirement for requirement in _applying(wanted) if not _there(requirement)]


def chosen(missing: Iterable[Requirement], wheels: Iterable[Path]) -> tuple[list[Path], list[str]]:
    """The wheels that bring what is missing, and in turn what they need, and the requirements that none of them meets.

    Of several wheels the newest in range counts; a wheel for other machines or another Python does not.
    """
    offered = _offered(wheels)
    taken: dict[str, Path] = {}
    unmet: dict[str, None] = {}
    todo = list(missing)
    while todo:
        requirement = todo.pop(0)
        name = _canonical(requirement.name)
        if _there(requirement) or name in taken:
            continue
        fitting = [(v, p) for v, p in offered.get(name, []) if requirement.specifier.contains(v, prereleases=True)]
        if name in HELD or not fitting:
            unmet[str(requirement)] = None
            continue
        taken[name] = max(fitting)[1]
        todo += [inner for inner in _applying(_requires(taken[name]), requirement.extras) if not _there(inner)]
    return list(taken.values()), list(unmet)


def held() -> list[str]:
    """What must stay, as constraints for pip: ``torch==2.6.0``."""
    there = {name: version for name in HELD if (version := _version(name))}
    return [f"{name}=={version}" for name, version in there.items()]


def _applying(wanted: Iterable[str], extras: Iterable[str] = ()) -> Iterator[Requirement]:
    """The requirements whose marker holds here; for an installed package also what its extras ask for."""
    from packaging.requirements import Requirement

    for requirement in map(Requirement, wanted):
        chosen_extras = extras or [""]
        if requirement.marker is None or any(requirement.marker.evaluate({"extra": e}) for e in chosen_extras):
            yield requirement
            if requirement.extras and _version(requirement.name):
                more = [text for text in metadata.requires(requirement.name) or [] if "extra ==" in text]
                yield from _applying(more, requirement.extras)


def name_of(requirement: str) -> str:
    """The canonical name of what a requirement asks for: ``jsonargparse`` of ``jsonargparse[signatures]>=4.49``."""
    from packaging.requirements import Requirement

    return _canonical(Requirement(requirement).name)


def version_of(name: str) -> str | None:
    """The installed version of a distribution, or of one that stands in for it; None without."""
    return next(iter(_versions(name)), None)


def _there(requirement: Requirement) -> bool:
    return any(requirement.specifier.contains(version, prereleases=True) for version in _versions(requirement.name))


def _versions(name: str) -> list[str]:
    names = (name, *STAND_INS.get(_canonical(name), ()))
    return [version for one in names if (version := _version(one))]


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _offered(wheels: Iterable[Path]) -> dict[str, list[tuple[Version, Path]]]:
    """(version, path) by canonical name of the wheels that can be installed here."""
    from packaging.tags import sys_tags
    from packaging.utils import InvalidWheelFilename, parse_wheel_filename

    here = frozenset(sys_tags())
    offered: dict[str, list[tuple[Version, Path]]] = {}
    for path in wheels:
        try:
            name, version, _, tags = parse_wheel_filename(path.name)
        except InvalidWheelFilename:
            continue
        if tags & here:
            offered.setdefault(name, []).append((version, path))
    return offered


def _requires(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [n for n in archive.namelist() if n.endswith(".dist-info/METADATA") and n.count("/") == 1]
        return message_from_bytes(archive.read(name)).get_all("Requires-Dist") or []


def _canonical(name: str) -> str:
    from packaging.utils import canonicalize_name

    return canonicalize_name(name)
