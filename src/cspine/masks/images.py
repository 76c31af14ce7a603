"""A study's mask as label images in the geometry of a view: what the worker processes of ``lay_masks`` run."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cspine.cache.codecs import encode
from cspine.faults import fault_point
from cspine.masks.reading import MaskJob, Refusal, study_mask
from cspine.studies import VERTEBRAE
from cspine.views.windows import resize_labels

THORACIC = len(VERTEBRAE) + 1  #: label of all thoracic levels together


@dataclass(frozen=True)
class ViewGeometry:
    """Which pixels a view has of a slice."""

    pixels: int  # side of a cached slice
    centre: float  # share of the slice's side that is cached


def label_images(job: MaskJob, geometry: ViewGeometry) -> dict[int, bytes]:
    """z_index -> labels (pixels, pixels), losslessly encoded, of the slices that a plane shows.

    0 = no vertebra, 1..7 = C1..C7, THORACIC. The mask is laid as for ``label_presence``: one that it refuses gives
    nothing here either, and is in its findings.
    """
    fault_point(f"lay-mask-{job.folder.name}")
    mask = study_mask(job)
    if isinstance(mask, Refusal):
        return {}
    images = {}
    for z in np.flatnonzero(mask.known):  # one slice at a time: a study's voxels as slices would be 100 MB
        labels = np.minimum(mask.labels_of(int(z)), np.uint8(THORACIC))
        images[int(z)] = encode(resize_labels(labels, geometry.pixels, geometry.centre))
    return images


def lost_images(job: MaskJob) -> dict[int, bytes]:
    """What stands for a mask whose reading killed its process."""
    return {}
