"""The style of the studies' browser, in the colours of the page (``cspine.page_texts``).

What lies on a picture has colours of its own, the same by day and by night, as on the audit's pictures.
"""

# ruff: noqa: E501 - lines of CSS are as long as what they say

from __future__ import annotations

STYLE = """
.browser { --box: #ff9600; --even: #62b6ff; --odd: #9be564; --dark: #101418; --tall: 26rem; --deep: 11rem; --aspect: 1; }
.browser [hidden] { display: none !important; }
.browser .choice { display: flex; gap: .4rem; align-items: end; } .browser .choice label { flex: 1; min-width: 0; font-weight: 600; }
.browser select { width: 100%; font: inherit; font-weight: 400; padding: .3rem; color: inherit; background: var(--paper); border: 1px solid var(--line); border-radius: 4px; }
.browser button { font: inherit; font-size: .9rem; color: inherit; background: var(--band); border: 1px solid var(--line); border-radius: 4px; padding: .2rem .6rem; cursor: pointer; }
.browser .choice button { font-size: 1.2rem; line-height: 1.3; } .browser button:disabled { opacity: .4; cursor: default; }
.browser button:hover:enabled { border-color: var(--first); }
.browser :is(button, select, input, .frame):focus-visible { outline: 3px solid var(--first); outline-offset: 1px; }
.browser .about { font-weight: 600; margin: .6rem 0 0; } .browser .remarks { margin: 0 0 .4rem; font-size: .9rem; }
.browser .views { display: grid; grid-template-columns: minmax(0, 26rem) minmax(0, 1fr); gap: 1.2rem; margin-top: .6rem; }
.browser .frame { position: relative; background: var(--dark); border-radius: 4px; aspect-ratio: 1; }
.browser .frame canvas, .browser .frame svg { position: absolute; inset: 0; width: 100%; height: 100%; border-radius: 4px; }
.browser .nothing { display: none; } .browser.no-pictures .frame { aspect-ratio: auto; }
.browser.no-pictures .frame > :not(.nothing) { display: none; } .browser.no-pictures .nothing { display: block; color: #e6e9ec; padding: 1rem; margin: 0; }
.browser .over .outline { fill: none; stroke-width: 1.5; vector-effect: non-scaling-stroke; stroke-linecap: square; }
.browser .over .tone-0 { stroke: var(--even); } .browser .over .tone-1 { stroke: var(--odd); }
.browser .over text { stroke: var(--dark) !important; stroke-width: 3px; paint-order: stroke; vector-effect: non-scaling-stroke; font-weight: 600; }
.browser .over text.tone-0 { fill: var(--even); } .browser .over text.tone-1 { fill: var(--odd); }
.browser .over .box { fill: none; stroke: var(--box); stroke-width: 2; vector-effect: non-scaling-stroke; }
.browser .slide { display: flex; gap: .5rem; align-items: center; margin-top: .5rem; font-size: .85rem; color: var(--soft); }
.browser input[type=range] { flex: 1; min-width: 0; margin: 0; height: 1.5rem; accent-color: var(--first); }
.browser .where { margin: .2rem 0; min-height: 1.5em; font-variant-numeric: tabular-nums; }
.browser .hint { font-size: .85rem; margin: .3rem 0; } .browser .jumping { margin: .3rem 0; } .browser .jumps { display: inline-flex; flex-wrap: wrap; gap: .3rem; }
.browser fieldset { border: 1px solid var(--line); border-radius: 4px; margin: .5rem 0; padding: .2rem .6rem .4rem; font-size: .9rem; }
.browser legend { color: var(--soft); } .browser .toggles label { display: inline-block; margin-right: .8rem; white-space: nowrap; }
.browser .heads, .browser .chart { display: grid; grid-template-columns: min(var(--deep), var(--tall) * var(--aspect)) repeat(7, minmax(0, 1fr)); }
.browser .beside { font-size: .85rem; color: var(--soft); align-self: end; }
.browser .head { display: block; padding: .1rem 0; margin: 0 2px 3px 0; text-align: center; font-weight: 600; line-height: 1.25; }
.browser .now { display: block; font-weight: 400; font-size: .85rem; font-variant-numeric: tabular-nums; }
.browser .chart { position: relative; height: var(--tall); cursor: ns-resize; touch-action: pan-y; user-select: none; }
.browser .section { position: relative; height: var(--tall); overflow: hidden; background: var(--dark); margin-right: .4rem; }
.browser .section img { position: absolute; height: 100%; width: calc(var(--tall) * var(--aspect)); max-width: none; left: 50%; translate: -50%; border-radius: 0; pointer-events: none; }
.browser .section svg { position: absolute; left: 0; top: 0; width: 5px; height: 100%; }
.browser .lanes { grid-column: 2 / -1; width: 100%; height: var(--tall); display: block; background: var(--band); }
.browser .cursor { position: absolute; left: 0; right: 0; height: 2px; margin-top: -1px; background: var(--bad); pointer-events: none; }
.browser .cursor::before { content: ""; position: absolute; left: 0; top: -4px; border: 5px solid transparent; border-left-color: var(--bad); }
.browser .curve { fill: var(--first); fill-opacity: .7; }
.browser .rule { stroke: var(--line); stroke-width: 1; vector-effect: non-scaling-stroke; fill: none; } .browser .view { fill: var(--ink); }
.browser rect.label { fill: var(--box); } .browser rect.pseudo { fill: var(--first); } .browser rect.truth { fill: var(--ink); }
.browser rect.none { fill: var(--soft); }
.browser .key { list-style: none; padding: 0; font-size: .85rem; margin: .6rem 0 0; } .browser .key i { display: inline-block; width: .9rem; height: .8rem; margin-right: .3rem; vertical-align: -1px; }
.browser .k-curve { background: var(--first); opacity: .7; clip-path: polygon(0 0, 100% 50%, 0 100%); } .browser .k-label { background: var(--box); }
.browser .k-pseudo { background: var(--first); } .browser .k-truth { background: var(--ink); } .browser .k-view { background: color-mix(in srgb, var(--ink) 13%, transparent); }
.browser .numbers td, .browser .numbers th { padding: .15rem .6rem; }
.browser .stills { display: grid; grid-template-columns: repeat(auto-fill, minmax(14rem, 1fr)); gap: 0 1rem; } .browser .stills > p { grid-column: 1 / -1; } .browser .stills svg { width: 100%; background: var(--dark); }
@media (max-width: 700px) { .browser { --tall: 22rem; --deep: 7rem; } .browser .views { grid-template-columns: minmax(0, 1fr); }
  .browser .numbers { font-size: .8rem; }
  .browser .numbers td, .browser .numbers th { padding: .15rem .2rem; } }
@media (hover: none) { .browser .hint { display: none; } }
@media print { .browser .choice button, .browser .slide, .browser .jumping, .browser .hint, .browser .drawn { display: none !important; }
  .browser .views { grid-template-columns: 45% 1fr; } .browser { --tall: 18rem; } .browser select { border: 0; appearance: none; }
  .browser :is(.frame, .chart) * { print-color-adjust: exact; } }
"""
