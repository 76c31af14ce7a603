"""The error analysis as a person reads it: plain text of at most 100 columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from textwrap import wrap
from typing import Any, Protocol

import numpy as np
import pandas as pd

from cspine.analysis.cells import PATIENT, SLICE, SLICE_IN_VIEW, VERTEBRA
from cspine.analysis.cohorts import Cohort
from cspine.analysis.properties import LEAST_OF_A_GROUP
from cspine.analysis.slice_figures import ALL, IN_VIEW, MEAN
from cspine.bundles.points import LEAST_POSITIVES
from cspine.score_texts import CLAIMS, COHORTS, TOO_FEW, WIDTH, data_name
from cspine.scores import LEAST_OF_A_CLASS, LEAST_STUDIES
from cspine.studies import VERTEBRAE

Tables = dict[str, pd.DataFrame]
SHOWN = np.arange(1, 10) / 10  # thresholds of the text; the table has every hundredth
POOLED = (PATIENT, VERTEBRA, SLICE, SLICE_IN_VIEW)  # levels whose rates are shown with intervals
BLANK = "-"


class Claims(Protocol):
    """What the text says of itself."""

    @property
    def method(self) -> str: ...
    @property
    def folds_run(self) -> list[int]: ...
    @property
    def phantom(self) -> bool: ...
    @property
    def size(self) -> str: ...
    @property
    def bootstrap(self) -> int: ...


def error_text(cohorts: list[Cohort], tables: Mapping[str, pd.DataFrame], points: pd.DataFrame, config: Claims) -> str:
    """What it may claim and how to read it, then a block for each cohort.

    Args:
        cohorts: that were analysed.
        tables: of ``analyse_errors``, by name.
        points: the thresholds chosen on select.
        config: whose errors they are.
    """
    lines = [
        f"errors of {config.method} on {data_name(config.phantom)}",
        CLAIMS[config.size],
        f"folds run: {', '.join(map(str, config.folds_run))}",
        f"[95 % interval] over {config.bootstrap} resamples of studies",
        "at: the threshold; 0.5, and the one with the most sensitivity + specificity on the fold's `select`:",
        *_points(points),
        "recall: sensitivity; FPR, FNR: false positive and negative rate, 1 - specificity and 1 - recall",
        "all neg.: the accuracy of calling nothing fractured",
        f"few: {TOO_FEW}, fewer than {LEAST_STUDIES} studies or than {LEAST_OF_A_CLASS} of a class",
    ]
    for cohort in cohorts:
        own = {name: table[table["cohort"] == cohort.name] for name, table in tables.items()}
        lines += ["", *_cohort(cohort), *_confusion(own["confusion"]), *_rates(own["confusion"])]
        lines += [*_thresholds(own["thresholds"]), *_areas(own["areas"]), *_calibration(own["calibration"])]
        lines += [*_slices(own["slice_aucs"]), *_properties(own["properties"])]
    return "\n".join(lines) + "\n"


def sentence_of(cohort: Cohort, tables: Mapping[str, pd.DataFrame]) -> str:
    """A cohort's patients and vertebrae at the chosen threshold, in one line."""
    table = tables["confusion"]
    rows = table[(table["cohort"] == cohort.name) & (table["rule"] == "select")].set_index("level")
    parts = [
        f"{level} recall {rows['recall'][level]:.3f}, specificity {rows['specificity'][level]:.3f}"
        for level in (PATIENT, VERTEBRA)
    ]
    return f"{cohort.name}: {len(cohort.uids)} studies, {'; '.join(parts)}"


def _points(points: pd.DataFrame) -> Iterator[str]:
    for fold, rows in points.groupby("fold"):
        chosen = ", ".join(f"{row.kind} {_threshold(row.threshold)}" for row in _rows(rows))
        yield f"  fold {fold}: {chosen}"
        for row in _rows(rows[rows["assumed"] != ""]):
            said = f"! fold {fold}, {row.kind}: 0.5 is assumed, {row.assumed}"
            yield from wrap(said, WIDTH, initial_indent="  ", subsequent_indent="    ")
    if points["assumed"].ne("").any():
        yield f"  (a threshold is chosen by at least {LEAST_POSITIVES} of each class)"


def _cohort(cohort: Cohort) -> Iterator[str]:
    name = COHORTS.get(cohort.name, "results/submission.csv, the test studies as submitted")
    line = f"{name}: {len(cohort.uids)} studies, {int(np.nansum(cohort.truth[:, 0]))} fractured"
    yield line
    yield "=" * len(line)
    if cohort.by_prior:
        yield f"{cohort.by_prior} of them could not be predicted and are given the training prior"


def _confusion(table: pd.DataFrame) -> Iterator[str]:
    numbers = ("tn", "fp", "fn", "tp")
    yield ""
    heads = ("recall", "prec.", "F1", "FPR", "FNR", "accur.")
    yield f"{'counts':<13}{'at':>6}" + "".join(f"{name:>7}" for name in (*numbers, *heads)) + f"{'all neg.':>9}"
    for row in _rows(table):
        counts = "".join(f"{getattr(row, name):>7}" for name in numbers)
        figures = (row.recall, row.precision, row.f1, row.false_positive_rate, row.false_negative_rate)
        cells = "".join(f"{_plain(f, 3):>7}" for f in (*figures, row.accuracy))
        yield f"{row.level:<13}{_threshold(row.threshold):>6}{counts}{cells}{_none(row)}"
    if not table["measurable"].all():
        yield f"*: {TOO_FEW}"


