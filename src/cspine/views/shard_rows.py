"""What one study gives to a shard of a view that is made after the index, and the writing of such a shard."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cspine.faults import fault_point
from cspine.findings import Finding, findings_table
from cspine.progress import report


@dataclass(frozen=True)
class ShardRows:
    """A study's rows of the cache, and what was found while they were made."""

    rows: list[dict[str, Any]]
    findings: list[Finding]


def write_rows(
    read: Iterator[ShardRows], count: int, metadata: dict[str, Any], shard: Path, findings: Path, stage: str
) -> None:
    """Write a shard study by study as the ``count`` studies are read, then the findings."""
    from cspine.cache.shards import write_shard  # a second of imports, which the workers' start does not wait for
    from cspine.tables import write_table

    found: list[Finding] = []

    def rows() -> Iterator[dict[str, Any]]:
        for number, study in enumerate(read, start=1):
            found.extend(study.findings)
            report(stage, number, count, unit="studies")
            fault_point("ingest-study")
            yield from study.rows

    write_shard(shard, rows(), metadata)
    write_table(findings_table(found), findings)
