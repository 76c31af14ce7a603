"""The text of the report's page; a Python module, so that an edit makes the page anew (``cspine.fingerprint``)."""

# ruff: noqa: E501 - lines of HTML and CSS are as long as what they say

from __future__ import annotations

STYLE = """
.report details { margin: .6rem 0; } .report section > details > summary { font-weight: 600; }
.cases { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(24rem, 100%), 1fr)); gap: 1.6rem; }
.cases h4 { margin: .2rem 0 .5rem; font-size: 1rem; overflow-wrap: anywhere; }
.cases dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem .8rem; margin: .6rem 0; font-size: .9rem; }
.cases dt { color: var(--soft); } .cases dd { margin: 0; overflow-wrap: anywhere; }
"""

TEMPLATE = """\
{% extends "page.html" %}
{% from "macros.html" import show %}
{% macro parts_of(parts) %}
{% for part in parts %}
{% set kind = kind_of(part) %}
{% if kind == "heading" %}<h3>{{ part.text }}</h3>
{% elif kind == "words" %}<p{% if part.soft %} class="soft"{% endif %}>{{ part.text }}</p>
{% elif kind == "points" %}<ul>{% for sentence in part.sentences %}<li>{{ sentence }}</li>
{% endfor %}</ul>
{% elif kind == "listing" %}<pre tabindex="0">{{ part.text }}</pre>
{% elif kind == "markup" %}{{ part.html | safe }}
{% elif kind == "table" %}{{ show(part) }}
{% elif kind == "drawn" %}<figure class="drawn" id="figure-{{ part.name }}" tabindex="0">{{ inline(part) | safe }}
<figcaption><strong>{{ part.title }}.</strong> {{ part.caption }}</figcaption></figure>
{% elif kind == "folded" %}<details><summary>{{ part.summary }}</summary>
{{ parts_of(part.parts) }}</details>
{% endif %}
{% endfor %}
{% endmacro %}
{% block title %}{{ title }}{% endblock %}
{% block body %}
<style>{{ styles | safe }}</style>
<header>
<h1>{{ title }}</h1>
<div class="verdict {{ tone }}">
<p>{{ headline }}</p>
<ul>
{% for sentence in sentences %}<li>{{ sentence }}</li>
{% endfor %}
</ul>
</div>
<nav aria-label="Chapters"><ul>
{% for chapter in chapters %}<li><a href="#{{ chapter.id }}">{{ chapter.title }}</a></li>
{% endfor %}
</ul></nav>
</header>
<main class="report">
{% for chapter in chapters %}
<section aria-labelledby="{{ chapter.id }}">
<h2 id="{{ chapter.id }}">{{ chapter.title }}</h2>
{{ parts_of(chapter.parts) }}
</section>
{% endfor %}
</main>
{% endblock %}
{% block script %}<script>{{ script | safe }}</script>{% endblock %}
"""
