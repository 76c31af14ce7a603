"""From predictions of any studies to their pseudo-labels: the one way, for teaching and for measuring."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cspine.errors import CspineError
from cspine.metric import Floats
from cspine.pseudo.choices import Cells, Choices, choose
from cspine.pseudo.config import PseudoConfig, evidence_only
from cspine.pseudo.counts import Tally
from cspine.pseudo.evidence import evidence_of, seen
from cspine.pseudo.marking import Marked, mark_study
from cspine.pseudo.selection import kept
from cspine.studies import CONFIDENCE, PRESENCE, UID, VERTEBRAE

COLUMNS = [UID, "slice_number", "z_index", *VERTEBRAE, *CONFIDENCE, "weight"]
SLICE = [UID, "slice_number", "z_index"]
PARTS = 5  #: in which boxed studies are labelled by choices made on the other parts


def pseudo_labels_of(
    predictions: pd.DataFrame,
    studies: pd.DataFrame,
    config: PseudoConfig,
    localization: pd.DataFrame | None = None,
    choices: Choices | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Pseudo-labels of ``studies`` and what the rules did.

    ASSUME: a study without any positive slice is dropped; taught as negative it would contradict its label.

    Args:
        predictions: predictions.parquet; other studies' rows are ignored.
        studies: rows of index/studies.parquet.
        config: see PseudoConfig.
        localization: its rows ``predicted`` say which vertebrae a slice shows; needed unless evidence is "fracture".
        choices: made on select studies; None = the config's fixed values.

    Returns:
        (COLUMNS in the order of study and z_index; counts, one row per vertebra and one for "all")

    Raises:
        CspineError: a study without predictions, a probability that is no number in [0, 1], no localizer given.
    """
    choices = choices if choices is not None else choose([], [], config)
    tally = Tally(config)
    rows_of, marked = [], []
    labels = studies[list(VERTEBRAE)].to_numpy()
    for label, (rows, model, presence) in zip(
        labels, _by_study(predictions, studies, config, localization), strict=True
    ):
        evidence = evidence_of(model, presence, label, config, choices)
        found = mark_study(evidence, label, config, choices.thresholds)
        tally.add(label == 1, found.over, found.run)
        rows_of.append(rows)
        marked.append(found)
    taught = kept(marked, labels == 1, config.keep_share)
    parts = [
        _table(rows, found, keep)
        for rows, found, keep in zip(rows_of, marked, taught, strict=True)
        if found.positive.any() or config.without_positives == "keep"
    ]
    table = pd.concat([_nothing(predictions), *parts], ignore_index=True)
    table["weight"] = np.float32(config.weight)
    kinds = dict.fromkeys([*VERTEBRAE, *CONFIDENCE, "weight"], np.float32)
    return table[COLUMNS].astype(kinds), tally.table()


def choices_on(
    predictions: pd.DataFrame,
    studies: pd.DataFrame,
    labels: pd.DataFrame,
    config: PseudoConfig,
    localization: pd.DataFrame | None = None,
) -> Choices:
    """What ``config`` asks to be chosen on boxed studies: thresholds, and how far the model is believed.

    Args:
        predictions: predictions.parquet.
        studies: boxed studies of the role select.
        labels: the slice labels of the fold's train and select studies, in the columns of ``cspine.labels``.
        config: see PseudoConfig.
        localization: as for ``pseudo_labels_of``.
    """
    if not config.needs_choices:
        return choose([], [], config)
    boxed = labels[labels["source"].isin(["box", "unboxed"])]
    of_study = {uid: rows.set_index("z_index") for uid, rows in boxed.groupby(UID)}
    studies = studies[studies[UID].isin(of_study)]
    cells = []
    for study, (rows, model, presence) in zip(
        studies.to_dict("records"), _by_study(predictions, studies, config, localization), strict=True
    ):
        known = of_study[study[UID]][list(VERTEBRAE)].reindex(rows["z_index"]).to_numpy(np.float64)
        value = seen(model, presence, config)
        cells += [
            Cells(study[UID], number, value[:, number], known[:, number])
            for number, vertebra in enumerate(VERTEBRAE)
            if study[vertebra] == 1
        ]
    return choose(cells, lengths_of_runs(boxed), config)


