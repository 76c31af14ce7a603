"""The error analysis: which studies and slices are counted, by which thresholds, and what the text says of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cspine.analysis.cells import SliceSet
from cspine.analysis.cohorts import Answers, Points, choose_points
from cspine.analysis.properties import NOT_KNOWN, properties_of
from cspine.analysis.slice_figures import slice_auc_table
from cspine.analysis.slice_truth import FRACTURED, truth_of_boxes
from cspine.bootstrap import resample_counts
from cspine.errors import CspineError
from cspine.evidence import Arm, TestSet, slice_auc, slice_auc_all
from cspine.folds import roles_of
from cspine.labels import LabelConfig, label_slices_from_boxes
from cspine.partial_labels import truth_of
from cspine.predictions import AggregateConfig, study_probabilities_of
from cspine.scores import ScoreConfig, measure, score_heldout_studies
from cspine.stages.analyse_errors import ErrorConfig, analyse_errors
from cspine.studies import LABELS, PRESENCE, UID, VERTEBRAE
from cspine.tables import read_table, write_table
from small_cohort import boxes_table, folds_of, many_studies, predictions_table, slices_table, studies_table, study

TABLES = (
    "points", "confusion", "thresholds", "curves", "areas", "reliability", "calibration", "properties", "slice_aucs",
)  # fmt: skip
FOLDS_RUN = [0, 2]
CONFIG = ErrorConfig(method="semi_supervised", folds_run=FOLDS_RUN, bootstrap=60)
STUDIES = many_studies(80, seed=9, test=30)
FOLDS = folds_of(STUDIES)
SLICES = slices_table(STUDIES).assign(rows=np.int16(512), row_spacing=np.float32(0.4))
PREDICTIONS = [predictions_table(STUDIES, seed=fold) for fold in FOLDS_RUN]
PROBABILITIES = [
    study_probabilities_of(table, STUDIES, FOLDS, AggregateConfig(fold))[0]
    for fold, table in zip(FOLDS_RUN, PREDICTIONS, strict=True)
]
TRUTH = many_studies(30, seed=10)[[UID, *LABELS]].assign(**{UID: [f"test-{i:04d}" for i in range(30)]})


def boxes() -> pd.DataFrame:
    """A box on the two middle slices of each boxed study."""
    rows = SLICES[SLICES[UID].isin(STUDIES.loc[STUDIES["boxed"], UID]) & SLICES["z_index"].isin([1, 2])]
    return boxes_table(*rows[[UID, "slice_number"]].itertuples(index=False))


LABELLED = label_slices_from_boxes(STUDIES, SLICES, boxes(), LabelConfig(unfractured="all"))[0]
PRESENCE_TABLE = SLICES.loc[SLICES[UID].isin(STUDIES.loc[STUDIES["segmented"], UID]), [UID, "slice_number", "z_index"]]
PRESENCE_TABLE = PRESENCE_TABLE.assign(**dict.fromkeys(VERTEBRAE, np.int8(1)))
ROLES = pd.concat([roles_of(FOLDS, fold) for fold in FOLDS_RUN])
HELD_OUT = sorted(ROLES.index[ROLES == "heldout"])
FINDINGS = pd.DataFrame({UID: [HELD_OUT[3], HELD_OUT[3], "test-0002"], "code": ["padding", "padding", "sizes-vary"]})


def slice_truth_of_test() -> pd.DataFrame:
    """The phantom's truth: C1 to C7 are in every slice, a fracture in the middle two."""
    rows = SLICES.loc[SLICES["cohort"] == "test", ["cohort", UID, "slice_number", "z_index"]]
    labels = TRUTH.set_index(UID).loc[rows[UID], list(VERTEBRAE)].to_numpy()
    middle = rows["z_index"].isin([1, 2]).to_numpy()[:, None]
    rows[list(FRACTURED)] = (labels * middle).astype(np.int8)
    return rows.assign(**dict.fromkeys(PRESENCE, np.int8(1)))


