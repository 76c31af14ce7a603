"""Localizers side by side: each figure is that of hand-made answers, on the studies and rows it says it is of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from cspine.bootstrap import multiplicities, resamples
from cspine.commands.provenance import provenance
from cspine.localization.columns import BOX, DICE, OUTPUTS, RATIO, SHOWN
from cspine.localization.measures import box_overlap, compared, measured
from cspine.model_headers import METADATA
from cspine.stages.compare_localizers import ComparisonConfig, compare_localizers
from cspine.studies import PRESENCE, UID, VERTEBRAE
from cspine.tables import read_table, write_table

SLICES = 14  # of a study: two of each vertebra
STUDIES = [f"1.{n}" for n in range(6)]
HELD_OUT = STUDIES[4:]


def truth(uid: str) -> pd.DataFrame:
    shown = np.eye(7).repeat(2, axis=0)
    table = pd.DataFrame({"cohort": "train", UID: uid, "slice_number": range(SLICES), "z_index": range(SLICES)})
    table[list(OUTPUTS)] = np.nan
    table[list(PRESENCE)], table[list(SHOWN)] = shown, shown.astype(np.int8)
    table[list(RATIO)] = np.column_stack([shown * 0.5, np.zeros(SLICES)])
    table[list(BOX)] = [0.2, 0.2, 0.6, 0.6]
    return table.assign(source="mask")


def localization(**changes: Any) -> pd.DataFrame:
    """Masks of all STUDIES and predictions that agree with them, but for ``changes`` of the predictions."""
    masks = pd.concat([truth(uid) for uid in STUDIES], ignore_index=True)
    other = truth("2.0").assign(source="predicted")  # without a mask
    said = masks.assign(source="predicted", **changes)
    return pd.concat([masks, said, other, other.assign(cohort="test")], ignore_index=True)


def no_dice() -> pd.DataFrame:
    return pd.DataFrame({"cohort": "train", UID: STUDIES}).assign(**dict.fromkeys(DICE, np.nan))


def figures(table: pd.DataFrame, uids: list[str] = STUDIES, dice: pd.DataFrame | None = None) -> dict[str, Any]:
    these = compared([table], [set(uids)], no_dice() if dice is None else dice)
    counts = multiplicities(resamples(len(uids), 50, 0))
    return {f"{name} {level}".strip(): found.estimate() for name, level, found in measured(these, counts)}


def test_who_agrees_with_every_mask_is_perfect_in_every_measure() -> None:
    found = figures(localization())
    perfect = {"presence_auc mean", "presence_f1 C3", "ordered_f1 mean", "box_iou"}
    assert {name: found[name].value for name in perfect} == dict.fromkeys(perfect, 1.0)
    flawless = ("ratio_error mean", "violations", "violations_ordered")
    assert [found[name].value for name in flawless] == [0, 0, 0]
    assert np.isnan(found["ratio_error T"].value)  # no slice shows a thoracic vertebra
    assert not [name for name in found if name.startswith("dice")]


def test_presence_without_an_order_is_counted_before_and_after_the_clean_up() -> None:
    table = localization()
    wrong = (table["source"] == "predicted") & (table[UID] == STUDIES[0]) & (table["z_index"] == 13)
    table.loc[wrong, "present_C2"] = 0.9  # C2 again, in the last slice of C7
    found = figures(table)
    assert found["violations"].value == pytest.approx(2 / 6) and found["violations_ordered"].value == 0
    assert found["presence_f1 C2"].value == pytest.approx(24 / 25) and found["ordered_f1 C2"].value == 1
    assert found["violations"].low == 0 < found["violations"].high  # some resamples lack that study


def test_a_ratio_error_is_over_slices_that_show_the_level_and_a_missing_box_overlaps_nothing() -> None:
    table = localization(ratio_C1=0.3, ratio_C5=0.0)
    boxless = (table["source"] == "predicted") & (table["z_index"] < 7)
    table.loc[boxless, list(BOX)] = np.nan
    found = figures(table)
    assert found["ratio_error C1"].value == pytest.approx(0.2) and found["ratio_error C5"].value == pytest.approx(0.5)
    assert found["ratio_error mean"].value == pytest.approx(0.1) and found["box_iou"].value == 0.5


def test_the_overlap_of_boxes_is_intersection_over_union() -> None:
    one = np.array([[0, 0, 2, 2], [0, 0, 1, 1], [0, 0, 1, 1], [0, 0, 2, 2.0]])
    other = np.array([[1, 1, 3, 3], [2, 2, 3, 3], [np.nan] * 4, [0, 0, 2, 1]])
    assert box_overlap(one, other).tolist() == pytest.approx([1 / 7, 0, np.nan, 0.5], nan_ok=True)


def test_who_says_presence_only_has_no_figure_of_ratio_and_box() -> None:
    said = dict.fromkeys([*RATIO, *BOX], np.nan)
    names = {name.split()[0] for name in figures(localization(**said))}
    assert names == {"presence_auc", "presence_f1", "ordered_f1", "violations", "violations_ordered"}


def test_dice_is_the_mean_over_the_studies_of_which_it_is_known() -> None:
    dice = no_dice()
    dice.loc[0, "dice_C1"], dice.loc[1, "dice_C1"] = 0.6, 0.8
    assert figures(localization(), dice=dice)["dice C1"].value == pytest.approx(0.7)


def test_a_study_that_two_folds_predicted_is_one_study_of_the_resamples() -> None:
    these = compared([localization(), localization()], [set(STUDIES), set(HELD_OUT)], no_dice())
    assert these.uids == STUDIES and len(these.truth) == 8 * SLICES and len(these.stacks) == 8
    assert np.bincount(these.study).tolist() == [SLICES] * 4 + [2 * SLICES] * 2


@pytest.fixture
def comparison(tmp_path: Path) -> tuple[pd.DataFrame, str]:
    """Two localizers, of which one says presence only; two inner models each."""
    from safetensors.numpy import save_file

    roles = [(0, uid, "heldout" if uid in HELD_OUT else "train") for uid in STUDIES]
    write_table(pd.DataFrame(roles, columns=["fold", UID, "role"]), tmp_path / "folds.parquet")
    write_table(localization(), tmp_path / "all.parquet")
    write_table(localization(**dict.fromkeys([*RATIO, *BOX], np.nan)), tmp_path / "presence.parquet")
    models, studies = [], []
    for number in range(4):
        models.append(tmp_path / f"{number}.safetensors")
        save_file({"w": np.zeros(1)}, models[-1], {METADATA: f'{{"trained_weights": {1000 + 1000 * (number // 2)}}}'})
        studies.append(tmp_path / f"{number}.parquet")
        write_table(no_dice(), studies[-1])
    config = ComparisonConfig(["box_ratio", "presence"], [0], bootstrap=20)
    out = tmp_path / "comparison.parquet", tmp_path / "comparison.txt"
    tables = [tmp_path / "all.parquet", tmp_path / "presence.parquet"]
    compare_localizers(tables, models, studies, tmp_path / "folds.parquet", *out, config=config)
    return read_table(out[0]), out[1].read_text(encoding="utf-8")


def test_the_table_says_what_it_may_claim_and_of_how_many_studies(comparison: tuple[pd.DataFrame, str]) -> None:
    table, text = comparison
    assert "PHANTOM" in text and "demo: too small to rank methods" in text
    few = "\ntoo few to measure: fewer than 20 studies\n"
    assert f"taught it: 6 studies, 84 slices{few}" in text and f"its models: 2 studies, 28 slices{few}" in text
    sizes = table[table["measure"] == "box_iou"].set_index("cohort")[["studies", "slices"]]
    assert sizes.loc[["segmented", "heldout"]].to_numpy().tolist() == [[6, 84], [2, 28]]
    assert max(map(len, text.splitlines())) <= 100


def test_a_localizer_stands_beside_the_other_and_a_head_it_lacks_is_no_figure(
    comparison: tuple[pd.DataFrame, str],
) -> None:
    table, text = comparison
    assert set(table.loc[table["measure"] == "box_iou", "localizer"]) == {"box_ratio"}
    lines = {line[:32].strip(): line[32:].split() for line in text.splitlines() if line[32:].strip()}
    assert lines["box overlap (IoU)"][-1] == "--" and lines["Dice, mean of C1..C7"] == ["--", "--"]
    assert lines["trained weights"] == ["1,000", "2,000"]
    assert [name for name in VERTEBRAE if lines[name] == ["1.000", "/", "1.000"] * 2] == list(VERTEBRAE)


def test_the_costs_say_what_a_localizer_took_and_a_study_takes(tmp_path: Path) -> None:
    write_table(no_dice(), tmp_path / "studies.parquet")
    shared = {"versions": {}, "device": "cpu", "folder": tmp_path}
    records = [
        {"stage": "train", "at": f"localizer=box_ratio,fold=0,inner={n}", "costs": {"seconds": 20.0}, **shared}
        for n in range(2)
    ]
    predicted = {"stage": "predict_localizer", "at": "localizer=box_ratio,fold=0,inner=0", "costs": {"seconds": 12.0}}
    lines = provenance([*records, {**predicted, **shared, "places": {"studies": [tmp_path / "studies.parquet"]}}])
    words = "- localizer box_ratio: 40 s of training, 2.00 s a study and model, start of the process included"
    assert words in lines
