"""The rehearsal of the full set: it has the real set's counts, and its made-up tables are what the stages expect."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "benchmarks"))

from full_scale import settings, world  # noqa: E402
from full_stages import Measured, Rehearsal  # noqa: E402
from full_studies import Study, real_studies, write_raw_folder  # noqa: E402
from full_tables import StandIns  # noqa: E402

from cspine import raw_folder  # noqa: E402
from cspine.audit.exclusions import AuditConfig  # noqa: E402
from cspine.folds import FoldConfig  # noqa: E402
from cspine.labels import LabelConfig  # noqa: E402
from cspine.phantom.fracture_draws import REAL_FRACTURES  # noqa: E402
from cspine.planning import Job  # noqa: E402
from cspine.stages.assign_folds import assign_folds  # noqa: E402
from cspine.stages.audit_studies import audit_studies  # noqa: E402
from cspine.stages.index import index  # noqa: E402
from cspine.stages.inventory import InventoryConfig, inventory  # noqa: E402
from cspine.stages.label_slices import label_slices  # noqa: E402
from cspine.studies import LABELS, UID, VERTEBRAE  # noqa: E402
from cspine.tables import read_table  # noqa: E402

SMALL = 0.02


def training(studies: list[Study]) -> list[Study]:
    return [study for study in studies if study.cohort == "train"]


def test_the_rehearsed_set_has_the_real_sets_counts() -> None:
    studies = training(real_studies(1.0))
    boxed = [study for study in studies if study.boxes]
    assert (len(studies), sum(s.slices for s in studies)) == (2_019, 711_601)
    assert (len(boxed), sum(len(s.boxes) for s in boxed)) == (235, 7_217)
    assert sum(len(s.fractured) > 1 for s in boxed) == 132
    assert sum(s.segmented for s in studies) == 87 and sum(s.segmented for s in boxed) == 40
    assert sum(s.reversed for s in studies) == 197
    assert sum(bool(s.fractured) for s in studies) == 961
    assert [sum(level in s.fractured for s in studies) for level in range(7)] == list(REAL_FRACTURES)


def test_the_counts_of_a_share_are_those_of_the_whole_times_it() -> None:
    studies = training(real_studies(0.25))
    boxed = [study for study in studies if study.boxes]
    assert (len(studies), sum(s.slices for s in studies)) == (505, 177_900)
    assert (len(boxed), sum(len(s.boxes) for s in boxed)) == (59, 1_804)
    assert sum(s.segmented for s in studies) == 22


def test_boxes_lie_in_slices_that_show_a_fractured_vertebra_or_beside_them() -> None:
    for study in real_studies(0.25):
        middles = [study.edges()[level : level + 2].mean() for level in study.fractured]
        for z in study.boxes:
            assert 0 <= z < study.slices
            assert min(abs(z - middle) for middle in middles) <= len(study.boxes)


def test_the_stages_take_the_made_up_tables_for_real_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    studies = real_studies(SMALL)
    write_raw_folder(Path("raw"), studies)
    names = ("train", "boxes", "test", "sample", "folders", "segmentations")
    train, boxes, test, sample, folders, segmentations = (Path(f"{name}.csv") for name in names)
    listed = Path("inventory.parquet")
    inventory(
        Path("raw"), train, boxes, test, sample, folders, segmentations, listed, [Path("train-0.csv")],
        [Path("test-0.csv")], config=InventoryConfig(),
    )  # fmt: skip
    made = StandIns(studies, shards=1)
    shards = []
    for cohort in raw_folder.COHORTS:
        stems = {"shard": "", "studies": ".studies", "findings": ".findings"}
        paths = {name: [Path(cohort, f"shard-0{suffix}.parquet")] for name, suffix in stems.items()}
        made.make(job("ingest", {}, paths))
        shards.append([paths[name][0] for name in stems])
    pixels, read, found = (list(paths) for paths in zip(*shards, strict=True))
    slices, study_table, findings = (Path(f"{name}.parquet") for name in ("slices", "studies", "findings"))
    index(
        train, boxes, test, sample, folders, segmentations, listed, pixels, read, found, slices, study_table, findings
    )
    label_slices(study_table, slices, boxes, Path("labels.parquet"), Path("of_boxes.parquet"), config=LabelConfig())
    kinds = ["presence", "extents", "masks", "findings"]
    made.make(job("label_presence", {}, {name: [Path(f"of-{name}.parquet")] for name in kinds}))
    audit_studies(
        study_table, slices, findings, boxes, Path("of_boxes.parquet"), Path("of-presence.parquet"),
        Path("of-findings.parquet"), Path("audit.parquet"), config=AuditConfig(),
    )  # fmt: skip
    assign_folds(study_table, Path("folds.parquet"), audit=Path("audit.parquet"), config=FoldConfig(count=2))

    index_table, labels = read_table(slices), read_table(Path("labels.parquet"))
    assert len(index_table) == sum(s.slices for s in studies if s.cohort == "train") + 3 * 300
    assert (labels["source"] == "box").sum() == sum(len(s.boxes) for s in studies)
    assert read_table(Path("of_boxes.parquet")).empty  # every box lies in a slice of a fractured study
    predictions = Path("predictions.parquet")
    made.make(job("predict_slices", {}, {"predictions": [predictions]}))
    said, key = read_table(predictions), ["cohort", UID, "slice_number", "z_index"]
    assert said[key].equals(index_table[key])
    fractured = labels[labels["source"] == "box"].merge(said, on=[UID, "z_index"], suffixes=("", "_said"))
    means = [fractured.loc[fractured[v] == of, f"{v}_said"].mean() for v in VERTEBRAE for of in (1, 0)]
    assert np.nanmean(means[::2]) > np.nanmean(means[1::2])


def job(stage: str, inputs: dict[str, list[Path]], outputs: dict[str, list[Path]]) -> Job:
    """A job that no rule names."""
    made = Job((stage,))
    made.__dict__.update(inputs=inputs, outputs=outputs)  # what it would read from its words
    return made


@pytest.mark.slow
def test_every_table_stage_runs_on_the_rehearsed_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found: list[Measured] = []
    studies = real_studies(0.1)
    jobs = world(tmp_path / "run", studies, settings(shards=2, folds=2, rounds=2, inner=2))
    Rehearsal(jobs, StandIns(studies, 2), found.append).run()
    stages = {one.stage.split()[0] for one in found}
    assert {"inventory", "index", "localize_slices", "pseudo_label", "compare_methods", "write_report"} <= stages
    answers = read_table(Path("results/semi_supervised/fold-0/round-1/study_probabilities.parquet"))
    assert answers[list(LABELS)].notna().all(axis=None)
