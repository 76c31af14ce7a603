"""A prediction from its first study to its last: workers read while the networks compute, until done or out of time.

Whatever is cut off at whatever moment, the submission that lies there is valid: every row asked for, in the sample's
order, the prior where there is no prediction yet.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from cspine import pausing
from cspine.amounts import duration
from cspine.bundles.manifest import Bundle
from cspine.findings import Finding, findings_table
from cspine.hashing import digest_of
from cspine.prediction.inputs import StudyInput
from cspine.prediction.parts import Parts
from cspine.prediction.reading import ReadStudy, lost, read_for
from cspine.prediction.results import StudyResult, by_prior, labels_of, predicted
from cspine.prediction.tables import triage, triage_row, write_csv, write_predictions
from cspine.progress import report, say
from cspine.studies import LABELS
from cspine.study_pool import studies_read
from cspine.submission import filled, write_submission_file
from cspine.views.study_rows import StudyJob

if TYPE_CHECKING:  # torch takes seconds to import: the first submission is written before
    from cspine.prediction.ensemble import Ensemble

SECONDS_BETWEEN_SUBMISSIONS = 5.0
NO_FOLDER, OUT_OF_TIME, STOPPED = "no-folder", "out-of-time", "stopped"


@dataclass(frozen=True)
class Options:
    """What the machine and the person decide; no number depends on it but for the last digits of other devices."""

    device: str = "auto"  # auto | cpu | cuda | cuda:1
    threads: int = 0  # torch's; 0 = the workflow's
    workers: int = 1  # processes that read
    pictures: bool = True  # of key slices
    study_seconds: float = 300.0  # after which a study that is still being read is given up


@dataclass
class Session:
    """One call of ``cspine predict``.

    Attributes:
        bundle: read and compared with its digests.
        studies: what is to be predicted, in this order.
        out: the folder of everything that is written.
        sample: the rows of a sample submission, or None: then there is no submission.csv.
        options: see Options.
        beside: findings about the input as a whole.
    """

    bundle: Bundle
    studies: Sequence[StudyInput]
    out: Path
    sample: pd.DataFrame | None
    options: Options
    beside: list[Finding] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.out.mkdir(parents=True, exist_ok=True)
        options = self.options
        self.parts = Parts(self.out, digest_of(self.bundle.id, options.device, options.threads, options.pictures))
        self.rows: dict[str, dict[str, object]] = {}  # of triage.csv
        self.known: dict[str, dict[str, float]] = {}  # study -> label -> probability, of predicted ones
        self.findings: list[Finding] = list(self.beside)
        self.digests: dict[str, str] = {}
        self.reasons: Counter[str] = Counter()
        self.seconds: Counter[str] = Counter()
        self.published = 0.0

    def run(self) -> str:
        """Predict all, as far as there is time; returns why it stopped early, "" when it is done."""
        begun, why = time.monotonic(), ""
        self._publish()
        try:
            with pausing.watched():
                self._predict()
        except pausing.Paused as pause:
            why = pause.why
        with pausing.answered(), pausing.held():
            self._finish(why)
            self._tell(time.monotonic() - begun, why)
        return why

    def _predict(self) -> None:
        """Every study: found among the kept ones, or read in a worker and predicted here."""
        waiting = []
        for study in self.studies:
            self.digests[study.uid] = study.digest()
            kept = self.parts.find(study.uid, self.digests[study.uid])
            if study.folder is None:
                self._take(by_prior(study.uid, self.bundle, NO_FOLDER, "no folder of this name", []), keep=False)
            elif kept is not None:
                self._take(kept, keep=False)
            else:
                waiting.append(study)
        if self.known and waiting:
            say(f"predict: goes on; {_studies(len(self.known))} predicted before, {_studies(len(waiting))} to do")
        jobs = [StudyJob(study.folder, study.files()) for study in waiting if study.folder is not None]
        if not jobs:
            return
        options = self.options
        with studies_read(jobs, read_for, self.bundle.form, lost, options.workers, options.study_seconds) as reads:
            from cspine.prediction.ensemble import Ensemble  # while the workers read the first studies

            ensemble = Ensemble(self.bundle, options.device, options.threads)
            for job, read in zip(jobs, reads, strict=True):
                self._take(self._answer(job, read, ensemble), keep=True)

    def _answer(self, job: StudyJob, read: ReadStudy, ensemble: Ensemble) -> StudyResult:
        if not len(read.pixels):
            detail = next((f.detail for f in read.findings if f.code == read.reason), "")
            return by_prior(read.uid, self.bundle, read.reason, detail, read.findings)
        begun = time.perf_counter()
        result = predicted(read, ensemble.predict(read.pixels), self.bundle)
        computed = time.perf_counter()
        pictures = self._pictures(job, read, result, ensemble) if self.options.pictures else {}
        seconds = {"reading": read.seconds, "network": computed - begun, "pictures": time.perf_counter() - computed}
        return replace(result, pictures=pictures, seconds=seconds)

    def _pictures(self, job: StudyJob, read: ReadStudy, result: StudyResult, ensemble: Ensemble) -> dict[str, str]:
        """Draw the key slice of each suspicious vertebra: vertebra -> file name."""
        suspicious = result.suspicious(self.bundle.points)
        if not suspicious:
            return {}
        from cspine.prediction import key_slices

        form, drawn = self.bundle.form, {}
        for vertebra in suspicious:
            row = result.key_row(vertebra)
            image = key_slices.full_slice(job.folder, read.files[row], int(read.frames[row]), form)
            if image is None:
                continue
            name = key_slices.picture_name(result.uid, vertebra)
            evidence = ensemble.evidence(read.pixels, row, vertebra)
            title = key_slices.title_of(result, vertebra, row)
            key_slices.draw(self.out / key_slices.FOLDER / name, image, evidence, form, title, self.bundle.warning())
            drawn[vertebra] = name
        return drawn

    def _take(self, result: StudyResult, keep: bool) -> None:
        with pausing.held():
            if keep:
                self.parts.keep(result, self.digests[result.uid])
            self.rows[result.uid] = triage_row(result, self.bundle.points)
            self.findings += result.findings
            self.seconds.update(result.seconds)
            if result.reason:
                self.reasons[result.reason] += 1
            else:
                self.known[result.uid] = labels_of(result)
            if time.monotonic() - self.published > SECONDS_BETWEEN_SUBMISSIONS:
                self._publish()
        report("predict", len(self.rows), len(self.studies), "studies")

    def _publish(self) -> None:
        """Put the submission as it stands in its place."""
        if self.sample is not None:
            known = pd.DataFrame.from_dict(self.known, orient="index", columns=list(LABELS), dtype=np.float64)
            table, _ = filled(self.sample, known, self.bundle.prior, float(self.bundle.manifest["clip"]))
            write_submission_file(self.out / "submission.csv", table, self.sample)
        self.published = time.monotonic()

    def _finish(self, why: str) -> None:
        """Write everything; what could not be predicted in time has the prior."""
        code = OUT_OF_TIME if why == pausing.TIME_IS_UP else STOPPED
        for study in self.studies:
            if study.uid not in self.rows:
                self._take(by_prior(study.uid, self.bundle, code, why, []), keep=False)
        self._publish()
        write_predictions(self.out / "predictions.parquet", self._results())
        write_csv(self.out / "triage.csv", triage(self.rows.values()))
        write_csv(self.out / "findings.csv", findings_table(self.findings))
        if not why:
            self.parts.drop()

    def _results(self) -> Iterator[StudyResult]:
        """Every answer again, from where it is kept."""
        for study in self.studies:
            kept = self.parts.find(study.uid, self.digests.get(study.uid, ""))
            reason, _, detail = str(self.rows[study.uid]["reason"]).partition(": ")
            yield kept or by_prior(study.uid, self.bundle, reason, detail, [])

    def _tell(self, seconds: float, why: str) -> None:
        """What was done, for the person."""
        say(f"predict: {_told(len(self.known), self.reasons)} in {duration(seconds)}")
        done = [steps for steps in ("reading", "network", "pictures") if self.seconds[steps]]
        if done and self.known:
            each = ", ".join(f"{step} {self.seconds[step] / len(self.known):.2f}" for step in done)
            say(f"predict: seconds a study: {each}; reading is done beside the others, workers: {self.options.workers}")
        if why:
            say(f"predict: stopped early: {why}; the same command goes on where this one ended")


def _studies(number: int) -> str:
    return f"{number:,} {'study' if number == 1 else 'studies'}"


def _told(predicted_ones: int, reasons: Counter[str]) -> str:
    total = predicted_ones + reasons.total()
    codes = ", ".join(f"{count} {code}" for code, count in sorted(reasons.items()))
    prior = f"; {reasons.total()} given the prior ({codes})" if codes else ""
    return f"{predicted_ones:,} of {_studies(total)} predicted{prior}"
