"""What pseudo-labels are held against: the boxes of boxed studies, and on the phantom the hidden truth.

A box names a slice and no vertebra. So it is compared in four ways, each a set of ``Cells``:

    slice   is any vertebra labelled in the slice? Against: has the slice a box? Nothing is assumed.
    one     studies with exactly one fractured vertebra: their boxes are that vertebra's. Nothing is assumed.
    study   every study: a box counts for all vertebrae that the study's label calls fractured. In a study with several
            it asks for too much, so the recall is too low and the precision too high.
    shown   the same, where the localisation says that the slice shows the vertebra.

The truth knows the vertebra; the four ways then differ in the cells only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cspine.errors import CspineError
from cspine.folds import roles_of
from cspine.metric import Floats
from cspine.partial_labels import truth_of
from cspine.pseudo_quality.figures import ALL, Cells
from cspine.slice_targets import targets_from_truth
from cspine.studies import UID, VERTEBRAE

COMPARED = ("slice", "one", "study", "shown")
SLICE = [UID, "z_index"]


@dataclass(frozen=True)
class Labelled:
    """The slices of some studies, in the order of study and z, with their pseudo-labels.

    Attributes:
        slices: cohort, StudyInstanceUID, slice_number, z_index.
        study: (slices,) the row of ``fractured`` each slice belongs to.
        fractured: (studies, 7) of train.csv: 1, 0 or NaN (unknown).
        label: (slices, 7) 0..1, NaN where left out; 0 in a study that got none.
        probability: (slices, 7) behind the label.
        confidence: (slices, 7) 0..1, what each label counts in the loss; 1 where the labels come without.
    """

    slices: pd.DataFrame
    study: NDArray[np.int64]
    fractured: Floats
    label: Floats
    probability: Floats
    confidence: Floats


def boxed_select_studies(studies: pd.DataFrame, folds: pd.DataFrame, labels: pd.DataFrame, fold: int) -> pd.DataFrame:
    """The studies of the fold's role ``select`` whose boxes count, as if they had none; by name.

    Args:
        studies: index/studies.parquet.
        folds: folds.parquet.
        labels: labels/slices.parquet: a study whose boxes were refused has no slice of source ``box`` there.
        fold: whose roles count.
    """
    roles = roles_of(folds, fold)
    boxed = set(labels.loc[labels["source"] == "box", UID])
    chosen = (studies["cohort"] == "train") & studies[UID].map(roles).eq("select") & studies[UID].isin(boxed)
    return studies[chosen].assign(boxed=False).sort_values(UID, ignore_index=True)


def labelled(
    predictions: pd.DataFrame,
    studies: pd.DataFrame,
    pseudo_labels: pd.DataFrame,
    evidence: pd.DataFrame | None = None,
) -> Labelled:
    """Every predicted slice of ``studies`` with its pseudo-label.

    Args:
        predictions: predictions.parquet.
        studies: rows of index/studies.parquet, by name.
        pseudo_labels: from ``pseudo.pseudo_labels_of``; a study that it dropped is labelled 0 throughout.
        evidence: soft labels of all slices, which is the probability behind the labels; None = the model's own.
    """
    columns = ["cohort", UID, "slice_number", "z_index", *VERTEBRAE]
    own = (predictions["cohort"] == "train") & predictions[UID].isin(studies[UID])
    rows = predictions.loc[own, columns].sort_values(SLICE, ignore_index=True)
    joined = rows[SLICE].merge(pseudo_labels, on=SLICE, how="left", validate="1:1")
    label = joined[list(VERTEBRAE)].to_numpy(dtype=np.float64, copy=True)
    label[~rows[UID].isin(pseudo_labels[UID]).to_numpy()] = 0.0
    place = pd.Index(studies[UID]).get_indexer(pd.Index(rows[UID])).astype(np.int64)
    behind = rows if evidence is None else rows[SLICE].merge(evidence, on=SLICE, how="left", validate="1:1")
    probability = behind[list(VERTEBRAE)].to_numpy(dtype=np.float64)
    sure = joined.reindex(columns=[f"confidence_{v}" for v in VERTEBRAE], fill_value=1.0).to_numpy(dtype=np.float64)
    return Labelled(rows[columns[:4]], place, truth_of(studies)[:, 1:], label, probability, sure)


def has_box(found: Labelled, labels: pd.DataFrame) -> NDArray[np.bool_]:
    """(slices,) which of the slices have a valid box.

    Args:
        found: boxed studies.
        labels: labels/slices.parquet.
    """
    box = labels.loc[labels["source"] == "box", SLICE]
    return np.asarray(pd.MultiIndex.from_frame(found.slices[SLICE]).isin(pd.MultiIndex.from_frame(box)))


def shown_by(found: Labelled, localization: pd.DataFrame) -> NDArray[np.bool_]:
    """(slices, 7) whether the localisation, out of fold, says that the slice shows the vertebra.

    Raises:
        CspineError: a slice that it says nothing about.
    """
    columns = [f"shown_{v}" for v in VERTEBRAE]
    own = (localization["cohort"] == "train") & (localization["source"] == "predicted")
    joined = found.slices[SLICE].merge(localization.loc[own, [*SLICE, *columns]], on=SLICE, how="left", validate="1:1")
    absent = joined[columns[0]].isna()
    if absent.any():
        first = joined[absent].iloc[0]
        raise CspineError(
            f"localization: no predicted row for slice {first['z_index']} of study {first[UID]}; "
            "expected one for every readable slice"
        )
    return joined[columns].to_numpy() == 1


def fractured_by_truth(found: Labelled, truth: pd.DataFrame) -> Floats:
    """(slices, 7) what the phantom's hidden truth says: 1 where a fracture of the vertebra is visible.

    Raises:
        CspineError: a slice of which the truth knows nothing: it is another phantom's.
    """
    known = targets_from_truth(truth, found.slices)
    joined = found.slices[SLICE].merge(known[[*SLICE, *VERTEBRAE]], on=SLICE, validate="1:1")
    return joined[list(VERTEBRAE)].to_numpy(dtype=np.float64)


def cells_by_boxes(found: Labelled, box: NDArray[np.bool_], shown: NDArray[np.bool_] | None = None) -> dict[str, Cells]:
    """Each way of ``COMPARED`` by boxes; ``shown`` only with a localisation.

    Args:
        found: boxed studies.
        box: (slices,) from ``has_box``.
        shown: (slices, 7) from ``shown_by``.
    """
    of_study = found.fractured[found.study]
    named = np.where(box[:, None], of_study, 0.0)  # NaN: of a vertebra nobody knows about
    ways = _ways(found, box.astype(np.float64), named)
    if shown is not None:
        ways["shown"] = _cells(found, np.where(shown, named, 0.0))
    return ways


def cells_by_truth(found: Labelled, fractured: Floats, localised: bool = False) -> dict[str, Cells]:
    """Each way of ``COMPARED`` by the truth.

    Args:
        found: any studies.
        fractured: (slices, 7) from ``fractured_by_truth``.
        localised: with ``shown``, to stand beside that of the boxes; it is what ``study`` is.
    """
    ways = _ways(found, fractured.max(axis=1, initial=0.0), fractured)
    return ways | ({"shown": ways["study"]} if localised else {})


def _ways(found: Labelled, in_slice: Floats, of_vertebra: Floats) -> dict[str, Cells]:
    sure = (found.fractured == 1).sum(axis=1) == 1
    sure &= ~np.isnan(found.fractured).any(axis=1)
    alone = np.where(sure[found.study][:, None], of_vertebra, np.nan)
    return {
        "slice": _any_vertebra(found, in_slice),
        "one": _cells(found, alone),
        "study": _cells(found, of_vertebra),
    }


def _cells(found: Labelled, reference: Floats) -> Cells:
    may_be = (found.fractured != 0)[found.study]
    studies = len(found.fractured)
    return Cells(VERTEBRAE, studies, found.study, found.label, found.probability, reference, may_be, found.confidence)


def _any_vertebra(found: Labelled, reference: Floats) -> Cells:
    """One column: the highest label with its confidence, and the highest probability that the study's label allows."""
    known = np.nan_to_num(found.label, nan=-1.0)
    highest = known.argmax(axis=1)[:, None]
    label, sure = (np.take_along_axis(values, highest, axis=1) for values in (known, found.confidence))
    may_be = (found.fractured != 0)[found.study]
    probability = np.where(may_be, found.probability, 0.0).max(axis=1, initial=0.0)[:, None]
    every = np.ones_like(label, dtype=bool)
    label = np.where(label < 0, np.nan, label)  # all seven are left out
    studies = len(found.fractured)
    return Cells((ALL,), studies, found.study, label, probability, reference[:, None], every, sure)
