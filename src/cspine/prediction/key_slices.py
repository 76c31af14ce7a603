"""A picture for the person: the slice in which a vertebra looks fractured, and the place that drove the answer."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from cspine.dicom import read_study
from cspine.evidence_pictures import with_evidence
from cspine.prediction.regions import Field, Region, region_of
from cspine.prediction.results import StudyResult
from cspine.studies import VERTEBRAE
from cspine.views.study_rows import Form

PANEL, MARGIN, LINE = 512, 12, 22  # pixels of the picture: side of a panel, gap, height of a line of text
DARK, LIGHT, BOX = (16, 20, 24), (230, 233, 236), (255, 150, 0)
NAME_LENGTH = 44  # of a study or a file, in the title

Picture = NDArray[np.uint8]


def full_slice(folder: Path, file: str, frame: int, form: Form) -> Picture | None:
    """One slice in all its pixels, upright, in the view's window: (rows, columns); None when its file is gone."""
    study = read_study(folder, [file])
    at = np.flatnonzero(study.frames == frame)
    return study.grey_levels(int(at[0]), form.window) if len(at) else None


def draw(
    path: Path, image: Picture, evidence: NDArray[np.float32], form: Form, title: str, warning: str
) -> Region | None:
    """Write the picture (PNG): the whole slice with the region, and what the networks saw of it with their evidence.

    Args:
        path: of the PNG.
        image: (rows, columns) from ``full_slice``.
        evidence: (cells, cells) over the field, 0..1.
        form: how the networks were shown the slice.
        title: one line.
        warning: one line under the picture.

    Returns:
        The region that is drawn.
    """
    rows, columns = image.shape
    region, field = region_of(evidence, rows, columns, form.centre), Field.of(rows, columns, form.centre)
    whole = _panel(image, Field.of(rows, columns, 1.0), region)
    seen = _panel(image, field, region, evidence)
    canvas = Image.new("RGB", (2 * PANEL + 3 * MARGIN, PANEL + 3 * LINE + 2 * MARGIN), DARK)
    pen, font = ImageDraw.Draw(canvas), ImageFont.load_default(15)
    canvas.paste(Image.fromarray(whole), (MARGIN, 2 * LINE + MARGIN))
    canvas.paste(Image.fromarray(seen), (PANEL + 2 * MARGIN, 2 * LINE + MARGIN))
    pen.text((MARGIN, MARGIN // 2), title, LIGHT, font)
    pen.text((MARGIN, LINE + MARGIN // 2), "the slice", LIGHT, font)
    pen.text(
        (PANEL + 2 * MARGIN, LINE + MARGIN // 2), "what the networks saw: bright where masking weakens it", LIGHT, font
    )
    pen.text((MARGIN, PANEL + 2 * LINE + MARGIN + 2), warning, LIGHT, font)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.part")
    canvas.save(temporary, format="PNG", compress_level=3)
    temporary.replace(path)
    return region


def _panel(image: Picture, field: Field, region: Region | None, evidence: NDArray[np.float32] | None = None) -> Picture:
    """A field of the slice as a square of PANEL pixels, RGB, with the region's box and the evidence over it."""
    scale = PANEL / field.side
    shift = np.array([[scale, 0, -field.left * scale], [0, scale, -field.top * scale]])
    shown = cv2.warpAffine(image, shift, (PANEL, PANEL), flags=cv2.INTER_LINEAR)  # what is beyond the slice is dark
    panel = np.repeat(np.asarray(shown, np.uint8)[..., None], 3, axis=2)
    if evidence is not None:
        panel = with_evidence(panel, evidence)
    if region is not None:
        x, y = (region.x - field.left) * scale, (region.y - field.top) * scale
        corner = round(x + region.width * scale), round(y + region.height * scale)
        cv2.rectangle(panel, (round(x), round(y)), corner, BOX, 2)
    return panel


def title_of(result: StudyResult, vertebra: str, row: int) -> str:
    """Which study, vertebra and slice: for the picture's head."""
    found = result.slices.iloc[row]
    probability = result.probability[1 + VERTEBRAE.index(vertebra)]
    place = f"slice {found['z_index']} from the head, {_end(found['file'])}"
    return f"{_end(result.uid)}   {vertebra} fractured: {probability:.2f}   {place}"


def _end(name: str) -> str:
    """A name, or the end of a long one: that is where names differ."""
    return name if len(name) <= NAME_LENGTH else f"...{name[-NAME_LENGTH:]}"


def picture_name(uid: str, vertebra: str) -> str:
    """The PNG's name in PICTURES; a folder's name may hold what a file's name should not."""
    return f"{''.join(c if c.isalnum() or c in '.-' else '_' for c in uid)}_{vertebra}.png"
