"""What every page has: its style, its skeleton, and the macro that shows a ``pages.Table``."""

# ruff: noqa: E501 - lines of HTML and CSS are as long as what they say

from __future__ import annotations

from cspine.palette import DARK, LIGHT, PRINTED, variables

STYLE = """
:root { color-scheme: light dark; LIGHT }
@media (prefers-color-scheme: dark) { :root { DARK } }
@media print { :root { color-scheme: light; PRINTED }
  details > *, details::details-content { display: block; content-visibility: visible; }
  section, figure, tr { break-inside: avoid; } nav { display: none; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem; max-width: 62rem; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.25; margin: .5rem 0; } h2 { font-size: 1.25rem; margin: 2.2rem 0 .5rem;
  padding-top: .6rem; border-top: 1px solid var(--line); } h3 { font-size: 1rem; margin: 1.2rem 0 .3rem; }
p, ul, ol { margin: .5rem 0; } li { margin: .2rem 0; } .soft, caption, figcaption { color: var(--soft); }
pre { overflow-x: auto; background: var(--band); padding: .6rem 1rem; font: .85rem ui-monospace, Menlo, Consolas, monospace; }
a { color: var(--first); } code { font: .88em ui-monospace, "SF Mono", Menlo, Consolas, monospace; }
nav ul { list-style: none; padding: 0; display: flex; flex-wrap: wrap; gap: .2rem 1rem; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; width: 100%; font-size: .9rem; margin: .3rem 0; }
caption { text-align: left; padding: .2rem 0; } th, td { text-align: left; vertical-align: top; padding: .28rem .6rem;
  border-bottom: 1px solid var(--line); } th { background: var(--band); } td.n, th.n { text-align: right;
  font-variant-numeric: tabular-nums; white-space: nowrap; } td { overflow-wrap: break-word; }
.uid, .code { font: .88em ui-monospace, "SF Mono", Menlo, Consolas, monospace; white-space: nowrap; }
.drawings { display: grid; grid-template-columns: repeat(auto-fit, minmax(17rem, 1fr)); gap: 1rem; }
figure { margin: .5rem 0; } figure svg { width: 100%; height: auto; display: block; } svg text { font-family: inherit !important; }
figure img { max-width: 100%; height: auto; display: block; border-radius: 4px; } figcaption { font-size: .88rem; }
.verdict { border-left: 5px solid var(--tone); background: var(--band); padding: .6rem 1rem; margin: 1rem 0; }
.verdict p:first-child { font-size: 1.1rem; font-weight: 600; margin: 0; }
.good { --tone: var(--good); } .warn { --tone: var(--warn); } .bad { --tone: var(--bad); }
.tag { display: inline-block; padding: 0 .45em; border: 1px solid currentColor; border-radius: 1em; font-size: .85em; }
.tag.lost { color: var(--bad); } .tag.doubtful { color: var(--warn); } .tag.partly { color: var(--first); }
.tag.noted { color: var(--soft); } summary { cursor: pointer; color: var(--first); }
.narrow { display: none; } @media screen and (max-width: 50rem) { .wide { display: none; } .narrow { display: block; max-width: 30rem; } }
"""
for _words, _colours in {"LIGHT": LIGHT, "DARK": DARK, "PRINTED": LIGHT | PRINTED}.items():
    STYLE = STYLE.replace(_words, variables(_colours))

MACROS = """\
{% macro cell(value) %}
{% if value is mapping %}<span class="{{ value.class }}">{{ value.text }}</span>{% else %}{{ value | number }}{% endif %}
{% endmacro %}
{% macro rows(table, chosen) %}
{% for row in chosen %}
<tr>{% for value in row %}<td{% if table.numeric[loop.index0] %} class="n"{% endif %}>{{ cell(value) | trim }}</td>{% endfor %}</tr>
{% endfor %}
{% endmacro %}
{% macro head(table) %}
{% if table.caption %}<caption>{{ table.caption }}</caption>{% endif %}
<thead><tr>{% for name in table.head %}<th scope="col"{% if table.numeric[loop.index0] %} class="n"{% endif %}>{{ name }}</th>{% endfor %}</tr></thead>
{% endmacro %}
{% macro show(table) %}
<div class="scroll"><table>
{{ head(table) }}<tbody>
{{ rows(table, table.rows[:table.open_rows]) }}</tbody></table></div>
{% if table.rows | length > table.open_rows %}
<details><summary>{{ (table.rows | length - table.open_rows) | number }} more rows</summary>
<div class="scroll"><table>
{{ head(table) }}<tbody>
{{ rows(table, table.rows[table.open_rows:table.most]) }}</tbody></table></div>
{% if table.rows | length > table.most %}<p class="soft">and {{ (table.rows | length - table.most) | number }} rows that only the table holds</p>{% endif %}
</details>
{% endif %}
{% endmacro %}
"""

SKELETON = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{% block title required %}{% endblock %}</title>
<style>{{ style | safe }}</style>
</head>
<body>
{% block body required %}{% endblock %}
{% block script %}{% endblock %}
</body>
</html>
"""
