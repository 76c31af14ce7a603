"""build_localizer_set: what one inner model of a localizer is taught, as a readable table."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from cspine.errors import CspineError
from cspine.localization.columns import OUTPUTS, SLICE
from cspine.localization.parts import inner_parts
from cspine.localization.targets import localized_by_masks
from cspine.progress import say
from cspine.stage import InPath, OutPath
from cspine.studies import PRESENCE, UID, VERTEBRAE
from cspine.tables import read_table, write_table

KEY = [UID, "z_index"]
SIZE = ["rows", "columns"]  #: of the stored slice, which places are shares of
COLUMNS = [*SLICE, *SIZE, *VERTEBRAE, *OUTPUTS, "source", "weight", "role"]


@dataclass(frozen=True)
class LocalizerSetConfig:
    """Which inner model of which fold."""

    fold: int
    inner: int  # the part of the segmented studies that it is not taught
    parts: int  # how many there are
    seed: int = 0  # of who belongs to which part

    def __post_init__(self) -> None:
        if not 0 <= self.inner < self.parts:
            raise CspineError(f"inner: found {self.inner}, expected 0 to {self.parts - 1} (localization.inner)")


def build_localizer_set(
    extents: InPath,
    slices: InPath,
    folds: InPath,
    training_set: OutPath,
    *,
    masks: list[InPath] = [],  # noqa: B006 - never changed; the signature is read as text
    config: LocalizerSetConfig,
) -> None:
    """Give the segmented studies' slices their targets and roles; held-out studies stay out.

    The role is ``train``, or ``select`` for the studies of part ``inner``: only watched, since the model will be asked
    about them as about studies it never saw. So nothing may be chosen on them (keep: best, patience).

    Args:
        extents: labels/extents.parquet.
        slices: index/slices.parquet.
        folds: folds.parquet.
        training_set: COLUMNS, by study and z_index: whether the slice shows C1..C7 (twice: as the targets of a
            classifier and as present_C1..present_C7), ratios, and the box and the middles in shares of the stored
            slice, whose rows and columns stand beside. With ``masks`` also ``mask``.
        masks: for a family that is taught voxels: StudyInstanceUID, z_index, mask (bytes: the labels in the geometry
            of its view, as the family's own stage writes them).
        config: see LocalizerSetConfig.

    Raises:
        CspineError: fewer segmented studies outside the held-out ones than parts.
    """
    places, fold_table = read_table(extents), read_table(folds)
    index = read_table(slices, ["cohort", *SLICE, *SIZE])
    parts = inner_parts(places[UID].unique(), fold_table, config.fold, config.parts, config.seed)
    table = localizer_set(places, index, parts, config.inner)
    check_localizer_set(table, fold_table, config)
    if masks:
        voxels = pd.concat([read_table(path, [*KEY, "mask"]) for path in masks], ignore_index=True)
        table = table.merge(voxels, on=KEY, how="left", validate="1:1")
    write_table(table, training_set)
    counts = table.groupby("role")[UID].nunique()
    say(
        f"build_localizer_set: fold {config.fold} without part {config.inner}: {len(table)} slices, "
        f"{counts['train']} studies taught, {counts['select']} watched"
    )


def localizer_set(extents: pd.DataFrame, index: pd.DataFrame, parts: dict[str, int], inner: int) -> pd.DataFrame:
    """The slices of the studies of ``parts`` in COLUMNS."""
    targets = localized_by_masks(extents[extents[UID].isin(parts)])
    targets[list(VERTEBRAE)] = targets[list(PRESENCE)].to_numpy()
    sizes = index.loc[index["cohort"] == "train", [*SLICE, *SIZE]]
    table = targets.merge(sizes, on=list(SLICE), validate="1:1")
    assert len(table) == len(targets), f"{len(targets) - len(table)} rows are no slice of the index"
    role = np.where(table[UID].map(parts) == inner, "select", "train")
    table = table.assign(source="mask", weight=np.float32(1), role=role)
    return table[COLUMNS].sort_values(KEY, ignore_index=True)


def check_localizer_set(table: pd.DataFrame, folds: pd.DataFrame, config: LocalizerSetConfig) -> None:
    """No held-out study, one role per study, no slice twice."""
    heldout = set(folds.loc[(folds["fold"] == config.fold) & (folds["role"] == "heldout"), UID])
    assert not heldout & set(table[UID]), "a held-out study is in the training set"
    assert (table.groupby(UID)["role"].nunique() == 1).all(), "a study has two roles"
    assert not table.duplicated(KEY).any(), "a slice is taught twice"
