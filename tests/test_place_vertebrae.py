"""Which slices stand for a vertebra, and where a place in the stored slice comes to lie in what the network reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from cspine.errors import CspineError
from cspine.localization.columns import BOX, OWN_BOX, RATIO
from cspine.stages.place_vertebrae import PlaceVertebraeConfig, place_vertebrae
from cspine.studies import UID, VERTEBRAE
from cspine.tables import read_table, write_table
from cspine.vertebrae.boxes import boxes_in_crop, nearest_known, squared
from cspine.vertebrae.choosing import chosen_slices, evenly
from cspine.vertebrae.crops import cut
from cspine.views import fields
from cspine.views.fields import Place

COUNT = 4  # slices looked at
DEPTH = 21  # slices of a study: three to each vertebra, the middle one with all of it
ROWS, COLUMNS = 100, 200
NAN = float("nan")


# ----------------------------------------------------------------------------------------------------- the slices


def test_slices_with_more_than_the_ratio_are_taken_evenly_from_head_to_feet() -> None:
    ratios = np.concatenate([np.zeros(5), np.full(48, 0.8), np.full(10, 0.5)])
    chosen, showing = chosen_slices(ratios, 0.5, 24)
    assert showing == 48 and chosen.tolist() == list(range(6, 54, 2))


@pytest.mark.parametrize(("there", "each"), [(24, 1), (12, 2), (8, 3), (1, 24)])
def test_fewer_slices_are_repeated_evenly(there: int, each: int) -> None:
    ratios = np.concatenate([np.full(3, 0.1), np.full(there, 0.9)])
    chosen, showing = chosen_slices(ratios, 0.5, 24)
    assert showing == there and chosen.tolist() == np.repeat(np.arange(3, 3 + there), each).tolist()


def test_a_number_that_does_not_go_in_differs_by_one_repetition_at_most() -> None:
    counts = np.bincount(evenly(np.arange(7), 24))
    assert counts.sum() == 24 and set(counts) == {3, 4}


def test_a_vertebra_that_no_slice_shows_has_the_slices_of_the_highest_ratio_in_their_order() -> None:
    ratios = np.array([0.1, 0.5, 0.2, NAN, 0.4, 0.3])
    chosen, showing = chosen_slices(ratios, 0.5, 3)
    assert showing == 0 and chosen.tolist() == [1, 4, 5]


# ------------------------------------------------------------------------------------------------------ the squares


@pytest.mark.parametrize("side", [64, 65])
@pytest.mark.parametrize(("x", "y"), [(0.5, 0.5), (0.1, 0.93), (0.333, 0.5)])
def test_a_marked_pixel_lands_where_the_box_says_in_what_the_network_reads(side: int, x: float, y: float) -> None:
    stored = np.zeros((ROWS, COLUMNS), np.uint8)
    row, column = round(y * ROWS) - 3, round(x * COLUMNS) + 2
    stored[row, column] = 255
    crop = Place(x, y, side)
    view = fields.cut(stored, crop, side)  # as the cache of the crop view has it
    box = np.array([[(column - 4) / COLUMNS, (row - 6) / ROWS, (column + 12) / COLUMNS, (row + 10) / ROWS]])
    (found,) = boxes_in_crop(box, np.array([[ROWS, COLUMNS]]), crop)
    read = cut(view, found.astype(np.float32), 16)  # 16 pixels of the box: nothing is resampled
    assert np.argwhere(read == 255).tolist() == [[6, 4]]


def test_what_lies_beyond_the_view_is_the_windows_floor() -> None:
    image = np.full((20, 20), 200, np.uint8)
    read = cut(image, np.array([-0.5, 0.25, 0.5, 1.25], np.float32), 20)
    assert (read[:15, 10:] == 200).all() and not read[:, :10].any() and not read[15:].any()
    assert not cut(image, np.array([1.5, 1.5, 2.0, 2.0], np.float32), 8).any()


def test_shrinking_takes_means_and_growing_keeps_the_grey_levels() -> None:
    checks = np.indices((16, 16)).sum(0) % 2 * np.uint8(200)
    whole = np.array([0, 0, 1, 1], np.float32)
    assert (cut(checks.astype(np.uint8), whole, 8) == 100).all()
    assert (cut(np.full((4, 4), 77, np.uint8), whole, 16) == 77).all()


def test_a_square_has_the_boxes_middle_its_longer_side_and_the_margin() -> None:
    assert squared(np.array([[0.2, 0.4, 0.6, 0.5]]), 0.25)[0] == pytest.approx([0.1, 0.15, 0.7, 0.75])


def test_a_slice_without_a_box_has_that_of_the_nearest_slice_with_one() -> None:
    boxes = np.full((6, 4), NAN)
    boxes[1], boxes[4] = 0.1, 0.4
    assert nearest_known(boxes, np.array([0, 2, 3, 5]))[:, 0].tolist() == [0.1, 0.1, 0.4, 0.4]
    assert np.isnan(nearest_known(np.full((3, 4), NAN), np.array([0, 2]))).all()


# -------------------------------------------------------------------------------------------------------- the stage


def localization(uid: str, cohort: Any = "train", **columns: Any) -> pd.DataFrame:
    """A localizer that sees three slices of each vertebra, each with a box inside that of all."""
    table = pd.DataFrame({"cohort": cohort, UID: uid, "z_index": np.arange(DEPTH), "source": "predicted"})
    table[[*RATIO, *BOX, *OWN_BOX]] = NAN
    for number, vertebra in enumerate(VERTEBRAE):
        table[f"ratio_{vertebra}"] = np.where(table["z_index"] // 3 == number, 0.9, 0.0)
        own = table["z_index"] // 3 == number
        for corner, at in zip(("x0", "y0", "x1", "y1"), (0.45, 0.4, 0.55, 0.6), strict=True):
            table.loc[own, f"box_{vertebra}_{corner}"] = at
            table.loc[:, f"box_{corner}"] = {"x0": 0.4, "y0": 0.3, "x1": 0.6, "y1": 0.7}[corner]
    return table.assign(**columns)


def write_inputs(folder: Path, tables: list[pd.DataFrame], first: int = 0, last: int = DEPTH - 1) -> None:
    table = pd.concat(tables, ignore_index=True)
    write_table(table, folder / "localization.parquet")
    index = table.loc[table["source"] == "predicted", ["cohort", UID, "z_index"]]
    write_table(index.assign(rows=ROWS, columns=COLUMNS), folder / "slices.parquet")
    crops = index[["cohort", UID]].drop_duplicates()
    crops = crops.assign(first_z=first, last_z=last, x=0.5, y=0.5, side=100, found=True)
    write_table(crops, folder / "crops.parquet")


def place(folder: Path, **changes: Any) -> pd.DataFrame:
    settings: dict[str, Any] = {"fold": 0, "slices": COUNT, "ratio": 0.5, "box": "slice", "margin": 0.0}
    config = PlaceVertebraeConfig(**(settings | changes))
    localization, crops, slices = (folder / f"{name}.parquet" for name in ("localization", "crops", "slices"))
    place_vertebrae(localization, crops, slices, folder / "vertebrae.parquet", config=config)
    return read_table(folder / "vertebrae.parquet")


def test_every_readable_study_has_seven_vertebrae_with_as_many_slices_each(tmp_path: Path) -> None:
    write_inputs(tmp_path, [localization("1.1"), localization("1.0"), localization("1.0", "test")])
    table = place(tmp_path)
    assert table[["cohort", UID]].drop_duplicates().to_numpy().tolist() == [
        ["test", "1.0"],
        ["train", "1.0"],
        ["train", "1.1"],
    ]
    assert table["vertebra"].tolist() == list(VERTEBRAE) * 3 and table["found"].all() and (table["slices"] == 3).all()
    assert all(len(values) == COUNT for name in ("z_indices", "x0", "y0", "x1", "y1") for values in table[name])
    assert table["z_indices"][1].tolist() == [3, 4, 4, 5] and table["z_indices"][1].dtype == np.int32


def test_z_counts_from_the_crops_first_slice_and_none_beyond_it_is_chosen(tmp_path: Path) -> None:
    write_inputs(tmp_path, [localization("1.0")], first=4, last=17)
    table = place(tmp_path)
    z_indices = dict(zip(table["vertebra"], table["z_indices"].map(list), strict=True))
    found = dict(zip(table["vertebra"], table["found"], strict=True))
    assert z_indices["C2"] == [0, 0, 1, 1] and z_indices["C3"] == [2, 3, 3, 4]
    assert found == dict.fromkeys(VERTEBRAE, True) | {"C1": False, "C7": False}
    assert all(0 <= z <= 13 for values in table["z_indices"] for z in values)


@pytest.mark.parametrize(("box", "wanted"), [("slice", [0.3, 0.3, 0.7, 0.7]), ("vertebra", [0.4, 0.4, 0.6, 0.6])])
def test_the_square_is_around_all_vertebrae_or_the_vertebras_own_box(
    tmp_path: Path, box: str, wanted: list[float]
) -> None:
    write_inputs(tmp_path, [localization("1.0")])
    row = place(tmp_path, box=box).iloc[2]
    assert [row[name][0] for name in ("x0", "y0", "x1", "y1")] == pytest.approx(wanted)


def test_only_predictions_are_read_and_no_mask(tmp_path: Path) -> None:
    predicted = localization("1.0")
    mask = predicted.assign(source="mask", **dict.fromkeys(BOX, 0.9), **dict.fromkeys(RATIO, 0.0))
    write_inputs(tmp_path, [predicted])
    alone = place(tmp_path)
    write_inputs(tmp_path, [mask, predicted])
    pd.testing.assert_frame_equal(place(tmp_path), alone)


def test_a_vertebra_that_was_not_found_is_counted_and_keeps_its_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lost = localization("1.0", ratio_C3=np.linspace(0.0, 0.4, DEPTH), **dict.fromkeys([*BOX, *OWN_BOX], NAN))
    write_inputs(tmp_path, [lost, localization("1.1")])
    table = place(tmp_path, box="vertebra")
    row = table.iloc[2]
    assert not row["found"] and row["slices"] == 0 and row["z_indices"].tolist() == [17, 18, 19, 20]
    assert [row[name][0] for name in ("x0", "y0", "x1", "y1")] == [0, 0, 1, 1]  # no box anywhere: the whole view
    assert "2 studies; not found" in (text := "".join(capsys.readouterr())) and text.rstrip().endswith("C3 1")


def test_a_localizer_that_cannot_tell_is_answered_with_one_that_can(tmp_path: Path) -> None:
    write_inputs(tmp_path, [localization("1.0", **dict.fromkeys(OWN_BOX, NAN))])
    with pytest.raises(CspineError, match=r"box_C1_x0\.\.box_C7_y1 are unknown .* family volume_segmenter"):
        place(tmp_path, box="vertebra")
    write_inputs(tmp_path, [localization("1.0", **dict.fromkeys(RATIO, NAN))])
    with pytest.raises(CspineError, match=r"ratio_C1\.\.ratio_C7 are unknown .* slice_localizer or volume_segmenter"):
        place(tmp_path)


def test_a_study_without_a_crop_is_named(tmp_path: Path) -> None:
    write_inputs(tmp_path, [localization("1.0"), localization("1.1")])
    crops = read_table(tmp_path / "crops.parquet")
    write_table(crops[crops[UID] == "1.0"], tmp_path / "crops.parquet")
    with pytest.raises(CspineError, match=r"no row for study 1\.1 of cohort train"):
        place(tmp_path)
