"""Weights & Biases, behind one module: disabled by default, never more than a warning when it fails.

The figures of a training also land in history.parquet, whether or not this is on. What is sent is the config and the
figures; ``tracking.images`` training slices too, when the config asks for them. No study id, no file name, no header.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import Any, Protocol

from cspine.progress import say

VARIABLE = "CSPINE_TRACKING"


class Tracker(Protocol):
    """What a training tells a tracker."""

    images: int  # how many example slices it wants to see

    def show(self, images: Sequence[Any]) -> None:
        """Examples of what is taught, uint8 (rows, columns) each."""

    def log(self, figures: dict[str, float], step: int) -> None:
        """Figures of one epoch."""

    def finish(self) -> None:
        """The training is over."""


class Silent:
    """The tracker of a run that is not tracked."""

    images = 0

    def show(self, images: Sequence[Any]) -> None:
        """Nothing."""

    def log(self, figures: dict[str, float], step: int) -> None:
        """Nothing."""

    def finish(self) -> None:
        """Nothing."""


class WeightsAndBiases:
    """A run at Weights & Biases; an error there is said once and then the training goes on without."""

    def __init__(self, mode: str, project: str, name: str, config: dict[str, Any], images: int = 0) -> None:
        self.images = images
        self.run: Any = None
        try:
            import wandb

            # neither the terminal, nor the machine, nor the repository: what is sent is the config and the figures
            settings = wandb.Settings(console="off", x_disable_meta=True, x_disable_stats=True, disable_code=True)
            options: Any = {"mode": mode, "project": project, "name": name, "config": config, "settings": settings}
            # the id is the key: a resumed training continues its curve
            self.run = wandb.init(id=name, resume="allow", **options)
        except Exception as error:
            say(f"tracking is off for this stage: {error}")

    def show(self, images: Sequence[Any]) -> None:
        """Send example slices, as pixels alone."""

        def send() -> None:
            import wandb

            self.run.log({"examples": [wandb.Image(image) for image in images]}, step=0)

        if images:
            self._guarded(send)

    def log(self, figures: dict[str, float], step: int) -> None:
        """Send the figures of one epoch."""
        self._guarded(lambda: self.run.log(figures, step=step))

    def finish(self) -> None:
        """Close the run."""
        self._guarded(lambda: self.run.finish())

    def _guarded(self, action: Any) -> None:
        if self.run is None:
            return
        try:
            action()
        except Exception as error:
            say(f"tracking is off from here on: {error}")
            self.run = None


def tracker(name: str, config: dict[str, Any]) -> Tracker:
    """The tracker the config's ``tracking`` block asks for; ``name`` is stable over the segments of a training."""
    block = json.loads(os.environ.get(VARIABLE, "{}"))
    mode = block.get("mode", "disabled")
    if mode == "disabled":
        return Silent()
    return WeightsAndBiases(mode, block.get("project", "cspine"), name, config, block.get("images", 0))
