"""Slice labels of the boxed and the unfractured studies (system S3, step 1)."""

from __future__ import annotations

from cspine.boxes import check_boxes, read_boxes
from cspine.findings import findings_table
from cspine.labels import LabelConfig, label_slices_from_boxes
from cspine.progress import say
from cspine.stage import InPath, OutPath
from cspine.studies import UID
from cspine.tables import read_table, write_table


def label_slices(
    studies: InPath, slices: InPath, boxes: InPath, labels: OutPath, findings: OutPath, *, config: LabelConfig
) -> None:
    """Label every slice that needs no model, and report the boxes that match no slice.

    Args:
        studies: index/studies.parquet.
        slices: index/slices.parquet.
        boxes: the snapshot of train_bounding_boxes.csv.
        labels: labels/slices.parquet: study, slice, C1..C7, source, weight, first_round.
        findings: what was wrong with the boxes.
        config: see LabelConfig.
    """
    study_table, slice_table = read_table(studies), read_table(slices)
    valid, found = check_boxes(read_boxes(boxes), slice_table, study_table)
    table, more = label_slices_from_boxes(study_table, slice_table, valid, config)
    write_table(table, labels)
    write_table(findings_table([*found, *more]), findings)
    teacher = table[table["first_round"] == 0]
    sources = ", ".join(f"{source} {count}" for source, count in teacher["source"].value_counts(sort=False).items())
    say(
        f"label_slices: {len(table)} slices of {table[UID].nunique()} studies; the teacher's: {len(teacher)} "
        f"of {teacher[UID].nunique()} ({sources}); {len(found) + len(more)} findings"
    )
