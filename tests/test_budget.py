"""The time budget as a deadline in the environment."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

import pytest

from cspine import budget
from cspine.config import read_yaml
from cspine.errors import CspineError

SCHEMA = Path(__file__).parent.parent / "workflow/schemas/config.schema.yaml"
TIMES = {"11h30m": 41400, "90m": 5400, "45s": 45, "1h0m1s": 3601, "1.5h": 5400, "0s": 0}
NO_TIMES = ("", "h", "90", "1d", "30m1h", "1h 30m", "-5m", "none at all")


@pytest.fixture(autouse=True)
def no_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(budget.VARIABLE, "")


@pytest.mark.parametrize(("text", "seconds"), TIMES.items())
def test_a_time_is_read_as_its_seconds(text: str, seconds: float) -> None:
    assert budget.seconds_of(text) == seconds


def test_none_is_no_limit() -> None:
    budget.begin("none")
    assert budget.seconds_of("none") is None and budget.seconds_left() == float("inf")


@pytest.mark.parametrize("text", NO_TIMES)
def test_what_is_no_time_is_refused_with_examples(text: str) -> None:
    with pytest.raises(CspineError, match="expected a time such as 11h30m"):
        budget.seconds_of(text)


def test_the_schema_of_the_config_admits_exactly_what_is_read_here() -> None:
    pattern = read_yaml(SCHEMA)["properties"]["time_budget"]["pattern"]
    assert all(re.search(pattern, text) for text in [*TIMES, "none"])
    assert not any(re.search(pattern, text) for text in NO_TIMES)


@pytest.mark.parametrize(("text", "margin"), [("20s", 5), ("5m", 15), ("11h30m", 30)])
def test_a_part_of_the_budget_is_kept_back_for_the_end(
    text: str, margin: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "time", lambda: 1000.0)
    monkeypatch.setattr(time, "process_time", lambda: 2.0)  # already used
    budget.begin(text)
    assert budget.seconds_left() == (budget.seconds_of(text) or 0) - margin - 2


@pytest.mark.parametrize(("there", "left"), [("1010", 10), ("2000", 295), ("", 295)])
def test_an_earlier_deadline_of_the_session_wins(there: str, left: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 1000.0)
    monkeypatch.setattr(time, "process_time", lambda: 0.0)
    monkeypatch.setattr(budget, "MOST_MARGIN", 5.0)
    monkeypatch.setenv(budget.VARIABLE, there)
    budget.begin("5m")
    assert budget.seconds_left() == left


def test_a_deadline_that_is_no_time_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(budget.VARIABLE, "noon")
    with pytest.raises(CspineError, match="CSPINE_DEADLINE is 'noon'; expected seconds since 1970"):
        budget.seconds_left()
    assert os.environ[budget.VARIABLE] == "noon"
