"""The models of one fold, asked about a case as they were asked in predicting."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import nn

from cspine.cache.reading import SliceCache
from cspine.errors import CspineError
from cspine.methods.registry import module_of, unit_of
from cspine.precision import Precision
from cspine.prediction.regions import Field
from cspine.report.case_places import Places
from cspine.report.choosing import NO_SLICE
from cspine.report.explaining import Explained, explain, reading_of
from cspine.report.study_words import in_index
from cspine.studies import LABELS, UID, VERTEBRAE


@dataclass(frozen=True)
class How:
    """With what the networks compute.

    Attributes:
        device: where.
        precision: with which numbers.
        at_once: images that go through a network together.
    """

    device: torch.device
    precision: Precision
    at_once: int


@dataclass(frozen=True)
class FoldModels:
    """All members of a method in one fold, and what they read.

    Attributes:
        family: see cspine.methods.registry.
        models: finished ones.
        shards: the cache of the view as this fold has it, both cohorts.
        how: with what they compute.
        vertebrae: vertebrae.parquet of the fold, for a family that judges vertebrae.
        crops: the crops of the fold, for the same.
    """

    family: str
    models: Sequence[Path]
    shards: Sequence[Path]
    how: How
    vertebrae: pd.DataFrame | None = None
    crops: pd.DataFrame | None = None

    @cached_property
    def _module(self) -> Any:
        return importlib.import_module(module_of(self.family))

    @cached_property
    def _networks(self) -> list[nn.Module]:
        return [self._module.load(path) for path in self.models]

    @cached_property
    def _cache(self) -> SliceCache:
        return SliceCache(self.shards)

    def explained(self, case: Mapping[Any, Any]) -> Explained:
        """What drove the members' answer about a case (a row of cases.parquet).

        Raises:
            CspineError: no member judges its vertebra, or the tables lack its study.
        """
        found = [reading_of(n, partial(self._asked, n, case), self.how.precision) for n in self._networks]
        readings = [reading for reading in found if reading is not None]
        if not readings:
            raise CspineError(
                f"explain_cases: none of the {len(self.models)} models judges {case['vertebra']} of study {case[UID]}, "
                "of which there is a probability; expected the models that predicted it"
            )
        unit = unit_of(self.family)
        if unit == "study":  # volumes go through one by one, as in predicting: a batch of them fills the memory
            return explain(readings, LABELS.index(case["vertebra"]), self._cache.slices_of(case[UID]), 1)
        if unit == "vertebra":
            return explain(readings, 0, len(self._vertebra(case)["z_indices"]), self.how.at_once)
        return explain(readings, VERTEBRAE.index(case["vertebra"]), 1, self.how.at_once)

    def place(self, case: Mapping[Any, Any], shown: Explained, places: Places) -> tuple[int, Field | None]:
        """z_index of the slice that is shown, and which part of it; -1 and None of a volume, which has cells."""
        key, unit = (case["cohort"], case[UID]), unit_of(self.family)
        if unit == "slice":
            z = int(case["z_index"])
            return z, places.field_of_slice(*key, z, self._cache.centre)
        if unit == "study" or self.crops is None:
            return NO_SLICE, None
        crop, vertebra = _row_of(self.crops, case), self._vertebra(case)
        z = int(crop["first_z"]) + int(vertebra["z_indices"][shown.number])
        return z, places.field_of_vertebra(*key, z, crop, vertebra, shown.number)

    def _asked(self, network: nn.Module, case: Mapping[Any, Any]) -> Iterable[object]:
        arguments = self.shards, self.how.device, self.how.precision, self.how.at_once
        if unit_of(self.family) == "slice":
            row = {"cohort": in_index(case["cohort"]), UID: case[UID], "z_index": int(case["z_index"])}
            found: Iterable[object] = self._module.predict_slices(network, [pd.DataFrame([row])], *arguments)
            return found
        rows = pd.DataFrame([{"cohort": in_index(case["cohort"]), UID: case[UID]}])
        if unit_of(self.family) == "vertebra":
            rows = pd.DataFrame([self._vertebra(case)])
        found = self._module.predict_studies(network, [rows], *arguments)
        return found

    def _vertebra(self, case: Mapping[Any, Any]) -> dict[str, Any]:
        if self.vertebrae is None:
            raise CspineError(
                f"explain_cases: the family {self.family} judges vertebrae, and no table says where they lie; expected "
                "vertebrae.parquet of each fold run"
            )
        return _row_of(self.vertebrae[self.vertebrae["vertebra"] == case["vertebra"]], case)


def _row_of(table: pd.DataFrame, case: Mapping[Any, Any]) -> dict[str, Any]:
    """The row of a case's study.

    Raises:
        CspineError: there is none.
    """
    own = table[(table["cohort"] == in_index(case["cohort"])) & (table[UID] == case[UID])]
    if own.empty:
        raise CspineError(f"explain_cases: study {case[UID]} is not in the tables of the fold that judged it")
    return {str(name): own[name].iloc[0] for name in own}
