"""From DICOM files to finished slices: ours against the path that public solutions take, in each transfer syntax.

A finished slice is a bone window in 8 bits, 256 x 256. *Stored* means encoded as well: ours as the cache holds it
(zstd, with its checksum), the public one as PNG of level 1. Ours reads a whole study as ``ingest`` does, with its
order, its findings and all guards against damage. CPU time of one core, everything in the system's page cache.

Both run under both settings of the C library's allocator: as the system has it, and told to keep what large arrays
leave behind, as the workers of ``ingest`` tell it. A stored ratio below its floor ends the benchmark with exit
status 1. Takes five minutes.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np
from measuring import Floors, allocator, cpu_rate, in_turns, pinned, ratios, shown
from noisy_slices import CENTER, WIDTH, write_slices
from numpy.typing import NDArray
from public_path import public_decoder, public_slice

from cspine.dicom import read_study
from cspine.views.study_rows import Form, StudyJob, ingest_study
from cspine.views.windows import Window, resize_slice
from dicom_makers import EXPLICIT, JPEG_2000, JPEG_LOSSLESS, JPEG_LS, RLE

PIXELS = 256
FORM = Form(Window(CENTER, WIDTH), PIXELS, 1.0, "zstd-delta")
#: syntax -> UID, slices, floor and aim of the stored ratio
SYNTAXES = {
    "uncompressed": (EXPLICIT, 120, 1.6, 3.0),
    "JPEG Lossless": (JPEG_LOSSLESS, 120, 2.2, 3.3),
    "JPEG-LS": (JPEG_LS, 100, 1.35, 1.6),
    "RLE": (RLE, 120, 1.35, 1.6),
    "JPEG 2000": (JPEG_2000, 100, 1.0, 1.1),
}
# of the fastest public preparation (no Hounsfield units, no window, no compression) to the plain PNG loop, uncompressed
FASTEST_PUBLIC = 1768 / 407
KEEPING = {"MALLOC_MMAP_THRESHOLD_": "1073741824", "MALLOC_TRIM_THRESHOLD_": "4294967296"}


def ours_stored(folder: Path, files: list[str]) -> int:
    """As ingest does it; the number of slices."""
    return len(ingest_study(job_of(folder, files), FORM).rows)


def ours(folder: Path, files: list[str]) -> list[NDArray[np.uint8]]:
    study = read_study(folder, files)
    return [resize_slice(study.grey_levels(z, FORM.window), PIXELS) for z in range(len(study.files))]


def public(folder: Path, files: list[str]) -> list[NDArray[np.uint8]]:
    return [public_slice(folder / name, PIXELS) for name in files]


def public_stored(folder: Path, files: list[str]) -> int:
    return sum(
        len(cv2.imencode(".png", image, [cv2.IMWRITE_PNG_COMPRESSION, 1])[1]) > 0 for image in public(folder, files)
    )


def job_of(folder: Path, files: list[str]) -> StudyJob:
    return StudyJob(folder, tuple((name, (folder / name).stat().st_size) for name in files))


def compare(name: str, uid: str, folder: Path, repeats: int, floor: float | None, aim: float, floors: Floors) -> None:
    """Print the rates of one study and judge the ratio of the stored ones."""
    answer = ingest_study(job_of(folder, sorted(p.name for p in folder.iterdir() if p.is_file())), FORM)
    doubted = [f.code for f in answer.findings if f.code in ("decoded-again", "corrupt-frame")]
    assert not doubted, f"{folder}: {doubted}: it would be measured what a helper process does"
    study = read_study(folder)
    files, count = study.files, len(study.files)
    check(folder, files)
    for work in (ours_stored, public_stored):  # warm up
        for _ in range(-(-100 // count)):
            work(folder, files)
    measured = in_turns(
        repeats,
        *[
            lambda work=work: cpu_rate(count, lambda: work(folder, files))
            for work in (ours_stored, public_stored, ours, public)
        ],
    )
    print(f"\n{name}, {count} slices (pydicom's plugins: {public_decoder(uid)}), slices per CPU-second")
    for what, values in zip(("ours, stored", "public, stored as PNG", "ours", "public"), measured, strict=True):
        print(f"  {what:<58} {shown(values, 0)}")
    stored = ratios(measured[0], measured[1])
    print(f"  {'ours / public, not stored':<58} {shown(ratios(measured[2], measured[3]))}")
    if floor is None:
        print(f"  {'ours / public, stored':<58} {shown(stored)}")
        return
    floors.judge(
        f"ours / public, stored (aim {aim:g}: {'reached' if statistics.median(stored) >= aim else 'missed'})",
        stored,
        floor,
    )
    if uid == EXPLICIT and KEEPING.items() <= os.environ.items():  # as the workers of ingest have it
        floors.judge("the same, against the fastest public preparation", stored, FASTEST_PUBLIC)


def check(folder: Path, files: list[str]) -> None:
    """Both paths make the same pictures, but for rounding: the public one cuts off what ours rounds."""
    for one, other in zip(ours(folder, files[:3]), public(folder, files[:3]), strict=True):
        assert np.abs(one.astype(int) - other).max() <= 1, folder


def measure(repeats: int, real: Path | None) -> int:
    """Everything under the allocator's settings of this process."""
    pinned()
    floors = Floors()
    print(f"\nallocator: {allocator()}", flush=True)
    with tempfile.TemporaryDirectory(prefix="cspine-benchmark-") as temporary:
        for name, (uid, count, floor, aim) in SYNTAXES.items():
            folder = Path(temporary) / uid
            write_slices(folder, count, uid)
            compare(name, uid, folder, repeats, floor, aim, floors)
    for folder in sorted({p.parent for p in real.rglob("*")} if real else []):
        compare_real(folder, repeats, floors)
    return int(floors.failed)


def compare_real(folder: Path, repeats: int, floors: Floors) -> None:
    """Of a folder of real files, if it is a study that both paths can read."""
    from pydicom import dcmread

    study = read_study(folder, sorted(p.name for p in folder.iterdir() if p.is_file()))
    if len(study.files) < 16:
        return
    syntax = str(dcmread(folder / study.files[0]).file_meta.TransferSyntaxUID)
    with tempfile.TemporaryDirectory(prefix="cspine-benchmark-") as temporary:  # of this study's slices only
        for name in study.files:
            (Path(temporary) / name).symlink_to((folder / name).resolve())
        compare(f"real: {folder.name}", syntax, Path(temporary), repeats, None, 0, floors)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--real", type=Path, help="a folder of real CT studies to measure as well")
    parser.add_argument("--here", action="store_true", help="only under the allocator's settings of this process")
    given = parser.parse_args()
    if given.here:
        sys.exit(measure(given.repeats, given.real))
    plain = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    command = [sys.executable, *sys.argv, "--here"]
    sys.exit(max(subprocess.run(command, env=env).returncode for env in (plain, plain | KEEPING)))


if __name__ == "__main__":
    main()
