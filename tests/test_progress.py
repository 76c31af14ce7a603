"""How far a stage is: lines that a log keeps, and a bar in the last row of a terminal that never breaks one."""

from __future__ import annotations

import ast
import io
import json
import logging
import sys
import time
from pathlib import Path

import pytest

from cspine import bars, fingerprint, progress, terminal, workflow
from screens import CONTROL, Terminal, shown

#: stages that take minutes or hours on the real data
LONG = [
    "make_phantom",
    "inventory",
    "plan_cache",
    "ingest",
    "ingest_crops",
    "ingest_volumes",
    "index",
    "label_presence",
    "lay_masks",
    "train",
    "predict_slices",
    "predict_studies",
    "predict_localizer",
    "predict_with_bundle",
    "compare_localizers",
    "write_audit",
    "write_pseudo_pages",
]


def reports(module: str) -> bool:
    """Whether the module says how far something is."""
    calls = (node for node in ast.walk(fingerprint._tree(module)) if isinstance(node, ast.Call))
    return any(isinstance(call.func, ast.Name) and call.func.id == "report" for call in calls)


@pytest.mark.parametrize("stage", LONG)
def test_a_long_stage_says_how_far_it_is(stage: str) -> None:
    assert any(map(reports, fingerprint.closure(f"cspine.stages.{stage}")))


# -- lines -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds, as ``report`` sees them; the test sets the one element."""
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def told(clock: list[float], *steps: tuple[float, int], aside: bool = False, total: int = 40) -> list[str]:
    """The lines of the log when ``done`` steps are reported at these seconds."""
    log = io.StringIO()
    with progress.logged(log):
        for clock[0], done in steps:
            progress.report("train", done, total, "steps", f"loss {1 / done:.2f}", aside=aside)
    return log.getvalue().splitlines()


def test_a_line_has_rate_time_to_go_and_loss_and_comes_every_few_seconds_and_at_the_end(clock: list[float]) -> None:
    assert told(clock, (100, 2), (103, 5), (106, 8), (107, 9), (150, 40)) == [
        "train: 8/40 steps, 1.0 steps/s, 32 s to go, loss 0.12",
        "train: 40/40 steps, 45.6 steps/min, loss 0.03",
    ]


def test_slow_work_is_counted_by_the_minute_or_the_hour(clock: list[float]) -> None:
    assert "1.0 steps/min, 38 min to go" in told(clock, (0, 1), (60, 2))[0]
    assert "2.0 steps/h, 19 h to go" in told(clock, (0, 1), (1800, 2))[0]


def test_what_is_done_on_the_way_speaks_only_when_it_takes_long_and_leaves_the_stages_standing(
    clock: list[float], tmp_path: Path
) -> None:
    assert told(clock, (0, 1), (1, 40), (2, 1), (3, 40), aside=True) == []
    assert len(told(clock, (0, 1), (6, 20), (7, 40), aside=True)) == 2
    with progress.logged(folder=tmp_path):
        progress.report("train", 4, 9, "steps", "loss 0.5")
        progress.report("train: evaluation", 1, 3, "batches", aside=True)
        progress.keep(tmp_path)
    standing = json.loads((tmp_path / progress.STANDING).read_text())
    assert (standing["task"], standing["done"], standing["note"]) == ("train", 4, "loss 0.5")


# -- bars --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("columns", range(0, 120, 7))
def test_a_row_fits_and_keeps_its_words_as_long_as_it_can(columns: int) -> None:
    row = bars.row("train", 20, 40, "20/40 steps, 1.5 steps/s", columns)
    assert len(row) <= columns
    if columns >= 45:
        assert row.startswith("train ━━") and row.endswith("── " + " 50% 20/40 steps, 1.5 steps/s")


@pytest.mark.parametrize(("done", "total", "drawn"), [(0, 4, "----"), (3, 4, "###-"), (5, 4, "####"), (0, 0, "####")])
def test_a_bar_shows_the_share_in_characters_the_terminal_has(done: int, total: int, drawn: str) -> None:
    assert bars.bar(done, total, 4, "latin-1") == drawn


STAGE = """
import sys
import time
from pathlib import Path
from cspine import progress, terminal
def step(done):
    progress._drawn = 0.0
    progress.report("train", done, 4, "steps", "loss 0.5")
with terminal.whole_lines(), Path("log.txt").open("w") as log, progress.logged(log):
    step(1)
    progress.say("train: epoch 1/2")
    step(2)
    print("a library's", "warning", file=sys.stderr)
    step(3)
    sys.stderr.write("half a ")
    step(3)
    sys.stderr.write("line\\n")
    {last}
progress.say("the end")
"""


def run_stage(folder: Path, columns: int = 100, last: str = "step(4)", **environment: str) -> Terminal:
    found = Terminal(STAGE.replace("{last}", last), folder, columns, {"PYTHONPATH": str(SOURCE), **environment})
    assert found.end() == 0
    return found


SOURCE = Path(workflow.__file__).parents[1]


