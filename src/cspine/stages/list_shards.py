"""list_shards: the shards of a view and cohort in one file, which is one input instead of dozens."""

from __future__ import annotations

from cspine import lists
from cspine.stage import InPath, OutPath


def list_shards(shards: list[InPath], listed: OutPath) -> None:
    """Name the shards.

    Args:
        shards: of one view and cohort, in their order.
        listed: shards.list beside them, a name a line; a stage that is given it gets the shards (``cspine.lists``).
    """
    listed.write_text(lists.written(shards), encoding="utf-8")
