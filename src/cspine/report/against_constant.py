"""Losses minus the best constant's, cohort by cohort: what rounds and methods are drawn in alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from matplotlib.figure import Figure

from cspine.report.drawn import Form
from cspine.report.forest import Row, forest, height_of, said
from cspine.report.panels import panels, spoken


def against_constant(
    rows: Mapping[str, Sequence[Row]], headings: Mapping[str, str]
) -> tuple[str, Callable[[Form], Figure]]:
    """The numbers in words, and what draws them: a panel for each cohort, one below the other.

    Args:
        rows: by cohort, in the order of the page.
        headings: by cohort.
    """

    def figure(form: Form) -> Figure:
        height = height_of(rows.values(), form.narrow)
        page, grid = panels(form, len(rows), height, columns=1, sharex=True)
        for axes, (cohort, own) in zip(grid, rows.items(), strict=True):
            forest(axes, own, digits=3, sign="+", zero=0, stacked=form.narrow)
            axes.set(title=headings[cohort], xlabel="weighted log loss \N{MINUS SIGN} the best constant's")
            axes.tick_params(labelbottom=True)
        return page

    return spoken([f"{headings[cohort]}: {said(own, 3, '+')}" for cohort, own in rows.items()]), figure
