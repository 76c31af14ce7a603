"""The audit's page: what a bad folder shows, every code explained, one file without network, the same bytes again."""

from __future__ import annotations

import base64
import io
import re
import shutil
from collections.abc import Iterator
from functools import cache
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from audit_tables import stack
from chains import Chain, at_work
from cspine import reason_codes
from cspine.audit.page import audit_page, worst_studies
from cspine.audit.pictures import Form, in_cached_pixels
from cspine.audit.summary import WIDTH, summary_of
from cspine.audit.table import Audit, read_audit_table
from cspine.audit.verdict import ADVICE, verdict_of
from cspine.pages import Table, render
from cspine.studies import UID
from cspine.views.windows import resize_slice
from rerun_rows import MICRO

RAW = "data.root=data/raw"
NOTHING = "data.root=data/nothing"


class Elements(HTMLParser):
    """Every tag of a page with its attributes, and the text between them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def named(self, *names: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.tags if tag in names]


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    """The phantom audited, and beside it a spoiled copy of it and a folder in which nothing can be read."""
    with at_work(Chain(tmp_path_factory.mktemp("audit") / "run", MICRO, "audit")) as chain:
        shutil.copytree("data/phantom", "data/raw")
        spoil(Path("data/raw"))
        shutil.copytree("data/phantom", "data/nothing")
        for path in Path("data/nothing").glob("*_images/*/*.dcm"):
            path.write_bytes(b"no DICOM file")
        yield chain


def labels_of(root: Path) -> pd.DataFrame:
    return pd.read_csv(root / "train.csv", dtype="str").sort_values(UID, ignore_index=True)


def spoil(root: Path) -> dict[str, str]:
    """Faults of the kinds a folder has after a bad copy or a careless edit."""
    labels, boxes = labels_of(root), pd.read_csv(root / "train_bounding_boxes.csv", dtype="str")
    segmented = {path.name.split(".nii")[0] for path in (root / "segmentations").iterdir()}
    plain = labels.loc[~labels[UID].isin(segmented | set(boxes[UID])), UID].tolist()
    zero, cut, absent, copied, edited, twice = plain[:6]
    files = {uid: sorted((root / "train_images" / uid).iterdir(), key=lambda p: int(p.stem)) for uid in (zero, cut)}
    files[zero][3].write_bytes(b"")
    files[cut][4].write_bytes(files[cut][4].read_bytes()[:900])
    shutil.rmtree(root / "train_images" / absent)
    shutil.copytree(root / "train_images" / copied, root / "train_images/1.2.3.4")
    edit = labels[UID] == edited
    labels.loc[edit, "patient_overall"] = str(1 - int(labels.loc[edit, "patient_overall"].iloc[0]))
    again = labels[labels[UID].isin([copied, twice])].assign(**{UID: ["1.2.3.4", twice]})
    again.loc[again[UID] == twice, ["patient_overall", "C1", "C2"]] = ["1", "1", "1"]
    pd.concat([labels, again]).to_csv(root / "train.csv", index=False)
    first = boxes.iloc[:1]
    pd.concat([boxes, first.assign(slice_number="9999"), first.assign(**{UID: "nobody"})]).to_csv(
        root / "train_bounding_boxes.csv", index=False
    )
    (root / "segmentations" / sorted(p.name for p in (root / "segmentations").iterdir())[0]).write_bytes(b"no mask")
    return dict(zero=zero, cut=cut, absent=absent, copied=copied, edited=edited, twice=twice)


@cache
def audit_of(chain: Chain, setting: str) -> tuple[Audit, str, str]:
    """The audit's table, page and summary under ``setting``."""
    chain.run(setting, setting)
    page, summary = (Path(f"results/audit.{ending}").read_text(encoding="utf-8") for ending in ("html", "txt"))
    return read_audit_table(Path("results/audit.parquet")), page, summary


