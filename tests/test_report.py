"""The report: a page that needs nothing else, says nothing it cannot know, and is read by anyone on any screen."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path
from xml.etree import ElementTree

import pandas as pd
import pytest
from PIL import Image

from browsers import page
from chains import Chain, at_work
from cspine.report.layout import FIGURES, FORMS
from cspine.report.parts import Chapter
from cspine.stages import write_report
from rerun_rows import MICRO, REPORTED, Row
from smoke_projects import ROOT, checkout
from test_what_reruns import check, no_versions_in_the_keys, parameters

__all__ = ["no_versions_in_the_keys"]  # a fixture for every test, of the rows too

PAGE = Path("results/report.html")
REPORT = Path("results/semi_supervised/report")
CHAPTERS = ["summary", "data", "labels", "learning", "comparison", "errors"]
CHAPTERS += ["worst", "browse", "costs", "provenance", "model-card"]
UID = re.compile(r"\b1\.2\.826\.0\.1\.[0-9.]+")


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    with at_work(Chain(tmp_path_factory.mktemp("report") / "run", MICRO, "report")) as chain:
        yield chain


@pytest.fixture
def text(chain: Chain) -> str:
    return PAGE.read_text(encoding="utf-8")


@pytest.mark.parametrize("row", parameters(REPORTED))
def test_another_report_trains_nothing(chain: Chain, row: Row, without_figures: None) -> None:
    check(chain, row)


@pytest.fixture
def without_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing them takes most of the stage's time, and none of what is asked of the rows hangs on it."""
    for name in ("labels", "learning", "compared", "errors", "costs"):
        monkeypatch.setattr(write_report, name, lambda *args, name=name: Chapter(name, name, []))


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 400])
def test_the_page_opens_without_error_request_or_missing_picture_and_fits_the_screen(
    chain: Chain, width: int, dark: bool
) -> None:
    with page(PAGE, width=width, dark=dark) as tab:
        tab.settle()
        assert tab.console == []
        assert tab.requests == []
        assert tab.broken_images() == []
        assert tab.overflow() == 0
        paper, ink = tab.evaluate("(s => [s.backgroundColor, s.color])(getComputedStyle(document.body))")
        assert (brightness(paper) < brightness(ink)) == dark


def brightness(colour: str) -> int:
    return sum(map(int, re.findall(r"\d+", colour)[:3]))


def test_every_chapter_is_there_and_every_link_leads_to_one(chain: Chain) -> None:
    with page(PAGE) as tab:
        assert tab.evaluate("[...document.querySelectorAll('main h2')].map(h => h.id)") == CHAPTERS
        targets = tab.evaluate("[...document.querySelectorAll('a')].map(a => a.getAttribute('href'))")
        assert all(tab.evaluate(f"document.querySelector('{target}') !== null") for target in targets)
        assert tab.evaluate("new Set([...document.querySelectorAll('[id]')].map(e => e.id)).size") == tab.evaluate(
            "document.querySelectorAll('[id]').length"
        )


def test_every_figure_of_the_page_has_words_for_who_cannot_see_it(chain: Chain) -> None:
    with page(PAGE) as tab:
        names = tab.evaluate("[...document.querySelectorAll('figure.drawn')].map(f => f.id.replace('figure-', ''))")
        assert sorted(names) == sorted(set(FIGURES) - {"comparison"})  # not asked for
        assert tab.evaluate("[...document.querySelectorAll('figure.drawn svg')].every(s => s.querySelector('title'))")
        assert tab.evaluate("[...document.images].every(i => i.alt.length > 10 || i.closest('[aria-hidden]'))")


def test_every_figure_is_there_as_png_and_svg(chain: Chain) -> None:
    for name in FIGURES:
        with Image.open(f"results/report/{name}.png") as image:
            assert image.width > 600, name
        root = ElementTree.parse(f"results/report/{name}.svg").getroot()
        assert root.tag.endswith("svg"), name


def test_scores_of_the_page_are_those_of_the_table(chain: Chain, text: str) -> None:
    scores = pd.read_parquet("results/semi_supervised/scores.parquet")
    for row in scores[scores["measure"] == "loss"].itertuples():
        assert f"{row.value:.3f} [{row.low:.3f}, {row.high:.3f}]" in text


def test_it_says_first_that_it_is_the_phantom_and_what_the_size_may_claim(text: str) -> None:
    top = text[: text.index("<main")]
    assert "phantom" in top and "nothing here says anything about patients" in top
    assert "Smoke: checks that it runs, measures nothing" in top


def test_costs_are_of_every_stage_on_the_way(chain: Chain, text: str) -> None:
    section = text[text.index('id="costs"') : text.index('id="provenance"')]
    for stage in ("make_phantom", "ingest", "train", "predict_slices", "pseudo_label", "analyse_errors"):
        assert stage in section


def test_the_config_of_the_page_is_what_the_results_were_made_by(chain: Chain, text: str) -> None:
    section = text[text.index('id="provenance"') : text.index('id="model-card"')]
    assert "epoch_steps: 2" in section
    assert "learning_rate" in section


@pytest.fixture(scope="module")
def private(chain: Chain) -> Iterator[str]:
    """What is on a page, and in its figures, that may be given away."""
    try:
        chain.run("report.uids=numbered report.images=false")
        yield "".join(path.read_text("utf-8") for path in [PAGE, *Path("results/report").glob("*.svg")])
    finally:
        chain.run()
        chain.forget()


def test_numbered_studies_leave_no_uid_in_the_page_or_its_figures(private: str) -> None:
    assert UID.findall(private) == []
    assert "study 1" in private


def test_without_images_no_pixel_of_the_data_is_in_the_page(private: str) -> None:
    assert re.findall(r"data:image/\w+;base64,[A-Za-z0-9+/]{20}", private) == []


@pytest.mark.slow
def test_snakemakes_own_report_holds_the_page_and_every_figure_and_asks_for_nothing(tmp_path: Path) -> None:
    project = checkout(tmp_path / "run")
    (project.folder / "presets/micro.yaml").write_text(MICRO, encoding="utf-8")
    for words in ((), ("--report", "own.html")):
        project.run("report", "--configfile", "presets/micro.yaml", *words)
    text = (project.folder / "own.html").read_text(encoding="utf-8")
    assert "results/report.html" in text
    assert all(f"results/report/{name}.{form}" in text for name in FIGURES for form in FORMS)
    with page(project.folder / "own.html") as tab:
        tab.settle()
        assert tab.requests == []


OTHERS = ["localized_ensemble", "cnn_lstm", "resnet_per_vertebra", "cnn_3d"]  # members, vertebrae, crops, volumes


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> Chain:
    return Chain(
        tmp_path_factory.mktemp("others") / "run", (ROOT / "presets/smoke.yaml").read_text(encoding="utf-8"), "report"
    )


@pytest.mark.parametrize("method", OTHERS)
def test_the_report_of_every_kind_of_method_can_be_planned(others: Chain, method: str) -> None:
    stages = {command.stage for command in others.commands(f"submission.method={method}")}
    assert {"train", "analyse_errors", "explain_cases", "gather_studies", "write_report"} <= stages


@pytest.mark.slow
@pytest.mark.parametrize("method", OTHERS)
def test_the_report_of_every_kind_of_method_is_written(others: Chain, method: str) -> None:
    setting = f"submission.method={method} score.bootstrap=20"
    with chdir(others.project.folder):
        others.run(setting, setting)
        assert f"Report: {method}" in PAGE.read_text(encoding="utf-8")
        assert pd.read_parquet(f"results/{method}/report/explained.parquet")["how"].eq("occlusion").all()
