"""Masks over slices: orientation by the header or by rule, planes by place, stray labels."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pytest

from cspine.errors import CspineError
from cspine.masks import Mask, place_on_slices, read_mask, without_strays
from cspine.stages.label_presence import label_presence
from cspine.studies import UID, VERTEBRAE
from cspine.tables import read_table, write_table

#: planes from head to feet, rows to the back, columns to the left: no two axes alike, nothing symmetric
LABELS = np.zeros((5, 6, 7), np.uint8)
LABELS[0, 1, 2] = 1
LABELS[1:3, 2:4, 1] = 2
LABELS[4, 5, 6] = 9
POSITIONS = np.array([40.0, 38.0, 36.0, 34.0, 32.0])


def save(path: Path, array: np.ndarray, affine: np.ndarray | None) -> Path:
    image = nibabel.Nifti1Image(array, affine)
    if affine is None:
        image.header["sform_code"] = image.header["qform_code"] = 0
    nibabel.save(image, path)
    return path


def ras_affine(step: float = 2.0) -> np.ndarray:
    """Of an array (right, front, head) whose last plane lies at z = 40 mm."""
    affine = np.diag([0.5, 0.5, step, 1.0])
    affine[:3, 3] = [-10, -20, 40 - 4 * step]
    return affine


def in_ras() -> np.ndarray:
    return np.ascontiguousarray(LABELS[::-1, ::-1, ::-1].transpose(2, 1, 0))


@pytest.mark.parametrize("axes", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
@pytest.mark.parametrize("flips", [(1, 1, 1), (-1, 1, -1), (1, -1, -1)])
def test_however_a_mask_is_stored_its_header_turns_it_upright(
    tmp_path: Path, axes: tuple[int, int, int], flips: tuple[int, int, int]
) -> None:
    image = nibabel.Nifti1Image(in_ras(), ras_affine())
    wanted = np.array([[axis, flip] for axis, flip in zip(axes, flips, strict=True)])
    stored = image.as_reoriented(wanted)
    nibabel.save(stored, tmp_path / "mask.nii")
    mask = read_mask(tmp_path / "mask.nii")
    assert np.array_equal(mask.labels, LABELS)
    assert mask.positions is not None and np.allclose(mask.positions, POSITIONS)


def test_without_a_header_that_says_where_the_rule_of_the_real_data_holds(tmp_path: Path) -> None:
    stored = LABELS[::-1, ::-1, :].transpose(2, 1, 0)  # column, row from the back, plane from the feet
    mask = read_mask(save(tmp_path / "mask.nii", np.ascontiguousarray(stored), None))
    assert np.array_equal(mask.labels, LABELS) and mask.positions is None


def test_presence_is_one_voxel_of_a_cervical_label() -> None:
    present = Mask(LABELS, None).present()
    assert present.shape == (5, 7) and np.argwhere(present).tolist() == [[0, 0], [1, 1], [2, 1]]


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.full((2, 2, 2), 20, np.uint8), "whole labels 0 to 19"),
        (np.full((2, 2, 2), 0.5, np.float32), "whole labels"),
        (np.zeros((2, 2, 2, 2), np.uint8), "three dimensions"),
    ],
)
def test_what_is_no_mask_is_refused_with_its_name(tmp_path: Path, array: np.ndarray, words: str) -> None:
    path = save(tmp_path / "odd.nii", array, np.eye(4))
    with pytest.raises(CspineError, match=f"odd.nii.*{words}"):
        read_mask(path)
    path.write_bytes(b"not a mask")
    with pytest.raises(CspineError, match="cannot be read"):
        read_mask(path)


def test_equal_numbers_match_one_by_one_and_others_by_position() -> None:
    mask = Mask(LABELS, POSITIONS)
    assert place_on_slices(mask, POSITIONS + 17).tolist() == [0, 1, 2, 3, 4]
    assert place_on_slices(mask, POSITIONS[[0, 1, 3, 4]]).tolist() == [0, 1, 3, 4]  # a slice is missing
    assert place_on_slices(mask, np.array([52.0, 50.0, 40.4, 38.9, 36.0, 2.0])).tolist() == [-1, -1, 0, 1, 2, -1]
    assert place_on_slices(Mask(LABELS, None), POSITIONS[:3]).tolist() == [-1, -1, -1]


def test_small_regions_apart_go_and_the_parts_of_a_broken_vertebra_stay() -> None:
    labels = np.zeros((6, 20, 20), np.uint8)
    labels[1:5, 2:9, 2:9] = 3
    labels[1:5, 2:9, 11:14] = 3  # a fragment: 43 % of the larger part
    labels[0, 18, 18] = 3  # a slip of the pen
    labels[5, 0:2, 0:2] = 4
    clean, removed = without_strays(labels)
    assert removed == 1 and clean[0, 18, 18] == 0
    labels[0, 18, 18] = 0
    assert np.array_equal(clean, labels)


def test_presence_labels_survive_bad_masks_and_name_them(tmp_path: Path) -> None:
    folder = tmp_path / "raw" / "segmentations"
    folder.mkdir(parents=True)
    save(folder / "whole.nii", in_ras(), ras_affine())
    save(folder / "short.nii", in_ras(), ras_affine())
    (folder / "torn.nii").write_bytes(b"torn")
    save(folder / "lost.nii", in_ras(), ras_affine())
    listed = "StudyInstanceUID,file\n" + "".join(f"{u},{u}.nii\n" for u in ("whole", "short", "torn", "lost"))
    (tmp_path / "list.csv").write_text(listed)
    rows = [("whole", z, p) for z, p in enumerate(POSITIONS)] + [("short", z, p) for z, p in enumerate(POSITIONS[1:])]
    rows += [("torn", 0, 0.0)]
    index = pd.DataFrame(rows, columns=[UID, "z_index", "position"]).assign(cohort="train")
    index["slice_number"] = index["z_index"] + 7
    write_table(index, tmp_path / "slices.parquet")
    out = {name: tmp_path / f"{name}.parquet" for name in ("presence", "findings")}
    label_presence(tmp_path / "raw", tmp_path / "list.csv", tmp_path / "slices.parquet", **out)
    table = read_table(out["presence"])
    assert set(table[UID]) == {"whole", "short"}
    present = {uid: rows[list(VERTEBRAE)].to_numpy().T.tolist() for uid, rows in table.groupby(UID)}
    assert present["whole"][:2] == [[1, 0, 0, 0, 0], [0, 1, 1, 0, 0]]
    assert present["short"][:2] == [[0, 0, 0, 0], [1, 1, 0, 0]]  # its first slice is missing: C1 is not in it
    codes = read_table(out["findings"]).set_index(UID)["code"].to_dict()
    assert codes == {
        "short": "mask-other-slice-count",
        "torn": "mask-unreadable",
        "lost": "mask-without-slices",
    }
