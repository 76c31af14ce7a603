"""Which of the stage's many files is of which round, fold and member: they come in one order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import pandas as pd

from cspine.errors import CspineError
from cspine.report.config import ReportConfig
from cspine.tables import read_table


@dataclass(frozen=True)
class RoundFiles:
    """The files that come round by round, of each fold by fold (and member by member)."""

    config: ReportConfig

    def joined(self, name: str, paths: Sequence[Path], each: int = 1) -> pd.DataFrame:
        """One table with columns round, fold and member; empty where there are no files."""
        if not paths:
            return pd.DataFrame()
        found = self.tables(name, paths, each).items()
        return pd.concat(
            [table.assign(round=number, fold=fold, member=member) for (number, fold, member), table in found],
            ignore_index=True,
        )

    def tables(self, name: str, paths: Sequence[Path], each: int = 1) -> dict[tuple[int, int, int], pd.DataFrame]:
        """By (round, fold, member).

        Raises:
            CspineError: there are more or fewer than the rounds, folds and members make.
        """
        places = list(product(range(self.config.rounds), self.config.folds_run, range(each)))
        if len(places) != len(paths):
            raise CspineError(
                f"report: {len(paths)} {name}; expected {len(places)}, one for each round, fold and member"
            )
        return {place: read_table(path) for place, path in zip(places, paths, strict=True)}
