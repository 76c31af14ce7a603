"""What an offline run of Weights & Biases holds, read from the files that the real client has written."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wandb.proto import wandb_internal_pb2

BLOCK = 32768  # the client's file is a log of LevelDB: records in parts, none of which crosses a block
HEAD = struct.Struct("<IHB")  # of a part: checksum, length, kind
FULL, FIRST, MIDDLE, LAST = 1, 2, 3, 4


class OfflineRun:
    """One folder logs/wandb/offline-run-*."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (path,) = folder.glob("run-*.wandb")
        self.records = list(_records(path.read_bytes()))

    @property
    def run(self) -> Any:
        """The record that begins it: id, project, config, names."""
        return next(record.run for record in self.records if record.WhichOneof("record_type") == "run")

    @property
    def config(self) -> dict[str, Any]:
        """The config, without the client's own part."""
        values = {item.key: json.loads(item.value_json) for item in self.run.config.update}
        return {name: value for name, value in values.items() if name != "_wandb"}

    @property
    def history(self) -> list[dict[str, Any]]:
        """The rows of figures, each with its ``_step``; without tables, pictures and times."""
        rows = (record.history for record in self.records if record.WhichOneof("record_type") == "history")
        named = [{".".join(i.nested_key) or i.key: json.loads(i.value_json) for i in row.item} for row in rows]
        return [
            {name: value for name, value in row.items() if "." not in name and name not in ("_runtime", "_timestamp")}
            for row in named
        ]

    def table(self, name: str) -> list[dict[str, Any]]:
        """The rows of a table."""
        (path,) = self.folder.glob(f"files/media/table/{name}_*.table.json")
        found = json.loads(path.read_text())
        return [dict(zip(found["columns"], row, strict=True)) for row in found["data"]]

    def tables(self) -> set[str]:
        """Their names."""
        return {path.name.rsplit("_", 2)[0] for path in self.folder.glob("files/media/table/*")}

    def uploaded(self) -> bytes:
        """Every byte that `wandb sync` reads: the log and the run's files, not the client's own logs."""
        paths = [*self.folder.glob("run-*.wandb"), *(p for p in self.folder.glob("files/**/*") if p.is_file())]
        return b"\n".join(path.read_bytes() + str(path.relative_to(self.folder)).encode() for path in paths)


def offline_runs(place: Path, name: str = "*") -> list[OfflineRun]:
    """The offline runs below ``place`` whose id fits ``name``, the oldest first."""
    return [OfflineRun(folder) for folder in sorted(place.glob(f"logs/wandb/offline-run-*-{name}"))]


def _records(data: bytes) -> Iterator[Any]:
    assert data[:4] == b":W&B"
    at, whole = 7, b""  # LevelDB has no such header, and its blocks count from the file's start
    while at < len(data):
        if (left := BLOCK - at % BLOCK) < HEAD.size:
            at += left
            continue
        _, length, kind = HEAD.unpack_from(data, at)
        part = data[at + HEAD.size : at + HEAD.size + length]
        at += HEAD.size + length
        whole = part if kind in (FULL, FIRST) else whole + part
        if kind in (FULL, LAST):
            yield wandb_internal_pb2.Record.FromString(whole)  # type: ignore[attr-defined]
