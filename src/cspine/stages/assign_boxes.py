"""The slice labels of one method and fold: boxes given to vertebrae, rims and gaps weighed or left out."""

from __future__ import annotations

from cspine.box_evidence import COLUMNS as SEEN_COLUMNS
from cspine.box_evidence import boxes_in_shares
from cspine.boxes import check_boxes, read_boxes
from cspine.errors import CspineError
from cspine.findings import findings_table
from cspine.progress import say
from cspine.slice_labels import AssignConfig, Tally, assign_boxes_to_levels, trusted, weigh_rims
from cspine.stage import InPath, OutPath
from cspine.tables import read_table, write_table


def assign_boxes(
    labels: InPath,
    studies: InPath,
    slices: InPath,
    boxes: InPath,
    slice_labels: OutPath,
    findings: OutPath,
    *,
    localization: InPath | None = None,
    config: AssignConfig,
) -> None:
    """Labels as the box rule gives them become those that a method is taught.

    Args:
        labels: labels/slices.parquet.
        studies: index/studies.parquet.
        slices: index/slices.parquet.
        boxes: the snapshot of train_bounding_boxes.csv; what is wrong with them, label_slices has reported.
        slice_labels: the same columns, C1..C7 soft (NaN = unknown), and confidence_C1..confidence_C7. Slices that are
            left out have no row.
        findings: studies whose boxes and whose localization contradict each other.
        localization: localization/{localizer}/fold-{k}.parquet of the method's fold; needed with ``assign: localized``.
        config: see AssignConfig.
    """
    if (localization is None) != (config.assign == "all"):
        found = "none was given" if localization is None else "it was given"
        raise CspineError(f"assign_boxes: --localization with assign: {config.assign}: {found}; localized needs it")
    table, tally = trusted(read_table(labels)), Tally()
    if localization is not None:
        slice_table = read_table(slices)
        valid, _ = check_boxes(read_boxes(boxes), slice_table, read_table(studies))
        places = boxes_in_shares(valid, slice_table[slice_table["cohort"] == "train"])
        seen = read_table(localization, ["cohort", "source", *SEEN_COLUMNS])
        table, tally = assign_boxes_to_levels(table, places, seen, config)
    else:
        tally.boxed = int((table["source"] == "box").sum())
    write_table(weigh_rims(table, config, tally), slice_labels)
    write_table(findings_table(tally.findings), findings)
    say(f"assign_boxes: fold {config.fold}: {tally.line()}")
