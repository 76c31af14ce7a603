"""What the stages of masks are given, of a folder that ``make_study`` has written: the index and the list of masks."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from cspine.dicom import read_study
from cspine.studies import UID
from cspine.tables import write_table


def write_given(folder: Path, root: Path, uids: list[str]) -> None:
    """slices.parquet of these studies of the raw folder ``root``, and masks.csv of all its masks."""
    studies = {uid: read_study(root / "train_images" / uid) for uid in uids}
    rows = [
        {UID: uid, "z_index": z, "slice_number": s.slice_numbers[z], "position": s.positions[z]}
        | dict(zip(("rows", "columns"), s.hounsfield[z].shape, strict=True))
        | dict(zip(("row_spacing", "column_spacing"), s.spacing[z], strict=True))
        for uid, s in studies.items()
        for z in range(len(s.files))
    ]
    write_table(pd.DataFrame(rows).assign(cohort="train"), folder / "slices.parquet")
    masks = sorted(path.name for path in (root / "segmentations").iterdir())
    listed = pd.DataFrame([(name.split(".nii")[0], name) for name in masks], columns=[UID, "file"])
    listed.to_csv(folder / "masks.csv", index=False)
