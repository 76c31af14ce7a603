"""Hard labels from a round's own predictions, for the fractured studies without boxes (system S3, step 3)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cspine.errors import CspineError
from cspine.folds import roles_of
from cspine.studies import UID, VERTEBRAE

COLUMNS = [UID, "slice_number", "z_index", *VERTEBRAE, "weight"]
Marks = NDArray[np.bool_]  # (slices, 7) of one study


@dataclass(frozen=True)
class PseudoConfig:
    """From probabilities to labels."""

    fold: int
    round: int = 1  # the round these labels teach; the predictions come from the one before
    threshold: float = 0.5  # ASSUME: a slice is positive from here on; the source names no threshold
    agree_with_study: bool = (
        True  # a vertebra that train.csv calls whole is whole in every slice; an unknown one may be
    )
    at_least_one_run: bool = True  # a fractured vertebra without a positive slice gets its most probable run
    run_fraction: float = 0.5  # the run's slices reach this share of the peak's probability
    run_slices: int = 7  # and it is at most this long
    without_positives: str = "drop"  # a study without any positive: "drop" it, or "keep" it as all-negative
    weight: float = 1.0  # of a pseudo-labelled slice in the loss

    def __post_init__(self) -> None:
        if self.without_positives not in ("drop", "keep"):
            raise CspineError(
                f"pseudo_labels.without_positives: found {self.without_positives!r}, expected drop or keep"
            )
        if not 0 < self.threshold <= 1 or not 0 < self.run_fraction <= 1:
            raise CspineError(
                "pseudo_labels.threshold and pseudo_labels.run_fraction: expected numbers above 0, at most 1"
            )
        if self.run_slices < 1:
            raise CspineError(f"pseudo_labels.run_slices: found {self.run_slices}, expected 1 or more")


def unlabelled_studies(studies: pd.DataFrame, folds: pd.DataFrame, fold: int) -> pd.DataFrame:
    """The fractured, unboxed, readable studies of the fold's role train, sorted by name."""
    roles = roles_of(folds, fold)
    fractured = studies["patient_overall"].eq(1) | studies[list(VERTEBRAE)].eq(1).any(axis=1)
    chosen = (studies["cohort"] == "train") & studies["readable"] & fractured & ~studies["boxed"].astype(bool)
    train = studies[UID].map(roles).eq("train")
    return studies[chosen & train].sort_values(UID, ignore_index=True)


