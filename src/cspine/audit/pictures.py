"""The worst studies as pictures: some cached slices with their boxes, and a sagittal section with the mask's levels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from cspine.audit.stacks import WIDE_GAP
from cspine.cache.reading import SliceCache
from cspine.pages import picture
from cspine.studies import UID, VERTEBRAE
from cspine.views.windows import kept_middle, square_margin

AXIAL = 4  # slices shown
BOX, LEVELS, LINE = "#ff9600", ("#62b6ff", "#9be564"), "#8a8f98"
DARK, LIGHT = "#101418", "#e6e9ec"


@dataclass(frozen=True)
class Shown:
    """Everything a study's picture is made from."""

    uid: str
    slices: pd.DataFrame  # its rows of index/slices.parquet, by z_index
    boxes: pd.DataFrame  # its rows of train_bounding_boxes.csv
    presence: pd.DataFrame  # its rows of labels/presence.parquet
    thickness: float  # mm
    turned: bool  # the images were turned upright: boxes mean the stored ones and cannot be drawn


class Form(NamedTuple):
    """How a cached slice lies in the stored one."""

    pixels: int  # side of a cached slice
    centre: float  # share of the stored slice's side that is cached


def draw_study(shown: Shown, cache: SliceCache) -> str:
    """Axial slices, those with boxes first, and a section through the middle of the neck; an embedded PNG."""
    form = Form(cache.pixels, float(cache.metadata["centre"]))
    chosen = _choose(shown)
    figure = Figure(figsize=(2.1 * (len(chosen) + 0.8), 2.5), dpi=100, facecolor=DARK, layout="constrained")
    grid = figure.subplots(1, len(chosen) + 1, width_ratios=[1.0] * len(chosen) + [0.8], squeeze=False)[0]
    for axes, row in zip(grid, chosen.to_dict("records"), strict=False):
        axes.imshow(cache[shown.uid, int(row["z_index"])], cmap="gray", vmin=0, vmax=255)
        axes.set_title(_name(row), fontsize=8, color=LIGHT, pad=3)
        drawn = (
            [] if shown.turned else shown.boxes[shown.boxes["slice_number"] == row["slice_number"]].to_dict("records")
        )
        for box in drawn:
            left, top, scale = in_cached_pixels(int(row["rows"]), int(row["columns"]), form)
            corner = ((box["x"] + left) * scale - 0.5, (box["y"] + top) * scale - 0.5)
            axes.add_patch(Rectangle(corner, box["width"] * scale, box["height"] * scale, ec=BOX, fill=False, lw=1.2))
        axes.set_axis_off()
    _draw_section(grid[-1], shown, cache.read(shown.uid, range(len(shown.slices))), chosen, form)
    return picture(figure, _in_words(shown, chosen), (BOX, *LEVELS))


def in_cached_pixels(rows: int, columns: int, form: Form) -> tuple[float, float, float]:
    """(left, top, scale): stored x lies at (x + left) * scale in the cached slice (``windows.resize_slice``)."""
    top, left = square_margin(rows, columns)
    side = max(rows, columns)
    first, kept = kept_middle(side, form.centre)
    return left - first, top - first, form.pixels / kept


def _choose(shown: Shown) -> pd.DataFrame:
    """Up to AXIAL slices, evenly: of the boxed ones where there are some, else of all."""
    boxed = shown.slices[shown.slices["slice_number"].isin(shown.boxes["slice_number"])]
    pool = boxed if len(boxed) else shown.slices
    share = (np.arange(AXIAL) + 0.5) / AXIAL
    return pool.iloc[np.unique((share * len(pool)).astype(int))]


def _draw_section(axes: Axes, shown: Shown, volume: np.ndarray, chosen: pd.DataFrame, form: Form) -> None:
    """The middle column of every slice, at its place in mm; black where no slice is near."""
    positions = shown.slices["position"].to_numpy(np.float64)
    middle = shown.slices.iloc[len(shown.slices) // 2]
    step = float(max(middle["rows"], middle["columns"]) * middle["row_spacing"]) * form.centre / form.pixels
    depth = positions[0] - positions
    reach = WIDE_GAP / 2 * shown.thickness if np.isfinite(shown.thickness) and shown.thickness > 0 else step
    section = _by_depth(volume[:, :, form.pixels // 2], depth, step, reach)
    width, height = form.pixels * step, max(len(section) * step, step)
    axes.imshow(section, cmap="gray", vmin=0, vmax=255, extent=(0, width, height, 0), interpolation="nearest")
    for z in chosen["z_index"]:
        axes.axhline(depth[int(z)], color=LINE, lw=0.6)
    boxed = shown.slices["slice_number"].isin(shown.boxes["slice_number"]).to_numpy()
    axes.plot(np.full(int(boxed.sum()), 0.02 * width), depth[boxed], ".", color=BOX, ms=3)
    for level, vertebra in enumerate(VERTEBRAE):
        z = shown.presence.loc[shown.presence[vertebra] == 1, "z_index"].to_numpy()
        if len(z):
            x = width * (1.03 + 0.03 * (level % 2))
            axes.plot([x, x], [depth[z.min()], depth[z.max()]], color=LEVELS[level % 2], lw=2, clip_on=False)
            place = (width * 1.1, (depth[z.min()] + depth[z.max()]) / 2)
            axes.text(*place, vertebra, color=LEVELS[level % 2], fontsize=7, va="center")
    axes.set_xlim(0, width)
    axes.set_title(f"section, {height:.0f} mm", fontsize=8, color=LIGHT, pad=3)
    axes.set_axis_off()


def _by_depth(columns: np.ndarray, depth: np.ndarray, step: float, reach: float) -> np.ndarray:
    """(slices, pixels) -> (rows of ``step`` mm, pixels): each of the nearest slice, 0 where none is within reach."""
    rows = np.arange(0.0, max(float(depth[-1]), 0.0) + step, step)
    nearest = np.abs(rows[:, None] - depth[None, :]).argmin(axis=1)
    near = np.abs(depth[nearest] - rows) <= max(reach, step)
    return np.where(near[:, None], columns[nearest], 0)


def _name(row: Mapping[Any, Any]) -> str:
    return f"file {row['slice_number']}" if row["slice_number"] >= 0 else f"slice {row['z_index']}"


def _in_words(shown: Shown, chosen: pd.DataFrame) -> str:
    names = ", ".join(_name(row) for row in chosen.to_dict("records"))
    numbers = shown.slices["slice_number"].isin(shown.boxes["slice_number"]).sum()
    boxed = f"; {numbers} slices have boxes" if numbers else ""
    levels = [v for v in VERTEBRAE if len(shown.presence) and shown.presence[v].any()]
    mask = f"; the mask shows {', '.join(levels)}" if levels else ""
    return f"Study {shown.uid}: axial slices {names}, and a sagittal section with them marked{boxed}{mask}"


def shown_of(
    uid: str, cohort: str, slices: pd.DataFrame, boxes: pd.DataFrame, presence: pd.DataFrame, findings: pd.DataFrame
) -> Shown:
    """The study's part of the tables."""
    own = slices[(slices["cohort"] == cohort) & (slices[UID] == uid)].sort_values("z_index", ignore_index=True)
    gaps = np.abs(np.diff(own["position"].to_numpy(np.float64)))
    training = cohort == "train"
    turned = ((findings[UID] == uid) & (findings["code"] == "turned-upright")).any()
    return Shown(
        uid,
        own,
        boxes[(boxes[UID] == uid) & training],
        presence[(presence[UID] == uid) & training],
        float(np.median(gaps)) if len(gaps) else float("nan"),
        bool(turned),
    )
