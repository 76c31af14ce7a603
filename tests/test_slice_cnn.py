"""The slice model: rebuilt from its file alone, neighbours in their order, weights taken over from another model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cspine.cache.codecs import encode
from cspine.cache.shards import VERSION, crc32, write_shard
from cspine.errors import CspineError
from cspine.losses import TARGETS
from cspine.methods import slice_cnn
from cspine.methods.slice_cnn import NetworkConfig, SliceExamples, trust_of_any
from cspine.models import read_model, save_model
from cspine.origins import take_over
from cspine.precision import Precision
from cspine.studies import PRESENCE, UID, VERTEBRAE

PIXELS = 32
NAN = float("nan")
SMALL: dict[str, Any] = {"name": "test_efficientnet", "weights": "none", "trainable": "all", "dropout": 0.2}


def config_of(**changes: Any) -> NetworkConfig:
    return NetworkConfig(**(SMALL | {"neighbours": 0} | changes))


def saved(model: nn.Module, path: Path, config: NetworkConfig, outputs: tuple[str, ...] = VERTEBRAE) -> Path:
    description = {"family": "slice_cnn", "network": slice_cnn.describe(config), "outputs": list(outputs)}
    save_model(model, path, description)
    return path


def pixels(channels: int = 3, count: int = 2) -> Tensor:
    shape = (count, channels, PIXELS, PIXELS)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def image_of(study: int, z: int) -> NDArray[np.uint8]:
    """A slice whose pixels fall from head to feet, so that its place can be read from it."""
    return np.full((PIXELS, PIXELS), 200 - 20 * z - study, np.uint8)


@pytest.fixture
def shards(tmp_path: Path) -> list[Path]:
    """Study 0 of five slices, and study 1 of one; position falls from head to feet, as ``ingest`` writes it."""
    rows = []
    for study, slices in ((0, 5), (1, 1)):
        for z in range(slices):
            blob = encode(image_of(study, z))
            rows.append({UID: f"1.{study}", "z_index": z, "slice_number": 9 - z, "position": -2.0 * z, "rows": PIXELS})
            rows[-1] |= {"columns": PIXELS, "row_spacing": 1.0, "column_spacing": 1.0, "reversed": True}
            rows[-1] |= {"crc32": crc32(blob), "pixels": blob}
    footer = {"view": "slice", "cohort": "train", "pixels": PIXELS, "codec": "zstd-delta", "version": VERSION}
    write_shard(tmp_path / "shard-0.parquet", rows, footer)
    return [tmp_path / "shard-0.parquet"]


def table_of(*slices: tuple[str, int], **columns: Any) -> pd.DataFrame:
    table = pd.DataFrame(slices, columns=[UID, "z_index"]).assign(weight=1.0, **dict.fromkeys(VERTEBRAE, 0.0))
    return table.assign(**columns)


@pytest.mark.parametrize("changes", [{}, {"neighbours": 2}, {"trainable": "head"}])
def test_a_model_is_rebuilt_from_its_file_alone(tmp_path: Path, changes: dict[str, Any]) -> None:
    config = config_of(**changes)
    model = slice_cnn.build(config, outputs=8).eval()
    path = saved(model, tmp_path / "m.safetensors", config, TARGETS[:8])
    slices = pixels(config.channels)
    assert model(slices).shape == (2, 8)
    assert torch.equal(slice_cnn.load(path).eval()(slices), model(slices))


def test_equal_models_are_equal_bytes(tmp_path: Path) -> None:
    model = slice_cnn.build(config_of())
    one, other = (saved(model, tmp_path / name, config_of()) for name in "ab")
    assert one.read_bytes() == other.read_bytes()
    assert set(read_model(one)[1]) == {"network", "family", "outputs"}


def test_a_local_weights_file_is_loaded_and_only_the_head_is_new(tmp_path: Path) -> None:
    import timm
    from safetensors.torch import save_file

    source = timm.create_model("test_efficientnet", num_classes=1000)
    save_file(source.state_dict(), tmp_path / "weights.safetensors")
    config = config_of(weights=str(tmp_path / "weights.safetensors"), trainable="head")
    model = slice_cnn.build(config, tmp_path / "weights.safetensors")
    body = {k: v for k, v in model.encoder.state_dict().items() if not k.startswith("classifier")}
    assert all(torch.equal(v, source.state_dict()[k]) for k, v in body.items())
    taught = {name for name, p in model.named_parameters() if p.requires_grad}
    assert taught == {"encoder.classifier.weight", "encoder.classifier.bias"}


def test_a_body_that_is_not_trained_stays_as_it_is() -> None:
    model = slice_cnn.build(config_of(trainable="head")).train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model(pixels())
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    free = slice_cnn.build(config_of()).train()
    statistics = free.encoder.bn1.running_mean.clone()
    free(pixels())
    assert not torch.equal(free.encoder.bn1.running_mean, statistics)


def test_an_unknown_network_is_answered_with_near_names() -> None:
    with pytest.raises(CspineError, match=r"no network 'tf_efficientnetv2_x'; near it: .*tf_efficientnetv2_xl"):
        slice_cnn.build(config_of(name="tf_efficientnetv2_x"))


def test_weights_that_do_not_fit_are_named(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(b"no weights")
    with pytest.raises(CspineError, match=r"network.weights: .*w.safetensors' cannot be loaded into test_efficientnet"):
        slice_cnn.build(config_of(weights=str(path)), path)


def test_one_slice_is_normalised_by_colours_and_a_stack_by_their_mean() -> None:
    name = {"name": "tf_efficientnetv2_b0"}  # normalised by ImageNet's colours, which differ
    slice_alone, stack = (slice_cnn.build(config_of(**name, neighbours=k)) for k in (0, 1))
    assert slice_alone.mean.flatten().tolist() == pytest.approx([0.485, 0.456, 0.406])
    assert stack.mean.flatten().tolist() == pytest.approx([0.449] * 3)
    assert stack.std.shape == (1, 3, 1, 1)


def test_logits_are_float32_also_where_the_network_computes_with_half_of_it() -> None:
    model = slice_cnn.build(config_of()).eval()
    with Precision("bf16", "cpu").autocast(), torch.inference_mode():
        found = model(pixels())
    assert found.dtype == torch.float32
    assert not torch.equal(found, found.bfloat16().float())  # more digits than bf16 has


def test_neighbours_run_from_head_to_feet_and_the_last_slice_is_repeated(shards: list[Path]) -> None:
    table = table_of(("1.0", 0), ("1.0", 2), ("1.0", 4), ("1.1", 0))
    data = SliceExamples(table, shards, 2, None, 0)
    seen = [(200 - data[0, i][0][:, 0, 0].int()).tolist() for i in range(4)]
    assert seen == [[0, 0, 0, 20, 40], [0, 20, 40, 60, 80], [40, 60, 80, 80, 80], [1] * 5]
    assert data[0, 0][0].dtype == torch.uint8 and data[0, 0][0].shape == (5, PIXELS, PIXELS)


def test_without_neighbours_the_slice_comes_three_times(shards: list[Path]) -> None:
    found = SliceExamples(table_of(("1.0", 3)), shards, 0, None, 0)[0, 0][0]
    assert found.shape == (3, PIXELS, PIXELS) and set(found.flatten().tolist()) == {140}


def test_targets_are_fractures_then_presence_where_it_is_known_then_any_fracture(shards: list[Path]) -> None:
    known = table_of(("1.0", 0), ("1.0", 1), C2=[1.0, 0.0], **{PRESENCE[3]: [1.0, np.nan]})
    found = SliceExamples(known, shards, 0, None, 0)
    nan = float("nan")
    expected = [0.0, 1, 0, 0, 0, 0, 0, nan, nan, nan, 1, nan, nan, nan, 1, *[1] * 8]
    assert torch.allclose(found[0, 0][1], torch.tensor(expected), equal_nan=True)
    assert found[0, 1][1][7:14].isnan().all() and found[0, 1][1][14] == 0
    without = SliceExamples(table_of(("1.0", 0)), shards, 0, None, 0)
    assert without[0, 0][1][7:14].isnan().all() and len(without[0, 0][1]) == len(TARGETS)
    assert found.positive().tolist() == [True, False]


def test_soft_and_weighted_labels_reach_the_targets_and_one_without_confidence_is_unknown(shards: list[Path]) -> None:
    soft = table_of(
        ("1.0", 0), ("1.0", 1), C2=[0.7, 0.3], C3=[0.4, 0.9], confidence_C2=[0.5, 1.0], confidence_C3=[1, 0]
    )
    found = SliceExamples(soft, shards, 0, None, 0)
    assert torch.allclose(found[0, 0][1][:3], torch.tensor([0.0, 0.7, 0.4])) and found[0, 1][1][2].isnan()
    assert found.targets[:, 15:18].tolist() == [[1, 0.5, 1], [1, 1, 0]]
    # of any fracture: the highest label and its confidence; unknown where an unknown one could be higher
    assert found.targets[0, [14, 22]] == pytest.approx([0.7, 0.5]) and np.isnan(found.targets[1, 14])
    assert found.positive().tolist() == [True, False]


def test_a_box_shows_a_fracture_for_sure_whichever_vertebra_it_is_in(shards: list[Path]) -> None:
    soft = table_of(("1.0", 0), ("1.0", 1), C2=0.5, C3=0.5, confidence_C2=0.2, confidence_C3=0.2)
    found = SliceExamples(soft.assign(source=["box", "pseudo"]), shards, 0, None, 0)
    assert found.targets[:, [14, 22]] == pytest.approx(np.array([[1, 1], [0.5, 0.2]]))


def test_of_equal_vertebrae_the_least_trusted_decides_how_far_any_fracture_is_trusted() -> None:
    fractured = np.array([[0] * 7, [0, 1] + [0] * 5, [NAN] * 7], np.float32)
    trust = np.array([[1] * 6 + [0.5], [0.1, 0.9] + [1] * 5, [0.3] * 7], np.float32)
    assert trust_of_any(fractured, trust).tolist() == pytest.approx([0.5, 0.9, 0.3])


@pytest.mark.parametrize(("outputs", "said"), [(7, 7), (8, 7), (14, 14), (15, 14)])
def test_predictions_are_the_fractures_and_the_presence_where_the_network_has_it_and_no_more(
    shards: list[Path], outputs: int, said: int
) -> None:
    model = slice_cnn.build(config_of(neighbours=1), outputs=outputs).eval()
    table = table_of(*(("1.0", z) for z in range(5)))
    exact = Precision("fp32", "cpu")
    tables = [table.iloc[:3], table.iloc[3:]]
    batches = list(slice_cnn.predict_slices(model, tables, shards, torch.device("cpu"), exact, batch_size=2))
    assert [len(b) for b in batches] == [2, 1, 2]  # no batch crosses from one table to the next
    found = np.concatenate(batches)
    stack = SliceExamples(table, shards, 1, None, 0)
    with torch.inference_mode():
        expected = torch.sigmoid(model(torch.stack([stack[0, i][0] for i in range(5)])))[:, :said]
    assert found.shape == (5, said) and np.allclose(found, expected.numpy(), atol=1e-6)


def test_learned_colours_read_one_channel_and_begin_as_the_slice_three_times(shards: list[Path]) -> None:
    torch.manual_seed(3)
    repeated = slice_cnn.build(config_of()).eval()
    torch.manual_seed(3)
    learned = slice_cnn.build(config_of(colour="learned")).eval()
    single = slice_cnn.examples(table_of(("1.0", 3)), shards, config_of(colour="learned"), None, 0)[0, 0][0]
    assert single.shape == (1, PIXELS, PIXELS) and (single[0].numpy() == image_of(0, 3)).all()
    grey = pixels(1)
    assert torch.equal(learned(grey), repeated(grey.expand(-1, 3, -1, -1)))
    taught = {name for name, p in learned.named_parameters() if p.requires_grad}
    assert {"colour.weight", "colour.bias"} <= taught


def test_a_network_with_learned_colours_is_rebuilt_and_predicts_a_study_as_a_cache(
    tmp_path: Path, shards: list[Path]
) -> None:
    config = config_of(colour="learned")
    made = slice_cnn.build(config, outputs=14)
    made.get_parameter("colour.weight").data.normal_()
    network = slice_cnn.load(saved(made, tmp_path / "m.safetensors", config, TARGETS[:14])).eval()
    exact, device = Precision("fp32", "cpu"), torch.device("cpu")
    table = table_of(*(("1.0", z) for z in range(5)))
    cached = np.concatenate(list(slice_cnn.predict_slices(network, [table], shards, device, exact, 2)))
    study = np.stack([image_of(0, z) for z in range(5)])
    assert np.array_equal(slice_cnn.predict_study(network, study, device, exact, 2), cached)
    assert slice_cnn.stack_in(network, study, 2).shape == (1, 1, PIXELS, PIXELS)


def test_one_channel_is_augmented_as_a_stack_of_one(shards: list[Path]) -> None:
    every = {"probability": 1.0, "crop_scale": 0.7, "horizontal_flip": True, "vertical_flip": True, "rotation": 15.0}
    every |= {"rgb_shift": 20.0, "clahe": 2.0, "brightness": 0.2, "shift_scale": 0.1, "cutout": 0.3}
    data = slice_cnn.examples(table_of(("1.0", 1)), shards, config_of(colour="learned"), every, 0)
    assert data[0, 0][0].shape == (1, PIXELS, PIXELS)
    assert torch.equal(data[0, 0][0], data[0, 0][0]) and not torch.equal(data[0, 0][0], data[1, 0][0])


def test_a_model_of_the_same_form_is_taken_over_whole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, network = slice_cnn.build(config_of()), slice_cnn.build(config_of())
    origin = take_over(network, saved(source, tmp_path / "m.safetensors", config_of()))
    assert all(
        torch.equal(a, b) for a, b in zip(source.state_dict().values(), network.state_dict().values(), strict=True)
    )
    count = len(list(network.parameters()))
    assert f"init_from: {count} of {count} weight tensors taken from" in capsys.readouterr().err
    assert origin["description"]["network"]["name"] == "test_efficientnet" and len(origin["sha256"]) == 64


def test_another_number_of_outputs_or_channels_leaves_the_layer_as_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = slice_cnn.build(config_of())
    network = slice_cnn.build(config_of(neighbours=2), outputs=15)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    take_over(network, saved(source, tmp_path / "m.safetensors", config_of()))
    kept = {name for name, p in network.named_parameters() if torch.equal(p, before[name])}
    left = {"encoder.classifier.bias", "encoder.classifier.weight", "encoder.conv_stem.weight"}
    assert left <= kept
    assert torch.equal(network.encoder.blocks[1][0].conv_exp.weight, source.encoder.blocks[1][0].conv_exp.weight)
    assert "left as they were: " + ", ".join(sorted(left)) in capsys.readouterr().err
    assert torch.equal(network.mean, before["mean"])  # of five channels


def test_a_model_of_another_network_is_refused(tmp_path: Path) -> None:
    path = saved(nn.Linear(2, 2), tmp_path / "m.safetensors", config_of(name="other"))
    with pytest.raises(
        CspineError, match=r"no weight of .*m.safetensors \(other\) has a name and shape of this network"
    ):
        take_over(slice_cnn.build(config_of()), path)
