"""The audit in a few lines for the terminal."""

from __future__ import annotations

from textwrap import wrap

from cspine.amounts import table
from cspine.audit.table import Audit
from cspine.audit.verdict import counts_by_code, verdict_of

MOST_CODES = 12
WIDTH = 100


def summary_of(audit: Audit, phantom: bool) -> str:
    """Verdict, what happens to the studies, and the worst codes: plain text of at most 100 columns."""
    verdict = verdict_of(audit)
    lines = ["audit of the PHANTOM (synthetic)" if phantom else "audit of the data", ""]
    for sentence in (verdict.headline, *verdict.training, *verdict.test):
        lines += wrap(sentence, WIDTH, subsequent_indent="  ")
    codes = counts_by_code(audit.findings)
    if len(codes):
        shown = codes.head(MOST_CODES)
        rows = [(str(row.severity), str(row.code), str(row.studies), str(row.findings)) for row in shown.itertuples()]
        lines += ["", *table([("", "code", "studies", "findings"), *rows], texts=(0, 1))]
        lines += [f"and {len(codes) - len(shown)} more codes"] if len(codes) > len(shown) else []
    for text, _ in verdict.advice:
        lines += ["", *wrap(text, WIDTH)]
    return "\n".join(lines) + "\n"