def run_stage(
    folder: Path, truth: bool = True, submission: pd.DataFrame | None = None, config: ErrorConfig = CONFIG
) -> tuple[dict[str, pd.DataFrame], str]:
    folder.mkdir(exist_ok=True)
    given = {"studies": STUDIES, "slices": SLICES, "findings": FINDINGS, "folds": FOLDS, "labels": LABELLED}
    given |= {"presence": PRESENCE_TABLE, "slice_truth": slice_truth_of_test()}
    for name, table in given.items():
        write_table(table, folder / f"in-{name}.parquet")
    for name, tables in (("probabilities", PROBABILITIES), ("predictions", PREDICTIONS)):
        for fold, table in zip(FOLDS_RUN, tables, strict=True):
            write_table(table, folder / f"in-{name}-{fold}.parquet")
    TRUTH.to_csv(folder / "truth.csv", index=False)
    if submission is not None:
        submission.to_csv(folder / "submission.csv", index=False)
    inputs = {name: folder / f"in-{name}.parquet" for name in given if name != "slice_truth"}
    analyse_errors(
        **inputs,
        study_probabilities=[folder / f"in-probabilities-{fold}.parquet" for fold in FOLDS_RUN],
        predictions=[folder / f"in-predictions-{fold}.parquet" for fold in FOLDS_RUN],
        **{name: folder / f"{name}.parquet" for name in TABLES},
        text=folder / "errors.txt",
        truth=folder / "truth.csv" if truth else None,
        slice_truth=folder / "in-slice_truth.parquet" if truth else None,
        submission=folder / "submission.csv" if submission is not None else None,
        config=config,
    )
    return {name: read_table(folder / f"{name}.parquet") for name in TABLES}, (folder / "errors.txt").read_text()


def test_a_method_that_judges_whole_studies_has_errors_of_studies_and_none_of_slices(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = [table[["cohort", UID, *VERTEBRAE]].groupby(["cohort", UID], as_index=False).max() for table in PREDICTIONS]
    monkeypatch.setitem(run_stage.__globals__, "PREDICTIONS", whole)
    tables, text = run_stage(tmp_path / "whole")
    counts = tables["confusion"].set_index("level")[["tn", "fp", "fn", "tp"]].sum(axis=1)
    assert counts["patient"].gt(0).all() and counts["vertebra"].gt(0).all() and counts["slice"].eq(0).all()
    assert "nan" not in text


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, pd.DataFrame], str]:
    return run_stage(tmp_path_factory.mktemp("errors"))


def points(studies: pd.DataFrame = STUDIES, labels: pd.DataFrame = LABELLED) -> Points:
    answers = Answers(FOLDS_RUN, PROBABILITIES, PREDICTIONS)
    return choose_points(answers, studies, FOLDS, truth_of_boxes(labels, PRESENCE_TABLE, studies))


@pytest.mark.parametrize(("role", "stays"), [("heldout", True), ("train", True), ("select", False)])
def test_a_threshold_hangs_on_the_truth_of_select_and_of_no_scored_study(role: str, stays: bool) -> None:
    roles = roles_of(FOLDS, 0)
    chosen = set(roles.index[roles == role])
    studies, labels = STUDIES.copy(), LABELLED.copy()
    rows = studies[UID].isin(chosen)
    studies.loc[rows, list(LABELS)] = 1 - studies.loc[rows, list(LABELS)]
    labels.loc[labels[UID].isin(chosen), "source"] = "box"
    assert (points(studies, labels)[0] == points()[0]) == stays


def test_every_fold_has_thresholds_of_its_own_and_test_studies_their_mean(
    made: tuple[dict[str, pd.DataFrame], str],
) -> None:
    tables, _ = made
    own = tables["points"].set_index(["kind", "fold"])["threshold"]
    assert own["patient", 0] != own["patient", 2]
    confusion = tables["confusion"].set_index(["cohort", "level", "rule"])["threshold"]
    assert confusion["test", "patient", "select"] == pytest.approx((own["patient", 0] + own["patient", 2]) / 2)
    assert confusion["test", "C5", "select"] == pytest.approx((own["vertebra", 0] + own["vertebra", 2]) / 2)
    assert set(tables["confusion"].query("rule == 'fixed'")["threshold"]) == {0.5}


def test_every_known_cell_is_counted_once_at_every_threshold(made: tuple[dict[str, pd.DataFrame], str]) -> None:
    tables, _ = made
    cells = tables["confusion"].set_index(["cohort", "level", "rule"])[["tn", "fp", "fn", "tp"]].sum(axis=1)
    for cohort, studies in (("heldout", 40), ("test", 30)):
        for rule in ("fixed", "select"):
            assert cells[cohort, "patient", rule] == studies and cells[cohort, "vertebra", rule] == 7 * studies
            assert [cells[cohort, v, rule] for v in VERTEBRAE] == [studies] * 7
    assert cells["test", "slice", "fixed"] == cells["test", "slice in view", "fixed"] == 30 * 4 * 7
    known = truth_of_boxes(LABELLED[LABELLED[UID].isin(HELD_OUT)], PRESENCE_TABLE, STUDIES)
    assert cells["heldout", "slice", "fixed"] == known[list(FRACTURED)].notna().to_numpy().sum()
    bins = tables["reliability"].groupby(["cohort", "level"])["cells"].sum()
    assert bins["test", "vertebra"] == 210 and bins["heldout", "C3"] == 40


