"""write_pseudo_quality: how good the pseudo-labels of a method are, by fold and round, for the person."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from cspine.errors import CspineError
from cspine.pseudo_quality.texts import quality_text
from cspine.scores import SIZES
from cspine.stage import InPath, OutPath
from cspine.tables import read_table


@dataclass(frozen=True)
class QualityTextConfig:
    """What the text says about the run as a whole."""

    method: str  # the name of the method, as in the config
    last_round: int  # its predictions make no labels for a further round
    phantom: bool = True  # the data are synthetic: said in the first line
    size: str = "demo"  # smoke | demo | study: what a result of this size may claim
    bootstrap: int = 1000  # resamples behind the intervals

    def __post_init__(self) -> None:
        if self.size not in SIZES:
            raise CspineError(f"size: found {self.size!r}, expected one of {', '.join(SIZES)}")


def write_pseudo_quality(quality: list[InPath], text: OutPath, *, config: QualityTextConfig) -> None:
    """Write the text.

    Args:
        quality: pseudo_quality.parquet of every fold and round.
        text: pseudo_quality.txt, of at most 100 columns.
        config: see QualityTextConfig.
    """
    table = pd.concat([read_table(path) for path in quality], ignore_index=True)
    words = quality_text(table, config.method, config.phantom, config.size, config.bootstrap, config.last_round)
    text.write_text(words, encoding="utf-8")
