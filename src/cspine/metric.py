"""The competition's weighted log loss in both of its readings, and the best constant to stand beside.

Weights: a negative vertebra 1, a positive one 2, a negative patient 7, a positive one 14. Which sum they are
divided by is not settled by any published source, so both forms are named and never mixed in one number:

    per_exam (a)   sum(w * l) / sum(w) over the 8 rows of each study, then the plain mean over the studies
    pooled   (b)   sum(w * l) / sum(w) over all rows of all studies

Both are weighted means of one loss per study: of weight 1 each, or of the study's own sum of weights. A row whose truth
is unknown (NaN) has weight 0 in both; a study all of whose rows are unknown cannot be scored.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cspine.errors import CspineError
from cspine.studies import LABELS

Floats = NDArray[np.float64]

NORMALISATIONS = ("per_exam", "pooled")
NEGATIVE_WEIGHTS: Floats = np.array([7.0] + [1.0] * 7)  #: in the order of LABELS
POSITIVE_WEIGHTS: Floats = 2.0 * NEGATIVE_WEIGHTS
EPS = 1e-15  #: the clip of the auditable reference (mle-bench)
NO_IDEA = 0.5  #: the constant of a label of which nothing is known


def validate(truth: ArrayLike, probability: ArrayLike) -> tuple[Floats, Floats]:
    """Both as float arrays (studies, 8) in the order of LABELS.

    Raises:
        CspineError: wrong or unequal shape, no study, a truth other than 0, 1 or NaN (unknown), a study of which
            nothing is known, a probability that is NaN or outside [0, 1]; the message names the row and the label.
    """
    labels = validate_truth(truth)
    values = np.asarray(probability, dtype=np.float64)
    if values.shape != labels.shape:
        raise CspineError(
            f"metric: probabilities have shape {values.shape}, the truth {labels.shape}; expected the same"
        )
    _refuse(np.isnan(values), values, "probability", "a number")
    _refuse((values < 0) | (values > 1), values, "probability", "a number in [0, 1]")
    return labels, values


def validate_truth(truth: ArrayLike) -> Floats:
    """Labels as a float array (studies, 8); see ``validate``."""
    labels = np.asarray(truth, dtype=np.float64)
    if labels.ndim != 2 or labels.shape[1] != len(LABELS):
        raise CspineError(f"metric: the truth has shape {labels.shape}, expected (studies, 8): {', '.join(LABELS)}")
    if not len(labels):
        raise CspineError("metric: there is no study to score")
    unknown = np.isnan(labels)
    _refuse(~(np.isin(labels, (0.0, 1.0)) | unknown), labels, "truth", "0, 1 or NaN (unknown)")
    if unknown.all(axis=1).any():
        row = int(np.flatnonzero(unknown.all(axis=1))[0])
        raise CspineError(f"metric: no label of row {row} is known; expected studies with at least one, leave it out")
    return labels


def label_weights(truth: ArrayLike) -> Floats:
    """The metric's weight of each label, (studies, 8): 7 or 14 for the patient, 1 or 2 for a vertebra, 0 if unknown."""
    labels = validate_truth(truth)
    return np.where(np.isnan(labels), 0.0, np.where(labels == 1, POSITIVE_WEIGHTS, NEGATIVE_WEIGHTS))


def exam_losses(truth: ArrayLike, probability: ArrayLike, eps: float = EPS) -> Floats:
    """The weighted log loss of each study over its 8 rows, divided by the sum of its weights: (studies,)."""
    labels, values = validate(truth, probability)
    values = np.clip(values, eps, 1 - eps)
    loss = -np.where(labels == 1, np.log(values), np.log1p(-values))
    weights = label_weights(labels)
    return np.asarray((weights * loss).sum(axis=1) / weights.sum(axis=1))


def exam_weights(truth: ArrayLike, normalisation: str) -> Floats:
    """What each study's loss counts in the mean over the studies: (studies,)."""
    check_normalisation(normalisation)
    weights = label_weights(truth)
    return np.ones(len(weights)) if normalisation == "per_exam" else np.asarray(weights.sum(axis=1))


def weighted_log_loss(
    truth: ArrayLike, probability: ArrayLike, normalisation: str = "per_exam", eps: float = EPS
) -> float:
    """The competition's metric of two arrays (studies, 8) in the order of LABELS; lower is better."""
    weights = exam_weights(truth, normalisation)
    return float(np.average(exam_losses(truth, probability, eps), weights=weights))


def best_constant(truth: ArrayLike, normalisation: str = "per_exam") -> Floats:
    """The one row of 8 probabilities that minimises the loss when every study is given it: (8,).

    For one label the loss is -[A log p + B log(1 - p)], A and B the shares of its positive and negative rows,
    least at p = A / (A + B). A row's share is w / (sum of its study's w) per exam, and w itself pooled,
    where for a prevalence f the optimum is 2f / (1 + f). A label without a positive gives 0: clip it before
    it meets unseen studies. ASSUME: a vertebra that is known of no study is given the constant of all vertebrae
    together; where no vertebra is known, or no patient, 0.5, which claims nothing.
    """
    labels = validate_truth(truth)
    shares = label_weights(labels)
    check_normalisation(normalisation)
    if normalisation == "per_exam":
        shares = shares / shares.sum(axis=1, keepdims=True)
    positive, known = np.where(labels == 1, shares, 0.0).sum(axis=0), shares.sum(axis=0)
    vertebrae = positive[1:].sum() / known[1:].sum() if known[1:].any() else NO_IDEA
    fallback = np.array([NO_IDEA] + [vertebrae] * (len(LABELS) - 1))
    return np.divide(positive, known, out=fallback, where=known > 0)


def check_normalisation(normalisation: str) -> None:
    """Raise a CspineError that lists the known forms when ``normalisation`` is none of them."""
    if normalisation not in NORMALISATIONS:
        raise CspineError(f"normalisation: found {normalisation!r}, expected one of {', '.join(NORMALISATIONS)}")


def _refuse(wrong: NDArray[np.bool_], values: Floats, what: str, expected: str) -> None:
    if wrong.any():
        row, column = (int(i) for i in np.argwhere(wrong)[0])
        found = values[row, column]
        raise CspineError(f"metric: {what} of row {row}, {LABELS[column]}: found {found:g}, expected {expected}")
