"""Stages of tables on the rehearsal's tables laid many times over themselves: what of their cost grows with the data.

A stage of tables takes half a second on a rehearsal, nearly all of it imports. Copies of the same studies under other
names show what the rest does with twenty times the rows. ``python -m cspine.forecast.copies FOLDER`` is a process of
its own, which imports once and measures every call in a child: the memory of one is not seen in the next.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cspine import progress
from cspine.forecast.spending import IN_PIECES
from cspine.phantom.plans import UID_ROOT
from cspine.running import function_of, typed_config
from cspine.signature import Signature, signature_of
from cspine.store.costs import spent

COPIES = 20
MEASURED = "copies.jsonl"  # in the rehearsal's folder: stage, at, copies, seconds, cpu_seconds, peak_mb
#: read no table that could be copied, or no table decides what they take
LEFT_OUT = (*IN_PIECES, "inventory", "plan_cache", "plan_crops", "plan_volumes", "build_wheel", "explain_cases")
UIDS = rf"^({UID_ROOT.replace('.', '[.]')}[.]\d+)"


def main(words: list[str]) -> None:
    """Measure every stage of tables of the rehearsal in the folder ``words[0]``, once and on copies."""
    os.chdir(words[0])
    seen: set[str] = set()
    with Path(MEASURED).open("w", encoding="utf-8") as measured:
        for done in _records():
            stage, at = done["stage"], done["at"]
            if stage in LEFT_OUT or stage in seen or signature_of(stage).uses_gpu:
                continue
            seen.add(stage)
            function_of(stage)  # imports, in which the measured child has no part
            for copies in (1, COPIES):
                if (took := _in_a_child(done, copies)) is not None:
                    measured.write(json.dumps({"stage": stage, "at": at, "copies": copies, **took}) + "\n")
                    measured.flush()


def _records() -> Iterator[dict[str, Any]]:
    for path in sorted(Path("work").glob("*/*/done.json")):
        yield json.loads(path.read_text(encoding="utf-8"))


def _in_a_child(done: dict[str, Any], copies: int) -> dict[str, float] | None:
    """Seconds, CPU seconds and peak memory of one call in a process of its own; None where it fails."""
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.close(read)
        with contextlib.suppress(BaseException), os.fdopen(write, "w") as answer:
            answer.write(json.dumps(_called(done, copies)))
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as answer:
        text = answer.read()
    os.waitpid(child, 0)
    return json.loads(text) if text else None


def _called(done: dict[str, Any], copies: int) -> dict[str, float]:
    """Call the stage as its record says, on copies of its inputs, with outputs that nobody reads."""
    os.environ.pop(progress.TIMED, None)
    sink = os.open(os.devnull, os.O_WRONLY)
    os.dup2(sink, sys.stderr.fileno())
    stage, place = done["stage"], Path("copies", done["stage"])
    place.mkdir(parents=True, exist_ok=True)
    arguments = _arguments(signature_of(stage), done, place, copies)
    function, before, began = function_of(stage), spent(), time.monotonic()
    function(**arguments)
    after = spent()
    seconds = time.monotonic() - began
    cpu = after["cpu_seconds"] - before["cpu_seconds"]
    return {"seconds": seconds, "cpu_seconds": cpu, "before_mb": before["peak_mb"], "peak_mb": after["peak_mb"]}


def _arguments(signature: Signature, done: dict[str, Any], place: Path, copies: int) -> dict[str, Any]:
    given: dict[str, Any] = {}
    for parameter in signature.parameters:
        name = parameter.name
        if name in done["inputs"]:
            paths = [copied(Path(one["path"]), place, copies) for one in done["inputs"][name]]
        elif name in done["outputs"]:
            paths = [place / f"out-{name}-{i}{Path(o['file']).suffix}" for i, o in enumerate(done["outputs"][name])]
        elif parameter.kind == "config":
            given[name] = typed_config(signature.stage, done["config"])
            continue
        elif parameter.kind == "RawFolder":
            paths = [Path("data/phantom")]
        elif parameter.kind == "Folder":
            paths = [Path("data/phantom_truth/slices.parquet")]
        elif parameter.kind == "Scratch":
            paths = [place / "scratch"]
            paths[0].mkdir(exist_ok=True)
        else:
            continue
        given[name] = paths if parameter.many else paths[0]
    return given


def copied(path: Path, place: Path, copies: int) -> Path:
    """A table with its rows so many times, the studies of each copy under other names; what is no table as it is."""
    if copies == 1 or path.suffix not in (".parquet", ".csv"):
        return path
    import pyarrow as pa
    import pyarrow.csv
    import pyarrow.parquet as pq

    table = pq.read_table(path) if path.suffix == ".parquet" else pa.csv.read_csv(path, convert_options=_texts(path))
    many = pa.concat_tables(_renamed(table, number) for number in range(copies))
    target = place / f"{'-'.join(path.parts[-3:])}-{copies}{path.suffix}"
    if path.suffix == ".parquet":
        pq.write_table(many, target)
    else:
        pa.csv.write_csv(many, target)
    return target


def _texts(path: Path) -> Any:
    """Every column of a CSV as text."""
    import pyarrow as pa
    import pyarrow.csv

    head = path.open(encoding="utf-8").readline().strip().split(",")
    return pa.csv.ConvertOptions(column_types=dict.fromkeys((name.strip('"') for name in head), pa.string()))


def _renamed(table: Any, number: int) -> Any:
    """The table with two more digits in the name of every study; the first copy keeps its names."""
    import pyarrow as pa
    import pyarrow.compute as pc

    for i, field in enumerate(table.schema):
        if number and (pa.types.is_string(field.type) or pa.types.is_large_string(field.type)):
            named = pc.replace_substring_regex(table.column(i), UIDS, rf"\g<1>{number:02d}".replace(r"\g<1>", r"\1"))
            table = table.set_column(i, field, named)
    return table


if __name__ == "__main__":
    main(sys.argv[1:])
