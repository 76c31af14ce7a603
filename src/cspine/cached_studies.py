"""Which studies a view has: one that could not be read again, or not be resampled, is in the index and not here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from cspine.cache.reading import SliceCache
from cspine.progress import say
from cspine.studies import UID


def without_pixels(uids: Sequence[str], shards: Sequence[Path], stage: str) -> set[str]:
    """The studies that the cache lacks; one line says how many, and where it is written why.

    Args:
        uids: studies asked for.
        shards: the cache of a view.
        stage: who asks.
    """
    cache = SliceCache(shards)
    lost = {uid for uid in uids if uid not in cache}
    if lost:
        few = f"study {min(lost)} has" if len(lost) == 1 else f"{len(lost)} studies have"
        say(
            f"{stage}: {few} no pixels in the view {cache.metadata.get('view')}; the findings beside its shards say why"
        )
    return lost


def with_pixels(table: pd.DataFrame, shards: Sequence[Path], stage: str) -> pd.DataFrame:
    """The rows of ``table`` whose study the cache has."""
    return table[~table[UID].isin(without_pixels(table[UID].unique().tolist(), shards, stage))]
