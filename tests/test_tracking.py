"""Weights & Biases behind one module: off by default, never more than a line when it fails."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import wandb

from cspine import tracking
from cspine.tracking import Silent, tracker


def test_nothing_is_tracked_unless_the_config_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(tracking.VARIABLE, raising=False)
    run = tracker("name", {})
    assert isinstance(run, Silent)
    run.log({"train_loss": 1.0}, step=0)
    run.finish()
    assert run.images == 0


def test_a_tracker_that_cannot_start_is_one_line_and_no_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(**_: Any) -> None:
        raise OSError("no network")

    monkeypatch.setattr(wandb, "init", refuse)
    monkeypatch.setenv(tracking.VARIABLE, json.dumps({"mode": "online", "project": "p"}))
    run = tracker("name", {})
    run.log({"train_loss": 1.0}, step=0)
    run.finish()
    assert capsys.readouterr().err == "tracking is off for this stage: no network\n"


@pytest.mark.filterwarnings("default")  # the client's own
def test_an_offline_run_keeps_config_and_figures_on_this_machine(
    workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(tracking.VARIABLE, json.dumps({"mode": "offline", "project": "p"}))
    monkeypatch.setenv("WANDB_SILENT", "true")
    run = tracker("slice_cnn-key", {"training": {"epochs": 1}})
    run.log({"train_loss": 0.5}, step=0)
    run.finish()
    wandb.teardown()  # waits for the client's own process, which writes the file
    kept = list(workplace.glob("wandb/offline-run-*/run-slice_cnn-key.wandb"))
    assert len(kept) == 1 and b"train_loss" in kept[0].read_bytes()


@pytest.mark.filterwarnings("default")  # the client's own
@pytest.mark.parametrize("images", [0, 3])
def test_pixels_are_kept_only_when_the_config_asks_for_them(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, images: int
) -> None:
    monkeypatch.setenv(tracking.VARIABLE, json.dumps({"mode": "offline", "project": "p", "images": images}))
    monkeypatch.setenv("WANDB_SILENT", "true")
    run = tracker("slice_cnn-key", {})
    assert run.images == images
    run.show([np.full((8, 24), 10 * i, np.uint8) for i in range(run.images)])
    run.log({"train_loss": 0.5}, step=0)
    run.finish()
    wandb.teardown()
    assert len(list(workplace.glob("wandb/offline-run-*/files/media/images/*.png"))) == images
