"""measure_pseudo_labels: how good pseudo-labels are, by boxes that were not shown and by the phantom's truth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from cspine.bootstrap import multiplicities, resamples
from cspine.errors import CspineError
from cspine.metric import Floats
from cspine.progress import say
from cspine.pseudo.config import PseudoConfig, evidence_only
from cspine.pseudo.labels import choices_on, labels_apart, pseudo_labels_of
from cspine.pseudo.who import labels_seen, unlabelled_studies
from cspine.pseudo_quality.references import (
    Labelled,
    boxed_select_studies,
    cells_by_boxes,
    cells_by_truth,
    fractured_by_truth,
    has_box,
    labelled,
    shown_by,
)
from cspine.pseudo_quality.table import Ways, quality_table
from cspine.stage import InPath, OutPath
from cspine.tables import read_table, write_table


@dataclass(frozen=True)
class QualityConfig:
    """How the labels are made, and how sure the figures are."""

    pseudo: PseudoConfig  # the same as of pseudo_label
    bootstrap: int = 1000  # resamples of studies behind each interval
    seed: int = 0

    def __post_init__(self) -> None:
        if self.bootstrap < 1:
            raise CspineError(f"score.bootstrap: found {self.bootstrap}, expected 1 or more")


def measure_pseudo_labels(
    predictions: InPath,
    studies: InPath,
    folds: InPath,
    labels: InPath,
    quality: OutPath,
    *,
    localization: InPath | None = None,
    truth: InPath | None = None,
    config: QualityConfig,
) -> None:
    """Label the boxed studies of the fold's role ``select`` as if they had no boxes, and hold the labels against these.

    What the rules choose on boxed studies, they choose here on others than those they label.

    Args:
        predictions: predictions.parquet of the round whose labels are measured.
        studies: index/studies.parquet.
        folds: folds.parquet.
        labels: labels/slices.parquet, whose slices of source ``box`` have the boxes.
        quality: fold, round (whose predictions are used) and the columns of ``quality_table``.
        localization: localization/{localizer}/fold-{k}.parquet; adds the comparison ``shown``.
        truth: the phantom's slices.parquet; adds the arms ``truth`` and ``unboxed``. It changes nothing of ``boxes``.
        config: see QualityConfig.
    """
    predicted, index, roles, taught = (read_table(path) for path in (predictions, studies, folds, labels))
    places = None if localization is None else read_table(localization)
    fold = config.pseudo.fold
    boxed, seen = boxed_select_studies(index, roles, taught, fold), labels_seen(taught, roles, fold)
    select = labelled(predicted, boxed, *labels_apart(predicted, boxed, seen, config.pseudo, places))
    shown = None if places is None else shown_by(select, places)
    arms: dict[str, Ways] = {"boxes": cells_by_boxes(select, has_box(select, taught), shown)}
    counts = dict.fromkeys(("boxes", "truth"), _counts(select, config, config.seed))
    if truth is not None:
        hidden = read_table(truth)
        others, made = unlabelled_studies(index, roles, fold), choices_on(predicted, boxed, seen, config.pseudo, places)
        tables = [
            pseudo_labels_of(predicted, others, how, places, made)[0]
            for how in (config.pseudo, evidence_only(config.pseudo))
        ]
        unboxed = labelled(predicted, others, *tables)
        for arm, found in (("truth", select), ("unboxed", unboxed)):
            arms[arm] = cells_by_truth(found, fractured_by_truth(found, hidden), localised=places is not None)
        counts["unboxed"] = _counts(unboxed, config, config.seed + 1)  # other studies, drawn on their own
    table = quality_table(arms, counts)
    table.insert(0, "round", np.int16(config.pseudo.round - 1))
    table.insert(0, "fold", np.int16(fold))
    write_table(table, quality)
    say(_sentence(table, len(select.fractured)))


def _counts(found: Labelled, config: QualityConfig, seed: int) -> Floats:
    studies = len(found.fractured)
    if not studies:
        return np.zeros((config.bootstrap, 0))
    return multiplicities(resamples(studies, config.bootstrap, seed))


def _sentence(table: pd.DataFrame, studies: int) -> str:
    of_slices = table[(table["arm"] == "boxes") & (table["than"] == "") & (table["compared"] == "slice")]
    value = of_slices.set_index("measure")["value"]
    words = ", ".join(f"{name} {value[name]:.2f}" for name in ("precision", "recall", "found"))
    return f"measure_pseudo_labels: {studies} boxed studies of select by their boxes: slice {words}"
