"""The text of the audit's page; a Python module, so that an edit makes the page anew (``cspine.fingerprint``)."""

# ruff: noqa: E501 - lines of HTML are as long as what they say

from __future__ import annotations

TEMPLATE = """\
{% extends "page.html" %}
{% from "macros.html" import show %}
{% block title %}{{ "Phantom: audit of synthetic data" if phantom else "Audit of the data" }}{% endblock %}
{% block body %}
<header>
<h1>{{ "Audit of the phantom (synthetic data)" if phantom else "Audit of the data" }}</h1>
<div class="verdict {{ verdict.tone }}">
<p>{{ verdict.headline }}</p>
<ul>
{% for sentence in verdict.training + verdict.test %}<li>{{ sentence }}</li>{% endfor %}
</ul>
</div>
{% if verdict.advice %}
<h2 id="todo">What to do</h2>
<ul>
{% for text, codes in verdict.advice %}<li>{{ text }} <span class="soft">({% for code in codes %}<code>{{ code }}</code>{{ ", " if not loop.last }}{% endfor %})</span></li>
{% endfor %}
</ul>
{% endif %}
<nav aria-label="Sections"><ul>
<li><a href="#codes">Findings</a></li><li><a href="#use">What the run does</a></li><li><a href="#excluded">Excluded</a></li>
<li><a href="#worst">Worst studies</a></li><li><a href="#sizes">Sizes</a></li><li><a href="#labels">Labels</a></li>
<li><a href="#missing">Missing slices</a></li><li><a href="#reversed">Reversed</a></li><li><a href="#boxes">Boxes</a></li>
<li><a href="#masks">Masks</a></li></ul></nav>
</header>
<main>
<section aria-labelledby="codes">
<h2 id="codes">What was found</h2>
{% if total %}
<p>{{ total | number }} findings. <span class="tag lost">lost</span> a study gives nothing;
<span class="tag doubtful">doubtful</span> labels, boxes, a mask or the order of slices may be wrong;
<span class="tag partly">partly</span> something was left out, the rest is used;
<span class="tag noted">noted</span> used as it is.</p>
{{ show(codes) }}
{% else %}<p>Nothing.</p>{% endif %}
</section>
<section aria-labelledby="use">
<h2 id="use">What the run does with the studies</h2>
{{ show(uses) }}
</section>
<section aria-labelledby="excluded">
<h2 id="excluded">Excluded from training</h2>
<p>By <code>audit.exclude_codes</code> and <code>audit.exclude_studies</code> of the configuration. They are predicted, and
have no role in any fold. Test studies are never excluded.</p>
{% if excluded.rows %}{{ show(excluded) }}{% else %}<p>None.</p>{% endif %}
{% if proposal %}
<details><summary>To leave out the other doubtful training studies as well</summary>
<p>Look at each first. In a file of your own, for <code>--configfile</code>:</p>
<pre>audit:
  exclude_studies:
{% for uid, why in proposal %}
    {{ uid }}: {{ why }}
{% endfor %}
</pre></details>
{% endif %}
</section>
<section aria-labelledby="worst">
<h2 id="worst">The worst studies</h2>
{% if ranking.rows %}
<p>The score adds 100 for each kind of finding that loses the study, 10 for each that leaves doubts, 3 where something
was left out, 1 for a note, and up to 50 for the share of slices it lacks. The pictures show slices as they are cached, and
a section through the middle of the neck, front to the left: grey lines where the slices lie, orange boxes and boxed slices, bars
beside it for the mask's vertebrae, black bands where no slice is.</p>
{{ show(ranking) }}
{% for one in worst %}
<h3><span class="uid">{{ one.study.StudyInstanceUID }}</span> ({{ one.study.cohort }}, score {{ one.study.score }})</h3>
<p class="soft">{{ one.study.slices }} slices, {{ one.study.thickness | float | number }} mm apart, {{ one.study.rows }} x {{ one.study.columns }};
{{ labels_in_words(one.study) }}{{ ", reversed" if one.study.reversed }}{{ ", excluded: " ~ one.study.why_excluded if one.study.excluded }}</p>
<figure>{{ one.picture | safe }}
</figure>
{{ show(one.findings) }}
{% endfor %}
{% else %}<p>No study has more than notes.</p>{% endif %}
</section>
<section aria-labelledby="sizes">
<h2 id="sizes">Sizes</h2>
{% if figures %}<div class="drawings">
{% for figure in figures %}<figure>{{ figure.svg | safe }}<figcaption>{{ figure.caption }}</figcaption></figure>
{% endfor %}</div>{% else %}<p>No study could be read.</p>{% endif %}
</section>
<section aria-labelledby="labels">
<h2 id="labels">Labels</h2>
{% if real and not phantom %}<p>As many labelled studies as the real set: its counts should be these.</p>{% endif %}
{{ show(labels) }}
{% if label_findings.rows %}<h3>Labels and studies that contradict each other</h3>{{ show(label_findings) }}{% else %}<p>Nothing contradicts itself.</p>{% endif %}
</section>
<section aria-labelledby="missing">
<h2 id="missing">Missing slices</h2>
{% if missing.rows %}<p>{{ missing.rows | length | number }} studies lack slices: their file is damaged, is no slice of the stack, or is not there.</p>
{{ show(missing) }}{% else %}<p>No study lacks a slice.</p>{% endif %}
</section>
<section aria-labelledby="reversed">
<h2 id="reversed">Numbered from the feet</h2>
<p>{{ reversed.rows | length | number }} of {{ readable | number }} readable studies. They are read in the order of their positions like all others;
boxes go by the number in the file's name.</p>
{% if reversed.rows %}<details><summary>Which</summary>{{ show(reversed) }}</details>{% endif %}
</section>
<section aria-labelledby="boxes">
<h2 id="boxes">Boxes that do not match their study</h2>
{% if boxes.rows %}{{ show(boxes) }}{% else %}<p>None.</p>{% endif %}
</section>
<section aria-labelledby="masks">
<h2 id="masks">Masks that do not match their study</h2>
{% if masks.rows %}{{ show(masks) }}{% else %}<p>None.</p>{% endif %}
{% if mask_rows %}<h3>Every mask</h3>{{ show(mask_rows) }}{% endif %}
</section>
</main>
<footer><p class="soft">Every row: results/audit.parquet. Every code: docs/findings.md.</p></footer>
{% endblock %}
"""
