"""The maps of the cases lie where the networks look, for whatever a family reads; and the pictures are what it read."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from cspine.cache.codecs import crc32, encode
from cspine.cache.shards import VERSION, write_shard
from cspine.errors import CspineError
from cspine.heat_maps import CELLS
from cspine.methods import slice_cnn, vertebra_crop, vertebra_sequence, volume_cnn
from cspine.methods.registry import unit_of
from cspine.stages.explain_cases import ExplainConfig, explain_cases
from cspine.studies import LABELS, UID, VERTEBRAE
from cspine.tables import read_table, write_table

SIDE, DEPTH = 32, 12
FIRST_Z = 5  # of the crops
SPOT = (20, 8)  # row and column of the bright place that the networks look at
ELSEWHERE = (6, 22)  # of another as bright, which no network looks at but `other`
LEVEL = 7  # the slice with both; of a vertebra its ninth, because its slices are 3 to 11 of the crop
FAMILIES = {
    "slice_cnn": (slice_cnn, len(VERTEBRAE)),
    "vertebra_sequence": (vertebra_sequence, 1),
    "vertebra_crop": (vertebra_crop, 1),
    "volume_cnn": (volume_cnn, len(LABELS)),
}
NETWORKS: dict[str, dict[str, Any]] = {
    "slice_cnn": {"name": "test_efficientnet", "trainable": "all", "dropout": 0.0, "neighbours": 1},
    "vertebra_sequence": {
        "name": "test_convnext",
        "pixels": SIDE,
        "stacks": 3,
        "hidden": 8,
        "layers": 1,
        "dropout": 0.0,
    },
    "vertebra_crop": {"name": "test_resnet", "pixels": SIDE, "head": "pooled", "hidden": 8, "vertebra": "all"},
    "volume_cnn": {"name": "cnn_3d", "channels": [8, 8], "hidden": [16], "dropout": 0.0, "pool": 4},
}
for network in NETWORKS.values():
    network["weights"] = "none"
VERTEBRA_SLICES = np.arange(3, 12, dtype=np.int32)


class Looking(nn.Module):
    """A network that answers with the brightness of one place, in the slice LEVEL where it reads several."""

    def __init__(self, family: str, place: tuple[int, int], vertebra: str = "all", scale: float = 1.0) -> None:
        super().__init__()
        self.family, self.place, self.scale, self.outputs = family, place, scale, FAMILIES[family][1]
        self.neighbours, self.copies = 1, 3  # of slices
        self.pixels, self.stacks, self.vertebra = SIDE, 3, vertebra  # of vertebrae
        self.halvings = 2  # of volumes

    def forward(self, pixels: Tensor) -> Tensor:
        depth = {"vertebra_sequence": LEVEL - int(VERTEBRA_SLICES[0]), "volume_cnn": LEVEL}.get(self.family)
        own = pixels.float() if depth is None else pixels.float()[:, depth : depth + 1]
        row, column = self.place
        bright = own[:, :, row : row + 4, column : column + 4].mean(dim=(1, 2, 3))
        output = {"slice_cnn": VERTEBRAE.index("C5"), "volume_cnn": LABELS.index("C5")}.get(self.family, 0)
        answers = torch.zeros(len(pixels), self.outputs)
        answers[:, output] = self.scale * (bright - 128) / 40
        return answers


def stack_of(family: str) -> NDArray[np.uint8]:
    """Two bright places in the slice LEVEL; of a volume or of slices as many as these have."""
    depth = SIDE if family == "volume_cnn" else DEPTH
    stack = np.full((depth, SIDE, SIDE), 60, np.uint8)
    for row, column in (SPOT, ELSEWHERE):
        stack[LEVEL, row : row + 4, column : column + 4] = 255
    return stack


def write_cache(path: Path, stack: NDArray[np.uint8], view: str, uid: str = "1.1") -> Path:
    rows = []
    for z, image in enumerate(stack):
        place = {UID: uid, "z_index": z, "slice_number": z + 1, "position": -1.0 * z, "rows": SIDE, "columns": SIDE}
        rest = {"row_spacing": 1.0, "column_spacing": 1.0, "reversed": False}
        rows.append(place | rest | {"crc32": crc32(encode(image)), "pixels": encode(image)})
    footer = {"view": view, "cohort": "train", "pixels": SIDE, "codec": "zstd-delta", "version": VERSION}
    write_shard(path, rows, footer | ({"centre": 0.5} if view == "slice" else {}))
    return path


def vertebrae_table(box: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0)) -> pd.DataFrame:
    lists = {name: np.full(9, at, np.float32) for name, at in zip(("x0", "y0", "x1", "y1"), box, strict=True)}
    rows = [{"cohort": "train", UID: "1.1", "vertebra": v, "z_indices": VERTEBRA_SLICES} | lists for v in VERTEBRAE]
    return pd.DataFrame(rows)


def case_of(**changes: Any) -> dict[str, Any]:
    row = {"cohort": "heldout", UID: "1.1", "fold": 0, "label": "C5", "kind": "false negative", "rank": 1}
    return row | {"z_index": LEVEL, "slice_number": LEVEL + 1, "vertebra": "C5"} | changes


class World:
    """The inputs of the stage for one family, and its networks, which are loaded by their files' names."""

    def __init__(self, folder: Path, family: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.family, self.unit = folder, family, unit_of(family)
        view = {"slice": "slice", "vertebra": "crop", "study": "volume"}[self.unit]
        self.networks = {"model-0": Looking(family, SPOT), "other": Looking(family, ELSEWHERE)}
        monkeypatch.setattr(FAMILIES[family][0], "load", lambda path: self.networks[path.stem])
        write_cache(folder / "shard-0.parquet", stack_of(family), view)
        self.placed = vertebrae_table()
        self.boxes = pd.DataFrame({UID: ["1.1"], "x": [12.0], "y": [16.0], "width": [8.0], "height": [4.0]})
        self.boxes["slice_number"] = LEVEL + 1
        self.findings = pd.DataFrame({UID: ["1.9"], "code": ["padding"]})

    def run(
        self, cases: list[dict[str, Any]] | None = None, models: tuple[str, ...] = ("model-0",), **changes: Any
    ) -> pd.DataFrame:
        """The explained cases; ``changes`` of the config."""
        config: dict[str, Any] = {"folds_run": [0], "batch_size": 8, "precision": "fp32", "threads": 1} | changes
        folds, of_vertebrae = len(config["folds_run"]), self.unit == "vertebra"
        table = pd.DataFrame([case_of()] if cases is None else cases, columns=list(case_of()))
        write_table(table, self.folder / "cases.parquet")
        slices = pd.DataFrame({"z_index": np.arange(20), "slice_number": np.arange(1, 21)})
        slices = slices.assign(cohort="train", rows=SIDE, columns=2 * SIDE, **{UID: "1.1"})
        crops = pd.DataFrame({"cohort": ["train"], UID: ["1.1"], "first_z": [FIRST_Z], "x": 0.5, "y": 0.5, "side": 16})
        tables = {"slices": slices, "findings": self.findings, "vertebrae": self.placed, "crops": crops}
        for name, table in tables.items():
            write_table(table, self.folder / f"{name}.parquet")
        self.boxes.to_csv(self.folder / "boxes.csv", index=False)
        explain_cases(
            self.folder / "cases.parquet",
            [self.folder / f"{name}.safetensors" for name in models],
            [self.folder / "shard-0.parquet"] * (folds if of_vertebrae else 1),
            self.folder / "slices.parquet",
            self.folder / "findings.parquet",
            self.folder / "boxes.csv",
            self.folder / "explained.parquet",
            vertebrae=[self.folder / "vertebrae.parquet"] * folds if of_vertebrae else [],
            crops=[self.folder / "crops.parquet"] * folds if of_vertebrae else [],
            config=ExplainConfig(family=self.family, view="view", shards_by_fold=of_vertebrae, **config),
        )
        return read_table(self.folder / "explained.parquet")


@pytest.fixture(params=FAMILIES)
def world(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(tmp_path, request.param, monkeypatch)


def map_of(row: pd.Series) -> NDArray[np.float32]:
    return np.asarray(row["map"], np.float32).reshape(row["map_rows"], row["map_columns"])


def image_of(row: pd.Series) -> NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(row["image"])))


