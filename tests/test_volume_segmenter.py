"""The segmenting localizer: a study is an example, learns in seconds, repeats to the byte, and says all there is to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from cspine.cache.codecs import decode
from cspine.errors import CspineError
from cspine.hashing import file_digest
from cspine.localization.columns import BOX, DICE, OUTPUTS, SLICE
from cspine.masks.extents import COLUMNS as EXTENTS
from cspine.masks.extents import extent_of
from cspine.masks.laying import UNKNOWN
from cspine.methods import volume_segmenter
from cspine.methods.volume_segmenter import NetworkConfig
from cspine.models import read_model, save_model
from cspine.precision import Precision
from cspine.stages.build_localizer_set import LocalizerSetConfig, build_localizer_set
from cspine.stages.localize_slices import LocalizeConfig, localize_slices
from cspine.stages.predict_localizer import predict_localizer
from cspine.stages.predict_slices import PredictConfig
from cspine.stages.train import TrainConfig, train
from cspine.studies import PRESENCE, UID, VERTEBRAE
from cspine.tables import read_table, write_table
from cspine.volumes.loss import SegmentationLoss
from small_volumes import AUGMENT, COLUMNS, NETWORK, PIXELS, ROWS, labels_of, write_volumes
from training_makers import config_of

CONFIG = NetworkConfig(**NETWORK)
EXACT = Precision("fp32", "cpu")
CPU = torch.device("cpu")


def trained(folder: Path, name: str, augment: dict[str, Any] = AUGMENT, seed: int = 7, **changes: Any) -> Path:
    """The model of a training on the training set in ``folder``."""
    training = config_of(**{"batch_size": 2, "epochs": 1, "epoch_steps": 2, **changes})
    config = TrainConfig("volume_segmenter", "slice", seed, NETWORK, training, augment)
    scratch = folder / name / "scratch"
    scratch.mkdir(parents=True)
    model, history, state = (folder / name / f for f in ("model.safetensors", "history.parquet", "state.safetensors"))
    train(folder / "training_set.parquet", [folder / "shard-0.parquet"], model, history, state, scratch, config=config)
    return model


def localized(model: Path, folder: Path, index: pd.DataFrame, **more: Any) -> list[pd.DataFrame]:
    network = volume_segmenter.load(model)
    tables = [rows for _, rows in index.groupby(["cohort", UID], sort=False)]
    return list(volume_segmenter.localize(network, tables, [folder / "shard-0.parquet"], CPU, EXACT, 32, **more))


def test_an_example_is_a_study_with_unknown_voxels_where_no_plane_shows_a_slice(tmp_path: Path) -> None:
    write_volumes(tmp_path)
    table = read_table(tmp_path / "training_set.parquet")
    shuffled = table.sample(frac=1, random_state=0)
    data = volume_segmenter.examples(shuffled, [tmp_path / "shard-0.parquet"], CONFIG, None, 0)
    assert len(data) == 3 and data.positive().all()
    cells, labels, weight = data[0, 0]
    assert cells.shape == labels.shape == (16, 16, 16) and cells.dtype == labels.dtype == torch.uint8 and weight == 1
    unknown = (labels == UNKNOWN).flatten(1).all(1)
    assert unknown.tolist() == [False] * 14 + [True] * 2  # the last 2 of 20 slices, in 16 cells
    assert (data[0, 1][1] != UNKNOWN).all()
    head = labels_of(20)[0]
    assert set(labels[0].unique().tolist()) == set(np.unique(head).tolist())


def test_draws_are_a_function_of_seed_pass_and_study(tmp_path: Path) -> None:
    write_volumes(tmp_path)
    table = read_table(tmp_path / "training_set.parquet")
    shards = [tmp_path / "shard-0.parquet"]
    one, again, other = (volume_segmenter.examples(table, shards, CONFIG, AUGMENT, seed) for seed in (5, 5, 6))
    again[3, 1]
    drawn = [one[number, 0][0] for number in range(6)]
    assert all(torch.equal(cells, again[number, 0][0]) for number, cells in enumerate(drawn))
    assert len({cells.numpy().tobytes() for cells in drawn}) > 2
    assert any(not torch.equal(cells, other[number, 0][0]) for number, cells in enumerate(drawn))


def test_the_same_seed_trains_the_same_bytes_and_another_one_others(tmp_path: Path) -> None:
    write_volumes(tmp_path)
    one, same = (file_digest(trained(tmp_path, name)) for name in ("one", "same"))
    assert one == same != file_digest(trained(tmp_path, "other", seed=8))


def test_one_batch_in_parts_teaches_as_at_once(tmp_path: Path) -> None:
    write_volumes(tmp_path, (20, 26, 30, 22, 24))
    models = [trained(tmp_path, str(parts), batch_size=4, accumulate=parts, optimizer="sgd") for parts in (1, 2)]
    at_once, in_parts = (read_model(model)[0] for model in models)
    assert all(torch.allclose(at_once[name], in_parts[name], atol=1e-5) for name in at_once)


def test_the_history_has_the_losses_and_no_accuracy_of_slices(tmp_path: Path) -> None:
    write_volumes(tmp_path)
    row = read_table(trained(tmp_path, "one").parent / "history.parquet").iloc[-1]
    assert 0 < row["select_loss"] <= 1 and row["select_cross_entropy_loss"] > 0
    assert np.isnan(row["select_accuracy"]) and np.isnan(row["select_sensitivity"])


def test_a_study_learnt_by_heart_has_a_dice_above_0_8_and_its_slices_and_places(tmp_path: Path) -> None:
    index = write_volumes(tmp_path, (24, 48))
    off = AUGMENT | {"probability": 0.0}
    table = read_table(tmp_path / "training_set.parquet")
    table[table[UID] == "1.1"].assign(role="train").to_parquet(tmp_path / "training_set.parquet")
    model = trained(tmp_path, "m", off, epoch_steps=120, learning_rate=2e-2, schedule="cosine")
    found = localized(model, tmp_path, index[index[UID] == "1.1"], masks=[tmp_path / "masks.parquet"])[0]
    dice = found.loc[found.index[0], list(DICE)]
    assert dice.mean() > 0.8 and (dice > 0.7).all()  # 16 cells right for 48 slices of 24 pixels give 0.81
    labels = labels_of(48, start=2)
    truth = np.stack([(labels == level + 1).any((1, 2)) for level in range(len(VERTEBRAE))], axis=1)
    called = found[list(PRESENCE)].to_numpy() >= 0.5
    assert (called != truth).sum() <= 14  # at most a slice at each end of each vertebra
    inside = int(np.flatnonzero(truth[:, 3])[1])  # C4: rows 7 to 17 and columns 6 to 18 of 24, of a square of 48
    box = found[list(BOX)].to_numpy()[inside]
    assert box == pytest.approx([(12 - 4) / COLUMNS, 14 / ROWS, (36 - 4) / COLUMNS, 34 / ROWS], abs=0.12)


def test_what_is_said_about_each_slice_is_whole_and_in_order_also_of_a_study_in_both_cohorts(tmp_path: Path) -> None:
    index = write_volumes(tmp_path)
    both = pd.concat([index, index[index[UID] == "1.1"].assign(cohort="test")], ignore_index=True)
    model = trained(tmp_path, "m")
    found = localized(model, tmp_path, both, masks=[tmp_path / "masks.parquet"])
    assert [len(part) for part in found] == [20, 26, 30, 26]
    assert all(part.columns.tolist() == [*OUTPUTS, *DICE] for part in found)
    said = pd.concat(found)
    assert said.index.tolist() == both.index.tolist()
    shares = said[list(OUTPUTS)]
    assert not shares[[*PRESENCE, *(c for c in OUTPUTS if c.startswith("ratio"))]].isna().any(axis=None)
    assert (shares.isna() | ((shares >= 0) & (shares <= 1))).all(axis=None)
    assert found[1].reset_index(drop=True).equals(found[3].reset_index(drop=True))
    assert all((part[list(DICE)].nunique(dropna=False) == 1).all() for part in found)
    alone = localized(model, tmp_path, index[index[UID] == "1.2"])[0]
    assert alone[list(OUTPUTS)].equals(found[2][list(OUTPUTS)])  # whichever studies are asked about beside it
    assert alone[list(DICE)].isna().all(axis=None)  # nobody gave its mask


def test_the_stages_carry_voxels_to_the_model_and_its_dice_to_the_table_of_studies(tmp_path: Path) -> None:
    index = write_volumes(tmp_path, (20, 26, 30, 24))
    segmented = ["1.0", "1.1", "1.2"]
    masks = read_table(tmp_path / "masks.parquet").merge(index[[UID, "z_index", "slice_number"]])
    masks = masks[masks[UID].isin(segmented)]
    extents = pd.DataFrame(np.stack([extent_of(decode(blob, PIXELS)) for blob in masks["mask"]]), columns=list(EXTENTS))
    write_table(pd.concat([masks[list(SLICE)].reset_index(drop=True), extents], axis=1), tmp_path / "extents.parquet")
    write_table(index, tmp_path / "slices.parquet")
    roles = [(0, "1.0", "train"), (0, "1.1", "select"), (0, "1.2", "heldout"), (0, "1.3", "train")]
    write_table(pd.DataFrame(roles, columns=["fold", UID, "role"]), tmp_path / "folds.parquet")
    voxels = [tmp_path / "masks.parquet"]
    extents_of, slices, folds = (tmp_path / f"{name}.parquet" for name in ("extents", "slices", "folds"))
    training_set = tmp_path / "training_set.parquet"
    for inner in range(2):
        place = tmp_path / str(inner)
        part = LocalizerSetConfig(fold=0, inner=inner, parts=2)
        build_localizer_set(extents_of, slices, folds, training_set, masks=voxels, config=part)
        taught = read_table(training_set)
        assert set(taught[UID]) == {"1.0", "1.1"} and taught["mask"].map(len).min() > 0
        model, parts = trained(tmp_path, str(inner), batch_size=2), place / "parts"
        parts.mkdir()
        shards, how = [tmp_path / "shard-0.parquet"], PredictConfig("volume_segmenter", "slice", 2, "fp32", 1)
        said, of_studies = place / "localized.parquet", place / "studies.parquet"
        predict_localizer(model, training_set, slices, shards, said, of_studies, parts, masks=voxels, config=how)
        own = taught.loc[taught["role"] == "select", UID].unique().tolist()
        dice = read_table(of_studies).set_index(UID)[list(DICE)].notna().any(axis=1)
        assert dice.to_dict() == {own[0]: True, "1.2": True, "1.3": True}  # masks.parquet has that of 1.3 as well
    localized_by = [tmp_path / str(inner) / "localized.parquet" for inner in range(2)]
    localize_slices(extents_of, slices, folds, localized_by, tmp_path / "fold-0.parquet", config=LocalizeConfig(0))
    table = read_table(tmp_path / "fold-0.parquet")
    assert table.groupby("source").size().to_dict() == {"mask": len(masks), "predicted": 100}


def test_a_finished_model_rebuilds_itself_and_lends_its_weights(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = volume_segmenter.build(CONFIG).eval()
    description = {
        "network": volume_segmenter.describe(CONFIG),
        "outputs": list(SegmentationLoss.outputs),
    }
    save_model(network, tmp_path / "m.safetensors", description)
    cubes = torch.randint(0, 256, (1, 16, 16, 16), dtype=torch.uint8)
    assert torch.equal(volume_segmenter.load(tmp_path / "m.safetensors").eval()(cubes), network(cubes))
    lent = volume_segmenter.build(CONFIG, tmp_path / "m.safetensors").eval()
    assert torch.equal(lent(cubes), network(cubes))


def test_weights_that_nobody_publishes_and_a_training_set_without_voxels_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CspineError, match=r"network\.weights: found hub, but monai publishes no weights"):
        volume_segmenter.build(NetworkConfig(**NETWORK | {"weights": "hub"}))
    table = pd.DataFrame({UID: ["1.0"], "z_index": [0], "weight": [1.0]})
    with pytest.raises(CspineError, match=r"no column mask .*stage lay_masks"):
        volume_segmenter.examples(table, [tmp_path / "none"], CONFIG, None, 0)
