"""How good a localizer is where a mask tells: each measure on all studies, and on every resample of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cspine.bootstrap import Measured, measured_auc
from cspine.localization.anatomy import order_violations
from cspine.localization.columns import BOX, DICE, LEVELS, RATIO, SHOWN
from cspine.localization.ensembles import PRESENT
from cspine.metric import Floats
from cspine.studies import PRESENCE, UID, VERTEBRAE

MEAN = "mean"  #: stands for the mean over C1..C7 where a measure has a row for each

Found = tuple[str, str, Measured]  # measure, level ("" where it has none), value


@dataclass(frozen=True)
class Compared:
    """The slices that a mask shows, and what a localizer says about them.

    Attributes:
        uids: the studies.
        study: (slices,) position in ``uids``; one study may come from several folds.
        stacks: positions of the slices of each study and fold, from the head to the feet.
        truth: rows ``mask`` of the localization table.
        said: rows ``predicted``, of the same slices in the same order.
        dice: (studies, 7), NaN = not measured.
    """

    uids: list[str]
    study: NDArray[np.int64]
    stacks: list[NDArray[np.int64]]
    truth: pd.DataFrame
    said: pd.DataFrame
    dice: Floats


def compared(localizations: list[pd.DataFrame], wanted: list[set[str]], studies: pd.DataFrame) -> Compared:
    """Truth and predictions of the ``wanted`` studies of each fold's localization table.

    Args:
        localizations: one per fold.
        wanted: the studies to be judged, of each.
        studies: rows of studies.parquet of the folds' inner models, for DICE.
    """
    key = [UID, "z_index"]
    truths, said, places, stacks, start = [], [], [], [], 0
    for table, uids in zip(localizations, wanted, strict=True):
        of_fold = table[(table["cohort"] == "train") & table[UID].isin(uids)]
        truth = of_fold[of_fold["source"] == "mask"].sort_values(key, ignore_index=True)
        predicted = of_fold[of_fold["source"] == "predicted"].merge(truth[key], on=key, validate="1:1")
        predicted = predicted.sort_values(key, ignore_index=True)
        assert predicted[key].equals(truth[key]), "a slice that a mask shows has no prediction"
        truths.append(truth)
        said.append(predicted)
        stacks += [start + np.asarray(rows) for rows in truth.groupby(UID, sort=True).indices.values()]
        places.append(truth[UID])
        start += len(truth)
    study, names = pd.factorize(pd.concat(places, ignore_index=True), sort=True)
    dice = studies[studies["cohort"] == "train"].groupby(UID)[list(DICE)].mean().reindex(names)
    truth, predicted = (pd.concat(tables, ignore_index=True) for tables in (truths, said))
    return Compared(list(names), study.astype(np.int64), stacks, truth, predicted, dice.to_numpy(np.float64))


def measured(these: Compared, counts: Floats) -> Iterator[Found]:
    """Every measure of a localizer; one for which it has no head is left out.

    Args:
        these: slices and studies.
        counts: (draws, studies) how often each resample holds a study (``bootstrap.multiplicities``).
    """
    truth = these.truth[list(PRESENCE)].to_numpy(np.float64)
    said = these.said[list(PRESENCE)].to_numpy(np.float64)
    shown = these.said[list(SHOWN)].to_numpy(np.int64)
    aucs = [measured_auc(t, s, counts, these.study) for t, s in zip(truth.T, said.T, strict=True)]
    yield from _by_level("presence_auc", aucs)
    yield from _by_level("presence_f1", _f1(these, truth, said >= PRESENT, counts))
    yield from _by_level("ordered_f1", _f1(these, truth, shown > 0, counts))
    yield from _ratio_errors(these, counts)
    if these.said[list(BOX)].notna().any(axis=None):
        yield "box_iou", "", _box_overlap(these, counts)
    if not np.isnan(these.dice).all():
        found = [_share(np.nan_to_num(d), (~np.isnan(d)).astype(float), counts) for d in these.dice.T]
        yield from _by_level("dice", found)
    for name, values in (("violations", said >= PRESENT), ("violations_ordered", shown)):
        yield name, "", _violations(these, values.astype(np.int64), counts)


def _f1(these: Compared, truth: Floats, called: NDArray[np.bool_], counts: Floats) -> list[Measured]:
    """2 tp / (2 tp + fp + fn) of each vertebra, over slices."""
    hits = _sums(these, (truth > 0) & called)
    both = _sums(these, (truth > 0).astype(np.float64) + called)
    return [_share(2 * hits[:, column], both[:, column], counts) for column in range(len(VERTEBRAE))]


def _ratio_errors(these: Compared, counts: Floats) -> Iterator[Found]:
    """Mean absolute error of the ratio over the slices that show the level."""
    truth, said = (table[list(RATIO)].to_numpy(np.float64) for table in (these.truth, these.said))
    if np.isnan(said).all():
        return
    present = truth > 0
    errors, slices = _sums(these, np.where(present, np.abs(said - truth), 0.0)), _sums(these, present)
    found = [_share(errors[:, column], slices[:, column], counts) for column in range(len(LEVELS))]
    yield from _by_level("ratio_error", found[: len(VERTEBRAE)])
    yield "ratio_error", LEVELS[-1], found[-1]


def _box_overlap(these: Compared, counts: Floats) -> Measured:
    """Mean overlap of the boxes over the slices that have one; none is an overlap of 0."""
    truth, said = (table[list(BOX)].to_numpy(np.float64) for table in (these.truth, these.said))
    there = ~np.isnan(truth[:, 0])
    overlap = np.where(there, np.nan_to_num(box_overlap(truth, said)), 0.0)
    return _share(_sums(these, overlap[:, None])[:, 0], _sums(these, there[:, None])[:, 0], counts)


def box_overlap(one: Floats, other: Floats) -> Floats:
    """Intersection over union of boxes (n, 4) as x0, y0, x1, y1; NaN where one of the two is not there."""
    inside = np.minimum(one[:, 2:], other[:, 2:]) - np.maximum(one[:, :2], other[:, :2])
    common = np.prod(np.clip(inside, 0, None), axis=1)
    union = sum(np.prod(box[:, 2:] - box[:, :2], axis=1) for box in (one, other)) - common
    return np.asarray(np.divide(common, union, out=np.full(len(one), np.nan), where=union > 0))


def _violations(these: Compared, shown: NDArray[np.int64], counts: Floats) -> Measured:
    """Order violations per study (of each fold that predicted it)."""
    found, stacks = np.zeros(len(these.uids)), np.zeros(len(these.uids))
    for rows in these.stacks:
        found[these.study[rows[0]]] += order_violations(shown[rows])
        stacks[these.study[rows[0]]] += 1
    return _share(found, stacks, counts)


def _sums(these: Compared, values: NDArray[np.generic]) -> Floats:
    """(slices, n) added up by study: (studies, n)."""
    sums = np.zeros((len(these.uids), values.shape[1]))
    np.add.at(sums, these.study, values.astype(np.float64))
    return sums


def _share(parts: Floats, wholes: Floats, counts: Floats) -> Measured:
    """sum of parts / sum of wholes, over all studies and over those of each resample; NaN of nothing."""
    drawn = np.stack([counts @ parts, counts @ wholes])
    draws = np.divide(drawn[0], drawn[1], out=np.full(len(counts), np.nan), where=drawn[1] > 0)
    return Measured(float(parts.sum() / wholes.sum()) if wholes.sum() > 0 else float("nan"), draws)


def _by_level(name: str, found: list[Measured]) -> Iterator[Found]:
    """A measure of each of C1..C7, then the mean of those that could be measured."""
    yield from zip([name] * len(VERTEBRAE), VERTEBRAE, found, strict=True)
    known = [one for one in found if not np.isnan(one.value)]
    if known:
        yield name, MEAN, Measured(float(np.mean([m.value for m in known])), np.mean([m.draws for m in known], axis=0))