def is_at(evidence: NDArray[np.float32], place: tuple[int, int]) -> bool:
    """Whether the highest cell is the one with the middle of the bright place, or beside it."""
    found = np.array(np.unravel_index(evidence.argmax(), evidence.shape))
    return bool(np.abs((found + 0.5) * SIDE / CELLS - np.array(place) - 2).max() <= 1.5 * SIDE / CELLS)


def test_the_map_is_highest_where_the_network_looks(world: World) -> None:
    row = world.run().iloc[0]
    evidence = map_of(row)
    assert row["how"] == "occlusion" and evidence.shape == (CELLS, CELLS)
    assert evidence.max() == 1 and is_at(evidence, SPOT) and not is_at(evidence, ELSEWHERE)


def test_the_slice_that_is_shown_is_the_one_the_network_looks_at(world: World) -> None:
    row = world.run([case_of(z_index=LEVEL if world.unit == "slice" else -1)]).iloc[0]
    wanted = {"slice": (0, 1, LEVEL), "vertebra": (4, 9, FIRST_Z + LEVEL), "study": (LEVEL, SIDE, -1)}[world.unit]
    cells = {"slice": 0, "vertebra": 9, "study": CELLS}[world.unit]
    assert abs(row["number"] - wanted[0]) <= (1 if world.unit == "study" else 0)  # a cell of a volume has three slices
    assert row["slices"] == wanted[1] and row["z_index"] == wanted[2] and len(row["along"]) == cells
    if world.unit != "study":
        assert np.array_equal(image_of(row), stack_of(world.family)[LEVEL])


