"""explain_cases: what in the pixels drove the answer about each of the worst cases."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from PIL import Image

from cspine.boxes import read_boxes
from cspine.devices import device_of
from cspine.errors import CspineError
from cspine.progress import report, say
from cspine.report.case_places import Places
from cspine.report.choosing import KEYS
from cspine.report.explaining import OCCLUSION
from cspine.report.fold_models import FoldModels, How
from cspine.runtime import runtime
from cspine.slices_at_once import slices_at_once
from cspine.stage import InPath, OutPath
from cspine.studies import UID
from cspine.tables import read_table, write_table

USES_GPU = True
COLUMNS = [*KEYS, "z_index", "image", "map", "map_rows", "map_columns", "along", "number", "slices", "boxes", "how"]
WHOLE = ("rank", "z_index", "map_rows", "map_columns", "number", "slices")


@dataclass(frozen=True)
class ExplainConfig:
    """Whose answers are explained."""

    family: str  # see cspine.methods.registry
    view: str  # the form of the pixels the models read
    folds_run: list[int]  # the folds of the models, in the order of the files
    shards_by_fold: bool  # the view is of kind crop: each fold has a cache of its own
    batch_size: int | Literal["auto"]  # see cspine.slices_at_once
    precision: Literal["auto", "fp32", "bf16", "fp16"]  # see cspine.precision
    threads: int  # torch's threads


def explain_cases(
    cases: InPath,
    models: list[InPath],
    shards: list[InPath],
    slices: InPath,
    findings: InPath,
    boxes: InPath,
    explained: OutPath,
    *,
    vertebrae: list[InPath] = [],  # noqa: B006 - never changed; the signature is read as text
    crops: list[InPath] = [],  # noqa: B006
    slice_truth: InPath | None = None,
    config: ExplainConfig,
) -> None:
    """Mask parts of what the models read of each case, and keep where that weakens their answer.

    A case is explained by the models of its fold (of a test study the first that judged it), all members of it.

    Args:
        cases: of stage choose_cases.
        models: finished models, fold by fold, a fold's members one after the other.
        shards: the cache of the view, both cohorts; of a crop view fold by fold.
        slices: index/slices.parquet.
        findings: index/findings.parquet.
        boxes: boxes.csv of the inventory.
        explained: a row for each case in the order of ``cases``: KEYS, z_index (of the slice shown, in the index; -1:
            none), image (PNG, grey, as the networks saw it), map (rows * columns of cells, 0..1; empty where there is
            none), map_rows, map_columns, along (cells over all that is read, from the head), number and slices (the
            slice shown, and how many are read), boxes (x0, y0, x1, y1 in shares of the image, one after the other), how
            ("occlusion", or why there is no map).
        vertebrae: where the vertebrae lie (stage place_vertebrae), of each fold run, for families that judge them.
        crops: where the crops lie (stage place_crops), of each fold run, for the same.
        slice_truth: the phantom's slices.parquet, which has the boxes of the test studies, too.
        config: see ExplainConfig.

    Raises:
        CspineError: other numbers of files than the folds run make one expect.
    """
    torch.set_num_threads(config.threads)
    table = read_table(cases)
    by_fold = _models_by_fold(config, models, shards, vertebrae, crops)
    truth = read_table(slice_truth) if slice_truth is not None else None
    places = Places.of(read_table(slices), read_boxes(boxes), read_table(findings, [UID, "code"]), truth)
    rows = []
    for done, case in enumerate(table.to_dict("records"), start=1):
        rows.append(_row(case, by_fold[case["fold"]], places))
        report("explain_cases", done, len(table), "cases")
    found = pd.DataFrame(rows, columns=COLUMNS).astype(dict.fromkeys(WHOLE, "int32"))
    say(f"explain_cases: {(found['how'] == OCCLUSION).sum()} maps of {len(found)} cases")
    write_table(found, explained)


def _row(case: Mapping[Any, Any], models: FoldModels, places: Places) -> dict[str, Any]:
    found = models.explained(case)
    z, field = models.place(case, found, places)
    return {
        **{key: case[key] for key in KEYS},
        "z_index": z,
        "image": _png(found.image),
        "map": found.map.ravel(),
        "map_rows": found.map.shape[0],
        "map_columns": found.map.shape[1],
        "along": found.along,
        "number": found.number,
        "slices": found.slices,
        "boxes": np.array(places.boxes_in(case["cohort"], case[UID], z, field), np.float32),
        "how": found.how,
    }


def _png(image: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def _models_by_fold(
    config: ExplainConfig,
    models: list[InPath],
    shards: list[InPath],
    vertebrae: list[InPath],
    crops: list[InPath],
) -> dict[int, FoldModels]:
    folds = len(config.folds_run)
    device, precision = device_of(runtime().device, config.precision)
    how = How(device, precision, slices_at_once(config.batch_size))
    parts = zip(
        config.folds_run,
        _dealt("models", models, folds),
        _dealt("shards", shards, folds) if config.shards_by_fold else [shards] * folds,
        [_one_of(part) for part in _dealt("vertebrae", vertebrae, folds)],
        [_one_of(part) for part in _dealt("crops", crops, folds)],
        strict=True,
    )
    return {fold: FoldModels(config.family, own, cache, how, placed, crop) for fold, own, cache, placed, crop in parts}


def _dealt(name: str, paths: list[InPath], folds: int) -> list[list[InPath]]:
    """The files of each fold, of a list fold by fold.

    Raises:
        CspineError: they do not come out even.
    """
    each = len(paths) // folds
    if each * folds != len(paths):
        raise CspineError(f"explain_cases: found {len(paths)} {name} for {folds} folds; expected as many for each")
    return [paths[number * each : (number + 1) * each] for number in range(folds)]


def _one_of(paths: list[InPath]) -> pd.DataFrame | None:
    return read_table(paths[0]) if paths else None