def labels_apart(
    predictions: pd.DataFrame,
    studies: pd.DataFrame,
    labels: pd.DataFrame,
    config: PseudoConfig,
    localization: pd.DataFrame | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Pseudo-labels of boxed studies, each by choices made on others: so that they can be held against its boxes.

    Beside them the evidence that they are cut from (``evidence_only``), in the same columns.

    Args:
        predictions: predictions.parquet.
        studies: boxed studies of the role select, sorted by name.
        labels: as for ``choices_on``.
        config: see PseudoConfig.
        localization: as for ``pseudo_labels_of``.
    """
    parts = min(len(studies), PARTS) if config.needs_choices else 1
    part = np.arange(len(studies)) % max(parts, 1)
    ways = (config, evidence_only(config))
    nothing = predictions.iloc[:0], studies.iloc[:0]
    found = [[pseudo_labels_of(*nothing, config, localization)[0]] for _ in ways]
    for number in range(parts):
        others = studies[part != number] if config.needs_choices else studies
        unseen = labels[~labels[UID].isin(studies.loc[part == number, UID])]
        made = choices_on(predictions, others, unseen, config, localization)
        own = studies[part == number]
        for tables, way in zip(found, ways, strict=True):
            tables.append(pseudo_labels_of(predictions, own, way, localization, made)[0])
    labels_found, evidence = (pd.concat(tables, ignore_index=True) for tables in found)
    return labels_found, evidence


def lengths_of_runs(labels: pd.DataFrame) -> list[int]:
    """Slices from the first to the last positive one of each vertebra of each study."""
    lengths = []
    for vertebra in VERTEBRAE:
        positive = labels.loc[labels[vertebra] >= 0.5].groupby(UID)["z_index"]
        lengths += (positive.max() - positive.min() + 1).tolist()
    return [int(length) for length in lengths]


def _by_study(
    predictions: pd.DataFrame, studies: pd.DataFrame, config: PseudoConfig, localization: pd.DataFrame | None
) -> Iterator[tuple[pd.DataFrame, Floats, Floats | None]]:
    """Of each study, in their order: its slices in z-order, the model's (slices, 7), and the localizer's."""
    rows = _predicted(predictions, studies)
    shown = _presence(rows, localization) if config.needs_localizer else None
    values = rows[list(VERTEBRAE)].to_numpy(np.float64)
    places = rows.groupby(UID).indices
    for uid in studies[UID]:
        own = places[uid]
        yield rows.iloc[own][SLICE], values[own], shown[own] if shown is not None else None


def _predicted(predictions: pd.DataFrame, studies: pd.DataFrame) -> pd.DataFrame:
    rows = predictions[(predictions["cohort"] == "train") & predictions[UID].isin(studies[UID])]
    missing = sorted(set(studies[UID]) - set(rows[UID]))
    if missing:
        raise CspineError(f"predictions: {len(missing)} studies to pseudo-label have none, the first is {missing[0]}")
    values = rows[list(VERTEBRAE)].to_numpy()
    wrong = ~((values >= 0) & (values <= 1)).all(axis=1)
    if wrong.any():
        raise CspineError(f"predictions: study {rows[UID].to_numpy()[wrong][0]}: expected probabilities in [0, 1]")
    return rows.sort_values([UID, "z_index"], ignore_index=True)


def _presence(rows: pd.DataFrame, localization: pd.DataFrame | None) -> Floats:
    """(slices, 7) of ``rows``; only what a model said that had not seen the study."""
    if localization is None:
        raise CspineError("pseudo_labels.evidence: presence asks for a localizer's table; none was given")
    known = localization.loc[
        (localization["source"] == "predicted") & (localization["cohort"] == "train"), [*SLICE, *PRESENCE]
    ]
    found = rows[SLICE].merge(known, on=SLICE, how="left", validate="1:1")[list(PRESENCE)].to_numpy(np.float64)
    missing = np.isnan(found).any(axis=1)
    if missing.any():
        raise CspineError(f"localization: study {rows[UID].to_numpy()[missing][0]} has slices without a prediction")
    return found


def _table(rows: pd.DataFrame, marked: Marked, taught: NDArray[np.bool_]) -> pd.DataFrame:
    target = np.where(taught, marked.target, np.nan)
    columns = dict(zip([*VERTEBRAE, *CONFIDENCE], [*target.T, *marked.confidence.T], strict=True))
    return rows.assign(**columns)


def _nothing(predictions: pd.DataFrame) -> pd.DataFrame:
    return predictions.iloc[:0][SLICE].reindex(columns=[*SLICE, *VERTEBRAE, *CONFIDENCE])
