"""Shared pieces of the tests: a small table of studies and a folder of one's own to work in."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pandas as pd
import pytest

from cspine.studies import UID, VERTEBRAE
from sessions import Session, Start


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with whole runs first: started last, one of them would keep one worker busy while the others have nothing.

    What waits for Slurm comes first of all, then the chains, then the smoke runs, so that no worker waits while another
    makes the run that they share.
    """
    runs = ("Cluster", "Chain", "smoke_project")

    def place(item: pytest.Item) -> int:
        module = getattr(item, "module", None)
        return next((i for i, name in enumerate(runs) if hasattr(module, name)), len(runs))

    items.sort(key=place)


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current directory: store and results of the test lie in it."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def start(tmp_path: Path, studies: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> Start:
    """Begin sessions of a user, each in a folder of its own."""
    return lambda name: Session(tmp_path / name, studies, monkeypatch)


@pytest.fixture
def studies() -> pd.DataFrame:
    """index/studies.parquet of 60 readable training studies: 30 fractured, 16 of them boxed, 6 segmented."""
    rows = []
    for i in range(60):
        fractured, boxed = i < 30, i < 16
        vertebrae = [int(fractured and (i % 7 == v or (i % 5 == 0 and v == 6))) for v in range(7)]
        uid = "1.2.826.0.1.3680043." + str(int(hashlib.sha256(str(i).encode()).hexdigest()[:5], 16))
        row = {
            UID: uid,
            "cohort": "train",
            "in_csv": True,
            "has_folder": True,
            "readable": True,
            "slices": 12,
        }
        row |= {
            "thickness": 1.0,
            "reversed": i % 10 == 0,
            "boxed": boxed,
            "segmented": i % 10 == 3,
            "reason": "",
        }
        rows.append(row | {"patient_overall": int(fractured), **dict(zip(VERTEBRAE, vertebrae, strict=True))})
    return pd.DataFrame(rows)
