"""Every oddity of the real data that docs/phantom.md lists is there, and the chain loses no row by it."""

from __future__ import annotations

import re
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
from pydicom import Dataset, dcmread

from cspine.boxes import check_boxes, read_boxes
from cspine.phantom.plans import PhantomConfig, StudyPlan, plan_studies, uids_without_folder
from cspine.phantom.rendering import render_study
from cspine.phantom.storage import FORMATS, THICKNESSES
from cspine.phantom.truth import runs
from cspine.stages.index import index
from cspine.stages.ingest import IngestConfig, ingest
from cspine.stages.inventory import InventoryConfig, inventory
from cspine.stages.make_phantom import make_phantom
from cspine.studies import LABELS, UID, VERTEBRAE
from cspine.submission import SubmissionConfig, fill_sample, read_sample
from cspine.tables import read_table
from small_caches import encoding_file

DEMO = PhantomConfig(seed=5, pixels=48, slices=[16, 18])  # 80 and 32 studies, and every share as in the demo
SMALL = replace(DEMO, studies=40, test_studies=16)  # the smallest set that has every oddity
TABLES = ("train", "boxes", "test", "sample_submission", "folders", "segmentations")
ROOT = Path(__file__).parent.parent


class Made(NamedTuple):
    """A phantom, and what the chain read of it."""

    config: PhantomConfig
    data: Path
    truth: pd.DataFrame  # of the slices
    made: pd.DataFrame  # of the studies, by StudyInstanceUID
    slices: pd.DataFrame
    studies: pd.DataFrame
    findings: pd.DataFrame
    sample: Path

    def plans(self) -> list[StudyPlan]:
        return plan_studies(self.config)

    def found(self, code: str) -> set[str]:
        return set(self.findings.loc[self.findings["code"] == code, UID])

    def which(self, column: str) -> set[str]:
        return set(self.made.index[self.made[column].astype(bool)])

    def headers(self, uid: str) -> list[Dataset]:
        folder = self.data / f"{self.made['cohort'][uid]}_images" / uid
        return [dcmread(p, stop_before_pixels=True) for p in folder.iterdir()]


