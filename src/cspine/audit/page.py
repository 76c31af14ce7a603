"""The audit as a page: the verdict first, then what it rests on."""

from __future__ import annotations

from typing import Any, NamedTuple

import pandas as pd

from cspine import reason_codes
from cspine.audit.figures import histograms
from cspine.audit.table import USES, Audit
from cspine.audit.template import TEMPLATE
from cspine.audit.verdict import counts_by_code, verdict_of
from cspine.pages import Table, render
from cspine.phantom.fracture_draws import HOW_MANY, REAL_FRACTURES
from cspine.studies import LABELS, UID, VERTEBRAE

REAL_STUDIES = 2019  #: training studies of the real set, as its train.csv has them
REAL_LABELS = dict(zip(LABELS, (sum(HOW_MANY), *REAL_FRACTURES), strict=True))
MOST_PROPOSED = 100
#: section of the page -> the codes it shows, beyond those of the sections of docs/findings.md
LABEL_CODES = ("duplicate-study", "duplicate-other-labels", "overall-not-max", "partial-labels", "unknown-overall",
               "no-labels", "no-folder", "study-in-both-cohorts",
               "same-pixels", "same-pixels-other-labels", "same-pixels-as-test")  # fmt: skip


class Worst(NamedTuple):
    """One of the worst studies."""

    study: dict[str, Any]  # its row of the audit
    findings: Table
    picture: str  # an embedded image


def audit_page(audit: Audit, masks: pd.DataFrame, pictures: dict[tuple[str, str], str], phantom: bool) -> str:
    """The page's HTML.

    Args:
        audit: both kinds of rows of audit.parquet.
        masks: labels/masks.parquet.
        pictures: of the worst studies, by (cohort, StudyInstanceUID), the worst first.
        phantom: the data are synthetic.
    """
    studies, findings = audit
    readable = studies[studies["slices"] > 0]
    return render(
        TEMPLATE,
        phantom=phantom,
        verdict=verdict_of(audit),
        labels_in_words=labels_in_words,
        codes=codes_table(findings),
        figures=histograms(studies),
        labels=labels_table(studies),
        real=len(studies[(studies["cohort"] == "train") & (studies["patient_overall"] >= 0)]) == REAL_STUDIES,
        reversed=_studies_table(readable[readable["reversed"]], {"slices": "slices"}),
        readable=len(readable),
        missing=_studies_table(
            studies[(studies["missing"] > 0) | (studies["missing_by_gap"] > 0) | (studies["left_out"] > 0)],
            {"slices": "slices read", "left_out": "files left out", "missing": "numbers missing",
             "missing_by_gap": "slices that fit into gaps"},
        ),
        boxes=_findings_table(findings, _box_codes()),
        masks=_findings_table(findings, _mask_codes()),
        mask_rows=_masks_table(masks),
        label_findings=_findings_table(findings, LABEL_CODES),
        worst=[_worst(studies, findings, key, image) for key, image in pictures.items()],
        ranking=_ranking(studies),
        excluded=Table(
            ["study", "why", "labels", "slices"],
            [
                [_uid(row[UID]), row["why_excluded"], labels_in_words(row), row["slices"]]
                for row in studies[studies["excluded"]].to_dict("records")
            ],
        ),
        proposal=_proposal(studies, findings),
        uses=uses_table(studies),
        total=len(findings),
    )  # fmt: skip


def worst_studies(studies: pd.DataFrame, count: int) -> list[tuple[str, str]]:
    """(cohort, StudyInstanceUID) of the readable studies with the highest scores, notes alone left aside."""
    bad = studies[(studies["slices"] > 0) & ~studies["severity"].isin(["", "noted"])]
    bad = bad.sort_values(["score", "cohort", UID], ascending=[False, False, True])
    return [(str(row["cohort"]), str(row[UID])) for row in bad.head(count).to_dict("records")]


def labels_in_words(study: dict[Any, Any]) -> str:
    """What train.csv says of a study: ``fractured: C2 C5``, ``fractured; unknown: C3 C4``, ``not labelled``."""
    if study["patient_overall"] == 0 and not study["vertebrae"]:
        known = "unfractured"
    elif study["patient_overall"] == 1 or study["vertebrae"]:
        known = f"fractured: {study['vertebrae']}" if study["vertebrae"] else "fractured"
    else:
        known = "not labelled"
    return f"{known}; unknown: {study['unknown']}" if study["unknown"] else known


def _uid(uid: object) -> dict[str, str]:
    return {"class": "uid", "text": str(uid)}


def _tag(severity: str) -> dict[str, str]:
    return {"class": f"tag {severity}", "text": severity}


def _code(code: str) -> dict[str, str]:
    return {"class": "code", "text": code}


def codes_table(findings: pd.DataFrame) -> Table:
    """Each reason code with how often it was found, and what was done."""
    rows = [
        [
            _tag(row["severity"]),
            _code(row["code"]),
            row["studies"],
            row["findings"],
            reason_codes.explained(row["code"]).meaning,
            row["consequence"],
        ]
        for row in counts_by_code(findings).to_dict("records")
    ]
    return Table(["", "code", "studies", "findings", "what was found", "what was done"], rows, shown=len(rows))


