"""A bundle made with the pinned libraries is loaded by the oldest admitted ones, and gives the same answers.

Both environments predict with a bundle made by the one that runs the test; `make test-lowest` has both.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cspine.bundles.manifest import read_bundle
from small_bundles import small_bundle, write_studies
from smoke_projects import ENOUGH_SECONDS, ROOT, clean

HERE_IS_LOWEST = "CSPINE_LOWEST" in os.environ
OTHER = ROOT / (".venv" if HERE_IS_LOWEST else ".venv-lowest") / "bin/python"


@pytest.mark.skipif(not OTHER.exists(), reason=f"no {OTHER.parent.parent.name} here: `make test-lowest` makes both")
def test_a_bundle_gives_the_same_answers_under_the_oldest_and_the_pinned_libraries(tmp_path: Path) -> None:
    bundle, studies = small_bundle(tmp_path / "bundle"), write_studies(tmp_path / "studies", ("1", "2", "3"))
    tables: list[pd.DataFrame] = []
    for python in (OTHER, Path(sys.executable)):
        out = tmp_path / f"out-{len(tables)}"
        command = [str(python), "-m", "cspine", "predict", str(studies), "--bundle", str(bundle), "--out", str(out)]
        environment = clean({"PYTHONPATH": str(ROOT / "src")})
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=ENOUGH_SECONDS)
        assert done.returncode == 0, done.stderr
        assert "the bundle asks for" not in done.stderr  # both are within the ranges
        tables.append(pd.read_parquet(out / "predictions.parquet"))
    other, here = tables
    assert (other.drop(columns="probability").astype(str) == here.drop(columns="probability").astype(str)).all(
        axis=None
    )
    assert np.allclose(other["probability"], here["probability"], atol=1e-5)
    assert read_bundle(bundle).manifest["versions"]["torch"]
