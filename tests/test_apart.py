"""Calls that may take their process with them."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator

import pytest

from cspine.apart import Apart, DiedError


def work(order: str) -> int:
    """Answers with its process id, or does not."""
    if order == "die":
        os.kill(os.getpid(), signal.SIGABRT)
    if order == "raise":
        raise ValueError("no such order")
    if order == "hang":
        threading.Event().wait()
    return os.getpid()


@pytest.fixture(scope="module")
def apart() -> Iterator[Apart]:
    helper = Apart(work)
    yield helper
    helper.stop()


def test_calls_share_one_process_that_is_not_this_one(apart: Apart) -> None:
    first = apart("work")
    assert first != os.getpid() and apart("work") == first


def test_an_exception_is_raised_here_and_costs_nothing(apart: Apart) -> None:
    first = apart("work")
    with pytest.raises(RuntimeError, match="ValueError: no such order"):
        apart("raise")
    assert apart("work") == first


def test_death_costs_one_answer(apart: Apart) -> None:
    first = apart("work")
    with pytest.raises(DiedError):
        apart("die")
    assert apart("work") not in (first, os.getpid())


def test_silence_counts_as_death(apart: Apart, monkeypatch: pytest.MonkeyPatch) -> None:
    first = apart("work")
    monkeypatch.setattr(apart, "seconds", 0.05)
    with pytest.raises(DiedError, match="no answer"):
        apart("hang")
    monkeypatch.undo()
    assert apart("work") != first