def labels_table(studies: pd.DataFrame) -> Table:
    """How many of the labelled training studies are fractured at each level, beside the real set."""
    labelled = studies[(studies["cohort"] == "train") & (studies["patient_overall"] >= 0)]
    counts = {"patient_overall": int((labelled["patient_overall"] == 1).sum())}
    counts |= {v: _naming(labelled["vertebrae"], v) for v in VERTEBRAE}
    known = {name: len(labelled) - _naming(labelled["unknown"], name) for name in LABELS}
    rows = [
        [
            name,
            counts[name],
            known[name],
            _share(counts[name], known[name]),
            REAL_LABELS[name],
            _share(REAL_LABELS[name], REAL_STUDIES),
        ]
        for name in LABELS
    ]
    head = ["label", "positive here", "known", "share", "in the real set", "share"]
    return Table(head, rows, f"of {len(labelled):,} labelled training studies; the real set has {REAL_STUDIES:,}")


def _naming(texts: pd.Series, name: str) -> int:
    """How many of ``texts`` ("C2 C5") name a label."""
    return int(texts.str.split().map(lambda names: name in names).sum())


def _share(count: int, of: int) -> str:
    return f"{count / of:.1%}" if of else ""


def _studies_table(studies: pd.DataFrame, columns: dict[str, str]) -> Table:
    ordered = studies.sort_values(["cohort", "score", UID], ascending=[False, False, True])
    rows = [[_uid(row[UID]), row["cohort"], *(row[c] for c in columns)] for row in ordered.to_dict("records")]
    return Table(["study", "cohort", *columns.values()], rows, shown=10)


def _findings_table(findings: pd.DataFrame, codes: tuple[str, ...]) -> Table:
    chosen = findings[findings["code"].isin(codes)]
    rank = chosen["severity"].map({severity: place for place, severity in enumerate(reason_codes.SEVERITIES)})
    chosen = chosen.assign(rank=rank).sort_values(["rank", "code", UID, "file", "detail"])
    rows = [
        [_tag(row["severity"]), _code(row["code"]), _uid(row[UID]), row["detail"] or row["file"], row["consequence"]]
        for row in chosen.to_dict("records")
    ]
    return Table(["", "code", "study", "detail", "what was done"], rows, shown=10)


def _box_codes() -> tuple[str, ...]:
    return tuple(code for code in reason_codes.CODES if "box" in code.split("-")[0] or code == "vertebra-without-box")


def _mask_codes() -> tuple[str, ...]:
    return tuple(code for code in reason_codes.CODES if code.startswith("mask-") or code == "no-masks")


def _masks_table(masks: pd.DataFrame) -> Table | None:
    if masks.empty:
        return None
    rows = [
        [
            _uid(row[UID]),
            row["orientation"] or "not known",
            row["planes"],
            row["slices"],
            row["matched"],
            "" if pd.isna(row["bone_share"]) else f"{row['bone_share']:.0%}",
            row["strays"],
            row["levels"],
        ]
        for row in masks.sort_values(["bone_share", UID], na_position="first").to_dict("records")
    ]
    head = ["study", "turned by", "planes", "slices", "matched", "on bone", "stray voxels", "levels"]
    return Table(head, rows, shown=5)


def _worst(studies: pd.DataFrame, findings: pd.DataFrame, key: tuple[str, str], image: str) -> Worst:
    row = studies[(studies["cohort"] == key[0]) & (studies[UID] == key[1])].iloc[0].to_dict()
    rank = list(reason_codes.SEVERITIES).index
    own = findings[findings[UID] == key[1]]
    groups = sorted(own.groupby("code"), key=lambda pair: (rank(pair[1]["severity"].iloc[0]), str(pair[0])))
    rows = [[_tag(group["severity"].iloc[0]), _code(str(code)), _said(group)] for code, group in groups]
    return Worst({str(name): value for name, value in row.items()}, Table(["", "code", "detail"], rows), image)


def _said(group: pd.DataFrame) -> str:
    """File and detail of the first of the findings of one code, and how many there are."""
    words = ": ".join(word for word in group[["file", "detail"]].iloc[0] if word)
    return f"{len(group)} x, first: {words}" if len(group) > 1 else words


def _ranking(studies: pd.DataFrame) -> Table:
    bad = studies[~studies["severity"].isin(["", "noted"])]
    bad = bad.sort_values(["score", "cohort", UID], ascending=[False, False, True])
    rows = [
        [
            row["score"],
            _uid(row[UID]),
            row["cohort"],
            _tag(row["severity"]),
            row["findings"],
            row["slices"],
            USES[row["use"]],
        ]
        for row in bad.to_dict("records")
    ]
    return Table(["score", "study", "cohort", "worst", "findings", "slices", "what the run does"], rows, shown=20)


def _proposal(studies: pd.DataFrame, findings: pd.DataFrame) -> list[tuple[str, str]]:
    """The doubtful training studies that nothing excludes yet, the worst first, each with its doubtful codes."""
    codes = findings[findings["severity"] == "doubtful"].groupby(UID)["code"]
    doubtful = codes.agg(lambda found: ", ".join(sorted(set(found))))
    rows = studies[(studies["cohort"] == "train") & ~studies["excluded"] & (studies["slices"] > 0)]
    rows = rows[rows[UID].isin(doubtful.index)].sort_values(["score", UID], ascending=[False, True])
    return [(str(uid), str(doubtful[uid])) for uid in rows[UID].head(MOST_PROPOSED)]


def uses_table(studies: pd.DataFrame) -> Table:
    """What the run does with how many studies."""
    counts = studies.groupby(["use", "cohort"]).size()
    rows = [
        [text, int(counts.get((use, "train"), 0)), int(counts.get((use, "test"), 0))]
        for use, text in USES.items()
        if use in counts.index.get_level_values("use")
    ]
    return Table(["what the run does", "training studies", "test studies"], rows)
