"""What becomes of damaged compressed frames: how many are refused, told, or accepted with wrong pixels.

Slices of 12 bits, in each lossless syntax: one byte changed, forty bytes changed, or cut with an end marker put back.
The table in src/cspine/dicom/codestreams.py comes from here. Takes three minutes.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable
from functools import partial

import numpy as np
from measuring import pinned
from noisy_slices import noisy_slice
from numpy.typing import NDArray
from pydicom.encaps import encapsulate

from cspine.dicom.headers import ELEMENTS, Header, LeftOutError
from cspine.dicom.parsing import silence
from cspine.dicom.pixels import stored_pixels
from dicom_makers import JPEG_2000, JPEG_LOSSLESS, JPEG_LS, RLE, compress

SYNTAXES = {"JPEG Lossless": JPEG_LOSSLESS, "JPEG-LS": JPEG_LS, "JPEG 2000": JPEG_2000, "RLE": RLE}
HEADER = 100  # bytes at a frame's beginning that are left alone: what is wrong there is noticed
Damage = Callable[[bytes, np.random.Generator], bytes]


def changed(frame: bytes, draw: np.random.Generator, places: int) -> bytes:
    damaged = bytearray(frame)
    for at in draw.integers(HEADER, len(frame) - 2, places):
        damaged[at] ^= int(draw.integers(1, 256))
    return bytes(damaged)


def cut(frame: bytes, draw: np.random.Generator) -> bytes:
    return frame[: draw.integers(HEADER, len(frame))] + b"\xff\xd9"


DAMAGES: dict[str, Damage] = {
    "1 byte changed": partial(changed, places=1),
    "40 bytes changed": partial(changed, places=40),
    "cut, end marker put back": cut,
}


def outcome(frame: bytes, syntax: str, sound: NDArray[np.uint16]) -> str:
    """What the reader makes of a frame."""
    numbers = {"Rows": sound.shape[0], "Columns": sound.shape[1], "BitsAllocated": 16, "BitsStored": 12, "HighBit": 11}
    raw = {ELEMENTS[k]: n.to_bytes(2, "little") for k, n in numbers.items()}
    item = encapsulate([frame], has_bot=True)
    remarks: list[tuple[str, str]] = []
    try:
        pixels = stored_pixels(Header(raw | {ELEMENTS["PixelData"]: item}, "little", syntax), (1.0, -1024.0), remarks)
    except LeftOutError as reason:
        why = reason.detail.split(";")[0].split(":")[-1].strip()
        return f"refused ({'decoder failed' if 'SIG' in why else why})"
    wrong = float((pixels.patterns != sound).mean())
    if wrong == 0:
        return "right"
    return f"told as {remarks[0][0]}" if remarks else "accepted, wrong"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--frames", type=int, default=400)
    frames = parser.parse_args().frames
    pinned()
    slices = [(noisy_slice(n).astype(np.int32) + 1024).astype(np.uint16) for n in range(0, 80, 8)]
    with silence():
        for name, syntax in SYNTAXES.items():
            sound = [compress(image, syntax, 12) for image in slices]
            for kind, damage in DAMAGES.items():
                count = frames if syntax != JPEG_2000 else frames // 10
                draw = np.random.default_rng(1)
                found: Counter[str] = Counter()
                for i in range(count):
                    which = i % len(slices)
                    found[outcome(damage(sound[which], draw), syntax, slices[which])] += 1
                shares = ", ".join(f"{100 * n / count:.1f} % {what}" for what, n in found.most_common())
                print(f"{name}, {kind}: {shares}", flush=True)


if __name__ == "__main__":
    main()
