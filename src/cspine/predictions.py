"""From slices to studies: how seven probabilities for each slice become eight for each study.

Of a slice the fracture counts, or the fracture where the vertebra is (``slice_evidence``). Vertebra = maximum or mean
of the k most probable slices; patient = maximum or noisy-or of the vertebrae or of the most probable of them, or what
the model says of the patient (``patients``); then a calibration and a clip. Which of these is a choice, and every
choice is made on the fold's role select. The table of a method that judges whole studies or vertebrae has one row a
study, and goes the same way: the maximum of one row is that row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from cspine.calibration import Line, Platt, cross_fitted, fit_platt
from cspine.errors import CspineError
from cspine.folds import roles_of
from cspine.metric import Floats, check_normalisation, weighted_log_loss
from cspine.partial_labels import truth_of
from cspine.patients import OWN, judged_by, patient_of, vertebrae_taken
from cspine.slice_evidence import EVIDENCE, columns_for, values_for, weighed
from cspine.studies import LABELS, UID, VERTEBRAE

CALIBRATIONS = ("none", "platt")
STUDY = ["cohort", UID]


@dataclass(frozen=True)
class AggregateConfig:
    """What is tried, in this order; the first of each is used where too few select studies could decide."""

    fold: int
    # how slices become a vertebra: "max", or "mean_of_<k>" for its k most probable slices
    vertebra: list[str] = field(default_factory=lambda: ["max", "mean_of_3", "mean_of_5"])
    # how vertebrae become the patient: "max", "noisy_or" = 1 - prod(1 - p), "noisy_or_of_<n>" over the n most probable
    # vertebrae, or "own" = the model's own output for the patient, taken over slices as a vertebra is
    patient: list[str] = field(default_factory=lambda: ["max", "noisy_or"])
    # "none" or "platt", see cspine.calibration
    calibration: list[str] = field(default_factory=lambda: ["none", "platt"])
    clip: list[float] = field(default_factory=lambda: [0.001, 0.01])  # kept this far from 0 and 1
    normalisation: str = "per_exam"  # the form of the metric they are compared by
    prior_strength: float = 1.0  # of platt towards "no change", counted in studies
    least_select: int = 8  # with fewer select studies nothing is chosen
    # what counts of a slice: "fracture", or "localized" = times the probability that it shows the vertebra
    evidence: list[str] = field(default_factory=lambda: ["fracture"])

    def __post_init__(self) -> None:
        check_normalisation(self.normalisation)
        for name in ("evidence", "vertebra", "patient", "calibration", "clip"):
            if not getattr(self, name):
                raise CspineError(f"aggregate.{name}: expected at least one value, found none")
        for name, known in (("evidence", EVIDENCE), ("calibration", CALIBRATIONS)):
            if not set(getattr(self, name)) <= set(known):
                found = ", ".join(getattr(self, name))
                raise CspineError(f"aggregate.{name}: found {found}; expected some of {', '.join(known)}")
        if not all(0 < c < 0.5 for c in self.clip):
            raise CspineError(f"aggregate.clip: found {self.clip}, expected numbers between 0 and 0.5")
        if not self.prior_strength > 0:
            raise CspineError(f"aggregate.prior_strength: found {self.prior_strength}, expected above 0")
        self.most_slices()
        for way in self.patient:
            vertebrae_taken(way)

    def most_slices(self) -> int:
        """How many of a study's slices any of the ways looks at."""
        return max(slices_taken(way) for way in self.vertebra)

    def columns(self) -> tuple[str, ...]:
        """What the ways look at in a table of predictions."""
        own = [label for label in judged_by(*self.patient) if label not in VERTEBRAE]
        return (*own, *columns_for(self.evidence))


@dataclass(frozen=True)
class Combination:
    """One way from slices to a study; the values of AggregateConfig's lists."""

    vertebra: str
    patient: str
    calibration: str
    clip: float


@dataclass(frozen=True)
class Choice:
    """What was taken, and how everything tried did."""

    chosen: Combination
    platt: Platt | None
    fallback: str  # why nothing was chosen; "" where something was
    select_studies: int
    tried: list[dict[str, Any]]  # one row per combination, with its loss on select
    evidence: str = "fracture"  # that the combinations were tried on