def test_the_networks_of_the_family_itself_are_explained_and_left_as_they_were(world: World) -> None:
    module, outputs = FAMILIES[world.family]
    torch.manual_seed(1)
    network = world.networks["model-0"] = module.build(module.NetworkConfig(**NETWORKS[world.family]), outputs=outputs)
    found = []
    for _ in range(2):  # untaught, the bright places speak for a fracture to the network or else to its contrary
        before = {name: value.clone() for name, value in network.state_dict().items()}
        found.append(world.run().iloc[0])
        assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
        assert not network._forward_pre_hooks
        for parameter in list(network.parameters())[-2:]:
            parameter.data.neg_()
    maps = [map_of(row) for row in found if row["how"] == "occlusion"]
    assert maps and all(evidence.shape == (CELLS, CELLS) and evidence.max() == 1 for evidence in maps)


def test_members_are_averaged_so_that_both_places_are_in_the_map(world: World) -> None:
    evidence = map_of(world.run(models=("model-0", "other")).iloc[0])
    half = evidence > 0.4
    rows, columns = np.nonzero(half)
    for row, column in (SPOT, ELSEWHERE):
        at = np.round((np.array([row, column]) + 2) * CELLS / SIDE - 0.5)
        assert (np.hypot(rows - at[0], columns - at[1]) <= 1.5).any()
    assert half.sum() < 20


def test_the_same_bytes_come_out_again(world: World) -> None:
    world.run(models=("model-0", "other"))
    first = (world.folder / "explained.parquet").read_bytes()
    world.run(models=("model-0", "other"))
    assert (world.folder / "explained.parquet").read_bytes() == first


