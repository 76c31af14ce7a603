"""Which of the stage's many files belong to which method: they come in one order, and must be as many as it says."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from cspine.comparison.config import CompareConfig, ComparedMethod
from cspine.errors import CspineError


@dataclass(frozen=True)
class Files:
    """The files of all methods, in the order of ``config.methods``; of each by fold.

    Attributes:
        config: says how many there are of each.
        study_probabilities: one for each fold.
        predictions: one for each fold.
        models: as many for each fold as the method has members.
        localizer_models: of ``config.localizers``: ``config.inner`` for each fold.
    """

    config: CompareConfig
    study_probabilities: Sequence[Path]
    predictions: Sequence[Path]
    models: Sequence[Path]
    localizer_models: Sequence[Path]

    def __post_init__(self) -> None:
        folds, methods = len(self.config.folds_run), self.config.methods
        expected = {
            "study_probabilities": (self.study_probabilities, folds * len(methods)),
            "predictions": (self.predictions, folds * len(methods)),
            "models": (self.models, folds * sum(method.members for method in methods)),
            "localizer_models": (self.localizer_models, folds * len(self.config.localizers) * self.config.inner),
        }
        for name, (paths, count) in expected.items():
            if len(paths) != count:
                names = ", ".join(method.name for method in methods)
                raise CspineError(f"compare: {len(paths)} {name} for {names} in {folds} folds; expected {count}")

    def by_method(self, kind: str) -> Iterator[tuple[ComparedMethod, Sequence[Path]]]:
        """Each method with its files by fold; ``kind`` is probabilities or predictions."""
        paths = self.study_probabilities if kind == "probabilities" else self.predictions
        runs = len(self.config.folds_run)
        for place, method in enumerate(self.config.methods):
            yield method, paths[place * runs : (place + 1) * runs]

    def probabilities(self, method: ComparedMethod) -> Sequence[Path]:
        """study_probabilities.parquet of a method by fold."""
        return dict((m.name, paths) for m, paths in self.by_method("probabilities"))[method.name]

    def models_of_a_fold(self, method: ComparedMethod) -> Sequence[Path]:
        """The members of the first fold run; other folds' are of the same size."""
        before = self.config.methods[: self.config.methods.index(method)]
        start = len(self.config.folds_run) * sum(other.members for other in before)
        return self.models[start : start + method.members]

    def localizers_of_a_fold(self, method: ComparedMethod) -> Sequence[Path]:
        """The inner models, of the first fold run, of every localizer that the method needs to judge a new study."""
        inner, runs = self.config.inner, len(self.config.folds_run)
        starts = [self.config.localizers.index(name) * runs * inner for name in method.localizers]
        return [path for start in starts for path in self.localizer_models[start : start + inner]]