def slices_taken(way: str) -> int:
    """How many of the most probable slices a way averages: "max" 1, "mean_of_3" 3.

    Raises:
        CspineError: ``way`` is neither of the two forms.
    """
    if way == "max":
        return 1
    count = way.removeprefix("mean_of_")
    if count == way or not count.isdecimal() or int(count) < 1:
        raise CspineError(f"aggregate.vertebra: found {way!r}, expected max or mean_of_<k>, e.g. mean_of_3")
    return int(count)


def highest_slices(
    predictions: pd.DataFrame, count: int, labels: Sequence[str] = VERTEBRAE, evidence: str = "fracture"
) -> tuple[pd.DataFrame, Floats]:
    """The ``count`` highest probabilities of each label in each study, falling.

    Args:
        predictions: predictions.parquet: cohort, StudyInstanceUID and ``labels``, by slice or by study, and what
            ``evidence`` weighs by.
        count: 1 or more.
        labels: see ``judged_by``.
        evidence: see cspine.slice_evidence.

    Returns:
        studies (cohort, StudyInstanceUID; sorted) and (studies, count, labels), NaN beyond a study's last slice.

    Raises:
        CspineError: a probability that is no number in [0, 1], as of a vertebra that nobody judged; names the study.
    """
    rows = predictions.sort_values(STUDY, kind="stable", ignore_index=True)
    values = rows[list(labels)].to_numpy(dtype=np.float64)
    _check(values, rows[UID], labels)
    if evidence != "fracture":
        known = values_for(rows, evidence)
        _check(known, rows[UID], columns_for([evidence]))
        values = np.column_stack([values[:, : -len(VERTEBRAE)], weighed(known, evidence)])
    starts = np.flatnonzero(~rows.duplicated(STUDY).to_numpy())
    top = np.full((len(starts), count, len(labels)), np.nan)
    for study, slices in enumerate(np.split(values, starts[1:]) if len(starts) else []):
        kept = np.sort(slices, axis=0)[::-1][:count]
        top[study, : len(kept)] = kept
    return rows.loc[starts, STUDY].reset_index(drop=True), top


def aggregate(top: Floats, vertebra: str, patient: str) -> Floats:
    """Uncalibrated probabilities of the 8 labels, (studies, 8), from ``highest_slices``."""
    judged = np.nanmean(top[:, : slices_taken(vertebra)], axis=1)
    own, vertebrae = judged[:, : -len(VERTEBRAE)], judged[:, -len(VERTEBRAE) :]
    overall = own[:, 0] if patient == OWN else patient_of(vertebrae, patient)
    return np.column_stack([overall, vertebrae])


def choose(top: Floats, truth: Floats, config: AggregateConfig) -> Choice:
    """Try every combination on the select studies and take the least loss, the first among equals.

    Platt is compared by cross-fitted probabilities, or it would be judged on the studies it was fitted to.

    Args:
        top: (select studies, k, 7 or, with the patient's own first, 8) from ``highest_slices``.
        truth: (select studies, 8) in the order of LABELS, NaN = unknown; patient_overall is known.
        config: see AggregateConfig.
    """
    combinations = [Combination(*c) for c in product(config.vertebra, config.patient, config.calibration, config.clip)]
    fallback = _why_not(truth, config)
    if fallback:
        first = combinations[0]
        return Choice(first, Platt() if first.calibration == "platt" else None, fallback, len(truth), [])
    tried = _try(top, truth, combinations, config)
    best = combinations[int(np.argmin([row["loss"] for row in tried]))]
    if best.calibration == "none":
        return Choice(best, None, "", len(truth), tried)
    raw = aggregate(top, best.vertebra, best.patient)
    platt = fit_platt(truth, raw, config.normalisation, config.prior_strength)
    return Choice(best, platt, "", len(truth), tried)


def choose_evidence(tops: dict[str, Floats], truth: Floats, config: AggregateConfig) -> Choice:
    """``choose`` for each kind of evidence (as it is called -> its ``top``), and of these the least loss."""
    made = {name: choose(top, truth, config) for name, top in tops.items()}
    named = {name: {"evidence": name} if len(made) > 1 else {} for name in made}
    tried = [named[name] | row for name, choice in made.items() for row in choice.tried]
    losses = {name: min((row["loss"] for row in choice.tried), default=0.0) for name, choice in made.items()}
    best = min(losses, key=lambda name: losses[name])  # the first among equals, as where nothing is chosen
    return replace(made[best], evidence=best, tried=tried)


