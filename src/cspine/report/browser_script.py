"""The script of the studies' browser, plain JavaScript; a Python module, so that an edit makes the page anew.

It reads what ``browser`` wrote into the page, asks for nothing else, and keeps nothing.
"""

from __future__ import annotations

SCRIPT = r"""
"use strict";
(() => {
  const root = document.querySelector(".browser");
  if (!root || !root.querySelector(".desk")) return;
  const one = selector => root.querySelector(selector);
  const LEVELS = ["C1", "C2", "C3", "C4", "C5", "C6", "C7"];
  const KEYS = {ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1, PageDown: 10, PageUp: -10,
    Home: -Infinity, End: Infinity};
  const LANE = 100, CURVE = [3, 60], STRIPS = {label: 65, pseudo: 77, truth: 89}, STRIP = 8;  // of a lane's width
  const pick = one("select"), slider = one("input[type=range]"), frame = one(".frame"), canvas = one("canvas");
  const pen = canvas.getContext("2d"), over = one("svg.over"), chart = one(".chart"), cursor = one(".cursor");
  const texts = [...document.querySelectorAll("script.study")];
  const hidden = new Set();  // what the toggles hide: "boxes", a level
  let study, z, images;

  const element = (name, attributes, text) => {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes || {})) made.setAttribute(key, value);
    if (text !== undefined) made.textContent = text;
    return made;
  };
  const shape = (name, attributes, text) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    if (text !== undefined) made.textContent = text;
    return made;
  };
  const number = value => value === null || value === undefined ? "–" : value.toFixed(2);
  const at = (what, level, slice) => study.said[what] ? study.said[what][level][slice] : null;
  const data = text => "data:image/webp;base64," + text;

  function open(place) {
    study = JSON.parse(texts[place].textContent);
    images = new Map();
    pick.value = place;
    one(".back").disabled = place === 0;
    one(".on").disabled = place === texts.length - 1;
    slider.max = study.files.length - 1;
    canvas.width = canvas.height = study.pixels || 1;
    over.setAttribute("viewBox", `0 0 ${study.pixels || 1} ${study.pixels || 1}`);
    pen.clearRect(0, 0, canvas.width, canvas.height);
    one(".about").textContent = study.about;
    one(".remarks").textContent = study.remarks;
    one(".remarks").hidden = !study.remarks;
    root.classList.toggle("no-pictures", !study.pixels);
    for (const part of root.querySelectorAll("[data-said]")) part.hidden = !(part.dataset.said in study.said);
    drawLanes();
    drawSection();
    offerToggles();
    offerJumps();
    show(study.start);
  }

  function show(slice) {
    z = Math.max(0, Math.min(study.files.length - 1, slice));
    slider.value = z;
    slider.setAttribute("aria-valuetext", `slice ${z + 1} of ${study.files.length}`);
    cursor.style.top = `${100 * (z + 0.5) / study.files.length}%`;
    const seen = study.nearest[z];
    one(".where").textContent = words(seen);
    drawPicture(seen);
    drawOver(seen);
    fillNumbers();
  }

  function words(seen) {
    const parts = [`Slice ${z + 1} of ${study.files.length}`];
    if (study.files[z] >= 0) parts.push(`file ${study.files[z]}`);
    parts.push(`${study.depths[z].toFixed(0)} mm below the first`);
    if (study.source[z] === "box") parts.push("boxed");
    if (seen !== null && seen !== z) parts.push(`not pictured, shown is slice ${seen + 1}`);
    return parts.join(", ");
  }

  function image(slice) {
    if (!images.has(slice)) {
      const loaded = new Image();
      loaded.src = data(study.pictures[slice]);
      images.set(slice, loaded);
    }
    return images.get(slice);
  }

  function drawPicture(seen) {
    if (seen === null) return;
    const mine = study, wanted = image(seen);
    const draw = () => {
      if (study === mine && study.nearest[z] === seen) {
        pen.drawImage(wanted, 0, 0);
        canvas.dataset.slice = seen;
      }
    };
    if (wanted.complete) draw(); else wanted.onload = draw;
    const boxes = (study.boxes[seen] || []).length, levels = Object.keys(study.outlines[seen] || {});
    canvas.setAttribute("aria-label", `Axial slice ${seen + 1} of ${study.files.length}`
      + (boxes ? `, ${boxes} ${boxes > 1 ? "boxes" : "box"}` : "")
      + (levels.length ? `, outlines of ${levels.join(", ")}` : ""));
    for (let near = 1; near <= 12; near++)  // those that a key reaches next are decoded meanwhile
      for (const next of [z + near, z - near])
        if (next >= 0 && next < study.files.length) image(study.nearest[next]);
  }

  function drawOver(seen) {
    over.replaceChildren();
    const side = study.pixels;
    for (const [level, path] of Object.entries(study.outlines[seen] || {})) {
      if (hidden.has(level)) continue;
      const tone = `outline tone-${Number(level.slice(1) || 8) % 2}`;
      const drawn = shape("path", {d: path, class: tone, "data-level": level});
      over.append(drawn);
      const box = drawn.getBBox(), right = Math.min(box.x + box.width + side / 100, side * 0.93);
      over.append(shape("text", {x: right, y: box.y + box.height / 2, class: tone, "font-size": side / 24}, level));
    }
    if (hidden.has("boxes")) return;
    for (const [left, top, right, bottom] of study.boxes[seen] || [])
      over.append(shape("rect", {x: left * side, y: top * side, width: (right - left) * side,
        height: (bottom - top) * side, class: "box"}));
  }

  function fillNumbers() {
    LEVELS.forEach((name, level) => {
      one(`.head[data-level="${name}"] .now`).textContent = number(at("probability", level, z));
      const cells = one(`tr[data-level="${name}"]`).cells;
      const label = at("label", level, z), truth = at("truth", level, z), shown = at("shown", level, z);
      cells[1].textContent = number(at("probability", level, z));
      cells[2].textContent = shown === null ? "–" : shown === 1 ? "yes" : shown === 0 ? "no" : number(shown);
      cells[3].textContent = label !== null ? `${label >= 0.5 ? "fractured" : "whole"} (${study.source[z]})`
        : study.source[z] ? `unknown (${study.source[z]})` : "–";
      cells[4].textContent = number(at("pseudo", level, z));
      cells[5].textContent = truth === null ? "–" : truth >= 0.5 ? "fractured" : "whole";
    });
  }

  // Runs of equal values of a column of slices: [first, past the last, value], unknown ones left out.
  function* runs(values) {
    for (let first = 0, end = 1; first < values.length; first = end++) {
      while (end < values.length && values[end] === values[first]) end++;
      if (values[first] !== null) yield [first, end, values[first]];
    }
  }

  function drawLanes() {
    const lanes = one("svg.lanes"), slices = study.files.length;
    lanes.setAttribute("viewBox", `0 0 ${LANE * LEVELS.length} ${slices}`);
    lanes.replaceChildren();
    const bar = (x, width, first, end, kind, opacity) => lanes.append(shape("rect",
      {x, width, y: first, height: end - first, class: kind, "fill-opacity": opacity}));
    LEVELS.forEach((name, level) => {
      const left = level * LANE, [zero, full] = CURVE;
      const shown = (study.said.shown || [])[level] || [];
      for (const [first, end, value] of runs(shown.map(v => v === null ? null : Math.round(v * 20) / 20)))
        if (value > 0) bar(left, LANE - 2, first, end, "view", 0.13 * value);
      for (const x of [zero, full]) lanes.append(shape("path", {d: `M${left + x} 0V${slices}`, class: "rule"}));
      for (const what of Object.keys(STRIPS).filter(what => study.said[what]))
        for (const [first, end, value] of runs(study.said[what][level])) {
          const kind = value > 0 ? what : "none";  // known to be whole is a pale track, unknown is empty
          bar(left + STRIPS[what], STRIP, first, end, kind, value > 0 ? Math.max(value, 0.15) : 0.15);
        }
      if (!study.said.probability) return;
      let path = `M${left + zero} 0`;
      study.said.probability[level].forEach((value, slice) => {
        path += `H${(left + zero + (full - zero) * (value || 0)).toFixed(1)}V${slice + 1}`;
      });
      lanes.append(shape("path", {d: `${path}H${left + zero}Z`, class: "curve"}));
    });
  }

  function drawSection() {
    const section = one(".section");
    const old = one(".section img");
    if (old) old.remove();
    section.hidden = !study.section;
    if (study.section) section.prepend(element("img", {src: data(study.section), alt: ""}));
    one(".right").style.setProperty("--aspect", study.aspect);
    const boxed = one("svg.boxed");
    boxed.setAttribute("viewBox", `0 0 10 ${study.files.length}`);
    boxed.replaceChildren(...study.source.flatMap((kind, slice) =>
      kind === "box" ? [shape("rect", {x: 0, y: slice, width: 10, height: 1, class: "label"})] : []));
  }

  function offerToggles() {
    const levels = [...LEVELS, "T"].filter(level => Object.values(study.outlines).some(drawn => level in drawn));
    const named = Object.keys(study.boxes).length ? [["boxes", "boxes"]] : [];
    one(".toggles").replaceChildren(...[...named, ...levels.map(level => [level, level])].map(([what, text]) => {
      const label = element("label"), box = element("input", {type: "checkbox", name: what});
      box.checked = !hidden.has(what);
      box.addEventListener("change", () => {
        if (box.checked) hidden.delete(what); else hidden.add(what);
        drawOver(study.nearest[z]);
      });
      label.append(box, ` ${text}`);
      return label;
    }));
    one(".drawn").hidden = !one(".toggles").children.length;
  }

  function offerJumps() {
    one(".jumps").replaceChildren(...study.jumps.map(([text, slice]) => {
      const button = element("button", {type: "button"}, text);
      button.addEventListener("click", () => show(slice));
      return button;
    }));
  }

  pick.addEventListener("change", () => open(Number(pick.value)));
  one(".back").addEventListener("click", () => open(Number(pick.value) - 1));
  one(".on").addEventListener("click", () => open(Number(pick.value) + 1));
  slider.addEventListener("input", () => show(Number(slider.value)));
  for (const head of root.querySelectorAll(".head"))
    head.addEventListener("click", () => {
      const values = study.said.probability && study.said.probability[LEVELS.indexOf(head.dataset.level)];
      if (values) show(values.reduce((best, value, slice) => (value || 0) > (values[best] || 0) ? slice : best, 0));
    });
  root.addEventListener("keydown", event => {
    if (event.target === pick || event.altKey || event.ctrlKey || event.metaKey || !(event.key in KEYS)) return;
    event.preventDefault();
    show(z + KEYS[event.key]);
  });
  frame.addEventListener("wheel", event => {  // only of who chose the picture: the page scrolls otherwise
    if (document.activeElement !== frame) return;
    event.preventDefault();
    show(z + Math.sign(event.deltaY));
  }, {passive: false});
  const pointed = event => {
    const box = chart.getBoundingClientRect();
    show(Math.floor((event.clientY - box.top) / box.height * study.files.length));
  };
  chart.addEventListener("pointerdown", event => { chart.setPointerCapture(event.pointerId); pointed(event); });
  chart.addEventListener("pointermove", event => { if (event.buttons) pointed(event); });

  one(".stills").hidden = true;
  one(".desk").hidden = false;
  open(0);
})();
"""
