"""How many examples a second the loader gives, and how long a training step waits for them.

Examples are stacks of three slices in random order, lossless, in the system's page cache. Unlike the others this is
not pinned to one core: worker processes are what it is about. The machine's cores are printed, since 2 workers beside a
training process on 2 cores have not two cores to themselves.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from measuring import ROOT, rate, shown, warmed
from noisy_slices import study_name, write_cache
from torch import Tensor

from cspine import training
from cspine.augment import AugmentConfig
from cspine.checkpoint import Checkpoints
from cspine.config import complete_config, read_yaml
from cspine.examples import Examples, Item, loader
from cspine.methods import slice_cnn
from cspine.runtime import VARIABLE
from cspine.studies import UID, VERTEBRAE
from cspine.tracking import Silent
from cspine.training_config import TrainingConfig

STUDIES, SLICES, BATCH = 4, 150, 32
WORKERS = (0, 1, 2)
SOURCE = {"probability": 0.3, "crop_scale": 0.7, "horizontal_flip": True, "vertical_flip": True}  # presets/rsna.yaml
SOURCE |= {"rotation": 15, "rgb_shift": 20, "clahe": 2.0}
# slices of 300 pixels that tf_efficientnetv2_s is taught in a second: a T4's, by its published rates, and four times so
DEVICES = (150, 600)
STEPS = 60


def demo() -> dict[str, Any]:
    """The demo's method and view, as they are in config.yaml."""
    schema = read_yaml(ROOT / "workflow/schemas/config.schema.yaml")
    config = complete_config(read_yaml(ROOT / "config.yaml"), schema)
    return {**config["methods"]["semi_supervised"], "view": config["views"]["slice"]}


def examples_of(shard: Path, augment: dict[str, Any] | None) -> Examples:
    rows = [(study_name(study), z) for study in range(STUDIES) for z in range(SLICES)]
    table = pd.DataFrame(rows, columns=[UID, "z_index"]).assign(weight=1.0, **dict.fromkeys(VERTEBRAE, 0.0))
    table["C4"] = (np.arange(len(table)) % 7 == 0).astype(float)  # balanced sampling wants both kinds
    how = AugmentConfig(**augment) if augment is not None else None
    return slice_cnn.SliceExamples(table, [shard], 1, how, 0)


def random_batches(many: int) -> list[list[Item]]:
    draws = np.random.default_rng(0)
    return [[(number, int(i)) for i in draws.integers(0, STUDIES * SLICES, BATCH)] for number in range(many)]


def rates(shard: Path, pixels: int, repeats: int) -> None:
    """Examples a second by augmentation and workers; processes are started before the clock."""
    batches = random_batches(10)
    print(f"\nstacks of three slices of {pixels} pixels, stacks/s by workers {', '.join(map(str, WORKERS))}")
    demos = demo()["augment"]
    for name, augment in (("not augmented", None), ("demo's augmentations", demos), ("source's six", SOURCE)):
        loaders = [loader(examples_of(shard, augment), batches, workers, again=True) for workers in WORKERS]
        passes = [partial(rate, BATCH * len(batches), partial(_exhaust, given)) for given in loaders]
        print(f"  {name:<24}", " | ".join(shown(values, 0) for values in warmed(repeats, *passes)), flush=True)


def _exhaust(batches: Iterable[object]) -> None:
    for _ in batches:
        pass


@dataclass
class Waiting:
    """Time between the first batch and the end, and how much of it went by in waiting for the others."""

    waited: float = 0.0
    begun: float = 0.0
    ended: float = 0.0

    def over(self, batches: Iterable[Sequence[Tensor]]) -> Iterator[Sequence[Tensor]]:
        given = iter(batches)
        yield next(given)  # the workers start meanwhile
        self.begun = time.perf_counter()
        while True:
            asked = time.perf_counter()
            batch = next(given, None)
            self.ended = time.perf_counter()
            if batch is None:
                return
            self.waited += self.ended - asked
            yield batch

    @property
    def share(self) -> float:
        return 100 * self.waited / (self.ended - self.begun)


def of_training(shard: Path, folder: Path, workers: int) -> float:
    """Percent of the steps of the demo's training that went by in waiting; its own loop, its own network, the CPU."""
    block, waiting = demo(), Waiting()
    network = slice_cnn.build(slice_cnn.NetworkConfig(**block["network"]), outputs=15)
    settings = block["training"] | {"epochs": 1, "epoch_steps": STEPS, "warmup_steps": 0}
    config = TrainingConfig(**settings)
    taught, watched = (examples_of(shard, augment) for augment in (block["augment"], None))
    task = training.Task(
        network, slice_cnn.loss(config), taught, _Few(watched), config, 0, Checkpoints(folder), Silent()
    )
    os.environ[VARIABLE] = f'{{"device": "cpu", "loader_workers": {workers}}}'
    original = loader  # as the training imports it

    def timed(data: Examples, *given: Any, **options: Any) -> Any:
        found = original(data, *given, **options)
        return waiting.over(found) if data is taught else found

    vars(training)["loader"] = timed
    try:
        training.fit(task)
    finally:
        vars(training)["loader"] = original
    return waiting.share


class _Few(Examples):
    """The first batch of other examples: the evaluation is not what is measured."""

    def __init__(self, data: Examples) -> None:
        self.data = data

    def __len__(self) -> int:
        return BATCH

    def __getitem__(self, item: Item) -> Any:
        return self.data[item]

    def positive(self) -> Any:
        return self.data.positive()[:BATCH]


def beside_a_device(batches: Iterable[Sequence[Tensor]], stacks: float) -> float:
    """Percent of steps spent waiting where a step takes the time of a device that does so many ``stacks`` a second.

    The step sleeps: a GPU computes without the processor. What starting its kernels takes is left out.
    """
    waiting = Waiting()
    for _ in waiting.over(batches):
        time.sleep(BATCH / stacks)
    return waiting.share


def print_waiting(small: Path, large: Path, folder: Path, repeats: int) -> None:
    folders = (folder / f"training-{number}" for number in count())
    steps = [lambda workers=workers: of_training(small, next(folders), workers) for workers in WORKERS]
    loaders = [loader(examples_of(large, SOURCE), random_batches(20), workers, again=True) for workers in WORKERS]
    print(f"\npercent of a training step spent waiting for data, by workers {', '.join(map(str, WORKERS))}")
    rows = {f"the demo's training on the CPU, {STEPS} steps": steps}
    for stacks in DEVICES:
        rows[f"a device of {stacks} stacks/s, 256 pixels, the source's six"] = [
            partial(beside_a_device, batches, stacks) for batches in loaders
        ]
    for name, once in rows.items():
        print(f"  {name:<56}", " | ".join(shown(values, 0) for values in warmed(repeats, *once)), flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    repeats = parser.parse_args().repeats
    torch.set_num_threads(1)
    print(f"{len(os.sched_getaffinity(0))} cores; medians of {repeats} rounds (least to most)", flush=True)
    view = demo()["view"]
    with tempfile.TemporaryDirectory(prefix="cspine-benchmark-") as name:
        folder = Path(name)
        large = write_cache(folder / "large.parquet", STUDIES, SLICES, 256)
        small = write_cache(folder / "small.parquet", STUDIES, SLICES, view["pixels"], view["centre"])
        rates(small, view["pixels"], repeats)
        rates(large, 256, repeats)
        print_waiting(small, large, folder, repeats)
    return 0


if __name__ == "__main__":
    sys.exit(main())
