"""lay_masks: the vertebrae of every voxel of the segmented studies, in the geometry of a view."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from cspine.cache.encodings import read_encoding
from cspine.masks.images import ViewGeometry, label_images, lost_images
from cspine.masks.reading import INDEXED, MaskJob
from cspine.progress import report, say
from cspine.raw_folder import files_by_study, read_rows
from cspine.runtime import workers
from cspine.stage import InPath, OutPath, RawFolder
from cspine.studies import UID
from cspine.study_pool import studies_read
from cspine.tables import read_table, write_table

COLUMNS = [UID, "slice_number", "z_index", "mask"]


@dataclass(frozen=True)
class LayMasksConfig:
    """The geometry of a view; its pixels are the size plan's to decide (``plan_cache``)."""

    view: str
    centre: float  # share of the slice's side that is cached, around its middle


def lay_masks(
    root: RawFolder,
    segmentations: InPath,
    slices: InPath,
    inventory: InPath,
    form: InPath,
    masks: OutPath,
    *,
    config: LayMasksConfig,
) -> None:
    """Lay the masks of one cache shard's studies over the slices of a view.

    What is wrong with a mask is in the findings of ``label_presence``, which lays it in the same way.

    Args:
        root: the raw folder; masks lie in its ``segmentations``. Some slices of each segmented study are read again, to
            see whether its mask lies on bone.
        segmentations: the inventory's list: StudyInstanceUID, file, size, digest.
        slices: index/slices.parquet.
        inventory: the list of the shard's files (StudyInstanceUID, file, size, digest).
        form: what the view's slices are encoded as (``cache.encodings.Encoding``); its pixels count.
        masks: StudyInstanceUID, slice_number, z_index and mask, by study and z_index: the labels (pixels, pixels) as
            ``cache.codecs.encode`` writes them losslessly, 0 = no vertebra, 1..7 = C1..C7, 8 = thoracic; a slice that
            no plane of a mask shows has no row.
        config: see LayMasksConfig.
    """
    files = files_by_study([inventory])
    listed = sorted((row[UID], row["file"]) for _, row in read_rows(segmentations, (UID, "file")) if row[UID] in files)
    index = read_table(slices, ["cohort", *INDEXED])
    index = index[index["cohort"] == "train"].sort_values([UID, "z_index"], ignore_index=True)
    of_study = dict(iter(index.groupby(UID, sort=True)))
    slices_of = [of_study.get(uid, index.iloc[:0]) for uid, _ in listed]
    jobs = [MaskJob.of(root, uid, name, files[uid], own) for (uid, name), own in zip(listed, slices_of, strict=True)]
    geometry = ViewGeometry(read_encoding(form).pixels, config.centre)
    tables = [index.iloc[:0].reindex(columns=COLUMNS)]
    with studies_read(jobs, label_images, geometry, lost_images, workers()) as laid:
        for count, (own, images) in enumerate(zip(slices_of, laid, strict=True), start=1):
            known = own[own["z_index"].isin(images.keys())]
            tables.append(known.assign(mask=known["z_index"].map(images))[COLUMNS])
            report("lay_masks", count, len(jobs), unit="masks")
    table = pd.concat(tables, ignore_index=True).astype({"slice_number": np.int32, "z_index": np.int32})
    write_table(table, masks)
    say(f"lay_masks: {len(table)} slices of {table[UID].nunique()} segmented studies at {geometry.pixels} pixels")
