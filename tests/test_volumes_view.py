"""The view ``volume``: a voxel lands where it lies in the patient, however its study was stored; else the floor."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from cspine.cache.encodings import read_encoding
from cspine.cache.reading import SliceCache
from cspine.cache.shards import read_metadata
from cspine.dicom import read_study
from cspine.errors import CspineError
from cspine.fingerprint import closure
from cspine.stages.ingest_volumes import VolumesConfig, ingest_volumes
from cspine.stages.plan_volumes import PlanVolumesConfig, plan_volumes
from cspine.tables import read_table
from cspine.views import crop_rows
from cspine.views import volume_rows as rows_module
from cspine.views.resampling import cube_of
from cspine.views.stacks import Stack, stack_of_study
from cspine.views.study_rows import StudyJob
from cspine.views.volume_rows import VolumeForm, volume_study
from cspine.views.volumes import ras_of, stack_of
from dicom_makers import AXIAL, dicom_bytes, write_csv
from small_caches import encoding_file

LOW, HIGH, BONE = -1000.0, 1900.0, 1900
ROWS, COLUMNS, SPACING = 40, 50, (1.0, 0.8)  # 40 mm each way
#: patient's mm, DICOM's axes (+x left, +y back, +z head) of the middle of the marker
MARKER = np.array([9.0, -7.0, 21.0])
MIDDLE = np.array([0.0, 0.0, 10.0])  # of all that is scanned
HEIGHTS: list[float] = np.arange(-9.5, 30.0, 1.0).tolist()  # 40 slices


def basis(orientation: Sequence[float]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Unit vectors along the rows and down the columns of a stored image."""
    return np.array(orientation[:3], float), np.array(orientation[3:], float)


def write_marked(
    folder: Path, heights: Sequence[float], orientation: Sequence[float] = AXIAL, slide: float = 0.0, **options: Any
) -> Path:
    """Air with a ball of bone at MARKER, stored as told: every voxel's value follows from where it lies."""
    along, down = basis(orientation)
    folder.mkdir(parents=True)
    r, c = np.mgrid[:ROWS, :COLUMNS].astype(float)
    for i, z in enumerate(heights):
        middle = np.array([0.0, slide * (z - MIDDLE[2]), z])
        origin = middle - along * SPACING[1] * (COLUMNS - 1) / 2 - down * SPACING[0] * (ROWS - 1) / 2
        places = origin + c[..., None] * SPACING[1] * along + r[..., None] * SPACING[0] * down
        image = np.where(np.linalg.norm(places - MARKER, axis=-1) < 3.0, BONE, -1000).astype(np.int16)
        content = dicom_bytes(
            image, position=origin.tolist(), orientation=orientation, spacing=SPACING, number=i + 1, **options
        )
        (folder / f"{i + 1}.dcm").write_bytes(content)
    return folder


def volume_of(folder: Path, pixels: int = 44, spacing: float = 1.0) -> NDArray[np.uint8]:
    """RAS+ (x, y, z)."""
    stack = stack_of_study(read_study(folder), LOW, HIGH, spacing)
    return cube_of(stack, pixels, spacing, HIGH - LOW).levels


