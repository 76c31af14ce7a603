"""From a study's plan to its voxels in Hounsfield units, and to the truth about them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cspine.errors import CspineError
from cspine.hashing import seed_of
from cspine.phantom.anatomy import Bone, vertebrae
from cspine.phantom.artefacts import add_metal_streaks, add_noise, add_shoulder_streaks, blur, shoulder_share, to_stored
from cspine.phantom.distractors import Distractor, draw_distractors, screw, with_distractors
from cspine.phantom.fractures import draw_clefts
from cspine.phantom.patients import Frame, Grid, Patient, draw_patient, frames, make_grid
from cspine.phantom.plans import PhantomConfig, StudyPlan
from cspine.phantom.scenes import FAR, Scene, Shape, draw_bone, draw_shape, draw_solid, shape_bone
from cspine.phantom.skull import BRAIN, skull
from cspine.phantom.soft_tissue import AIR, LUNG, fill_soft_tissue
from cspine.phantom.soft_tissue import BRAIN as BRAIN_HU
from cspine.phantom.thorax import HOME as THORAX_HOME
from cspine.phantom.thorax import LUNGS, thorax
from cspine.phantom.throat import HOME as THROAT_HOME
from cspine.phantom.throat import throat
from cspine.studies import VERTEBRAE

VISIBLE = 6.0  # a cleft counts as visible in a slice from this area on, mm2 (ASSUME)
FEWEST, MOST = 4, 15  # slices in which a fracture is visible, where these are 1.5-2.5 mm apart
SHORTEST, TALLEST = 10.0, 22.5  # the same in mm: slices far apart show it in fewer, close ones in more
ATTEMPTS = 24


@dataclass(frozen=True)
class Rendered:
    """A study in memory; index 0 of every array is the slice nearest the head."""

    patient: Patient
    grid: Grid
    hu: npt.NDArray[np.int16]  # (slices, rows, columns)
    labels: npt.NDArray[np.uint8]  # same shape; 1-7 = C1-C7, 8 = T1, 9 = T2
    clefts: npt.NDArray[np.uint8]  # same shape; 1-7 where a cleft runs through that vertebra
    sites: dict[str, tuple[str, ...]]  # where each fractured vertebra is broken
    distractors: tuple[str, ...]  # what looks like a fracture and is none, such as "C5: osteophyte"

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
    grid = make_grid(patient, placed, plan.pixels, plan.slices, plan.starts_below)
    shape = grid.shape
    hu, nearest = np.empty(shape, np.float32), np.full(shape, FAR, np.float16)
    scene = Scene(grid, patient, hu, nearest, np.zeros(shape, np.uint8), np.zeros(shape, np.uint8))
    found = draw_distractors(config.distractors, plan.fractured, config.seed, plan.index)
    fill_soft_tissue(hu, grid, patient, placed, seed_of(config.seed, plan.index))
    _draw_chest(scene, placed, config, plan)
    broken = _draw_vertebrae(scene, placed, found, plan, config)
    _draw_head(scene, placed, config, plan)
    _add_artefacts(scene, placed, config, plan)
    shown = tuple(str(d) for d in found)
    return Rendered(patient, grid, to_stored(hu), scene.labels, scene.clefts, broken, shown)


def _draw_vertebrae(
    scene: Scene, placed: dict[str, Frame], found: list[Distractor], plan: StudyPlan, config: PhantomConfig
) -> dict[str, tuple[str, ...]]:
    """Draw T2 to C1 with their fractures, distractors and screws; returns the sites of the fractures."""
    broken: dict[str, tuple[str, ...]] = {}
    for name, bone in vertebrae().items():
        rng = _rng(config, plan, name)
        if name in plan.fractured:
            broken[name] = _draw_fractured(scene, bone, placed[name], plan, config, rng)
            continue
        worn = _rng(config, plan, f"{name} worn")
        draw_bone(scene, with_distractors(bone, found, worn), placed[name], rng)
        if Distractor(name, "screw") in found:
            draw_bone(scene, screw(name, worn), placed[name], worn)
    return broken


def _draw_chest(scene: Scene, placed: dict[str, Frame], config: PhantomConfig, plan: StudyPlan) -> None:
    rng = _rng(config, plan, "chest")
    for lung in LUNGS:
        draw_solid(scene, lung, placed["T1"], LUNG, 45.0, rng)
    for bone in thorax():
        draw_bone(scene, bone, placed[THORAX_HOME[bone.name]], rng)


def _draw_head(scene: Scene, placed: dict[str, Frame], config: PhantomConfig, plan: StudyPlan) -> None:
    """Throat, skull, jaws and teeth."""
    rng = _rng(config, plan, "head")
    for bone in throat(rng):
        draw_bone(scene, bone, placed[THROAT_HOME[bone.name]], rng)
    head = placed["C1"]
    draw_solid(scene, BRAIN, head, BRAIN_HU, 0.0, rng)
    for bone in skull(rng):
        for cavity in bone.air:
            draw_solid(scene, cavity, head, AIR, 0.0, rng)
        draw_bone(scene, bone, head, rng)


def _add_artefacts(scene: Scene, placed: dict[str, Frame], config: PhantomConfig, plan: StudyPlan) -> None:
    hu, grid = scene.hu, scene.grid
    share = shoulder_share(grid, placed)
    blur(hu)
    if config.streaks > 0:
        add_metal_streaks(hu, grid, config.streaks, _rng(config, plan, "metal"))
        add_shoulder_streaks(hu, grid, share, config.streaks, _rng(config, plan, "shoulders"))
    add_noise(hu, config.noise, share, _rng(config, plan, "noise"))


def _draw_fractured(
    scene: Scene, bone: Bone, frame: Frame, plan: StudyPlan, config: PhantomConfig, rng: np.random.Generator
) -> tuple[str, ...]:
    """Draw a bone with clefts that are visible in FEWEST to MOST slices, in a row; returns their sites.

    Slices far apart may leave too few: then the attempt that was seen in the most slices in a row stands.

    Raises:
        CspineError: no attempt was seen in any slice: the gaps are too narrow for the pixels.
    """
    step = scene.grid.step
    fewest = min(FEWEST, max(3 if plan.box_gap else 2, int(SHORTEST / step)))
    most = max(MOST, int(TALLEST / step))
    best: tuple[int, Shape, tuple[str, ...]] | None = None
    for attempt in range(ATTEMPTS):
        clefts = draw_clefts(bone.name, config.cleft_width, config.displacement, config.seed, plan.index, attempt)
        shape = shape_bone(scene, bone, frame, clefts)
        if shape is None:
            break
        visible = np.count_nonzero(shape.cleft(), axis=(1, 2)) * scene.grid.spacing**2 >= VISIBLE
        shape.close(~visible)  # so that no slice shows a cleft that the truth does not tell of
        run = longest_run(visible)
        if visible.sum() <= most and (best is None or run > best[0]):
            best = run, shape, tuple(c.site for c in clefts)
        if best and best[0] >= fewest:
            break
    if best is None or best[0] == 0:
        raise CspineError(
            f"config key phantom.cleft_width: found {config.cleft_width} mm, where a pixel of study {plan.index} is "
            f"{scene.grid.spacing:.1f} mm and no cleft through its {bone.name} can be seen; expected gaps of a pixel "
            "or more: raise phantom.cleft_width or phantom.pixels"
        )
    draw_shape(scene, best[1], config.cleft_contrast, rng)
    return best[2]


def longest_run(flags: npt.NDArray[np.bool_]) -> int:
    """The number of true values in the longest unbroken run."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(np.int8), [0]])))
    return int((edges[1::2] - edges[::2]).max(initial=0))


def _rng(config: PhantomConfig, plan: StudyPlan, what: str) -> np.random.Generator:
    """A generator of its own for each part of a study, so that parts do not change each other's draws."""
    return np.random.default_rng(seed_of("phantom", what, config.seed, plan.index))
