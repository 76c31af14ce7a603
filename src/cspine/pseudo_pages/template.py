"""The text of the pseudo-labels' page; a Python module, so that an edit makes the page anew (``cspine.fingerprint``)."""

# ruff: noqa: E501 - lines of HTML are as long as what they say

from __future__ import annotations

TEMPLATE = """\
{% extends "page.html" %}
{% from "macros.html" import show %}
{% block title %}{{ "Phantom: pseudo-labels of " if phantom else "Pseudo-labels of " }}{{ method }}{% endblock %}
{% block body %}
<header>
<h1>Pseudo-labels of {{ method }}{{ " on the phantom (synthetic data)" if phantom }}</h1>
<div class="verdict {{ "warn" if runs else "bad" }}">
<p>{{ headline }}</p>
<ul>
<li>Fold {{ fold }}, labels that round {{ round }} gives to round {{ round + 1 }}.</li>
{% if without %}<li>{{ without }} without any labelled slice.</li>{% endif %}
<li>{{ "The pictures show synthetic data." if phantom else "The pictures are of the raw data, and studies are named: keep this page where the data may be." }}</li>
</ul>
</div>
<nav aria-label="Sections"><ul>
<li><a href="#doubtful">The most doubtful</a></li><li><a href="#studies">Studies</a></li><li><a href="#all">Every labelled run</a></li></ul></nav>
</header>
<main>
<section aria-labelledby="doubtful">
<h2 id="doubtful">The {{ doubtful | length }} most doubtful labels</h2>
<p>A run is what lies together of the slices labelled fractured for one vertebra. Its doubt is 1 less the mean probability
that the model gives it: a run that is there because the study's label demands one comes first. Shown are the slice before
it, its first, most probable and last, and the one after, as they are cached, under the probability; the labelled ones in orange.</p>
{% for one in doubtful %}
<h3>{{ loop.index }}. {{ one.vertebra }} <span class="uid">{{ one.uid }}</span> <span class="soft">doubt {{ "%.2f" | format(one.doubt) }}</span></h3>
<figure>{{ one.picture | safe }}
</figure>
{{ show(one.table) }}
{% else %}<p>No slice is labelled fractured.</p>{% endfor %}
</section>
<section aria-labelledby="studies">
<h2 id="studies">Studies</h2>
<p>Slices from head to feet, vertebrae from C1 (1) to C7 (7): the stronger the colour, the nearer to 1. Orange is what is
given: a box names a slice and no vertebra, so it is drawn for all that the study's label calls fractured{{ ", and the phantom's hidden truth" if truth }}.
Blue comes from models; grey is left out. Chosen are {{ rule }}</p>
{% for one in studies %}
<h3><span class="uid">{{ one.uid }}</span></h3>
<p class="soft">{{ one.why }}; fractured: {{ one.fractured }}</p>
<div class="scroll"><figure style="min-width: 44rem">{{ one.drawing | safe }}
</figure></div>
{% endfor %}
</section>
<section aria-labelledby="all">
<h2 id="all">Every labelled run</h2>
{% if runs %}{{ show(table) }}{% else %}<p>None.</p>{% endif %}
</section>
</main>
{% endblock %}
"""
