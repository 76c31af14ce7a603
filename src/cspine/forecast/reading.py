"""What reading the real files takes on this machine, and how large a view of them will be: a sample of them, read."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cspine.amounts import size
from cspine.bootstrap import Floats, mean, resample_counts
from cspine.cache.encodings import Encoding
from cspine.cache.sizes import ListedStudy, Projection, fitting
from cspine.forecast.spending import BETWEEN_RUNS, DRAWS
from cspine.hashing import seed_of
from cspine.layers import Config
from cspine.masks.nifti import read_nifti, voxels_of
from cspine.raw_folder import MASKS
from cspine.views.size_plans import GB, Budget
from cspine.views.size_samples import sample_of
from cspine.views.study_rows import Form
from cspine.views.windows import Window

MASKS_READ = 2
LAID = (1.0, 4.0)  # ASSUME: laying a mask over its slices takes so many times what reading it does


@dataclass(frozen=True)
class Reading:
    """A view of real slices.

    Attributes:
        seconds: one file takes, in one process, (DRAWS,).
        encodings: as configured, then its steps down.
        projections: bytes of the view in each.
        chosen: which of them it will be; None where none may be.
        files: read for the sample, and those that gave a slice.
    """

    seconds: Floats
    encodings: Sequence[Encoding]
    projections: Sequence[Projection]
    chosen: int | None
    files: tuple[int, int]

    @property
    def size(self) -> Floats:
        """Bytes, (DRAWS,), of the encoding it will be; of the one configured where none may be."""
        projection = self.projections[self.chosen or 0]
        spread = (projection.high - projection.low) / 3.92  # of a 95 % interval
        return np.random.default_rng(22).normal(projection.size, spread, DRAWS)

    def __str__(self) -> str:
        listed = zip(self.encodings, self.projections, strict=True)
        return "; ".join(f"{encoding}: {size(projection.size)}" for encoding, projection in listed)


def read_view(root: Path, studies: Sequence[ListedStudy], view: Config, shards: int, seed: int) -> Reading:
    """About 200 files of 50 studies, read, windowed and encoded as ``ingest`` does it.

    Args:
        root: the raw folder.
        studies: all that it lists.
        view: the config's block of a view of whole slices.
        shards: files of its cache.
        seed: of the draw.
    """
    budget = Budget(**{key: view[key] for key in ("pixels", "codec", "max_gb", "when_larger", "step_down")}, seed=seed)
    encodings = budget.encodings
    window = Window(view["window_center"], view["window_width"])
    forms = [Form(window, encoding.pixels, view["centre"], encoding.codec) for encoding in encodings]
    sample, found = sample_of(root, studies, shards, forms, seed)
    projections = [sample.projection(number, seed) for number in range(len(forms))]
    chosen = budget.takes(fitting(projections, budget.max_gb * GB))
    each = [(one.seconds[chosen or 0], len(one.rows)) for one in found if one.rows]
    return Reading(_rate(each, seed), encodings, projections, chosen, (sample.looked_at, sample.slices))


def read_masks(root: Path) -> Floats | None:
    """Seconds that a voxel of a mask takes, from reading some masks; None where there are none."""
    found = []
    for path in sorted((root / MASKS).glob("*.nii*"))[:MASKS_READ]:
        begun = time.perf_counter()
        try:
            read_nifti(path)
        except Exception:
            continue
        if voxels := voxels_of(path):
            found.append((time.perf_counter() - begun) / voxels)
    if not found:
        return None
    return float(np.mean(found)) * np.random.default_rng(seed_of("masks")).uniform(*LAID, DRAWS)


def _rate(each: Sequence[tuple[float, int]], seed: int) -> Floats:
    """Seconds per file by drawing the studies again; the slowest study, which paid for imports, is left out."""
    if not each:
        return np.full(DRAWS, np.nan)
    kept = sorted(each, key=lambda one: one[0] / one[1])[: max(1, len(each) - 1)]
    seconds, files = (np.array(column, np.float64) for column in zip(*kept, strict=True))
    rate = mean(seconds / files, resample_counts(len(files), DRAWS, seed), files).draws
    return rate * np.exp(np.random.default_rng(seed).normal(0, BETWEEN_RUNS, DRAWS))
