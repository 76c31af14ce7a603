"""Ways of computing a network on the CPU, side by side: slices a second, and how far each is from the present one.

*As it is* is what `cspine predict` does: eager, channels last, memory kept. Beside it: channels first; norms folded
into the convolutions before them; torch.compile (inductor; needs a C++ compiler), also with frozen weights, which folds
them too; bfloat16; and onnxruntime where it is installed (no dependency: `pip install onnx onnxruntime`). Everything in
turns in one process for each network and number of threads, in batches of 32. Networks are untrained: of trained ones
probabilities are off by other amounts. Rates are of the clock, ratios of CPU time, which a busy machine troubles less.
Takes a quarter of an hour, half of it for compiling. Nothing is judged.
"""

from __future__ import annotations

import argparse
import copy
import importlib
import importlib.util
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import torch
from measuring import ratios, shown
from random_bundles import PRESETS, settings, untrained
from timm.layers import BatchNormAct2d
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from cspine.allocator import keep_memory
from cspine.methods.slice_cnn import SliceNetwork
from cspine.slices_at_once import AT_ONCE

SLICES = {"test_efficientnet": 320, "tf_efficientnetv2_s": 32}
THREADS = (1, 2)
Logits = Callable[[Tensor], Tensor]


@dataclass
class Way:
    """A way of computing: slices (n, channels, pixels, pixels) -> logits, and what it took each time."""

    logits: Logits
    made_in: float  # seconds, the first batch included
    clock: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    def probabilities(self, slices: Tensor) -> Tensor:
        with torch.inference_mode():
            return torch.cat([torch.sigmoid(self.logits(part).float()) for part in slices.split(AT_ONCE)])

    def measure(self, slices: Tensor) -> None:
        clock, cpu = time.perf_counter(), time.process_time()
        self.probabilities(slices)
        self.clock.append(len(slices) / (time.perf_counter() - clock))
        self.cpu.append(len(slices) / (time.process_time() - cpu))


def ways(network: SliceNetwork) -> dict[str, Callable[[], Logits]]:
    """Name -> what makes it."""
    found: dict[str, Callable[[], Logits]] = {
        "as it is": lambda: network,
        "channels first": lambda: channels_first(network),
        "norms folded": lambda: folded(network),
        "torch.compile": lambda: torch.compile(copy.deepcopy(network)),
        "torch.compile, frozen": lambda: torch.compile(copy.deepcopy(network), options={"freezing": True}),
        "bfloat16": lambda: in_bfloat16(network),
        "bfloat16, norms folded": lambda: in_bfloat16(folded(network)),
    }
    if all(importlib.util.find_spec(name) for name in ("onnx", "onnxruntime")):
        found["onnxruntime"] = lambda: by_onnxruntime(network)
    else:
        print("  onnxruntime: not installed, not measured")
    return found


def channels_first(network: SliceNetwork) -> Logits:
    encoder = copy.deepcopy(network.encoder).to(memory_format=torch.contiguous_format)

    def logits(slices: Tensor) -> Tensor:
        return encoder.forward_head(encoder.forward_features((slices.float() / 255 - network.mean) / network.std))

    return logits


def folded(network: SliceNetwork) -> SliceNetwork:
    """A copy in which each batch norm is part of the convolution that stands before it."""
    network = copy.deepcopy(network)
    for module in list(network.encoder.modules()):
        children = list(module.named_children())
        for (name, convolution), (after, norm) in pairwise(children):
            if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                setattr(module, name, fuse_conv_bn_eval(convolution, norm))
                activation = [norm.drop, norm.act] if isinstance(norm, BatchNormAct2d) else []
                setattr(module, after, nn.Sequential(*activation))
    assert not any(isinstance(module, nn.BatchNorm2d) for module in network.modules())
    network.encoder.to(memory_format=torch.channels_last)
    return network


def in_bfloat16(network: SliceNetwork) -> Logits:
    def logits(slices: Tensor) -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return network(slices)

    return logits


def by_onnxruntime(network: SliceNetwork) -> Logits:
    onnxruntime: Any = importlib.import_module("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = torch.get_num_threads(), 1
    example = torch.zeros((AT_ONCE, *network.mean.shape[1:2], 64, 64), dtype=torch.uint8)
    with tempfile.TemporaryDirectory(prefix="cspine-benchmark-") as folder:
        path = Path(folder) / "network.onnx"
        sizes = {"slices": {0: "n", 2: "rows", 3: "columns"}}
        torch.onnx.export(network, (example,), path, input_names=["slices"], dynamic_axes=sizes, dynamo=False)
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def logits(slices: Tensor) -> Tensor:
        return torch.from_numpy(session.run(None, {"slices": slices.numpy()})[0])

    return logits


def made(make: Callable[[], Logits], slices: Tensor) -> Way:
    begun = time.perf_counter()
    way = Way(make(), 0.0)
    way.probabilities(slices[:AT_ONCE])
    way.made_in = time.perf_counter() - begun
    return way


def compare(name: str, threads: int, repeats: int) -> None:
    """Measure and print every way for one network."""
    torch.set_num_threads(threads)
    keep_memory()
    network, (_, view, _) = untrained(name), settings(name)
    side = view["pixels"]
    slices = torch.randint(0, 256, (SLICES[name], network.mean.shape[1], side, side), dtype=torch.uint8)
    print(f"\n{name}, {side} pixels, threads: {threads}; slices/s, and by CPU time how many times as fast", flush=True)
    found = {way: made(make, slices) for way, make in ways(network).items()}
    for _ in range(repeats):
        for way in found.values():
            way.measure(slices)
    plain = found["as it is"]
    right = plain.probabilities(slices)
    for what, one in found.items():
        times = shown(ratios(one.cpu, plain.cpu))
        off = (one.probabilities(slices) - right).abs().max().item()
        ready = f"ready in {one.made_in:.0f} s" if one.made_in > 10 * AT_ONCE / statistics.median(one.clock) + 1 else ""
        print(f"  {what:<28} {shown(one.clock, 1):<28} {times:<22} off by {off:.0e} {ready}".rstrip(), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--here", nargs=2, metavar=("NETWORK", "THREADS"), help="one network in this process")
    given = parser.parse_args()
    if given.here:
        compare(given.here[0], int(given.here[1]), given.repeats)
        return
    command = [sys.executable, "-W", "ignore", __file__, "--repeats", str(given.repeats)]
    environment = {"OMP_WAIT_POLICY": "PASSIVE", **os.environ}  # as `cspine predict` sets it
    for name, threads in product(PRESETS, THREADS):  # an interpreter each: what is compiled knows its threads
        with tempfile.TemporaryDirectory(prefix="cspine-benchmark-") as compiled:
            environment["TORCHINDUCTOR_CACHE_DIR"] = compiled
            subprocess.run([*command, "--here", name, str(threads)], check=True, env=environment)


if __name__ == "__main__":
    main()
