"""Masks in the geometry of a view: every label at the pixel that shows it, of the masks that label_presence accepts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cspine.cache.codecs import decode
from cspine.dicom import read_study
from cspine.masks import Stack, bone_maps, lay_over, read_nifti
from cspine.masks.images import THORACIC
from cspine.phantom.plans import PhantomConfig, plan_studies
from cspine.phantom.study_files import make_study
from cspine.stages.lay_masks import COLUMNS, LayMasksConfig, lay_masks
from cspine.studies import UID
from cspine.tables import read_table
from cspine.views.windows import resize_labels, resize_slice
from mask_folders import write_given
from small_caches import encoding_file

CONFIG = PhantomConfig(seed=7, studies=4, test_studies=1, segmented=2, pixels=96, slices=[40, 40], large_share=0.0)
PLANS = [replace(plan, mask_strays=False, mixed_sizes=False, segmented=True) for plan in plan_studies(CONFIG)]


def laid(folder: Path, pixels: int, centre: float) -> pd.DataFrame:
    """lay_masks of studies that ``make_study`` has written below ``folder``/raw; the last one is of another shard."""
    root = folder / "raw"
    uids = sorted(path.name for path in (root / "train_images").iterdir())
    write_given(folder, root, uids)
    files = [(uid, path.name) for uid in uids[:-1] for path in sorted((root / "train_images" / uid).iterdir())]
    pd.DataFrame(files, columns=[UID, "file"]).to_csv(folder / "shard.csv", index=False)
    form, out = encoding_file(folder, pixels), folder / "laid.parquet"
    config = LayMasksConfig("slice", centre)
    lay_masks(root, folder / "masks.csv", folder / "slices.parquet", folder / "shard.csv", form, out, config=config)
    return read_table(out)


def test_every_slice_of_the_shards_segmented_studies_has_its_masks_labels_at_the_views_pixels(tmp_path: Path) -> None:
    plans = [
        replace(PLANS[0], uid="1.2.1", mask_thoracic=2, reversed=False),
        replace(PLANS[1], uid="1.2.2", mask_thoracic=0, reversed=True),
        replace(PLANS[2], uid="1.2.3"),
        replace(PLANS[3], uid="1.2.4"),
    ]
    for plan in plans:
        make_study(plan, CONFIG, tmp_path / "raw")
    torn = tmp_path / "raw/segmentations/1.2.3.nii"
    torn.write_bytes(torn.read_bytes()[:5000])
    table = laid(tmp_path, pixels=48, centre=0.5)
    assert list(table.columns) == COLUMNS and table.groupby(UID).size().to_dict() == {"1.2.1": 40, "1.2.2": 40}
    for uid, rows in table.groupby(UID):
        study = read_study(tmp_path / "raw/train_images" / str(uid))
        mask = lay_over(read_nifti(tmp_path / f"raw/segmentations/{uid}.nii"), Stack.of_study(study), bone_maps(study))
        assert rows["slice_number"].tolist() == study.slice_numbers[rows["z_index"].to_numpy()].tolist()
        for z, blob in zip(rows["z_index"].tolist(), rows["mask"], strict=True):
            whole = np.minimum(mask.labels_of(z), THORACIC)
            assert np.array_equal(decode(blob, 48), whole[24:72, 24:72])  # the middle half of 96, pixel by pixel
    levels = np.unique(np.stack([decode(blob, 48) for blob in table.loc[table[UID] == "1.2.1", "mask"]]))
    assert levels.tolist() == list(range(9))  # T1 and T2 are one


@pytest.mark.parametrize(("rows", "columns", "centre"), [(40, 40, 1.0), (64, 40, 1.0), (40, 64, 0.6), (90, 90, 0.45)])
@pytest.mark.parametrize("pixels", [16, 24, 48])
def test_a_label_is_where_the_view_shows_what_it_is_of(rows: int, columns: int, centre: float, pixels: int) -> None:
    labels = np.zeros((rows, columns), np.uint8)
    labels[rows // 2 - 8 : rows // 2 + 6, columns // 2 - 4 : columns // 2 + 9] = 5
    shown = resize_slice((labels * 50).astype(np.uint8), pixels, centre)
    found = resize_labels(labels, pixels, centre)
    assert found.shape == shown.shape and set(np.unique(found)) <= {0, 5}
    sure = (shown == 0) | (shown == 250)  # between them lie rims, which grey levels blend and labels do not
    assert np.array_equal(found[sure] > 0, shown[sure] > 125) and (found > 0).any()
