"""Where the labels of a training set come from: what was given to it, and which of that its ``targets`` ask for."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from cspine.errors import CspineError
from cspine.slice_targets import (
    targets_from_masks,
    targets_from_studies,
    targets_from_truth,
    targets_shown,
    with_presence,
    with_seen_presence,
)


@dataclass(frozen=True)
class Sources:
    """The tables, as far as they were given."""

    labels: pd.DataFrame  # labels/slices.parquet, or the method's own
    index: pd.DataFrame  # index/slices.parquet
    studies: pd.DataFrame | None  # index/studies.parquet
    presence: pd.DataFrame | None  # labels/presence.parquet
    localization: pd.DataFrame | None  # localization/{localizer}/fold-{k}.parquet
    truth: pd.DataFrame | None  # slices.parquet of the phantom's truth


def labels_taught(given: Sources, targets: str, soft: bool, least: float) -> pd.DataFrame:
    """The labels of all training slices that ``targets`` asks for, in the columns of ``labels.COLUMNS`` or more.

    Args:
        given: what there is.
        targets: one of slice_targets.TARGETS.
        soft: of shown: the localizer's probability; else rounded.
        least: of shown, rounded: 1 from this probability on.

    Raises:
        CspineError: what they come from was not given.
    """
    match targets:
        case "fracture":
            return given.labels
        case "presence" if given.presence is not None:
            return targets_from_masks(given.presence)
        case "truth" if given.truth is not None:
            return targets_from_truth(given.truth, given.index)
        case "study" if given.studies is not None:
            return targets_from_studies(given.studies, given.index)
        case "shown" if given.studies is not None and given.localization is not None:
            return targets_shown(given.studies, given.index, given.localization, soft, least)
    needs = {"study": "--studies", "shown": "--studies and --localization"}.get(targets, f"--{targets}")
    raise CspineError(f"build_training_set: targets: {targets} needs {needs}; none was given")


def with_presence_beside(table: pd.DataFrame, given: Sources, whence: str, soft: bool, least: float) -> pd.DataFrame:
    """``table`` with what each slice shows, as far as it was given: by the masks, or as the localizer sees it.

    Raises:
        CspineError: ``whence`` is localized, and there is no localization.
    """
    if whence == "masks":
        return with_presence(table, given.presence) if given.presence is not None else table
    if given.localization is None:
        raise CspineError("build_training_set: labels.presence: localized needs --localization; none was given")
    return with_seen_presence(table, given.localization, soft, least)
