"""The worst errors for the reader: the key slice, what in it drove the answer, and what is known of the study."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from cspine.evidence_pictures import inferno, with_evidence
from cspine.report.choosing import KEYS, MISSED, NO_SLICE, TEST
from cspine.studies import UID

#: what has to stand beside the pictures
NOTE = (
    "A map shows what drives an answer, and not the fracture: the places whose blurring lowers it (occlusion). Bright "
    "places of a false negative are what speaks for a fracture, only not enough of it. A map is bright somewhere, "
    "however little the networks see. An outlined box is what the data know of fractures in that slice, of whichever "
    "vertebra."
)
STYLE = """
.case-pictures { display: grid; grid-template-columns: repeat(2, minmax(0, 20rem)); gap: .5rem; }
.case-pictures figure { margin: 0; }
.case-pictures img { width: 100%; height: auto; display: block; border-radius: 4px; }
"""
PANEL, STRIP, GAP = 320, 12, 4  # pixels: side of a picture, width of the strip beside it, what lies between
BOX, MARK = (255, 150, 0), (255, 255, 255)
QUALITY = 85  # of WebP

Picture = NDArray[np.uint8]
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Case:
    """One of the worst errors, ready for a page.

    Attributes:
        kind: false negative | false positive.
        title: in words, with what the page calls the study; not escaped.
        facts: name and value of what is known, not escaped.
        picture: markup that needs no escaping, in the classes of STYLE.
    """

    kind: str
    title: str
    facts: list[tuple[str, str]]
    picture: str


def cases_section(cases: pd.DataFrame, explained: pd.DataFrame, names: Mapping[str, str]) -> list[Case]:
    """The cases in their order: false negatives, then false positives, the worst first.

    Args:
        cases: of stage choose_cases.
        explained: of stage explain_cases, for the same cases; none of a page without pixels.
        names: StudyInstanceUID -> what the page calls the study.
    """
    pictures = {tuple(row[key] for key in KEYS): row for row in explained.to_dict("records")}
    return [
        _case(case, pictures.get(tuple(case[key] for key in KEYS)), names[case[UID]])
        for case in cases.to_dict("records")
    ]


def _case(case: Mapping[Any, Any], shown: Mapping[Any, Any] | None, name: str) -> Case:
    title = f"{case['rank']}. {case['label']} of study {name}"
    facts = [
        ("said", f"{case['probability']:.3f}, {_called(case)}"),
        ("true", "fractured" if case["truth"] == 1 else "not fractured"),
        ("threshold", f"{case['threshold']:.3f}, {_chosen(case)}"),
        ("judged", _judged(case)),
        *([("slice", _slice(case, shown))] if shown is not None or case["z_index"] != NO_SLICE else []),
        ("study", _study(case)),
        ("findings", case["findings"] or "none"),
        *([("map", shown["how"])] if shown is not None else []),
    ]
    return Case(case["kind"], title, facts, _pictures(case, shown) if shown is not None else "")


def _called(case: Mapping[Any, Any]) -> str:
    return "not called fractured" if case["kind"] == MISSED else "called fractured"


def _chosen(case: Mapping[Any, Any]) -> str:
    return f"assumed: {case['assumed']}" if case["assumed"] else "chosen on select studies"


def _judged(case: Mapping[Any, Any]) -> str:
    if case["cohort"] == TEST:
        return f"test study, by the mean of the folds run; picture and map are of fold {case['fold']}"
    return f"held out of fold {case['fold']}, by its models"


def _slice(case: Mapping[Any, Any], shown: Mapping[Any, Any] | None) -> str:
    """Which slice it is: of the study, and of what the networks read where that is several."""
    z = int(case["z_index"] if shown is None else shown["z_index"])
    words = [f"{z + 1} of {case['slices']} from the head"] if z != NO_SLICE else []
    if z == case["z_index"] and case["slice_number"] >= 0:
        words.append(f"file number {case['slice_number']}")
    if shown is not None and shown["slices"] > 1:
        words.append(f"{shown['number'] + 1} of the {shown['slices']} that are read at once")
    return ", ".join(words)


def _study(case: Mapping[Any, Any]) -> str:
    words = [f"{case['slices']} slices"]
    if np.isfinite(case["thickness"]):
        words.append(f"{case['thickness']:.2f} mm apart")
    if np.isfinite(case["row_spacing"]):
        words.append(f"{case['rows']:.0f} rows of {case['row_spacing']:.2f} mm")
    return ", ".join([*words, *(flag for flag in ("boxed", "segmented") if case[flag])])


def _pictures(case: Mapping[Any, Any], shown: Mapping[Any, Any]) -> str:
    """The slice with its boxes, and the same with the evidence over it."""
    image = np.asarray(Image.open(io.BytesIO(shown["image"])).convert("L"), np.uint8)
    boxes = np.asarray(shown["boxes"], np.float64).reshape(-1, 4)
    words = f"{case['label']}, {case['kind']}: slice {_slice(case, shown)}"
    boxed = f"; {len(boxes)} box{'es' if len(boxes) > 1 else ''} outlined" if len(boxes) else ""
    parts = [_figure(_boxed(_panel(image), boxes), words + boxed, "the slice, as the networks see it")]
    if len(shown["map"]):
        evidence = np.asarray(shown["map"], np.float32).reshape(shown["map_rows"], shown["map_columns"])
        along = np.asarray(shown["along"], np.float32)
        picture = _boxed(with_evidence(_panel(image), evidence), boxes)
        place = f"{words}; what drives the answer is most in the {_where(evidence)}{boxed}"
        caption = "bright where blurring lowers the answer" + ("; right: along the slices" if len(along) else "")
        parts.append(_figure(_with_strip(picture, along) if len(along) else picture, place, caption))
    return '<div class="case-pictures">' + "".join(parts) + "</div>"


def _panel(image: Picture) -> Picture:
    """The slice as RGB, PANEL pixels a side."""
    larger = cv2.resize(image, (PANEL, PANEL), interpolation=cv2.INTER_LINEAR)
    return np.repeat(np.asarray(larger, np.uint8)[..., None], 3, axis=2)


def _with_strip(panel: Picture, along: Floats) -> Picture:
    """The evidence along the slices beside the picture, the head at the top, the slice that is shown marked."""
    cells = cv2.resize(along[:, None], (STRIP, PANEL), interpolation=cv2.INTER_NEAREST).clip(0, 1)
    strip = inferno(cells)
    edges = np.linspace(0, PANEL, len(along) + 1).round().astype(int)
    peak = int(along.argmax())
    cv2.rectangle(strip, (0, int(edges[peak])), (STRIP - 1, int(edges[peak + 1]) - 1), MARK, 1)
    return np.concatenate([panel, np.zeros((PANEL, GAP, 3), np.uint8), strip], axis=1)


def _boxed(panel: Picture, boxes: NDArray[np.float64]) -> Picture:
    for x0, y0, x1, y1 in (boxes * PANEL).round().astype(int).tolist():
        cv2.rectangle(panel, (x0, y0), (x1, y1), BOX, 2)
    return panel


def _where(evidence: Floats) -> str:
    """The third of the picture with the highest cell, in words."""
    row, column = np.unravel_index(int(evidence.argmax()), evidence.shape)
    thirds = [
        words[int(3 * place / length)]
        for words, place, length in zip(
            (("upper", "middle", "lower"), ("left", "centre", "right")), (row, column), evidence.shape, strict=True
        )
    ]
    return " ".join(thirds)


def _figure(picture: Picture, description: str, caption: str) -> str:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="WEBP", quality=QUALITY, method=6)
    data = base64.b64encode(buffer.getvalue()).decode()
    size = f'width="{picture.shape[1]}" height="{picture.shape[0]}"'
    source = f'<img src="data:image/webp;base64,{data}" {size} alt="{html.escape(description)}">'
    return f"<figure>{source}<figcaption>{html.escape(caption)}</figcaption></figure>"
