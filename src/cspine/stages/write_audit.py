"""write_audit: results/audit.html for the person, and its summary for the terminal."""

from __future__ import annotations

from dataclasses import dataclass

from cspine.audit.page import audit_page, worst_studies
from cspine.audit.pictures import draw_study, shown_of
from cspine.audit.summary import summary_of
from cspine.audit.table import read_audit_table
from cspine.boxes import read_boxes
from cspine.cache.reading import SliceCache
from cspine.progress import report, say
from cspine.stage import InPath, OutCopy, OutPath
from cspine.tables import read_table
from cspine.writing import write_whole

PICTURES = 6  #: worst studies shown as pictures


@dataclass(frozen=True)
class AuditPageConfig:
    """What the page says about the data as a whole."""

    phantom: bool = True  # the data are synthetic: said in the title


def write_audit(
    audit: InPath,
    slices: InPath,
    boxes: InPath,
    presence: InPath,
    masks: InPath,
    train_shards: list[InPath],
    test_shards: list[InPath],
    page: OutCopy,
    summary: OutPath,
    *,
    config: AuditPageConfig,
) -> None:
    """Write the page and its summary.

    Args:
        audit: audit.parquet.
        slices: index/slices.parquet.
        boxes: the snapshot of train_bounding_boxes.csv.
        presence: labels/presence.parquet.
        masks: labels/masks.parquet.
        train_shards, test_shards: the cache of the view ``slice``, for the worst studies' pictures.
        page: audit.html, one file that needs no network and no script.
        summary: audit.txt.
        config: see AuditPageConfig.
    """
    table = read_audit_table(audit)
    places, box_table, present = read_table(slices), read_boxes(boxes), read_table(presence)
    caches = {"train": SliceCache(train_shards), "test": SliceCache(test_shards)}
    pictures = {}
    worst = worst_studies(table.studies, PICTURES)
    for cohort, uid in worst:
        shown = shown_of(uid, cohort, places, box_table, present, table.findings)
        pictures[cohort, uid] = draw_study(shown, caches[cohort])
        report("write_audit", len(pictures), len(worst), unit="pictures")
    text = audit_page(table, read_table(masks), pictures, config.phantom)
    write_whole(page, text.encode())
    words = summary_of(table, config.phantom)
    summary.write_text(words, encoding="utf-8")
    say(f"write_audit: {len(text.encode()) / 1e6:.1f} MB, {len(pictures)} pictures")
