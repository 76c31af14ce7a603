"""One GPU: images a second of training and predicting, beside the same step on data already there and a plain loop.

    python benchmarks/one_gpu.py [--pixels 256,384] [--batch 128] [--steps 40] [--workers 15] [--limit 280]

EfficientNetV2-S with random weights, all of it taught, three channels, the source's six augmentations. Rows, for each
size: the step on one batch that is on the device already, which is what 100 % means; a plain loop of timm, a standard
DataLoader and albumentations; this project's loop (``training.fit``) with augmentation on the CPU, on the device, with
the pixels held there, and compiled. Then predicting, likewise. GB is the most that torch held. A row that would begin
after ``--limit`` seconds is left out by name, as is one whose library is not installed. Without a GPU it is a miniature
on the CPU, which shows that it runs and says nothing of a GPU. Slices are noise in the shape of a neck.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from contextlib import redirect_stderr
from pathlib import Path

import measuring  # noqa: F401  the tests' modules can be imported
import timm
import torch
from noisy_slices import write_cache
from one_gpu_ways import (
    SLICES,
    STUDIES,
    Bench,
    already_there,
    our_loop,
    our_prediction,
    plain_loop,
    plain_prediction,
    predicted_there,
)

from cspine.devices import device_of
from cspine.methods import slice_cnn
from cspine.precision import Precision

Ways = dict[str, Callable[[Bench], float]]
#: the first way of each is what the others are held against
NOT_COMPILED: dict[str, Ways] = {
    "training": {
        "step on data that is there": already_there,
        "plain timm loop, standard DataLoader": plain_loop,
        "ours, augmented on the CPU": lambda bench: our_loop(bench, "cpu"),
        "ours, augmented on the device": lambda bench: our_loop(bench, "device"),
        "ours, pixels on the device": lambda bench: our_loop(bench, "device", "device"),
    },
    "predicting": {
        "network on data that is there": predicted_there,
        "plain timm loop, standard DataLoader": plain_prediction,
        "ours, one slice at a time": lambda bench: our_prediction(bench, "ram"),
        "ours, one study at a time": lambda bench: our_prediction(bench, "device"),
    },
}
COMPILED: dict[str, Ways] = {
    "training, compiled": {
        "step on data that is there": lambda bench: already_there(bench, compiled=True),
        "ours, pixels on the device": lambda bench: our_loop(bench, "device", "device", compiled=True),
    }
}


def rows_of(bench: Bench, kinds: dict[str, Ways], ends: float) -> None:
    """Measure and print one size."""
    for name, ways in kinds.items():
        print(f"\n{name:<40} images/s   % of it there      GB", flush=True)
        there = float("nan")
        for way, measure in ways.items():
            if time.monotonic() > ends:
                print(f"  {way:<38} left out: no time (--limit)", flush=True)
                continue
            rate, memory, why_not = _measured(measure, bench)
            there = rate if "that is there" in way else there
            print(f"  {way:<38} {rate:8.0f} {100 * rate / there:14.1f} {memory:9.2f}  {why_not}".rstrip(), flush=True)


def _measured(measure: Callable[[Bench], float], bench: Bench) -> tuple[float, float, str]:
    """(images a second, most GB held, why it could not be measured)."""
    on_gpu = bench.device.type == "cuda"
    if on_gpu:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    torch.compiler.reset()
    try:
        with open(os.devnull, "w") as nowhere, redirect_stderr(nowhere):  # noqa: PTH123
            rate, why_not = measure(bench), ""
    except Exception as error:  # a row that fails leaves the others
        rate, why_not = float("nan"), f"{type(error).__name__}: {str(error).splitlines()[0][:80] if str(error) else ''}"
    return rate, torch.cuda.max_memory_allocated() / 1e9 if on_gpu else float("nan"), why_not


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pixels", default="256,384", help="sides, separated by commas")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--steps", type=int, default=40, help="of each row; the first few are not counted")
    parser.add_argument("--workers", type=int, default=max(1, min(16, len(os.sched_getaffinity(0))) - 1))
    parser.add_argument("--network", default="tf_efficientnetv2_s")
    parser.add_argument("--limit", type=float, default=280, help="seconds, after which no row begins")
    given, ends = parser.parse_args(), time.monotonic()
    ends += given.limit
    device, precision = device_of("auto", "auto")
    sizes = [int(side) for side in given.pixels.split(",")]
    if device.type != "cuda":
        print("NO GPU: a miniature on the CPU, which shows that it runs and says nothing of a GPU")
        given.network, given.batch, given.steps, given.workers, sizes = "test_efficientnet", 16, 10, 0, [48]
        torch.set_num_threads(1)
    card = torch.cuda.get_device_name() if device.type == "cuda" else "cpu"
    cores = len(os.sched_getaffinity(0))
    print(
        f"{given.network} on {card}, {precision.name}, torch {torch.__version__}, timm {timm.__version__}; batches of"
    )
    print(f"{given.batch}, {given.steps} steps, {given.workers} loader workers of {cores} cores")
    torch.backends.cudnn.benchmark = True  # as in a training
    with tempfile.TemporaryDirectory(prefix="cspine-benchmark-") as name:
        benches = {side: _bench(side, Path(name), given, device, precision) for side in sizes}
        for kinds in (NOT_COMPILED, COMPILED):  # compiling takes a minute each time
            for side, bench in benches.items():
                print(f"\n{side} x {side} pixels")
                rows_of(bench, kinds, ends)


def _bench(side: int, folder: Path, given: argparse.Namespace, device: torch.device, precision: Precision) -> Bench:
    shard = write_cache(folder / f"{side}.parquet", STUDIES, SLICES, side)
    network = slice_cnn.NetworkConfig(given.network, "none", "all", 0.0, 0)
    return Bench(network, shard, folder, given.batch, given.steps, given.workers, device, precision)


if __name__ == "__main__":
    main()