def test_a_spoiled_folder_shows_every_fault_and_what_is_excluded(chain: Chain) -> None:
    audit, page, summary = audit_of(chain, RAW)
    counts = audit.findings.groupby("code").size()
    for code in (
        "zero-byte-file", "no-folder", "same-pixels", "overall-not-max", "duplicate-other-labels", "box-without-slice",
        "boxes-of-unknown-study", "mask-unreadable",
    ):  # fmt: skip
        assert counts.get(code) == 1, code
        assert code in page
    assert counts.get("truncated", 0) + counts.get("no-pixel-data", 0) + counts.get("header-unreadable", 0) == 1
    excluded = audit.studies[audit.studies["excluded"]]
    assert sorted(excluded["why_excluded"]) == ["duplicate-other-labels", "overall-not-max", "same-pixels"]
    assert all(uid in page.split('id="excluded"')[1].split("<h2")[0] for uid in excluded[UID])
    assert "3 excluded" in summary and "PHANTOM" not in summary and "hantom" not in page.split("</title>")[0]
    for uid in excluded[UID]:
        assert (audit.studies.loc[audit.studies[UID] == uid, "use"] == "excluded").all()


def test_a_folder_in_which_nothing_can_be_read_gives_a_page_that_says_so(chain: Chain) -> None:
    audit, page, summary = audit_of(chain, NOTHING)
    assert not audit.studies["slices"].any()
    assert "Nothing can be taught" in summary and "Nothing can be taught" in page and 'class="verdict bad"' in page


def test_the_page_explains_every_code_found_and_says_what_is_synthetic(chain: Chain) -> None:
    audit, page, summary = audit_of(chain, "")
    text = " ".join(Elements(page).text.split())
    assert not audit.findings.empty
    for code in audit.findings["code"].unique():
        assert code in text and reason_codes.CODES[code].meaning.replace("`", "") in text, code
    assert "Phantom" in page.split("</title>")[0] and "PHANTOM" in summary
    assert all(len(line) <= WIDTH for line in summary.splitlines())


def test_the_page_is_one_file_that_asks_the_network_for_nothing_and_runs_no_script(chain: Chain) -> None:
    for setting in ("", RAW):
        elements = Elements(audit_of(chain, setting)[1])
        assert not elements.named("script", "link", "iframe", "object", "embed")
        for tag, attributes in elements.tags:
            for name, value in attributes.items():
                assert not name.startswith("on"), (tag, name)
                if name in ("src", "href", "xlink:href", "srcset", "action", "data"):
                    assert str(value).startswith(("#", "data:image/png;base64,")), (tag, name, value)
        style = audit_of(chain, setting)[1].split("<style>")[1].split("</style>")[0]
        assert "url(" not in style and "@import" not in style


def test_the_page_can_be_read_without_seeing_it_and_on_a_small_screen(chain: Chain) -> None:
    page = audit_of(chain, RAW)[1]
    elements = Elements(page)
    assert elements.named("html")[0]["lang"] == "en" and len(elements.named("h1")) == 1
    assert any(meta.get("name") == "viewport" for meta in elements.named("meta"))
    levels = [int(tag[1]) for tag, _ in elements.tags if re.fullmatch("h[1-6]", tag)]
    assert all(after <= before + 1 for before, after in pairwise(levels))
    images, drawings = elements.named("img"), [a for a in elements.named("svg") if a.get("role") == "img"]
    assert images and all(len(str(image["alt"])) > 40 for image in images)
    ids = [str(attributes["id"]) for _, attributes in elements.tags if attributes.get("id")]
    assert len(ids) == len(set(ids)), "an id occurs twice"
    assert len(drawings) == 5 and all(drawing["aria-labelledby"] in ids for drawing in drawings)
    links = [str(a["href"])[1:] for a in elements.named("a")]
    assert links and set(links) <= set(ids)
    assert "prefers-color-scheme: dark" in page and "@media print" in page


