"""A picture of the phantom: each level broken and unbroken, and one neck from the side.

    python -m cspine.phantom.contact_sheet --data data/phantom --truth data/phantom_truth \\
        --out docs/images/phantom.png
"""

from __future__ import annotations

import argparse
from io import BytesIO
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from cspine.phantom.dicom_files import read_hu
from cspine.studies import UID, VERTEBRAE
from cspine.tables import read_table

CENTRE, WIDTH = 400, 2000  # bone window, HU
PER_SIDE = 3  # pictures per level and kind
EDGE = 92.0  # of the part of a slice that is shown, mm
BEHIND = 4.0  # its middle lies this far behind the slice's middle, mm
GREYS = 40  # shades in the file: keeps it small, and noise out of it
BOX_COLOUR = (255, 150, 0)


def draw_contact_sheet(data: Path, truth: Path) -> Figure:
    """One row per level: unbroken left, broken with its box right; on the far right one study's middle."""
    slices = read_table(truth / "slices.parquet")
    studies = read_table(truth / "studies.parquet").set_index(UID)
    figure = plt.figure(figsize=(12.6, 9.9), dpi=100)
    spread = {"left": 0.03, "right": 0.995, "top": 0.965, "bottom": 0.005}
    grid = figure.add_gridspec(7, 2 * PER_SIDE + 3, wspace=0.03, hspace=0.03, **spread)
    for row, vertebra in enumerate(VERTEBRAE):
        for fractured in (False, True):
            chosen = _choose(slices, vertebra, fractured)
            for column in range(PER_SIDE):
                axes = figure.add_subplot(grid[row, column + fractured * PER_SIDE])
                axes.set_axis_off()
                if column == 0 and not fractured:
                    axes.annotate(vertebra, (-0.02, 0.5), xycoords="axes fraction", ha="right", fontsize=11)
                if row == 0 and column == 1:
                    axes.set_title("fractured" if fractured else "not fractured", fontsize=11)
                if column < len(chosen):
                    _draw_slice(axes, data, chosen.iloc[column], studies, fractured)
    _draw_side(figure.add_subplot(grid[:3, 2 * PER_SIDE :]), data, slices, studies)
    return figure


def _choose(slices: pd.DataFrame, vertebra: str, fractured: bool) -> pd.DataFrame:
    """One slice from each of a few studies: near the level's middle, or where its cleft's box is largest."""
    broken = slices.groupby(UID)[f"fractured_{vertebra}"].transform("max") == 1
    shown = slices[(slices[f"present_{vertebra}"] == 1) & (broken == fractured)]
    picks = []
    for count, (_, rows) in enumerate(shown.groupby(UID, sort=False)):
        if count == PER_SIDE:
            break
        if fractured:
            rows = rows[rows[f"fractured_{vertebra}"] == 1]
            picks.append(rows.iloc[[int(np.argmax(rows["width"] * rows["height"]))]])
        else:  # a little above, in and below the middle, counted from the head
            place = round((0.4, 0.55, 0.7)[count] * (len(rows) - 1))
            picks.append(rows.sort_values("z_index").iloc[[place]])
    return pd.concat(picks) if picks else shown.iloc[:0]


def _draw_slice(axes: Axes, data: Path, row: pd.Series, studies: pd.DataFrame, fractured: bool) -> None:
    image = _windowed(read_hu(_path(data, row)))
    spacing = float(studies.loc[row[UID], "pixel_spacing"])
    half, middle = EDGE / spacing / 2, image.shape[0] / 2
    low = middle + BEHIND / spacing + half
    axes.imshow(image, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    axes.set_xlim(middle - half, middle + half)
    axes.set_ylim(low, low - 2 * half)
    if fractured:
        edge = [c / 255 for c in BOX_COLOUR]
        corner = (row["x"] - 0.5, row["y"] - 0.5)
        axes.add_patch(Rectangle(corner, row["width"], row["height"], fill=False, edgecolor=edge, lw=1))


def _draw_side(axes: Axes, data: Path, slices: pd.DataFrame, studies: pd.DataFrame) -> None:
    """The middle of the unbroken study with the most slices, face to the left."""
    whole = studies[studies["patient_overall"] == 0]
    uid = str(whole["slices"].idxmax())
    rows = slices[slices[UID] == uid].sort_values("z_index")
    volume = np.stack([read_hu(_path(data, row)) for _, row in rows.iterrows()])
    bone = (volume > 500).sum(axis=(0, 1))
    bone[: len(bone) // 3] = bone[-len(bone) // 3 :] = 0
    middle = int(np.average(np.arange(len(bone)), weights=bone.astype(float) ** 3))
    aspect = float(whole["slice_spacing"][uid] / whole["pixel_spacing"][uid])
    axes.imshow(_windowed(volume[:, :, middle]), cmap="gray", aspect=aspect, interpolation="bilinear")
    axes.set_title("one neck from the side", fontsize=11)
    axes.set_axis_off()


def _path(data: Path, row: pd.Series) -> Path:
    return data / f"{row['cohort']}_images" / row[UID] / f"{row['slice_number']}.dcm"


def _windowed(hu: np.ndarray) -> np.ndarray:
    return np.clip((hu - (CENTRE - WIDTH / 2)) / WIDTH * 255, 0, 255).astype(np.uint8)


def save_small(figure: Figure, out: Path) -> None:
    """Write the figure as a PNG with few colours."""
    buffer = BytesIO()
    figure.savefig(buffer, format="png")
    plt.close(figure)
    greys = [round(255 * i / (GREYS - 1)) for i in range(GREYS)]
    palette = Image.new("P", (1, 1))
    palette.putpalette([g for grey in greys for g in (grey, grey, grey)] + list(BOX_COLOUR))
    picture = Image.open(buffer).convert("RGB").quantize(palette=palette, dither=Image.Dither.NONE)
    out.parent.mkdir(parents=True, exist_ok=True)
    picture.save(out, optimize=True)


def main() -> None:
    """Command line: see the module's first lines."""
    parser = argparse.ArgumentParser(description="Draw the contact sheet of a phantom.")
    for name in ("data", "truth", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    arguments = parser.parse_args()
    save_small(draw_contact_sheet(arguments.data, arguments.truth), arguments.out)


if __name__ == "__main__":
    main()
