"""The row of geometry every slice carries from the cache to the predictions: its columns and their types."""

from __future__ import annotations

import numpy as np
import pandas as pd

#: column -> numpy type ("str" is a utf-8 string); in this order in every table
GEOMETRY: dict[str, str] = {
    "StudyInstanceUID": "str",
    "z_index": "int32",  # 0 = most cranial
    "slice_number": "int32",  # the number in the file's name (``dicom.order.slice_numbers``); -1 if none
    "position": "float32",  # mm along the slice normal, falling from cranial to caudal
    "rows": "int16",  # size of the image as stored in the file (after turning it upright)
    "columns": "int16",
    "row_spacing": "float32",  # mm
    "column_spacing": "float32",  # mm
    "reversed": "bool",  # the study's file numbers run feet to head
    "crc32": "uint32",  # of the cached blob
}
INDEX_COLUMNS = ("cohort", *GEOMETRY, "shard")  #: of index/slices.parquet


def geometry_columns() -> list[str]:
    """The columns of a cache shard that are not pixels."""
    return list(GEOMETRY)


def typed(table: pd.DataFrame) -> pd.DataFrame:
    """``table`` with the types of ``GEOMETRY`` for the columns it has, also when it has no row."""
    return table.astype({c: kind for c, kind in GEOMETRY.items() if c in table.columns})


def z_order_broken(table: pd.DataFrame) -> str:
    """The first study whose z_index is not 0, 1, 2, ... in the order of the rows; "" if all are well."""
    place = table.groupby("StudyInstanceUID", sort=False).cumcount().to_numpy()
    wrong = np.flatnonzero(place != table["z_index"].to_numpy())
    return str(table["StudyInstanceUID"].iloc[wrong[0]]) if len(wrong) else ""