def _rates(table: pd.DataFrame) -> Iterator[str]:
    names = {"recall": "sensitivity", "specificity": "specificity", "f1": "F1", "accuracy": "accuracy"}
    yield ""
    yield (f"{'rates':<13}{'at':>6}  " + "".join(f"{name:<19}" for name in names.values())).rstrip()
    for row in _rows(table[table["level"].isin(POOLED)]):
        cells = "".join(f"{_with_interval(row, name, 2):<19}" for name in names)
        yield f"{row.level:<13}{_threshold(row.threshold):>6}  {cells}".rstrip()


def _thresholds(table: pd.DataFrame) -> Iterator[str]:
    yield ""
    yield f"{'against threshold':<23}" + "".join(f"{t:>7.1f}" for t in SHOWN)
    for level in POOLED:
        rows = table[table["level"] == level]
        rows = rows[np.isin(np.round(rows["threshold"], 6), np.round(SHOWN, 6))]
        for name, title in (("accuracy", "accuracy"), ("f1", "F1")):
            yield f"{level:<14}{title:<9}" + "".join(f"{_plain(v, 3):>7}" for v in rows[name])


def _areas(table: pd.DataFrame) -> Iterator[str]:
    yield ""
    yield f"{'areas':<15}{'AUC':<22}{'average precision':<22}{'prevalence':<12}{'positive':>9}{'negative':>9}"
    for row in _rows(table):
        cells = f"{_with_interval(row, 'auc', 3):<22}{_with_interval(row, 'average_precision', 3):<22}"
        sizes = f"{_plain(row.prevalence, 3):<12}{row.positives:>9}{row.negatives:>9}"
        yield f"{row.level:<15}{cells}{sizes}{_few(row)}"


def _calibration(table: pd.DataFrame) -> Iterator[str]:
    yield ""
    yield f"{'calibration':<15}{'Brier score':<22}{'constant':<10}{'score - constant':<25}calibration error"
    for row in _rows(table):
        cells = f"{_with_interval(row, 'brier', 3):<22}{_plain(row.constant, 3):<10}"
        more = f"{_with_interval(row, 'difference', 3, '+'):<25}{_with_interval(row, 'error', 3):<22}"
        yield f"{row.level:<15}{cells}{more}{_few(row)}".rstrip()
    yield "constant: the best one of each label, fitted on the very labels it is scored by"


def _slices(table: pd.DataFrame) -> Iterator[str]:
    yield ""
    if not table["slices"].any():
        yield "slices: of none of them is it known whether it shows a fracture"
        return
    sizes = f"{'slices':>7}{'fract.':>7}"
    yield f"{'slice AUC':<15}{'vertebra in view':<22}{sizes}{'':4}{'all slices':<22}{sizes}"
    for label in (*VERTEBRAE, MEAN):
        cells = []
        for counted in (IN_VIEW, ALL):
            row = next(_rows(table[(table["label"] == label) & (table["counted"] == counted)]))
            value = _with_interval(row, "auc", 3) if row.measurable else TOO_FEW
            cells.append(f"{value:<22}{row.slices:>7}{row.fractured:>7}")
        yield f"{label:<15}{cells[0]}{'':4}{cells[1]}"
    yield f"{TOO_FEW}: fewer than {LEAST_OF_A_CLASS} studies with a fractured slice, or without one"


def _properties(table: pd.DataFrame) -> Iterator[str]:
    yield ""
    yield (
        f"{'patients by':<19}{'studies':>7}{'fract.':>7}  {'loss':<6}{'loss - the others':<23}"
        f"{'sensitivity':<19}specificity"
    )
    for name, rows in table.groupby("property", sort=False):
        if len(rows) > 1:
            yield f"{name}"
            yield from map(_property, _rows(rows))
    yield (
        f"few: under {LEAST_OF_A_GROUP} studies for a loss, {LEAST_OF_A_CLASS} of a class for the rest, "
        "at the chosen threshold"
    )
    yield "!: the interval excludes 0; of so many groups some do by chance"


def _property(row: Any) -> str:
    clear = row.difference_low > 0 or row.difference_high < 0
    loss = f"{row.loss:<6.2f}{_with_interval(row, 'difference', 2, '+') + (' !' if clear else ''):<23}"
    loss = loss if row.enough_loss else f"{'few':<29}"
    sensitivity = _with_interval(row, "sensitivity", 2) if row.enough_sensitivity else "few"
    specificity = _with_interval(row, "specificity", 2) if row.enough_specificity else "few"
    return f"  {row.group:<19}{row.studies:>5}{row.fractured:>7}  {loss}{sensitivity:<19}{specificity}"


def _with_interval(row: Any, name: str, digits: int, sign: str = "") -> str:
    value, low, high = (getattr(row, f"{name}{end}") for end in ("", "_low", "_high"))
    if np.isnan(value):
        return BLANK
    return f"{value:{sign}.{digits}f} [{low:{sign}.{digits}f}, {high:{sign}.{digits}f}]"


def _plain(value: float, digits: int) -> str:
    return BLANK if np.isnan(value) else f"{value:.{digits}f}"


def _threshold(value: float) -> str:
    """Slices have thresholds far below a thousandth."""
    return f"{value:.0e}" if 0 < value < 0.0005 else _plain(value, 3)


def _few(row: Any) -> str:
    return "" if row.measurable else "  few"


def _none(row: Any) -> str:
    return f"{_plain(row.accuracy_all_negative, 3):>9}{'' if row.measurable else ' *'}"


def _rows(table: pd.DataFrame) -> Iterator[Any]:
    """The rows with their columns as attributes."""
    yield from table.itertuples()
