"""A store made by hand: small text files as the results of real stages, committed and linked as the runner does it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from cspine import store
from cspine.fingerprint import fingerprint, module_digests
from cspine.store.holdings import Held, held

CODE_BEFORE = "0" * 12  # of code nobody has any more


def request(
    stage: str,
    outputs: dict[str, str],
    config: dict[str, Any] | None = None,
    inputs: dict[str, str] | None = None,
    at: str = "",
    code: str | None = None,
) -> store.Request:
    """What a run would ask of the store; outputs and inputs are paths by parameter."""
    family = (config or {}).get("family")
    return store.Request(
        stage,
        code or fingerprint(stage, family),
        config,
        {name: [Path(path)] for name, path in (inputs or {}).items()},
        {name: [Path(path)] for name, path in outputs.items()},
        record={"at": at, "modules": module_digests(stage, family)},
    )


def finish(asked: store.Request, content: str = "content", seconds: float = 1.0, age_days: float = 0.0) -> Held:
    """Commit every output with this content, put it in place, and date it back."""
    folder = store.WORK / asked.stage / asked.key()
    folder.mkdir(parents=True, exist_ok=True)
    for name, places in asked.outputs.items():
        (folder / store.stored_name(name, places[0], None)).write_text(f"{content} {name}")
    done = store.commit(folder, asked, {"costs": {"seconds": seconds}, "versions": {}, "device": "cpu"})
    store.put_in_place(folder, asked, done)
    _date_back(folder / store.DONE, age_days)
    return held(folder)


def begin(asked: store.Request, steps: int = 5, age_days: float = 0.0) -> Held:
    """Leave it unfinished, with a checkpoint and a word on how far it is."""
    folder = store.WORK / asked.stage / asked.key()
    (folder / store.SCRATCH).mkdir(parents=True)
    (folder / store.SCRATCH / f"part-{steps}").write_text("half")
    standing = {"task": asked.stage, "done": steps, "total": 40, "unit": "steps", "rate": 0.5, "time": 0.0}
    (folder / "progress.json").write_text(json.dumps(standing))
    store.begin(folder, asked, "command")
    for name in (store.REQUEST, store.SCRATCH, "progress.json"):
        _date_back(folder / name, age_days)
    return held(folder)


def _date_back(path: Path, days: float) -> None:
    when = path.stat().st_mtime - days * 86400
    os.utime(path, (when, when))
