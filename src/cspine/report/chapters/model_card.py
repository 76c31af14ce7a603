"""The model card (Mitchell et al., "Model Cards for Model Reporting", FAT* 2019): what it is for, and what not."""

from __future__ import annotations

from typing import Any

import pandas as pd

from cspine.amounts import counted
from cspine.pages import Table
from cspine.report.config import ReportConfig
from cspine.report.parts import Chapter, Heading, Part, Points, Words

OUTSIDE = (
    "Outside the data of the challenge expect less: the mean AUC of its winning systems fell from 0.96 to 0.89 on "
    "1,829 CT "
    "series of another trauma centre, with a sensitivity of 67 % (30.9 to 80.0 %) on scans without contrast (Hu et "
    "al., "
    "Radiology: Artificial Intelligence 2024; 6(6): e230550)."
)
PHANTOM = "The phantom is synthetic: a model trained on it knows its drawings, and nothing about patients."
INTENDED = [
    "Research on detecting fractures of C1 to C7 in CT with few labels, and the Kaggle competition RSNA 2022.",
    "Sorting a worklist or drawing a reader's attention only in a study of its own, with thresholds chosen and errors "
    "counted "
    "on the data of the place.",
]
NOT_INTENDED = [
    "No diagnosis, and no decision about a patient: it is not a medical device and was tested as none.",
    "No other question than fractures of C1 to C7: other levels, dislocations, ligaments, bleeding and tumours are not "
    "looked for. Its silence about them says nothing.",
    "No other data than CT of the neck in thin axial slices: children, implants and scans after surgery are few in the "
    "challenge's data or unknown.",
]
LIMITS = [
    "Labels are of studies and vertebrae; boxes are there for 235 of 2,019 studies of the challenge, and a box names "
    "no "
    "vertebra. What is taught of slices is inferred, by rules that docs/labels.md and docs/pseudo-labels.md name.",
    "About half of the challenge's studies are fractured, far more than where scans come in: probabilities are too "
    "high "
    "there, and precision falls.",
    "Age, sex, scanner and site are not in the challenge's labels: whether it works equally well for all is not known.",
    "Intervals hold the luck of studies, not that of another seed or another fold.",
]
PRIVACY = [
    "Nothing but pixels and geometry is read from the headers into the cache; weights, tables and this page hold no "
    "name.",
    "Weights are safetensors: loading them runs no code. Licence of the code and of weights made by it: Apache-2.0; "
    "the data "
    "have their own.",
]


def model_card(scores: pd.DataFrame, roles: dict[str, int], config: ReportConfig) -> Chapter:
    """What a person needs to know who would use the model.

    Args:
        scores: scores.parquet of the method.
        roles: studies of each role in the first fold run.
        config: see ReportConfig.
    """
    data = "the phantom" if config.phantom else "the training studies of data.root"
    in_words = ", ".join(f"{count:,} {role}" for role, count in roles.items())
    limits = [PHANTOM, OUTSIDE, *LIMITS] if config.phantom else [OUTSIDE, *LIMITS]
    parts: list[Part] = [
        Heading("Model"),
        Table(["what", "which"], _model(config), shown=20),
        Heading("Intended use"),
        Points(INTENDED),
        Heading("Not intended"),
        Points(NOT_INTENDED),
        Heading("Data"),
        Words(f"Trained on {data}; studies by role in fold {config.folds_run[0]}: {in_words}. Splits are by study."),
        Heading("What it achieves"),
        Points(_achieved(scores)),
        Heading("Limits"),
        Points(limits),
        Heading("Privacy and licence"),
        Points(PRIVACY),
    ]
    return Chapter("model-card", "Model card", parts)


def _model(config: ReportConfig) -> list[list[Any]]:
    block, training = config.block, config.block["training"]
    network = block["network"]
    rows = [
        ["name", config.method],
        ["family", f"{block['family']}; judges one {config.unit} at a time"],
        ["network", network.get("name", "of its own")],
        ["starts from", _start(block)],
        ["input", f"view {block['view']}"],
        ["taught", f"{counted(config.rounds, 'round')}, folds {', '.join(map(str, config.folds_run))}"],
        ["training", f"{counted(training['epochs'], 'epoch')}, {training['optimizer']}, "
                     f"learning rate {training['learning_rate']}, "
                     f"batch {training['batch_size']}, precision {training['precision']}"],
        ["output", "probability of a fracture of C1 to C7, and of any"],
    ]  # fmt: skip
    if config.members > 1:
        rows.insert(4, ["ensemble", f"{config.members} models a fold"])
    if config.published:
        rows.append(
            ["published", f"its source scored {config.published['score']} ({config.published['where']}): other data"]
        )
    return rows


def _start(block: dict[str, Any]) -> str:
    weights = {"none": "random weights", "hub": "the hub's weights", "file": "a file of weights"}
    known = {"none": weights[block["network"]["weights"]], "previous_round": "the model of the round before"}
    return known.get(block.get("init_from", "none"), "another model")


def _achieved(scores: pd.DataFrame) -> list[str]:
    said = []
    for cohort, rows in scores.groupby("cohort", sort=False):
        loss = rows[(rows["measure"] == "loss") & (rows["normalisation"] == "per_exam")].iloc[0]
        auc = rows[(rows["measure"] == "auc") & (rows["label"] == "patient_overall")].iloc[0]
        said.append(
            f"{cohort}: loss {loss['value']:.3f} [{loss['low']:.3f}, {loss['high']:.3f}], the best constant "
            f"{loss['constant']:.3f}; AUC of patients {auc['value']:.3f} [{auc['low']:.3f}, {auc['high']:.3f}]; "
            f"{loss['studies']} studies"
        )
    return said
