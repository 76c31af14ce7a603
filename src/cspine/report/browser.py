"""Studies to leaf through: slices with boxes and outlines, and what is said of every slice from head to feet.

The markup carries its data and asks for nothing. It wants STYLE in the page's style and SCRIPT behind it; without
scripts one slice of each study is there.
"""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from cspine.bootstrap import Floats
from cspine.pages import render
from cspine.report.browser_script import SCRIPT as SCRIPT
from cspine.report.browser_style import STYLE as STYLE
from cspine.report.browser_template import TEMPLATE
from cspine.report.slice_facts import SAID
from cspine.report.slice_pictures import encoded
from cspine.report.study_words import ROLES
from cspine.studies import UID, VERTEBRAE

NOTHING = "<p>There is no study to look at.</p>"
BY = {"truth": "the hidden truth", "mask": "its mask", "localizer": "the localizer", "": "nobody"}


def browser(browsed: pd.DataFrame, names: Mapping[str, str]) -> str:
    """The markup of all studies, which needs no escaping.

    Args:
        browsed: browsed.parquet (stage gather_studies): a row per slice by study (number) and z_index.
        names: StudyInstanceUID -> what the page calls the study. Nothing else of the UID is in the markup.
    """
    if browsed.empty:
        return NOTHING
    studies = [_Leaves(str(names[rows[UID].iloc[0]]), rows) for _, rows in browsed.groupby("number", sort=True)]
    return render(TEMPLATE, studies=studies, levels=VERTEBRAE)


