"""A prediction from its first study to its last: workers read while the networks compute, until done or out of time.

Whatever is cut off at whatever moment, the submission that lies there is valid: every row asked for, in the sample's
order, the prior where there is no prediction yet.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from cspine import pausing
from cspine.amounts import duration
from cspine.bundles.manifest import Bundle
from cspine.faults import fault_point
from cspine.findings import Finding, findings_table
from cspine.hashing import digest_of
from cspine.prediction.answers import Options, resumed
from cspine.prediction.inputs import StudyInput
from cspine.prediction.parts import Parts
from cspine.prediction.results import NO_FOLDER, PICTURES, StudyResult, by_prior, counted_studies, labels_of
from cspine.prediction.tables import triage, triage_row, write_csv, write_predictions
from cspine.progress import report, say
from cspine.studies import LABELS
from cspine.submission import filled, write_submission_file

SECONDS_BETWEEN_SUBMISSIONS = 5.0
OUT_OF_TIME, STOPPED = "out-of-time", "stopped"
WITHOUT_FILES = (NO_FOLDER, OUT_OF_TIME, STOPPED)  # reasons for which no file was looked at


@dataclass
class Session:
    """One call of ``cspine predict``.

    Attributes:
        bundle: read and compared with its digests.
        studies: what is to be predicted, in this order.
        out: the folder of everything that is written.
        sample: the rows of a sample submission, or None: then there is no submission.csv.
        options: see Options.
        pictures: whether key slices are drawn.
        beside: findings about the input as a whole.
    """

    bundle: Bundle
    studies: Sequence[StudyInput]
    out: Path
    sample: pd.DataFrame | None
    options: Options
    pictures: bool = True
    beside: list[Finding] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.out.mkdir(parents=True, exist_ok=True)
        made_by = digest_of(self.bundle.id, self.options.device, self.options.threads, self.pictures)
        self.parts = Parts(self.out, made_by)
        self.rows: dict[str, dict[str, object]] = {}  # of triage.csv
        self.known: dict[str, dict[str, float]] = {}  # study -> label -> probability, of predicted ones
        self.findings: list[Finding] = list(self.beside)
        self.unkept: dict[str, StudyResult] = {}  # answers without a file behind them, which ``parts`` does not have
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
        pictures = self.out / PICTURES if self.pictures else None
        for answer in resumed(self.studies, self.bundle, self.options, self.parts, pictures):
            self._take(answer)
            fault_point("predict-answer")
            pausing.stop_if_wanted()  # the watch looks four times a second, and small studies are faster

    def _take(self, result: StudyResult) -> None:
        with pausing.held():
            self.rows[result.uid] = triage_row(result, self.bundle.points)
            self.findings += result.findings
            self.seconds.update(result.seconds)
            if result.reason:
                self.reasons[result.reason] += 1
            else:
                self.known[result.uid] = labels_of(result)
            if result.reason in WITHOUT_FILES:
                self.unkept[result.uid] = result
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
                self._take(by_prior(study.uid, self.bundle, code, why, []))
        self._publish()
        write_predictions(self.out / "predictions.parquet", self._results())
        write_csv(self.out / "triage.csv", triage(self.rows.values()))
        write_csv(self.out / "findings.csv", findings_table(self.findings))
        if not why:
            self.parts.drop()

    def _results(self) -> Iterator[StudyResult]:
        """Every answer again, most of them from where they are kept."""
        for study in self.studies:
            yield self.unkept.get(study.uid) or self.parts.get(study.uid)

    def _tell(self, seconds: float, why: str) -> None:
        """What was done, for the person."""
        say(f"predict: {_told(len(self.known), self.reasons)} in {duration(seconds)}")
        done = [steps for steps in ("reading", "network", "pictures") if self.seconds[steps]]
        if done and self.known:
            each = ", ".join(f"{step} {self.seconds[step] / len(self.known):.2f}" for step in done)
            say(f"predict: seconds a study: {each}; reading is done beside the others, workers: {self.options.workers}")
        if why:
            say(f"predict: stopped early: {why}; the same command goes on where this one ended")


def _told(predicted_ones: int, reasons: Counter[str]) -> str:
    total = predicted_ones + reasons.total()
    codes = ", ".join(f"{count} {code}" for code, count in sorted(reasons.items()))
    prior = f"; {reasons.total()} given the prior ({codes})" if codes else ""
    return f"{predicted_ones:,} of {counted_studies(total)} predicted{prior}"
