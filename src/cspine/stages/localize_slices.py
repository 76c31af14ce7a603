"""localize_slices: which vertebrae every slice shows, how much of them and where; truth and out-of-fold predictions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from cspine.folds import roles_of
from cspine.localization.columns import OUTPUTS, SHOWN, SLICE
from cspine.localization.ensembles import mean_of_models, only_where_shown, with_order
from cspine.localization.parts import TAUGHT_ROLES
from cspine.localization.targets import localized_by_masks
from cspine.progress import say
from cspine.stage import InPath, OutPath
from cspine.studies import PRESENCE, UID
from cspine.tables import read_table, write_table

COLUMNS = ["cohort", *SLICE, "source", *OUTPUTS, *SHOWN]


@dataclass(frozen=True)
class LocalizeConfig:
    """Of which fold."""

    fold: int


def localize_slices(
    extents: InPath,
    slices: InPath,
    folds: InPath,
    localized: list[InPath],
    localization: OutPath,
    *,
    config: LocalizeConfig,
) -> None:
    """Put together what the masks and the inner models say.

    A study that one of the models was taught is predicted by the model of its own part alone, any other by the mean of
    all. What predicts or scores reads ``predicted`` rows: a test study has no mask.

    Args:
        extents: labels/extents.parquet.
        slices: index/slices.parquet.
        folds: folds.parquet.
        localized: localized.parquet of every inner model of the fold (stage predict_localizer).
        localization: COLUMNS, by source, study and z_index: source "mask" (slices that a mask shows) and "predicted"
            (every readable slice of both cohorts). Presence, ratios, boxes and middles as in ``localization.columns``;
            shown_C1..shown_C7 is the presence put in anatomical order, of masks the presence itself.
        config: see LocalizeConfig.
    """
    places = read_table(extents)
    tables = [read_table(path) for path in localized]
    roles = roles_of(read_table(folds), config.fold)
    check_models(tables, set(places[UID]), roles)
    predicted = with_order(only_where_shown(mean_of_models(tables))).assign(source="predicted")
    index = read_table(slices, ["cohort", *SLICE])
    assert len(predicted) == len(index), f"{len(predicted)} slices predicted, {len(index)} in the index"
    truth = localized_by_masks(places).assign(cohort="train", source="mask")
    truth[list(SHOWN)] = truth[list(PRESENCE)].to_numpy()
    table = pd.concat([truth[COLUMNS], predicted[COLUMNS]], ignore_index=True)
    table = table.sort_values(["source", UID, "z_index", "cohort"], ignore_index=True)
    write_table(table.astype(dict.fromkeys(SHOWN, np.int8)), localization)
    say(
        f"localize_slices: fold {config.fold}: {len(predicted)} slices of {predicted[UID].nunique()} studies "
        f"predicted, {len(truth)} of {truth[UID].nunique()} shown by masks"
    )


def check_models(tables: list[pd.DataFrame], segmented: set[str], roles: pd.Series) -> None:
    """Taught studies come from exactly one model, the one that was not taught them; all others from every model."""
    known = [set(table[UID]) for table in tables]
    taught = {uid for uid in segmented if roles.get(uid) in TAUGHT_ROLES}
    for uid in set().union(*known):
        found, due = sum(uid in studies for studies in known), 1 if uid in taught else len(tables)
        assert found == due, f"study {uid} was localized by {found} models, {due} were not taught it"
