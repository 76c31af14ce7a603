"""Crops: the slices that show the cervical spine, in a square around it, as the localizer of a fold predicts them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from cspine.cache.encodings import read_encoding
from cspine.cache.reading import SliceCache
from cspine.cache.shards import read_metadata
from cspine.errors import CspineError
from cspine.localization.columns import BOX, SHOWN
from cspine.stages import ingest_crops as stage
from cspine.stages.ingest_crops import CropsConfig, ingest_crops
from cspine.stages.place_crops import PlaceCropsConfig, place_crops
from cspine.stages.plan_crops import PlanCropsConfig, plan_crops
from cspine.studies import UID
from cspine.tables import read_table, write_table
from cspine.views.crop_places import place_of
from cspine.views.crop_rows import CropJob, read_part
from cspine.views.fields import Place, cut
from cspine.views.places import in_slice
from cspine.views.windows import apply_window
from dicom_makers import neck, write_csv, write_study
from small_caches import encoding_file

PIXELS = 16
HEIGHTS = {"down": [-float(z) for z in range(10)], "up": [float(z) for z in range(10)], "none": [0.0, -1.0, -2.0]}
CONFIG = PlaceCropsConfig("crop", PIXELS, 0.0)


def raw(folder: Path) -> Path:
    """Studies of 32 x 32 pixels in train_images: `down` numbered from the head, `up` from the feet, `none` no neck."""
    for uid, heights in HEIGHTS.items():
        write_study(folder / "raw" / "train_images" / uid, heights)
    write_study(folder / "raw" / "train_images" / "bad", [0], Modality="US")
    return folder / "raw"


def index_of(folder: Path) -> Path:
    rows = []
    for uid, heights in HEIGHTS.items():
        numbers = np.argsort(-np.array(heights), kind="stable") + 1
        rows += [
            {"cohort": "train", UID: uid, "slice_number": int(n), "z_index": z, "rows": 32, "columns": 32}
            for z, n in enumerate(numbers)
        ]
    write_table(pd.DataFrame(rows), folder / "slices.parquet")
    return folder / "slices.parquet"


def localized(folder: Path, source: str = "predicted", box: tuple[float, ...] = (0.25, 0.5, 0.5, 0.75)) -> pd.DataFrame:
    """`down` and `up` show the neck in slices 3 to 6, `none` nowhere."""
    index = read_table(index_of(folder))
    table = index[["cohort", UID, "slice_number", "z_index"]].assign(source=source)
    shown = (table[UID] != "none") & table["z_index"].between(3, 6)
    table = table.assign(**{name: 0 for name in SHOWN}).assign(shown_C4=shown.astype(int))
    return table.assign(**{name: np.where(shown, at, np.nan) for name, at in zip(BOX, box, strict=True)})


def place(folder: Path, table: pd.DataFrame, config: PlaceCropsConfig = CONFIG) -> Any:
    """crops.parquet by study (untyped: pandas' types do not know what a row holds)."""
    write_table(table, folder / "localization.parquet")
    place_crops(folder / "localization.parquet", folder / "slices.parquet", folder / "crops.parquet", config=config)
    return read_table(folder / "crops.parquet").set_index(UID)


def listing(root: Path, path: Path) -> Path:
    files = sorted((root / "train_images").rglob("*.dcm"))
    rows = [{UID: f.parent.name, "file": f.name, "size": f.stat().st_size} for f in files]
    write_csv(path, (UID, "file", "size", "digest"), rows)
    return path


def ingested(tmp_path: Path, root: Path, out: str = "out", pixels: int = PIXELS) -> Path:
    folder = tmp_path / out
    folder.mkdir()
    tables = {name: folder / f"{name}.parquet" for name in ("shard", "findings")}
    inventory = listing(root, tmp_path / "list.csv")
    ingest_crops(
        root,
        inventory,
        tmp_path / "slices.parquet",
        tmp_path / "crops.parquet",
        encoding_file(folder, pixels),
        **tables,
        config=CropsConfig(),
    )
    return folder


# ---------------------------------------------------------------------------------------------------- the square


def test_a_square_of_the_views_pixels_is_the_slice_pixel_by_pixel() -> None:
    levels = apply_window(neck(3.0), 400, 2000)
    assert np.array_equal(cut(levels, Place(0.5, 0.625, 16), 16), levels[12:28, 8:24])
    assert np.array_equal(cut(levels, Place(0.5, 0.5, 32), 32), levels)


def test_beyond_the_slice_is_the_floor() -> None:
    levels = np.full((32, 20), 200, np.uint8)
    square = cut(levels, Place(0.0, 1.0, 16), 16)
    assert (square[:8, 8:] == 200).all() and square.sum() == 200 * 64
    assert not cut(levels, Place(3.0, 3.0, 16), 16).any()


def test_a_larger_square_is_shrunk_by_area_means() -> None:
    levels = np.zeros((32, 32), np.uint8)
    levels[::2, ::2] = 200
    assert (cut(levels, Place(0.5, 0.5, 32), 16) == 50).all()


@pytest.mark.parametrize("size", [(32, 32), (33, 47), (512, 768)])
def test_places_follow_their_pixels_into_the_crop(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(3)
    rows, columns = size
    square = Place(0.4, 0.6, 16)
    top, left = square.corner(rows, columns)
    for row, column in rng.integers(0, 16, (5, 2)).tolist():
        stored = np.array([[[(left + column + 0.5) / columns, (top + row + 0.5) / rows]]])
        found = square.in_crop(stored, np.array([size]))
        assert found.ravel() == pytest.approx([(column + 0.5) / 16, (row + 0.5) / 16])
    assert np.isnan(square.in_crop(np.full((1, 2, 2), np.nan), np.array([size]))).all()


def test_a_crop_of_the_whole_slice_is_the_view_of_slices() -> None:
    places = np.random.default_rng(0).uniform(0, 1, (4, 3, 2))
    sizes = np.full((4, 2), 64)
    assert in_slice(Place(0.5, 0.5, 64).in_crop(places, sizes), sizes, 1.0) == pytest.approx(places)


# ----------------------------------------------------------------------------------------------------- the place


def test_a_crop_holds_the_slices_that_show_the_neck_and_lies_around_its_boxes(tmp_path: Path) -> None:
    crops = place(tmp_path, localized(tmp_path))
    assert crops.index.tolist() == ["down", "none", "up"]
    assert crops.loc["down", ["first_z", "last_z", "side", "found"]].tolist() == [3, 6, PIXELS, True]
    assert crops.loc["down", ["x", "y"]].tolist() == pytest.approx([0.375, 0.625])


def test_where_nothing_is_found_the_middle_of_the_whole_stack_is_cropped_and_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    crops = place(tmp_path, localized(tmp_path))
    assert crops.loc["none", ["first_z", "last_z", "x", "y", "side", "found"]].tolist() == [0, 2, 0.5, 0.5, 16, False]
    assert "11 slices of 3 studies, 1 without a spine, 0 with one of more than 16 pixels" in capsys.readouterr().err


def test_a_margin_reaches_beyond_the_boxes_and_slices_but_not_beyond_the_study(tmp_path: Path) -> None:
    wide = place(tmp_path, localized(tmp_path, box=(0.2, 0.3, 0.8, 0.7)), PlaceCropsConfig("crop", PIXELS, 0.25))
    assert wide.loc["down", ["first_z", "last_z"]].tolist() == [2, 7]
    assert wide.loc["down", "side"] == 29  # 0.6 of 32 pixels, and a quarter on each side
    whole = place(tmp_path, localized(tmp_path, box=(0.2, 0.3, 0.8, 0.7)), PlaceCropsConfig("crop", PIXELS, 1.0))
    assert whole.loc["down", ["first_z", "last_z", "side"]].tolist() == [0, 9, 32]


def test_a_few_wrong_boxes_move_no_crop() -> None:
    """One slice of forty with a box at the other end."""
    columns = {name: np.full(40, at) for name, at in zip(BOX, (0.4, 0.4, 0.6, 0.6), strict=True)}
    study = pd.DataFrame({"rows": 512, "columns": 512, **dict.fromkeys(SHOWN, 1), **columns})
    right = place_of(study, 64, 0.0)
    study.loc[7, list(BOX)] = [0.0, 0.0, 0.1, 1.0]
    assert place_of(study, 64, 0.0) == right
    assert (right["x"], right["y"]) == (0.5, 0.5) and right["side"] in (102, 103, 104)


def test_masks_do_not_move_a_crop(tmp_path: Path) -> None:
    """A fold's crops are made of what its localizer predicts: the masks of held-out studies must tell nothing."""
    predicted = localized(tmp_path)
    masks = localized(tmp_path, "mask", box=(0.8, 0.8, 0.9, 0.9))
    masks.loc[:, list(SHOWN)] = 1
    without = place(tmp_path, predicted)
    assert place(tmp_path, pd.concat([masks, predicted])).equals(without)


# ---------------------------------------------------------------------------------------------------- the shards


def test_the_cache_holds_the_crops_pixels_from_the_first_slice_on(tmp_path: Path) -> None:
    root = raw(tmp_path)
    crops = place(tmp_path, localized(tmp_path))
    out = ingested(tmp_path, root)
    cache = SliceCache([out / "shard.parquet"])
    assert [cache.slices_of(uid) for uid in ("down", "up", "none")] == [4, 4, 3] and "bad" not in cache
    for uid in ("down", "up"):
        heights = sorted(HEIGHTS[uid], reverse=True)[3:7]
        square = Place(*(crops.loc[uid, name] for name in ("x", "y", "side")))
        expected = [cut(apply_window(neck(z), 400, 2000), square, PIXELS) for z in heights]
        assert np.array_equal(cache.read(uid, range(4)), np.stack(expected))
    rows: Any = pd.read_parquet(out / "shard.parquet").set_index(UID)
    assert rows.loc["up", "z_index"].tolist() == [0, 1, 2, 3]
    assert rows.loc["up", "slice_number"].tolist() == [7, 6, 5, 4]
    assert rows.loc["up", "position"].tolist() == [6, 5, 4, 3]
    assert rows.loc["up", "reversed"].all() and not rows.loc["down", "reversed"].any()
    findings = read_table(out / "findings.parquet")
    assert findings[[UID, "code"]].to_numpy().tolist() == [["none", "spine-not-found"]]
    assert read_metadata(out / "shard.parquet")["view"] == "crop"


def test_only_the_crops_own_files_are_read_where_their_names_tell_which_they_are(tmp_path: Path) -> None:
    root = raw(tmp_path)
    folder = root / "train_images" / "up"
    files = tuple((f.name, f.stat().st_size) for f in folder.iterdir())
    part, start = read_part(CropJob(folder, files, 3, (7, 6, 5, 4), Place(0.5, 0.5, 16)))
    assert (start, part.files) == (0, ["7.dcm", "6.dcm", "5.dcm", "4.dcm"])


def test_the_whole_study_is_read_where_names_do_not_tell_or_a_slice_takes_something_from_others(tmp_path: Path) -> None:
    named = write_study(tmp_path / "named", [0.0, -1, -2, -3], names=["a1.dcm", "b2.dcm", "c3.dcm", "d4.dcm"])
    job = CropJob(named, tuple((f.name, 0) for f in named.iterdir()), 1, (-1, -1), Place(0.5, 0.5, 16))
    study, start = read_part(job)
    assert (start, len(study.files)) == (1, 4)
    bare = write_study(tmp_path / "bare", [0.0, -1, -2, -3])
    write_study(tmp_path / "bare", [-1.0], names=["2.dcm"], number=2, slope=None, intercept=None)
    job = CropJob(bare, tuple((f.name, 0) for f in bare.iterdir()), 1, (2, 3), Place(0.5, 0.5, 16))
    study, start = read_part(job)
    assert (start, len(study.files)) == (1, 4)


def test_a_study_that_has_other_slices_than_in_the_index_has_no_crop_and_says_so(tmp_path: Path) -> None:
    root = raw(tmp_path)
    place(tmp_path, localized(tmp_path))
    (root / "train_images" / "down" / "2.dcm").unlink()  # z 3 to 6 would be others now, were they counted
    (root / "train_images" / "down" / "5.dcm").unlink()
    out = ingested(tmp_path, root)
    assert "down" not in SliceCache([out / "shard.parquet"])
    told = read_table(out / "findings.parquet").query(f"{UID} == 'down'")
    assert told["code"].tolist() == ["study-changed"]


@pytest.mark.parametrize(("workers", "death"), [("1", "SIGSEGV"), ("2", "SIGKILL")])
def test_a_study_that_kills_its_process_costs_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: str, death: str
) -> None:
    root = raw(tmp_path)
    place(tmp_path, localized(tmp_path))
    whole = pd.read_parquet(ingested(tmp_path, root, "whole") / "shard.parquet")
    monkeypatch.setattr(stage, "SMALL_SHARD", 0)
    monkeypatch.setenv("CSPINE_WORKERS", workers)
    monkeypatch.setenv("CSPINE_FAULT", f"read-study-down:1:{death}")
    out = ingested(tmp_path, root)
    expected = whole.query(f"{UID} != 'down'").reset_index(drop=True)
    pd.testing.assert_frame_equal(pd.read_parquet(out / "shard.parquet"), expected)
    lost = read_table(out / "findings.parquet").query("code == 'decoder-crash'")
    assert lost[UID].tolist() == ["down"]


class Plan:
    """plan_crops in a folder like the store's."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.root = folder, raw(folder)
        (self.root / "test_images").mkdir()
        self.place = folder / "work" / "plan_crops" / "key"
        self.place.mkdir(parents=True)
        place(folder, localized(folder, box=(0.1, 0.1, 0.9, 0.9)))

    def run(self, **changes: Any) -> dict[str, Any]:
        inventory, empty = listing(self.root, self.folder / "l.csv"), self.folder / "none.csv"
        write_csv(empty, (UID, "file", "size", "digest"), [])
        config = PlanCropsConfig("crop", PIXELS, step_down=[{"pixels": 8}], **changes)
        files = self.folder / "slices.parquet", self.folder / "crops.parquet"
        out = self.place / "form.json", self.place / "plan.json"
        plan_crops(self.root, [inventory], [empty], *files, *out, config=config)
        return dict(json.loads(out[1].read_text()))


def test_the_plan_projects_what_ingest_crops_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = Plan(tmp_path)
    figures = plan.run()
    assert figures["files"] == {"train": 24, "test": 0}
    assert figures["sampled"] == {"studies": 4, "files": 24, "slices": 11}  # those inside the crops
    assert "13 of 24 sampled files gave no slice" in capsys.readouterr().err
    written = (ingested(tmp_path, plan.root) / "shard.parquet").stat().st_size
    assert figures["encodings"][0]["bytes"] == pytest.approx(written, abs=3500)  # a second, empty shard is counted


def test_crops_over_their_budget_are_refused_or_shown_more_coarsely(tmp_path: Path) -> None:
    plan = Plan(tmp_path)
    asked = [max(1.1 * e["bytes"], e["high"]) for e in plan.run()["encodings"]]
    budget = sum(asked) / 2e9  # between what the two encodings ask for
    with pytest.raises(CspineError, match=r"views\.crop\.max_gb is .* 8 px zstd-delta would fit"):
        plan.run(max_gb=budget)
    plan.run(max_gb=budget, when_larger="step_down")
    assert read_encoding(plan.place / "form.json").pixels == 8


def test_a_negative_margin_is_refused() -> None:
    with pytest.raises(CspineError, match=r"views\.crop\.margin is -0\.1; a share of 0 or more is needed"):
        PlaceCropsConfig("crop", 16, -0.1)