def test_the_patient_auc_and_its_interval_are_those_of_the_score(made: tuple[dict[str, pd.DataFrame], str]) -> None:
    tables, _ = made
    config = ScoreConfig("m", FOLDS_RUN, bootstrap=60)
    scores = measure(score_heldout_studies(STUDIES, FOLDS, PROBABILITIES, config), "m", 60, config.seed)
    score = scores[scores["label"] == "patient_overall"].iloc[0]
    area = tables["areas"].query("cohort == 'heldout' and level == 'patient'").iloc[0]
    assert (area["auc"], area["auc_low"], area["auc_high"]) == (score["value"], score["low"], score["high"])


def test_every_study_is_in_one_group_of_each_property(made: tuple[dict[str, pd.DataFrame], str]) -> None:
    tables, _ = made
    always = {"slices", "slice spacing, mm", "pixel, mm", "rows", "reversed", "fractured vertebrae", "labels"}
    for cohort, found, wanted in (("heldout", "finding padding", [40, 20]), ("test", "finding sizes-vary", [30, 15])):
        groups = tables["properties"].query(f"cohort == '{cohort}'").groupby("property")
        sizes = groups[["studies", "fractured"]].sum()
        assert set(sizes.index) == always | {found}
        assert sizes.to_numpy().tolist() == [wanted] * len(sizes)


def test_groups_are_cut_in_three_and_what_is_not_known_has_its_own() -> None:
    studies = studies_table(
        *[study(f"s{i}", "C2 C5" if i == 3 else "", slices=10 + i, reversed=i == 4) for i in range(9)],
        study("lost", "C1", slices=0, thickness=np.nan, readable=False, boxed=True, segmented=True),
    )
    uids = list(studies[UID])
    truth = truth_of(studies)
    truth[0, 4] = np.nan
    slices = slices_table(studies).assign(rows=512, row_spacing=np.linspace(0.2, 0.9, int(studies["slices"].sum())))
    groups = properties_of(uids, truth, "train", studies, slices, pd.DataFrame({UID: ["s1"], "code": ["padding"]}))
    assert groups["slices"].tolist() == ["10 to 12"] * 3 + ["13 to 15"] * 3 + ["16 to 18"] * 3 + [NOT_KNOWN]
    assert groups["slice spacing, mm"].tolist() == ["1.00"] * 9 + [NOT_KNOWN]
    assert [groups[name].iloc[-1] for name in ("pixel, mm", "rows")] == [NOT_KNOWN] * 2
    assert groups["fractured vertebrae"].tolist() == [NOT_KNOWN, "0", "0", "2", *["0"] * 5, "1"]
    assert groups.loc["lost", "labels"] == "boxed and segmented" and groups.loc["s0", "labels"] == "neither"
    assert groups["reversed"].value_counts().to_dict() == {"no": 9, "yes": 1}
    assert groups["finding padding"].tolist() == ["no", "yes", *["no"] * 8]


def slice_truth_of(fractured: str, source: str, shown: str | None) -> dict[str, float]:
    """What is known of the one slice of a study, by vertebra; ``shown`` by its mask, None = it has none."""
    studies = studies_table(study("a", fractured, slices=1, C7=-1))
    labels = studies[[UID, *VERTEBRAE]].assign(slice_number=10, source=source)
    labels[list(VERTEBRAE)] *= int(source != "unboxed")
    presence = pd.DataFrame({UID: ["a"], "slice_number": [10], **{v: [int(v in (shown or ""))] for v in VERTEBRAE}})
    known = truth_of_boxes(labels, presence if shown is not None else presence.iloc[:0], studies)
    return dict(zip(VERTEBRAE, known[list(FRACTURED)].iloc[0], strict=True))


def test_a_box_is_of_a_vertebra_only_where_no_other_can_be_meant() -> None:
    nan = float("nan")

    def same(found: dict[str, float], **wanted: float) -> None:
        assert found == pytest.approx({v: wanted.get(v, 0.0) for v in VERTEBRAE}, nan_ok=True)

    same(slice_truth_of("C2", "box", "C2 C3"), C2=1)  # C7 is unknown, but not in view
    same(slice_truth_of("C2", "box", None), C2=nan, C7=nan)  # C7 may be meant
    same(slice_truth_of("C2 C5", "box", "C2 C5"), C2=nan, C5=nan)
    same(slice_truth_of("C2 C5", "box", "C5 C6"), C5=1)
    same(slice_truth_of("C2 C5", "box", "C3"), C2=nan, C5=nan, C7=nan)  # the mask contradicts the box
    same(slice_truth_of("C2 C5", "unboxed", None))
    same(slice_truth_of("", "negative", None), C7=nan)


