"""The presence network of nine outputs: its targets, its loss, and what the localization tables get of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import torch

from cspine.localization.columns import OUTPUTS, RATIO
from cspine.methods import presence_cnn, slice_cnn
from cspine.methods.presence_cnn import NetworkConfig, PresenceLoss, shown_levels
from cspine.model_headers import read_header
from cspine.studies import PRESENCE, UID
from cspine.tables import read_table
from small_localizations import NETWORK, SEGMENTED, Localizer, write_data


def shown(present: str, thoracic: float) -> dict[str, float]:
    row = {name: float(f"C{level}" in present) for level, name in enumerate(PRESENCE, 1)}
    return row | dict.fromkeys(RATIO, 0.0) | {RATIO[-1]: thoracic}


def test_the_nine_targets_are_c1_to_c7_any_thoracic_vertebra_and_none() -> None:
    table = pd.DataFrame([shown("C1 C2", 0.0), shown("C7", 0.01), shown("", 0.6), shown("", 0.0)])
    assert presence_cnn.OUTPUTS[7:] == ("present_T", "present_none")
    assert shown_levels(table).tolist() == [
        [1, 1, 0, 0, 0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0, 1, 1, 0],
        [0, 0, 0, 0, 0, 0, 0, 1, 0],
        [0, 0, 0, 0, 0, 0, 0, 0, 1],
    ]


def test_the_loss_is_the_mean_cross_entropy_of_the_known_cells() -> None:
    loss = PresenceLoss()
    logits, target = torch.zeros(2, 9), torch.zeros(2, 9)
    target[0, 3] = float("nan")
    logits[0, 3] = 50.0
    assert float(loss(logits, target, torch.tensor([1.0, 3.0]))) == float(np.float32(np.log(2)))
    assert loss.norms(target, torch.tensor([1.0, 3.0])).tolist() == [8 + 27]


def test_the_localization_has_the_first_seven_outputs_and_nothing_about_places(tmp_path: Path) -> None:
    write_data(tmp_path)
    localizer = Localizer(tmp_path, family="presence_cnn")
    table = localizer.run()
    predicted = table[table["source"] == "predicted"]
    assert predicted[list(PRESENCE)].notna().all(axis=None)
    assert predicted[[name for name in OUTPUTS if name not in PRESENCE]].isna().all(axis=None)
    assert read_header(localizer.file("model.safetensors", 0))["outputs"] == list(presence_cnn.OUTPUTS)
    network = presence_cnn.load(localizer.file("model.safetensors", 0)).eval()
    taught = read_table(localizer.file("set.parquet", 0))
    data = presence_cnn.examples(taught, [tmp_path / "train.parquet"], NetworkConfig(**NETWORK), None, 0)
    assert data.positive().all() and data[0, 0][1].shape == (9,)
    uid = next(uid for uid in SEGMENTED if uid not in set(taught.loc[taught["role"] == "train", UID]))
    row = int(np.flatnonzero(taught[UID] == uid)[0])
    with torch.inference_mode():
        said = torch.sigmoid(network(data[0, row][0][None]))[0, :7].numpy()
    found = predicted[(predicted[UID] == uid) & (predicted["z_index"] == taught["z_index"].iloc[row])]
    np.testing.assert_allclose(found[list(PRESENCE)].to_numpy()[0], said, atol=1e-6)


def test_a_presence_network_may_learn_its_colours(tmp_path: Path) -> None:
    write_data(tmp_path)
    config = NetworkConfig(**{**NETWORK, "neighbours": 0, "colour": "learned"})
    table = Localizer(tmp_path).build(0)
    data = presence_cnn.examples(table, [tmp_path / "train.parquet"], config, None, 0)
    assert data[0, 0][0].shape[0] == 1
    assert slice_cnn.build(config, outputs=9).eval()(data[0, 0][0][None]).shape == (1, 9)
