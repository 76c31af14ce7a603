"""A picture of the phantom: each level broken and unbroken, one neck from two sides, and the distractors.

    python -m cspine.phantom.contact_sheet --data data/phantom --truth data/phantom_truth \\
        --out docs/images/phantom.png
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import SubplotSpec
from matplotlib.patches import Rectangle
from PIL import Image

from cspine.phantom.artefacts import METAL
from cspine.phantom.dicom_files import read_hu
from cspine.phantom.distractors import KINDS
from cspine.phantom.plans import PhantomConfig, plan_studies
from cspine.phantom.rendering import Rendered, render_study
from cspine.studies import UID, VERTEBRAE
from cspine.tables import read_table

CENTRE, WIDTH = 400, 2000  # bone window, HU
PER_SIDE = 3  # pictures per level and kind
EDGE = 92.0  # of the part of a slice that is shown, mm
DETAIL = 60.0  # the same for a distractor, mm
TOOTH = 1900  # HU that only teeth and metal reach
KINDS_ASIDE = "narrow disc"  # seen from the side
GREYS = 40  # shades in the file: keeps it small, and noise out of it
BOX_COLOUR = (255, 150, 0)


def draw_contact_sheet(data: Path, truth: Path) -> Figure:
    """One row per level: unbroken left, broken with its box right; below them distractors; far right one neck."""
    slices = read_table(truth / "slices.parquet")
    studies = read_table(truth / "studies.parquet").set_index(UID)
    figure = plt.figure(figsize=(12.6, 11.2), dpi=100)
    spread = {"left": 0.03, "right": 0.995, "top": 0.972, "bottom": 0.005}
    grid = figure.add_gridspec(len(VERTEBRAE) + 1, 2 * PER_SIDE + 3, wspace=0.03, hspace=0.03, **spread)
    for row, vertebra in enumerate(VERTEBRAE):
        for fractured in (False, True):
            chosen = _choose(slices, vertebra, fractured)
            for column in range(PER_SIDE):
                axes = _axes(figure, grid[row, column + fractured * PER_SIDE])
                if column == 0 and not fractured:
                    axes.annotate(vertebra, (-0.02, 0.5), xycoords="axes fraction", ha="right", fontsize=11)
                if row == 0 and column == 1:
                    axes.set_title("fractured" if fractured else "not fractured", fontsize=11)
                if column < len(chosen):
                    _draw_slice(axes, data, chosen.iloc[column], studies, fractured)
    _draw_distractors(figure, [grid[len(VERTEBRAE), column] for column in range(2 * PER_SIDE)])
    places = [grid[0:3, -3:], grid[3:6, -3:], grid[6:8, -3:]]
    _draw_neck([_axes(figure, place) for place in places], data, slices, studies)
    return figure


def _axes(figure: Figure, place: SubplotSpec) -> Axes:
    axes = figure.add_subplot(place)
    axes.set_axis_off()
    return axes


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
    axes.imshow(image, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    axes.set_xlim(middle - half, middle + half)
    axes.set_ylim(middle + half, middle - half)
    if fractured:
        edge = [c / 255 for c in BOX_COLOUR]
        corner = (row["x"] - 0.5, row["y"] - 0.5)
        axes.add_patch(Rectangle(corner, row["width"], row["height"], fill=False, edgecolor=edge, lw=1))


def _draw_neck(axes: list[Axes], data: Path, slices: pd.DataFrame, studies: pd.DataFrame) -> None:
    """The unbroken study with the largest field of view: from the side, from the front, its jaws and its chest."""
    odd = studies[["patient_overall", "starts_below", "missing_files", "mixed_sizes"]].any(axis=1)
    whole = studies[~odd & (studies["distractors"] == "")]
    uid = str((whole["pixel_spacing"] * whole["pixels"]).idxmax())
    rows = slices[slices[UID] == uid].sort_values("z_index")
    volume = np.stack([read_hu(_path(data, row)) for _, row in rows.iterrows()])
    spacing = float(whole["pixel_spacing"][uid])
    column, row = _course(volume, spacing)
    z = np.arange(len(volume))
    aspect = float(whole["slice_spacing"][uid]) / spacing
    for place, picture in zip(axes, (volume[z, :, column], volume[z, row]), strict=False):
        place.imshow(_windowed(picture), cmap="gray", aspect=aspect, interpolation="bilinear")
    axes[0].set_title("one neck: side, front, jaws, chest", fontsize=11)
    jaws = int(np.argmax((volume[: len(volume) // 2] > TOOTH).sum(axis=(1, 2))))
    pair = np.concatenate([volume[jaws], np.full((volume.shape[1], 4), 4000, np.int16), volume[-2]], axis=1)
    axes[2].imshow(_windowed(pair), cmap="gray", interpolation="nearest")


def _course(volume: np.ndarray, spacing: float) -> tuple[np.ndarray, np.ndarray]:
    """The spine's column, and the row of its bodies, in each slice: smooth curves through the bone in the middle."""
    size = volume.shape[1]
    low, high = int(0.3 * size), int(0.7 * size)
    bone = volume[:, low:high, low:high] > 300
    z = np.arange(len(volume))
    seen = bone.any(axis=(1, 2))
    columns = [np.average(np.arange(high - low), weights=b.sum(axis=0)) for b in bone[seen]]
    fronts = [np.flatnonzero(b.any(axis=1))[0] for b in bone[seen]]
    column = low + np.polyval(np.polyfit(z[seen], columns, 1), z)
    row = low + np.polyval(np.polyfit(z[seen], fronts, 2), z) + 7.0 / spacing
    return column.round().astype(int), row.round().astype(int)


