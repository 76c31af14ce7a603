"""How the training went: train against select, epoch by epoch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import pandas as pd

from cspine.histories import best_epoch
from cspine.pages import Table
from cspine.report.config import ReportConfig, round_name
from cspine.report.figures.training import rates, training
from cspine.report.parts import Chapter, Words


def learning(histories: pd.DataFrame, config: ReportConfig) -> Chapter:
    """Curves and the last lines of every training.

    Args:
        histories: history.parquet of every training, with columns round, fold and member.
        config: see ReportConfig.
    """
    rows = []
    for (number, fold, member), table in _trainings(histories):
        records = [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]
        best, last = records[best_epoch(records)], records[-1]
        name = f"{round_name(number)}, fold {fold}" + (f", member {member}" if config.members > 1 else "")
        rows.append([name, len(records), int(last["steps"]), *_losses(last), int(best["epoch"]) + 1, *_losses(best)])
    head = ["training", "epochs", "steps", "train loss, last", "select loss, last", "best epoch", "train loss then",
            "select loss then"]  # fmt: skip
    return Chapter("learning", "Training", [
        training(histories, config.about),
        rates(histories, config.about),
        Table(head, rows, "the best epoch is that of the least loss on select", shown=24),
        Words("Select studies are neither taught nor scored: they decide when to stop, and choose aggregation and "
              "thresholds.", soft=True),
    ])  # fmt: skip


def _trainings(histories: pd.DataFrame) -> Iterator[tuple[tuple[int, int, int], pd.DataFrame]]:
    """Each training's rows by round, fold and member."""
    for key, table in histories.groupby(["round", "fold", "member"]):
        number, fold, member = map(int, cast("tuple[int, int, int]", key))
        yield (number, fold, member), table


def _losses(row: dict[str, float]) -> list[str]:
    return [f"{row[name]:.4f}" if pd.notna(row.get(name)) else "" for name in ("train_loss", "select_loss")]