def pseudo_labels_of(
    predictions: pd.DataFrame, studies: pd.DataFrame, config: PseudoConfig
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Pseudo-labels of ``studies`` and what the rules did.

    ASSUME: a study without any positive slice is dropped; taught as negative it would contradict its label.

    Args:
        predictions: predictions.parquet; other studies' rows are ignored.
        studies: from ``unlabelled_studies``.
        config: see PseudoConfig.

    Returns:
        (COLUMNS in the order of study and z_index; counts, one row per vertebra and one for "all")

    Raises:
        CspineError: a study without predictions, a probability that is no number in [0, 1].
    """
    by_study = {uid: rows for uid, rows in _predicted(predictions, studies).groupby(UID)}
    parts: list[pd.DataFrame] = []
    tally = Tally(config)
    for study in studies.itertuples(index=False):
        rows = by_study[getattr(study, UID)].sort_values("z_index")
        label = np.array([getattr(study, v) for v in VERTEBRAE])
        over, run = mark_study(rows[list(VERTEBRAE)].to_numpy(dtype=np.float64), label, config)
        tally.add(label == 1, over, run)
        if (over | run).any() or config.without_positives == "keep":
            labels = pd.DataFrame((over | run).astype(np.int8), columns=list(VERTEBRAE), index=rows.index)
            parts.append(pd.concat([rows[[UID, "slice_number", "z_index"]], labels], axis=1))
    empty = predictions.iloc[:0][[UID, "slice_number", "z_index", *VERTEBRAE]].astype(dict.fromkeys(VERTEBRAE, np.int8))
    table = pd.concat(parts, ignore_index=True) if parts else empty
    table["weight"] = np.full(len(table), config.weight, dtype=np.float32)
    return table[COLUMNS], tally.table()


def mark_study(
    probability: NDArray[np.float64], label: NDArray[np.integer | np.bool_], config: PseudoConfig
) -> tuple[Marks, Marks]:
    """Positive slices of one study (in z-order) by threshold and by run: two disjoint (slices, 7) arrays.

    Args:
        probability: (slices, 7).
        label: (7,) of train.csv: 1, 0 or UNKNOWN. An unknown vertebra is positive where the model says so, and the
            study's label neither forbids nor demands it.
        config: see PseudoConfig.
    """
    over = probability >= config.threshold
    if config.agree_with_study:
        over &= label != 0
    run = np.zeros_like(over)
    if config.at_least_one_run:
        for vertebra in np.flatnonzero((label == 1) & ~over.any(axis=0)):
            first, last = run_around_peak(probability[:, vertebra], config.run_fraction, config.run_slices)
            run[first:last, vertebra] = True
    return over, run


def run_around_peak(probability: NDArray[np.float64], fraction: float, longest: int) -> tuple[int, int]:
    """The slices [first, last) around the peak that reach ``fraction`` of it, the likelier neighbour first.

    Empty (0, 0) where the model gives nothing at all: a peak of 0 points nowhere.
    """
    peak = int(np.argmax(probability))
    if not probability[peak] > 0:
        return 0, 0
    least = fraction * probability[peak]
    padded = np.concatenate([[-1.0], probability, [-1.0]])
    first, last = peak, peak + 1
    while last - first < longest:
        before, after = padded[first], padded[last + 1]  # shifted by the padding
        if max(before, after) < least:
            break
        first, last = (first - 1, last) if before > after else (first, last + 1)
    return first, last


class Tally:
    """Counts what the rules did, study by study."""

    def __init__(self, config: PseudoConfig) -> None:
        self.config = config
        # a column per vertebra and one for the whole study
        self.counts = {name: np.zeros(len(VERTEBRAE) + 1, dtype=np.int64) for name in COUNTS}

    def add(self, fractured: Marks, over: Marks, run: Marks) -> None:
        """One study: its vertebrae known to be fractured (7,), and its slices by threshold and by run (slices, 7)."""
        over, run = (np.column_stack([marks, marks.any(axis=1)]) for marks in (over, run))
        positive = over | run
        has = positive.any(axis=0)
        due = np.append(fractured, True)
        counted = (
            due,
            due & has,
            due & ~has,
            positive.sum(axis=0),
            over.sum(axis=0),
            (run & ~over).sum(axis=0),
        )
        for name, count in zip(COUNTS, counted, strict=True):
            self.counts[name] += count

    def table(self) -> pd.DataFrame:
        """fold, round, vertebra (C1..C7, all), COUNTS; a slice of several vertebrae is one slice of "all"."""
        counts = pd.DataFrame(self.counts)
        counts.insert(0, "vertebra", [*VERTEBRAE, "all"])
        counts.insert(0, "round", np.int16(self.config.round))
        counts.insert(0, "fold", np.int16(self.config.fold))
        return counts


COUNTS = (
    "studies_fractured",
    "studies_with_positive",
    "studies_without_positive",
    "slices_positive",
    "slices_by_threshold",
    "slices_by_run",
)


def warning_of(counts: pd.DataFrame) -> str:
    """One plain line about a round whose pseudo-labels carry little or nothing; "" where they do."""
    rows = counts[counts["vertebra"] == "all"]
    studies, positive, over = (
        int(rows[name].sum()) for name in ("studies_fractured", "slices_positive", "slices_by_threshold")
    )
    if positive == 0:
        why = "no slice reached the threshold" if studies else "there is no fractured study without boxes"
        return f"{why}: this round teaches nothing and its result is not a result"
    if over == 0:
        return f"no slice reached the threshold: all {positive} positive slices are runs around a peak"
    return ""


def _predicted(predictions: pd.DataFrame, studies: pd.DataFrame) -> pd.DataFrame:
    rows = predictions[(predictions["cohort"] == "train") & predictions[UID].isin(studies[UID])]
    missing = sorted(set(studies[UID]) - set(rows[UID]))
    if missing:
        raise CspineError(f"predictions: {len(missing)} studies to pseudo-label have none, the first is {missing[0]}")
    values = rows[list(VERTEBRAE)].to_numpy()
    wrong = ~((values >= 0) & (values <= 1)).all(axis=1)
    if wrong.any():
        raise CspineError(f"predictions: study {rows[UID].to_numpy()[wrong][0]}: expected probabilities in [0, 1]")
    return rows
