"""Make the synthetic data set: a Kaggle folder, its hidden truth, and the list of its files."""

from __future__ import annotations

from collections.abc import Iterator

from cspine.crew import Task, shared_out
from cspine.errors import CspineError
from cspine.phantom.kaggle_layout import refuse_strangers, write_kaggle_tables, write_manifest, write_truth
from cspine.phantom.plans import PhantomConfig, StudyPlan, plan_studies
from cspine.phantom.study_files import StudyRecord, make_study
from cspine.progress import report
from cspine.runtime import workers
from cspine.stage import OutPath


def make_phantom(data: OutPath, truth: OutPath, manifest: OutPath, *, config: PhantomConfig) -> None:
    """Write the phantom.

    Args:
        data: folder in exactly the layout of the Kaggle folder.
        truth: folder of slices.parquet (what each shows), studies.parquet (each study's plan) and test.csv.
        manifest: CSV with path (relative to ``data``), size and sha256 of every file in ``data``.
        config: how many studies, and what they show. The bytes depend on nothing else, nor on the workers.

    Raises:
        CspineError: ``truth`` or ``manifest`` lies inside ``data``, or ``data`` holds something else.
    """
    for name, path in (("truth", truth), ("manifest", manifest)):
        if path.resolve().is_relative_to(data.resolve()):
            raise CspineError(f"{name}: found {path} inside {data}; expected a place that no training stage reads")
    data.mkdir(parents=True, exist_ok=True)
    plans = plan_studies(config)
    refuse_strangers(data, plans)
    records = []
    for record in _made(plans, config, data):
        records.append(record)
        report("make_phantom", len(records), len(plans), unit="studies")
    files = write_kaggle_tables(data, config, records)
    write_truth(truth, records)
    write_manifest(manifest, files + [file for record in records for file in record.files])


def _made(plans: list[StudyPlan], config: PhantomConfig, data: OutPath) -> Iterator[StudyRecord]:
    """The records in the order of the plans, made by as many processes as the machine was told to use."""
    count = min(workers(), len(plans))
    if count == 1:
        yield from (make_study(plan, config, data) for plan in plans)
        return
    with shared_out(plans, Task(_make, (config, data)), count) as made:
        yield from made


def _make(plan: StudyPlan, given: tuple[PhantomConfig, OutPath]) -> StudyRecord:
    return make_study(plan, *given)
