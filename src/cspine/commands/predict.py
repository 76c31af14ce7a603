"""Predict one study, or a folder of studies, with a bundle."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from cspine import budget, pausing
from cspine.errors import CspineError
from cspine.findings import Finding
from cspine.progress import say
from cspine.studies import UID

if TYPE_CHECKING:
    import pandas as pd

#: kept back of a time limit to write the last tables: a little, and something for each study
RESERVE_SECONDS, RESERVE_A_STUDY = 5.0, 0.02
MOST_READERS = 4  # processes by default, of some 300 MB each: more are seldom waited for


def main(
    path: str,
    bundle: str = "results/bundle",
    out: str = "predicted",
    sample: str = "",
    time_limit: str = "none",
    device: str = "auto",
    threads: int = 0,
    workers: int = 0,
    study_seconds: float = 300.0,
    no_pictures: bool = False,
) -> int:
    """Predict fractures of C1 to C7 in one study (a folder of DICOM files), or in a folder of studies.

    Writes into OUT: triage.html and triage.csv (most suspicious first), predictions.parquet (slices, vertebrae,
    studies), key_slices/*.png (suspicious vertebrae, with the region that drove the answer), findings.csv (what was
    wrong with the input), and submission.csv when a sample is given. Cut off, the same command goes on. Not a medical
    device.

    Args:
        path: a study, a folder of studies, or the competition's folder (its test_images)
        bundle: the folder that `snakemake bundle` made
        out: folder to write into
        sample: a sample_submission.csv: which rows are asked for, in which order
        time_limit: when everything must be written, e.g. 8h30m; studies not reached by then get the training prior
        device: auto, cpu, cuda or cuda:1
        threads: of torch on a CPU (default: as the workflow, which gives its numbers to the last bit)
        workers: processes that read studies (default: as many as there are cores, at most 4)
        study_seconds: a study that takes longer to read is given up
        no_pictures: draw no key slices
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # spinning threads cost more than they bring (see running.py)
    asked, found = _asked(sample), Path(path)
    from cspine.bundles.manifest import read_bundle
    from cspine.bundles.needs import departures
    from cspine.prediction.answers import Options
    from cspine.prediction.inputs import not_asked_for, studies_at
    from cspine.prediction.session import Session

    given = read_bundle(Path(bundle))
    say(given.name())
    for departure in departures(given.manifest["requires"]):
        say(f"predict: the bundle asks for {departure}; it may fail, or give other numbers")
    studies = studies_at(found, None if asked is None else asked[UID])
    _begin(time_limit, len(studies))
    extra = [] if asked is None else not_asked_for(found, asked[UID])
    beside = [_left_alone(uid) for uid in extra]
    options = Options(device, threads, workers or _readers(), study_seconds)
    why = Session(given, studies, Path(out), asked, options, not no_pictures, beside).run()
    from cspine.prediction.page import write_page  # with matplotlib: half of what the first submission would wait for

    write_page(Path(out), given, why)
    _say_where(Path(out), asked is not None, len(beside))
    return pausing.PAUSED if why not in ("", pausing.TIME_IS_UP) else 0


def _asked(sample: str) -> pd.DataFrame | None:
    """The rows of the sample; None without one."""
    if not sample:
        return None
    from cspine.submission import read_sample

    if not Path(sample).is_file():
        raise CspineError(f"--sample {sample}: found no such file; expected a sample_submission.csv")
    return read_sample(Path(sample))


def _begin(time_limit: str, studies: int) -> None:
    """Start the clock, so that what is left at the deadline suffices to write everything."""
    try:
        seconds = budget.seconds_of(time_limit)
    except CspineError as error:
        raise CspineError(str(error).replace("time_budget", "--time-limit")) from None
    if seconds is not None:
        budget.begin(f"{max(1.0, seconds - RESERVE_SECONDS - RESERVE_A_STUDY * studies):.3f}s")


def _readers() -> int:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(MOST_READERS, cores)


def _left_alone(uid: str) -> Finding:
    return Finding(uid, "test-not-asked-for", "", "no row of the sample asks for it", "not predicted")


def _say_where(out: Path, submission: bool, left_alone: int) -> None:
    if left_alone:
        say(f"predict: {left_alone} folders that no row of the sample asks for were not predicted")
    say(f"predict: look at {out / 'triage.html'}" + (f"; {out / 'submission.csv'} is ready" if submission else ""))
