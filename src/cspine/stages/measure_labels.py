"""How good the slice labels of one method and fold are, against the phantom's truth."""

from __future__ import annotations

from dataclasses import dataclass

from cspine.label_quality import label_quality
from cspine.progress import say
from cspine.stage import InPath, OutPath
from cspine.tables import read_table, write_table


@dataclass(frozen=True)
class MeasureConfig:
    """How the intervals are made."""

    bootstrap: int = 1000  # resamples of the studies
    seed: int = 0  # of the resamples


def measure_labels(labels: InPath, truth: InPath, quality: OutPath, *, config: MeasureConfig) -> None:
    """Precision and recall of slice labels per vertebra; works with the phantom only.

    Args:
        labels: what the method is taught: labels/slices.parquet, or its own slice_labels.parquet.
        truth: slices.parquet of the phantom's truth.
        quality: see ``cspine.label_quality``; of all boxed training studies, whatever their role in the fold.
        config: see MeasureConfig.
    """
    known = read_table(truth)
    table = label_quality(read_table(labels), known[known["cohort"] == "train"], config.bootstrap, config.seed)
    write_table(table, quality)
    for row in table[table["vertebra"] == "all"].to_dict("records"):
        say(
            f"measure_labels: {row['studies']} {row['of']} studies: precision {row['precision']:.3f} "
            f"[{row['precision_low']:.3f}, {row['precision_high']:.3f}], recall {row['recall']:.3f} "
            f"[{row['recall_low']:.3f}, {row['recall_high']:.3f}], F1 {row['f1']:.3f}; "
            f"{row['fractured']} fractured cells, {row['left_out']} more left out"
        )