def apply_choice(top: Floats, choice: Choice) -> Floats:
    """The final probabilities, (studies, 8): aggregated, calibrated and clipped as chosen."""
    values = aggregate(top, choice.chosen.vertebra, choice.chosen.patient)
    values = choice.platt(values) if choice.platt else values
    return np.clip(values, choice.chosen.clip, 1 - choice.chosen.clip)


def choice_of(block: dict[str, Any]) -> Choice:
    """The choice that aggregation.json holds, ready to be applied again; what was tried is left out."""
    platt = block["platt"] and Platt(**{name: Line(**line) for name, line in block["platt"].items()})
    evidence = block.get("evidence", "fracture")  # a bundle made before there was another
    return Choice(Combination(**block["chosen"]), platt, block["fallback"], block["select_studies"], [], evidence)


def study_probabilities_of(
    predictions: pd.DataFrame, studies: pd.DataFrame, folds: pd.DataFrame, config: AggregateConfig
) -> tuple[pd.DataFrame, Choice]:
    """Every predicted study's 8 probabilities with its cohort, and how they came about.

    Of the labels only those of the select studies are looked at. Training studies carry their role in this
    fold as cohort ("unlabelled" where train.csv does not have them or the audit excludes them), test studies "test". A
    study of which nothing was judged (all NaN: it has no pixels in the view) is left out, for the prior.

    Raises:
        CspineError: a select study without predictions.
    """
    roles = roles_of(folds, config.fold)
    unseen = set(predictions.loc[predictions[list(VERTEBRAE)].isna().all(axis=1), UID])  # no pixels in the view
    predictions = predictions[~predictions[UID].isin(unseen)]
    found = {
        evidence: highest_slices(predictions, config.most_slices(), judged_by(*config.patient), evidence)
        for evidence in config.evidence
    }
    table, tops = found[config.evidence[0]][0], {evidence: top for evidence, (_, top) in found.items()}
    role = table[UID].map(roles).fillna("unlabelled")
    table["cohort"] = np.where(table["cohort"] == "train", role, "test")
    select = (table["cohort"] == "select").to_numpy()
    missing = sorted(set(roles.index[roles == "select"]) - unseen - set(table.loc[select, UID]))
    if missing:
        raise CspineError(f"predictions: {len(missing)} select studies have none, the first is {missing[0]}")
    labels = studies[studies["cohort"] == "train"].set_index(UID)[list(LABELS)]
    truth = truth_of(labels.loc[table.loc[select, UID]])
    choice = choose_evidence({evidence: top[select] for evidence, top in tops.items()}, truth, config)
    values = pd.DataFrame(apply_choice(tops[choice.evidence], choice), columns=list(LABELS))
    table = pd.concat([table[[UID, "cohort"]], values], axis=1)
    return table.sort_values(["cohort", UID], ignore_index=True), choice


def _try(top: Floats, truth: Floats, combinations: list[Combination], config: AggregateConfig) -> list[dict[str, Any]]:
    @cache
    def calibrated(vertebra: str, patient: str, calibration: str) -> Floats:
        raw = aggregate(top, vertebra, patient)
        if calibration == "none":
            return raw
        return cross_fitted(truth, raw, config.normalisation, config.prior_strength)

    rows = []
    for c in combinations:
        values = np.clip(calibrated(c.vertebra, c.patient, c.calibration), c.clip, 1 - c.clip)
        # rounded, so that equal ways tie whatever the last bit says
        rows.append(asdict(c) | {"loss": round(weighted_log_loss(truth, values, config.normalisation), 9)})
    return rows


def _check(values: Floats, uids: pd.Series, labels: Sequence[str]) -> None:
    """Refuse what is no probability; (rows, labels) with the study of each row."""
    rows, columns = np.nonzero(~((values >= 0) & (values <= 1)))
    if not len(rows):
        return
    study, label = uids.iloc[rows[0]], labels[columns[0]]
    if not np.isnan(values[rows[0], columns[0]]):
        raise CspineError(f"predictions: study {study}, {label}: expected probabilities in [0, 1]")
    raise CspineError(
        f"predictions: study {study}: nobody judged {label} (NaN); expected a probability for each vertebra of each "
        "study, from one of the method's members at least, and for aggregate.patient: own one for the patient"
    )


def _why_not(truth: Floats, config: AggregateConfig) -> str:
    if len(truth) < config.least_select:
        return f"{len(truth)} select studies, {config.least_select} are needed"
    if len(set(truth[:, 0])) < 2:
        return "the select studies are all fractured or all whole"
    return ""
