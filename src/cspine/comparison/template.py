"""The text of the comparison's page; a Python module, so that an edit makes the page anew (``cspine.fingerprint``)."""

# ruff: noqa: E501 - lines of HTML are as long as what they say

from __future__ import annotations

TEMPLATE = """\
{% extends "page.html" %}
{% from "macros.html" import show %}
{% block title %}{{ "Phantom: methods compared on synthetic data" if phantom else "Methods compared" }}{% endblock %}
{% block body %}
<style>.clear { font-weight: 600; color: var(--tone); } td { white-space: nowrap; } .wrap td { white-space: normal; }
.plot img { width: 100%; min-width: 40rem; max-width: none; }</style>
<header>
<h1>{{ methods }} method{{ "s" if methods != 1 }} compared{{ " on the phantom (synthetic data)" if phantom }}</h1>
<div class="verdict {{ tone }}">
<p>{{ headline }}</p>
<ul>
{% if phantom %}<li>The data are synthetic: nothing here says anything about patients.</li>{% endif %}
{% for cohort in cohorts %}<li>{{ cohort.words }}: {{ cohort.studies }}{% for sentence in cohort.smallest %}; {{ sentence }}{% endfor %}.</li>
{% endfor %}
<li>Reference: <code>{{ reference }}</code>. Folds run: {{ folds }}. [95 % interval] over {{ bootstrap }} resamples of studies, the same for all methods.</li>
</ul>
</div>
<nav aria-label="Sections"><ul>
<li><a href="#plot">Against the constant</a></li>
{% for cohort in cohorts %}<li><a href="#{{ cohort.id }}">{{ cohort.words.split(",")[0] | capitalize }}</a></li>
{% endfor %}
<li><a href="#costs">What each took</a></li>
{% if ways %}<li><a href="#aggregation">Aggregation</a></li>{% endif %}
{% if published.rows %}<li><a href="#published">Published</a></li>{% endif %}
<li><a href="#read">How to read it</a></li></ul></nav>
</header>
<main>
<section aria-labelledby="plot">
<h2 id="plot">Each method against the best constant</h2>
<figure><div class="scroll plot"><img src="data:image/png;base64,{{ image }}" alt="{{ described }}"></div>
<figcaption>The best constant gives every study the same eight numbers, fitted on the training labels. A method whose interval reaches
over 0 has not been shown to know more than these. The same picture is <code>comparison.png</code>.</figcaption></figure>
</section>
{% for cohort in cohorts %}
<section aria-labelledby="{{ cohort.id }}">
<h2 id="{{ cohort.id }}">{{ cohort.words | capitalize }}</h2>
<p>{{ cohort.studies }}.</p>
<h3>Weighted log loss</h3>
{% for table in cohort.losses %}{{ show(table) }}{% endfor %}
<h3>Area under the ROC curve</h3>
{{ show(cohort.aucs) }}
{% if cohort.few %}<p class="soft">Too few to measure, and not in the mean: {{ cohort.few }}.</p>{% endif %}
<h3>At points chosen on the select studies</h3>
{{ show(cohort.points) }}
{% if cohort.missing %}
<ul class="soft">{% for method, why in cohort.missing %}<li><code>{{ method }}</code> has no chosen point: {{ why }}.</li>{% endfor %}</ul>
{% endif %}
</section>
{% endfor %}
<section aria-labelledby="costs">
<h2 id="costs">What each took</h2>
<p>Of one fold, all rounds, parts and members, all segments of an interrupted stage. Training is everything up to the last model.
Memory is the host's peak.{% if localizers %} Localizers are made once for all methods: their columns are no part of the others.{% endif %}</p>
{{ show(costs) }}
</section>
{% if ways %}
<section aria-labelledby="aggregation">
<h2 id="aggregation">From slices to the patient, each way</h2>
<p>Weighted log loss, per exam, without calibration. The patient is 1 - prod(1 - p) over the N most probable vertebrae. S1d printed
its own losses for each N: of another model on other data, so only how they change with N can be compared.
The lowest loss of a table was picked on the studies that it is shown for.</p>
{% for cohort in ways %}
<h3>{{ cohort.words | capitalize }}</h3>
{% for table in cohort.tables %}{{ show(table) }}{% endfor %}
{% endfor %}
</section>
{% endif %}
{% if published.rows %}
<section aria-labelledby="published">
<h2 id="published">What the sources published</h2>
<p>On another data set, by other hands: a landmark, never a rank.</p>
<div class="wrap">{{ show(published) }}</div>
</section>
{% endif %}
<section aria-labelledby="read">
<h2 id="read">How to read it</h2>
<ul>
<li>Loss: per-exam (a) is the mean of the studies' weighted losses, pooled (b) the weighted mean of all rows; lower is better.
Which of the two the competition uses is not settled.</li>
<li>Differences are in pairs: each resample draws the same studies for both. Below 0 the method is better.
Intervals are not widened for the number of methods: among twenty equal ones, one is expected to look different.</li>
<li>The smallest difference it could show is what a test at 5 % finds in 80 % of all runs with so many studies: 2.8 standard errors of the
difference. A smaller one may be there; this run cannot tell.</li>
<li>Each method was trained once a fold. Another seed would move its loss too, and no interval here contains that.</li>
<li>Every column: <code>docs/comparison.md</code>. Every number: <code>comparison.csv</code> and <code>comparison_aggregation.csv</code>.</li>
</ul>
</section>
</main>
{% endblock %}
"""