def marker_in(volume: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Where the bright voxels are, as a mean."""
    places = np.argwhere(volume > 127)
    assert len(places)
    return np.asarray(places.mean(axis=0))


def expected_at(pixels: int, spacing: float) -> NDArray[np.float64]:
    """The voxel of MARKER in a cube around MIDDLE: x to the patient's right, y to the front, z to the head."""
    ras = (MARKER - MIDDLE) * [-1, -1, 1]
    return np.asarray(ras / spacing + (pixels - 1) / 2)


TURNED = np.radians(10)
WAYS: dict[str, dict[str, Any]] = {
    "head to feet": {"heights": HEIGHTS[::-1]},
    "feet to head": {"heights": HEIGHTS},
    "quarter turn in the plane": {"heights": HEIGHTS, "orientation": (0, 1, 0, -1, 0, 0)},
    "upside down": {"heights": HEIGHTS, "orientation": (-1, 0, 0, 0, -1, 0)},
    "ten degrees in the plane": {
        "heights": HEIGHTS[::-1],
        "orientation": (np.cos(TURNED), np.sin(TURNED), 0, -np.sin(TURNED), np.cos(TURNED), 0),
    },
    "tilted gantry": {
        "heights": HEIGHTS[::-1],
        "orientation": (1, 0, 0, 0, np.cos(TURNED), np.sin(TURNED)),
    },
    "uneven slices": {"heights": [*HEIGHTS[:25:-1], *HEIGHTS[24::-3]]},
    "compressed": {"heights": HEIGHTS[::-1], "syntax": "1.2.840.10008.1.2.4.70"},
}


@pytest.mark.parametrize("way", list(WAYS))
@pytest.mark.parametrize("spacing", [1.0, 2.5])
def test_a_voxel_lands_where_it_lies_in_the_patient(tmp_path: Path, way: str, spacing: float) -> None:
    folder = write_marked(tmp_path / "study", **WAYS[way])
    pixels = round(44 / spacing)
    found = marker_in(volume_of(folder, pixels, spacing))
    assert np.abs(found - expected_at(pixels, spacing)).max() < 1.0, found


def test_a_marker_on_the_patients_left_is_in_the_right_half_of_the_cached_slice_and_far_up(tmp_path: Path) -> None:
    """As a radiologist sees a slice: the patient's right is on the left, the front above."""
    folder = write_marked(tmp_path / "study", HEIGHTS)
    form = VolumeForm(44, 44.0, (LOW, HIGH), "zstd-delta")
    rows = volume_study(StudyJob(folder, tuple((f.name, f.stat().st_size) for f in folder.iterdir())), form).rows
    stack = stack_of(volume_of(folder))
    z, row, column = marker_in(stack)
    assert column > 22 and row < 22 and z < 22  # left, in front, towards the head
    assert [r["z_index"] for r in rows] == list(range(44))
    assert abs(rows[round(z)]["position"] - MARKER[2]) < 1 and rows[0]["position"] > rows[-1]["position"]
    assert {(r["rows"], r["columns"], r["row_spacing"], r["column_spacing"]) for r in rows} == {(44, 44, 1.0, 1.0)}


def test_a_stack_and_its_volume_are_the_same_voxels() -> None:
    stack = np.arange(27).reshape(3, 3, 3)
    assert np.array_equal(stack_of(ras_of(stack)), stack)
    assert ras_of(stack)[2, 2, 2] == stack[0, 0, 0]  # the patient's right, front, head


def constant(values: NDArray[np.int16], spacing: float = 1.0) -> Stack:
    return Stack(values, np.diag([spacing, spacing, -spacing, 1.0]))


@pytest.mark.parametrize(
    ("hounsfield", "level"),
    [(-3000, 0), (-1000, 0), (-989, 1), (450, 128), (1900, 255), (1889, 254), (20000, 255)],
)
def test_the_clamp_becomes_eight_bits_and_what_lies_beyond_it_its_ends(
    tmp_path: Path, hounsfield: int, level: int
) -> None:
    tmp_path.joinpath("study").mkdir()
    for i in range(16):
        image = np.full((16, 16), hounsfield, np.int16)
        content = dicom_bytes(image, position=(0, 0, -i), number=i + 1, spacing=(1, 1), bits=16, signed=True)
        (tmp_path / "study" / f"{i + 1}.dcm").write_bytes(content)
    assert (volume_of(tmp_path / "study", 16) == level).all()


def test_what_the_study_does_not_show_is_the_floor_and_what_it_shows_is_in_the_middle() -> None:
    cube = cube_of(constant(np.full((10, 12, 14), 2900, np.int16)), 20, 1.0, 2900.0)
    shown = np.argwhere(cube.levels == 255)
    assert np.array_equal(shown.min(axis=0), [3, 4, 5]) and np.array_equal(shown.max(axis=0), [16, 15, 14])
    assert (cube.levels == 0).sum() + (cube.levels == 255).sum() == 20**3


def test_a_study_larger_than_the_cube_is_cut_at_all_sides_alike() -> None:
    values = np.zeros((30, 30, 30), np.int16)
    values[10:20, 10:20, 10:20] = 2900
    assert (cube_of(constant(values), 10, 1.0, 2900.0).levels == 255).all()


def test_voxels_coarser_than_pixels_are_means_of_them_and_not_samples(tmp_path: Path) -> None:
    """A pattern that changes from pixel to pixel is grey from afar."""
    tmp_path.joinpath("study").mkdir()
    y, x = np.mgrid[:32, :32]
    for z in range(32):
        image = np.where((x + y + z) % 2, 1900, -1000).astype(np.int16)
        content = dicom_bytes(image, position=(0, 0, -z), number=z + 1, spacing=(1, 1))
        (tmp_path / "study" / f"{z + 1}.dcm").write_bytes(content)
    volume = volume_of(tmp_path / "study", 8, 4.0)
    assert volume.min() >= 127 and volume.max() <= 128


def test_slices_of_another_size_lie_where_their_headers_say(tmp_path: Path) -> None:
    """Half of the study in pixels of half the size, and of another field."""
    folder = write_marked(tmp_path / "study", HEIGHTS[::-1])
    r, c = np.mgrid[:64, :64].astype(float)
    for i, z in enumerate(HEIGHTS[::-1]):
        if z < MARKER[2]:
            continue
        origin = np.array([-12.0, -16.0, z])
        places = origin + c[..., None] * [0.5, 0, 0] + r[..., None] * [0, 0.5, 0]
        image = np.where(np.linalg.norm(places - MARKER, axis=-1) < 3.0, BONE, -1000).astype(np.int16)
        content = dicom_bytes(image, position=origin.tolist(), spacing=(0.5, 0.5), number=i + 1)
        (folder / f"{i + 1}.dcm").write_bytes(content)
    assert {image.shape for image in read_study(folder).hounsfield} == {(ROWS, COLUMNS), (64, 64)}
    assert np.abs(marker_in(volume_of(folder)) - expected_at(44, 1.0)).max() < 1.0


def test_one_slice_is_a_volume_as_thick_as_its_header_says(tmp_path: Path) -> None:
    folder = write_marked(tmp_path / "study", [MARKER[2]], SliceThickness=5)
    shown = np.argwhere(volume_of(folder, 44) > 127)
    assert np.ptp(shown[:, 2]) + 1 == 5


# ---------------------------------------------------------------------------------------------------- the stages

CONFIG = VolumesConfig(side=40.0)


def raw(folder: Path) -> Path:
    images = folder / "raw" / "train_images"
    for name, heights in {"down": HEIGHTS[::-1], "gap": [*HEIGHTS[:25:-1], *HEIGHTS[15::-1]], "up": HEIGHTS}.items():
        write_marked(images / name, heights)
    (images / "bad").mkdir()
    (images / "bad" / "1.dcm").write_bytes(b"no image")
    return folder / "raw"


def listing(root: Path, path: Path) -> Path:
    files = sorted((root / "train_images").rglob("*.dcm"))
    rows = [{"StudyInstanceUID": f.parent.name, "file": f.name, "size": f.stat().st_size} for f in files]
    write_csv(path, ("StudyInstanceUID", "file", "size", "digest"), rows)
    return path


def run(root: Path, out: Path, inventory: Path, codec: str = "zstd-delta") -> Path:
    out.mkdir(exist_ok=True)
    tables = {name: out / f"{name}.parquet" for name in ("shard", "findings")}
    ingest_volumes(root, inventory, encoding_file(out, 20, codec), **tables, config=CONFIG)
    return out


def test_the_cache_holds_a_cube_for_each_study_that_can_be_read_and_gaps_are_told(tmp_path: Path) -> None:
    root = raw(tmp_path)
    out = run(root, tmp_path / "out", listing(root, tmp_path / "list.csv"))
    cache = SliceCache([out / "shard.parquet"])
    assert [uid in cache for uid in ("bad", "down", "gap", "up")] == [False, True, True, True]
    down, up, gap = (cache.read(uid, range(cache.slices_of(uid))) for uid in ("down", "up", "gap"))
    assert down.shape == (20, 20, 20) and np.array_equal(down, up)
    assert np.array_equal(ras_of(down), volume_of(root / "train_images" / "down", 20, 2.0))
    assert np.abs(marker_in(ras_of(gap)) - expected_at(20, 2.0)).max() < 1.0
    findings = read_table(out / "findings.parquet")
    assert findings[["StudyInstanceUID", "code"]].to_numpy().tolist() == [["gap", "gaps-filled"]]
    assert findings["detail"][0] == "gaps of 1.00 to 11.00 mm, mostly 1.00; 30 slices became 40"
    assert {k: read_metadata(out / "shard.parquet")[k] for k in ("view", "spacing", "clamp", "pixels")} == {
        "view": "volume",
        "spacing": 2.0,
        "clamp": [-1000.0, 1900.0],
        "pixels": 20,
    }


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_study_that_kills_its_process_costs_itself_and_the_others_are_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: str
) -> None:
    root = raw(tmp_path)
    inventory = listing(root, tmp_path / "list.csv")
    whole = SliceCache([run(root, tmp_path / "whole", inventory) / "shard.parquet"])
    monkeypatch.setenv("CSPINE_WORKERS", workers)
    monkeypatch.setenv("CSPINE_FAULT", "read-study-down:1:SIGKILL")
    out = run(root, tmp_path / "out", inventory)
    cache = SliceCache([out / "shard.parquet"])
    assert "down" not in cache
    for uid in ("gap", "up"):
        assert np.array_equal(cache.read(uid, range(20)), whole.read(uid, range(20)))
    lost = read_table(out / "findings.parquet").query("code == 'decoder-crash'")
    assert lost[["StudyInstanceUID", "consequence"]].to_numpy().tolist() == [
        ["down", "study has no volume; predicted from the prior"]
    ]


