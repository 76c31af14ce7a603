"""From a study's plan to its voxels in Hounsfield units, and to the truth about them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cspine.hashing import seed_of
from cspine.phantom.anatomy import Bone, bones
from cspine.phantom.fractures import draw_clefts
from cspine.phantom.patients import Frame, Grid, Patient, draw_patient, frames, make_grid
from cspine.phantom.plans import PhantomConfig, StudyPlan
from cspine.phantom.scenes import FAR, Scene, draw_bone
from cspine.phantom.soft_tissue import fill_soft_tissue
from cspine.phantom.solids import Array
from cspine.studies import VERTEBRAE

VISIBLE = 6.0  # a cleft counts as visible in a slice from this area on, mm2 (ASSUME)
FEWEST_SLICES = 2  # in which every cleft set must be visible
ATTEMPTS = 20
BLUR = 0.15  # share of each neighbour in a pixel


@dataclass(frozen=True)
class Rendered:
    """A study in memory; index 0 of every array is the slice nearest the head."""

    patient: Patient
    grid: Grid
    hu: npt.NDArray[np.int16]  # (slices, rows, columns)
    labels: npt.NDArray[np.uint8]  # same shape; 1-7 = C1-C7, 8 = T1
    clefts: npt.NDArray[np.uint8]  # same shape; 1-7 where a cleft runs through that vertebra
    sites: dict[str, tuple[str, ...]]  # where each fractured vertebra is broken

    def present(self) -> npt.NDArray[np.bool_]:
        """(slices, 7): C1..C7 has at least one voxel in the slice."""
        return np.stack([(self.labels == v + 1).any(axis=(1, 2)) for v in range(len(VERTEBRAE))], axis=1)

    def fractured(self) -> npt.NDArray[np.bool_]:
        """(slices, 7): a cleft of C1..C7 is visible in the slice."""
        counts = [np.count_nonzero(self.clefts == v + 1, axis=(1, 2)) for v in range(len(VERTEBRAE))]
        return np.stack(counts, axis=1) * self.grid.spacing**2 >= VISIBLE


def render_study(plan: StudyPlan, config: PhantomConfig) -> Rendered:
    """The voxels and the truth of one study: a function of the plan and the config only."""
    patient = draw_patient(config.seed, plan.index)
    placed = frames(patient)
    grid = make_grid(patient, placed, config.pixels, plan.slices)
    shape = grid.shape
    hu, nearest = np.empty(shape, np.float32), np.full(shape, FAR, np.float32)
    scene = Scene(grid, patient, hu, nearest, np.zeros(shape, np.uint8), np.zeros(shape, np.uint8))
    fill_soft_tissue(hu, grid, patient, placed, seed_of(config.seed, plan.index))
    rng = np.random.default_rng(seed_of("phantom", "noise", config.seed, plan.index))
    broken: dict[str, tuple[str, ...]] = {}
    for bone in bones().values():
        if bone.name in plan.fractured:
            broken[bone.name] = _draw_fractured(scene, bone, placed[bone.name], plan, config, rng)
        else:
            draw_bone(scene, bone, placed[bone.name], [], 0.0, rng)
    _blur(hu)
    _add_noise(hu, config.noise, rng)
    stored = np.clip(np.rint(hu), -1024, 3071).astype(np.int16)
    return Rendered(patient, grid, stored, scene.labels, scene.clefts, broken)


def _draw_fractured(
    scene: Scene, bone: Bone, frame: Frame, plan: StudyPlan, config: PhantomConfig, rng: np.random.Generator
) -> tuple[str, ...]:
    """Draw a bone with clefts, until they are visible in enough slices in a row; returns their sites.

    Slices far apart may leave too few: then the attempt that was seen in the most slices in a row stands.
    """
    before = scene.hu.copy(), scene.nearest.copy()
    wanted = FEWEST_SLICES + 1 if plan.box_gap else FEWEST_SLICES
    runs: list[int] = []
    for attempt in (*range(ATTEMPTS), None):
        if attempt is None:
            attempt = int(np.argmax(runs))
            wanted = max(1, runs[attempt])
        clefts = draw_clefts(bone.name, config.cleft_width, config.seed, plan.index, attempt)
        draw_bone(scene, bone, frame, clefts, config.cleft_contrast, rng)
        area = np.count_nonzero(scene.clefts == bone.label, axis=(1, 2)) * scene.grid.spacing**2
        runs.append(longest_run(area >= VISIBLE))
        if runs[-1] >= wanted:
            return tuple(c.site for c in clefts)
        scene.hu[:], scene.nearest[:] = before
        for drawn in (scene.labels, scene.clefts):
            drawn[drawn == bone.label] = 0
    raise RuntimeError(f"study {plan.index}: no cleft through {bone.name} is visible; are the pixels too coarse?")


def longest_run(flags: npt.NDArray[np.bool_]) -> int:
    """The number of true values in the longest unbroken run."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(np.int8), [0]])))
    return int((edges[1::2] - edges[::2]).max(initial=0))


def _blur(hu: Array) -> None:
    """The scanner's point spread in the axial plane; ASSUME three pixels."""
    share = np.float32(BLUR)
    hu[:, 1:-1] += share * (hu[:, :-2] + hu[:, 2:] - 2 * hu[:, 1:-1])
    hu[:, :, 1:-1] += share * (hu[:, :, :-2] + hu[:, :, 2:] - 2 * hu[:, :, 1:-1])


def _add_noise(hu: Array, sigma: float, rng: np.random.Generator) -> None:
    """Add noise of standard deviation ``sigma`` with a grain of two pixels, as a soft kernel leaves it."""
    noise = rng.standard_normal(hu.shape, dtype=np.float32)
    noise[:, :, 1:] += 0.6 * noise[:, :, :-1]
    noise[:, 1:] += 0.6 * noise[:, :-1]
    hu += noise * np.float32(sigma / (1 + 0.6**2))
