"""What the audit comes to, in sentences: what the run will do with the studies, and what a person should do first."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from cspine.audit.table import Audit
from cspine.reason_codes import SEVERITIES

#: what a person can do about codes that stand for one trouble -> the codes
ADVICE = {
    "Copy or unpack these studies again: files are damaged or missing.": (
        "no-folder",
        "empty-folder",
        "no-readable-slice",
        "file-missing",
        "zero-byte-file",
        "file-unreadable",
        "truncated",
        "corrupt-frame",
        "header-unreadable",
        "missing-slices",
        "mask-unreadable",
        "mask-reader-crash",
    ),
    "Correct the rows of train.csv that contradict themselves or each other; until then these studies are excluded by "
    "audit.exclude_codes.": ("overall-not-max", "duplicate-other-labels"),
    "Fill in patient_overall of these studies where it can be known; until then they are neither taught nor scored.": (
        "unknown-overall",
    ),
    "Look at the boxes: file numbers, sizes or the study they name do not fit.": (
        "box-in-unfractured-study",
        "box-without-slice",
        "box-outside-image",
        "box-without-vertebra",
        "boxed-without-valid-box",
        "boxes-off-fracture",
        "box-off-fracture",
        "boxes-of-unknown-study",
    ),
    "Look at the masks: they may belong to another study or be turned in a way nobody knows. They teach only which "
    "vertebrae a slice shows.": (
        "mask-off-bone",
        "mask-turned",
        "mask-empty",
        "mask-without-place",
        "mask-lacks-fracture",
        "mask-lacks-level",
        "mask-level-order",
        "mask-of-unknown-study",
    ),
    "Decide which of the studies with equal slices counts; by default the first labelled one is kept, and all are left "
    "out where their labels differ.": ("same-pixels", "same-pixels-other-labels"),
    "Take the studies that are in both cohorts out of one: what the model says of them is no test.": (
        "study-in-both-cohorts",
        "same-pixels-as-test",
    ),
    "Look at the pictures of studies that are blank, too short for C1 to C7, or out of order; leave them out "
    "with audit.exclude_studies.": (
        "short-extent",
        "slices-all-equal",
        "numbers-not-in-order",
        "positions-all-equal",
        "ordered-by-instance-number",
        "ordered-by-file-name",
    ),
    "Report it: the reader met something it does not know.": ("reader-failed", "decoder-crash"),
}
TAUGHT = {
    "boxes": "by their boxes",
    "negative": "as unfractured",
    "pseudo-labels": "from round 1 on, by pseudo-labels",
}


@dataclass(frozen=True)
class Verdict:
    """The first thing on the page."""

    tone: str  # good | warn | bad
    headline: str
    training: list[str]  # what happens to the training studies, one sentence each
    test: list[str]
    advice: list[tuple[str, list[str]]]  # what to do, and the codes found that call for it


def verdict_of(audit: Audit) -> Verdict:
    """What audit comes to."""
    train, test = (_uses(audit.studies, cohort) for cohort in ("train", "test"))
    taught = sum(train.get(use, 0) for use in TAUGHT)
    severities = audit.findings["severity"].value_counts()
    doubts = ", ".join(f"{int(severities[s]):,} {s}" for s in SEVERITIES if s in severities.index)
    if not taught:
        tone, headline = "bad", "Nothing can be taught: no training study is labelled, readable and not excluded."
    elif severities.reindex(["lost", "doubtful"]).fillna(0).any():
        tone, headline = "warn", f"The run can go on. A person should look at the findings first: {doubts}."
    else:
        tone, headline = "good", f"Nothing serious was found ({doubts or 'no finding at all'})."
    codes = set(audit.findings["code"])
    advice = [(text, sorted(codes.intersection(of))) for text, of in ADVICE.items() if codes.intersection(of)]
    return Verdict(tone, headline, _of_training(train, taught), _of_test(test), advice)


def _uses(studies: pd.DataFrame, cohort: str) -> dict[str, int]:
    return {str(use): int(n) for use, n in studies.loc[studies["cohort"] == cohort, "use"].value_counts().items()}


def _of_training(uses: dict[str, int], taught: int) -> list[str]:
    how = ", ".join(f"{uses[use]:,} {words}" for use, words in TAUGHT.items() if use in uses)
    sentences = [
        f"{sum(uses.values()):,} training studies: {taught:,} can be taught or scored, as the folds share them out "
        f"({how or 'none'})."
    ]
    others = {
        "excluded": "excluded: predicted, but neither taught nor scored.",
        "unreadable": "without a readable slice: nothing can be taught.",
        "scored only": "with boxes that cannot be used: scored when held out, not taught.",
        "unlabelled": "not in train.csv, or patient_overall unknown: read, not taught.",
    }
    return sentences + [f"{uses[use]:,} {words}" for use, words in others.items() if use in uses]


def _of_test(uses: dict[str, int]) -> list[str]:
    asked = uses.get("predicted", 0) + uses.get("prior", 0)
    sentences = [f"{asked:,} test studies are asked for: {uses.get('predicted', 0):,} can be predicted."]
    if "prior" in uses:
        sentences.append(f"{uses['prior']:,} cannot be read: the training prior is submitted.")
    if "not asked for" in uses:
        sentences.append(f"{uses['not asked for']:,} more in test_images that nothing asks for.")
    return sentences


def counts_by_code(findings: pd.DataFrame) -> pd.DataFrame:
    """code, severity, studies, findings and the most frequent consequence; the worst and most frequent first."""
    rank = {severity: place for place, severity in enumerate(SEVERITIES)}
    grouped = findings.groupby("code")
    table = pd.DataFrame(
        {
            "severity": grouped["severity"].first(),
            "studies": grouped["StudyInstanceUID"].agg(lambda uids: uids[uids != ""].nunique()),
            "findings": grouped.size(),
            "consequence": grouped["consequence"].agg(lambda texts: texts.mode().iloc[0]),
        }
    ).reset_index()
    table["rank"] = table["severity"].map(rank)
    table = table.sort_values(["rank", "studies", "code"], ascending=[True, False, True], ignore_index=True)
    return table.drop(columns="rank")