def test_slice_aucs_are_those_of_the_evidence() -> None:
    draw = np.random.default_rng(1)
    broken = draw.random((40, 7)) < 0.4
    present = np.tile(np.repeat(np.eye(7, dtype=bool), 2, axis=0), (40, 1))
    study_of = np.repeat(np.arange(40), 14)
    fractured = present & broken[study_of]
    said = draw.random(fractured.shape) + 0.3 * fractured + 0.5 * present
    counts = resample_counts(40, 30, 0)
    labels = np.column_stack([broken.any(axis=1), broken]).astype(float)
    test, arm = TestSet(labels, study_of, present, fractured), Arm(labels, said)
    slices = SliceSet(study_of, fractured.astype(float), present.astype(float), said)
    table = slice_auc_table(slices, counts)
    for counted, measured in (("in view", slice_auc), ("all", slice_auc_all)):
        wanted = measured(test, arm, counts).estimate()
        row = table.query(f"label == 'mean' and counted == '{counted}'")[["auc", "auc_low", "auc_high"]]
        assert row.to_numpy().tolist() == [[wanted.value, wanted.low, wanted.high]]
    assert table.query("label == 'C3'")["slices"].tolist() == [80, 560]
    in_view, over_all = table.query("label == 'mean'")["auc"]
    assert over_all > in_view + 0.1


def test_the_text_says_what_it_is_fits_the_terminal_and_repeats_the_tables(
    made: tuple[dict[str, pd.DataFrame], str],
) -> None:
    tables, text = made
    assert max(len(line) for line in text.splitlines()) <= 100
    for words in (
        "PHANTOM",
        "demo: too small to rank methods",
        "folds run: 0, 2",
        "40 studies, 20 fractured",
        "test studies",
    ):
        assert words in text
    row = tables["confusion"].query("cohort == 'test' and level == 'vertebra' and rule == 'select'").iloc[0]
    line = next(
        x
        for x in text[text.index("test studies") :].splitlines()
        if x.startswith(f"vertebra     {row['threshold']:>6.3f}")
    )
    assert line.split()[2:6] == [str(row[name]) for name in ("tn", "fp", "fn", "tp")]
    assert line.split()[-2:] == [f"{row['accuracy']:.3f}", f"{row['accuracy_all_negative']:.3f}"]


def test_without_the_truth_of_test_studies_held_out_ones_are_all_there_is(tmp_path: Path) -> None:
    tables, text = run_stage(tmp_path, truth=False, config=ErrorConfig("m", FOLDS_RUN, phantom=False, bootstrap=10))
    assert all(set(table["cohort"]) == {"heldout"} for name, table in tables.items() if name != "points")
    assert "real data" in text and "test studies" not in text


def submission_of(clip: float) -> pd.DataFrame:
    rows = [(f"{uid}_{label}", clip) for uid in TRUTH[UID] for label in LABELS]
    return pd.DataFrame(rows, columns=["row_id", "fractured"])


def test_a_submission_is_analysed_by_its_own_rows_and_alone(tmp_path: Path) -> None:
    tables, text = run_stage(tmp_path, submission=submission_of(0.999))
    assert set(tables["confusion"]["cohort"]) == {"submission"}
    row = tables["confusion"].query("level == 'vertebra' and rule == 'fixed'").iloc[0]
    assert (row["tn"], row["fn"]) == (0, 0) and row["tp"] == TRUTH[list(VERTEBRAE)].to_numpy().sum()
    assert "as submitted" in text


def test_a_submission_that_lacks_a_row_is_an_error_that_names_the_study(tmp_path: Path) -> None:
    with pytest.raises(CspineError, match="study test-0000 has not all of its eight rows"):
        run_stage(tmp_path, submission=submission_of(0.5).iloc[1:])
    with pytest.raises(CspineError, match="truth of the test studies"):
        run_stage(tmp_path, truth=False, submission=submission_of(0.5))


def test_tables_of_other_folds_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CspineError, match="expected one for each"):
        Answers([0], PROBABILITIES, PREDICTIONS)


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        run_stage(tmp_path / name, truth=False, config=ErrorConfig("m", FOLDS_RUN, bootstrap=5))
    for name in ("errors.txt", *(f"{table}.parquet" for table in TABLES)):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name


def test_a_handful_of_studies_is_analysed_and_called_too_few(tmp_path: Path) -> None:
    studies = many_studies(12, seed=1, test=1)
    folds = folds_of(studies, count=3)
    predictions = predictions_table(studies)
    table = study_probabilities_of(predictions, studies, folds, AggregateConfig(0))[0]
    few = choose_points(
        Answers([0], [table], [predictions]), studies, folds, truth_of_boxes(LABELLED.iloc[:0], PRESENCE_TABLE, studies)
    )
    assert {point.threshold for point in few[0].values()} == {0.5}
    assert all("needed" in point.assumed for point in few[0].values())


def test_the_stage_imports_no_torch() -> None:
    code = "import sys, cspine.stages.analyse_errors; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
