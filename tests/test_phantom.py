"""The phantom: Kaggle's layout to the letter, a truth that agrees with the pixels, always the same bytes."""

from __future__ import annotations

import struct
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import imagecodecs
import numpy as np
import pandas as pd
import pytest
from pydicom import dcmread
from pydicom.encaps import generate_frames

from cspine.dicom import read_study
from cspine.errors import CspineError
from cspine.phantom.dicom_files import AIR, SliceWriter, outside_field, read_hu
from cspine.phantom.plans import PhantomConfig, StudyPlan, plan_studies
from cspine.phantom.rendering import Rendered, longest_run, render_study
from cspine.phantom.storage import EXPLICIT, FORMATS, IMPLICIT, JPEG_LOSSLESS, PixelFormat
from cspine.phantom.study_files import make_study
from cspine.phantom.truth import published_boxes, runs
from cspine.stages.make_phantom import make_phantom
from cspine.studies import LABELS, UID, VERTEBRAE
from cspine.tables import read_table

CONFIG = PhantomConfig(
    seed=3,
    studies=8,
    test_studies=3,
    fractured_share=0.5,
    segmented=2,
    pixels=64,
    slices=[20, 24],
    jpeg_lossless_share=0.25,
    reversed_share=0.25,
)
PRESENT = [f"present_{v}" for v in VERTEBRAE]
FRACTURED = [f"fractured_{v}" for v in VERTEBRAE]


def _make(folder: Path) -> Path:
    make_phantom(folder / "data", folder / "truth", folder / "manifest.csv", config=CONFIG)
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _make(tmp_path_factory.mktemp("phantom"))


@pytest.fixture(scope="module")
def slices(made: Path) -> pd.DataFrame:
    return read_table(made / "truth/slices.parquet")


@pytest.fixture(scope="module")
def studies(made: Path) -> pd.DataFrame:
    return read_table(made / "truth/studies.parquet").set_index(UID)


@pytest.fixture(scope="module")
def broken() -> tuple[StudyPlan, Rendered]:
    """A fractured study with everything a plan can ask for, rendered."""
    plan = next(p for p in plan_studies(CONFIG) if p.fractured)
    plan = replace(plan, boxed=True, box_gap=False, segmented=True, mask_thoracic=2, first_number=5)
    plan = replace(plan, mask_strays=False, missing_file=False, pixels=CONFIG.pixels)
    return plan, render_study(plan, CONFIG)


