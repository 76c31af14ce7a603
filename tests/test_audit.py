"""The audit's table: every study and every finding once, what the tables show together, and what is excluded."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from audit_tables import USUAL, audited, codes_of, presence_of, stack, whole_neck
from cspine import reason_codes
from cspine.audit import checks, exclusions, mask_checks
from cspine.audit.exclusions import AuditConfig
from cspine.audit.stacks import stack_numbers
from cspine.audit.table import USES, excluded_from_training
from cspine.config import complete_config, read_yaml
from cspine.errors import CspineError
from cspine.findings import COLUMNS, Finding
from cspine.fingerprint import closure, foreign_imports
from cspine.folds import FoldConfig, check_folds, deal_folds, roles_of
from cspine.predictions import AggregateConfig, study_probabilities_of
from cspine.pseudo.who import unlabelled_studies
from cspine.stages.assign_folds import assign_folds
from cspine.stages.build_training_set import TrainingSetConfig, join_training_set
from cspine.studies import UID, VERTEBRAE
from cspine.tables import read_table
from small_cohort import many_studies, predictions_table, study

ROOT = Path(__file__).parent.parent
DOCUMENTED = (ROOT / "docs/findings.md").read_text(encoding="utf-8").split("## Studies of the submission")[0]


def test_every_study_and_every_finding_is_in_the_table_exactly_once(tmp_path: Path) -> None:
    findings = [
        Finding("a", "zero-byte-file", "7.dcm", "0 bytes", "slice left out"),
        Finding("a", "zero-byte-file", "8.dcm", "0 bytes", "slice left out"),
        Finding("nobody", "boxes-of-unknown-study", "train_bounding_boxes.csv", "3 boxes", "boxes left out"),
        Finding("", "no-masks", "segmentations", "no such folder", "no study counts as segmented"),
        Finding("a", "a-code-of-the-future", "", "something", "used"),
    ]
    of_masks = [Finding("b", "mask-unreadable", "segmentations/b.nii", "", "presence unknown in this study")]
    studies = [study("a"), study("b"), study("c", readable=False, slices=0), study("b", cohort="test")]
    audit = audited(tmp_path, studies, [stack("a"), stack("b"), stack("b", "test")], findings, mask_findings=of_masks)
    assert Counter(zip(audit.studies["cohort"], audit.studies[UID], strict=True)) == Counter(
        [("train", "a"), ("train", "b"), ("train", "c"), ("test", "b")]
    )
    given = Counter((f.StudyInstanceUID, f.code, f.file, f.detail, f.consequence) for f in [*findings, *of_masks])
    assert given == Counter(audit.findings[COLUMNS].itertuples(index=False, name=None))
    assert audit.studies.set_index(["cohort", UID]).loc[("train", "a"), "findings"] == 3
    assert audit.findings["severity"].isin(reason_codes.SEVERITIES).all()


def test_equal_findings_in_another_order_give_equal_bytes(tmp_path: Path) -> None:
    findings = [Finding(uid, code, "", "", "used") for uid in "ab" for code in ("padding", "lossy", "gantry-tilt")]
    written = []
    for order in (findings, findings[::-1]):
        audited(tmp_path, [study("a"), study("b")], [stack("a"), stack("b")], order)
        written.append((tmp_path / "audit.parquet").read_bytes())
    assert written[0] == written[1]


def test_the_stage_on_the_way_to_the_submission_draws_and_learns_nothing() -> None:
    assert not {"torch", "matplotlib", "jinja2", "pydicom", "cv2"} & foreign_imports("audit_studies")
    assert "cspine.audit.page" not in closure("cspine.stages.assign_folds")


# --- exclusions


def test_a_study_is_excluded_by_a_code_it_has_and_by_its_name_and_the_table_says_why(tmp_path: Path) -> None:
    found = [Finding("a", "lossy", "", "", "used"), Finding("b", "padding", "", "", "used")]
    names = {"c": "the neck is not complete", "a": "blurred"}
    audit = audited(
        tmp_path, [study(u) for u in "abcd"], [stack(u) for u in "abcd"], found,
        exclude_codes=["lossy"], exclude_studies=names,
    )  # fmt: skip
    why = audit.studies.set_index(UID)["why_excluded"].to_dict()
    assert why == {"a": "blurred; lossy", "b": "", "c": "the neck is not complete", "d": ""}
    assert excluded_from_training(tmp_path / "audit.parquet") == {"a", "c"}
    consequence = audit.findings.set_index("code")["consequence"]
    assert consequence["lossy"] == "excluded from training (audit.exclude_codes)" and consequence["padding"] == "used"


def test_test_studies_are_never_excluded_also_when_they_are_training_studies_too(tmp_path: Path) -> None:
    found = [Finding(uid, "lossy", "", "", "used") for uid in ("both", "test")]
    studies = [study("both"), study("both", cohort="test"), study("test", cohort="test")]
    slices = [stack("both"), stack("both", "test"), stack("test", "test")]
    names = {"test": "no", "both": "yes", "1.2.3": "elsewhere"}
    audit = audited(tmp_path, studies, slices, found, exclude_codes=["lossy"], exclude_studies=names)
    rows = audit.studies.set_index(["cohort", UID])
    assert rows["excluded"].to_dict() == {("test", "both"): False, ("test", "test"): False, ("train", "both"): True}
    assert audit.studies.loc[audit.studies["cohort"] == "test", "use"].tolist() == ["predicted", "predicted"]
    assert "exclude-test-study" in codes_of(audit, "test") and "exclude-unknown-study" in codes_of(audit, "1.2.3")
    assert codes_of(audit, "both") == {"lossy"}


def test_excluding_studies_moves_no_other_and_gives_them_no_role_in_any_fold(tmp_path: Path) -> None:
    studies = many_studies(60)
    gone = set(studies[UID].iloc[::7])
    config = FoldConfig(count=4, select=0.25)
    before, after = deal_folds(studies, config), deal_folds(studies, config, gone)
    pd.testing.assert_frame_equal(after, before[~before[UID].isin(gone)].reset_index(drop=True))
    check_folds(after, set(studies[UID]) - gone)
    assert set(before["role"][before[UID].isin(gone)]) == {"train", "select", "heldout"}


def test_the_folds_read_the_exclusions_from_the_audits_table(tmp_path: Path) -> None:
    rows = [study(f"s{i:02d}", "C2" if i % 2 else "") for i in range(20)]
    audited(tmp_path, rows, [stack(str(r[UID])) for r in rows], exclude_studies={"s03": "blurred", "s08": "blurred"})
    paths = {"studies": tmp_path / "studies.parquet", "audit": tmp_path / "audit.parquet"}
    assign_folds(**paths, folds=tmp_path / "folds.parquet", config=FoldConfig(count=4))
    assert {r[UID] for r in rows} - set(read_table(tmp_path / "folds.parquet")[UID]) == {"s03", "s08"}


def test_an_excluded_study_is_taught_and_scored_nowhere_but_predicted() -> None:
    studies = many_studies(40, test=3)
    train = studies[studies["cohort"] == "train"]
    without_boxes = train[(train["patient_overall"] == 1) & ~train["boxed"]][UID]
    gone = {without_boxes.iloc[0], train[train["boxed"]][UID].iloc[0], train[UID].iloc[0]}
    folds = deal_folds(studies, FoldConfig(count=4, select=0.25), gone)
    labels = pd.DataFrame({UID: train[UID], "slice_number": 1, "z_index": 0, "source": "negative", "weight": 1.0})
    labels = labels.assign(first_round=0, **dict.fromkeys(VERTEBRAE, 0))
    once = AggregateConfig(0, vertebra=["max"], patient=["max"], clip=[0.01], calibration=["none"])
    for fold in range(4):
        taught = join_training_set(labels, folds, None, TrainingSetConfig(fold, 0))
        heldout = roles_of(folds, fold).pipe(lambda roles: set(roles.index[roles == "heldout"]))
        assert not gone & (set(taught[UID]) | heldout | set(unlabelled_studies(studies, folds, fold)[UID]))
        predicted, _ = study_probabilities_of(predictions_table(studies), studies, folds, replace(once, fold=fold))
        assert set(predicted.loc[predicted[UID].isin(gone), "cohort"]) == {"unlabelled"}
        assert len(predicted) == len(studies)


def test_exclusions_that_leave_a_fold_without_a_role_are_an_error_that_names_the_keys() -> None:
    studies = many_studies(12)
    folds = deal_folds(studies, FoldConfig(count=4))
    heldout = set(folds.loc[(folds["fold"] == 2) & (folds["role"] == "heldout"), UID])
    with pytest.raises(CspineError, match=r"leave fold 2 without any heldout study.*audit\.exclude_codes"):
        deal_folds(studies, FoldConfig(count=4), heldout)


def test_no_readable_training_study_is_an_error_that_names_the_audit() -> None:
    with pytest.raises(CspineError, match="snakemake audit"):
        deal_folds(many_studies(6).assign(readable=False), FoldConfig(count=2))


def test_a_code_that_is_none_is_answered_with_those_that_look_like_it() -> None:
    with pytest.raises(
        CspineError, match=r"audit\.exclude_codes: no reason code 'same-pixel'; did you mean same-pixels"
    ):
        AuditConfig(exclude_codes=["same-pixel"])
    default, schema = read_yaml(ROOT / "config.yaml"), read_yaml(ROOT / "workflow/schemas/config.schema.yaml")
    with pytest.raises(
        CspineError, match=r"audit\.exclude_codes: no reason code 'mask-of-bone'; did you mean mask-off-b"
    ):
        complete_config(default | {"set": "audit.exclude_codes=[mask-of-bone]"}, schema)


# --- what the numbers of a stack show


def numbers_of(*stacks: pd.DataFrame, left_out: dict[str, list[int]] | None = None) -> dict[str, dict[Any, Any]]:
    table = stack_numbers(pd.concat(stacks, ignore_index=True), left_out or {})
    return {row[UID]: row for row in table.to_dict("records")}


def without(table: pd.DataFrame, numbers: list[int]) -> pd.DataFrame:
    kept = table[~table["slice_number"].isin(numbers)].reset_index(drop=True)
    return kept.assign(z_index=np.arange(len(kept), dtype=np.int32))


def test_a_stack_is_measured_in_millimetres() -> None:
    rows = numbers_of(stack("a", slices=4, step=2.5, rows=400, columns=300, row_spacing=0.5), stack("b"))
    assert rows["a"]["extent_mm"] == 7.5 and rows["b"]["extent_mm"] == USUAL - 1
    assert (rows["a"]["height_mm"], rows["a"]["width_mm"]) == pytest.approx((200.0, 120.0))


def test_missing_slices_are_told_from_missing_numbers_and_from_files_left_out(tmp_path: Path) -> None:
    holes = without(stack("holes"), [20, 21, 57])
    renumbered = stack("renumbered", slice_number=2 * np.arange(USUAL))
    unread = without(stack("unread"), [30])
    backwards = without(stack("backwards", slice_number=500 - np.arange(USUAL)), [430])
    names = ("holes", "renumbered", "unread", "backwards")
    found = [Finding("unread", "truncated", "30.dcm", "", "slice left out")]
    audit = audited(tmp_path, [study(n, slices=USUAL) for n in names], [holes, renumbered, unread, backwards], found)
    details = {row[UID]: (row["code"], row["detail"]) for row in audit.findings.to_dict("records")}
    assert details["holes"] == ("missing-slices", "3 missing: 20-21, 57")
    assert details["renumbered"][0] == "numbering-holes" and "and 145 more ranges" in details["renumbered"][1]
    assert details["backwards"] == ("missing-slices", "1 missing: 430")
    assert codes_of(audit, "unread") == {"truncated"}
    unread_row = audit.studies[audit.studies[UID] == "unread"]
    assert unread_row[["left_out", "missing", "missing_by_gap"]].to_numpy().tolist() == [[1, 0, 1]]


def test_numbers_as_large_as_dates_and_files_without_numbers_cost_no_memory() -> None:
    dated = stack("dated", slices=3, slice_number=[1, 20_200_101, 200_000_000])
    rows = numbers_of(dated, stack("nameless", slices=3, slice_number=-1), left_out={"dated": [5, 999_999_999]})
    assert rows["dated"]["missing"] == 200_000_000 - 4 and rows["nameless"]["missing"] == 0
    assert rows["dated"]["in_order"] and rows["nameless"]["in_order"]


def test_a_stack_out_of_the_ordinary_is_found(tmp_path: Path) -> None:
    odd = {
        "short-extent": stack("short-extent", slices=99),
        "thick-slices": stack("thick-slices", step=3.5),
        "field-of-view": stack("field-of-view", row_spacing=0.9, column_spacing=0.9),
        "unusual-size": stack("unusual-size", rows=768, columns=768, row_spacing=0.3),
        "numbers-not-in-order": stack("numbers-not-in-order", slice_number=[2, 1, *range(3, USUAL + 1)]),
        "slices-all-equal": stack("slices-all-equal", crc32=7),
    }
    usual = [stack(f"usual-{i}") for i in range(8)]
    studies = [study(str(t[UID].iloc[0]), thickness=3.5 if code == "thick-slices" else 1.0) for code, t in odd.items()]
    studies += [study(f"usual-{i}") for i in range(8)]
    audit = audited(tmp_path, studies, [*odd.values(), *usual])
    assert {code: codes_of(audit, code) for code in odd} == {code: {code} for code in odd}
    assert len(audit.findings) == len(odd)


def test_a_neck_of_two_thirds_of_the_usual_extent_is_found_however_long(tmp_path: Path) -> None:
    stacks = [stack(f"s{i}", slices=301) for i in range(5)] + [stack("cut", slices=201)]
    audit = audited(tmp_path, [study(str(t[UID].iloc[0])) for t in stacks], stacks)
    assert codes_of(audit, "cut") == {"short-extent"} and len(audit.findings) == 1


def test_studies_of_the_same_slices_are_found_and_the_first_labelled_one_is_kept(tmp_path: Path) -> None:
    equal, other, third = np.arange(USUAL), np.arange(USUAL) + 5, np.arange(USUAL) + 9
    slices = [
        stack("a-unlabelled", crc32=equal), stack("b", crc32=equal), stack("c", crc32=equal),
        stack("d", crc32=other), stack("e", crc32=other),
        stack("f", crc32=third), stack("f", "test", crc32=third), stack("g", "test", crc32=third),
        stack("blank-1", crc32=0), stack("blank-2", crc32=0),
    ]  # fmt: skip
    unlabelled = study("a-unlabelled", in_csv=False, patient_overall=-1)
    studies = [unlabelled, study("b"), study("c"), study("d"), study("e", "C5"), study("f"), study("blank-1")]
    studies += [study("blank-2"), study("f", cohort="test"), study("g", cohort="test")]
    audit = audited(tmp_path, studies, slices, exclude_codes=["same-pixels", "same-pixels-other-labels"])
    assert codes_of(audit, "b") == set() and codes_of(audit, "a-unlabelled") == codes_of(audit, "c") == {"same-pixels"}
    assert codes_of(audit, "d") == codes_of(audit, "e") == {"same-pixels-other-labels"}
    assert codes_of(audit, "f") == {"same-pixels-as-test"} and codes_of(audit, "g") == {"same-pixels"}
    assert codes_of(audit, "blank-1") == codes_of(audit, "blank-2") == {"slices-all-equal"}
    assert excluded_from_training(tmp_path / "audit.parquet") == {"a-unlabelled", "c", "d", "e"}


# --- masks and boxes


def test_a_mask_that_contradicts_itself_or_the_labels_is_found(tmp_path: Path) -> None:
    neck = whole_neck()
    masks = {
        "right": (neck, "C3"),
        "turned": ({v: range(150 - r.stop, 150 - r.start) for v, r in neck.items()}, ""),
        "gap": ({v: r for v, r in neck.items() if v != "C4"}, ""),
        "end": ({v: r for v, r in neck.items() if v != "C7"}, ""),
        "lacking": ({v: r for v, r in neck.items() if v != "C7"}, "C7"),
        "thoracic": ({}, ""),
    }
    studies = [study(name, fractured, segmented=True) for name, (_, fractured) in masks.items()]
    presence = [presence_of(name, levels) for name, (levels, _) in masks.items()]
    audit = audited(tmp_path, studies, [stack(name) for name in masks], presence=presence)
    assert {name: codes_of(audit, name) for name in masks} == {
        "right": set(),
        "turned": {"mask-level-order"},
        "gap": {"mask-lacks-level"},
        "end": {"mask-incomplete"},
        "lacking": {"mask-incomplete", "mask-lacks-fracture"},
        "thoracic": {"mask-incomplete"},
    }
    assert "from head to feet: C7, C6, C5, C4, C3, C2, C1" in set(audit.findings["detail"])


@pytest.mark.parametrize(
    ("boxed", "code"),
    [
        (range(50, 60), None),  # C3 lies in the slices 46 to 63, numbered from 1
        (range(42, 47), None),  # within 5 mm of it
        ([55, 120], "box-off-fracture"),
        (range(110, 120), "boxes-off-fracture"),
    ],
)
def test_boxes_are_held_against_the_fractured_vertebrae_of_the_mask(tmp_path: Path, boxed: range, code: str) -> None:
    boxes = [("s", number) for number in boxed]
    studies = [study("s", "C3", boxed=True, segmented=True)]
    audit = audited(tmp_path, studies, [stack("s")], boxes=boxes, presence=[presence_of("s", whole_neck())])
    assert codes_of(audit, "s") == ({code} if code else set())
    assert audit.studies["boxes"].tolist() == [len(boxes)]


def test_a_fractured_vertebra_that_no_box_touches_is_found(tmp_path: Path) -> None:
    studies = [study("s", "C3 C6", boxed=True, segmented=True)]
    presence = [presence_of("s", whole_neck())]
    audit = audited(tmp_path, studies, [stack("s")], boxes=[("s", 55)], presence=presence)
    assert audit.findings[["code", "detail"]].to_numpy().tolist() == [["vertebra-without-box", "C6"]]


# --- what the run does


def test_the_table_says_what_the_run_does_with_each_study(tmp_path: Path) -> None:
    found = [Finding("no valid box", "boxed-without-valid-box", "", "", "no slice labels")]
    studies = [
        study("boxes", "C1", boxed=True), study("negative"), study("pseudo-labels", "C1 C7"),
        study("no valid box", "C2", boxed=True), study("excluded"), study("no slice", readable=False),
        study("no row", in_csv=False, patient_overall=-1),
        study("predicted", cohort="test"), study("no folder", cohort="test", readable=False),
        study("strange", cohort="test", in_csv=False),
    ]  # fmt: skip
    slices = [stack(str(row[UID]), str(row["cohort"])) for row in studies if row["readable"]]
    audit = audited(tmp_path, studies, slices, found, exclude_studies={"excluded": "because"})
    uses = audit.studies.set_index(UID)["use"].to_dict()
    assert uses == {
        "boxes": "boxes", "negative": "negative", "pseudo-labels": "pseudo-labels", "no valid box": "scored only",
        "excluded": "excluded", "no slice": "unreadable", "no row": "unlabelled",
        "predicted": "predicted", "no folder": "prior", "strange": "not asked for",
    }  # fmt: skip
    assert set(uses.values()) == USES.keys()


def test_the_worst_study_has_the_highest_score(tmp_path: Path) -> None:
    found = [Finding("noted", "lossy", "", "", ""), Finding("doubtful", "no-rescale", "", "", "")]
    found += [Finding("lost", "no-readable-slice", "", "", "")]
    found += [Finding("half", "truncated", f"{n}.dcm", "", "slice left out") for n in range(76, USUAL + 1)]
    names = ["fine", "noted", "doubtful", "half", "lost"]
    studies = [study(n, readable=n != "lost", slices=75 if n == "half" else USUAL) for n in names]
    slices = [stack(n) for n in names if n not in ("lost", "half")] + [stack("half", slices=75, step=2.0)]
    audit = audited(tmp_path, studies, slices, found)
    ranked = audit.studies.sort_values("score")[UID].tolist()
    assert ranked == names
    assert audit.studies.set_index(UID)["severity"].to_dict() == {
        "fine": "", "noted": "noted", "doubtful": "doubtful", "half": "partly", "lost": "lost",
    }  # fmt: skip


# --- the codes


def test_the_codes_and_their_meanings_are_those_of_the_findings_page() -> None:
    documented = dict(re.findall(r"^\| `([a-z0-9-]+)` \| ([^|]*?) \|", DOCUMENTED, re.MULTILINE))
    assert documented == {code: known.meaning for code, known in reason_codes.CODES.items()}


def test_the_audits_own_codes_have_a_consequence_that_is_documented() -> None:
    own = checks.CONSEQUENCES | mask_checks.CONSEQUENCES | exclusions.CONSEQUENCES
    assert own.keys() == reason_codes.SECTIONS["Studies against each other (audit_studies)"].keys()
    for code, consequence in own.items():
        assert f"| `{code}` | {reason_codes.CODES[code].meaning} | {consequence} |" in DOCUMENTED


def test_every_code_a_module_knows_a_consequence_of_is_in_the_table() -> None:
    used = set()
    for path in (ROOT / "src/cspine").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        for block in re.findall(
            r"^(?:CONSEQUENCES|KEPT|LEFT_OUT)\b[^=\n]*= (.*?)^[})]", text, re.MULTILINE | re.DOTALL
        ):
            used |= set(re.findall(r'^\s+\(?\*?\(?"([a-z0-9]+(?:-[a-z0-9]+)+)"', block, re.MULTILINE))
    assert len(used) > 80
    assert used <= reason_codes.CODES.keys()


def test_every_code_that_is_excluded_by_default_is_a_code() -> None:
    default = read_yaml(ROOT / "config.yaml")["audit"]
    assert not reason_codes.unknown(default["exclude_codes"]) and default["exclude_studies"] == {}


def test_the_known_bad_studies_of_the_real_set_are_named_with_their_reasons() -> None:
    names = read_yaml(ROOT / "presets/rsna.yaml")["audit"]["exclude_studies"]
    assert "1.2.826.0.1.3680043.20574" in names and all(
        re.fullmatch(r"1\.2\.826\.0\.1\.3680043\.\d+", n) for n in names
    )
    assert all(len(why) > 20 for why in names.values())


def test_an_index_without_a_slice_is_audited_all_the_same(tmp_path: Path) -> None:
    audit = audited(tmp_path, [study("a", readable=False)], [stack("a").iloc[:0]])
    assert audit.studies["use"].tolist() == ["unreadable"] and audit.findings.empty
