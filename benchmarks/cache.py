"""The slice cache against what it replaces: reading DICOM again, Parquet as it is written by default, PNG.

Everything is on one core and in the system's page cache, and a first round of each does not count. A figure below its
floor ends the benchmark with exit status 1.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
from measuring import Floors, allocator, pinned, rate, ratios, shown, warmed
from noisy_slices import SYNTAXES, study_name, write_cache, write_slices
from public_path import public_decoder, public_slice

from cspine.cache.codecs import decode, encode
from cspine.cache.reading import SliceCache
from cspine.cache.shard_file import ShardFile
from cspine.crew import Task, shared_out

STUDIES, SLICES, PIXELS = 10, 240, 256
READS = 50_000  # after which a worker must be no larger


def as_by_default(shard: Path, path: Path) -> Path:
    """The same rows as Arrow and pandas write them when nothing is said (snappy, dictionary), a row group per study."""
    table = pq.read_table(shard)
    with pq.ParquetWriter(path, table.schema) as writer:
        for study in range(STUDIES):
            writer.write_table(table.slice(study * SLICES, SLICES))
    return path


def places(count: int, seed: int = 0) -> list[tuple[int, int]]:
    draws = random.Random(seed)
    return [(draws.randrange(STUDIES), draws.randrange(SLICES)) for _ in range(count)]


def slices(shard: Path, folder: Path, repeats: int, floors: Floors) -> None:
    """A random slice out of the cache, read and decoded, against the same out of a DICOM file."""
    cache, wanted = SliceCache([shard]), places(1000)
    floor = {"uncompressed": 5.0, "JPEG Lossless": 30.0}
    files = {name: write_slices(folder / name, 48, syntax) for name, syntax in SYNTAXES.items()}
    plugin = public_decoder(SYNTAXES["JPEG Lossless"])
    print(f"\na random slice of {PIXELS} pixels, slices/s (pydicom's plugins for JPEG Lossless: {plugin})")

    def public(paths: Sequence[Path]) -> Callable[[], float]:
        return lambda: rate(len(paths), lambda: [public_slice(path, PIXELS) for path in paths])

    ours, *theirs = warmed(
        repeats,
        lambda: rate(len(wanted), lambda: [cache[study_name(study), z] for study, z in wanted]),
        *[public(paths) for paths in files.values()],
    )
    print(f"  {'cache':<58} {shown(ours, 0)}")
    for name, values in zip(files, theirs, strict=True):
        print(f"  {'DICOM, ' + name:<58} {shown(values, 0)}")
    for name, values in zip(files, theirs, strict=True):
        floors.judge(f"cache / DICOM, {name}", ratios(ours, values), floor[name])


def neighbours(shard: Path, repeats: int) -> None:
    """What the slices beside one cost, in random order and in order."""
    cache, wanted = SliceCache([shard]), places(400)

    def stack(study: int, z: int) -> object:
        return cache.read(study_name(study), [max(z - 1, 0), z, min(z + 1, SLICES - 1)])

    found = warmed(
        repeats,
        lambda: rate(len(wanted), lambda: [stack(*place) for place in wanted]),
        lambda: rate(SLICES, lambda: [stack(0, z) for z in range(SLICES)]),
    )
    print("\nstacks of three slices, stacks/s")
    for name, values in zip(("in random order", "in order (each slice is decoded once)"), found, strict=True):
        print(f"  {name:<58} {shown(values, 0)}")


def blobs(shard: Path, default: Path, repeats: int, floors: Floors) -> None:
    """A random blob, not decoded."""
    ours, theirs = ShardFile(shard), pq.ParquetFile(default)
    many, few = places(20_000), places(300)

    def of_default(study: int, z: int) -> object:
        return theirs.read_row_group(study, columns=["pixels"]).column("pixels")[z].as_py()

    own, other = warmed(
        repeats,
        lambda: rate(len(many), lambda: [next(ours.blobs([study * SLICES + z])) for study, z in many]),
        lambda: rate(len(few), lambda: [of_default(*place) for place in few]),
    )
    print(f"\na random blob, blobs/s\n  {'shard':<58} {shown(own, 0)}\n  {'default Parquet':<58} {shown(other, 0)}")
    floors.judge("shard / default Parquet (snappy, a row group per study)", ratios(own, other), 10)


def sizes(shard: Path, floors: Floors) -> None:
    """Bytes of a lossless blob, of PNG and of the lossy codec, and what a read asks of a disk."""
    cache = SliceCache([shard])
    images = [cache[study_name(study), z] for study, z in places(200)]
    png = [len(cv2.imencode(".png", image, [cv2.IMWRITE_PNG_COMPRESSION, 1])[1]) for image in images]
    own = [len(encode(image)) for image in images]
    print(f"\nbytes of a slice\n  zstd-delta {np.mean(own):,.0f}, PNG level 1 {np.mean(png):,.0f}", end="")
    for codec in ("jpeg-95", "jpeg-90"):
        lossy = [encode(image, codec) for image in images]
        off = max(
            int(np.abs(decode(blob, PIXELS, codec).astype(int) - image).max())
            for blob, image in zip(lossy, images, strict=True)
        )
        print(f", {codec} {np.mean([len(blob) for blob in lossy]):,.0f} (off by {off} at most)", end="")
    group = pq.read_metadata(shard).row_group(0).total_byte_size
    later = np.mean(own) / 1000
    print(f"\n  a read from disk: {group / 1000:,.0f} kB the first time in a row group, then {later:,.0f} kB")
    floors.judge("PNG / zstd-delta (floor: 0.95 of PNG's bytes)", [np.sum(png) / np.sum(own)], 1 / 0.95)


def decoding(shard: Path, repeats: int) -> None:
    """Decoding alone, by codec."""
    cache = SliceCache([shard])
    images = [cache[study_name(study), z] for study, z in places(200)]
    codecs = ("zstd-delta", "jpeg-95", "jpeg-90")
    png = [cv2.imencode(".png", image, [cv2.IMWRITE_PNG_COMPRESSION, 1])[1] for image in images]

    def decoded(codec: str) -> Callable[[], float]:
        encoded = [encode(image, codec) for image in images]
        return lambda: rate(200, lambda: [decode(blob, PIXELS, codec) for blob in encoded])

    found = warmed(
        repeats,
        *[decoded(codec) for codec in codecs],
        lambda: rate(200, lambda: [cv2.imdecode(blob, cv2.IMREAD_GRAYSCALE) for blob in png]),
    )
    print("\ndecoding alone, slices/s")
    for name, values in zip((*codecs, "PNG level 1"), found, strict=True):
        print(f"  {name:<58} {shown(values, 0)}")


def _grown(shard: Path, reads: int) -> tuple[float, float]:
    """Resident bytes of this process after a tenth of the reads, and after all."""
    cache, process, found = SliceCache([shard]), psutil.Process(), []
    for count, (study, z) in enumerate(places(reads), 1):
        cache.read(study_name(study), [z, min(z + 1, SLICES - 1)] if z % 2 else [z])
        if count % (reads // 10) == 0:
            found.append(process.memory_info().rss)
    return found[0], max(found)


def memory(shard: Path, floors: Floors) -> None:
    """What a worker process holds after many reads, at random and with neighbours."""
    with shared_out([shard], Task(_grown, READS), 1) as grown:
        before, after = next(grown)
    first, last = f"{before / 1e6:.0f} MB after {READS // 10:,} reads", f"{after / 1e6:.0f} MB up to {READS:,}"
    print(f"\nmemory of a worker\n  {first}, at most {last}")
    floors.judge("memory then / memory later (floor: 5 % more)", [before / after], 1 / 1.05)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=9)
    repeats = max(7, parser.parse_args().repeats)
    pinned()
    pa.set_cpu_count(1)
    floors = Floors()
    print(f"one core; allocator: {allocator()}; medians of {repeats} rounds (least to most)", flush=True)
    with tempfile.TemporaryDirectory(prefix="cspine-benchmark-") as name:
        folder = Path(name)
        shard = write_cache(folder / "shard-0.parquet", STUDIES, SLICES, PIXELS)
        slices(shard, folder, repeats, floors)
        neighbours(shard, repeats)
        blobs(shard, as_by_default(shard, folder / "default.parquet"), repeats, floors)
        decoding(shard, repeats)
        sizes(shard, floors)
        memory(shard, floors)
    return int(floors.failed)


if __name__ == "__main__":
    sys.exit(main())