def test_one_worker_and_two_give_the_same_bytes(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CSPINE_WORKERS", "2")
    again = _make(tmp_path)
    for name in ("manifest.csv", "truth/slices.parquet", "truth/studies.parquet", "truth/test.csv"):
        assert (again / name).read_bytes() == (made / name).read_bytes(), name


def test_a_study_made_alone_has_the_bytes_it_has_in_the_set(made: Path, tmp_path: Path) -> None:
    manifest = pd.read_csv(made / "manifest.csv").set_index("path")
    record = make_study(plan_studies(CONFIG)[-1], CONFIG, tmp_path)
    assert all(manifest.loc[f.path, "digest"] == f.digest for f in record.files)


def test_a_second_run_over_a_first_one_changes_nothing(made: Path) -> None:
    before = (made / "manifest.csv").read_bytes()
    _make(made)
    assert (made / "manifest.csv").read_bytes() == before


def test_another_seed_gives_other_studies() -> None:
    first, second = plan_studies(CONFIG), plan_studies(replace(CONFIG, seed=4))
    assert {p.uid for p in first} != {p.uid for p in second}


def test_the_manifest_lists_every_file_of_the_data(made: Path) -> None:
    manifest = pd.read_csv(made / "manifest.csv")
    files = sorted(p.relative_to(made / "data").as_posix() for p in (made / "data").rglob("*") if p.is_file())
    assert list(manifest["path"]) == files
    assert list(manifest["size"]) == [(made / "data" / path).stat().st_size for path in files]


def test_the_tables_have_kaggles_columns(made: Path) -> None:
    columns = {p.name: list(pd.read_csv(p).columns) for p in (made / "data").glob("*.csv")}
    assert columns == {
        "train.csv": [UID, *LABELS],
        "train_bounding_boxes.csv": [UID, "x", "y", "width", "height", "slice_number"],
        "test.csv": ["row_id", UID, "prediction_type"],
        "sample_submission.csv": ["row_id", "fractured"],
    }
    assert list(pd.read_csv(made / "truth/test.csv").columns) == [UID, *LABELS]


def test_every_study_has_its_folder_and_one_test_id_has_none(made: Path) -> None:
    data = made / "data"
    train, test = pd.read_csv(data / "train.csv"), pd.read_csv(data / "test.csv")
    assert set(train[UID]) == {p.name for p in (data / "train_images").iterdir()}
    folders = {p.name for p in (data / "test_images").iterdir()}
    assert folders == set(pd.read_csv(made / "truth/test.csv")[UID])
    assert folders < set(test[UID]) and len(set(test[UID]) - folders) == 1


def test_every_test_study_is_asked_for_eight_times(made: Path) -> None:
    test = pd.read_csv(made / "data/test.csv")
    sample = pd.read_csv(made / "data/sample_submission.csv")
    assert list(test["row_id"]) == list(test[UID] + "_" + test["prediction_type"])
    assert sorted(sample["row_id"]) == sorted(test["row_id"]) and set(sample["fractured"]) == {0.5}
    assert all(sorted(rows) == sorted(LABELS) for _, rows in test.groupby(UID)["prediction_type"])


def test_uids_are_not_made_in_text_order(made: Path) -> None:
    uids = list(pd.read_csv(made / "data/train.csv")[UID])
    assert uids != sorted(uids) and all(uid.startswith("1.2.826.0.1.3680043.") for uid in uids)


def test_patient_overall_is_the_largest_label(made: Path) -> None:
    for name in ("data/train.csv", "truth/test.csv"):
        table = pd.read_csv(made / name)
        assert (table["patient_overall"] == table[list(VERTEBRAE)].max(axis=1)).all()


def test_the_labels_say_what_the_slices_show(made: Path, slices: pd.DataFrame) -> None:
    labels = pd.concat([pd.read_csv(made / "data/train.csv"), pd.read_csv(made / "truth/test.csv")])
    shown = slices.groupby(UID)[FRACTURED].max().loc[labels[UID]]
    assert (shown.to_numpy() == labels[list(VERTEBRAE)].to_numpy()).all()
    assert (slices[FRACTURED].to_numpy() <= slices[PRESENT].to_numpy()).all()


def test_every_study_shows_all_vertebrae_from_the_head_down(slices: pd.DataFrame) -> None:
    for _, rows in slices.groupby(UID):
        rows = rows.sort_values("z_index")
        middles = [np.flatnonzero(rows[column])[[0, -1]].mean() for column in PRESENT]
        assert middles == sorted(middles)
        assert rows["position"].is_monotonic_decreasing


def test_boxes_belong_to_fractured_slices_one_each(made: Path, slices: pd.DataFrame) -> None:
    boxes = pd.read_csv(made / "data/train_bounding_boxes.csv")
    boxed = [p.uid for p in plan_studies(CONFIG) if p.boxed]
    assert list(dict.fromkeys(boxes[UID])) == boxed
    assert not boxes.duplicated([UID, "slice_number"]).any()
    joined = boxes.merge(slices, on=[UID, "slice_number"], suffixes=("", "_true"), validate="one_to_one")
    assert len(joined) == len(boxes) and (joined[FRACTURED].max(axis=1) == 1).all()
    for column in ("x", "y", "width", "height"):
        assert np.allclose(joined[column], joined[f"{column}_true"])


def test_a_box_encloses_all_clefts_of_its_slice_and_stays_in_the_image(
    broken: tuple[StudyPlan, Rendered], tmp_path: Path
) -> None:
    plan, rendered = broken
    record = make_study(plan, CONFIG, tmp_path)
    fractured = rendered.fractured()
    assert {t.plane for t in record.boxes} == set(np.flatnonzero(fractured.any(axis=1)))
    for truth in record.boxes:
        seen = np.flatnonzero(fractured[truth.plane]) + 1
        rows, columns = np.nonzero(np.isin(rendered.clefts[truth.plane], seen))
        x, y, width, height = truth.box
        assert 0 <= x <= columns.min() and columns.max() + 1 <= x + width <= CONFIG.pixels
        assert 0 <= y <= rows.min() and rows.max() + 1 <= y + height <= CONFIG.pixels


def test_a_gap_leaves_out_one_to_three_slices_inside_a_run(tmp_path: Path) -> None:
    config = replace(CONFIG, slices=[64, 64])
    plan = replace(next(p for p in plan_studies(config) if p.fractured == ("C7",)), boxed=True, missing_file=False)
    record = make_study(replace(plan, box_gap=True), config, tmp_path)
    whole = published_boxes(replace(plan, box_gap=False), record.truths, config)
    assert [t.slice_number for t in whole] == [t.slice_number for t in record.truths if any(t.fractured)]
    assert len(runs([t.slice_number for t in whole])) == 1
    first, second = runs([t.slice_number for t in record.boxes])
    assert 1 <= second[0] - first[-1] - 1 <= 3 and len(first) + len(second) < len(whole)


def test_a_cleft_is_darker_than_the_bone_it_runs_through(broken: tuple[StudyPlan, Rendered]) -> None:
    plan, rendered = broken
    level = VERTEBRAE.index(plan.fractured[0]) + 1
    cleft = rendered.clefts == level
    assert rendered.hu[cleft].mean() < rendered.hu[(rendered.labels == level) & ~cleft].mean() - 150


def test_contrast_and_noise_do_what_they_say() -> None:
    plan = next(p for p in plan_studies(CONFIG) if p.fractured)
    clear, faint = (render_study(plan, replace(CONFIG, cleft_contrast=c, noise=0.0)) for c in (1.0, 0.3))
    assert (clear.clefts == faint.clefts).all()
    assert clear.hu[clear.clefts > 0].mean() < faint.hu[faint.clefts > 0].mean() - 100
    noisy = render_study(plan, replace(CONFIG, noise=25.0))
    upper = slice(len(clear.hu) // 2)  # above the shoulders, where there is more of it
    muscle = (clear.hu[upper] > 50) & (clear.hu[upper] < 60)
    noise = (noisy.hu[upper] - clear.hu[upper])[muscle]
    assert np.std(noise.astype(float)) == pytest.approx(25, rel=0.15)


def test_file_names_positions_and_truth_agree_in_normal_and_reversed_studies(
    made: Path, slices: pd.DataFrame, studies: pd.DataFrame
) -> None:
    assert set(studies["reversed"]) == {True, False} and studies["first_number"].max() > 1
    for uid, rows in slices.groupby(UID):
        folder = made / "data" / f"{rows['cohort'].iloc[0]}_images" / str(uid)
        headers = {int(p.stem): dcmread(p, stop_before_pixels=True) for p in folder.glob("*.dcm")}
        assert sorted(headers) == list(rows["slice_number"])
        assert all(ds.InstanceNumber == number for number, ds in headers.items())
        z = [float(headers[number].ImagePositionPatient[2]) for number in sorted(headers)]
        assert z == list(rows["position"])
        assert z == sorted(z, reverse=not studies["reversed"][uid])


def test_no_header_names_a_person_or_a_day(made: Path) -> None:
    for path in (made / "data").glob("*_images/*/*.dcm"):
        for element in dcmread(path, stop_before_pixels=True):
            assert element.VR not in {"DA", "TM", "DT"}
            names_a_person = element.VR == "PN" or element.keyword == "PatientID"
            assert not (names_a_person and element.value)


@pytest.mark.parametrize("stored", FORMATS)
def test_jpeg_lossless_decodes_to_the_pixels_of_its_uncompressed_twins(
    broken: tuple[StudyPlan, Rendered], stored: PixelFormat
) -> None:
    plan, rendered = broken
    syntaxes = (EXPLICIT, IMPLICIT, JPEG_LOSSLESS)
    twins = [replace(plan, stored=stored, syntax=syntax) for syntax in syntaxes]
    files = [dcmread(BytesIO(SliceWriter(t, rendered.grid).encode(rendered.hu[10], 11, 1.5))) for t in twins]
    assert [str(ds.file_meta.TransferSyntaxUID) for ds in files] == list(syntaxes)
    plain, implicit, packed = (ds.pixel_array for ds in files)
    assert (plain == packed).all() and (plain == implicit).all()
    assert plain.dtype == (np.int16 if stored.signed else np.uint16)
    assert plain.max() < 2 ** (stored.bits_stored - stored.signed)
    frame = imagecodecs.jpeg8_decode(next(generate_frames(files[2].PixelData, number_of_frames=1)))
    assert (frame == plain.view(np.uint16)).all()


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, JPEG_LOSSLESS])
@pytest.mark.parametrize("stored", FORMATS)
def test_the_pipelines_reader_finds_the_hounsfield_values_that_were_rendered(
    broken: tuple[StudyPlan, Rendered], stored: PixelFormat, syntax: str, tmp_path: Path
) -> None:
    plan, rendered = broken
    writer = SliceWriter(replace(plan, stored=stored, syntax=syntax), rendered.grid)
    for plane in (9, 10):
        (tmp_path / f"{plane}.dcm").write_bytes(writer.encode(rendered.hu[plane], plane, float(-plane)))
    study = read_study(tmp_path)
    expected = rendered.hu[9:11].copy()
    if stored.padding is not None:
        expected[:, outside_field(expected.shape[1:])] = AIR
        assert (rendered.hu[9:11] != expected).any()
    assert all((found == wanted).all() for found, wanted in zip(study.hounsfield, expected, strict=True))
    assert {f.code for f in study.findings} == ({"padding"} if stored.padding is not None else set())
    assert (read_hu(tmp_path / "9.dcm") == expected[0]).all()


