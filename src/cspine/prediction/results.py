"""One study's answer: its probabilities, the slices they come from, and what was wrong with its files."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cspine.bundles.manifest import Bundle
from cspine.bundles.points import Point
from cspine.findings import Finding
from cspine.metric import Floats
from cspine.patients import judged_by
from cspine.prediction.reading import ReadStudy
from cspine.predictions import apply_choice, highest_slices, slices_taken
from cspine.slice_evidence import PREDICTED, weighed
from cspine.studies import LABELS, UID, VERTEBRAE

NO_FOLDER = "no-folder"  #: why a study without a folder has the prior
PICTURES = "key_slices"  #: folder of the pictures
SLICE_COLUMNS = ["z_index", "slice_number", "file", "frame", *VERTEBRAE]


@dataclass(frozen=True)
class StudyResult:
    """What is known of one study.

    Attributes:
        uid: the name of its folder.
        probability: (8,) in the order of LABELS; the prior where ``reason`` says why.
        slices: SLICE_COLUMNS, the mean of the models' evidence, each as its choice weighs it; no row where the prior
            is given.
        reason: code of why the prior is given; "" for a prediction.
        detail: the same in words.
        findings: about its files.
        pictures: vertebra -> file name of its key slice's picture.
        seconds: step -> what it took.
        listing: digest of its files as they were listed.
    """

    uid: str
    probability: Floats
    slices: pd.DataFrame
    reason: str = ""
    detail: str = ""
    findings: list[Finding] = field(default_factory=list)
    pictures: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    listing: str = ""

    def key_row(self, vertebra: str) -> int:
        """The row of ``slices`` in which the vertebra is most probably fractured; -1 without slices."""
        return int(self.slices[vertebra].to_numpy().argmax()) if len(self.slices) else -1

    def suspicious(self, points: dict[str, Point]) -> list[str]:
        """The vertebrae that a person should look at, the most probable first.

        None of an unsuspicious patient, at least one of a suspicious one.
        """
        if self.reason or self.probability[0] < points["patient"].threshold:
            return []
        falling = sorted(zip(-self.probability[1:], VERTEBRAE, strict=True))
        found = [vertebra for p, vertebra in falling if -p >= points["vertebra"].threshold]
        return found or [falling[0][1]]


def predicted(read: ReadStudy, by_model: NDArray[np.float32], bundle: Bundle) -> StudyResult:
    """The answer of the models: each aggregates its own slices as chosen, and their mean is taken, as in a submission.

    Args:
        read: one slice at least.
        by_model: (models, slices, 7), or 14 where the networks also say what a slice shows.
        bundle: the models' choices.
    """
    found, seen = [], []
    for values, choice in zip(by_model, bundle.choices, strict=True):
        table = pd.DataFrame(values, columns=list(PREDICTED[: values.shape[1]]))
        table = table.assign(**{"cohort": "test", UID: read.uid})
        chosen = choice.chosen
        _, top = highest_slices(table, slices_taken(chosen.vertebra), judged_by(chosen.patient), choice.evidence)
        found.append(apply_choice(top, choice)[0])
        seen.append(weighed(values, choice.evidence))
    numbers = np.arange(len(read.files), dtype=np.int32)
    columns: dict[str, Any] = {"z_index": numbers, "slice_number": read.slice_numbers}
    columns |= {"file": read.files, "frame": read.frames}
    columns |= dict(zip(VERTEBRAE, np.stack(seen).mean(axis=0).T, strict=True))
    return StudyResult(read.uid, np.mean(found, axis=0), pd.DataFrame(columns)[SLICE_COLUMNS], findings=read.findings)


def by_prior(uid: str, bundle: Bundle, reason: str, detail: str, findings: list[Finding]) -> StudyResult:
    """The answer for a study without a prediction."""
    return StudyResult(uid, bundle.prior, empty_slices(), reason, detail, findings)


def without_folder(uid: str, bundle: Bundle) -> StudyResult:
    """The answer for a study of which there is no folder."""
    return by_prior(uid, bundle, NO_FOLDER, "no folder of this name", [])


def counted_studies(number: int) -> str:
    """``1 study``, ``1,240 studies``."""
    return f"{number:,} {'study' if number == 1 else 'studies'}"


def empty_slices() -> pd.DataFrame:
    """A table of SLICE_COLUMNS without a row."""
    kinds = {"z_index": "int32", "slice_number": "int32", "file": "str", "frame": "int32"}
    return pd.DataFrame(columns=SLICE_COLUMNS).astype(kinds | dict.fromkeys(VERTEBRAE, "float32"))


def labels_of(result: StudyResult) -> dict[str, float]:
    """The probabilities by label."""
    return dict(zip(LABELS, result.probability.tolist(), strict=True))
