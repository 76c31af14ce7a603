"""The markup of the studies' browser; a Python module, so that an edit makes the page anew (``cspine.fingerprint``)."""

# ruff: noqa: E501 - lines of HTML are as long as what they say

from __future__ import annotations

TEMPLATE = """\
<div class="browser">
<div class="desk" hidden>
<div class="choice">
<button type="button" class="back" aria-label="Study before">&lsaquo;</button>
<label>Study <select>
{% for study in studies %}<option value="{{ loop.index0 }}">{{ study.name }} &middot; {{ study.why }}</option>
{% endfor %}</select></label>
<button type="button" class="on" aria-label="Next study">&rsaquo;</button>
</div>
<p class="about"></p>
<p class="remarks soft"></p>
<div class="views">
<div class="left">
<div class="frame" tabindex="0" role="group" aria-label="The slice; arrow keys go from slice to slice, Page Up and Down ten at once, Home and End to the ends">
<canvas role="img" width="1" height="1"></canvas><svg class="over" aria-hidden="true"></svg>
<p class="nothing">No pictures: this page carries numbers only.</p>
</div>
<div class="slide"><span>head</span><input type="range" min="0" max="0" value="0" aria-label="Slice, from head to feet"><span>feet</span></div>
<p class="where" aria-live="polite"></p>
<p class="hint soft">Keys: arrows for one slice, Page Up and Down for ten, Home and End; the wheel, once the picture was clicked; or click beside it.</p>
<p class="jumping"><span class="soft">Go to</span> <span class="jumps"></span></p>
<fieldset class="drawn"><legend>Drawn over the slice</legend><span class="toggles"></span></fieldset>
</div>
<div class="right">
<div class="heads"><span class="beside">section</span>{% for level in levels %}<button type="button" class="head" data-level="{{ level }}" title="the slice with the highest probability of {{ level }}">{{ level }}<span class="now"></span></button>{% endfor %}</div>
<div class="chart" aria-hidden="true">
<div class="section"><svg class="boxed" preserveAspectRatio="none"></svg></div>
<svg class="lanes" preserveAspectRatio="none"></svg>
<div class="cursor"></div>
</div>
<ul class="key soft">
<li data-said="probability"><i class="k-curve"></i> curve: probability of a fracture, 0 on the left, 1 on the right</li>
<li data-said="label"><i class="k-label"></i> first bar: labelled as fractured, because of a box; pale: labelled as whole</li>
<li data-said="pseudo"><i class="k-pseudo"></i> second bar: pseudo-label, the stronger the nearer to 1; pale: 0</li>
<li data-said="truth"><i class="k-truth"></i> third bar: fractured in the phantom's hidden truth; pale: whole</li>
<li data-said="shown"><i class="k-view"></i> grey ground: slices that show the vertebra</li>
</ul>
</div>
</div>
<div class="scroll"><table class="numbers">
<caption>What is said of this slice</caption>
<thead><tr><th scope="col">vertebra</th><th scope="col" class="n" data-said="probability">probability</th><th scope="col" data-said="shown">in view</th><th scope="col" data-said="label">label (why)</th><th scope="col" class="n" data-said="pseudo">pseudo-label</th><th scope="col" data-said="truth">truth</th></tr></thead>
<tbody>{% for level in levels %}<tr data-level="{{ level }}"><th scope="row">{{ level }}</th><td class="n" data-said="probability"></td><td data-said="shown"></td><td data-said="label"></td><td class="n" data-said="pseudo"></td><td data-said="truth"></td></tr>
{% endfor %}</tbody></table></div>
</div>
<div class="stills">
<p>Without scripts, one slice of each study is shown; a browser that runs them leafs through all slices.</p>
{% for study in studies %}
<figure><h3>{{ study.name }}</h3>
{{ study.still | safe }}
<figcaption>{{ study.about }} {{ study.said_at_start }}</figcaption></figure>
{% endfor %}
</div>
{% for study in studies %}<script type="application/json" class="study">{{ study.data | safe }}</script>
{% endfor %}
</div>
"""
