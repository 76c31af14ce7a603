"""The rendered neck: plausible Hounsfield units, anatomy in its place, fractures and distractors as they are told."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cspine.errors import CspineError
from cspine.phantom.anatomy import vertebrae
from cspine.phantom.artefacts import METAL, add_noise, shoulder_share
from cspine.phantom.distractors import KINDS, draw_distractors
from cspine.phantom.patients import CROP, OFF_CENTRE, draw_patient, frames, make_grid
from cspine.phantom.plans import PhantomConfig, StudyPlan, plan_studies
from cspine.phantom.rendering import MOST, Rendered, longest_run, render_study
from cspine.phantom.textures import resample
from cspine.studies import VERTEBRAE

CONFIG = PhantomConfig(seed=7, studies=4, test_studies=1, segmented=0, pixels=128, slices=[78, 78], distractors=0.0)
SMOOTH = replace(CONFIG, noise=0.0, streaks=0.0)
PLAN = replace(
    plan_studies(CONFIG)[0], fractured=(), pixels=128, slices=78, starts_below=0.0, box_gap=False, mixed_sizes=False
)


def _render(config: PhantomConfig, index: int = 0, fractured: tuple[str, ...] = (), **plan: object) -> Rendered:
    changed: StudyPlan = replace(PLAN, index=index, fractured=fractured, **plan)  # type: ignore[arg-type]
    return render_study(changed, config)


@pytest.fixture(scope="module")
def smooth() -> Rendered:
    """An unbroken neck without noise and streaks."""
    return _render(SMOOTH)


def _slices(rendered: Rendered, label: int) -> np.ndarray:
    return np.flatnonzero((rendered.labels == label).any(axis=(1, 2)))


def test_two_calls_give_equal_bytes() -> None:
    config = replace(CONFIG, distractors=3.0, pixels=64, slices=[20, 20])
    first, second = (_render(config, fractured=("C2", "C6"), pixels=64, slices=20) for _ in range(2))
    for name in ("hu", "labels", "clefts"):
        assert getattr(first, name).tobytes() == getattr(second, name).tobytes()
    assert first.distractors == second.distractors and first.sites == second.sites


@pytest.mark.parametrize(
    ("tissue", "low", "high", "share"),
    [("air", -1024, -950, 0.05), ("fat", -130, -70, 0.05), ("muscle", 30, 75, 0.15)],
)
def test_soft_tissues_hold_their_share_of_the_volume(
    smooth: Rendered, tissue: str, low: int, high: int, share: float
) -> None:
    """Ranges: air -1000, fat -100 and muscle 55 HU with partial volume left out."""
    assert np.mean((smooth.hu >= low) & (smooth.hu <= high)) > share, tissue


@pytest.mark.parametrize("index", range(3))
def test_bone_is_dense_outside_and_spongy_inside(index: int) -> None:
    rendered = _render(SMOOTH, index)
    bodies = np.isin(rendered.labels, (3, 4, 5, 6))
    inner = bodies.copy()
    for axis in (1, 2):
        for step in (-3, 3):
            inner &= np.roll(bodies, step, axis=axis)
    values = rendered.hu[bodies]
    assert 650 < np.percentile(values, 97) < 1500  # cortical bone, thinner than a voxel
    assert 100 < np.percentile(rendered.hu[inner], 20) < 520  # trabecular bone
    assert np.percentile(values, 97) > np.percentile(rendered.hu[inner], 20) + 350


def test_patients_differ_in_bone_density() -> None:
    densities = [draw_patient(1, index).trabecular for index in range(40)]
    assert min(densities) < 190 and max(densities) > 320


def test_the_atlas_is_a_ring_around_the_dens(smooth: Rendered) -> None:
    found = 0
    for z in np.intersect1d(_slices(smooth, 1), _slices(smooth, 2)):
        rows, columns = np.nonzero(smooth.labels[z] == 2)
        ring = smooth.labels[z] == 1
        row, column = int(rows.mean()), int(columns.mean())
        beside = [
            ring[row, :column].any(),
            ring[row, column:].any(),
            ring[:row, column].any(),
            ring[row:, column].any(),
        ]
        found += len(rows) * smooth.grid.spacing**2 < 160 and all(beside)
    assert found >= 2


def test_the_bodies_have_uncinate_processes_above_and_the_seventh_has_the_longest_spinous_process(
    smooth: Rendered,
) -> None:
    lengths = [np.ptp(np.nonzero(smooth.labels == level)[1]) for level in range(3, 8)]
    assert lengths[-1] == max(lengths) and lengths[-1] > 1.15 * lengths[0]
    for level in range(3, 7):
        top = smooth.labels[_slices(smooth, level)[0] + 1] == level
        assert not top[:, top.shape[1] // 2].all()


def test_teeth_lie_above_the_third_vertebra_and_only_there(smooth: Rendered) -> None:
    enamel = np.flatnonzero((smooth.hu > 1900).sum(axis=(1, 2)) > 3)
    assert len(enamel) and enamel.max() < _slices(smooth, 3).mean()
    columns = np.nonzero(smooth.hu[enamel] > 1900)[1]
    assert columns.max() < smooth.grid.shape[1] / 2  # in front of the spine


def test_ribs_and_lungs_come_below_the_seventh_vertebra() -> None:
    rendered = _render(SMOOTH, index=1)
    before_the_table = rendered.hu[:, : int(0.75 * rendered.hu.shape[1])]
    lung = np.flatnonzero(((before_the_table > -920) & (before_the_table < -780)).sum(axis=(1, 2)) > 200)
    lung = lung[lung > _slices(rendered, 3).min()]  # above that, the edges of sinuses and nose
    assert len(lung) and lung.min() > _slices(rendered, 7).mean()
    assert _slices(rendered, 8).mean() > _slices(rendered, 7).mean()


def test_the_skull_closes_the_upper_end(smooth: Rendered) -> None:
    bone = ((smooth.hu > 400) & (smooth.labels == 0)).sum(axis=(1, 2))
    assert bone[:3].min() > 4 * bone[_slices(smooth, 4)].max()


def test_labels_go_down_to_the_second_thoracic_vertebra_and_the_truth_to_the_seventh() -> None:
    found = [set(np.unique(_render(SMOOTH, index, pixels=64).labels)) for index in range(6)]
    assert all(set(range(9)) <= labels for labels in found) and any(9 in labels for labels in found)
    assert _render(SMOOTH, pixels=64).present().shape == (78, 7)


@pytest.mark.parametrize("index", range(12))
def test_the_middle_of_the_image_holds_the_cervical_spine_whole(index: int) -> None:
    rendered = _render(SMOOTH, index, VERTEBRAE[index % 7 : index % 7 + 1], pixels=64, slices=40)
    rows, columns = np.nonzero(np.isin(rendered.labels, range(1, 8)).any(axis=0))
    edge = int(np.floor(64 * (1 - CROP) / 2))
    assert edge <= min(rows.min(), columns.min()) and max(rows.max(), columns.max()) < 64 - edge
    assert 140 <= rendered.grid.spacing * 64 <= 191


def test_the_canal_stays_near_the_middle_of_the_image() -> None:
    for index in range(60):
        patient = draw_patient(5, index)
        placed = frames(patient)
        grid = make_grid(patient, placed, 64, 40)
        middle = np.array([grid.x.mean(), grid.y.mean()])
        for name in VERTEBRAE:
            canal = placed[name].origin + placed[name].rotation @ [0, 15.5 * patient.scale, 0]
            assert np.abs(canal[:2] - middle).max() < OFF_CENTRE + 3.5  # the canal's depth differs by level


def test_a_study_that_starts_below_lacks_the_upper_end() -> None:
    whole, cut = (_render(SMOOTH, starts_below=below, pixels=64, slices=30) for below in (0.0, 55.0))
    assert cut.grid.z[0] == pytest.approx(whole.grid.z[0] - 55, abs=0.01)
    assert cut.grid.z[-1] == pytest.approx(whole.grid.z[-1], abs=0.05)
    assert not cut.present()[:, 0].any() and cut.present()[:, 2:].any(axis=0).all()


@pytest.mark.parametrize("vertebra", VERTEBRAE)
def test_a_fracture_covers_four_to_fifteen_slices_at_two_millimetres(vertebra: str) -> None:
    level = VERTEBRAE.index(vertebra)
    for index in range(20, 24):
        rendered = _render(SMOOTH, index, (vertebra,), pixels=96)
        seen = rendered.fractured()
        assert 1.7 < rendered.grid.step < 2.5
        assert longest_run(seen[:, level]) >= 4 and seen[:, level].sum() <= MOST
        assert not np.delete(seen, level, axis=1).any()
        clefts = (rendered.clefts == level + 1).any(axis=(1, 2))
        assert (clefts == seen[:, level]).all()  # no cleft where the truth tells of none


def test_far_slices_show_a_fracture_in_fewer_of_them() -> None:
    for vertebra in VERTEBRAE:
        rendered = _render(SMOOTH, 3, (vertebra,), pixels=48, slices=16)
        assert rendered.fractured()[:, VERTEBRAE.index(vertebra)].any()


def test_gaps_too_narrow_for_the_pixels_are_refused_by_name() -> None:
    with pytest.raises(CspineError, match=r"phantom\.cleft_width: found \[0\.2, 0\.3\] mm"):
        _render(replace(SMOOTH, cleft_width=[0.2, 0.3]), 3, ("C4",), pixels=48, slices=20)


def test_without_displacement_the_bone_stays_in_place() -> None:
    whole = _render(SMOOTH, 5, pixels=96)
    cracked = _render(replace(SMOOTH, displacement=0.0), 5, ("C4",), pixels=96)
    moved = _render(SMOOTH, 5, ("C4",), pixels=96)
    assert (cracked.labels == whole.labels).all()
    changed = np.flatnonzero((moved.labels != whole.labels).any(axis=(1, 2)))
    assert len(changed) >= 4 and set(changed) <= set(range(_slices(whole, 4)[0] - 2, _slices(whole, 4)[-1] + 3))


def test_a_cleft_runs_through_the_cortex() -> None:
    whole, cracked = _render(SMOOTH, 6), _render(replace(SMOOTH, displacement=0.0), 6, ("C6",))
    dense = (whole.hu > 600) & (cracked.clefts > 0)
    assert dense.sum() > 20 and np.median(cracked.hu[dense]) < np.median(whole.hu[dense]) - 300


def test_no_distractors_when_none_are_wanted() -> None:
    assert all(not draw_distractors(0.0, (), 1, index) for index in range(20))
    assert _render(SMOOTH, pixels=48, slices=16).distractors == ()


def test_distractors_are_drawn_at_unbroken_vertebrae_in_the_mean_number_asked_for() -> None:
    drawn = [draw_distractors(1.5, ("C4",), 1, index) for index in range(400)]
    assert np.mean([len(found) for found in drawn]) == pytest.approx(1.5, abs=0.2)
    assert {d.kind for found in drawn for d in found} == set(KINDS)
    narrowed = {d.vertebra for found in drawn for d in found if d.kind == "narrow disc"}
    assert "C4" not in {d.vertebra for found in drawn for d in found} and narrowed == {"C5", "C6"}


@pytest.mark.parametrize("index", range(4))
def test_distractors_never_change_the_fractures(index: int) -> None:
    fractured = (VERTEBRAE[index + 1], VERTEBRAE[index + 3])
    bare, worn = (_render(replace(SMOOTH, distractors=d), index, fractured, pixels=96, slices=60) for d in (0.0, 6.0))
    assert worn.distractors and (bare.clefts == worn.clefts).all() and bare.sites == worn.sites
    assert not (worn.hu == bare.hu).all()


@pytest.mark.parametrize("kind", KINDS)
def test_each_distractor_is_seen_at_its_vertebra(kind: str) -> None:
    config = replace(SMOOTH, distractors=1.0)
    index = next(i for i in range(200) if [d.kind for d in draw_distractors(1.0, (), config.seed, i)] == [kind])
    bare, worn = _render(SMOOTH, index), _render(config, index)
    change = worn.hu.astype(int) - bare.hu
    seen = {
        "vascular channel": (change < -70) & (bare.labels > 0),
        "osteophyte": (worn.labels > 0) & (bare.labels == 0),
        "screw": (worn.hu > METAL) & (bare.hu < METAL),
        "narrow disc": (worn.labels > 0) & (bare.labels == 0),
    }[kind]
    (name,) = (d.split(":")[0] for d in worn.distractors)
    slices = np.flatnonzero(seen.any(axis=(1, 2)))
    level = _slices(worn, VERTEBRAE.index(name) + 1)
    assert seen.sum() * worn.grid.spacing**2 > 8
    assert level[0] - 1 <= slices.min() and slices.max() <= level[-1] + 1


def test_streaks_lie_at_shoulder_level() -> None:
    with_streaks, without = _render(replace(CONFIG, noise=0.0)), _render(SMOOTH)
    added = (with_streaks.hu.astype(float) - without.hu).std(axis=(1, 2))
    share = shoulder_share(without.grid, frames(without.patient))
    assert added[share > 0.8].min() > 15
    assert added[_slices(without, 4)].max() == 0
    assert share[_slices(without, 5)].max() == 0 and share[_slices(without, 8)].max() == 1


def test_metal_casts_rays_only_in_its_slices() -> None:
    index = next(i for i in range(300) if [str(d) for d in draw_distractors(1.0, (), 7, i)] == ["C4: screw"])
    config = replace(SMOOTH, distractors=1.0)
    plain, rayed = (_render(replace(config, streaks=s), index) for s in (0.0, 1.0))
    metal = (plain.hu > METAL).any(axis=(1, 2)) & (shoulder_share(plain.grid, frames(plain.patient)) == 0)
    changed = (plain.hu != rayed.hu).any(axis=(1, 2)) & (shoulder_share(plain.grid, frames(plain.patient)) == 0)
    assert metal.any() and (metal == changed).all()


def test_the_noise_is_blue() -> None:
    hu = np.zeros((24, 128, 128), np.float32)
    add_noise(hu, 20.0, np.zeros(24, np.float32), np.random.default_rng(1))
    assert hu.std() == pytest.approx(20, rel=0.02)
    power = (np.abs(np.fft.fft2(hu)) ** 2).mean(axis=0)
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(128), np.fft.fftfreq(128)))
    bands = [power[(frequency > low) & (frequency <= low + 0.1)].mean() for low in (0.02, 0.12, 0.22, 0.32, 0.42)]
    assert bands == sorted(bands) and bands[-1] > 4 * bands[0]


def test_bones_of_the_neck_are_mirror_images_except_for_the_patient() -> None:
    for bone in vertebrae().values():
        low, high = (np.array([solid.bounds()[side] for solid in bone.parts]) for side in (0, 1))
        assert low[:, 0].min() == pytest.approx(-high[:, 0].max())


def test_resample_is_linear_between_and_exact_at_the_points() -> None:
    field = np.arange(24, dtype=np.float32).reshape(2, 3, 4) ** 2
    same = [np.arange(n, dtype=float) for n in field.shape]
    assert (resample(field, same) == field).all()
    between = resample(field, [np.array([0.5]), np.array([1.0]), np.array([2.0])])
    assert between[0, 0, 0] == (field[0, 1, 2] + field[1, 1, 2]) / 2


@pytest.mark.parametrize("key", ["displacement", "distractors", "streaks"])
def test_a_negative_strength_is_refused_by_name(key: str) -> None:
    with pytest.raises(CspineError, match=f"phantom.{key}"):
        replace(CONFIG, **{key: -0.1})  # type: ignore[arg-type]
