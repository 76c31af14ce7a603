"""triage.html: the studies, the most suspicious first, and their key slices; a page to work from, beside its pictures."""

# ruff: noqa: E501 - lines of HTML are as long as what they say

from __future__ import annotations

import csv
import urllib.parse
from pathlib import Path

from cspine.bundles.manifest import Bundle
from cspine.bundles.points import Point
from cspine.pages import Table, render
from cspine.prediction.key_slices import picture_name
from cspine.prediction.results import PICTURES
from cspine.studies import UID, VERTEBRAE
from cspine.writing import write_whole

MOST_PICTURED = 200  # studies whose pictures the page shows; the others' lie in their folder

TEMPLATE = """\
{% extends "page.html" %}
{% from "macros.html" import show %}
{% block title %}Triage: {{ total }} studies{% endblock %}
{% block body %}
<header>
<h1>Triage</h1>
<div class="verdict {{ "warn" if stopped or phantom else "good" }}">
<p>{{ headline }}</p>
<ul>
{% for sentence in sentences %}<li>{{ sentence }}</li>
{% endfor %}
</ul>
</div>
</header>
<main>
<section aria-labelledby="list"><h2 id="list">The list</h2>
{{ show(table) }}
</section>
{% if pictured %}
<section aria-labelledby="slices"><h2 id="slices">Key slices of the suspicious vertebrae</h2>
<p>Left the slice in which the vertebra is most probably fractured, right what the networks saw of it. The box is the
region that drove the answer (masking it weakens the answer most): a place to look at first, not an outline of the fracture.</p>
{% for uid, patient, pictures in pictured %}
<h3 id="{{ uid }}">{{ uid }} <span class="soft">patient {{ "%.2f" | format(patient) }}</span></h3>
<div class="drawings">
{% for vertebra, probability, place in pictures %}
<figure><a href="{{ place }}"><img src="{{ place }}" loading="lazy" alt="{{ vertebra }} of {{ uid }}: its key slice with the region that drove the answer"></a>
<figcaption>{{ vertebra }} {{ "%.2f" | format(probability) }}</figcaption></figure>
{% endfor %}
</div>
{% endfor %}
{% if more %}<p class="soft">and {{ more }} more studies, whose pictures lie in {{ folder }}/</p>{% endif %}
</section>
{% endif %}
</main>
{% endblock %}
"""


def write_page(out: Path, bundle: Bundle, why: str) -> None:
    """Write OUT/triage.html from OUT/triage.csv and the pictures that lie there.

    Args:
        out: the folder of a prediction.
        bundle: that it was made with.
        why: it stopped early; "" when it is done.
    """
    with (out / "triage.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    suspicious = [row for row in rows if row["suspicious"]]
    by_prior = sum(row["by"] == "prior" for row in rows)
    sentences = [bundle.name(), "Not a medical device: a person looks at every study, in whatever order."]
    sentences += [_sentence(kind, point) for kind, point in bundle.points.items()]
    if by_prior:
        sentences.append(
            f"{by_prior} could not be predicted; they have the training prior, and the reason in the list."
        )
    if why:
        sentences.append(f"Stopped early: {why}.")
    pictured = [(row[UID], float(row["patient_overall"]), _pictures(out, row)) for row in suspicious]
    pictured = [entry for entry in pictured if entry[2]]
    text = render(
        TEMPLATE,
        total=len(rows),
        phantom=bundle.manifest["phantom"],
        stopped=bool(why),
        headline=f"{len(suspicious)} of {len(rows)} studies are suspicious",
        sentences=sentences,
        table=_table(rows),
        pictured=pictured[:MOST_PICTURED],
        more=max(0, len(pictured) - MOST_PICTURED),
        folder=PICTURES,
    )
    write_whole(out / "triage.html", text.encode(), "triage-page")


def _sentence(kind: str, point: Point) -> str:
    whom = "A patient" if kind == "patient" else "Of such a patient a vertebra"
    if point.assumed:
        return f"{whom} is suspicious from {point.threshold:.2f} on, which is assumed: {point.assumed}."
    spared = (
        f", and left {point.specificity:.0%} of the {point.negatives} others alone"
        if point.specificity is not None
        else ""
    )
    return (
        f"{whom} is suspicious from {point.threshold:.2f} on: chosen on studies of the training set, where it found "
        f"{point.sensitivity:.0%} of {point.positives} fractured ones{spared}."
    )


def _table(rows: list[dict[str, str]]) -> Table:
    head = ["rank", "study", "patient", "suspicious", *VERTEBRAE, "by", "reason"]
    cells = [
        [
            int(row["rank"]),
            {"class": "uid", "text": row[UID]},
            f"{float(row['patient_overall']):.3f}",
            row["suspicious"],
            *(f"{float(row[v]):.2f}" for v in VERTEBRAE),
            row["by"],
            row["reason"],
        ]
        for row in rows
    ]
    return Table(head, cells, "probabilities; the same table with file names: triage.csv", shown=50, most=3000)


def _pictures(out: Path, row: dict[str, str]) -> list[tuple[str, float, str]]:
    found = []
    for vertebra in row["suspicious"].split():
        name = picture_name(row[UID], vertebra)
        if (out / PICTURES / name).is_file():
            found.append((vertebra, float(row[vertebra]), f"{PICTURES}/{urllib.parse.quote(name)}"))
    return found
