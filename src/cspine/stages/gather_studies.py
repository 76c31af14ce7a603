"""gather_studies: the studies that the report's reader can leaf through, with all that is said of their slices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cspine.boxes import check_boxes, read_boxes
from cspine.cache.reading import SliceCache
from cspine.errors import CspineError
from cspine.progress import report, say
from cspine.report.overlays import NO_OVERLAYS, TURNED, Overlays, boxes_in_view
from cspine.report.slice_facts import Sources
from cspine.report.slice_pictures import Pictured, bytes_of, columns_of, pictured, thinned, without_pictures
from cspine.report.study_words import in_index, in_words
from cspine.stage import InPath, OutPath
from cspine.studies import UID
from cspine.tables import read_table, write_table


@dataclass(frozen=True)
class BrowseConfig:
    """What is gathered."""

    folds_run: list[int]  # in the order of the tables that are given by fold
    images: bool = True  # with the pixels; without, a page can be given away that shows the numbers only
    max_mb: float = 20.0  # of all pictures together; every n-th slice is taken to meet it

    def __post_init__(self) -> None:
        if not self.max_mb > 0:
            raise CspineError(f"report.max_mb: found {self.max_mb!r}, expected a number above 0")


def gather_studies(
    shown: InPath,
    studies: InPath,
    slices: InPath,
    findings: InPath,
    boxes: InPath,
    labels: InPath,
    presence: InPath,
    train_shards: list[InPath],
    test_shards: list[InPath],
    predictions: list[InPath],
    browsed: OutPath,
    *,
    masks: list[InPath] = [],  # noqa: B006 - never changed; the signature is read as text
    pseudo_labels: list[InPath] = [],  # noqa: B006
    localization: list[InPath] = [],  # noqa: B006
    truth: InPath | None = None,
    config: BrowseConfig,
) -> None:
    """Gather what is known of each slice of the studies to show, with its picture and what is drawn over it.

    Args:
        shown: the studies in their order: cohort (test, or what a training study is to the fold: heldout, select,
            train), StudyInstanceUID, fold (whose models' word counts), why.
        studies: index/studies.parquet.
        slices: index/slices.parquet.
        findings: index/findings.parquet: boxes of a study that was turned upright have no place in it.
        boxes: the snapshot of train_bounding_boxes.csv.
        labels: the slice labels that the method is taught.
        presence: labels/presence.parquet.
        train_shards: the cache of the view that is shown.
        test_shards: the same of the test studies.
        predictions: predictions.parquet of each fold run.
        browsed: a row for each slice, study by study in the order of ``shown``, see ``cspine.report.browser``.
        masks: the labelled voxels of the segmented studies in the geometry of the view.
        pseudo_labels: pseudo_labels.parquet of each fold run.
        localization: the table of each fold run.
        truth: the phantom's slices.parquet.
        config: see BrowseConfig.
    """
    chosen, index, places = read_table(shown), read_table(studies), read_table(slices)
    sources = Sources(
        places,
        read_table(labels),
        read_table(presence),
        _by_fold("predictions", predictions, config),
        _by_fold("pseudo_labels", pseudo_labels, config),
        _by_fold("localization", localization, config),
        None if truth is None else read_table(truth),
    )
    facts = [_facts(sources, index, number, row) for number, row in enumerate(chosen.to_dict("records"))]
    if config.images:
        caches = {"train": SliceCache(train_shards), "test": SliceCache(test_shards)}
        pictures, every = thinned(_pictures(chosen, caches), config.max_mb * 1e6)
        overlays = _overlays(boxes, findings, masks, places, index, caches["train"])
    else:
        pictures, every, overlays = [without_pictures(len(own)) for own in facts], 0, NO_OVERLAYS
    tables = [
        pd.concat([own.assign(every=np.int32(every)), columns_of(own_pictures, own.index), overlays.over(own)], axis=1)
        for own, own_pictures in zip(facts, pictures, strict=True)
        if len(own)
    ]
    table = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame({"number": pd.Series(dtype="int32")})
    write_table(table, browsed)
    taken = f"every {every}. slice pictured, {bytes_of(pictures) / 1e6:.1f} MB" if config.images else "no pictures"
    say(f"gather_studies: {len(tables)} studies, {len(table)} slices, {taken}")


def _facts(sources: Sources, index: pd.DataFrame, number: int, row: dict[Any, Any]) -> pd.DataFrame:
    """What is said of the slices of one study to show; its place among them, and what is said of the whole."""
    cohort = in_index(row["cohort"])
    own = sources.study(cohort, row[UID], row["fold"])
    return own.assign(
        number=np.int32(number),
        role=row["cohort"],
        fold=np.int32(row["fold"]),
        why=row["why"],
        labelled=in_words(index, own, cohort, row[UID]),
    )


def _pictures(chosen: pd.DataFrame, caches: dict[str, SliceCache]) -> list[Pictured]:
    """Of each study; a study that could not be read has no slice, in the index or here."""
    found = []
    for number, row in enumerate(chosen.to_dict("records"), start=1):
        cache, uid = caches[in_index(row["cohort"])], row[UID]
        found.append(pictured(cache.read(uid, range(cache.slices_of(uid)))) if uid in cache else without_pictures(0))
        report("gather_studies", number, len(chosen), unit="studies")
    return found


def _overlays(
    boxes: Path, findings: Path, masks: Sequence[Path], places: pd.DataFrame, index: pd.DataFrame, cache: SliceCache
) -> Overlays:
    training = places[places["cohort"] == "train"]
    valid, _ = check_boxes(read_boxes(boxes), training, index)
    found = read_table(findings, [UID, "code"])
    voxels = [read_table(path, [UID, "z_index", "mask"]) for path in masks]
    return Overlays(
        boxes_in_view(valid, training, cache.centre),
        pd.concat(voxels, ignore_index=True) if voxels else NO_OVERLAYS.masks,
        set(found.loc[found["code"] == TURNED, UID]),
        cache.pixels,
        cache.centre,
    )


def _by_fold(name: str, paths: Sequence[Path], config: BrowseConfig) -> dict[int, pd.DataFrame]:
    """The tables of the folds run, by fold; none where none is given."""
    if paths and len(paths) != len(config.folds_run):
        raise CspineError(f"report: {len(paths)} {name} for folds {config.folds_run}; expected one for each")
    return dict(zip(config.folds_run, map(read_table, paths), strict=False))
