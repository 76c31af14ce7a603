"""The studies' browser as a person uses it: keys, clicks and toggles, by day and night, wide and narrow, on paper."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from browsed_tables import BOXED, PSEUDO, SLICES, TEST, Given, grey
from browsers import Tab, page
from cspine.pages import render
from cspine.report.browser import SCRIPT, STYLE, browser
from cspine.stages.gather_studies import BrowseConfig
from cspine.studies import UID, VERTEBRAE

NAMES = {BOXED: "study 1", TEST: "study <2> & co", PSEUDO: "study 3"}
PAGE = """{% extends "page.html" %}{% block title %}Studies{% endblock %}{% block body %}
<style>{{ css | safe }}</style><main><h1>Studies</h1>{{ markup | safe }}</main>
<script>{{ js | safe }}</script>{% endblock %}"""
WIDE, NARROW = 1280, 400


def written(folder: Path, browsed: pd.DataFrame) -> Path:
    """A page with nothing else in it."""
    path = folder / "page.html"
    path.write_text(render(PAGE, css=STYLE, js=SCRIPT, markup=browser(browsed, NAMES)), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def browsed(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    return Given(tmp_path_factory.mktemp("browsed")).gather()


@pytest.fixture(scope="module")
def path(browsed: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("page"), browsed)


@pytest.fixture
def tab(path: Path) -> Iterator[Tab]:
    with page(path, WIDE) as tab:
        yield tab


def text(tab: Tab, selector: str) -> str:
    return str(tab.evaluate(f"document.querySelector({selector!r}).textContent")).strip()


def count(tab: Tab, selector: str) -> int:
    return int(
        tab.evaluate(f"[...document.querySelectorAll({selector!r})].filter(e => e.getClientRects().length).length")
    )


def slice_shown(tab: Tab) -> int:
    """z_index, by the slider, the words and the picture, which must agree."""
    shown = int(tab.evaluate("document.querySelector('input[type=range]').value"))
    assert text(tab, ".where").startswith(
        f"Slice {shown + 1} of {SLICES}, file {10 + shown}, {3 * shown} mm below the first"
    )
    tab.evaluate("new Promise(done => { const look = () => document.querySelector('canvas').dataset.slice == "
                 f"{shown} ? done() : requestAnimationFrame(look); look(); }})")  # fmt: skip
    pixel = tab.evaluate("[...document.querySelector('canvas').getContext('2d').getImageData(2, 12, 1, 1).data]")
    assert abs(pixel[0] - grey(shown)) <= 3 and pixel[3] == 255
    return shown


def inside(tab: Tab, inner: str, outer: str) -> tuple[float, ...]:
    """(left, top, width, height) of one element in shares of another."""
    boxes = f"[{inner!r}, {outer!r}].map(one => document.querySelector(one).getBoundingClientRect())"
    shares = "[(a.x - b.x) / b.width, (a.y - b.y) / b.height, a.width / b.width, a.height / b.height]"
    return tuple(tab.evaluate(f"(([a, b]) => {shares})({boxes})"))


def choose(tab: Tab, study: int) -> None:
    tab.evaluate(f"(() => {{ const pick = document.querySelector('.browser select'); pick.value = {study}; "
                 "pick.dispatchEvent(new Event('change')); })()")  # fmt: skip


PRESSED = {
    "ArrowDown": [6], "ArrowRight": [6], "ArrowUp": [4], "ArrowLeft": [4], "Home": [0, 0], "End": [SLICES - 1] * 2,
    "PageDown": [SLICES - 1] * 2, "PageUp": [0, 0],
}  # fmt: skip


@pytest.mark.parametrize("key", PRESSED)
def test_keys_go_from_slice_to_slice_and_stop_at_the_ends(tab: Tab, key: str) -> None:
    assert slice_shown(tab) == 5, "the boxed slice is the first that is shown"
    tab.evaluate("document.querySelector('.frame').focus()")
    for expected in PRESSED[key]:
        tab.press(key)
        assert slice_shown(tab) == expected


def test_the_slider_has_the_same_keys(tab: Tab) -> None:
    tab.evaluate("document.querySelector('input[type=range]').focus()")
    tab.press("ArrowDown", times=2)
    assert slice_shown(tab) == 7
    assert tab.evaluate("document.querySelector('input[type=range]').getAttribute('aria-valuetext')") == "slice 8 of 12"


def test_everything_that_can_be_used_is_reached_by_tab_and_seen_to_be(tab: Tab) -> None:
    reached = []
    for _ in range(30):
        tab.press("Tab")
        name = "document.activeElement.className || document.activeElement.name || document.activeElement.type"
        reached.append(tab.evaluate(f"[{name} || 'BODY', getComputedStyle(document.activeElement).outlineStyle]"))
    names = [name for name, _ in reached]
    for name in ("select-one", "frame", "range", "boxes", "C3", "head", "on"):
        assert name in names, names
    assert all(outline != "none" for name, outline in reached if name != "BODY")


def test_the_plot_marks_the_slice_and_a_click_on_it_shows_another(tab: Tab) -> None:
    def marked() -> float:
        _, top, _, height = inside(tab, ".cursor", ".chart")
        return top + height / 2

    assert marked() == pytest.approx(5.5 / SLICES, abs=0.01)
    tab.click(".chart", across=0.6, down=2.5 / SLICES)
    assert slice_shown(tab) == 2 and marked() == pytest.approx(2.5 / SLICES, abs=0.01)


def test_a_vertebras_button_goes_to_its_most_probable_slice(tab: Tab) -> None:
    tab.click(".head[data-level=C3]")
    assert slice_shown(tab) == 7
    assert text(tab, ".head[data-level=C3] .now") == "0.90" and text(tab, ".head[data-level=C4] .now") == "0.05"


def test_the_numbers_are_those_of_the_slice(tab: Tab) -> None:
    row = "[...document.querySelector('tr[data-level=C3]').cells].filter(c => !c.hidden).map(c => c.textContent)"
    assert tab.evaluate(row) == ["C3", "0.05", "yes", "fractured (box)"]
    tab.evaluate("document.querySelector('.frame').focus()")
    tab.press("ArrowDown", times=2)
    assert tab.evaluate(row) == ["C3", "0.90", "no", "whole (unboxed)"]
    choose(tab, 1)
    assert tab.evaluate(row.replace("C3", "C5")) == ["C5", "0.05", "yes", "fractured"], "truth, no label"
    choose(tab, 2)
    assert tab.evaluate(row.replace("C3", "C2")) == ["C2", "0.05", "0.90"], "a pseudo-label, nothing else"


def test_toggles_hide_what_is_drawn_over_the_slice_and_keep_it_hidden(tab: Tab) -> None:
    assert (count(tab, ".over .box"), count(tab, ".over path[data-level=C3]")) == (1, 1)
    tab.click("input[name=boxes]")
    assert (count(tab, ".over .box"), count(tab, ".over path[data-level=C3]")) == (0, 1)
    tab.click("input[name=C3]")
    assert count(tab, ".over *") == 0
    tab.click(".on")
    tab.click(".back")
    assert count(tab, ".over *") == 0
    tab.click("input[name=boxes]")
    assert count(tab, ".over .box") == 1
    tab.click(".jumps button")
    assert slice_shown(tab) == 5


def test_box_and_outline_lie_on_the_picture_where_the_table_says(tab: Tab, browsed: pd.DataFrame) -> None:
    outline = inside(tab, ".over path[data-level=C3]", ".frame")
    assert outline == pytest.approx((6 / 24, 8 / 24, 12 / 24, 6 / 24), abs=0.01)
    told = browsed.loc[(browsed[UID] == BOXED) & (browsed["boxes"] != ""), "boxes"]
    ((x0, y0, x1, y1),) = json.loads(told.iloc[0])
    assert inside(tab, ".over .box", ".frame") == pytest.approx((x0, y0, x1 - x0, y1 - y0), abs=0.01)


def test_the_lanes_have_bars_for_what_the_study_has_and_the_legend_no_others(tab: Tab) -> None:
    assert (count(tab, ".lanes .label"), count(tab, ".lanes .pseudo"), count(tab, ".lanes .curve")) == (2, 0, 7)
    assert count(tab, ".key li") == 3
    choose(tab, 2)
    assert (count(tab, ".lanes .label"), count(tab, ".lanes .pseudo") > 0) == (0, True)
    assert "Taught to the models of fold 2, which predict it here" in text(tab, ".about")


@pytest.mark.parametrize("width", [WIDE, NARROW])
@pytest.mark.parametrize("dark", [False, True])
def test_no_error_no_request_no_overflow_and_text_is_readable(path: Path, width: int, dark: bool) -> None:
    with page(path, width, dark=dark) as tab:
        for study in range(3):
            choose(tab, study)
            tab.settle()
            assert tab.overflow() == 0
        assert (tab.console, tab.requests, tab.broken_images()) == ([], [], [])
        ink, paper = (tab.evaluate(f"getComputedStyle(document.body).{name}") for name in ("color", "backgroundColor"))
        light = [sum(map(int, colour[4:-1].split(","))) for colour in (ink, paper)]
        assert (light[0] > light[1]) == dark and abs(light[0] - light[1]) > 400
        smallest = "Math.min(...[...document.querySelectorAll('.desk *')].filter(e => e.getClientRects().length)"
        assert tab.evaluate(f"{smallest}.map(e => parseFloat(getComputedStyle(e).fontSize)).filter(s => s > 3))") >= 12


def test_a_name_is_text_and_no_uid_is_in_the_page_but_the_names_given(browsed: pd.DataFrame, path: Path) -> None:
    markup = browser(browsed, NAMES)
    assert not any(uid in markup for uid in NAMES) and "1.2.826" not in markup
    assert "study &lt;2&gt; &amp; co" in markup
    spoiled = browsed.assign(why="</script><script>alert(1)</script>")
    assert "<script>alert" not in browser(spoiled, NAMES) and "alert(1)" in browser(spoiled, NAMES)
    with page(path) as tab:
        assert text(tab, "option:nth-of-type(2)") == "study <2> & co · found: C5"


def test_without_scripts_one_slice_of_each_study_is_there(path: Path) -> None:
    with page(path, scripts=False) as tab:
        assert count(tab, ".desk") == 0 and count(tab, ".stills figure svg image") == 3
        assert count(tab, ".stills rect") == 1
        assert "Without scripts, one slice of each study is shown" in text(tab, ".stills")
        assert "Slice 6 of 12; most probable there: C1 0.05." in text(tab, ".stills figure")
        left, top, width, height = tab.box(".stills figure svg")
        shot = np.asarray(Image.open(io.BytesIO(tab.screenshot())).convert("L"))
        assert abs(int(shot[round(top + height * 0.1), round(left + width * 0.1)]) - grey(5)) <= 4


def test_on_paper_the_slice_stands_without_what_can_be_used(tab: Tab) -> None:
    tab.dress(800, 1100, dark=False, media="print")
    assert count(tab, "canvas") == 1 and count(tab, ".lanes .curve") == 7 and count(tab, ".stills") == 0
    for used in (".slide", ".jumping", ".drawn", ".hint", ".choice button"):
        assert count(tab, used) == 0, used


def test_where_not_every_slice_is_pictured_the_nearest_is_shown_and_said(tmp_path: Path) -> None:
    few = Given(tmp_path)
    size = few.gather()["image"].map(len).sum()
    few.config = replace(few.config, max_mb=size * 0.4e-6)
    with page(written(tmp_path, few.gather())) as tab:
        assert "every 3. slice is pictured" in text(tab, ".remarks")
        assert "not pictured, shown is slice 5" in text(tab, ".where"), "slices 2, 5, 8, 11 are"
        tab.evaluate("document.querySelector('.frame').focus()")
        tab.press("ArrowUp")
        assert slice_shown(tab) == 4
        assert not tab.console


def test_without_pictures_the_curves_are_there_and_the_page_says_why(tmp_path: Path) -> None:
    bare = Given(tmp_path, config=BrowseConfig([2], images=False))
    with page(written(tmp_path, bare.gather())) as tab:
        assert text(tab, ".nothing").startswith("No pictures") and count(tab, ".nothing") == 1
        assert (count(tab, "canvas"), count(tab, ".section"), count(tab, ".lanes .curve")) == (0, 0, 7)
        tab.evaluate("document.querySelector('.frame').focus()")
        tab.press("End")
        assert text(tab, ".where").startswith("Slice 12 of 12")
        assert (tab.console, tab.broken_images()) == ([], [])


def test_a_method_that_says_nothing_of_slices_is_said_to(tmp_path: Path, browsed: pd.DataFrame) -> None:
    silent = browsed.assign(**dict.fromkeys([f"probability_{v}" for v in VERTEBRAE], float("nan")))
    with page(written(tmp_path, silent)) as tab:
        assert "it says nothing of a slice" in text(tab, ".remarks")
        assert count(tab, ".lanes .curve") == 0 and count(tab, ".lanes .label") == 2
        assert not tab.console


def test_no_study_is_a_sentence(browsed: pd.DataFrame) -> None:
    assert browser(browsed.iloc[:0], {}) == "<p>There is no study to look at.</p>"
