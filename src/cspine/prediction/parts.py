"""Finished studies, kept on disk until all are done: memory stays flat, and a cut-off repeats none of them."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from cspine.findings import Finding
from cspine.hashing import digest_of
from cspine.prediction.listings import files_below, listing_digest
from cspine.prediction.results import StudyResult
from cspine.writing import replacing

FOLDER = ".unfinished"
NOTE = b"cspine"  # key of a part's footer


class Parts:
    """A folder of answers by study; each is found again only for the same files, bundle and options."""

    def __init__(self, out: Path, made_by: str) -> None:
        """``made_by`` says what an answer depends on besides the study's files."""
        self.folder, self.made_by = out / FOLDER, made_by
        self.folder.mkdir(parents=True, exist_ok=True)

    def find(self, uid: str, folder: Path) -> StudyResult | None:
        """The answer kept for a study by an earlier start, where its files and all else are what they were; or None."""
        try:
            made_by, result = self._read(uid)
        except (OSError, KeyError, ValueError, TypeError, pa.ArrowException):  # none there, or torn
            return None
        same = made_by == self.made_by and listing_digest(files_below(folder)) == result.listing
        return result if same else None

    def get(self, uid: str) -> StudyResult:
        """The answer that was found or kept since this start."""
        return self._read(uid)[1]

    def keep(self, result: StudyResult) -> None:
        """Keep an answer, whole or not at all."""
        about = {**asdict(replace(result, slices=result.slices[:0])), "probability": result.probability.tolist()}
        del about["slices"]
        note = json.dumps({"made_by": self.made_by, "result": about})
        table = pa.Table.from_pandas(result.slices, preserve_index=False).replace_schema_metadata({NOTE: note})
        path = self._path(result.uid)
        with replacing(path, path.with_suffix(".tmp")) as stream:
            pq.write_table(table, stream)

    def drop(self) -> None:
        """All are done, and in the tables."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _read(self, uid: str) -> tuple[str, StudyResult]:
        stored = pq.ParquetFile(self._path(uid))
        note = json.loads((stored.schema_arrow.metadata or {})[NOTE])
        return note["made_by"], _result(note["result"], stored)

    def _path(self, uid: str) -> Path:
        return self.folder / f"{digest_of(uid)[:24]}.parquet"


def _result(about: dict[str, Any], stored: pq.ParquetFile) -> StudyResult:
    findings = [Finding(**finding) for finding in about.pop("findings")]
    probability = np.array(about.pop("probability"))
    return StudyResult(slices=stored.read().to_pandas(), probability=probability, findings=findings, **about)
