"""label_presence: which vertebrae each slice of a segmented study shows, how much of each and where, from its mask."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from cspine.findings import Finding, findings_table
from cspine.localization.columns import PIXELS
from cspine.masks import extents as of_slice
from cspine.masks.reading import INDEXED, MaskJob, lay_mask, lost_mask
from cspine.progress import report, say
from cspine.raw_folder import MASKS, files_by_study, read_rows
from cspine.runtime import workers
from cspine.stage import InPath, OutPath, RawFolder
from cspine.studies import UID, VERTEBRAE
from cspine.study_pool import studies_read
from cspine.tables import read_table, write_table

COLUMNS = [UID, "slice_number", "z_index", *VERTEBRAE]
#: column of masks.parquet -> its type
MASK_COLUMNS = {
    UID: "str",
    "file": "str",  # below the raw folder
    "orientation": "str",  # turned by: header | rule | bone; "" = presence unknown
    "planes": "int32",
    "slices": "int32",  # readable ones of the study
    "matched": "int32",  # of these, those that a plane shows
    "bone_share": "float32",  # of the labelled voxels looked at, those on bone; NaN = not compared
    "strays": "int32",  # voxels taken away
    "levels": "str",  # "C1 C2 ... T1"
}
#: reason code -> what is done about it
CONSEQUENCES = {
    "mask-unreadable": "presence unknown in this study",
    "mask-reader-crash": "presence unknown in this study",
    "mask-without-slices": "presence unknown in this study",
    "mask-empty": "presence unknown in this study",
    "mask-without-place": "presence unknown in this study",
    "mask-off-bone": "presence unknown in this study",
    "mask-unproved": "its header is believed, without one the rule of the data set",
    "mask-header-wrong": "turned by the rule of the data set (or as the header turns), planes and slices one by one",
    "mask-turned": "turned in that way",
    "mask-other-slice-count": "planes matched by position, presence unknown in slices without a plane",
    "mask-other-size": "laid over the same field of view, nearest pixel",
    "mask-stray-labels": "not counted as that vertebra",
}


def label_presence(
    root: RawFolder,
    segmentations: InPath,
    slices: InPath,
    train_shards: list[InPath],
    presence: OutPath,
    extents: OutPath,
    masks: OutPath,
    findings: OutPath,
) -> None:
    """Lay every mask over its study's slices.

    Args:
        root: the raw folder; masks lie in its ``segmentations``. Some slices of each segmented study are read again,
            to see whether its mask lies on bone.
        segmentations: the inventory's list: StudyInstanceUID, file, size, digest.
        slices: index/slices.parquet.
        train_shards: the inventory's lists of the training studies' files.
        presence: StudyInstanceUID, slice_number, z_index and C1..C7 (1 = at least one voxel), by study and z_index;
            a slice that no plane of a mask shows has no row.
        extents: the same slices: voxels of C1..C7 and of all thoracic levels, the box around them, middle and box
            of each (``masks.extents.COLUMNS``).
        masks: a row per segmented study, see MASK_COLUMNS.
        findings: what was wrong with masks.
    """
    index = read_table(slices, ["cohort", *INDEXED])
    index = index[index["cohort"] == "train"].sort_values([UID, "z_index"], ignore_index=True)
    listed = sorted((row[UID], row["file"]) for _, row in read_rows(segmentations, (UID, "file")))
    files = files_by_study(train_shards)
    of_study = dict(iter(index.groupby(UID, sort=True)))
    slices_of = [of_study.get(uid, index.iloc[:0]) for uid, _ in listed]
    jobs = [
        MaskJob.of(root, uid, name, files.get(uid, []), own) for (uid, name), own in zip(listed, slices_of, strict=True)
    ]
    tables: list[pd.DataFrame] = []
    places: list[pd.DataFrame] = []
    rows: list[dict[str, Any]] = []
    found: list[Finding] = []
    with studies_read(jobs, lay_mask, None, lost_mask, workers()) as masks_laid:
        for count, mask in enumerate(masks_laid, start=1):
            (uid, name), own = listed[count - 1], slices_of[count - 1]
            shown = own.assign(**dict(zip(VERTEBRAE, mask.present.T, strict=True)))
            known = shown["C1"] >= 0
            tables.append(shown.loc[known, COLUMNS])
            there = own[COLUMNS[:3]].assign(**dict(zip(of_slice.COLUMNS, mask.extents.T, strict=True)))
            places.append(there[known])
            file = f"{MASKS}/{name}"
            rows.append({UID: uid, "file": file, "slices": len(own), **mask.figures})
            found += [Finding(uid, code, file, detail, CONSEQUENCES[code]) for code, detail in mask.remarks]
            report("label_presence", count, len(listed), unit="masks")
    labelled = pd.concat([index.iloc[:0].reindex(columns=COLUMNS), *tables], ignore_index=True)
    kinds = {"slice_number": np.int32, "z_index": np.int32} | dict.fromkeys(VERTEBRAE, np.int8)
    write_table(labelled.astype(kinds), presence)
    write_table(_extents_table(index, places), extents)
    write_table(pd.DataFrame(rows, columns=list(MASK_COLUMNS)).astype(MASK_COLUMNS), masks)
    write_table(findings_table(found), findings)
    say(f"label_presence: {len(labelled)} slices of {labelled[UID].nunique()} segmented studies, {len(found)} findings")


def _extents_table(index: pd.DataFrame, parts: list[pd.DataFrame]) -> pd.DataFrame:
    columns = [*COLUMNS[:3], *of_slice.COLUMNS]
    kinds = dict.fromkeys(COLUMNS[1:3], np.int32) | dict.fromkeys(of_slice.COLUMNS, np.float32)
    table = pd.concat([index.iloc[:0].reindex(columns=columns), *parts], ignore_index=True)
    return table.astype(kinds | dict.fromkeys(PIXELS, np.int32))
