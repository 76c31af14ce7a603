"""The evidence lies where masking weakens the answer, and its region comes out in the slice's own pixels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from cspine.heat_maps import CELLS, evidence_map
from cspine.prediction.regions import Field, Region, region_of
from cspine.views.windows import resize_slice


def bright_spot(row: int, column: int, side: int = 4):
    """A network whose second answer is the brightness of one place."""

    def logits(images: Tensor) -> Tensor:
        spot = images[:, :, row : row + side, column : column + side].mean(dim=(1, 2, 3))
        return torch.stack([torch.zeros(len(images)), spot], dim=1)

    return logits


@pytest.mark.parametrize(("row", "column"), [(8, 8), (8, 30), (30, 20), (40, 40)])
def test_the_evidence_is_highest_where_the_network_looks(row: int, column: int) -> None:
    image = torch.zeros(1, 3, 48, 48, dtype=torch.uint8)
    image[:, :, row : row + 4, column : column + 4] = 255
    found = evidence_map(bright_spot(row, column), image, 1)
    assert found.shape == (CELLS, CELLS) and found.max() == 1 and found.min() >= 0
    cell = np.array(np.unravel_index(found.argmax(), found.shape)) * 48 / CELLS
    assert abs(cell[0] - row) <= 2 * 48 / CELLS and abs(cell[1] - column) <= 2 * 48 / CELLS


def test_without_any_evidence_the_map_is_0_and_there_is_no_region() -> None:
    found = evidence_map(bright_spot(8, 8), torch.zeros(1, 1, 48, 48), 0)
    assert not found.any() and region_of(found, 100, 100, 1.0) is None


def test_the_network_and_its_gradients_are_left_alone() -> None:
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(48 * 48, 2))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    evidence_map(network, torch.rand(1, 1, 48, 48), 1)
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())


@pytest.mark.parametrize(
    ("rows", "columns", "centre"), [(512, 512, 1.0), (512, 512, 0.45), (300, 500, 0.8), (500, 300, 0.6)]
)
def test_a_region_is_where_a_bright_square_of_the_slice_was_cached(rows: int, columns: int, centre: float) -> None:
    image = np.zeros((rows, columns), np.uint8)
    top, left, side = rows // 2 + 10, columns // 2 - 40, 40
    image[top : top + side, left : left + side] = 255
    cached = resize_slice(image, 60, centre) / 255
    region = region_of(cached.astype(np.float32), rows, columns, centre)
    assert region is not None
    cell = Field.of(rows, columns, centre).side / 60
    for found, wanted in zip((region.x, region.y, region.width, region.height), (left, top, side, side), strict=True):
        assert abs(found - wanted) <= 2 * cell


def test_of_two_groups_the_one_with_more_evidence_is_the_region() -> None:
    evidence = np.zeros((10, 10), np.float32)
    evidence[1, 1] = 1.0
    evidence[6:8, 6:8] = 0.7
    assert region_of(evidence, 100, 100, 1.0) == Region(60, 60, 20, 20)


def test_a_region_ends_at_the_slice_though_the_field_is_padded_beyond() -> None:
    evidence = np.ones((10, 10), np.float32)
    assert region_of(evidence, 50, 100, 1.0) == Region(0, 0, 100, 50)
