"""Masks over slices: turned by the header, by the rule or by where bone is; planes by place; stray labels."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations, product
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pandas as pd
import pytest

from cspine.dicom import read_study
from cspine.errors import CspineError
from cspine.localization.columns import BOX, PIXELS
from cspine.masks import BoneMap, Stack, StudyMask, lay_over, read_nifti
from cspine.masks.bone import BONE_HU, bone_maps, spread_over
from cspine.masks.laying import UNKNOWN
from cspine.masks.stack import place_on_slices
from cspine.masks.strays import without_strays
from cspine.phantom.patients import Grid
from cspine.phantom.plans import PhantomConfig, plan_studies
from cspine.phantom.rendering import render_study
from cspine.phantom.segmentations import drawn_mask
from cspine.phantom.study_files import make_study
from cspine.stages.label_presence import label_presence
from cspine.studies import UID, VERTEBRAE
from cspine.tables import read_table
from mask_folders import write_given

CONFIG = PhantomConfig(seed=7, studies=4, test_studies=1, segmented=2, pixels=96, slices=[40, 40], large_share=0.0)
PLANS = [replace(plan, mixed_sizes=False, missing_file=False, starts_below=0.0) for plan in plan_studies(CONFIG)]
CUT = 8  # rows left out, so that no two axes of a mask are alike


class Neck:
    """A phantom study in memory: its slices, where bone is in some of them, and the labels a mask should give."""

    def __init__(self, index: int) -> None:
        rendered = render_study(PLANS[index], CONFIG)
        grid = rendered.grid
        self.grid = Grid(grid.x, grid.y[:-CUT], grid.z, grid.spacing, grid.step)
        self.hu, drawn = rendered.hu[:, :-CUT], rendered.labels[:, :-CUT]
        self.labels = without_strays(np.ascontiguousarray(drawn))[0]
        self.stack = self.stack_of(np.arange(len(self.hu)))

    def stack_of(self, planes: Any) -> Stack:
        """The study of some of the slices."""
        count = len(self.grid.z[planes])
        sizes = np.tile(np.array(self.hu.shape[1:], np.int64), (count, 1))
        return Stack(self.grid.z[planes].astype(float), sizes, np.full((count, 2), self.grid.spacing))

    def maps_of(self, planes: Any) -> list[BoneMap]:
        hu = self.hu[planes]
        return [BoneMap(z, hu[z] > BONE_HU, (self.grid.spacing,) * 2) for z in spread_over(len(hu))]

    def image(self, labels: np.ndarray | None = None, step: float = 1.0) -> nibabel.Nifti1Image:
        """The mask as RAS+ (right, front, head) with a true header; ``step`` slices apart."""
        labels = self.labels if labels is None else labels
        spacing, z = self.grid.spacing, float(self.grid.z[0]) - self.grid.step * step * (len(labels) - 1)
        affine = np.diag([spacing, spacing, self.grid.step * step, 1.0])
        affine[:3, 3] = -self.grid.x[-1], -self.grid.y[-1], z
        return nibabel.Nifti1Image(np.ascontiguousarray(labels[::-1, ::-1, ::-1].transpose(2, 1, 0)), affine)

    def by_rule(self, labels: np.ndarray | None = None) -> np.ndarray:
        """The mask as the real ones are stored: (column, row from the back, plane from the feet)."""
        labels = self.labels if labels is None else labels
        return np.ascontiguousarray(labels[::-1, ::-1].transpose(2, 1, 0))


@pytest.fixture(scope="module")
def neck() -> Neck:
    return Neck(0)


@pytest.fixture(scope="module")
def other_neck() -> Neck:
    return Neck(1)


def save(path: Path, array: np.ndarray, affine: np.ndarray | None) -> Path:
    image = nibabel.Nifti1Image(array, None)
    if affine is None:
        image.header["sform_code"] = image.header["qform_code"] = 0
    else:
        image.set_sform(affine, code=1, update_affine=False)
    nibabel.save(image, path)
    return path


def laid(path: Path, image: Any, neck: Neck, planes: Any = slice(None)) -> StudyMask:
    """``image`` saved, read and laid over the slices of ``neck`` (or some of them)."""
    if isinstance(image, np.ndarray):
        save(path, image, None)
    else:
        nibabel.save(image, path)
    return lay_over(read_nifti(path), neck.stack_of(planes), neck.maps_of(planes))


def codes(mask: StudyMask) -> list[str]:
    return [code for code, _ in mask.remarks]


def test_however_a_mask_is_stored_a_right_header_turns_it_upright(tmp_path: Path, neck: Neck) -> None:
    ways = list(product(permutations(range(3)), product((1, -1), repeat=3)))
    assert len(ways) == 48
    for number, (axes, flips) in enumerate(ways):
        stored = neck.image().as_reoriented(np.array(list(zip(axes, flips, strict=True))))
        mask = laid(tmp_path / f"{number}.nii", stored, neck)
        assert np.array_equal(mask.volume(), neck.labels), (axes, flips)
        assert (mask.orientation, mask.remarks) == ("header", []) and mask.known.all()
        assert mask.bone_share > 0.8


def test_a_silent_header_leaves_the_turn_to_the_rule_of_the_real_data(tmp_path: Path, neck: Neck) -> None:
    mask = laid(tmp_path / "mask.nii", neck.by_rule(), neck)
    assert np.array_equal(mask.volume(), neck.labels)
    assert (mask.orientation, mask.remarks) == ("rule", [])


def wrong_headers(neck: Neck) -> dict[str, tuple[np.ndarray, str]]:
    """Affines that do not hold for a mask stored by the rule, and what is said about each."""
    right = neck.image().as_reoriented(np.array([[0, -1], [1, 1], [2, 1]])).affine
    mirrored, backwards, from_feet, shifted = right.copy(), right.copy(), right.copy(), right.copy()
    mirrored[0] *= -1
    backwards[1] *= -1
    from_feet[2, 2] *= -1
    shifted[2, 3] += 30
    lying = right[:, [0, 2, 1, 3]]
    return {
        "mirrored": (mirrored, r"labelled voxels on bone: \d+% by the header, 9\d% by the rule"),
        "back to front": (backwards, "labelled voxels on bone"),
        "head to feet": (from_feet, "levels run from the feet to the head"),
        "30 mm off": (shifted, "planes lie 30 mm from the slices"),
        "other axes": (lying, "planes are .* mm, the slices .* mm|levels run"),
        "identity": (np.eye(4), "planes are 88 x 96 mm, the slices"),
        "degenerate": (np.diag([0.5, 0.5, 0.0, 1.0]), ""),
    }


def test_a_header_that_is_wrong_is_recognised_and_the_rule_holds(tmp_path: Path, neck: Neck) -> None:
    for name, (affine, words) in wrong_headers(neck).items():
        mask = lay_over(
            read_nifti(save(tmp_path / "mask.nii.gz", neck.by_rule(), affine)), neck.stack, neck.maps_of(slice(None))
        )
        assert np.array_equal(mask.volume(), neck.labels), name
        assert mask.orientation == "rule", name
        assert codes(mask) == (["mask-header-wrong"] if words else []), name
        if words:
            assert pd.Series([mask.remarks[0][1]]).str.contains(words).all(), mask.remarks


def test_a_header_wrong_about_the_place_may_be_right_about_the_turn(tmp_path: Path, neck: Neck) -> None:
    image = neck.image().as_reoriented(np.array([[1, 1], [2, -1], [0, 1]]))
    image.affine[2, 3] += 200
    moved = nibabel.Nifti1Image(np.asarray(image.dataobj), image.affine)
    mask = laid(tmp_path / "mask.nii", moved, neck)
    assert np.array_equal(mask.volume(), neck.labels)
    assert (mask.orientation, codes(mask)) == ("header", ["mask-header-wrong"])


@pytest.mark.parametrize(
    ("axis", "words"), [(0, "columns reversed"), (1, "rows reversed"), (2, "planes reversed"), (None, "other axes")]
)
def test_a_mask_turned_as_neither_says_is_recognised_by_bone_and_named(
    tmp_path: Path, neck: Neck, axis: int | None, words: str
) -> None:
    stored = neck.by_rule().transpose(1, 2, 0) if axis is None else np.flip(neck.by_rule(), axis)
    mask = laid(tmp_path / "mask.nii", np.ascontiguousarray(stored), neck)
    assert np.array_equal(mask.volume(), neck.labels)
    assert (mask.orientation, codes(mask)) == ("bone", ["mask-turned"])
    assert f"turned as by the rule with {words}" in mask.remarks[0][1]


def test_a_mask_of_another_study_lies_on_no_bone_whatever_its_header_says(
    tmp_path: Path, neck: Neck, other_neck: Neck
) -> None:
    for image in (other_neck.by_rule(), other_neck.image()):
        mask = laid(tmp_path / "mask.nii", image, neck)
        assert codes(mask) == ["mask-off-bone"] and mask.orientation == "" and not mask.known.any()
        assert (mask.volume() == UNKNOWN).all() and (mask.present() == -1).all()


@pytest.mark.parametrize(
    ("planes", "slices", "matched"),
    [
        (slice(None), np.delete(np.arange(40), 17), 39),  # one plane more: a slice is missing
        (slice(0, 39), slice(None), 39),  # one plane fewer
        (slice(0, 20), slice(None), 20),  # the upper half
        (slice(12, 33), slice(8, None), 21),
    ],
)
def test_planes_and_slices_of_other_numbers_meet_by_position(
    tmp_path: Path, neck: Neck, planes: slice, slices: Any, matched: int
) -> None:
    image = neck.image(neck.labels[planes])
    shifted = image.affine.copy()
    shifted[2, 3] -= neck.grid.step * (planes.start or 0)
    mask = laid(tmp_path / "mask.nii", nibabel.Nifti1Image(np.asarray(image.dataobj), shifted), neck, slices)
    assert codes(mask)[0] == "mask-other-slice-count" and f"{matched} slices matched" in mask.remarks[0][1]
    at = np.arange(40)[slices]
    volume = mask.volume()
    assert np.array_equal(
        volume[mask.known], without_strays(neck.labels[planes])[0][at[mask.known] - (planes.start or 0)]
    )
    assert mask.orientation == "header" and (volume[~mask.known] == UNKNOWN).all()


def test_a_plane_twice_as_thick_is_shown_by_two_slices(tmp_path: Path, neck: Neck) -> None:
    mask = laid(tmp_path / "mask.nii", neck.image(neck.labels[::2], step=2), neck)
    assert "20 planes, 40 slices; 40 slices matched" in mask.remarks[0][1]
    assert np.array_equal(mask.volume()[::2], without_strays(neck.labels[::2])[0])


def test_without_a_usable_place_planes_and_slices_of_other_numbers_do_not_meet(tmp_path: Path, neck: Neck) -> None:
    shifted = neck.image(neck.labels[:-1])
    shifted.affine[2, 3] += 30
    for image in (neck.by_rule(neck.labels[:-1]), nibabel.Nifti1Image(np.asarray(shifted.dataobj), shifted.affine)):
        mask = laid(tmp_path / "mask.nii", image, neck)
        assert codes(mask) == ["mask-without-place"] and not mask.known.any()


def test_planes_of_another_size_are_laid_over_the_same_field(tmp_path: Path, neck: Neck) -> None:
    for image in (neck.by_rule(neck.labels[:, ::2, ::2]), neck.by_rule(neck.labels.repeat(2, 1).repeat(2, 2))):
        mask = laid(tmp_path / "mask.nii", image, neck)
        assert (mask.orientation, codes(mask)) == ("rule", ["mask-other-size"])
        both = (mask.volume() > 0) & (neck.labels > 0)
        assert both.sum() / ((mask.volume() > 0) | (neck.labels > 0)).sum() > 0.7
        assert (mask.volume()[both] == neck.labels[both]).mean() > 0.99


def test_a_slice_smaller_than_the_others_gets_the_middle_of_its_plane(tmp_path: Path, neck: Neck) -> None:
    stack = replace(neck.stack, sizes=neck.stack.sizes.copy())
    stack.sizes[20] -= 12
    nibabel.save(neck.image(), tmp_path / "mask.nii")
    mask = lay_over(read_nifti(tmp_path / "mask.nii"), stack, neck.maps_of(slice(None))[:6])
    assert np.array_equal(mask.labels_of(20), neck.labels[20, 6:-6, 6:-6]) and mask.labels_of(20).any()


def test_thick_slices_and_thoracic_levels_are_read_as_any_other(tmp_path: Path, neck: Neck) -> None:
    thick = slice(0, None, 4)
    truth = without_strays(neck.labels[thick])[0]
    mask = laid(tmp_path / "mask.nii", neck.image(truth, step=4), neck, thick)
    assert (mask.orientation, mask.remarks, mask.levels()) == ("header", [], [*VERTEBRAE, "T1", "T2"])
    present = np.stack([(truth == level).any(axis=(1, 2)) for level in range(1, 8)], axis=1)
    assert np.array_equal(mask.present(), present)
    thoracic_alone = (truth >= 8).any(axis=(1, 2)) & ~present.any(axis=1)
    assert thoracic_alone.any()  # such a slice shows no cervical vertebra


def test_an_empty_mask_says_nothing_about_any_slice(tmp_path: Path, neck: Neck) -> None:
    mask = laid(tmp_path / "mask.nii", neck.image(np.zeros_like(neck.labels)), neck)
    assert codes(mask) == ["mask-empty"] and (mask.present() == -1).all() and mask.levels() == []


def test_without_a_slice_to_compare_the_header_is_believed_and_that_is_said(tmp_path: Path, neck: Neck) -> None:
    nibabel.save(neck.image(), tmp_path / "mask.nii")
    mask = lay_over(read_nifti(tmp_path / "mask.nii"), neck.stack, [])
    assert np.array_equal(mask.volume(), neck.labels) and np.isnan(mask.bone_share)
    assert (mask.orientation, codes(mask)) == ("header", ["mask-unproved"])


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.float32, np.float64])
@pytest.mark.parametrize("ending", ["nii", "nii.gz"])
def test_labels_may_be_stored_as_any_number(tmp_path: Path, kind: Any, ending: str) -> None:
    labels = np.arange(20).reshape(2, 5, 2)
    stored = read_nifti(save(tmp_path / f"mask.{ending}", labels.astype(kind), np.eye(4)))
    assert stored.labels.dtype == np.uint8 and np.array_equal(stored.labels, labels)


def test_a_time_axis_of_one_moment_is_no_fourth_dimension(tmp_path: Path) -> None:
    assert read_nifti(save(tmp_path / "mask.nii", np.ones((2, 3, 4, 1), np.uint8), np.eye(4))).labels.shape == (2, 3, 4)


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.full((2, 2, 2), 20, np.uint8), "whole labels 0 to 19, found values 20 to 20"),
        (np.full((2, 2, 2), 0.5, np.float32), "whole labels"),
        (np.full((2, 2, 2), np.nan, np.float32), "whole labels"),
        (np.full((2, 2, 2), -1, np.int16), "whole labels"),
        (np.zeros((2, 2, 2), np.complex64), "whole labels.*complex"),
        (np.zeros((2, 2, 2, 2), np.uint8), "three dimensions"),
    ],
)
def test_what_is_no_mask_is_refused_with_its_name(tmp_path: Path, array: np.ndarray, words: str) -> None:
    path = save(tmp_path / "odd.nii", array, np.eye(4))
    with pytest.raises(CspineError, match=f"odd.nii.*{words}"):
        read_nifti(path)
    path.write_bytes(b"not a mask")
    with pytest.raises(CspineError, match="cannot be read"):
        read_nifti(path)


def test_equal_numbers_match_one_by_one_and_others_by_position() -> None:
    planes = np.array([40.0, 38.0, 36.0, 34.0, 32.0])
    assert place_on_slices(5, planes, planes + 17).tolist() == [0, 1, 2, 3, 4]
    assert place_on_slices(5, planes, planes[[0, 1, 3, 4]]).tolist() == [0, 1, 3, 4]  # a slice is missing
    far = np.array([52.0, 50.0, 40.4, 38.9, 36.0, 2.0])
    assert place_on_slices(5, planes, far).tolist() == [-1, -1, 0, 1, 2, -1]
    assert place_on_slices(5, None, planes[:3]).tolist() == [-1, -1, -1]


def stacked(*levels: int) -> np.ndarray:
    """A block of 4 planes for each level, from head to feet, with an empty plane between."""
    labels = np.zeros((5 * len(levels), 24, 24), np.uint8)
    for place, level in enumerate(levels):
        labels[5 * place : 5 * place + 4, 2:9, 2:9] = level
    return labels


def test_small_regions_apart_go_and_the_parts_of_a_broken_vertebra_stay() -> None:
    labels = stacked(3, 4)
    labels[0:4, 2:9, 11:14] = 3  # a fragment: 43 % of the larger part
    truth = labels.copy()
    labels[0, 23, 23] = 3  # a slip of the pen, far away
    labels[6, 20:22, 20:22] = 3
    clean, removed = without_strays(labels)
    assert removed == 5 and np.array_equal(clean, truth)
    assert np.array_equal(without_strays(truth)[0], truth)


def test_levels_out_of_order_go_from_both_ends_however_large_they_are() -> None:
    truth = stacked(3, 4, 5, 6, 7)
    labels = truth.copy()
    labels[0, 15:22, 15:22] = 7  # 25 % of C7, above C3
    labels[23, 15:20, 15:20] = 3  # beside C7
    labels[20:24, 15:21, 15:21] = 1  # all there is of C1, at the feet
    clean, removed = without_strays(labels)
    assert np.array_equal(clean, truth) and removed == np.count_nonzero(labels != truth)


def test_a_broken_dens_above_c1_and_a_spinous_process_below_the_next_body_stay() -> None:
    labels = stacked(1, 2, 3, 4)
    labels[0:2, 15:21, 15:21] = 2  # the dens, above the middle of C1
    labels[16:19, 15:21, 15:21] = 3  # of C3, at the height of C4
    clean, removed = without_strays(labels)
    assert removed == 0 and np.array_equal(clean, labels)


# ---------------------------------------------------------------------------------------------------- the stage


def test_presence_of_phantom_files_is_the_truth_also_of_a_study_numbered_from_the_feet(tmp_path: Path) -> None:
    plans = [
        replace(PLANS[0], segmented=True, mask_strays=True, mask_thoracic=1, reversed=False, uid="1.2.1"),
        replace(PLANS[1], segmented=True, mask_strays=False, mask_thoracic=0, reversed=True, uid="1.2.2"),
        replace(PLANS[2], segmented=True, mask_strays=False, mixed_sizes=True, uid="1.2.3"),
        replace(PLANS[3], segmented=True, mask_strays=False, missing_file=True, uid="1.2.4"),
    ]
    root = tmp_path / "raw"
    records = {plan.uid: make_study(plan, CONFIG, root) for plan in plans}
    for folder in sorted((root / "train_images").iterdir()):
        folder.rename(folder)
    out = run_stage(tmp_path, root, [plan.uid for plan in plans])
    present = out["presence"].set_index([UID, "slice_number"])[list(VERTEBRAE)]
    for uid, record in records.items():
        truth = {t.slice_number: list(t.present) for t in record.truths}
        wrong = [n for n, row in present.loc[uid].iterrows() if truth[int(str(n))] != row.tolist()]
        assert len(present.loc[uid]) == len(record.truths) and len(wrong) <= (1 if uid == "1.2.1" else 0), uid
    extents = out["extents"]
    assert extents[[UID, "z_index"]].equals(out["presence"][[UID, "z_index"]])
    assert np.array_equal(extents[list(PIXELS[:7])] > 0, out["presence"][list(VERTEBRAE)] > 0)
    assert set(extents.loc[extents["pixels_T"] > 0, UID]) >= {"1.2.1"}
    boxed = extents[list(BOX)].dropna()
    assert (boxed >= 0).all(axis=None) and (boxed <= 1).all(axis=None) and (boxed["box_x0"] < boxed["box_x1"]).all()
    masks = out["masks"].set_index(UID)
    assert set(masks["orientation"]) == {"header"} and (masks["bone_share"] > 0.7).all()
    assert masks["levels"]["1.2.1"] == "C1 C2 C3 C4 C5 C6 C7 T1" and masks["strays"]["1.2.1"] > 0
    assert masks["slices"].tolist() == [40, 40, 40, 39] and masks["matched"].tolist() == [40, 40, 40, 39]
    found = out["findings"].groupby(UID)["code"].agg(set).to_dict()
    assert found["1.2.1"] == {"mask-stray-labels"} and found["1.2.4"] == {"mask-other-slice-count"}
    assert "1.2.2" not in found


def run_stage(folder: Path, root: Path, uids: list[str]) -> dict[str, pd.DataFrame]:
    """label_presence of the studies in ``root``: its tables."""
    write_given(folder, root, uids)
    files = [(uid, p.name) for uid in uids for p in sorted((root / "train_images" / uid).iterdir())]
    for shard in range(2):
        pd.DataFrame(files[shard::2], columns=[UID, "file"]).to_csv(folder / f"{shard}.csv", index=False)
    out = {name: folder / f"{name}.parquet" for name in ("presence", "extents", "masks", "findings")}
    shards = [folder / "0.csv", folder / "1.csv"]
    label_presence(root, folder / "masks.csv", folder / "slices.parquet", shards, **out)
    return {name: read_table(path) for name, path in out.items()}


def test_bad_masks_are_named_and_cost_their_study_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "raw"
    uids = [good, other, torn, deadly] = ["1.2.1", "1.2.2", "1.2.3", "1.2.5"]
    lost = "1.2.4"
    monkeypatch.setenv("CSPINE_FAULT", f"lay-mask-{deadly}:1:SIGSEGV")
    for uid, plan in zip(uids, PLANS, strict=False):
        make_study(replace(plan, uid=uid, segmented=True, mask_strays=False, reversed=False), CONFIG, root)
    masks = root / "segmentations"
    (masks / f"{torn}.nii").write_bytes((masks / f"{torn}.nii").read_bytes()[:5000])
    (masks / f"{other}.nii").write_bytes((masks / f"{good}.nii").read_bytes())  # the mask of another study
    (masks / f"{lost}.nii").write_bytes((masks / f"{good}.nii").read_bytes())
    out = run_stage(tmp_path, root, uids)
    assert set(out["presence"][UID]) == {good}
    codes = out["findings"].set_index(UID)["code"].to_dict()
    assert codes == {
        lost: "mask-without-slices",
        other: "mask-off-bone",
        torn: "mask-unreadable",
        deadly: "mask-reader-crash",
    }
    table = out["masks"].set_index(UID)
    assert table["orientation"].to_dict() == {good: "header", lost: "", other: "", torn: "", deadly: ""}
    assert table["matched"].to_dict() == {good: 40, lost: 0, other: 0, torn: 0, deadly: 0}


def test_drawn_strays_of_the_phantom_are_found_and_nothing_else(tmp_path: Path) -> None:
    plan = replace(PLANS[0], mask_strays=True, mask_thoracic=2)
    rendered = render_study(plan, CONFIG)
    drawn = drawn_mask(plan, rendered, CONFIG)
    clean, removed = without_strays(drawn)
    wrong = (drawn != rendered.labels) & (drawn > 0)
    assert removed >= wrong.sum() > 0 and not clean[wrong].any()


def test_a_whole_study_in_memory_gives_its_own_bone_maps(tmp_path: Path) -> None:
    make_study(replace(PLANS[1], uid="1.2.5", segmented=True, mask_strays=False), CONFIG, tmp_path)
    study = read_study(tmp_path / "train_images" / "1.2.5")
    mask = lay_over(read_nifti(tmp_path / "segmentations/1.2.5.nii"), Stack.of_study(study), bone_maps(study))
    assert mask.orientation == "header" and mask.volume().shape == study.volume().shape
    assert (study.volume()[mask.volume() > 0] > BONE_HU).mean() > 0.8