def test_a_network_that_looks_nowhere_has_no_map_and_its_slice_is_shown_all_the_same(world: World) -> None:
    world.networks["model-0"] = Looking(world.family, SPOT, scale=0.0)
    row = world.run().iloc[0]
    assert row["how"] == "masking weakens the answer nowhere" and not len(row["map"])
    assert image_of(row).shape == (SIDE, SIDE)


def test_the_rows_are_the_cases_in_their_order(world: World) -> None:
    cases = [case_of(kind="false positive", rank=rank, z_index=z) for rank, z in ((2, 3), (1, LEVEL))]
    found = world.run(cases)
    assert list(found["rank"]) == [2, 1] and set(found["kind"]) == {"false positive"}
    assert found[UID].tolist() == ["1.1", "1.1"]


def test_without_cases_the_table_is_empty(world: World) -> None:
    assert world.run([]).empty


def test_each_case_is_explained_by_the_models_of_its_fold(world: World) -> None:
    found = world.run([case_of(fold=2), case_of(fold=5)], models=("other", "model-0"), folds_run=[2, 5])
    assert is_at(map_of(found.iloc[0]), ELSEWHERE) and is_at(map_of(found.iloc[1]), SPOT)


def test_a_member_that_judges_another_vertebra_has_no_part_in_the_map(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path, "vertebra_crop", monkeypatch)
    world.networks = {
        "model-0": Looking("vertebra_crop", SPOT, vertebra="C5"),
        "other": Looking("vertebra_crop", ELSEWHERE, vertebra="C4"),
    }
    both = map_of(world.run(models=("model-0", "other")).iloc[0])
    assert np.array_equal(both, map_of(world.run().iloc[0])) and is_at(both, SPOT)
    with pytest.raises(CspineError, match="none of the 1 models judges C5"):
        world.run(models=("other",))


def test_boxes_are_in_shares_of_what_is_shown_of_the_slice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tmp_path, "slice_cnn", monkeypatch)
    row = world.run().iloc[0]  # 32 rows and 64 columns, padded to 64, of which the middle 32 are shown
    assert row["boxes"].tolist() == pytest.approx([(12 - 16) / 32, 16 / 32, (20 - 16) / 32, 20 / 32])
    assert not len(world.run([case_of(z_index=3)]).iloc[0]["boxes"])
    world.findings = pd.DataFrame({UID: ["1.1"], "code": ["turned-upright"]})
    assert not len(world.run().iloc[0]["boxes"])  # they mean the image as it was stored


def test_boxes_are_in_shares_of_the_square_of_a_vertebra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tmp_path, "vertebra_crop", monkeypatch)
    world.boxes["slice_number"] = FIRST_Z + LEVEL + 1
    row = world.run().iloc[0]  # the crop: 16 pixels from row 8 and column 24 on
    assert row["boxes"].tolist() == pytest.approx([(12 - 24) / 16, (16 - 8) / 16, (20 - 24) / 16, (20 - 8) / 16])


def test_a_family_that_reads_something_else_says_so_and_shows_a_slice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path, "volume_cnn", monkeypatch)

    class Flat(Looking):
        def forward(self, pixels: Tensor) -> Tensor:
            return torch.zeros(len(pixels), self.outputs)

    def predict(network: nn.Module, *_: Any) -> Any:
        yield network(torch.zeros(1, 5, 3, SIDE, SIDE))

    world.networks["model-0"] = Flat("volume_cnn", SPOT)
    monkeypatch.setattr(volume_cnn, "predict_studies", predict)
    row = world.run().iloc[0]
    assert row["how"].startswith("no map: ") and image_of(row).shape == (SIDE, SIDE) and not len(row["map"])


@pytest.mark.parametrize("folds_run", [[0, 1], [0, 1, 2]])
def test_files_that_are_not_as_many_for_each_fold_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folds_run: list[int]
) -> None:
    world = World(tmp_path, "slice_cnn", monkeypatch)
    with pytest.raises(CspineError, match=f"found 1 models for {len(folds_run)} folds"):
        world.run(folds_run=folds_run)
