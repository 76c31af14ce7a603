"""Training: the loss on what is taught against the loss on select, and what select's cells say, epoch by epoch."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from cspine.palette import FIRST, LINE, PAPER, SECOND, SOFT
from cspine.report.drawn import About, Drawn, Form, draw, in_words
from cspine.report.panels import head, panels, spoken

RATES = {
    "select_sensitivity": ("sensitivity", FIRST),
    "select_specificity": ("specificity", SECOND),
}


def training(history: pd.DataFrame, about: About) -> Drawn:
    """Train loss against select loss, the best epoch marked; a panel for each fold and round.

    Args:
        history: history.parquet of every training, with the columns fold and round, and member (from 0) where a round
            has several models.
        about: for the caption.
    """
    caption = (
        "Loss on what is taught, and on the role select, which teaches nothing. Of select it is the loss's first term "
        "alone, so where more is taught beside it the heights of the two lines do not compare. Circle: the epoch with "
        "the least select loss. A dashed upright line begins another part with a learning rate of its own; thin lines "
        f"are further models of the same round. No intervals: each line is one training.{about.data}"
    )
    return _epochs("training", "Training and select loss", "loss", history, _losses, caption, _said_losses)


def rates(history: pd.DataFrame, about: About) -> Drawn:
    """Sensitivity and specificity over select's cells at 0.5; a panel for each fold and round.

    Args:
        history: as of ``training``.
        about: for the caption.
    """
    title = "Select sensitivity and specificity"
    if len(history) and history[list(RATES)].isna().all(axis=None):
        return in_words("training_rates", title, "the method's loss judges no slice x vertebra cells")
    caption = (
        "Cells slice x vertebra of the role select, whose labels are those of the method, at the threshold 0.5. Thin "
        f"lines are further models of the same round. No intervals: each line is one training.{about.data}"
    )
    return _epochs("training_rates", title, "share of cells", history, _rates, caption, _said_rates)


def _epochs(
    name: str,
    title: str,
    y: str,
    history: pd.DataFrame,
    panel: Callable[[Axes, pd.DataFrame], None],
    caption: str,
    words: Callable[[pd.DataFrame], str],
) -> Drawn:
    if history.empty:
        return in_words(name, title, "nothing was trained")
    groups = [(f"fold {fold}, round {round_}", rows) for (fold, round_), rows in history.groupby(["fold", "round"])]
    rounds = history["round"].nunique()

    def figure(form: Form) -> Figure:
        page, grid = panels(form, len(groups), 2.6, columns=min(rounds, 3) if len(groups) > 1 else 2)
        for axes, (heading, rows) in zip(grid, groups, strict=True):
            panel(axes, rows)
            head(axes, heading, "epoch", y)
            axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
            axes.grid(color=LINE, linewidth=0.6)
            axes.set_axisbelow(True)
        lines = grid[0].get_legend_handles_labels()
        page.legend(*lines, loc="outside lower left", ncols=2 if form.narrow else 4, handlelength=1.6)
        return page

    return draw(name, title, caption, spoken([f"{heading}: {words(rows)}" for heading, rows in groups]), figure)


def _models(rows: pd.DataFrame) -> list[pd.DataFrame]:
    """The history of each member, with the epochs of all its parts counted on from 1."""
    parts = [group for _, group in rows.groupby("member")] if "member" in rows else [rows]
    return [part.reset_index(drop=True).assign(at=np.arange(1, len(part) + 1)) for part in parts]


def _best(model: pd.DataFrame) -> pd.Series | None:
    """The first epoch with the least select loss; None where select has no loss."""
    losses = model["select_loss"].to_numpy(np.float64)
    return None if np.isnan(losses).all() else model.iloc[int(np.nanargmin(losses))]


def _losses(axes: Axes, rows: pd.DataFrame) -> None:
    for place, model in enumerate(_models(rows)):
        width = 0.8 if place else 1.6
        for name, colour in (("train", FIRST), ("select", SECOND)):
            label = "_" if place else f"{name} loss"
            axes.plot(model["at"], model[f"{name}_loss"], color=colour, linewidth=width, label=label)
        best = _best(model)
        if best is not None:
            label = "_" if place else "least select loss"
            axes.plot(best["at"], best["select_loss"], "o", color=SECOND, markerfacecolor=PAPER, ms=7, label=label)
        for start in model.loc[model["part"].diff() > 0, "at"] if not place else []:
            axes.axvline(start - 0.5, color=SOFT, linestyle="--", linewidth=1)
    axes.set_ylim(bottom=0)


def _rates(axes: Axes, rows: pd.DataFrame) -> None:
    for place, model in enumerate(_models(rows)):
        for name, (words, colour) in RATES.items():
            width, label = (0.8, "_") if place else (1.6, words)
            axes.plot(model["at"], model[name], color=colour, linewidth=width, label=label)
    axes.set_ylim(0, 1.02)


def _said_losses(rows: pd.DataFrame) -> str:
    told = []
    for model in _models(rows):
        last = model.iloc[-1]
        told.append(
            f"{len(model)} epochs, at last train loss {last['train_loss']:.4f}, select {last['select_loss']:.4f}"
        )
        best = _best(model)
        if best is not None:
            told[-1] += f", least select loss {best['select_loss']:.4f} in epoch {best['at']:.0f}"
    return "; ".join(told)


def _said_rates(rows: pd.DataFrame) -> str:
    last = _models(rows)[0].iloc[-1]
    return "at last " + ", ".join(f"{words} {last[name]:.3f}" for name, (words, _) in RATES.items())
