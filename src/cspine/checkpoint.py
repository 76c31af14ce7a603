"""The checkpoints of a running training. Nothing but tensors and plain values is unpickled (``weights_only``)."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import torch

from cspine.errors import CspineError
from cspine.progress import say
from cspine.writing import write_whole

KEPT = 2


class Checkpoints:
    """The checkpoints of one training in one folder: written whole or not at all, the last two kept.

    Args:
        folder: made if it is not there.
        description: what each of them says about itself, so that another training can start from it.
    """

    def __init__(self, folder: Path, description: dict[str, Any] | None = None) -> None:
        self.folder, self.description = folder, description or {}
        folder.mkdir(parents=True, exist_ok=True)

    def save(self, state: dict[str, Any], step: int) -> None:
        """Save ``state`` (tensors, numbers, texts, lists, dicts) as the checkpoint of ``step``."""
        stream = io.BytesIO()
        torch.save({"description": self.description, **state}, stream)
        path = self.folder / f"step-{step:08d}.pt"
        write_whole(path, stream.getbuffer(), "checkpoint")
        paths = self._paths()
        place = paths.index(path)
        # those of later steps could not be read, or this training would have gone on from them
        for other in [*paths[: max(place + 1 - KEPT, 0)], *paths[place + 1 :]]:
            other.unlink()

    def latest(self) -> dict[str, Any] | None:
        """The newest readable checkpoint, or None; an unreadable one is named and the one before it is taken."""
        for path in reversed(self._paths()):
            try:
                return _loaded(path)
            except Exception as error:  # a torn file raises many kinds
                say(f"checkpoint {path.name} cannot be read ({type(error).__name__}); the one before it is used")
        if self.begun():
            say("no checkpoint can be read; the training begins anew")
        return None

    def begun(self) -> bool:
        """Whether a checkpoint was saved before."""
        return bool(self._paths())

    def remember(self, name: str, value: int) -> None:
        """Keep a number that is decided once and then holds for the whole training."""
        write_whole(self.folder / f"{name}.json", json.dumps(value).encode())

    def remembered(self, name: str) -> int | None:
        """The number of that name, or None."""
        path = self.folder / f"{name}.json"
        return int(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else None

    def _paths(self) -> list[Path]:
        return sorted(self.folder.glob("step-*.pt"))


def read_checkpoint(path: Path) -> dict[str, Any]:
    """A checkpoint named by a person.

    Raises:
        CspineError: the file cannot be read, or is no checkpoint of cspine.
    """
    try:
        state = _loaded(path)
    except Exception as error:
        raise CspineError(
            f"{path} cannot be read as a checkpoint ({type(error).__name__}); expected a step-*.pt of a training's "
            "scratch folder: tensors and plain values only"
        ) from error
    if not isinstance(state, dict) or not {"network", "description", "progress"} <= state.keys():
        raise CspineError(f"{path} is not a checkpoint of cspine: it holds no network with a description")
    return state


def _loaded(path: Path) -> Any:
    return torch.load(path, map_location="cpu", weights_only=True)