def test_a_study_that_cannot_be_resampled_costs_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise RuntimeError("Exception thrown in SimpleITK: the direction is not invertible")

    monkeypatch.setattr(rows_module, "cube_of", refuse)
    folder = write_marked(tmp_path / "study", HEIGHTS)
    job = StudyJob(folder, tuple((f.name, f.stat().st_size) for f in folder.iterdir()))
    made = volume_study(job, VolumeForm(20, 40.0, (LOW, HIGH), "zstd-delta"))
    assert made.rows == [] and [f.code for f in made.findings] == ["not-resampled"]


def test_every_reason_code_of_crops_and_volumes_is_explained() -> None:
    text = Path(__file__).parents[1].joinpath("docs/findings.md").read_text(encoding="utf-8")
    assert [code for code in {**crop_rows.CONSEQUENCES, **rows_module.CONSEQUENCES} if f"`{code}`" not in text] == []


def test_the_plan_projects_what_is_then_written_and_a_step_down_keeps_the_cube(tmp_path: Path) -> None:
    root = raw(tmp_path)
    (root / "test_images").mkdir()
    inventory = listing(root, tmp_path / "list.csv")
    empty = listing(tmp_path / "nothing", tmp_path / "empty.csv")
    place = tmp_path / "work" / "plan_volumes" / "key"
    place.mkdir(parents=True)
    form, plan = place / "form.json", place / "plan.json"
    config = PlanVolumesConfig(view="volume", pixels=20, spacing=2.0, step_down=[{"pixels": 10}])
    plan_volumes(root, [inventory], [empty], form, plan, config=config)
    assert (read_encoding(form).pixels, read_encoding(form).codec) == (20, "zstd-delta")
    figures = json.loads(plan.read_text())
    assert figures["files"] == {"train": 4, "test": 0} and figures["sampled"] == {
        "studies": 4,
        "files": 4,
        "slices": 60,
    }
    out = run(root, tmp_path / "out", inventory)
    written, fixed = (out / "shard.parquet").stat().st_size, 2 * 2500
    assert abs(figures["encodings"][0]["bytes"] - written) < fixed
    coarse = VolumeForm(10, config.pixels * config.spacing, (LOW, HIGH), "zstd-delta")
    assert coarse.spacing == 4.0


def test_memory_holds_two_studies_a_worker_and_of_one_the_coarse_stack_only(tmp_path: Path) -> None:
    """What is stored in the files is half a megabyte a slice; the stack is made in pixels near the volume's."""
    folder = write_marked(tmp_path / "study", HEIGHTS)
    stack = stack_of_study(read_study(folder), LOW, HIGH, 4.0)
    assert stack.values.shape == (10, 10, 10) and stack.values.dtype == np.int16


def test_an_empty_range_is_refused() -> None:
    with pytest.raises(CspineError, match=r"views\.volume\.clamp is \[5\.0, 5\.0\]; \[lowest, highest\] is needed"):
        VolumesConfig(clamp=[5.0, 5.0])


def test_code_of_volumes_and_crops_is_in_no_key_of_the_slices() -> None:
    inside = closure("cspine.stages.ingest") | closure("cspine.stages.plan_cache")
    of_others = {"resampling", "stacks", "volumes", "volume_rows", "fields", "crop_rows", "crop_places", "shard_rows"}
    assert not inside & {f"cspine.views.{name}" for name in of_others}