@pytest.mark.parametrize("reverse", [False, True])
def test_a_mask_lies_over_the_slices_after_the_documented_turns(
    broken: tuple[StudyPlan, Rendered], reverse: bool, tmp_path: Path
) -> None:
    plan = replace(broken[0], reversed=reverse)
    record = make_study(plan, CONFIG, tmp_path)
    mask = _read_nifti(tmp_path / f"segmentations/{plan.uid}.nii").transpose(2, 1, 0)[:, ::-1]
    mask = mask if reverse else mask[::-1]
    folder = tmp_path / f"{plan.cohort}_images" / plan.uid
    for truth, labels in zip(record.truths, mask, strict=True):
        assert tuple(int((labels == v).any()) for v in range(1, 8)) == truth.present
        z_labels = broken[1].labels[truth.plane]
        assert (labels == z_labels).all()
        hu = read_hu(folder / f"{truth.slice_number}.dcm")
        assert not labels.any() or hu[labels > 0].mean() > hu[labels == 0].mean() + 150
    assert mask.max() >= 8


def test_a_mask_says_in_its_header_where_it_lies(broken: tuple[StudyPlan, Rendered], tmp_path: Path) -> None:
    plan, rendered = broken
    make_study(plan, CONFIG, tmp_path)
    header = (tmp_path / f"segmentations/{plan.uid}.nii").read_bytes()[:352]
    affine = np.array([struct.unpack_from("<4f", header, at) for at in (280, 296, 312)])
    last = np.array([*(n - 1 for n in rendered.labels.shape[::-1]), 1])
    corner = affine @ last * [-1, -1, 1]  # RAS to the patient axes of DICOM
    grid = rendered.grid
    assert corner == pytest.approx([grid.x[-1], grid.y[0], grid.z[0]], abs=1e-3)