def test_on_a_terminal_a_bar_is_drawn_below_whole_lines_and_is_gone_at_the_end(tmp_path: Path) -> None:
    found = run_stage(tmp_path)
    assert "train ━━━━━━━─" in found.written and " 25% 1/4 steps, loss 0.5" in found.written
    rows = shown(found.written)
    assert rows[:3] == ["train: epoch 1/2", "a library's warning", "half a line"]
    assert rows[3].startswith("train: 4/4 steps") and rows[4:] == ["the end", ""]


def test_the_log_of_a_terminals_stage_has_lines_and_no_control_characters(tmp_path: Path) -> None:
    run_stage(tmp_path)
    log = (tmp_path / "log.txt").read_text()
    assert log.splitlines()[0] == "train: epoch 1/2" and log.splitlines()[1].startswith("train: 4/4 steps")
    assert log.isprintable() or all(c.isprintable() or c == "\n" for c in log)


def test_a_bar_fits_a_narrow_terminal(tmp_path: Path) -> None:
    found = run_stage(tmp_path, columns=24)
    drawn = [CONTROL.sub("", piece) for piece in found.written.split("\r")]
    assert any(piece.startswith("train  25% 1/4 steps") for piece in drawn)
    assert max(len(piece) for piece in drawn if piece.startswith("train  ")) < 24


def test_a_bar_ends_with_its_stage_whatever_ends_it(tmp_path: Path) -> None:
    found = run_stage(tmp_path, last="raise SystemExit(0)")
    assert shown(found.written)[-1] == "" and found.written.endswith(terminal.ERASE)


@pytest.mark.parametrize("kind", ["dumb", ""])
def test_a_dumb_terminal_gets_plain_lines(tmp_path: Path, kind: str) -> None:
    found = run_stage(tmp_path, TERM=kind)
    assert "\x1b" not in found.written and "━" not in found.written
    assert found.written.splitlines()[0] == "train: epoch 1/2"


def test_a_bar_has_no_colour(tmp_path: Path) -> None:
    assert set(CONTROL.findall(run_stage(tmp_path).written)) == {"\x1b[K"}


TWO = """
import subprocess, sys
from cspine import progress, terminal
def job(name, *lines):
    code = "import sys; from cspine import progress, terminal\\nwith terminal.whole_lines(), progress.logged():\\n"
    wait = "sys.stdout.write('.'); sys.stdout.flush(); sys.stdin.readline()"
    code += "".join(f"    {line}\\n    {wait}\\n" for line in lines)
    pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    return subprocess.Popen([sys.executable, "-c", code.replace("NAME", name)], **pipes)
def until_done(process):
    process.stdout.read(1)
def go_on(process):
    process.stdin.write("\\n"); process.stdin.flush()
report, line = "progress._drawn = 0.0; progress.report('NAME', {}, 9)", "progress.say('NAME: a line')"
one = job("one", report.format(1), report.format(9), line)
until_done(one)
two = job("two", report.format(1), line, report.format(2), report.format(3))
for process in (two, two, one, two, two):
    if process is one: go_on(one); until_done(one)
    else: until_done(two); go_on(two)
for process in (one, two):
    process.communicate("\\n" * 9)
"""


def test_of_two_jobs_in_one_terminal_one_has_the_bar_and_the_other_gets_it_afterwards(tmp_path: Path) -> None:
    found = Terminal(TWO, tmp_path, environment={"PYTHONPATH": str(SOURCE)})
    assert found.end() == 0
    first, _, second = found.written.partition("one: 9/9")
    assert "one ━━" in first and "two ━" not in first and "two ━━" in second
    rows = shown(found.written)
    assert {"two: a line", "one: a line"} <= set(rows) and rows[-1] == ""
    assert not any("━" in row for row in rows)


def test_what_snakemake_logs_is_written_over_the_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    class Screen(io.StringIO):
        def isatty(self) -> bool:
            return True

    screen = Screen()
    handler = logging.StreamHandler(screen)
    logger = logging.getLogger(workflow.SNAKEMAKE_LOGGER)
    monkeypatch.setattr(logger, "handlers", [handler])
    monkeypatch.setattr(logger, "disabled", False)
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    workflow._write_whole_lines()
    screen.write("train ━━━━── 50%")  # by a job
    logger.error("Finished job 3.\n1 of 2 steps done")
    assert shown(screen.getvalue()) == ["Finished job 3.", "1 of 2 steps done", ""]


def test_the_default_logger_of_snakemake_is_the_one_that_is_made_to_write_whole_lines() -> None:
    from snakemake.logging import ColorizingTextHandler, logger

    assert logger.name == workflow.SNAKEMAKE_LOGGER and issubclass(ColorizingTextHandler, logging.StreamHandler)


def test_a_stream_that_is_no_terminal_is_left_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    before = sys.stderr
    with terminal.whole_lines():
        assert sys.stderr is before
        progress.report("something", 1, 2)
        progress.say("a line")
    assert capsys.readouterr().err == "a line\n"
