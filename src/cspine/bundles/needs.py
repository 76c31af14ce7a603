"""The libraries that predicting imports (a test compares them with its code), and which of them are here."""

from __future__ import annotations

from collections.abc import Iterable

from cspine import equipment

#: distribution -> what it is imported as
NEEDED = {
    "imagecodecs": "imagecodecs",
    "jinja2": "jinja2",
    "matplotlib": "matplotlib",
    "numpy": "numpy",
    "opencv-python-headless": "cv2",
    "pandas": "pandas",
    "pillow": "PIL",
    "pyarrow": "pyarrow",
    "pydicom": "pydicom",
    "python-gdcm": "gdcm",
    "safetensors": "safetensors",
    "scipy": "scipy",
    "timm": "timm",
    "torch": "torch",
    "torchvision": "torchvision",
}


def needed_of(dependencies: Iterable[str]) -> list[str]:
    """Of a project's requirement lines those that predicting needs."""
    return [line for line in dependencies if equipment.name_of(line) in NEEDED]


def versions() -> dict[str, str]:
    """Of everything that predicting needs, as it is installed here."""
    found = {name: equipment.version_of(name) for name in sorted(NEEDED)}
    return {name: version for name, version in found.items() if version is not None}


def departures(requirements: Iterable[str]) -> list[str]:
    """What is not here, or in a version outside of its range, in words: ``pandas>=2.2: found 2.1.4``."""
    return [f"{one}: found {equipment.version_of(one.name) or 'none'}" for one in equipment.lacking(requirements)]
