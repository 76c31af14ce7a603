"""The data: what there is, what is wrong with it, and what the run does about it."""

from __future__ import annotations

from cspine.audit.figures import histograms
from cspine.audit.page import codes_table, labels_table, uses_table
from cspine.audit.table import Audit
from cspine.audit.verdict import verdict_of
from cspine.report.parts import Chapter, Folded, Heading, Markup, Part, Points, Words


def data(audit: Audit) -> Chapter:
    """The audit in short; its own page, results/audit.html, has the studies by name and pictures of the worst."""
    studies, findings = audit
    verdict = verdict_of(audit)
    drawings = "".join(
        f"<figure>{one.svg}<figcaption>{one.caption}</figcaption></figure>" for one in histograms(studies)
    )
    parts: list[Part] = [
        Words(verdict.headline),
        Points([*verdict.training, *verdict.test]),
        Heading("Labels"),
        labels_table(studies),
        Heading("What the run does with the studies"),
        uses_table(studies),
        Heading("What was found"),
        codes_table(findings) if len(findings) else Words("Nothing."),
        Folded("Sizes", [Markup(f'<div class="drawings">{drawings}</div>')]),
        Words("Study by study, with pictures of the worst: snakemake audit makes results/audit.html.", soft=True),
    ]
    return Chapter("data", "Data", parts)
