"""What a prediction leaves for machines and tables for people: predictions.parquet, triage.csv, findings.csv."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from cspine.bundles.points import Point
from cspine.prediction.results import PICTURES, StudyResult
from cspine.studies import LABELS, UID, VERTEBRAE
from cspine.writing import replacing, write_whole

#: one probability a row: of a slice (C1..C7), of a vertebra with its key slice, of the patient
PREDICTIONS = pa.schema(
    [
        pa.field("level", pa.dictionary(pa.int8(), pa.string())),  # slice | vertebra | study
        pa.field(UID, pa.dictionary(pa.int32(), pa.string())),
        pa.field("label", pa.dictionary(pa.int8(), pa.string())),  # C1..C7, patient_overall
        pa.field("z_index", pa.int32()),  # from the head; -1 without a slice
        pa.field("slice_number", pa.int32()),  # the number in the file's name; -1 if none
        pa.field("file", pa.dictionary(pa.int32(), pa.string())),  # below the study's folder; "" without a slice
        pa.field("probability", pa.float64()),
        pa.field("by", pa.dictionary(pa.int8(), pa.string())),  # model | prior
    ]
)
TRIAGE = ["rank", UID, "patient_overall", "suspicious", "vertebra", "probability", "slice_number", "file", "picture"]
TRIAGE += [*VERTEBRAE, "by", "reason"]


def write_predictions(path: Path, results: Iterable[StudyResult]) -> None:
    """Write predictions.parquet, a study after the other: memory holds one."""
    temporary = path.with_name(f".{path.name}.part")
    with replacing(path, temporary) as stream, pq.ParquetWriter(stream, PREDICTIONS, compression="zstd") as writer:
        for result in results:
            writer.write_table(pa.Table.from_pandas(rows_of(result), schema=PREDICTIONS, preserve_index=False))


def rows_of(result: StudyResult) -> pd.DataFrame:
    """The rows of one study: its slices', then its vertebrae's, then the patient's."""
    s = result.slices
    slices = pd.DataFrame(
        {
            "level": "slice",
            "label": np.tile(VERTEBRAE, len(s)),
            **{name: np.repeat(s[name].to_numpy(), len(VERTEBRAE)) for name in ("z_index", "slice_number", "file")},
            "probability": s[list(VERTEBRAE)].to_numpy(np.float64).ravel(),
        }
    )
    of_study = pd.DataFrame(
        [("study", LABELS[0], *_key(result, _first(result)), result.probability[0])]
        + [("vertebra", v, *_key(result, v), result.probability[1 + i]) for i, v in enumerate(VERTEBRAE)],
        columns=["level", "label", "z_index", "slice_number", "file", "probability"],
    )
    parts = [slices, of_study.iloc[1:], of_study.iloc[:1]] if len(s) else [of_study.iloc[1:], of_study.iloc[:1]]
    rows = pd.concat(parts, ignore_index=True).assign(**{UID: result.uid, "by": "prior" if result.reason else "model"})
    return rows[PREDICTIONS.names]


def triage_row(result: StudyResult, points: dict[str, Point]) -> dict[str, object]:
    """A study in the columns of TRIAGE; its rank is known when all are.

    ``suspicious`` lists the vertebrae to look at; vertebra, probability, slice and picture are the most probable one's.
    A study without a prediction has the prior, and its reason.
    """
    first = _first(result)
    z_index, number, file = _key(result, first)
    picture = result.pictures.get(first, "")
    return {
        "rank": 0,
        UID: result.uid,
        "patient_overall": round(float(result.probability[0]), 6),
        "suspicious": " ".join(result.suspicious(points)),
        "vertebra": first if z_index >= 0 else "",
        "probability": round(float(result.probability[1:].max()), 6),
        "slice_number": number,
        "file": file,
        "picture": f"{PICTURES}/{picture}" if picture else "",
        **dict(zip(VERTEBRAE, result.probability[1:].round(6).tolist(), strict=True)),
        "by": "prior" if result.reason else "model",
        "reason": ": ".join(word for word in (result.reason, result.detail) if word),
    }


def triage(rows: Iterable[dict[str, object]]) -> pd.DataFrame:
    """The studies' rows, the most suspicious first, and their ranks."""
    table = pd.DataFrame(rows, columns=TRIAGE)
    table = table.sort_values(
        ["patient_overall", "probability", UID], ascending=[False, False, True], ignore_index=True
    )
    table["rank"] = np.arange(1, len(table) + 1)
    return table


def write_csv(path: Path, table: pd.DataFrame) -> None:
    """A CSV, whole or not at all."""
    write_whole(path, table.to_csv(index=False, lineterminator="\n").encode(), "prediction-table")


def _first(result: StudyResult) -> str:
    return VERTEBRAE[int(result.probability[1:].argmax())]


def _key(result: StudyResult, vertebra: str) -> tuple[int, int, str]:
    row = result.key_row(vertebra)
    if row < 0:
        return -1, -1, ""
    found = result.slices.iloc[row]
    return int(found["z_index"]), int(found["slice_number"]), str(found["file"])
