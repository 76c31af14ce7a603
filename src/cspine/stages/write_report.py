"""write_report: results/report.html, what a run found on one page, and its figures as files."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from pathlib import Path

import pandas as pd

from cspine.audit.table import read_audit_table
from cspine.bootstrap import resample_counts
from cspine.comparison.figures import Studies, rows_of
from cspine.folds import roles_of
from cspine.progress import say
from cspine.report.chapters.browse import browse
from cspine.report.chapters.compared import compared
from cspine.report.chapters.costs import costs
from cspine.report.chapters.data import data
from cspine.report.chapters.errors import errors
from cspine.report.chapters.labels import labels
from cspine.report.chapters.learning import learning
from cspine.report.chapters.model_card import model_card
from cspine.report.chapters.provenance import provenance
from cspine.report.chapters.summary import headline, sentences, summary
from cspine.report.chapters.worst import worst
from cspine.report.config import ReportConfig
from cspine.report.drawn import in_words, write_figure
from cspine.report.layout import ERRORS, FIGURES, FORMS
from cspine.report.names import names_of
from cspine.report.page import figures_in, report_page
from cspine.report.parts import Chapter
from cspine.report.records import costs as costs_of
from cspine.report.records import made_from
from cspine.report.round_files import RoundFiles
from cspine.scores import measure, read_truth
from cspine.stage import InPath, OutCopy, OutPath
from cspine.tables import read_table
from cspine.writing import write_whole


def write_report(
    studies: InPath,
    folds: InPath,
    audit: InPath,
    scores: InPath,
    study_probabilities: list[InPath],
    training_sets: list[InPath],
    histories: list[InPath],
    error_tables: list[InPath],
    error_text: InPath,
    shown: InPath,
    cases: InPath,
    explained: InPath,
    browsed: InPath,
    page: OutCopy,
    figures: list[OutPath],
    *,
    quality: list[InPath] = [],  # noqa: B006 - never changed; the signature is read as text
    quality_text: InPath | None = None,
    comparison: InPath | None = None,
    truth: InPath | None = None,
    config: ReportConfig,
) -> None:
    """Write the page and every figure of it as PNG and SVG.

    Args:
        studies: index/studies.parquet.
        folds: folds.parquet.
        audit: audit.parquet.
        scores: scores.parquet of the method.
        study_probabilities: of every round, of each of config.folds_run.
        training_sets: likewise.
        histories: likewise, and of each member.
        error_tables: of ``analyse_errors``, in the order of ``report.layout.ERRORS``.
        error_text: errors.txt.
        shown: shown.parquet, the studies to browse.
        cases: cases.parquet, the worst errors.
        explained: explained.parquet, their key slices and heat maps.
        browsed: browsed.parquet, the slices to browse.
        page: report.html, one file that needs no network.
        figures: in the order of ``report.layout``: each figure's PNG, then its SVG.
        quality: pseudo_quality.parquet of every round, of each fold; none of a method that has no pseudo-labels.
        quality_text: pseudo_quality.txt.
        comparison: comparison.csv, where it was asked for.
        truth: a CSV like train.csv for the test studies; the phantom has one.
        config: see ReportConfig.

    Raises:
        CspineError: files are missing; what they are is said.
    """
    files, index, fold_table = RoundFiles(config), read_table(studies), read_table(folds)
    measured, chosen, pictured = read_table(scores), read_table(cases), read_table(explained)
    names = names_of(read_table(shown), list(chosen["StudyInstanceUID"]), config.uids)
    sources = [studies, audit, scores, *study_probabilities, *histories, *error_tables, browsed, explained]
    results = made_from(sources + ([comparison] if comparison else []))
    roles = roles_of(fold_table, config.folds_run[0]).value_counts().to_dict()
    tables = dict(zip(ERRORS, map(read_table, error_tables), strict=True))
    rounds = _rounds(files, Studies(index, fold_table, read_truth(truth) if truth else None), study_probabilities)
    text = quality_text.read_text(encoding="utf-8") if quality_text else ""
    slices = read_table(browsed)
    chapters: list[Chapter] = [
        summary(measured, config),
        data(read_audit_table(audit)),
        labels(files.joined("training sets", training_sets), files.joined("pseudo_quality", quality), text, config),
        learning(files.joined("histories", histories, config.members), config),
        compared(*rounds, pd.read_csv(comparison) if comparison else None, config),
        errors(tables, error_text.read_text(encoding="utf-8"), config),
        worst(chosen, pictured if config.images else pictured.iloc[:0], names, config),
        browse(slices, names, config),
        costs(costs_of(results), config),
        provenance(results, names if config.uids != "plain" else {}),
        model_card(measured, {str(role): int(count) for role, count in roles.items()}, config),
    ]
    said, tone = headline(measured)
    title = f"Report: {config.method}" + (" on the phantom (synthetic data)" if config.phantom else "")
    html = report_page(title, tone, said, sentences(config, bool(len(slices))), chapters)
    _write_figures(chapters, figures)
    write_whole(page, html.encode())
    say(f"write_report: {said}")
    say(f"write_report: {len(chapters)} chapters, {len(FIGURES)} figures, {len(html.encode()) / 1e6:.1f} MB")


def _rounds(files: RoundFiles, studies: Studies, paths: Sequence[Path]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Each round as a row of comparison.csv, all on the same resamples; and the same as rows of scores.parquet."""
    config, of_rounds = files.config, files.config.of_rounds()
    tables = files.tables("study probabilities", paths)
    entries = [
        studies.entry(method, [tables[number, fold, 0] for fold in config.folds_run], of_rounds)
        for number, method in enumerate(of_rounds.methods)
    ]
    scores = [
        measure(scored, entry.method.name, config.bootstrap, config.seed).assign(round=number)
        for number, entry in enumerate(entries)
        for scored in entry.cohorts.values()
    ]
    rows = pd.concat(
        [
            rows_of(
                entries, cohort, studies, resample_counts(len(scored.uids), config.bootstrap, config.seed), of_rounds
            )
            for cohort, scored in entries[0].cohorts.items()
        ],
        ignore_index=True,
    )
    return rows, pd.concat(scores, ignore_index=True)


def _write_figures(chapters: Sequence[Chapter], places: Sequence[Path]) -> None:
    drawn = figures_in(chapters)
    due = dict(zip(product(FIGURES, FORMS), places, strict=True))
    if not set(drawn) <= set(FIGURES):
        raise ValueError(f"the page has the figures {sorted(drawn)}; expected some of {sorted(FIGURES)}")
    for name in FIGURES:
        shown = drawn.get(name) or in_words(name, name.replace("_", " ").capitalize(), "not part of this report")
        write_figure(shown, due[name, "png"], due[name, "svg"])