@dataclass(frozen=True)
class _Leaves:
    """One study: what the template and the script are told of it."""

    name: str
    rows: pd.DataFrame

    @property
    def why(self) -> str:
        return str(self.rows["why"].iloc[0])

    @property
    def about(self) -> str:
        """One line about the study."""
        first = self.rows.iloc[0]
        return (
            f"{first['labelled'][0].upper()}{first['labelled'][1:]}. {ROLES[first['role']].format(fold=first['fold'])}"
        )

    @property
    def remarks(self) -> str:
        """What the reader might take wrongly."""
        first, said = self.rows.iloc[0], []
        if not self._known("probability"):
            said.append("The method judges whole studies: it says nothing of a slice.")
        if first["shown_by"]:
            said.append(f"Which slices show a vertebra is said by {BY[first['shown_by']]}.")
        if self._pixels():
            said.append(
                f"Pictures as the view has them, {self._pixels()} pixels a side, compressed: not for diagnosis."
            )
        if first["every"] > 1:
            said.append(f"To keep the page small, every {first['every']}. slice is pictured.")
        if first["boxes_turned"]:
            said.append("It has boxes, which mean the images before they were turned upright, and are not drawn.")
        return " ".join(said)

    @property
    def data(self) -> str:
        """What the script reads: JSON without a sign that HTML knows."""
        pictured = np.flatnonzero([len(image) > 0 for image in self.rows["image"]])
        positions = self.rows["position"].to_numpy(np.float64)
        told = {
            "about": self.about,
            "remarks": self.remarks,
            "files": self.rows["slice_number"].tolist(),
            "depths": [round(depth, 1) for depth in (positions[0] - positions).tolist()],
            "source": self.rows["source"].tolist(),
            "said": {what: _lanes(self._values(what)) for what in SAID if self._known(what)},
            "start": self.start,
            "jumps": self._jumps(),
            "pixels": self._pixels(),
            "nearest": [_nearest(pictured, z) for z in range(len(self.rows))],
            "pictures": {str(z): _base64(self.rows["image"].iloc[z]) for z in pictured.tolist()},
            "boxes": {str(z): json.loads(text) for z, text in enumerate(self.rows["boxes"]) if text},
            "outlines": {str(z): json.loads(text) for z, text in enumerate(self.rows["outlines"]) if text},
            "section": self._section(),
            "aspect": self._aspect(positions),
        }
        text = json.dumps(told, separators=(",", ":"), allow_nan=False)
        return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")

    @property
    def start(self) -> int:
        """The slice that is shown first: where the fracture is known to be, else where it is most probable."""
        jumps = self._jumps()
        return jumps[0][1] if jumps else len(self.rows) // 2

    @property
    def said_at_start(self) -> str:
        """The highest probability of the slice that is shown first, in words."""
        values = self._values("probability")[self.start]
        where = f"Slice {self.start + 1} of {len(self.rows)}"
        if np.isnan(values).all():
            return f"{where}."
        best = int(np.nanargmax(values))
        return f"{where}; most probable there: {VERTEBRAE[best]} {values[best]:.2f}."

    @property
    def still(self) -> str:
        """The slice that is shown first, with its boxes, as inline SVG."""
        near = _nearest(np.flatnonzero([len(image) > 0 for image in self.rows["image"]]), self.start)
        if near is None:
            return "<p>No pictures: this page carries numbers only.</p>"
        boxes = json.loads(self.rows["boxes"].iloc[near] or "[]")
        drawn = "".join(
            f'<rect x="{x0}" y="{y0}" width="{x1 - x0:.4f}" height="{y1 - y0:.4f}" fill="none" stroke="#ff9600" '
            'stroke-width="0.006"/>'
            for x0, y0, x1, y1 in boxes
        )
        title = html.escape(f"Study {self.name}, axial slice {near + 1}" + (", boxed" if boxes else ""))
        picture = (
            f'<image href="data:image/webp;base64,{_base64(self.rows["image"].iloc[near])}" width="1" height="1"/>'
        )
        return f'<svg viewBox="0 0 1 1" role="img" aria-label="{title}">{picture}{drawn}</svg>'

    def _values(self, what: str) -> Floats:
        return self.rows[[f"{what}_{v}" for v in VERTEBRAE]].to_numpy(np.float64)

    def _known(self, what: str) -> bool:
        return bool(np.isfinite(self._values(what)).any())

    def _jumps(self) -> list[tuple[str, int]]:
        """Slices worth a look: the middle of those that are boxed, truly fractured or pseudo-labelled; the peak."""
        found = {
            "boxes": self.rows["source"].to_numpy() == "box",
            "truth": (self._values("truth") >= 0.5).any(axis=1),
            "pseudo-label": (self._values("pseudo") >= 0.5).any(axis=1),
        }
        jumps = [(name, int(np.flatnonzero(there)[there.sum() // 2])) for name, there in found.items() if there.any()]
        if self._known("probability"):
            peak = np.nanmax(np.nan_to_num(self._values("probability"), nan=-1.0), axis=1).argmax()
            jumps.append(("most probable", int(peak)))
        return jumps

    def _pixels(self) -> int:
        """Side of the pictures; 0 where there are none."""
        return int(max((len(column) for column in self.rows["section"]), default=0))

    def _section(self) -> str:
        """The sagittal section, head on top and front to the left, as WebP; "" where there are no pixels."""
        if not self._pixels():
            return ""
        columns = [np.frombuffer(column, np.uint8) for column in self.rows["section"]]
        return _base64(encoded(np.stack(columns)))

    def _aspect(self, positions: Floats) -> float:
        """Width by height of the section, in mm of the patient."""
        steps = np.abs(np.diff(positions))
        height = float(np.median(steps)) * len(positions) if len(steps) else 0.0
        width = float(self.rows["view_mm"].median())
        return round(min(max(width / height, 0.1), 10.0), 3) if height > 0 and width > 0 else 1.0


def _lanes(values: Floats) -> list[list[float | None]]:
    """(slices, 7) -> seven lists from head to feet, null where nothing is known."""
    return [[None if np.isnan(v) else round(float(v), 3) for v in lane] for lane in values.T]


def _nearest(pictured: Any, z: int) -> int | None:
    """The pictured slice that is nearest to slice ``z``."""
    return int(pictured[np.abs(pictured - z).argmin()]) if len(pictured) else None


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
