"""audit_studies: one table that says what is wrong with each study, and which are left out of training."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePosixPath

import pandas as pd

from cspine.audit.checks import check_duplicates, check_stacks
from cspine.audit.exclusions import AuditConfig, check_exclusions, excluded_studies
from cspine.audit.mask_checks import check_boxes_against_masks, check_masks
from cspine.audit.stacks import COLUMNS as SLICE_COLUMNS
from cspine.audit.stacks import KEY, stack_numbers
from cspine.audit.study_rows import study_rows
from cspine.audit.table import Audit, write_audit_table
from cspine.boxes import check_boxes, read_boxes
from cspine.findings import COLUMNS, Finding, findings_table
from cspine.progress import say
from cspine.reason_codes import LEFT_OUT, explained
from cspine.stage import InPath, OutPath
from cspine.studies import UID
from cspine.tables import read_table


def audit_studies(
    studies: InPath,
    slices: InPath,
    findings: InPath,
    boxes: InPath,
    box_findings: InPath,
    presence: InPath,
    presence_findings: InPath,
    audit: OutPath,
    *,
    config: AuditConfig,
) -> None:
    """Gather every finding so far, compare the tables with each other, and decide what is excluded.

    Args:
        studies: index/studies.parquet.
        slices: index/slices.parquet.
        findings: index/findings.parquet: of the raw folder and of reading.
        boxes: the snapshot of train_bounding_boxes.csv.
        box_findings: labels/findings.parquet.
        presence: labels/presence.parquet.
        presence_findings: labels/presence_findings.parquet.
        audit: audit.parquet, see ``cspine.audit.table``.
        config: see AuditConfig.
    """
    study_table, slice_table = read_table(studies), read_table(slices, [*SLICE_COLUMNS, "crc32"])
    given = pd.concat([read_table(path, COLUMNS) for path in (findings, box_findings, presence_findings)])
    box_table, present = read_boxes(boxes), read_table(presence)
    stacks = stack_numbers(slice_table, _numbers_left_out(given))
    with_slices = study_table.merge(stacks, on=KEY, validate="1:1")
    training = study_table[study_table["cohort"] == "train"]
    of_training = slice_table[slice_table["cohort"] == "train"]
    valid, _ = check_boxes(box_table, of_training, training)
    own: Iterable[Finding] = [
        *check_stacks(with_slices),
        *check_duplicates(with_slices),
        *check_masks(present, training),
        *check_boxes_against_masks(valid, present, of_training, training),
        *check_exclusions(study_table, config),
    ]
    everything = pd.concat([given, findings_table(own)], ignore_index=True).astype("str")
    excluded = excluded_studies(study_table, everything, config)
    rows = study_rows(study_table, stacks, box_table.groupby(UID).size(), everything, excluded)
    assert len(rows) == len(study_table), "a study of the index is not, or twice, in the audit"
    write_audit_table(Audit(rows, _with_severity(everything, excluded, config)), audit)
    used = ", ".join(f"{use} {count}" for use, count in rows["use"].value_counts().sort_index().items())
    say(f"audit_studies: {len(rows)} studies ({used}), {len(everything)} findings")


def _with_severity(findings: pd.DataFrame, excluded: dict[str, str], config: AuditConfig) -> pd.DataFrame:
    """The findings, each with its severity; those that exclude a study say so."""
    why = findings["code"].isin(config.exclude_codes) & findings[UID].isin(list(excluded))
    consequence = findings["consequence"].where(~why, "excluded from training (audit.exclude_codes)")
    return findings.assign(consequence=consequence, severity=[explained(code).severity for code in findings["code"]])


def _numbers_left_out(findings: pd.DataFrame) -> dict[str, list[int]]:
    """By study, the numbers in the names of its files that gave no slice."""
    numbers: dict[str, list[int]] = {}
    for uid, file in findings.loc[findings["code"].isin(LEFT_OUT), [UID, "file"]].itertuples(index=False):
        stem = PurePosixPath(file).stem
        if stem.isdecimal():
            numbers.setdefault(uid, []).append(int(stem))
    return numbers
