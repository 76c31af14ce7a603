"""The tests' own browser: it sees what a page says, asks for and looks like, and its keys and clicks arrive."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image

from browsers import page

PAGE = """<!DOCTYPE html><meta charset="utf-8"><title>A page</title>
<style>body { margin: 0; background: #fff } @media (prefers-color-scheme: dark) { body { background: #000 } }
@media print { body { background: #00f } } div { width: 600px; height: 10px } p { margin: 1500px 0 0 }</style>
<div></div><input type="range" min="0" max="9" value="4"><button>no</button><p>far below</p>
<script>document.querySelector("button").onclick = event => { event.target.textContent = "yes" }</script>"""


def written(folder: Path, text: str) -> Path:
    path = folder / "page.html"
    path.write_text(text)
    return path


def test_errors_exceptions_and_requests_of_a_page_are_seen(tmp_path: Path) -> None:
    text = PAGE + '<img src="missing.png" alt="lost"><script>console.error("bad", 7); undefinedName()</script>'
    with page(written(tmp_path, text)) as tab:
        assert any(said.startswith("error: bad 7") for said in tab.console)
        assert any("ReferenceError: undefinedName" in said for said in tab.console)
        assert [address.rsplit("/", 1)[1] for address in tab.requests] == ["missing.png"]
        assert tab.broken_images() == ["lost"]


def test_a_quiet_page_said_and_asked_for_nothing(tmp_path: Path) -> None:
    picture = '<img alt="dot" src="data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7">'
    with page(written(tmp_path, PAGE + picture)) as tab:
        assert (tab.console, tab.requests, tab.broken_images()) == ([], [], [])


def test_keys_and_clicks_arrive(tmp_path: Path) -> None:
    with page(written(tmp_path, PAGE)) as tab:
        tab.evaluate("document.querySelector('input').focus()")
        tab.press("ArrowRight", times=2)
        assert tab.evaluate("document.querySelector('input').value") == "6"
        tab.press("Tab")
        assert tab.evaluate("document.activeElement.tagName") == "BUTTON"
        tab.press("Shift+Tab")
        assert tab.evaluate("document.activeElement.tagName") == "INPUT"
        tab.click("button")
        assert tab.evaluate("document.querySelector('button').textContent") == "yes"


def test_a_window_narrower_than_the_page_shows_its_overflow(tmp_path: Path) -> None:
    path = written(tmp_path, PAGE)
    with page(path, width=400) as narrow, page(path) as wide:
        assert (narrow.overflow(), wide.overflow()) == (200, 0)


@pytest.mark.parametrize(
    ("dark", "media", "colour"), [(False, "", "#fff"), (True, "", "#000"), (False, "print", "#00f")]
)
def test_a_screenshot_has_the_colours_asked_for(tmp_path: Path, dark: bool, media: str, colour: str) -> None:
    with page(written(tmp_path, PAGE), width=640, height=300) as tab:
        tab.dress(640, 300, dark, media)
        image = Image.open(io.BytesIO(tab.screenshot()))
        assert image.size == (640, 300)
        assert image.convert("RGB").getpixel((620, 290)) == tuple(17 * int(digit, 16) for digit in colour[1:])
        assert Image.open(io.BytesIO(tab.screenshot(whole=True))).size[1] > 1500


def test_without_scripts_a_page_runs_none_and_can_still_be_asked(tmp_path: Path) -> None:
    with page(written(tmp_path, PAGE), scripts=False) as tab:
        tab.click("button")
        assert tab.evaluate("document.querySelector('button').textContent") == "no"


def test_what_a_script_throws_is_the_tests_error(tmp_path: Path) -> None:
    with page(written(tmp_path, PAGE)) as tab, pytest.raises(RuntimeError, match="no such thing"):
        tab.evaluate("(() => { throw new Error('no such thing') })()")
