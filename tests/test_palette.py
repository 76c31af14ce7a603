"""The palette: what is drawn stands out from its paper, and stays apart for colour-blind eyes."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from cspine.metric import Floats
from cspine.page_texts import STYLE
from cspine.palette import COLOURS, DARK, LIGHT, PRINTED

BACKGROUND = {"paper", "line", "band"}
LEAST_CONTRAST = 3.0  # WCAG 2.1, graphical objects
LEAST_DIFFERENCE = 10.0  # CIE 1976: 2.3 is just noticed
#: Machado, Oliveira and Fernandes 2009, severity 1, on linear RGB
BLIND = {
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
}
TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
WHITE = TO_XYZ.sum(axis=1)


def linear(colour: str) -> Floats:
    parts = np.array(to_rgb(colour))
    return np.asarray(np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4))


def contrast(one: str, other: str) -> float:
    dark, light = sorted(float(TO_XYZ[1] @ linear(colour)) for colour in (one, other))
    return (light + 0.05) / (dark + 0.05)


def lab(light: Floats) -> Floats:
    share = TO_XYZ @ np.clip(light, 0, 1) / WHITE
    x, y, z = np.where(share > 0.008856, np.cbrt(share), 7.787 * share + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("colours", [LIGHT, DARK, LIGHT | PRINTED], ids=["light", "dark", "print"])
def test_everything_drawn_stands_out_from_its_paper(colours: dict[str, str]) -> None:
    faint = [
        name
        for name in COLOURS
        if name not in BACKGROUND and contrast(colours[name], colours["paper"]) < LEAST_CONTRAST
    ]
    assert not faint


@pytest.mark.parametrize("sight", BLIND)
@pytest.mark.parametrize("colours", [LIGHT, DARK], ids=["light", "dark"])
def test_series_and_neighbouring_vertebrae_differ_for_colour_blind_eyes(colours: dict[str, str], sight: str) -> None:
    seen = {name: lab(np.array(BLIND[sight]) @ linear(colour)) for name, colour in colours.items()}
    pairs = list(combinations(("first", "second", "third", "fourth"), 2)) + [
        (f"c{i}", f"c{i + 1}") for i in range(1, 7)
    ]
    near = {pair: float(np.linalg.norm(seen[pair[0]] - seen[pair[1]])) for pair in pairs}
    assert min(near.values()) >= LEAST_DIFFERENCE, near


def test_no_two_light_colours_are_equal_or_a_figure_could_not_be_told_into_the_page() -> None:
    assert len(set(LIGHT.values())) == len(LIGHT)


def test_the_page_has_every_colour_as_a_variable_in_both_schemes_and_in_print() -> None:
    for name in COLOURS:
        assert STYLE.count(f"--{name}: ") == 3, name
