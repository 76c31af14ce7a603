"""write_pseudo_pages: results/{method}/pseudo_labels.html, the labels to look at before they are believed."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from cspine.cache.reading import SliceCache
from cspine.progress import report, say
from cspine.pseudo.config import PseudoConfig
from cspine.pseudo.labels import labels_apart
from cspine.pseudo.who import labels_seen
from cspine.pseudo_pages.cells import Sources, panels_of
from cspine.pseudo_pages.doubts import doubtful_runs, studies_to_show
from cspine.pseudo_pages.matrices import draw_matrices
from cspine.pseudo_pages.page import DoubtfulRun, Shown, ShownStudy, labels_page
from cspine.pseudo_pages.runs_shown import draw_run, run_rows, run_table
from cspine.pseudo_quality.references import boxed_select_studies
from cspine.stage import InPath, OutCopy
from cspine.studies import UID, VERTEBRAE
from cspine.tables import read_table
from cspine.writing import write_whole

DOUBTFUL = 12  #: runs shown as pictures
MOST, TYPICAL, BOXED = 3, 2, 2  #: studies shown as matrices
RULE = (
    f"the {MOST} studies with the most doubtful labels, {TYPICAL} around the median doubt, and the first {BOXED} boxed "
    "ones of the role select, labelled as if they had no boxes."
)


@dataclass(frozen=True)
class PagesConfig:
    """Which labels are shown."""

    method: str  # the name of the method, as in the config
    pseudo: PseudoConfig  # the same as of pseudo_label
    phantom: bool = True  # the data are synthetic: said in the title


def write_pseudo_pages(
    predictions: InPath,
    pseudo_labels: InPath,
    studies: InPath,
    folds: InPath,
    labels: InPath,
    shards: list[InPath],
    page: OutCopy,
    *,
    student: InPath | None = None,
    localization: InPath | None = None,
    truth: InPath | None = None,
    config: PagesConfig,
) -> None:
    """Write the page.

    Args:
        predictions: predictions.parquet that the labels were made from.
        pseudo_labels: pseudo_labels.parquet.
        studies: index/studies.parquet.
        folds: folds.parquet.
        labels: labels/slices.parquet, for the boxes.
        shards: the training cohort's cache of the method's view.
        page: pseudo_labels.html, one file that needs no network and no script.
        student: predictions.parquet of the round that was taught the labels.
        localization: that the labels were made with, if any.
        truth: the phantom's slices.parquet.
        config: see PagesConfig.
    """
    predicted, index, made = read_table(predictions), read_table(studies), read_table(pseudo_labels)
    taught = read_table(labels)
    roles, fold = read_table(folds), config.pseudo.fold
    boxed, seen = boxed_select_studies(index, roles, taught, fold).head(BOXED), labels_seen(taught, roles, fold)
    places = None if localization is None else read_table(localization)
    as_if, _ = labels_apart(predicted, boxed, seen, config.pseudo, places)
    later, hidden = (None if path is None else read_table(path) for path in (student, truth))
    sources = Sources.of(predicted, pd.concat([made, as_if], ignore_index=True), taught, later, hidden)
    runs = doubtful_runs(made, predicted)
    chosen = studies_to_show(runs, MOST, TYPICAL)
    chosen += [(uid, "boxed, labelled as if it were not") for uid in boxed[UID]]
    round = config.pseudo.round - 1
    shown = Shown(config.method, config.pseudo.fold, round, config.phantom, RULE)
    text = labels_page(
        shown,
        runs,
        _doubtful(runs, sources, SliceCache(shards)),
        _studies(chosen, sources, index, round),
        _without(made, runs, index),
    )
    write_whole(page, text.encode())
    say(f"write_pseudo_pages: {len(runs)} labelled runs, {len(chosen)} studies, {len(text.encode()) / 1e6:.1f} MB")


def _doubtful(runs: pd.DataFrame, sources: Sources, cache: SliceCache) -> list[DoubtfulRun]:
    shown = []
    for run in runs.head(DOUBTFUL).to_dict("records"):
        rows = run_rows(run, sources.study(run[UID]))
        image = draw_run(run, rows, cache)
        shown.append(DoubtfulRun(run[UID], run["vertebra"], run["doubt"], image, run_table(rows)))
        report("write_pseudo_pages: labels", len(shown), min(len(runs), DOUBTFUL), unit="pictures")
    return shown


def _studies(chosen: list[tuple[str, str]], sources: Sources, index: pd.DataFrame, round: int) -> list[ShownStudy]:
    of_study = index[index["cohort"] == "train"].set_index(UID)[list(VERTEBRAE)]
    shown = []
    for number, (uid, why) in enumerate(chosen):
        cells = sources.study(uid)
        drawing = draw_matrices(f"study-{number}", uid, list(cells.index), panels_of(cells, round))
        fractured = [v for v in VERTEBRAE if of_study.loc[uid, v] == 1]
        shown.append(ShownStudy(uid, why, " ".join(fractured) or "not known which", drawing))
        report("write_pseudo_pages: studies", len(shown), len(chosen), unit="pictures")
    return shown


def _without(made: pd.DataFrame, runs: pd.DataFrame, index: pd.DataFrame) -> int:
    """Fractured vertebrae of the labelled studies that no slice is labelled for."""
    own = index[(index["cohort"] == "train") & index[UID].isin(made[UID])]
    due = {(str(row[UID]), v) for row in own.to_dict("records") for v in VERTEBRAE if row[v] == 1}
    return len(due - set(zip(runs[UID], runs["vertebra"], strict=True)))
