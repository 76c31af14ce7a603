"""What made the report's files, as the store's records have it: what each took, by which versions, by which config.

Every file's way is walked upstream through done.json, so that all of it counts, whoever asked for it first and in
whichever session. A file that no record knows (copied by hand) is left out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from cspine.comparison.spent import Made, made, upstream
from cspine.hashing import canonical_json

COLUMNS = ["stage", "at", "seconds", "cpu_seconds", "peak_mb", "segments", "device"]


def made_from(files: Iterable[Path]) -> list[Made]:
    """Every result on the way to ``files``, these included, each once, by stage and place."""
    roots = [root for path in files if (root := made(path))]
    return sorted(upstream(*roots), key=lambda one: (one.stage, one.at, one.folder.name))


def costs(results: Iterable[Made]) -> pd.DataFrame:
    """COLUMNS of each result; memory is the host's, seconds are of all segments of an interrupted stage."""
    rows = [
        [
            one.stage, one.at, one.cost("seconds"), one.cost("cpu_seconds"), one.cost("peak_mb"),
            int(one.done.get("costs", {}).get("segments", 1)), str(one.done.get("device", "")),
        ]
        for one in results
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=COLUMNS)


def versions(results: Iterable[Made]) -> dict[str, dict[str, int]]:
    """Library -> version -> results that it made; more than one version of a library is worth a look."""
    counts: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for one in results:
        for name, version in one.done.get("versions", {}).items():
            counts[name][str(version)] += 1
    return {name: dict(sorted(found.items())) for name, found in sorted(counts.items())}


def config_blocks(results: Iterable[Made]) -> list[tuple[str, list[str], dict[str, object]]]:
    """The config blocks that made them: stage, places that share the block, block; empty ones are left out."""
    shared: dict[tuple[str, str], tuple[list[str], dict[str, object]]] = {}
    for one in results:
        block = one.done.get("config") or {}
        if block:
            shared.setdefault((one.stage, canonical_json(block)), ([], block))[0].append(one.at)
    return [(stage, places, block) for (stage, _), (places, block) in shared.items()]
