"""The report's figures: what is drawn is what the tables say, in one style, readable, and the same bytes each time."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from functools import cache
from itertools import combinations
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.text import Text
from matplotlib.transforms import Bbox
from PIL import Image

import report_tables
from cspine.palette import LIGHT
from cspine.report.drawn import DPI, SMALL, About, Drawn, inline, write_figure
from cspine.report.figures.areas import areas
from cspine.report.figures.calibration import brier, calibration
from cspine.report.figures.comparison import comparison
from cspine.report.figures.confusion import confusion
from cspine.report.figures.costs import MOST, costs
from cspine.report.figures.curves import precision_recall, roc
from cspine.report.figures.labels import labels
from cspine.report.figures.pseudo_labels import pseudo_labels
from cspine.report.figures.scores import scores
from cspine.report.figures.thresholds import thresholds
from cspine.report.figures.training import rates, training
from cspine.studies import VERTEBRAE

ABOUT = About(phantom=True, bootstrap=report_tables.DRAWS)
ERRORS = report_tables.error_tables()
SETS = report_tables.training_sets()
NOTHING = pd.DataFrame()


def all_figures(about: About = ABOUT) -> list[Drawn]:
    """Every figure, from small tables."""
    errors = ERRORS
    return [
        roc(errors["areas"], errors["curves"], about),
        precision_recall(errors["areas"], errors["curves"], about),
        areas(errors["areas"], about),
        calibration(errors["reliability"], errors["calibration"], about),
        brier(errors["calibration"], about),
        confusion(errors["confusion"], about),
        thresholds(errors["thresholds"], errors["points"], errors["confusion"], about),
        training(report_tables.history(), about),
        rates(report_tables.history(), about),
        labels(SETS, about),
        pseudo_labels(report_tables.quality(folds=(0, 1)), about),
        scores(report_tables.score_table(), about),
        comparison(report_tables.compared_methods(), about, "semi_supervised"),
        costs(report_tables.costs(), about),
    ]


FIGURES = {drawn.name: drawn for drawn in all_figures()}
FORMS = {f"{name}-{form}": getattr(drawn, form) for name, drawn in FIGURES.items() for form in ("figure", "narrow")}


@cache
def texts_of(figure: Figure) -> list[tuple[Text, Bbox]]:
    """Every text that shows, and where it stands."""
    found = [artist for artist in figure.findobj(Text) if isinstance(artist, Text) and artist.get_visible()]
    cut = {label for axes in figure.axes for label in cut_labels(axes)}
    return [(text, text.get_window_extent()) for text in found if text.get_text().strip() and text not in cut]


def cut_labels(axes: Axes) -> Iterator[Text]:
    """The labels of ticks that lie beyond their axis, which matplotlib holds and does not draw."""
    for axis, ends in ((axes.xaxis, sorted(axes.get_xlim())), (axes.yaxis, sorted(axes.get_ylim()))):
        for tick in axis.get_major_ticks():
            if not ends[0] - 1e-9 <= tick.get_loc() <= ends[1] + 1e-9:
                yield from (tick.label1, tick.label2)


def first_x(line: Line2D) -> float:
    return float(np.asarray(line.get_xdata())[0])


def lines_of(axes: Axes, label: str) -> np.ndarray:
    """(points, 2) of the line with this label."""
    return np.asarray(next(line for line in axes.lines if line.get_label() == label).get_xydata())


def dots_of(axes: Axes) -> list[float]:
    """The values that a forest shows."""
    return [first_x(line) for line in axes.lines if line.get_marker() == "o"]


@pytest.mark.parametrize("figure", FORMS.values(), ids=FORMS)
def test_every_axis_has_a_name_and_numbers_or_words(figure: Figure) -> None:
    for axes in figure.axes:
        assert axes.get_xlabel(), axes.get_title()
        named = axes.get_ylabel() or [label for label in axes.get_yticklabels() if label.get_text()]
        beside = figure.axes.index(axes) % 3 or not axes.get_yticks().size  # forests beside one that has the names
        assert named or beside


@pytest.mark.parametrize("figure", FORMS.values(), ids=FORMS)
def test_no_text_is_beyond_the_canvas_or_small(figure: Figure) -> None:
    wide, high = figure.canvas.get_width_height()
    for text, box in texts_of(figure):
        assert box.x0 >= -0.5 and box.y0 >= -0.5 and box.x1 <= wide + 0.5 and box.y1 <= high + 0.5, text.get_text()
        assert float(text.get_fontsize()) >= SMALL, text.get_text()


@pytest.mark.parametrize("figure", FORMS.values(), ids=FORMS)
def test_no_text_lies_on_another(figure: Figure) -> None:
    for (one, first), (other, second) in combinations(texts_of(figure), 2):
        common = Bbox.intersection(first, second)
        overlap = 0.0 if common is None else min(common.width, common.height)
        assert overlap < 2.0, (one.get_text(), other.get_text())


@pytest.mark.parametrize("drawn", FIGURES.values(), ids=FIGURES)
def test_all_colours_are_the_pages_own_so_that_dark_mode_has_them(drawn: Drawn) -> None:
    markup = inline(drawn)
    assert not re.findall(r"[:\"' ]#[0-9a-fA-F]{3,8}\b", markup)
    assert "rgb(" not in markup and ": black" not in markup
    assert set(re.findall(r"var\(--([a-z0-9]+)\)", markup)) <= set(LIGHT)


def test_all_figures_can_stand_in_one_page() -> None:
    markup = "".join(inline(drawn) for drawn in FIGURES.values())
    ids = re.findall(r'\bid="([^"]+)"', markup)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'(?:url\(#|href="#)([^)"]+)', markup)) <= set(ids)
    for drawn in FIGURES.values():
        assert (
            markup.count(f">{html.escape(drawn.title)}</title>")
            == markup.count(f">{html.escape(drawn.description)}</desc>")
            == 2
        )


@pytest.mark.parametrize("drawn", FIGURES.values(), ids=FIGURES)
def test_the_files_open_and_say_what_they_show(drawn: Drawn, tmp_path: Path) -> None:
    png, svg = tmp_path / "figure.png", tmp_path / "figure.svg"
    write_figure(drawn, png, svg)
    with Image.open(png) as image:
        image.load()
        assert image.size[0] == round(drawn.figure.get_figwidth() * DPI)
        assert image.convert("RGB").getpixel((0, 0)) == (255, 255, 255)
        assert image.info["Title"] == drawn.title
    root = ElementTree.parse(svg).getroot()
    space = "{http://www.w3.org/2000/svg}"
    assert root.findtext(f"{space}title") == drawn.title
    assert root.findtext(f"{space}desc") == drawn.description
    assert "var(--" not in svg.read_text(encoding="utf-8")


def test_equal_tables_give_equal_bytes(tmp_path: Path) -> None:
    errors = ERRORS
    again = [
        roc(errors["areas"], errors["curves"], ABOUT), confusion(errors["confusion"], ABOUT), labels(SETS, ABOUT),
        scores(report_tables.score_table(), ABOUT),
    ]  # fmt: skip
    for drawn in again:
        markup = inline(drawn)  # drawn before it is written, or after: the same
        files = [(tmp_path / f"{place}.png", tmp_path / f"{place}.svg") for place in range(2)]
        write_figure(drawn, *files[0])
        write_figure(FIGURES[drawn.name], *files[1])
        assert files[0][0].read_bytes() == files[1][0].read_bytes(), drawn.name
        assert files[0][1].read_bytes() == files[1][1].read_bytes(), drawn.name
        assert inline(FIGURES[drawn.name]) == markup


def test_captions_say_phantom_only_of_the_phantom(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cspine.report.drawn._settled", lambda figure: figure)  # words need no layout
    for real, phantom in zip(all_figures(About(phantom=False)), FIGURES.values(), strict=True):
        assert "phantom" in phantom.caption
        assert "phantom" not in real.caption
        assert "phantom" not in " ".join(text.get_text() for text in real.figure.findobj(Text))


def test_captions_with_intervals_say_of_how_many_resamples() -> None:
    without = {"training", "training_rates", "labels", "costs"}
    for name, drawn in FIGURES.items():
        assert (f"over {report_tables.DRAWS} resamples of studies" in drawn.caption) == (name not in without), name


def test_empty_tables_are_said_in_words_and_still_are_files(tmp_path: Path) -> None:
    none = [
        roc(NOTHING, NOTHING, ABOUT), precision_recall(NOTHING, NOTHING, ABOUT), areas(NOTHING, ABOUT),
        calibration(NOTHING, NOTHING, ABOUT), brier(NOTHING, ABOUT), confusion(NOTHING, ABOUT),
        thresholds(NOTHING, NOTHING, NOTHING, ABOUT), training(NOTHING, ABOUT), rates(NOTHING, ABOUT),
        labels(NOTHING, ABOUT), pseudo_labels(NOTHING, ABOUT), scores(NOTHING, ABOUT), comparison(NOTHING, ABOUT),
        costs(NOTHING, ABOUT),
    ]  # fmt: skip
    assert [drawn.name for drawn in none] == list(FIGURES)
    for drawn in none:
        (text, _), *others = texts_of(drawn.figure)
        assert text.get_text() == drawn.description and not others
        write_figure(drawn, tmp_path / "figure.png", tmp_path / "figure.svg")
        assert inline(drawn).count("<svg") == 2


def test_one_class_only_is_said_and_not_drawn() -> None:
    one = ERRORS["areas"].assign(auc=np.nan)
    assert "no level has both classes" in areas(one, ABOUT).description
    none = ERRORS["curves"].assign(y=np.nan)
    assert "no cohort has both classes" in roc(ERRORS["areas"], none, ABOUT).description


def test_curves_and_their_areas_are_the_tables() -> None:
    for kind, name, words in (("roc", "auc", "AUC"), ("precision_recall", "average_precision", "AP")):
        axes = FIGURES[kind].figure.axes[1]  # test
        table = ERRORS["curves"]
        rows = table[(table["cohort"] == "test") & (table["curve"] == kind) & (table["level"] == "patient")]
        area = ERRORS["areas"].query("cohort == 'test' and level == 'patient'").iloc[0]
        label = f"patient: {words} {area[name]:.2f} [{area[f'{name}_low']:.2f}, {area[f'{name}_high']:.2f}]"
        drawn = next(line for line in axes.lines if str(line.get_label()).startswith(label))
        assert np.array_equal(np.asarray(drawn.get_xydata()), rows[["x", "y"]].to_numpy())
        assert axes.get_title(loc="left") == "test phantom studies, n = 30"


def test_forests_show_the_values_of_their_tables() -> None:
    areas_of = ERRORS["areas"].query("cohort == 'heldout'")
    assert dots_of(FIGURES["areas"].figure.axes[0]) == areas_of["auc"].tolist()
    assert dots_of(FIGURES["brier"].narrow.axes[1]) == ERRORS["calibration"].query("cohort == 'test'")["brier"].tolist()
    table = report_tables.score_table().query("measure == 'loss' and cohort == 'heldout'")
    assert dots_of(FIGURES["scores"].figure.axes[0]) == table["difference"].tolist()
    assert dots_of(FIGURES["comparison"].narrow.axes[0]) == [-0.02, 0.03]


def test_what_is_not_measurable_is_hollow() -> None:
    axes = FIGURES["areas"].figure.axes[0]
    faces = [line.get_markerfacecolor() for line in axes.lines if line.get_marker() == "o"]
    measurable = ERRORS["areas"].query("cohort == 'heldout'")["measurable"]
    assert [face != LIGHT["paper"] for face in faces] == measurable.tolist()
    assert not measurable.all() and measurable.any()


def test_the_heat_map_has_the_counts_and_the_shade_is_their_share_of_the_class() -> None:
    axes = FIGURES["confusion"].figure.axes[3]  # test
    rows = ERRORS["confusion"].query("cohort == 'test' and rule == 'select'")
    counts = [f"{value:,}" for value in rows[["tn", "fp", "fn", "tp"]].to_numpy().ravel()]
    assert [text.get_text() for text in axes.texts] == counts
    shades = [patch.get_alpha() for patch in axes.patches if isinstance(patch, Rectangle)]
    row = rows.iloc[0]
    assert shades[0] == pytest.approx(0.6 * row["specificity"]) and shades[3] == pytest.approx(0.6 * row["recall"])


def test_reliability_has_the_bins_of_each_level() -> None:
    axes = FIGURES["calibration"].figure.axes[1]  # held-out, vertebra
    bins = ERRORS["reliability"].query("cohort == 'heldout' and level == 'vertebra'")
    drawn = next(line for line in axes.lines if line.get_marker() == "o")
    assert np.array_equal(np.asarray(drawn.get_xydata()), bins[["probability", "fractured"]].to_numpy())


def test_accuracy_is_never_shown_without_that_of_calling_nothing_fractured() -> None:
    for axes in FIGURES["thresholds"].figure.axes:
        assert {"accuracy", "F1", "all negative", "chosen on select"} <= {line.get_label() for line in axes.lines}
    rows = ERRORS["thresholds"].query("cohort == 'heldout' and level == 'patient'")
    axes = FIGURES["thresholds"].figure.axes[0]
    assert np.array_equal(lines_of(axes, "accuracy")[:, 1], rows["accuracy"].to_numpy())
    assert lines_of(axes, "chosen on select")[0, 0] == 0.4


def test_training_marks_the_first_epoch_with_the_least_select_loss_and_where_parts_begin() -> None:
    first, second = FIGURES["training"].figure.axes
    assert lines_of(first, "least select loss").tolist() == [[2.0, 0.5]]
    assert lines_of(first, "train loss")[:, 0].tolist() == [1, 2, 3, 4, 5]
    assert [first_x(line) for line in second.lines if line.get_linestyle() == "--"] == [3.5]


def test_a_loss_that_judges_no_cells_has_no_rates() -> None:
    none = report_tables.history().assign(select_sensitivity=np.nan, select_specificity=np.nan)
    assert "judges no slice x vertebra cells" in rates(none, ABOUT).description


def test_labels_are_counted_by_vertebra_and_source_and_select_teaches_nothing() -> None:
    student = FIGURES["labels"].figure.axes[2]
    bars = [patch.get_height() for patch in student.patches if isinstance(patch, Rectangle)]
    fifth = VERTEBRAE.index("C5")
    assert [bars[fifth], bars[7 + fifth], sum(bars)] == [6, 4, 10]
    said = FIGURES["labels"].description
    assert "pseudo-label: 4 slices of 1 studies, weight 2" in said
    assert "box: 6 slices of 2 studies, weight 6" in said


def test_pseudo_labels_are_compared_by_slices_and_by_fold() -> None:
    drawn = FIGURES["pseudo_labels"]
    assert dots_of(drawn.figure.axes[0]) == [0.5, 0.6] * 6
    assert "boxes: fold 1, round 1 (n = 7): 0.60 [0.40, 0.80]" in drawn.description


def test_costs_add_up_to_all_that_was_spent() -> None:
    table = report_tables.costs()
    axes, memory = FIGURES["costs"].figure.axes
    bars = [patch.get_width() for patch in axes.patches if isinstance(patch, Rectangle)]
    assert len(bars) == MOST + 1 and sum(bars) == pytest.approx(table["seconds"].sum())
    assert max(patch.get_width() for patch in memory.patches if isinstance(patch, Rectangle)) == table["peak_mb"].max()
    alone = costs(table[table["stage"] == "stage_3"], ABOUT)
    assert "not recorded" in [text.get_text() for text in alone.figure.axes[1].texts]


def test_many_folds_and_one_cohort_are_drawn_as_well() -> None:
    folds = training(report_tables.history(folds=(0, 1, 2, 3, 4)), ABOUT)
    assert len(folds.figure.axes) == 10
    alone = report_tables.error_tables(cohorts=("heldout",))
    assert len(roc(alone["areas"], alone["curves"], About(phantom=False)).figure.axes) == 1
