"""What single chapters say, from small tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from cspine.comparison.spent import Made
from cspine.pages import Table
from cspine.report.chapters.costs import costs
from cspine.report.chapters.model_card import OUTSIDE, PHANTOM, model_card
from cspine.report.chapters.provenance import provenance
from cspine.report.chapters.summary import PRIVATE, headline, sentences
from cspine.report.config import ReportConfig
from cspine.report.names import names_of
from cspine.report.parts import Chapter, Folded, Listing, Points
from cspine.report.records import COLUMNS, config_blocks, versions
from cspine.report.taught import as_of_slices
from cspine.score_texts import TOO_FEW
from cspine.studies import CONFIDENCE, UID, VERTEBRAE

BLOCK = {
    "family": "slice_cnn",
    "view": "slice",
    "network": {"name": "tf_efficientnetv2_s", "weights": "none"},
    "training": {"epochs": 3, "optimizer": "adamw", "learning_rate": 1e-3, "batch_size": 8, "precision": "fp32"},
}


def config(**changed: Any) -> ReportConfig:
    given: dict[str, Any] = {"method": "mine", "block": BLOCK, "unit": "slice", "rounds": 2, "folds_run": [0]}
    return ReportConfig(**(given | changed))


def scores(low: float = -0.2, high: float = -0.1, measurable: bool = True) -> pd.DataFrame:
    loss = {"cohort": "heldout", "measure": "loss", "normalisation": "per_exam", "label": "", "value": 0.4, "low": 0.3,
            "high": 0.5, "constant": 0.56, "difference": -0.16, "difference_low": low, "difference_high": high,
            "studies": 40, "positives": 20, "measurable": measurable}  # fmt: skip
    return pd.DataFrame([loss, loss | {"measure": "auc", "normalisation": "", "label": "patient_overall"}])


def words(chapter: Chapter) -> str:
    return repr(chapter)


@pytest.mark.parametrize(
    ("low", "high", "tone", "said"),
    [
        (-0.2, -0.1, "good", "the model is better"),
        (-0.2, 0.1, "warn", "no difference is shown"),
        (0.1, 0.2, "bad", "the model is worse"),
    ],
)
def test_the_headline_claims_what_the_paired_interval_carries(low: float, high: float, tone: str, said: str) -> None:
    text, shown = headline(scores(low, high))
    assert said in text and shown == tone


def test_too_few_studies_are_no_success_whatever_their_interval() -> None:
    text, tone = headline(scores(measurable=False))
    assert text.endswith(TOO_FEW) and tone == "warn"


def test_real_data_in_the_page_are_said_to_be_there() -> None:
    assert PRIVATE in sentences(config(phantom=False), pictures=True)
    assert PRIVATE in sentences(config(phantom=False, uids="plain"), pictures=False)
    assert PRIVATE not in sentences(config(phantom=False, uids="numbered"), pictures=False)


def test_the_model_card_names_what_happened_to_the_winners_outside_and_the_phantom_only_where_it_is() -> None:
    ours, real = (words(model_card(scores(), {"train": 3}, config(phantom=phantom))) for phantom in (True, False))
    assert OUTSIDE in ours and OUTSIDE in real
    assert PHANTOM in ours and PHANTOM not in real


def test_a_numbered_study_is_its_line_in_the_table_of_shown_ones() -> None:
    shown = pd.DataFrame({UID: ["b", "a"]})
    assert names_of(shown, ["c", "a"], "numbered") == {"b": "study 1", "a": "study 2", "c": "study 3"}
    assert names_of(shown, ["c"], "plain") == {"b": "b", "a": "a", "c": "c"}


def made(stage: str, at: str, **record: Any) -> Made:
    return Made(Path("work", stage, at or "once"), {"stage": stage, **record}, at)


def test_costs_of_a_stage_are_the_sum_of_its_results_and_the_largest_memory() -> None:
    rows = [["train", "fold=0", 60.0, 90.0, 800.0, 2, "cuda"], ["train", "fold=1", 40.0, 30.0, 900.0, 1, "cpu"]]
    table = next(part for part in costs(pd.DataFrame(rows, columns=COLUMNS), config()).parts if isinstance(part, Table))
    assert table.rows == [["train", 2, "2 min", "2 min", "900 MB", 1, "cpu, cuda"]]


def test_blocks_that_are_equal_are_shown_once_with_all_their_places() -> None:
    results = [made("ingest", f"shard={n}", config={"view": "slice"}) for n in range(2)] + [
        made("index", "", config={})
    ]
    assert config_blocks(results) == [("ingest", ["shard=0", "shard=1"], {"view": "slice"})]


def test_two_versions_of_a_library_are_called_mixed() -> None:
    results = [made("train", f"fold={n}", versions={"torch": version}) for n, version in enumerate(("2.4", "2.5"))]
    assert versions(results) == {"torch": {"2.4": 1, "2.5": 1}}
    assert "mixed: 2.4 made 1 result, 2.5 made 1 result" in words(provenance(results, {}))


def test_a_study_that_the_config_names_is_numbered_too() -> None:
    chapter = provenance(
        [made("audit_studies", "", config={"exclude_studies": {"1.2.3": "blurred"}})], {"1.2.3": "study 7"}
    )
    folded = next(part for part in chapter.parts if isinstance(part, Folded))
    assert isinstance(folded.parts[0], Listing)
    assert folded.parts[0].text == "exclude_studies:\n  study 7: blurred\n"


def test_points_of_a_chapter_are_sentences() -> None:
    for part in model_card(scores(), {"train": 3}, config()).parts:
        if isinstance(part, Points):
            assert all(sentence.endswith((".", "studies")) for sentence in part.sentences)


def test_a_training_set_of_vertebrae_or_studies_is_counted_as_one_of_slices_is() -> None:
    vertebrae = pd.DataFrame({"vertebra": ["C1", "C2"], "fractured": [1.0, 0.0]})
    found = as_of_slices(vertebrae)
    assert found["C1"].tolist()[0] == 1 and found["C1"].isna().tolist() == [False, True]
    assert found["C2"].tolist()[1] == 0 and found["C3"].isna().all()
    studies = as_of_slices(pd.DataFrame({name: [1.0] for name in VERTEBRAE}))
    assert (studies[list(CONFIDENCE)] == 1).all(axis=None) and studies["C7"].tolist() == [1.0]
