"""Which numbers a network computes with: float32, or a half of it where the device is faster that way."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal

import torch

Wanted = Literal["auto", "fp32", "bf16", "fp16"]
HALVES = {"bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Precision:
    """The numbers of one training or prediction on one device."""

    name: str  # fp32 | bf16 | fp16
    device_type: str  # cpu | cuda

    def autocast(self) -> AbstractContextManager[None]:
        """Within, convolutions and products run in this precision; weights, sums and losses stay float32."""
        return torch.autocast(self.device_type, dtype=HALVES.get(self.name), enabled=self.name in HALVES)

    def scaler(self) -> torch.amp.GradScaler:
        """What keeps small gradients of fp16 from vanishing; does nothing for the other two."""
        return torch.amp.GradScaler(self.device_type, enabled=self.name == "fp16")


def precision_of(device: torch.device, wanted: Wanted) -> Precision:
    """``auto`` is fp32 on a CPU, bf16 on a GPU that has it, else fp16."""
    if wanted != "auto":
        return Precision(wanted, device.type)
    if device.type != "cuda":
        return Precision("fp32", device.type)
    # not torch.cuda.is_bf16_supported(), which by default is also true of cards that only emulate it, slowly
    has_bf16 = torch.version.hip is not None or torch.cuda.get_device_capability(device) >= (8, 0)
    return Precision("bf16" if has_bf16 else "fp16", device.type)
