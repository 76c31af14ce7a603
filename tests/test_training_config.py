"""The training block: values that do not go together are refused before the first job."""

from __future__ import annotations

import copy
from dataclasses import fields
from pathlib import Path

import pytest

from cspine.config import complete_config, read_yaml
from cspine.errors import CspineError
from cspine.optimisation import SCHEDULES
from cspine.training_config import TrainingConfig

ROOT = Path(__file__).parent.parent
SCHEMA = read_yaml(ROOT / "workflow/schemas/config.schema.yaml")
DEFAULT = read_yaml(ROOT / "config.yaml")
BLOCK = "methods.semi_supervised.training"


def complete(setting: str) -> dict[str, object]:
    return complete_config({**copy.deepcopy(DEFAULT), "set": setting}, SCHEMA)


def test_schema_and_loop_know_the_same_keys_and_schedules() -> None:
    known = SCHEMA["$defs"]["training"]["properties"]
    assert set(known) == {field.name for field in fields(TrainingConfig)}
    assert set(known["schedule"]["enum"]) == set(SCHEDULES)


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        (
            f"{BLOCK}.patient_term=true,{BLOCK}.loss=focal",
            r"patient_term: belongs to loss: competition, found",
        ),
        (f"{BLOCK}.min_learning_rate=1", r"min_learning_rate: found 1.0, expected at most learning_rate, 0.005"),
        (f"{BLOCK}.accumulate=20", r"accumulate: found 20, expected at most 16: normalisation needs two examples"),
        ("methods.semi_supervised.student.training.accumulate=20", r"accumulate: found 20, expected at most 16"),
        (f"{BLOCK}.batch_size=all", r"batch_size: found 'all' \(text\), expected one of auto or an integer at least 2"),
        (f"{BLOCK}.schedule=cosin", r"schedule: found 'cosin' \(text\), expected one of constant, cosine, tanh, poly"),
    ],
)
def test_what_does_not_go_together_is_refused(setting: str, words: str) -> None:
    with pytest.raises(CspineError, match=words):
        complete(setting)


def test_auto_goes_with_any_number_of_parts() -> None:
    complete(f"{BLOCK}.batch_size=auto,{BLOCK}.accumulate=20")
