"""bundle.json: what a bundle holds. It is read, compared with its files, and refused here."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from cspine.amounts import counted
from cspine.bundles.layout import MANIFEST
from cspine.bundles.points import Point
from cspine.cache.encodings import Encoding
from cspine.errors import CspineError
from cspine.hashing import digest_of, file_digest
from cspine.metric import Floats
from cspine.predictions import Choice, choice_of
from cspine.studies import LABELS
from cspine.views.study_rows import Form
from cspine.views.windows import Window

FORMAT = 1  #: of the manifest and the layout
COMES_FROM = "get it anew from where it came from, or make it again: snakemake --cores 4 bundle"


@dataclass(frozen=True)
class Bundle:
    """A bundle whose files are what its manifest says; the properties are the manifest's entries, typed."""

    folder: Path
    manifest: dict[str, Any]

    @property
    def id(self) -> str:
        """12 hex digits that name the bundle's content."""
        return str(self.manifest["id"])

    @property
    def family(self) -> str:
        """Of its models; see cspine.methods.registry."""
        return str(self.manifest["family"])

    @property
    def models(self) -> list[Path]:
        """The weights of each fold's model."""
        return [self.folder / model["file"] for model in self.manifest["models"]]

    @cached_property
    def choices(self) -> list[Choice]:
        """How each model's slices become a study."""
        return [choice_of(model["aggregation"]) for model in self.manifest["models"]]

    @property
    def form(self) -> Form:
        """How a slice is shown to the networks."""
        view = self.manifest["view"]
        encoding = Encoding(view["pixels"], view["codec"])
        window = Window(view["window_center"], view["window_width"])
        return Form(window, encoding.pixels, view["centre"], encoding.codec)

    @property
    def prior(self) -> Floats:
        """What a study that cannot be read is given, (8,) in the order of LABELS."""
        return np.array([self.manifest["prior"][label] for label in LABELS])

    @property
    def points(self) -> dict[str, Point]:
        """From where on a ``patient`` and a ``vertebra`` are called suspicious."""
        return {kind: Point(**values) for kind, values in self.manifest["points"].items()}

    def name(self) -> str:
        """The bundle in words, with what its results may claim."""
        trained = "a PHANTOM (synthetic: says nothing about patients)" if self.manifest["phantom"] else "CT"
        size = f", size {self.manifest['size']}: shows that it runs" if self.manifest["size"] != "study" else ""
        models = counted(len(self.manifest["models"]), "model")
        return f"bundle {self.id}: {self.manifest['method']}, {models}, taught by {trained}{size}"

    def warning(self) -> str:
        """What stands under every picture."""
        phantom = "; taught by a PHANTOM: says nothing about patients" if self.manifest["phantom"] else ""
        return f"not a medical device{phantom}"


def write_manifest(path: Path, content: dict[str, Any], files: dict[str, Path]) -> dict[str, Any]:
    """Write ``content`` with the digests of ``files`` (name in the bundle -> where it lies now) as a bundle.json."""
    listed = {name: {"sha256": file_digest(file), "bytes": file.stat().st_size} for name, file in sorted(files.items())}
    manifest = {"format": FORMAT, **content, "files": listed}
    manifest = {"id": id_of(manifest), **manifest}
    path.write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
    return manifest


def read_bundle(folder: Path) -> Bundle:
    """The bundle in ``folder``, every file compared with its digest.

    Raises:
        CspineError: there is none, it is of another format, or a file is missing or not what it was; named.
    """
    path = folder / MANIFEST
    if not path.is_file():
        near = sorted(folder.glob(f"*/{MANIFEST}")) if folder.is_dir() else []
        hint = f"there is one in {near[0].parent}" if near else "`snakemake --cores 4 bundle` makes results/bundle"
        raise CspineError(f"--bundle {folder}: expected a bundle, found no {MANIFEST} there; {hint}")
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        kind, files = manifest["format"], manifest["files"]
    except (ValueError, KeyError, TypeError) as error:
        raise CspineError(f"{path} is torn or no bundle's ({error}); {COMES_FROM}") from None
    if kind != FORMAT:
        raise CspineError(f"{path}: found format {kind}, this cspine reads {FORMAT}; use the wheel beside it")
    if manifest.get("id") != id_of(manifest):
        raise CspineError(f"{path} was altered since the bundle was made; {COMES_FROM}")
    _compare(folder, files)
    return Bundle(folder, manifest)


def _compare(folder: Path, files: dict[str, dict[str, Any]]) -> None:
    for name, entry in files.items():
        path = folder / _inside(folder, name)
        if not path.is_file():
            raise CspineError(f"{path} is missing from the bundle; {COMES_FROM}")
        if path.stat().st_size != entry["bytes"] or file_digest(path) != entry["sha256"]:
            raise CspineError(f"{path} was altered since the bundle was made; {COMES_FROM}")


def _inside(folder: Path, name: str) -> str:
    place = PurePosixPath(name)
    if place.is_absolute() or ".." in place.parts:
        raise CspineError(f"{folder / MANIFEST} names a file outside of the bundle: {name}; {COMES_FROM}")
    return name


def id_of(manifest: dict[str, Any]) -> str:
    """12 hex digits of everything else in the manifest, and so of all files' digests."""
    return digest_of({key: value for key, value in manifest.items() if key != "id"})[:12]