def _draw_distractors(figure: Figure, places: list[SubplotSpec]) -> None:
    """Distractors where they change an unbroken neck most, found by rendering it with and without them."""
    config = PhantomConfig(noise=8.0)
    plan = replace(
        next(p for p in plan_studies(config) if not p.fractured and not p.starts_below), pixels=config.pixels
    )
    wanted = [kind for kind in KINDS for _ in range(2 if kind in ("osteophyte", "vascular channel") else 1)]
    shown: set[str] = set()
    index = 0
    for place, kind in zip(places, wanted, strict=True):
        while True:
            index += 1
            bare, worn = (
                render_study(replace(plan, index=index), replace(config, distractors=mean)) for mean in (0.0, 1.0)
            )
            new = set(worn.distractors) - shown
            if len(worn.distractors) == 1 and {d.split(": ")[1] for d in new} == {kind}:
                break
        shown |= new
        axes = _axes(figure, place)
        if kind == KINDS_ASIDE:
            _draw_aside(axes, bare, worn)
        else:
            _draw_most_changed(axes, bare, worn)
        axes.text(3, 3, worn.distractors[0], color="white", fontsize=8, va="top", transform=axes.transData)


def _changes(bare: Rendered, worn: Rendered) -> np.ndarray:
    """How much each voxel differs: where there is new bone, only that counts."""
    grown = (worn.labels > 0) & (bare.labels == 0)
    if grown.any():
        return grown.astype(np.float32)
    difference = np.abs(worn.hu.astype(np.float32) - bare.hu)
    return np.where((worn.labels > 0) | (worn.hu > METAL), difference, 0)


def _draw_most_changed(axes: Axes, bare: Rendered, worn: Rendered) -> None:
    changes = _changes(bare, worn)
    z = int(np.argmax(changes.sum(axis=(1, 2))))
    rows, columns = (_around(changes[z].sum(axis=axis), DETAIL / worn.grid.spacing) for axis in (1, 0))
    axes.imshow(_windowed(worn.hu[z, rows, columns]), cmap="gray", vmin=0, vmax=255, interpolation="bilinear")


def _draw_aside(axes: Axes, bare: Rendered, worn: Rendered) -> None:
    grid, changes = worn.grid, _changes(bare, worn)
    column = int(np.argmax(changes.sum(axis=(0, 1))))
    slices = _around(changes[:, :, column].sum(axis=1), DETAIL / grid.step)
    rows = _around(changes[:, :, column].sum(axis=0), DETAIL / grid.spacing)
    aspect = grid.step / grid.spacing
    axes.imshow(_windowed(worn.hu[slices, rows, column]), cmap="gray", vmin=0, vmax=255, aspect=aspect)


def _around(amount: np.ndarray, size: float) -> slice:
    """``size`` places around the middle of ``amount``, inside the image."""
    middle = np.average(np.arange(len(amount)), weights=amount)
    first = int(np.clip(middle - size / 2, 0, len(amount) - size))
    return slice(first, first + int(size))


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
