"""How much of a loss is the way from slices to vertebrae and from vertebrae to the patient? Each way, uncalibrated.

S1d takes 1 - prod(1 - p) over the N most probable vertebrae for the patient, and prints its cross-validated loss for
every N. N = 1 is the most probable vertebra (max), N = 7 the noisy-or of all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from cspine.analysis.confusion import columns_of
from cspine.bootstrap import mean, resample_counts
from cspine.comparison.config import CompareConfig, ComparedMethod
from cspine.comparison.figures import Studies
from cspine.folds import roles_of
from cspine.metric import NORMALISATIONS, Floats, exam_losses, exam_weights
from cspine.predictions import aggregate, highest_slices, slices_taken
from cspine.slice_evidence import columns_for
from cspine.studies import LABELS, UID, VERTEBRAE

#: N -> the loss that S1d prints for it, cross-validated on the real training studies
SOURCE = {1: 0.4228, 2: 0.3862, 3: 0.3762, 4: 0.3716, 5: 0.3691, 6: 0.3676, 7: 0.3668}
SAME = {1: "max", len(VERTEBRAE): "noisy_or"}
PER_STUDY = "judged whole"  #: a vertebra that the method gives one probability a study: nothing is left to choose


@dataclass(frozen=True)
class Ways:
    """A fold's predictions, reduced to what any way looks at.

    Attributes:
        studies: StudyInstanceUID and cohort: the role in the fold, test or unlabelled.
        top: (studies, k, 7) from ``highest_slices``.
    """

    studies: pd.DataFrame
    top: Floats

    @classmethod
    def of(
        cls,
        predictions: pd.DataFrame,
        folds: pd.DataFrame,
        fold: int,
        method: ComparedMethod,
        evidence: str = "fracture",
    ) -> Ways:
        """Of predictions.parquet of one fold, by what counts of a slice (cspine.slice_evidence)."""
        most = max(slices_taken(way) for way in vertebra_ways(method))
        studies, top = highest_slices(predictions, most, evidence=evidence)
        role = studies[UID].map(roles_of(folds, fold)).fillna("unlabelled")
        cohort = np.where(studies["cohort"] == "train", role, "test")
        return cls(studies[[UID]].assign(cohort=cohort), top)

    def probabilities(self, vertebra: str, most: int, clip: float) -> pd.DataFrame:
        """As study_probabilities.parquet, by one way.

        Args:
            vertebra: of ``vertebra_ways``.
            most: N, how many vertebrae the patient's noisy-or is over.
            clip: probabilities are kept this far from 0 and 1.
        """
        values = np.clip(aggregate(self.top, vertebra, f"noisy_or_of_{most}"), clip, 1 - clip)
        return self.studies.assign(**dict(zip(LABELS, values.T, strict=True)))


def vertebra_ways(method: ComparedMethod) -> list[str]:
    """How a method's slices may become a vertebra, max first; a vertebra judged as a whole has one row already."""
    return list(dict.fromkeys(["max", *(method.vertebra if method.unit == "slice" else [])]))


def evidence_ways(method: ComparedMethod) -> list[str]:
    """What may count of a method's slices, the fracture alone first."""
    return list(dict.fromkeys(["fracture", *(method.evidence if method.unit == "slice" else [])]))


def predicted_columns(method: ComparedMethod) -> list[str]:
    """What the ways look at in predictions.parquet."""
    return ["cohort", UID, *columns_for(evidence_ways(method))]


def aggregation_rows(
    method: ComparedMethod, predictions: list[pd.DataFrame], studies: Studies, config: CompareConfig
) -> list[dict[str, Any]]:
    """One row per cohort and way: loss in both forms with intervals, and the source's for that N.

    Args:
        method: of unit slice or vertebra.
        predictions: predictions.parquet of each fold run.
        studies: what is known of them.
        config: see CompareConfig.
    """
    rows = []
    for evidence in evidence_ways(method):
        folds = zip(config.folds_run, predictions, strict=True)
        ways = [Ways.of(table, studies.folds, fold, method, evidence) for fold, table in folds]
        for vertebra, (most, printed) in product(vertebra_ways(method), SOURCE.items()):
            tables = [fold.probabilities(vertebra, most, config.clip) for fold in ways]
            for cohort, scored in studies.scored(method.name, tables, config).items():
                counts = resample_counts(len(scored.uids), config.bootstrap, config.seed)
                row: dict[str, Any] = {"cohort": cohort, "method": method.name, "evidence": evidence}
                row["vertebra"] = vertebra if method.unit == "slice" else PER_STUDY
                row |= {"patient": f"noisy_or_of_{most}", "same_as": SAME.get(most, ""), "studies": len(scored.uids)}
                for form in NORMALISATIONS:
                    weights = exam_weights(scored.truth, form)
                    loss = mean(exam_losses(scored.truth, scored.probability), counts, weights)
                    row |= columns_of(f"loss_{form}", loss)
                rows.append(row | {"source_loss": printed})
    return rows


def aggregation_table(found: Mapping[str, list[dict[str, Any]]]) -> pd.DataFrame:
    """comparison_aggregation.csv: the rows of all methods that have ways to choose from, by cohort."""
    rows = [row for of_method in found.values() for row in of_method]
    numbers = [f"loss_{form}{end}" for form in NORMALISATIONS for end in ("", "_low", "_high")]
    columns = ["cohort", "method", "evidence", "vertebra", "patient", "same_as", "studies", *numbers, "source_loss"]
    return pd.DataFrame(rows, columns=columns).sort_values("cohort", kind="stable", ignore_index=True)