def test_masks_belong_to_the_studies_the_plan_names(made: Path) -> None:
    found = {p.stem for p in (made / "data/segmentations").glob("*.nii")}
    assert found == {p.uid for p in plan_studies(CONFIG) if p.segmented} and len(found) == 2


def test_truth_inside_the_data_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CspineError, match="truth"):
        make_phantom(tmp_path, tmp_path / "truth", tmp_path.parent / "m.csv", config=CONFIG)


def test_a_folder_with_other_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/own.txt").write_text("mine")
    with pytest.raises(CspineError, match=r"own\.txt"):
        _make(tmp_path)


@pytest.mark.parametrize(("key", "value"), [("fractured_share", 1.2), ("slices", [40, 30]), ("cleft_contrast", 0.0)])
def test_a_wrong_key_is_named(key: str, value: object) -> None:
    with pytest.raises(CspineError, match=f"phantom.{key}"):
        replace(CONFIG, **{key: value})  # type: ignore[arg-type]


def test_a_phantom_without_fractures_has_an_empty_box_table(tmp_path: Path) -> None:
    config = replace(CONFIG, studies=2, test_studies=1, fractured_share=0.0, segmented=0, pixels=48)
    make_phantom(tmp_path / "data", tmp_path / "truth", tmp_path / "manifest.csv", config=config)
    boxes = pd.read_csv(tmp_path / "data/train_bounding_boxes.csv")
    assert list(boxes.columns) == [UID, "x", "y", "width", "height", "slice_number"] and boxes.empty
    assert not pd.read_csv(tmp_path / "data/train.csv")[list(LABELS)].to_numpy().any()


def test_longest_run() -> None:
    assert longest_run(np.array([1, 1, 0, 1, 1, 1, 0], bool)) == 3 and longest_run(np.zeros(4, bool)) == 0


def _read_nifti(path: Path) -> np.ndarray:
    content = path.read_bytes()
    shape = struct.unpack_from("<3h", content, 42)
    return np.frombuffer(content, np.uint8, offset=352).reshape(shape, order="F")
