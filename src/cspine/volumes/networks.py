"""The 3D networks of monai, by name, from a side of the cube and a list of channels."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from torch import nn

from cspine.errors import CspineError

if TYPE_CHECKING:
    from collections.abc import Sequence

LEAST_LEVELS = 2


def network_of(name: str, cube: int, channels: Sequence[int], dropout: float, outputs: int) -> nn.Module:
    """A network (n, 1, cube, cube, cube) -> logits (n, outputs, cube, cube, cube).

    Args:
        name: see NETWORKS.
        cube: side of what it reads.
        channels: of its levels, the finest first; each level has half the side of the one before.
        dropout: share of channels or values left out, as the network does it.
        outputs: classes.

    Raises:
        CspineError: no such network, or a side or channels that do not suit it.
    """
    if name not in NETWORKS:
        raise CspineError(f"network.name: no 3D network {name!r}; expected one of {', '.join(sorted(NETWORKS))}")
    if len(channels) < LEAST_LEVELS:
        raise CspineError(f"network.channels: found {list(channels)}; expected those of {LEAST_LEVELS} levels or more")
    halved = 2 ** (len(channels) - 1)
    if cube % halved:
        raise CspineError(
            f"network.cube: found {cube}; {len(channels)} levels of channels halve it {len(channels) - 1} times, "
            f"so a multiple of {halved} is expected"
        )
    try:
        return NETWORKS[name](channels, dropout, outputs)
    except (AssertionError, ValueError) as error:
        raise CspineError(f"network.channels: monai's {name} does not take {list(channels)}: {error}") from error


def _unet(channels: Sequence[int], dropout: float, outputs: int) -> nn.Module:
    """U-Net (Çiçek et al. 2016) with two residual units a level, normalised study by study."""
    from monai.networks.nets import UNet

    return UNet(
        spatial_dims=3,
        in_channels=1,
        out_channels=outputs,
        channels=list(channels),
        strides=[2] * (len(channels) - 1),
        num_res_units=2,
        norm="instance",
        dropout=dropout,
    )


def _segresnet(channels: Sequence[int], dropout: float, outputs: int) -> nn.Module:
    """SegResNet (Myronenko 2018); its channels double from level to level."""
    from monai.networks.nets import SegResNet

    doubled = [channels[0] * 2**level for level in range(len(channels))]
    if list(channels) != doubled:
        raise ValueError(f"its channels double from level to level, as {doubled}")
    return SegResNet(
        spatial_dims=3,
        init_filters=channels[0],
        in_channels=1,
        out_channels=outputs,
        dropout_prob=dropout or None,
        norm="instance",
        blocks_down=(1,) + (2,) * (len(channels) - 1),
        blocks_up=(1,) * (len(channels) - 1),
    )


def _dynunet(channels: Sequence[int], dropout: float, outputs: int) -> nn.Module:
    """The network of nnU-Net (Isensee et al. 2021), without deep supervision."""
    from monai.networks.nets import DynUNet

    levels = len(channels)
    return DynUNet(
        spatial_dims=3,
        in_channels=1,
        out_channels=outputs,
        kernel_size=[3] * levels,
        strides=[1] + [2] * (levels - 1),
        upsample_kernel_size=[2] * (levels - 1),
        filters=list(channels),
        dropout=dropout or None,
        norm_name="instance",
    )


NETWORKS: dict[str, Callable[[Sequence[int], float, int], nn.Module]] = {
    "unet": _unet,
    "segresnet": _segresnet,
    "dynunet": _dynunet,
}
