"""A study's mask as the people who drew the real ones left them: thoracic levels missing, islands of wrong labels."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cspine.hashing import seed_of
from cspine.phantom.plans import PhantomConfig, StudyPlan
from cspine.phantom.rendering import Rendered
from cspine.studies import VERTEBRAE

ISLANDS = 2  # in a mask with stray labels
ISLAND_PIXELS = 3  # at most, side by side; ASSUME: a slip of the pen
LEVELS_APART = 3  # at least between the vertebra that holds an island and the one that the island is labelled


def drawn_mask(plan: StudyPlan, rendered: Rendered, config: PhantomConfig) -> npt.NDArray[np.uint8]:
    """The labels in the mask's file, (slices, rows, columns) from the head; ``rendered`` keeps the true ones."""
    labels = rendered.labels.copy()
    labels[labels > len(VERTEBRAE) + plan.mask_thoracic] = 0
    if plan.mask_strays:
        _add_strays(labels, np.random.default_rng(seed_of("phantom", "mask", config.seed, plan.index)))
    return labels


def _add_strays(labels: npt.NDArray[np.uint8], rng: np.random.Generator) -> None:
    """Relabel a few pixels of one slice of a vertebra as one far away, out of the order from head to feet."""
    drawn = labels.copy()
    present = [level for level in range(1, len(VERTEBRAE) + 1) if (drawn == level).any()]
    pairs = [(own, other) for own in present for other in present if abs(own - other) >= LEVELS_APART]
    for own, wrong in rng.permutation(pairs)[:ISLANDS]:
        plane, row, column = rng.choice(np.argwhere(drawn == own))
        island = drawn[plane, row, column : column + ISLAND_PIXELS] == own
        labels[plane, row, column : column + ISLAND_PIXELS][island] = wrong