def test_the_same_folder_gives_the_same_bytes(chain: Chain) -> None:
    chain.run(RAW, RAW)
    results = {name: Path(f"results/{name}").read_bytes() for name in ("audit.html", "audit.txt", "audit.parquet")}
    for stage in ("write_audit", "audit_studies"):
        shutil.rmtree(Path("work") / stage)
    assert {command.stage for command in chain.run(RAW, RAW)} == {"write_audit", "audit_studies"}
    assert {name: Path(f"results/{name}").read_bytes() for name in results} == results


def test_the_pictures_are_of_the_worst_readable_studies(chain: Chain) -> None:
    audit, page, _ = audit_of(chain, RAW)
    chosen = worst_studies(audit.studies, 6)
    rows = {(row["cohort"], row[UID]): row for row in audit.studies.to_dict("records")}
    assert chosen and all(rows[key]["slices"] > 0 for key in chosen)
    scores = [rows[key]["score"] for key in chosen]
    assert scores == sorted(scores, reverse=True)
    pictures = re.findall(r'<img src="data:image/png;base64,([^"]+)"', page)
    assert len(pictures) == len(chosen)
    for picture in pictures:
        image = Image.open(io.BytesIO(base64.b64decode(picture))).convert("L")
        assert np.asarray(image).std() > 10, "a blank picture"


@pytest.mark.parametrize(("rows", "columns"), [(64, 64), (48, 80), (81, 57)])
@pytest.mark.parametrize("centre", [1.0, 0.5])
def test_a_box_is_drawn_where_the_cached_slice_shows_it(rows: int, columns: int, centre: float) -> None:
    stored = np.zeros((rows, columns), np.uint8)
    y, x, side = rows // 2 - 3, columns // 2 + 1, 6
    stored[y : y + side, x : x + side] = 255
    cached = resize_slice(stored, 32, centre)
    left, top, scale = in_cached_pixels(rows, columns, Form(32, centre))
    weights = cached / cached.sum()
    middle = (weights.sum(0) @ np.arange(32) + 0.5, weights.sum(1) @ np.arange(32) + 0.5)
    drawn = ((x + side / 2 + left) * scale, (y + side / 2 + top) * scale)
    assert np.allclose(middle, drawn, atol=0.75)


def test_what_a_table_holds_is_escaped_folded_and_cut() -> None:
    rows = [[i, "<b>&"] for i in range(100)]
    text = '{% extends "page.html" %}{% from "macros.html" import show %}{% block title %}t{% endblock %}'
    page = render(text + "{% block body %}{{ show(table) }}{% endblock %}", table=Table(["n", "x"], rows, most=50))
    assert page.count("&lt;b&gt;&amp;") == 50 and "<b>" not in page
    assert "80 more rows" in page and "and 50 rows that only the table holds" in page
    assert Table(["n"], [[i] for i in range(25)]).open_rows == 25


def test_whatever_a_person_can_do_something_about_is_a_code() -> None:
    assert not reason_codes.unknown(code for codes in ADVICE.values() for code in codes)


def test_a_folder_without_findings_is_called_good() -> None:
    studies = stack("a").head(1)[["cohort", UID]].assign(use="negative")
    nothing = pd.DataFrame(columns=["severity", UID, "code", "file", "detail", "consequence"], dtype="str")
    verdict = verdict_of(Audit(studies, nothing))
    assert verdict.tone == "good" and not verdict.advice
    assert "no finding at all" in summary_of(Audit(studies, nothing), phantom=False)


def test_the_page_of_the_real_set_says_that_its_counts_can_be_compared(chain: Chain) -> None:
    (studies, findings), small, _ = audit_of(chain, RAW)
    training = studies[(studies["cohort"] == "train") & (studies["patient_overall"] >= 0)]
    real = pd.concat([training] * (2019 // len(training) + 1)).head(2019)
    real = real.assign(**{UID: [f"1.2.{i}" for i in range(len(real))]})
    page = audit_page(Audit(real, findings), pd.read_parquet("results/labels/masks.parquet"), {}, phantom=False)
    said = "As many labelled studies as the real set"
    assert said in page and said not in small
