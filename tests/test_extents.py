"""How much a slice shows of each vertebra and where, and what a localizer is taught of it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cspine.localization.columns import BOX, MIDDLE, OUTPUTS, OWN_BOX, PIXELS, RATIO
from cspine.localization.targets import localized_by_masks
from cspine.masks.extents import COLUMNS, extent_of
from cspine.studies import PRESENCE, UID


def extent(labels: np.ndarray) -> dict[str, float]:
    return dict(zip(COLUMNS, extent_of(labels.astype(np.uint8)).tolist(), strict=True))


def test_voxels_box_and_middles_are_those_of_the_labels_in_shares_of_the_slice() -> None:
    labels = np.zeros((20, 40), int)
    labels[2:4, 10:14] = 2
    labels[9, 30] = 3
    labels[10:12, 4:6] = 8  # T1
    labels[12, 4] = 10  # T3
    found = extent(labels)
    assert {name: found[name] for name in PIXELS if found[name]} == {"pixels_C2": 8, "pixels_C3": 1, "pixels_T": 5}
    assert [found[name] for name in BOX] == [4 / 40, 2 / 20, 31 / 40, 13 / 20]
    assert [found["middle_C2_x"], found["middle_C2_y"]] == pytest.approx([12 / 40, 3 / 20])
    assert [found["middle_C3_x"], found["middle_C3_y"]] == pytest.approx([30.5 / 40, 9.5 / 20])
    assert np.isnan([found[name] for name in MIDDLE if "C2" not in name and "C3" not in name]).all()


def test_a_vertebras_own_box_holds_its_voxels_and_no_others() -> None:
    labels = np.zeros((20, 40), int)
    labels[2:4, 10:14] = 2
    labels[3, 20] = 2
    labels[9, 30] = 3
    labels[10:12, 4:6] = 8  # T1
    found = extent(labels)
    assert [found[f"box_C2_{corner}"] for corner in ("x0", "y0", "x1", "y1")] == [10 / 40, 2 / 20, 21 / 40, 4 / 20]
    assert [found[f"box_C3_{corner}"] for corner in ("x0", "y0", "x1", "y1")] == [30 / 40, 9 / 20, 31 / 40, 10 / 20]
    assert np.isnan([found[name] for name in OWN_BOX if "C2" not in name and "C3" not in name]).all()


def test_a_slice_without_a_label_has_no_box_and_no_middle_but_counts_of_nothing() -> None:
    found = extent(np.zeros((8, 8)))
    assert [found[name] for name in PIXELS] == [0] * 8
    assert np.isnan([found[name] for name in (*BOX, *MIDDLE, *OWN_BOX)]).all()


def test_a_ratio_is_the_share_of_the_most_voxels_in_a_slice_of_the_same_study() -> None:
    table = pd.DataFrame({UID: ["1", "1", "1", "2"], "slice_number": [1, 2, 3, 1], "z_index": [0, 1, 2, 0]})
    table[list(COLUMNS)] = np.nan
    table[list(PIXELS)] = 0
    table["pixels_C3"] = [10, 40, 0, 3]
    table["pixels_T"] = [0, 0, 8, 0]
    found = localized_by_masks(table)
    assert found["ratio_C3"].tolist() == pytest.approx([0.25, 1.0, 0.0, 1.0])
    assert found["present_C3"].tolist() == [1, 1, 0, 1] and found["ratio_T"].tolist() == [0, 0, 1, 0]
    assert found[[*PRESENCE, *RATIO]].notna().all(axis=None) and set(OUTPUTS) < set(found.columns)
    assert (found[list(OUTPUTS)].dtypes == np.float32).all()
