"""One crop of one vertebra: the source's head, and a model of C3 that neither learns nor judges another vertebra."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from cspine.checkpoint import Checkpoints
from cspine.errors import CspineError
from cspine.methods import vertebra_crop
from cspine.methods.vertebra_crop import CropNetwork, NetworkConfig
from cspine.models import save_model
from cspine.precision import Precision
from cspine.studies import VERTEBRAE
from cspine.tracking import Silent
from cspine.training import Task, fit
from cspine.vertebrae.loss import VertebraLoss
from small_vertebrae import NO_AUGMENT, SLICES, fractured, slice_of, tables_of, vertebrae_table, write_cache
from training_makers import config_of

SMALL: dict[str, Any] = {"name": "test_resnet", "weights": "none", "pixels": 32, "head": "pooled", "hidden": 16}
CPU = torch.device("cpu")


def network_config(**changes: Any) -> NetworkConfig:
    return NetworkConfig(**(SMALL | {"vertebra": "all"} | changes))


def built(config: NetworkConfig) -> CropNetwork:
    torch.manual_seed(0)
    return vertebra_crop.build(config)


@pytest.fixture(scope="module")
def shard(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_cache(tmp_path_factory.mktemp("cache") / "shard-0.parquet")


def predicted(network: CropNetwork, tables: list[pd.DataFrame], shard: Path, batch: int = 16) -> np.ndarray:
    found = vertebra_crop.predict_studies(network, tables, [shard], CPU, Precision("fp32", "cpu"), batch)
    return np.stack(list(found))


def test_an_example_is_one_slice_of_one_vertebra_three_times(shard: Path) -> None:
    data = vertebra_crop.examples(vertebrae_table(), [shard], network_config(), None, 0)
    assert len(data) == 4 * 7 * SLICES
    pixels, target, _ = data[0, 9 * SLICES + 3]  # C3 of the second study, its fourth slice
    assert pixels.shape == (3, 32, 32)
    assert all(np.array_equal(channel, slice_of(1, 5)[16:48, 16:48]) for channel in pixels.numpy())
    assert target.tolist() == [float(fractured(1, 2))]


@pytest.mark.parametrize(("head", "inputs"), [("flatten", 96 * 2 * 2), ("pooled", 96)])
def test_the_dense_layer_reads_all_cells_of_the_last_features_or_their_mean(head: str, inputs: int) -> None:
    network = built(network_config(head=head, pixels=64, hidden=256))
    dense, last = [layer for layer in network.head if isinstance(layer, torch.nn.Linear)]
    assert (dense.in_features, dense.out_features, last.in_features, last.out_features) == (inputs, 256, 256, 1)
    assert all(weights.requires_grad for weights in network.parameters())
    assert network(torch.zeros(2, 3, 64, 64, dtype=torch.uint8)).shape == (2, 1)


@pytest.mark.parametrize("head", ["flatten", "pooled"])
def test_a_model_is_rebuilt_from_its_file_alone(tmp_path: Path, shard: Path, head: str) -> None:
    config = network_config(head=head, vertebra="C3")
    network = built(config).eval()
    description = {"family": "vertebra_crop", "network": vertebra_crop.describe(config)}
    save_model(network, tmp_path / "m.safetensors", description | {"outputs": list(VertebraLoss.outputs)})
    tables = tables_of(vertebrae_table())
    loaded = vertebra_crop.load(tmp_path / "m.safetensors")
    assert np.array_equal(predicted(loaded, tables, shard), predicted(network, tables, shard), equal_nan=True)


def test_a_model_of_one_vertebra_is_taught_no_other(shard: Path) -> None:
    table = vertebrae_table()
    data = vertebra_crop.examples(table, [shard], network_config(vertebra="C3"), NO_AUGMENT, 0)
    assert len(data) == 4 * SLICES and set(data.z_indices.ravel().tolist()) == {4, 5}  # the slices of C3
    others = table[table["vertebra"] != "C3"]
    assert len(vertebra_crop.examples(others, [shard], network_config(vertebra="C3"), None, 0)) == 0
    with pytest.raises(CspineError, match="no known label of C3 in its 24 rows"):
        vertebra_crop.examples(others, [shard], network_config(vertebra="C3"), NO_AUGMENT, 0)


def test_a_model_of_one_vertebra_judges_no_other_nor_the_patient(shard: Path) -> None:
    tables = tables_of(vertebrae_table())
    found = predicted(built(network_config(vertebra="C3")), tables, shard)
    assert np.isfinite(found[:, 3]).all() and np.isnan(np.delete(found, 3, axis=1)).all()
    without = [tables[0][tables[0]["vertebra"] != "C3"], tables[1]]
    found = predicted(built(network_config(vertebra="C3")), without, shard)
    assert np.isnan(found[0]).all() and np.isfinite(found[1, 3])
    everything = predicted(built(network_config()), tables, shard)
    assert np.isfinite(everything[:, 1:]).all() and np.isnan(everything[:, 0]).all()


def test_a_vertebras_probability_is_the_mean_over_its_slices(shard: Path) -> None:
    network = built(network_config()).eval()
    (study,) = tables_of(vertebrae_table())[:1]
    pixels = [np.stack([slice_of(0, z)[16:48, 16:48]] * 3) for z in (2, 2, 2, 3, 3, 3)]  # of C2
    with torch.inference_mode():
        shares = torch.sigmoid(network(torch.from_numpy(np.stack(pixels))))
    found = predicted(network, [study], shard)[0]
    assert found[2] == pytest.approx(float(shares.mean()), abs=1e-6)


def test_a_study_is_judged_the_same_to_the_bit_with_others_beside_it(shard: Path) -> None:
    network, tables = built(network_config()), tables_of(vertebrae_table())
    together = predicted(network, tables, shard)
    assert np.array_equal(predicted(network, [tables[2]], shard)[0], together[2], equal_nan=True)


def test_fractures_of_a_few_crops_are_learnt_the_same_way_twice(tmp_path: Path, shard: Path) -> None:
    table, config = vertebrae_table(), network_config()
    training = config_of(loss="bce", epochs=1, epoch_steps=30, batch_size=16, learning_rate=3e-3, optimizer="adam")

    def taught(name: str) -> tuple[CropNetwork, float]:
        data, seen = (vertebra_crop.examples(table, [shard], config, how, 3) for how in (NO_AUGMENT, None))
        network, loss = built(config), vertebra_crop.loss(training)
        trained = fit(Task(network, loss, data, seen, training, 3, Checkpoints(tmp_path / name), Silent()))
        return network, trained.history[-1]["select_loss"]

    network, value = taught("one")
    assert value < 0.3  # 0.65 is the best constant
    found = predicted(network, tables_of(table), shard)[:, 1:] >= 0.5
    truth = np.array([[fractured(study, v) for v in range(len(VERTEBRAE))] for study in range(4)])
    assert (found == truth).mean() > 0.9
    again = taught("two")[0].state_dict()
    assert all(torch.equal(tensor, again[name]) for name, tensor in network.state_dict().items())
