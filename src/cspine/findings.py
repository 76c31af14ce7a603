"""What was wrong with the input, one row each: bad input is reported with a reason code, never lost and never fatal."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Finding:
    """One thing found in the input and what was done about it."""

    StudyInstanceUID: str  # "" where no study is concerned
    code: str  # kebab-case reason code, listed in docs/findings.md
    file: str  # file name relative to the study or the raw folder; "" where none
    detail: str  # what was found
    consequence: str  # what was done: "slice left out", "prior used", ...


COLUMNS = [f.name for f in fields(Finding)]


def findings_table(findings: Iterable[Finding]) -> pd.DataFrame:
    """A table with the columns of ``Finding``, sorted, also when there is nothing to report."""
    import pandas as pd  # half a second that the processes which read CT do without

    rows = [asdict(f) for f in findings]
    table = pd.DataFrame(rows, columns=COLUMNS, dtype="str")
    return table.sort_values(COLUMNS, kind="stable", ignore_index=True)
