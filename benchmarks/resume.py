"""From the command to the next training step after a kill late in a training, against the same step from nothing.

Resuming costs the same however long the training was, so the ratio grows with its length; here it takes half a minute.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

from measuring import finished_run, in_turns, ratios, shown

from smoke_projects import Project, clean

STEPS, KILLED_AT, INTERVAL = 1000, 950, 50
METHOD = "methods.semi_supervised"
SETTINGS = f"{METHOD}.training.epochs=1 {METHOD}.training.epoch_steps={STEPS} runtime.checkpoint_steps={INTERVAL}"


def command(project: Project) -> list[str]:
    return project.command("submission", "--config", f"set={SETTINGS}")


def seconds_to_step(project: Project, saved: Path | None, steps: int) -> float:
    """Seconds from the command until so many steps were taken; then everything is killed.

    Args:
        project: its unfinished training is taken away first.
        saved: work/train as it was when a training was killed; None = from nothing.
        steps: to be taken by this run.
    """
    shutil.rmtree(project.folder / "work/train")
    if saved:
        shutil.copytree(saved, project.folder / "work/train", symlinks=True)
    trace = project.folder.parent / "trace.txt"
    trace.unlink(missing_ok=True)
    begun = time.perf_counter()
    run = subprocess.Popen(
        command(project), cwd=project.folder, env=clean({"CSPINE_FAULT_TRACE": str(trace)}), start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    while not trace.exists() or trace.read_bytes().count(b"train-step\n") < steps:
        if run.poll() is not None:
            raise RuntimeError(f"the run ended with {run.returncode} before step {steps}")
        time.sleep(0.02)
    seconds = time.perf_counter() - begun
    os.killpg(run.pid, signal.SIGKILL)
    run.wait()
    return seconds


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    repeats = parser.parse_args().repeats
    with finished_run() as project:
        shutil.rmtree(project.folder / "work/train")
        killed = subprocess.run(
            command(project), cwd=project.folder, env=clean({"CSPINE_FAULT": f"train-step:{KILLED_AT}"}),
            capture_output=True,
        )  # fmt: skip
        assert killed.returncode == 1
        saved = project.folder.parent / "saved"
        shutil.copytree(project.folder / "work/train", saved, symlinks=True)
        lost = KILLED_AT % INTERVAL or INTERVAL  # the kill came before the save of its step
        restart, resume = in_turns(
            repeats,
            partial(seconds_to_step, project, None, KILLED_AT + 1),
            partial(seconds_to_step, project, saved, 1),
        )
    words = f"killed in step {KILLED_AT} of {STEPS}, {lost} steps after the last checkpoint"
    print(f"\n{words}; seconds, median of {repeats} and spread")
    print(f"  resumed: to the first step   {shown(resume, 1)}")
    print(f"  from nothing: to step {KILLED_AT + 1}    {shown(restart, 1)}")
    print(f"  ratio                        {shown(ratios(restart, resume), 1)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
