"""compare_localizers: what each localizer of the config is worth against masks that its models have not seen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from cspine.bootstrap import multiplicities, resamples
from cspine.errors import CspineError
from cspine.folds import roles_of
from cspine.localization.columns import BOX, RATIO, SHOWN
from cspine.localization.comparison_texts import comparison_text
from cspine.localization.measures import Compared, compared, measured
from cspine.model_headers import read_header
from cspine.progress import report, say
from cspine.stage import InPath, OutPath
from cspine.studies import PRESENCE, UID
from cspine.tables import read_table, write_table

COHORTS = ("segmented", "heldout")  #: all segmented studies of a fold, out of fold; those that it holds out


@dataclass(frozen=True)
class ComparisonConfig:
    """What is compared, and what may be claimed of it."""

    localizers: list[str]  # in the order of the files
    folds_run: list[int]  # of each localizer, in the order of the files
    phantom: bool = True
    size: str = "demo"  # smoke | demo | study: what a result of this size may claim
    bootstrap: int = 1000  # resamples of studies behind each interval
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.localizers:
            raise CspineError("localizers: found none, expected at least one block to compare")


def compare_localizers(
    localizations: list[InPath],
    models: list[InPath],
    studies: list[InPath],
    folds: InPath,
    comparison: OutPath,
    table: OutPath,
    *,
    config: ComparisonConfig,
) -> None:
    """Hold the ``predicted`` rows of segmented studies against their ``mask`` rows.

    Args:
        localizations: localization/{localizer}/fold-{k}.parquet, localizer by localizer, by fold.
        models: model.safetensors of the inner models, in the same order.
        studies: studies.parquet of the inner models.
        folds: folds.parquet.
        comparison: localizer, cohort (COHORTS), measure, level ("" | C1..C7 | T | mean), value, low, high (95 % over
            studies), studies, slices.
        table: the same for the person, plain text.
        config: see ComparisonConfig.

    Raises:
        CspineError: no segmented study has a role in a fold that is run.
    """
    fold_table = read_table(folds)
    wanted = {name: [_studies(fold_table, fold, name) for fold in config.folds_run] for name in COHORTS}
    rows: list[dict[str, object]] = []
    runs, inner = len(config.folds_run), len(models) // len(config.localizers)
    for place, name in enumerate(config.localizers):
        tables = [_of_segmented(path) for path in localizations[place * runs : (place + 1) * runs]]
        own = slice(place * inner, (place + 1) * inner)
        of_studies = pd.concat([read_table(path) for path in studies[own]], ignore_index=True)
        for cohort in COHORTS:
            these = compared(tables, wanted[cohort], of_studies)
            rows += [{"localizer": name, "cohort": cohort, **row} for row in _rows(these, config)]
        weights = float(np.mean([read_header(path)["trained_weights"] for path in models[own]]))
        rows.append({"localizer": name, "cohort": COHORTS[0], "measure": "trained_weights", "value": weights})
        report("compare_localizers", place + 1, len(config.localizers), unit="localizers")
    found = pd.DataFrame(rows).fillna({"level": "", "studies": 0, "slices": 0})
    found = found.astype({"studies": np.int32, "slices": np.int32})
    write_table(found, comparison)
    text = comparison_text(found, config.localizers, config.folds_run, config.phantom, config.size, config.bootstrap)
    table.write_text(text, encoding="utf-8")
    for name in config.localizers:
        say(f"compare_localizers: {name}: {_sentence(found[found['localizer'] == name])}")


def _of_segmented(path: InPath) -> pd.DataFrame:
    """The rows of the studies that have a mask, without places that are not measured: a small part of the table."""
    table = read_table(path, ["cohort", "source", UID, "z_index", *PRESENCE, *RATIO, *BOX, *SHOWN])
    return table[table[UID].isin(table.loc[table["source"] == "mask", UID].unique())]


def _studies(folds: pd.DataFrame, fold: int, cohort: str) -> set[str]:
    roles = roles_of(folds, fold)
    return set(roles.index[roles == "heldout"] if cohort == "heldout" else roles.index)


def _rows(these: Compared, config: ComparisonConfig) -> list[dict[str, object]]:
    if not these.uids:
        return []
    counts = multiplicities(resamples(len(these.uids), config.bootstrap, config.seed))
    sizes = {"studies": len(these.uids), "slices": len(these.truth)}
    rows = []
    for measure, level, found in measured(these, counts):
        estimate = found.estimate()
        values = {"value": estimate.value, "low": estimate.low, "high": estimate.high}
        rows.append({"measure": measure, "level": level, **values, **sizes})
    return rows


def _sentence(rows: pd.DataFrame) -> str:
    """A localizer's figures in one line."""
    rows = rows[(rows["cohort"] == COHORTS[0]) & rows["level"].isin(["", "mean"])]
    return ", ".join(f"{row.measure} {row.value:.3g}" for row in rows.itertuples())
