"""Lists: one small file that stands for many in a command, as the shards of a view do.

To Snakemake the list is one input of a job and not one for each shard: with 64 shards, three of four inputs of a whole
run were shards, matched with their rules one by one. To a stage, its key and its record the list is the files it names.
Standard library only.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from cspine.errors import CspineError
from cspine.signature import Signature

SUFFIX = ".list"


def written(paths: list[Path]) -> str:
    """The content of a list beside the files that it names."""
    return "".join(f"{path.name}\n" for path in paths)


def named_by(place: Path) -> list[Path]:
    """The files that the list at ``place`` names, which lie beside it; its lines hold no folder.

    Raises:
        CspineError: there is no such list.
    """
    try:
        return [place.parent / line for line in place.read_text(encoding="utf-8").splitlines()]
    except OSError as error:
        raise CspineError(
            f"{place}: {error.strerror}; expected a list of the files beside it: make it with `snakemake {place}`"
        ) from error


def gone(place: Path) -> Path | None:
    """The first file that the list at ``place`` names and that is not there."""
    return next((file for file in named_by(place) if not file.exists()), None)


def expanded(signature: Signature, values: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """Values by parameter, with the files instead of the lists that are inputs.

    Raises:
        CspineError: a list, or a file that it names, is not there.
    """
    many = {parameter.name for parameter in signature.of_kind("InPath") if parameter.many}
    return {
        name: [path for value in given for path in _files(value)] if name in many else given
        for name, given in values.items()
    }


def _files(value: str) -> list[str]:
    if not value.endswith(SUFFIX):
        return [value]
    if missing := gone(Path(value)):
        raise CspineError(f"{missing}: not there, though {value} names it; remove the list and run the command again")
    return [str(file) for file in named_by(Path(value))]
