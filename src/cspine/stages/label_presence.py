"""label_presence: which vertebrae each slice of a segmented study shows, from its mask."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cspine.errors import CspineError
from cspine.findings import Finding, findings_table
from cspine.masks import Mask, place_on_slices, read_mask, without_strays
from cspine.progress import report, say
from cspine.raw_folder import MASKS, read_rows
from cspine.stage import InPath, OutPath, RawFolder
from cspine.studies import UID, VERTEBRAE
from cspine.tables import read_table, write_table

COLUMNS = [UID, "slice_number", "z_index", *VERTEBRAE]
#: reason code -> what is done about it
CONSEQUENCES = {
    "mask-unreadable": "presence unknown in this study",
    "mask-without-slices": "presence unknown in this study",
    "mask-other-slice-count": "planes matched by position; presence unknown in slices without a plane",
    "mask-stray-labels": "small separate regions are not counted as vertebrae",
}


def label_presence(
    root: RawFolder,
    segmentations: InPath,
    slices: InPath,
    presence: OutPath,
    findings: OutPath,
) -> None:
    """Lay every mask over its study's slices.

    Args:
        root: the raw folder; masks lie in its ``segmentations``.
        segmentations: the inventory's list: StudyInstanceUID, file, size, digest.
        slices: index/slices.parquet.
        presence: StudyInstanceUID, slice_number, z_index and C1..C7 (1 = at least one voxel), by study and z_index;
            a slice that no plane of a mask covers has no row.
        findings: what was wrong with masks.
    """
    index = read_table(slices, ["cohort", UID, "slice_number", "z_index", "position"])
    index = index[index["cohort"] == "train"].sort_values([UID, "z_index"], ignore_index=True)
    rows = dict(iter(index.groupby(UID, sort=True)))
    masks = sorted((row[UID], row["file"]) for _, row in read_rows(segmentations, (UID, "file")))
    tables: list[pd.DataFrame] = []
    found: list[Finding] = []
    for count, (uid, file) in enumerate(masks, start=1):
        name = f"{MASKS}/{file}"
        if uid not in rows:
            found.append(_finding(uid, "mask-without-slices", name, "no slice of the study could be read"))
        else:
            table, about = presence_of(root / name, name, rows[uid])
            tables.append(table)
            found += about
        report("label_presence", count, len(masks), unit="masks")
    labelled = pd.concat([index.iloc[:0].reindex(columns=COLUMNS), *tables], ignore_index=True)
    kinds = {"slice_number": np.int32, "z_index": np.int32} | dict.fromkeys(VERTEBRAE, np.int8)
    write_table(labelled.astype(kinds), presence)
    write_table(findings_table(found), findings)
    say(f"label_presence: {len(labelled)} slices of {labelled[UID].nunique()} segmented studies, {len(found)} findings")


def presence_of(path: InPath, name: str, slices: pd.DataFrame) -> tuple[pd.DataFrame, list[Finding]]:
    """The labelled slices of one study (rows of the index, by z_index), and what was wrong with its mask."""
    uid = str(slices[UID].iloc[0])
    try:
        mask = read_mask(path)
    except CspineError as error:
        return slices.iloc[:0].reindex(columns=COLUMNS), [_finding(uid, "mask-unreadable", name, str(error))]
    found = []
    clean, removed = without_strays(mask.labels)
    if removed:
        found.append(_finding(uid, "mask-stray-labels", name, f"{removed} voxels in small separate regions"))
    plane = place_on_slices(mask, slices["position"].to_numpy(np.float64))
    if len(mask.labels) != len(slices):
        detail = f"{len(mask.labels)} planes, {len(slices)} slices; {int((plane >= 0).sum())} slices matched"
        found.append(_finding(uid, "mask-other-slice-count", name, detail))
    present = Mask(clean, mask.positions).present()[plane].astype(np.int8)
    table = slices.assign(**dict(zip(VERTEBRAE, present.T, strict=True)))[COLUMNS]
    return table[plane >= 0], found


def _finding(uid: str, code: str, file: str, detail: str) -> Finding:
    return Finding(uid, code, file, detail, CONSEQUENCES[code])