@pytest.fixture(scope="module", params=[SMALL, pytest.param(DEMO, marks=pytest.mark.slow)], ids=["small", "demo"])
def shown(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder, config = tmp_path_factory.mktemp("phantom"), request.param
    make_phantom(folder / "data", folder / "truth", folder / "manifest.csv", config=config)
    out = folder / "out"
    tables: dict[str, Any] = {name: out / f"{name}.csv" for name in TABLES}
    lists = {cohort: out / f"files-{cohort}.csv" for cohort in ("train", "test")}
    first = out / "inventory.parquet"
    inventory(
        folder / "data",
        **tables,
        findings=first,
        train_shards=[lists["train"]],
        test_shards=[lists["test"]],
        manifest=folder / "manifest.csv",
        config=InventoryConfig(),
    )
    shards = {c: [out / f"{c}-{what}.parquet" for what in ("pixels", "studies", "findings")] for c in lists}
    for cohort, paths in shards.items():
        ingest(folder / "data", lists[cohort], encoding_file(out, 16), *paths, config=IngestConfig(cohort=cohort))
    beside: dict[str, Any] = {
        name: [paths[i] for paths in shards.values()]
        for i, name in enumerate(("shards", "shard_studies", "shard_findings"))
    }
    result: dict[str, Any] = {name: out / f"index-{name}.parquet" for name in ("slices", "studies", "findings")}
    index(**tables, inventory_findings=first, **beside, **result)
    truth, made = (read_table(folder / f"truth/{name}.parquet") for name in ("slices", "studies"))
    slices, studies, findings = (read_table(path) for path in result.values())
    sample = tables["sample_submission"]
    return Made(config, folder / "data", truth, made.set_index(UID), slices, studies, findings, sample)


# What the chain makes of it


def test_every_slice_is_read_in_its_place_those_of_another_size_too(shown: Made) -> None:
    keys = [UID, "slice_number"]
    truth, read = (table.set_index(keys).sort_index() for table in (shown.truth, shown.slices))
    assert (shown.truth["pixels"] != shown.truth[UID].map(shown.made["pixels"])).sum() == 2
    assert list(read.index) == list(truth.index)
    assert (read["z_index"] == truth["z_index"]).all() and (read["cohort"] == truth["cohort"]).all()
    assert np.allclose(read["position"], truth["position"], atol=1e-4)
    assert (read["rows"] == truth["pixels"]).all() and (read["columns"] == truth["pixels"]).all()


def test_every_study_is_readable_and_its_direction_known(shown: Made) -> None:
    studies = shown.studies.set_index(UID)
    assert set(studies.index[studies["readable"]]) == set(shown.made.index) == {p.uid for p in shown.plans()}
    assert studies["reversed"].loc[shown.made.index].equals(shown.made["reversed"].astype(bool))


def test_only_what_the_phantom_means_to_show_is_found(shown: Made) -> None:
    expected = {
        "test-without-folder": set(uids_without_folder(shown.config)),
        "test-not-asked-for": set(shown.made.index) - shown.which("asked"),
        "uneven-spacing": shown.which("missing_files"),
        "sizes-vary": shown.which("mixed_sizes"),
        "padding": shown.which("padded"),
    }
    assert {code: shown.found(code) for code in set(shown.findings["code"])} == expected
    assert all(expected.values())


def test_every_box_is_a_good_one(shown: Made) -> None:
    boxes = read_boxes(shown.data / "train_bounding_boxes.csv")
    kept, found = check_boxes(boxes, shown.slices, shown.studies)
    assert len(kept) == len(boxes) and not found


def test_the_submission_has_every_row_asked_for_and_no_other(shown: Made) -> None:
    studies = sorted(p.uid for p in shown.plans() if p.cohort == "test")
    predicted = pd.DataFrame({UID: studies, "cohort": "test"} | dict.fromkeys(LABELS, 0.25))
    sample = read_sample(shown.sample)
    table, reasons = fill_sample(sample, shown.studies, [predicted], SubmissionConfig())
    written = pd.read_csv(shown.data / "sample_submission.csv")
    assert list(table["row_id"]) == list(written["row_id"]) and len(table) % 8 == 1
    assert set(reasons[UID]) == set(uids_without_folder(shown.config)) and set(reasons["code"]) == {"no-folder"}


# Boxes


def test_boxes_name_no_vertebra_and_are_one_a_slice_in_fractions_of_pixels(shown: Made) -> None:
    boxes = pd.read_csv(shown.data / "train_bounding_boxes.csv")
    assert list(boxes.columns) == [UID, "x", "y", "width", "height", "slice_number"]
    assert not boxes.duplicated([UID, "slice_number"]).any()
    assert (boxes[["x", "y", "width", "height"]] % 1 != 0).any().all()


def test_boxes_have_many_sizes_and_shapes(shown: Made) -> None:
    boxes = pd.read_csv(shown.data / "train_bounding_boxes.csv")
    aspect, area = boxes["width"] / boxes["height"], boxes["width"] * boxes["height"]
    assert aspect.min() < 0.7 and aspect.max() > 1.6 and area.max() > 5 * area.min()
    counts = boxes.groupby(UID).size()
    assert counts.max() >= 3 * counts.min()


def test_several_fractures_in_one_slice_share_a_box(shown: Made) -> None:
    boxed = shown.truth[shown.truth["width"] > 0]
    assert (boxed[[f"fractured_{v}" for v in VERTEBRAE]].sum(axis=1) > 1).any()


def test_half_of_the_boxed_studies_have_gaps(shown: Made) -> None:
    boxes = pd.read_csv(shown.data / "train_bounding_boxes.csv")
    gaps = {uid for uid, rows in boxes.groupby(UID) if len(runs(sorted(rows["slice_number"]))) > 1}
    planned = {p.uid for p in shown.plans() if p.box_gap}
    assert gaps == shown.which("box_gap") and planned <= gaps
    assert 0.4 < len(gaps) / shown.made["boxed"].sum() < 0.65
    boxed = shown.made[shown.made["boxed"]]
    left_out = boxed["fractured_slices"] - boxed["boxes"]
    assert left_out.min() == 0 and 1 <= left_out.max() <= 3


# Masks


def _mask(shown: Made, uid: str) -> np.ndarray:
    """(planes, rows, columns) from the head."""
    content = (shown.data / f"segmentations/{uid}.nii").read_bytes()
    shape = struct.unpack_from("<3h", content, 42)
    stored = np.frombuffer(content, np.uint8, offset=352).reshape(shape, order="F")
    return stored.transpose(2, 1, 0)[::-1, ::-1]


def test_some_masks_lack_thoracic_levels_that_the_slices_show(shown: Made) -> None:
    levels = {}
    for plan in (p for p in shown.plans() if p.segmented):
        true, drawn = render_study(plan, shown.config).labels, _mask(shown, plan.uid)
        assert drawn.max() == min(true.max(), 7 + plan.mask_thoracic)
        levels[plan.mask_thoracic] = int(drawn.max())
    assert levels[0] == 7 and levels[1] == 8


def test_stray_labels_are_a_few_voxels_in_a_vertebra_far_away(shown: Made) -> None:
    for plan in (p for p in shown.plans() if p.segmented):
        true, drawn = render_study(plan, shown.config).labels, _mask(shown, plan.uid)
        strays = (true != drawn) & (drawn > 0)
        assert strays.any() == plan.mask_strays and np.count_nonzero(strays) <= 6
        assert (np.abs(true[strays].astype(int) - drawn[strays]) >= 3).all()


def test_one_mask_has_a_slice_more_than_its_study_has_files(shown: Made) -> None:
    masks = shown.made[shown.made["segmented"]]
    more = {uid: len(_mask(shown, str(uid))) - masks["slices"][uid] for uid in masks.index}
    assert sorted(more.values()) == [0, 0, 0, 0, 0, 1]
    assert {uid for uid, planes in more.items() if planes} <= shown.which("missing_files")


# Folders and files


def test_a_tenth_is_numbered_from_the_feet_boxed_and_segmented_ones_among_them(shown: Made) -> None:
    backwards = shown.made[shown.made["reversed"]]
    assert (
        len(backwards) == sum(p.reversed for p in shown.plans())
        and backwards["boxed"].any()
        and backwards["segmented"].any()
    )


def test_numbers_start_late_and_have_holes(shown: Made) -> None:
    holes, late = set(), set()
    for uid in shown.made.index:
        numbers = sorted(int(p.stem) for p in (shown.data / f"{shown.made['cohort'][uid]}_images" / uid).iterdir())
        if len(runs(numbers)) > 1:
            holes.add(uid)
            assert numbers[-1] - numbers[0] == len(numbers)
        if numbers[0] > 1:
            late.add(uid)
    assert holes == shown.which("missing_files") == {p.uid for p in shown.plans() if p.missing_file}
    assert late == {p.uid for p in shown.plans() if p.first_number > 1} and late and holes


def test_some_studies_have_a_larger_matrix_and_one_changes_it(shown: Made) -> None:
    large = {p.uid for p in shown.plans() if p.pixels == 72}
    sizes = {uid: {ds.Rows for ds in shown.headers(uid)} for uid in shown.made.index}
    assert {uid for uid, rows in sizes.items() if 72 in rows} == large and large
    (mixed,) = (uid for uid, rows in sizes.items() if len(rows) > 1)
    assert {mixed} == shown.which("mixed_sizes")


def test_a_smaller_slice_of_a_mixed_study_lies_over_its_neighbours(shown: Made) -> None:
    (mixed,) = shown.which("mixed_sizes")
    headers = shown.headers(mixed)
    middles = set()
    for ds in headers:
        x, y, _ = (float(v) for v in ds.ImagePositionPatient)
        half = (ds.Rows - 1) / 2 * float(ds.PixelSpacing[0])
        middles.add((round(x + half, 2), round(y + half, 2)))
    assert len(middles) == 1


def test_every_pixel_format_and_thickness_occurs_in_the_headers(shown: Made) -> None:
    found, syntaxes, thicknesses, spacings = set(), set(), set(), []
    for uid in shown.made.index:
        ds = shown.headers(uid)[0]
        rescale = float(ds.RescaleIntercept), float(ds.RescaleSlope)
        found.add((ds.BitsStored, ds.PixelRepresentation, *rescale, ds.get("PixelPaddingValue")))
        syntaxes.add(str(ds.file_meta.TransferSyntaxUID))
        thicknesses.add(float(ds.SliceThickness))
        spacings.append(shown.made["slice_spacing"][uid])
    assert found == {(f.bits_stored, f.signed, f.intercept, f.slope, f.padding) for f in FORMATS}
    assert len(syntaxes) == 3 and thicknesses <= set(THICKNESSES) and len(thicknesses) > 7
    assert min(spacings) > max(thicknesses)


def test_study_uids_look_like_the_real_ones(shown: Made) -> None:
    assert all(re.fullmatch(r"1\.2\.826\.0\.1\.3680043\.[1-9]\d{0,4}", uid) for uid in shown.made.index)


def test_one_study_lacks_the_upper_neck(shown: Made) -> None:
    (uid,) = shown.made.index[shown.made["starts_below"] > 0]
    levels = shown.truth[shown.truth[UID] == uid][[f"present_{v}" for v in VERTEBRAE]].max()
    assert levels["present_C1"] == 0 and levels[[f"present_{v}" for v in VERTEBRAE[2:]]].all()
    whole = shown.truth[shown.truth[UID] != uid].groupby(UID)[[f"present_{v}" for v in VERTEBRAE]].max()
    assert (whole == 1).all(axis=None)


# The tables


def test_ids_without_folder_are_asked_for_one_of_them_in_a_single_row(shown: Made) -> None:
    test = pd.read_csv(shown.data / "test.csv")
    folders = {p.name for p in (shown.data / "test_images").iterdir()}
    absent = test[~test[UID].isin(folders)]
    assert sorted(absent.groupby(UID).size()) in ([1, 8], [1, 8, 8])
    (unasked,) = set(shown.made.index) - shown.which("asked")
    assert folders - set(test[UID]) == {unasked}
    hidden = pd.read_csv(shown.data.parent / "truth/test.csv")
    assert set(hidden[UID]) == folders & set(test[UID])


def test_the_samples_rows_are_not_grouped_by_study(shown: Made) -> None:
    sample = pd.read_csv(shown.data / "sample_submission.csv")["row_id"]
    assert sorted(sample) == sorted(pd.read_csv(shown.data / "test.csv")["row_id"]) and sample.is_unique
    studies = sample.str.partition("_")[0]
    assert (studies != studies.shift()).mean() > 0.5


def test_every_test_that_the_phantoms_page_names_exists() -> None:
    page = (ROOT / "docs/phantom.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(test_\w+)`", page)) - {"test_images", "test_studies"}
    files = "".join(p.read_text(encoding="utf-8") for p in (ROOT / "tests").glob("test_phantom*.py"))
    assert len(named) > 20 and {name for name in named if f"def {name}(" not in files} == set()
