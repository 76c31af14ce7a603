"""What the figures read from the tables of errors."""

from __future__ import annotations

import pandas as pd

FEW = "too few to measure"


def row_of(table: pd.DataFrame, cohort: str, level: str) -> pd.Series:
    """The row of a cohort and level, the first where a table has several."""
    return table[(table["cohort"] == cohort) & (table["level"] == level)].iloc[0]


def number_of_studies(areas: pd.DataFrame, cohort: str) -> int:
    """Those whose patient label is known, from areas.parquet."""
    patients = row_of(areas, cohort, "patient")
    return int(patients["positives"] + patients["negatives"])


def few_of(row: pd.Series) -> str:
    """What is said beside a figure that is not measurable."""
    return "" if row["measurable"] else f" ({FEW})"
