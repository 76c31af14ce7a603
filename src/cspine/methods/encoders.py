"""Networks of timm as parts of ours: by name, with weights from timm or a file, and with the norm of grey pixels."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any

import timm
import torch
from torch import Tensor, nn

from cspine.errors import CspineError

COLOURS = 3  # of the pictures that published weights have learnt from


def encoder_of(name: str, weights: str, file: Path | None, **options: Any) -> Any:
    """A network of timm, channels last.

    Args:
        name: of timm.
        weights: none | hub (what timm publishes for the name) | file; for messages when ``file`` is given.
        file: local weights to load instead; a final layer of another number of classes is left out.
        options: of ``timm.create_model``: num_classes, in_chans, drop_rate ...

    Raises:
        CspineError: unknown network (answered with near names) or weights that do not fit.
    """
    if name not in timm.list_models():
        near = difflib.get_close_matches(name, timm.list_models(), n=5, cutoff=0.4)
        raise CspineError(f"network.name: timm has no network {name!r}; near it: {', '.join(near) or 'none'}")
    if file is not None:
        options["pretrained_cfg_overlay"] = {"file": str(file)}
    try:
        encoder = timm.create_model(name, pretrained=weights == "hub" or file is not None, **options)
    except Exception as error:
        raise CspineError(f"network.weights: {str(file or weights)!r} cannot be loaded into {name}: {error}") from error
    return encoder.to(memory_format=torch.channels_last)


def features_of(encoder: Any, name: str, channels: int, pixels: int) -> tuple[int, int, int]:
    """Channels, rows and columns of what the encoder makes of an image, before pooling.

    Raises:
        CspineError: the image is too small for it.
    """
    encoder.eval()  # nothing is learnt from an empty image
    try:
        with torch.no_grad():
            shape = encoder.forward_features(torch.zeros(1, channels, pixels, pixels)).shape
    except RuntimeError as error:
        raise CspineError(
            f"network.pixels: found {pixels}, which {name} cannot read; expected more, most networks need 32: {error}"
        ) from error
    encoder.train()
    return int(shape[1]), int(shape[2]), int(shape[3])


def norm_of(encoder: nn.Module, channels: int, stacked: bool) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation (1, channels, 1, 1) of pixels in 0..1, as the encoder's weights expect them.

    Args:
        channels: that it reads.
        stacked: they are slices of their own, each with the mean of the colours' norms; else one slice, three times.
    """
    pretrained = getattr(encoder, "pretrained_cfg", {})
    found = []
    for name in ("mean", "std"):
        values = torch.tensor(pretrained.get(name, (0.5,) * COLOURS), dtype=torch.float32)
        if stacked:
            values = values.mean().expand(channels).clone()
        found.append(values.view(1, -1, 1, 1))
    return found[0], found[1]
