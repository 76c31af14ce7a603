"""The slice labels that one method is taught: the box rule's, or with each box given to the vertebrae that it means.

``labels.py`` makes a boxed slice positive for every fractured vertebra of its study. Here each boxed slice of a study
with several gets a probability for each of them (``box_levels``), from what a localizer sees in it (``box_evidence``).
No box is lost: the probabilities of a slice add up to 1 or more. Studies of one fractured vertebra stay as they are,
and so does every vertebra that train.csv calls unfractured, or of which it says nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cspine.box_evidence import CORNERS, predicted_rows, strengths
from cspine.box_levels import Floats, level_probabilities
from cspine.errors import CspineError
from cspine.findings import Finding
from cspine.labels import COLUMNS as LABEL_COLUMNS
from cspine.studies import CONFIDENCE, PRESENCE, UID, UNKNOWN, VERTEBRAE

COLUMNS = [*LABEL_COLUMNS, *CONFIDENCE]
SEEN = 0.5  # a localizer sees a vertebra from this probability on
LEAST_CONFIDENCE = 0.1  # in a slice in which the localizer sees none of the vertebrae that its box can mean (ASSUME)
CODE = "boxes-off-prediction"  #: reason code


@dataclass(frozen=True)
class AssignConfig:
    """How the boxes of one method and fold become labels of vertebrae."""

    fold: int  # whose localization it is
    assign: str = "all"  # all: a box means every fractured vertebra of its study; localized: those that are there
    soft: bool = True  # the probabilities are the targets; else they are rounded, and kept as confidence
    least: float = 0.5  # rounded: a vertebra is fractured in a slice from this probability on
    rim: int = 0  # slices at either end of a boxed run, inside and just outside, whose weight is changed
    rim_weight: float = 1.0  # by this factor; 0 leaves them out
    between: int = 0  # gaps of up to so many slices between boxed runs of a study are left out

    def __post_init__(self) -> None:
        if self.assign not in ("all", "localized"):
            raise CspineError(f"labels.assign: found {self.assign!r}, expected all or localized")
        if not 0 < self.least <= 1:
            raise CspineError(f"labels.least: found {self.least!r}, expected a number above 0, at most 1")
        for name in ("rim", "rim_weight", "between"):
            if not getattr(self, name) >= 0:
                raise CspineError(f"labels.{name}: found {getattr(self, name)!r}, expected 0 or more")


@dataclass
class Tally:
    """What was done to the boxed slices."""

    boxed: int = 0
    assigned: int = 0  # in studies with several vertebrae that a box can mean
    unseen: int = 0  # of these, slices in which the localizer sees none of them
    rim: int = 0  # slices whose weight was changed
    left_out: int = 0  # at the rim or between runs
    findings: list[Finding] = field(default_factory=list)

    def line(self) -> str:
        """In one line."""
        return (
            f"{self.boxed} boxed slices, {self.assigned} given to single vertebrae ({self.unseen} of them without any "
            f"in sight), {self.rim} weighted as rim, {self.left_out} left out; {len(self.findings)} findings"
        )


def trusted(labels: pd.DataFrame) -> pd.DataFrame:
    """labels/slices.parquet in COLUMNS: 0, 1 or NaN where the label is unknown, every confidence 1."""
    targets = labels[list(VERTEBRAE)].astype(np.float32)
    table = labels.assign(**dict.fromkeys(CONFIDENCE, np.float32(1)))[COLUMNS]
    table[list(VERTEBRAE)] = targets.mask(targets == UNKNOWN)
    return table


def assign_boxes_to_levels(
    labels: pd.DataFrame, boxes: pd.DataFrame, localization: pd.DataFrame, config: AssignConfig
) -> tuple[pd.DataFrame, Tally]:
    """The labels with each boxed slice given to the vertebrae that it means.

    Args:
        labels: as from ``trusted``.
        boxes: of the boxed slices, from ``box_evidence.boxes_in_shares``.
        localization: localization/{localizer}/fold-{k}.parquet; only its rows ``predicted`` count.
        config: see AssignConfig.

    Returns:
        The table, in the same rows and order, and what was done.

    Raises:
        CspineError: the localization lacks a boxed slice.
    """
    table, tally = labels.copy(), Tally(boxed=int((labels["source"] == "box").sum()))
    boxed = table[table["source"] == "box"].sort_values([UID, "z_index"])
    seen = predicted_rows(localization, boxed[[UID, "z_index"]]).set_index(boxed.index)
    corners = {key: part[CORNERS].to_numpy(np.float64) for key, part in boxes.groupby([UID, "slice_number"])}
    for uid, rows in boxed.groupby(UID):
        place = seen.loc[rows.index]
        due = rows[list(VERTEBRAE)].iloc[0].to_numpy(np.float64)  # 1, 0 or NaN: the same in every boxed slice
        levels = np.flatnonzero(due != 0)
        in_sight = place[list(PRESENCE)].to_numpy(np.float64)[:, levels].max(axis=1)
        if (in_sight < SEEN).all():
            tally.findings.append(_contradiction(str(uid), levels, len(rows)))
        if len(levels) == 1:
            continue
        strength = strengths(place, [corners[str(uid), number] for number in rows["slice_number"]])
        z = rows["z_index"].to_numpy(np.int64)
        probability = level_probabilities(strength[:, levels], z, levels, due[levels] == 1)
        tally.assigned += len(rows)
        tally.unseen += int((in_sight < SEEN).sum())
        target, confidence = _labels_of(probability, np.maximum(in_sight, LEAST_CONFIDENCE), config)
        for column in np.flatnonzero(due[levels] == 1):  # what nobody knows stays unknown
            table.loc[rows.index, VERTEBRAE[levels[column]]] = target[:, column].astype(np.float32)
            table.loc[rows.index, CONFIDENCE[levels[column]]] = confidence[:, column].astype(np.float32)
    return table, tally


def rounded(probability: Floats, least: float) -> NDArray[np.bool_]:
    """Hard labels, (slices, k): what reaches ``least``, but at least one vertebra in each slice, and one slice of each.

    The most probable one, where none reaches it: neither a box nor a fractured vertebra is lost.
    """
    chosen = probability >= least
    without = ~chosen.any(axis=1)
    chosen[without, probability[without].argmax(axis=1)] = True
    missing = np.flatnonzero(~chosen.any(axis=0))
    chosen[probability[:, missing].argmax(axis=0), missing] = True
    return chosen


def weigh_rims(labels: pd.DataFrame, config: AssignConfig, tally: Tally) -> pd.DataFrame:
    """The labels with another weight at the rims of boxed runs, and without what is left out."""
    factor = np.ones(len(labels))
    for _, rows in labels.groupby(UID, sort=False):
        if not (rows["source"] == "box").any():
            continue
        order = np.argsort(rows["z_index"].to_numpy())
        boxed = (rows["source"] == "box").to_numpy()[order]
        found = np.where(at_rims(boxed, config.rim), config.rim_weight, 1.0)
        found[between_runs(boxed, config.between)] = 0.0
        factor[labels.index.get_indexer(rows.index)[order]] = found
    tally.rim, tally.left_out = int(((factor != 1) & (factor != 0)).sum()), int((factor == 0).sum())
    weighed = labels.assign(weight=(labels["weight"] * factor).astype(np.float32))
    return weighed[factor > 0].reset_index(drop=True)


def at_rims(boxed: NDArray[np.bool_], width: int) -> NDArray[np.bool_]:
    """The ``width`` slices on either side of each end of a boxed run; of a study in z-order, (slices,)."""
    found = np.zeros(len(boxed), dtype=bool)
    for edge in np.flatnonzero(np.diff(boxed)) + 1:  # the first slice after it
        found[max(edge - width, 0) : edge + width] = True
    return found


def between_runs(boxed: NDArray[np.bool_], longest: int) -> NDArray[np.bool_]:
    """The unboxed slices between two boxed runs at most ``longest`` slices apart; of a study in z-order, (slices,)."""
    found = np.zeros(len(boxed), dtype=bool)
    places = np.flatnonzero(boxed)
    for before, after in pairwise(places):
        if after - before - 1 <= longest:
            found[before + 1 : after] = True
    return found


def _labels_of(probability: Floats, in_sight: Floats, config: AssignConfig) -> tuple[Floats, Floats]:
    """Targets and confidences, (slices, k) each."""
    if config.soft:
        return probability, np.repeat(in_sight[:, None], probability.shape[1], axis=1)
    chosen = rounded(probability, config.least)
    return chosen.astype(np.float64), np.where(chosen, probability, 1 - probability) * in_sight[:, None]


def _contradiction(uid: str, levels: NDArray[np.int64], slices: int) -> Finding:
    names = ", ".join(VERTEBRAE[level] for level in levels)
    consequence = (
        "the boxes are believed" if len(levels) == 1 else "the nearest vertebrae are taught, with low confidence"
    )
    return Finding(uid, CODE, "train_bounding_boxes.csv", f"{slices} boxed slices; {names} fractured", consequence)
