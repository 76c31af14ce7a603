"""The volume model: a study is an example, learns in seconds, repeats to the byte, and depends on itself alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray

from cspine.errors import CspineError
from cspine.hashing import file_digest
from cspine.methods import volume_cnn
from cspine.methods.volume_cnn import NetworkConfig
from cspine.models import read_model, save_model
from cspine.precision import Precision
from cspine.predictions import AggregateConfig
from cspine.stages.aggregate_studies import aggregate_studies
from cspine.stages.build_study_set import StudySetConfig, build_study_set
from cspine.stages.predict_studies import PredictStudiesConfig, predict_studies
from cspine.stages.train import TrainConfig, train
from cspine.studies import LABELS, UID, VERTEBRAE
from cspine.tables import read_table, write_table
from small_cohort import studies_table, study
from small_cubes import AUGMENT, FRACTURED, NETWORK, SIDE, cube_of, write_cubes
from training_makers import config_of

CONFIG = NetworkConfig(**NETWORK)
CPU, EXACT = torch.device("cpu"), Precision("fp32", "cpu")


def trained(folder: Path, name: str, augment: dict[str, Any] = AUGMENT, seed: int = 7, **changes: Any) -> Path:
    """The model of a training on the training set in ``folder``."""
    training = config_of(**{"batch_size": 2, "epochs": 1, "epoch_steps": 2, **changes})
    config = TrainConfig("volume_cnn", "volume", seed, NETWORK, training, augment)
    scratch = folder / name / "scratch"
    scratch.mkdir(parents=True)
    model, history, state = (folder / name / f for f in ("model.safetensors", "history.parquet", "state.safetensors"))
    train(folder / "training_set.parquet", [folder / "shard-0.parquet"], model, history, state, scratch, config=config)
    return model


def predicted(model: Path, folder: Path, uids: list[str], batch_size: int = 4, workers: int = 0) -> NDArray[np.float32]:
    tables = [pd.DataFrame({"cohort": ["train"], UID: [uid]}) for uid in uids]
    shards, network = [folder / "shard-0.parquet"], volume_cnn.load(model)
    return np.stack(list(volume_cnn.predict_studies(network, tables, shards, CPU, EXACT, batch_size, workers)))


def test_an_example_is_a_studys_cube_with_its_eight_labels_and_weight(tmp_path: Path) -> None:
    table = write_cubes(tmp_path)
    table.loc[2, ["patient_overall", "C6"]] = np.nan
    data = volume_cnn.examples(table, [tmp_path / "shard-0.parquet"], CONFIG, None, 0)
    volume, labels, weight = data[0, 2]
    assert volume.dtype == torch.uint8 and torch.equal(volume, torch.from_numpy(cube_of(FRACTURED[2], 2)))
    expected = torch.tensor([np.nan, 0, 0, 0, 0, 1, np.nan, 0])
    assert torch.equal(labels.nan_to_num(9), expected.nan_to_num(9)) and weight == 1
    assert data.positive().tolist() == [False, True, True, True, False, True]


def test_the_network_gives_eight_logits_for_a_study_of_any_side_and_its_blocks_halve_it() -> None:
    network = volume_cnn.build(replace(CONFIG, channels=[4, 8, 16], pool=2)).eval()
    for side in (16, 24):
        volumes = torch.randint(0, 256, (2, side, side, side), dtype=torch.uint8)
        assert network(volumes).shape == (2, len(LABELS))
        assert network.blocks(volumes[:, None].float()).shape == (2, 16, side // 8, side // 8, side // 8)
    assert torch.equal(network(volumes), network(volumes.float()))  # blended volumes are floats
    assert network(volumes.to(torch.uint8)).dtype == torch.float32


def test_studies_learnt_by_heart_are_told_apart_label_by_label(tmp_path: Path) -> None:
    table = write_cubes(tmp_path, studies=5)
    off = AUGMENT | {key: 0.0 for key in AUGMENT if key.endswith("probability")}
    model = trained(tmp_path, "m", off, batch_size=4, epoch_steps=150, schedule="cosine")
    taught = table[table["role"] == "train"]
    found = predicted(model, tmp_path, taught[UID].tolist())
    np.testing.assert_array_equal(found > 0.5, taught[list(LABELS)].to_numpy() > 0.5)
    assert np.abs(found - taught[list(LABELS)].to_numpy()).max() < 0.2
    row = read_table(model.parent / "history.parquet").iloc[-1]
    assert row["select_loss"] > 0 and 0 <= row["select_accuracy"] <= 1


def test_draws_and_training_are_functions_of_the_seed(tmp_path: Path) -> None:
    table = write_cubes(tmp_path)
    shards = [tmp_path / "shard-0.parquet"]
    one, again, other = (volume_cnn.examples(table, shards, CONFIG, AUGMENT, seed) for seed in (5, 5, 6))
    again[3, 1]
    drawn = [one[number, 1] for number in range(6)]
    assert all(torch.equal(volume, again[number, 1][0]) for number, (volume, _, _) in enumerate(drawn))
    assert not all(torch.equal(volume, other[number, 1][0]) for number, (volume, _, _) in enumerate(drawn))
    assert len({volume.numpy().tobytes() for volume, _, _ in drawn}) > 2
    labels = torch.tensor(table[list(LABELS)].values.tolist()[1])
    assert all(torch.equal(target, labels) for _, target, _ in drawn)  # whatever happens to a volume
    same, twin = (file_digest(trained(tmp_path, name)) for name in ("same", "twin"))
    assert same == twin != file_digest(trained(tmp_path, "other", seed=8))


def test_one_batch_in_parts_teaches_as_at_once(tmp_path: Path) -> None:
    write_cubes(tmp_path)
    found = []
    for parts in (1, 2):  # in training each part is normalised by itself; as it predicts, they are equal
        torch.manual_seed(0)
        model = volume_cnn.build(CONFIG).eval()
        table = read_table(tmp_path / "training_set.parquet").head(4)
        data = volume_cnn.examples(table, [tmp_path / "shard-0.parquet"], CONFIG, None, 0)
        volumes, labels, weights = (torch.stack(kind) for kind in zip(*(data[0, i] for i in range(4)), strict=True))
        loss = volume_cnn.loss(config_of())
        norms = loss.norms(labels, weights)
        for rows in torch.arange(4).chunk(parts):
            loss.value(loss.sums(model(volumes[rows]), labels[rows], weights[rows]), norms).backward()
        found.append([weight.grad for weight in model.parameters()])
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(*found, strict=True))


def test_unknown_labels_teach_nothing_and_break_nothing(tmp_path: Path) -> None:
    table = write_cubes(tmp_path, studies=4)
    table.loc[1:, list(VERTEBRAE[2:])] = np.nan
    table.to_parquet(tmp_path / "training_set.parquet")
    model = trained(tmp_path, "m", mixup=0.4, epochs=2)
    tensors, _ = read_model(model)
    assert all(torch.isfinite(tensor.float()).all() for tensor in tensors.values())
    assert np.isfinite(read_table(model.parent / "history.parquet")["select_loss"]).all()


def test_a_studys_probabilities_depend_on_that_study_alone(tmp_path: Path) -> None:
    table = write_cubes(tmp_path)
    model = trained(tmp_path, "m")
    uids = table[UID].tolist()
    whole = predicted(model, tmp_path, uids)
    assert whole.shape == (6, 8) and whole.dtype == np.float32 and ((whole > 0) & (whole < 1)).all()
    assert len(np.unique(whole[:, 0])) == 6
    np.testing.assert_array_equal(predicted(model, tmp_path, uids[4:1:-1], batch_size=1), whole[4:1:-1])
    np.testing.assert_array_equal(predicted(model, tmp_path, uids[:3], workers=1), whole[:3])


def test_the_stages_lead_from_labels_to_probabilities_of_every_study_by_the_models_own_patient(tmp_path: Path) -> None:
    write_cubes(tmp_path, studies=8)
    rows = [study(f"1.{number}", fractured) for number, fractured in enumerate(FRACTURED)]
    write_table(studies_table(*rows), tmp_path / "studies.parquet")
    roles = ["train"] * 5 + ["select"] * 2 + ["heldout"]
    folds = pd.DataFrame({"fold": 0, UID: [row[UID] for row in rows], "role": roles})
    write_table(folds, tmp_path / "folds.parquet")
    studies, by_fold, taught = (tmp_path / f"{name}.parquet" for name in ("studies", "folds", "training_set"))
    build_study_set(studies, by_fold, taught, config=StudySetConfig(0))
    assert sorted(read_table(taught)[UID]) == [f"1.{number}" for number in range(7)]
    models = [trained(tmp_path, name, seed=seed) for name, seed in (("one", 1), ("two", 2))]
    parts, predictions = tmp_path / "parts", tmp_path / "predictions.parquet"
    parts.mkdir()
    how = PredictStudiesConfig("volume_cnn", "volume", 4, "fp32", 1)
    predict_studies(models, studies, [tmp_path / "shard-0.parquet"], predictions, parts, config=how)
    said = read_table(predictions)
    uids = said[UID].tolist()
    apart = [predicted(model, tmp_path, uids) for model in models]
    np.testing.assert_allclose(said[list(LABELS)], np.mean(apart, axis=0), atol=1e-7)
    out, choice = tmp_path / "out.parquet", tmp_path / "choice.json"
    config = AggregateConfig(0, vertebra=["max"], patient=["own"], calibration=["none"], clip=[0.001])
    aggregate_studies(predictions, studies, by_fold, out, choice, config=config)
    final = read_table(out).set_index(UID).loc[uids]
    np.testing.assert_allclose(final[list(LABELS)], said[list(LABELS)].clip(0.001, 0.999), atol=1e-7)


def test_a_finished_model_rebuilds_itself_and_lends_its_weights(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = volume_cnn.build(CONFIG).eval()
    save_model(network, tmp_path / "m.safetensors", {"network": volume_cnn.describe(CONFIG), "outputs": list(LABELS)})
    volumes = torch.randint(0, 256, (2, SIDE, SIDE, SIDE), dtype=torch.uint8)
    assert torch.equal(volume_cnn.load(tmp_path / "m.safetensors").eval()(volumes), network(volumes))
    lent = volume_cnn.build(CONFIG, tmp_path / "m.safetensors").eval()
    assert torch.equal(lent(volumes), network(volumes))
    with pytest.raises(CspineError, match=r"no weight of .*m\.safetensors"):
        volume_cnn.build(replace(CONFIG, channels=[3, 5], hidden=[7], pool=1), tmp_path / "m.safetensors", outputs=3)
    (tmp_path / "text.safetensors").write_text("no weights")
    with pytest.raises(CspineError, match=r"text\.safetensors"):
        volume_cnn.build(CONFIG, tmp_path / "text.safetensors")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "resnet3d"}, r"no 3D network 'resnet3d' that judges a study; expected one of cnn_3d"),
        ({"weights": "hub"}, r"network\.weights: found hub, but nobody publishes .*expected none or the path"),
        ({"channels": []}, r"found channels \[\].*expected at least one block"),
        ({"hidden": [0]}, r"hidden \[0\].*1 or more of each"),
    ],
)
def test_a_network_that_cannot_be_had_says_what_can(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(CspineError, match=message):
        volume_cnn.build(replace(CONFIG, **changes))


def test_a_view_of_slices_and_a_cube_too_small_for_the_network_are_refused_by_study(tmp_path: Path) -> None:
    table = write_cubes(tmp_path, studies=2, slices=12)
    shards = [tmp_path / "shard-0.parquet"]
    with pytest.raises(CspineError, match=r"study 1\.1 has 12 slices of 16 x 16 pixels; .*view of kind volume"):
        volume_cnn.examples(table, shards, CONFIG, None, 0)[0, 1]
    write_cubes(tmp_path, studies=2)
    deep = replace(CONFIG, channels=[2] * 5)
    with pytest.raises(CspineError, match=r"network\.channels: 5 blocks halve a side of 16 cells to nothing"):
        volume_cnn.examples(table, shards, deep, None, 0)[0, 1]
