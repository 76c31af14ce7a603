"""Boxes given to vertebrae against the phantom's truth, by a made-up localizer that errs more and more.

The boxed studies of the demo's phantom are rendered in memory; what a localizer would say is made from their
vertebrae, and blurred: where a vertebra begins and ends, how sure it is, ratios and middles. Beside the assignment
stand the box rule (all fractured vertebrae of the study) and the vertebrae seen at 0.5. Prints precision, recall and F1
over the slices of all boxed studies, and of those with several fractured vertebrae, with 95 % intervals over studies.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from cspine.blocks import block
from cspine.box_evidence import MIDDLES, RATIO, SPINE, boxes_in_shares
from cspine.config import complete_config, read_yaml
from cspine.label_quality import label_quality
from cspine.labels import LabelConfig, label_slices_from_boxes
from cspine.phantom.plans import PhantomConfig, StudyPlan, plan_studies
from cspine.phantom.rendering import Rendered, render_study
from cspine.phantom.truth import published_boxes, slice_truths
from cspine.slice_labels import AssignConfig, assign_boxes_to_levels, trusted
from cspine.studies import PRESENCE, UID, VERTEBRAE

ROOT = Path(__file__).parent.parent
ERRORS = (0.0, 1.0, 2.0)  # standard deviation of the ends of a vertebra's run, slices; the others follow it
LEVELS = range(len(VERTEBRAE))


def phantom(studies: int) -> PhantomConfig:
    """The demo's, with another number of studies."""
    config = complete_config(read_yaml(ROOT / "config.yaml"), read_yaml(ROOT / "workflow/schemas/config.schema.yaml"))
    return PhantomConfig(**{**block(config, "make_phantom"), "studies": studies})


def true_localization(rendered: Rendered, plane: int) -> dict[str, float]:
    """What a perfect localizer says of a slice."""
    labels, size = rendered.labels[plane], rendered.labels.shape[1]
    row: dict[str, float] = {}
    rows, columns = np.nonzero(labels)
    if len(rows):
        row |= dict(
            zip(SPINE, np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]) / size, strict=True)
        )
    largest = np.array([(rendered.labels == level + 1).sum(axis=(1, 2)).max() for level in LEVELS])
    for level in LEVELS:
        rows, columns = np.nonzero(labels == level + 1)
        row |= {PRESENCE[level]: float(len(rows) > 0), RATIO[level]: len(rows) / max(largest[level], 1)}
        if len(rows):
            row |= {MIDDLES[0][level]: (columns.mean() + 0.5) / size, MIDDLES[1][level]: (rows.mean() + 0.5) / size}
    return row


def tables_of(plan: StudyPlan, config: PhantomConfig) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Slices of a boxed study with truth and localization, and its published boxes."""
    rendered = render_study(plan, config)
    truths = slice_truths(plan, rendered, config)
    rows = []
    for truth in sorted(truths, key=lambda t: t.z_index):
        shown = {f"fractured_{v}": truth.fractured[level] for level, v in enumerate(VERTEBRAE)}
        key = {"cohort": "train", UID: plan.uid, "slice_number": truth.slice_number, "z_index": truth.z_index}
        rows.append(
            key | shown | true_localization(rendered, truth.plane) | {"rows": plan.pixels, "columns": plan.pixels}
        )
    boxes = [(plan.uid, *t.box, t.slice_number) for t in published_boxes(plan, truths, config)]
    return pd.DataFrame(rows), pd.DataFrame(boxes, columns=[UID, "x", "y", "width", "height", "slice_number"])


def blurred(slices: pd.DataFrame, error: float, seed: int = 1) -> pd.DataFrame:
    """The localization with ends of runs that are off and uncertain, and noise on everything else."""
    random, table = np.random.default_rng(seed), slices.assign(source="predicted")
    if error == 0:
        return table
    for _, rows in slices.groupby(UID):
        z = rows["z_index"].to_numpy()
        for level in LEVELS:
            shown = z[rows[PRESENCE[level]] > 0]
            if not len(shown):
                continue
            first, last = shown.min() + random.normal(0, error), shown.max() + random.normal(0, error)
            inside = np.minimum(z - first, last - z) + 0.5
            sure = random.uniform(0.85, 1, len(z)) / (1 + np.exp(-2 * inside / error)) + random.normal(
                0, 0.03 * error, len(z)
            )
            table.loc[rows.index, PRESENCE[level]] = sure.clip(0, 1)
            table.loc[rows.index, RATIO[level]] = (rows[RATIO[level]] + random.normal(0, 0.1 * error, len(z))).clip(
                0, 1
            )
            for axis in MIDDLES:
                table.loc[rows.index, axis[level]] = rows[axis[level]] + random.normal(0, 0.02 * error, len(z))
    return table


def labels_of(slices: pd.DataFrame, boxes: pd.DataFrame) -> pd.DataFrame:
    """The box rule's labels."""
    studies = slices.groupby(UID)[[f"fractured_{v}" for v in VERTEBRAE]].max().set_axis(list(VERTEBRAE), axis=1)
    studies = studies.assign(patient_overall=1, boxed=True, cohort="train", readable=True, in_csv=True).reset_index()
    return trusted(label_slices_from_boxes(studies, slices, boxes, LabelConfig())[0])


def seen_only(labels: pd.DataFrame, localization: pd.DataFrame) -> pd.DataFrame:
    """The box rule's labels, where the vertebra is seen at 0.5."""
    seen = labels[[UID, "z_index"]].merge(localization, on=[UID, "z_index"], validate="1:1")
    shown = (seen[list(PRESENCE)].to_numpy() >= 0.5).astype(np.float32)
    return labels.assign(**{v: labels[v] * shown[:, level] for level, v in enumerate(VERTEBRAE)})


def show(name: str, labels: pd.DataFrame, truth: pd.DataFrame) -> None:
    """One line for all boxed studies and one for those of several fractured vertebrae."""
    table = label_quality(labels, truth)
    for row in table[table["vertebra"] == "all"].to_dict("records"):
        figures = "  ".join(
            f"{m} {row[m]:.3f} [{row[m + '_low']:.3f}, {row[m + '_high']:.3f}]" for m in ("precision", "recall", "f1")
        )
        print(f"  {name:34} {row['of']:8} {row['studies']:4} studies  {figures}  Brier {row['brier']:.4f}")


def main() -> None:
    """Render, blur, assign, compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--studies", type=int, default=140, help="of the phantom; only its boxed ones are rendered")
    config = phantom(parser.parse_args().studies)
    made = [tables_of(plan, config) for plan in plan_studies(config) if plan.boxed]
    slices, boxes = (pd.concat(parts, ignore_index=True) for parts in zip(*made, strict=True))
    rule, places = labels_of(slices, boxes), boxes_in_shares(boxes, slices)
    print("box rule")
    show("all of the study", rule, slices)
    for error in ERRORS:
        print(f"localizer whose ends of vertebrae are off by {error:g} slices")
        localization = blurred(slices, error)
        show("seen at 0.5", seen_only(rule, localization), slices)
        blind = {
            "presence only": [*RATIO, *MIDDLES[0], *MIDDLES[1], *SPINE],
            "presence and ratio": [*MIDDLES[0], *MIDDLES[1], *SPINE],
        }
        for heads, columns in {**blind, "presence, ratio and position": []}.items():
            given = localization.assign(**dict.fromkeys(columns, np.nan))
            table, _ = assign_boxes_to_levels(rule, places, given, AssignConfig(0, "localized"))
            show(f"localized: {heads}", table, slices)


if __name__ == "__main__":
    main()
