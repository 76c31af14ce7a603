"""What a method took to train and takes to judge a study, as the store's records have it.

From a method's probabilities its way is walked upstream through the done.json of every result it was made from, so
that rounds, parts, members and localizers count whoever asked for them first. Costs are in no key: they say what this
run took on its machines. A file that no record knows (copied by hand) has none, and its cells stay empty.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from cspine.amounts import pairs_of
from cspine.store.holdings import at_place, inputs_at
from cspine.store.records import links, outputs_of, read_done

PREDICTING = ("predict_slices", "predict_studies")
PLACING = ("place_vertebrae",)  # where to look in a new study
NOTHING = float("nan")


@dataclass(frozen=True)
class Made:
    """A result of the store, as it is one on a method's way."""

    folder: Path  # its own in the store
    done: dict[str, Any]  # its record
    at: str  # the wildcards under which it was reached: several methods may share a result

    @property
    def stage(self) -> str:
        """Which stage made it."""
        return str(self.done["stage"])

    @property
    def of(self) -> dict[str, str]:
        """The wildcards by name: method, fold, round, localizer ..."""
        return pairs_of(self.at)

    def cost(self, name: str) -> float:
        """seconds | cpu_seconds | peak_mb, of all segments of an interrupted stage."""
        return float(self.done.get("costs", {}).get(name, NOTHING))


@dataclass(frozen=True)
class Costs:
    """Of one fold; NaN where no record tells. Memory is the host's, not the GPU's.

    Attributes:
        training_seconds: everything up to the last model: the rounds' training sets, trainings, pseudo-labels.
        training_seconds_per_study: the same by studies of the role train.
        training_peak_mb: the largest of these stages.
        inference_seconds_per_study: predicting and aggregating, by study that was predicted.
        inference_peak_mb: the largest of these stages.
        localizer_training_seconds: of all localizers on its way, which other methods share.
        localizer_inference_seconds_per_study: of all their models.
        localizer_peak_mb: the largest of their stages.
        device: what its networks computed on.
    """

    training_seconds: float = NOTHING
    training_seconds_per_study: float = NOTHING
    training_peak_mb: float = NOTHING
    inference_seconds_per_study: float = NOTHING
    inference_peak_mb: float = NOTHING
    localizer_training_seconds: float = NOTHING
    localizer_inference_seconds_per_study: float = NOTHING
    localizer_peak_mb: float = NOTHING
    device: str = ""


def costs_of(study_probabilities: Path, taught: int, predicted: int) -> Costs:
    """What one fold of a method took.

    Args:
        study_probabilities: of the fold, in its declared place.
        taught: studies of the role train.
        predicted: studies in the table.
    """
    root = made(study_probabilities)
    if root is None:
        return Costs()
    inference = [root, *_inference(root)]
    apart = {one.folder for one in inference}
    others = [one for one in upstream(root) if one.folder not in apart]
    training = [one for one in others if "method" in one.of]
    localizers = [one for one in others if "localizer" in one.of]
    devices = {one.done.get("device", "") for one in [*inference, *training] if one.stage in ("train", *PREDICTING)}
    seconds = _sum(training, "seconds")
    return Costs(
        training_seconds=seconds,
        training_seconds_per_study=seconds / taught if taught else NOTHING,
        training_peak_mb=_most(training),
        inference_seconds_per_study=_sum(inference, "seconds") / predicted if predicted else NOTHING,
        inference_peak_mb=_most(inference),
        localizer_training_seconds=_sum((one for one in localizers if one.stage == "train"), "seconds"),
        localizer_inference_seconds_per_study=_per_study(one for one in localizers if one.stage == "predict_localizer"),
        localizer_peak_mb=_most(localizers),
        device=", ".join(sorted(devices - {""})),
    )


def over_folds(found: list[Costs]) -> dict[str, Any]:
    """Seconds as the mean of the folds, memory as the largest, devices joined."""
    columns: dict[str, Any] = {}
    for name in (f.name for f in fields(Costs) if f.name != "device"):
        values = [value for costs in found if not np.isnan(value := asdict(costs)[name])]
        columns[name] = NOTHING if not values else max(values) if name.endswith("_mb") else float(np.mean(values))
    columns["device"] = ", ".join(sorted({name for costs in found for name in costs.device.split(", ")} - {""}))
    return columns


def made(path: Path, digest: str | None = None) -> Made | None:
    """The result that ``path`` leads to; None where the store made none, or one of another content than ``digest``."""
    for hop in links(path):
        done = read_done(hop.parent)
        output = next((o for o in outputs_of(done) if o["file"] == hop.name), None) if done else None
        if done and output and digest in (None, output["digest"]):
            return Made(hop.parent, done, at_place(done, path) or done["at"])
    return None


def sources(one: Made) -> Iterator[Made]:
    """The results that this one was made from directly, in its method's place or in that of the first to make it."""
    places = zip(inputs_at(one.done, one.at), inputs_at(one.done, one.done["at"]), strict=True)
    for (path, digest), (first, _) in places:
        if source := made(path, digest) or made(first, digest):
            yield source


def upstream(*roots: Made) -> list[Made]:
    """Every result on the way to ``roots``, these included, each once."""
    found: dict[Path, Made] = {}
    waiting = list(roots)
    while waiting:
        one = waiting.pop()
        if one.folder not in found:
            found[one.folder] = one
            waiting += sources(one)
    return list(found.values())


def _inference(root: Made) -> list[Made]:
    """What a new study goes through before its probabilities are aggregated, beside the localizers."""
    found, level = [], [root]
    for stages in (PREDICTING, PLACING):
        level = [source for one in level for source in sources(one) if source.stage in stages]
        found += level
    return found


def _per_study(predicting: Iterable[Made]) -> float:
    """Seconds a study, all models added up: a new study is seen by each of them."""
    rates = []
    for one in predicting:
        files = [one.folder / output["file"] for output in one.done["outputs"].get("studies", [])]
        rows = sum(pq.read_metadata(path).num_rows for path in files if path.exists())
        rates.append(one.cost("seconds") / rows if rows else NOTHING)
    return float(np.sum(rates)) if rates else NOTHING


def _sum(some: Iterable[Made], name: str) -> float:
    values = [one.cost(name) for one in some]
    return float(np.sum(values)) if values else NOTHING


def _most(some: Iterable[Made]) -> float:
    return max((one.cost("peak_mb") for one in some), default=NOTHING)
