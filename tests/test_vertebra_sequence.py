"""The vertebra as a sequence: the order of its slices counts, and one draw moves all of them alike."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from cspine.checkpoint import Checkpoints
from cspine.errors import CspineError
from cspine.methods import vertebra_sequence
from cspine.methods.vertebra_sequence import NetworkConfig, SequenceNetwork
from cspine.models import save_model
from cspine.precision import Precision
from cspine.studies import UID
from cspine.tracking import Silent
from cspine.training import Task, fit
from cspine.vertebrae.loss import VertebraLoss
from small_vertebrae import DEPTH, NO_AUGMENT, SLICES, fractured, slice_of, tables_of, vertebrae_table, write_cache
from training_makers import config_of

SMALL: dict[str, Any] = {"name": "test_convnext", "weights": "none", "pixels": 32, "stacks": 3}
CPU = torch.device("cpu")


def network_config(**changes: Any) -> NetworkConfig:
    return NetworkConfig(**(SMALL | {"hidden": 8, "layers": 1, "dropout": 0.0} | changes))


SMALL_CONFIG = network_config()


def built(config: NetworkConfig) -> SequenceNetwork:
    torch.manual_seed(0)
    return vertebra_sequence.build(config)


@pytest.fixture(scope="module")
def shard(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_cache(tmp_path_factory.mktemp("cache") / "shard-0.parquet")


def predicted(network: SequenceNetwork, tables: list[pd.DataFrame], shard: Path, batch: int = 4) -> np.ndarray:
    found = vertebra_sequence.predict_studies(network, tables, [shard], CPU, Precision("fp32", "cpu"), batch)
    return np.stack(list(found))


def test_an_example_is_the_squares_of_a_vertebras_slices_from_head_to_feet(shard: Path) -> None:
    data = vertebra_sequence.examples(vertebrae_table(), [shard], network_config(), None, 0)
    pixels, target, weight = data[0, 9]  # C3 of the second study
    assert pixels.shape == (SLICES, 32, 32) and pixels.dtype == torch.uint8
    wanted = [slice_of(1, z)[16:48, 16:48] for z in (4, 4, 4, 5, 5, 5)]
    assert np.array_equal(pixels.numpy(), np.stack(wanted))
    assert target.tolist() == [float(fractured(1, 2))] and weight == 1
    assert data.positive().tolist() == [fractured(study, v) for study in range(4) for v in range(7)]


def test_one_draw_moves_all_slices_of_a_vertebra_alike_and_repeats_itself(shard: Path) -> None:
    moves = NO_AUGMENT | {"probability": 1.0, "rotation": 90, "horizontal_flip": True}
    table = vertebrae_table().head(1)
    table["z_indices"] = pd.Series([np.zeros(SLICES, np.int32)])  # the same slice six times
    data = vertebra_sequence.examples(table, [shard], network_config(), moves, 5)
    first, again, other = data[0, 0][0], data[0, 0][0], data[1, 0][0]
    assert all(torch.equal(image, first[0]) for image in first)
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_a_model_is_rebuilt_from_its_file_alone(tmp_path: Path, shard: Path) -> None:
    config = network_config(layers=2, dropout=0.1)
    network = built(config).eval()
    description = {"family": "vertebra_sequence", "network": vertebra_sequence.describe(config)}
    save_model(network, tmp_path / "m.safetensors", description | {"outputs": list(VertebraLoss.outputs)})
    tables = tables_of(vertebrae_table())
    loaded = vertebra_sequence.load(tmp_path / "m.safetensors")
    assert np.array_equal(predicted(loaded, tables, shard), predicted(network, tables, shard), equal_nan=True)


def test_the_order_of_the_slices_counts() -> None:
    network = built(network_config()).eval()
    pixels = torch.randint(0, 256, (2, 12, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    in_threes = pixels.unflatten(1, (4, 3)).flip(1).flatten(1, 2)  # the images as they are, in the other order
    with torch.inference_mode():
        assert not torch.allclose(network(pixels), network(in_threes), atol=1e-5)


def test_all_seven_vertebrae_are_judged_and_the_patient_is_not(shard: Path) -> None:
    found = predicted(built(network_config()), tables_of(vertebrae_table()), shard)
    assert found.shape == (4, 8) and found.dtype == np.float32
    assert np.isnan(found[:, 0]).all() and ((found[:, 1:] > 0) & (found[:, 1:] < 1)).all()


def test_a_study_is_judged_the_same_to_the_bit_with_others_beside_it_and_in_any_order_of_its_rows(shard: Path) -> None:
    network, tables = built(network_config()), tables_of(vertebrae_table())
    together = predicted(network, tables, shard)
    assert np.array_equal(predicted(network, [tables[2]], shard)[0], together[2], equal_nan=True)
    turned = predicted(network, [tables[2].iloc[::-1]], shard, batch=7)[0]
    assert np.allclose(turned[1:], together[2][1:], atol=1e-6)


def test_a_crop_too_small_for_the_network_is_refused_before_a_step() -> None:
    with pytest.raises(CspineError, match=r"network\.pixels: found 16, which test_convnext cannot read"):
        vertebra_sequence.build(network_config(pixels=16))


def test_slices_that_do_not_fill_whole_images_are_refused(shard: Path) -> None:
    with pytest.raises(CspineError, match=r"network\.stacks: found 4, but a vertebra has 6 slices"):
        vertebra_sequence.examples(vertebrae_table(), [shard], network_config(stacks=4), None, 0)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"presence_weight": 0.2}, r"training\.presence_weight: found 0\.2; .* expected 0"),
        ({"patient_term": True}, r"training\.patient_term: found True; .* expected False"),
        ({"loss": "focal"}, r"training\.loss: found focal, expected one of bce, competition"),
    ],
)
def test_terms_of_slices_and_patients_are_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(CspineError, match=words):
        vertebra_sequence.loss(config_of(**changes))


@pytest.mark.parametrize(("kind", "positive"), [("bce", 1.0), ("competition", 2.0)])
def test_a_fractured_vertebra_counts_what_the_loss_says(kind: str, positive: float) -> None:
    loss = vertebra_sequence.loss(config_of(loss=kind))
    logits, target, weight = torch.tensor([[0.0], [3.0]]), torch.tensor([[0.0], [1.0]]), torch.tensor([1.0, 0.5])
    one, other = np.log(2), np.log1p(np.exp(-3.0))
    wanted = (one + 0.5 * positive * other) / (1 + 0.5 * positive)
    assert float(loss(logits, target, weight)) == pytest.approx(wanted, rel=1e-6)


def test_fractures_of_a_few_vertebrae_are_learnt_the_same_way_twice(tmp_path: Path, shard: Path) -> None:
    table = vertebrae_table()
    training = config_of(loss="bce", epochs=1, epoch_steps=30, batch_size=14, learning_rate=3e-3)

    def taught(name: str) -> tuple[SequenceNetwork, float]:
        network, loss = built(network_config(dropout=0.1)), vertebra_sequence.loss(training)
        data, seen = (vertebra_sequence.examples(table, [shard], SMALL_CONFIG, how, 3) for how in (NO_AUGMENT, None))
        trained = fit(Task(network, loss, data, seen, training, 3, Checkpoints(tmp_path / name), Silent()))
        return network, trained.history[-1]["select_loss"]

    network, value = taught("one")
    assert value < 0.3  # 0.64 is the best constant
    found = predicted(network, tables_of(table), shard)
    truth = np.array([[fractured(study, v) for v in range(7)] for study in range(4)])
    assert ((found[:, 1:] >= 0.5) == truth).mean() > 0.9
    again = taught("two")[0].state_dict()
    assert all(torch.equal(tensor, again[name]) for name, tensor in network.state_dict().items())


def test_what_the_rows_do_not_name_is_not_read(shard: Path) -> None:
    table = vertebrae_table().iloc[:7]
    assert {z for row in table["z_indices"] for z in row} == set(range(DEPTH)) and table[UID].nunique() == 1
    only_c2 = predicted(built(network_config()), [table[table["vertebra"] == "C2"]], shard)[0]
    assert np.isfinite(only_c2[2]) and np.isnan(np.delete(only_c2, 2)).all()
