"""Made-up tables in the columns of the index, and the audit of them, for the tests of the audit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cspine.audit.exclusions import AuditConfig
from cspine.audit.table import Audit, read_audit_table
from cspine.findings import Finding, findings_table
from cspine.slices import INDEX_COLUMNS, typed
from cspine.stages.audit_studies import audit_studies
from cspine.studies import UID, VERTEBRAE
from cspine.tables import write_table
from small_cohort import boxes_table, studies_table

USUAL = 151  # slices a millimetre apart: a neck, with room to spare


def stack(uid: str, cohort: str = "train", slices: int = USUAL, step: float = 1.0, **columns: Any) -> pd.DataFrame:
    """The rows of index/slices.parquet of one study, numbered 1, 2, ... from the head."""
    z = np.arange(slices)
    table: dict[str, Any] = {"cohort": cohort, UID: uid, "z_index": z, "slice_number": z + 1, "position": -step * z}
    table |= {"rows": 512, "columns": 512, "row_spacing": 0.4, "column_spacing": 0.4, "reversed": False}
    table["crc32"] = np.random.default_rng(sum(map(ord, uid + cohort))).integers(0, 2**32, slices)
    return typed(pd.DataFrame(table | {"shard": 0} | columns))[list(INDEX_COLUMNS)]


def presence_of(uid: str, levels: dict[str, range], slices: int = USUAL) -> pd.DataFrame:
    """The rows of labels/presence.parquet of one study: which slices show which vertebra."""
    z = np.arange(slices)
    shown = {v: np.isin(z, levels.get(v, range(0))).astype(np.int8) for v in VERTEBRAE}
    return pd.DataFrame({UID: uid, "slice_number": z + 1, "z_index": z} | shown)


def whole_neck(first: int = 10, each: int = 18) -> dict[str, range]:
    """C1 to C7, one below the other."""
    return {v: range(first + i * each, first + (i + 1) * each) for i, v in enumerate(VERTEBRAE)}


def audited(
    folder: Path,
    studies: list[dict[str, object]],
    slices: list[pd.DataFrame],
    findings: list[Finding] | None = None,
    boxes: list[tuple[str, int]] | None = None,
    presence: list[pd.DataFrame] | None = None,
    mask_findings: list[Finding] | None = None,
    **config: Any,
) -> Audit:
    """Run the stage on these tables; ``folder`` keeps them and audit.parquet."""
    empty = presence_of("", {}, 0)
    tables = {
        "studies": studies_table(*studies),
        "slices": pd.concat(slices, ignore_index=True),
        "findings": findings_table(findings or []),
        "box_findings": findings_table([]),
        "presence": pd.concat([empty, *(presence or [])], ignore_index=True),
        "presence_findings": findings_table(mask_findings or []),
    }
    for name, table in tables.items():
        write_table(table, folder / f"{name}.parquet")
    boxes_table(*(boxes or [])).to_csv(folder / "boxes.csv", index=False)
    paths = {name: folder / f"{name}.parquet" for name in tables}
    audit_studies(**paths, boxes=folder / "boxes.csv", audit=folder / "audit.parquet", config=AuditConfig(**config))
    return read_audit_table(folder / "audit.parquet")


def codes_of(audit: Audit, uid: str) -> set[str]:
    """The codes of a study's findings."""
    return set(audit.findings.loc[audit.findings[UID] == uid, "code"])
