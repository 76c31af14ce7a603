"""A stage's result lives at an address computed from what it depends on.

    key  = digest(stage, code fingerprint, config block, {input name: content digests}, what raw folders hold)
    work/{stage}/{key}/     the result, done.json (written last), log.txt; while it runs request.json and, in scratch/,
                            its checkpoints

Declared outputs are relative links into that folder, so they may be deleted at any time without losing anything.
Standard library only: a lookup must not cost the import of pandas or torch.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from cspine.errors import CspineError
from cspine.faults import fault_point
from cspine.hashing import digest_of, file_digest
from cspine.progress import say
from cspine.store.records import DONE as DONE
from cspine.store.records import REQUEST as REQUEST
from cspine.store.records import SCRATCH as SCRATCH
from cspine.store.records import WORK as WORK
from cspine.store.records import content_digest as content_digest
from cspine.store.records import damage as damage
from cspine.store.records import input_digest, outputs_of, same_stat, stat_of
from cspine.store.records import read_done as read_done
from cspine.store.records import read_receipt as read_receipt
from cspine.store.records import read_request as read_request
from cspine.store.records import receipt_path as receipt_path
from cspine.store.records import write_json as write_json
from cspine.writing import flush


@dataclass(frozen=True)
class Request:
    """Everything a stage's key is made of, and where its outputs are wanted."""

    stage: str
    code: str  # fingerprint, 12 hex digits
    config: dict[str, Any] | None
    inputs: dict[str, list[Path]]
    outputs: dict[str, list[Path]]  # declared places
    copies: frozenset[str] = frozenset()  # outputs to put in place as real files
    observed: str = ""  # digest of raw folders
    versions: dict[str, str] = field(default_factory=dict)  # of the libraries that store.key_versions names
    record: dict[str, Any] = field(default_factory=dict)  # goes into done.json but not into the key

    @cached_property
    def digests(self) -> dict[str, list[str]]:
        """Content digests of the inputs by name, as they were when the key was made."""
        return {name: [input_digest(path) for path in paths] for name, paths in sorted(self.inputs.items())}

    def key(self) -> str:
        """20 hex digits; see the module docstring. Neither places nor names of outputs count."""
        return key_of(self.stage, self.code, self.config, self.digests, self.observed, self.versions)


def key_of(
    stage: str,
    code: str,
    config: dict[str, Any] | None,
    digests: dict[str, list[str]],
    observed: str,
    versions: dict[str, str],
) -> str:
    """20 hex digits from everything a result depends on; versions count only where the config wants them to."""
    return digest_of(stage, code, config, dict(sorted(digests.items())), observed, *([versions] if versions else []))[
        :20
    ]


def key_of_record(record: dict[str, Any], code: str | None = None) -> str:
    """The key of what a done.json or request.json describes, with other code if given."""
    digests = {name: [r["digest"] for r in recorded] for name, recorded in record["inputs"].items()}
    arguments = record["config"], digests, record["observed"], record.get("versions_in_key", {})
    return key_of(record["stage"], code or record["code"], *arguments)


def stored_name(parameter: str, declared: Path, position: int | None) -> str:
    """The file's name inside the store: parameter and suffix, so that the declared place does not matter."""
    number = "" if position is None else f"-{position}"
    return f"{parameter}{number}{''.join(declared.suffixes[-1:])}"


def lookup(folder: Path) -> dict[str, Any] | None:
    """done.json of ``folder`` when every file it lists is there unaltered."""
    done = read_done(folder)
    return None if done is None or damage(folder, done) else done


def discard_damaged(folder: Path) -> None:
    """Name what is wrong with a result that a lookup did not accept, and take it away. For whoever holds the lock.

    Only the damaged files go. What a person may have put in their place goes too: it is no result.
    """
    if not os.path.lexists(folder / DONE):
        return
    done = read_done(folder)
    wrong = damage(folder, done) if done else f"{folder / DONE} is torn or no record of a result"
    if wrong is None:
        return
    say(f"{wrong}; it is found elsewhere or made again")
    remove(folder / DONE)
    for output in outputs_of(done) if done else ():
        path = folder / output["file"]
        if not same_stat(path, output):
            remove(path)


def begin(folder: Path, request: Request, command: str) -> None:
    """Write down in ``folder`` what is about to be made: a run that is cut off leaves it behind."""
    for _, path in _stored(folder, request):  # left by a result whose record was lost
        if path.is_symlink():
            path.unlink()  # the stage must not write through it into an earlier session's folder
        elif path.is_dir():
            _allow(path, 0o644)
    write_json(folder / REQUEST, {**_asked(folder, request), "command": command})


def commit(folder: Path, request: Request, record: dict[str, Any]) -> dict[str, Any]:
    """Protect the files, write done.json last, drop the scratch folder. From here on the result exists."""
    outputs: dict[str, list[dict[str, Any]]] = {name: [] for name in request.outputs}
    for name, path in _stored(folder, request):
        if not path.exists():
            raise CspineError(f"stage {request.stage} ended without writing its output {name} ({path})")
        outputs[name].append(protected(path, file_digest(path)))
        fault_point("output-protected")
    done = {**_asked(folder, request), "outputs": outputs, **record}
    finish(folder, done)
    return done


def protected(path: Path, digest: str) -> dict[str, Any]:
    """The record of a finished output, which from here on may only be read."""
    _allow(path, 0o444)
    if path.is_file():  # not the thousands of a phantom: that is made again sooner than it is written out
        flush(path)  # before done.json says that the bytes are there
    return {"file": path.name, "digest": digest, **stat_of(path)}


def finish(folder: Path, done: dict[str, Any]) -> None:
    """Write done.json, then drop what only an unfinished folder has."""
    fault_point("before-done")
    write_json(folder / DONE, done)
    (folder / REQUEST).unlink(missing_ok=True)
    shutil.rmtree(folder / SCRATCH, ignore_errors=True)
    for left in [*folder.glob("*.tmp"), *folder.glob(".*.tmp")]:  # of a run that was killed while it wrote
        remove(left)


def drop_halves(folder: Path, request: Request) -> None:
    """Take away what a stage had written of its outputs' files when it was cut off; it would write them anew anyway."""
    for _, path in _stored(folder, request):
        if path.is_file():
            path.unlink()


def _stored(folder: Path, request: Request) -> Iterator[tuple[str, Path]]:
    """The output parameters and their files in the store, in the order of the request."""
    for name, places in request.outputs.items():
        for position, place in enumerate(places):
            yield name, folder / stored_name(name, place, position if len(places) > 1 else None)


def _asked(folder: Path, request: Request) -> dict[str, Any]:
    inputs = {
        name: [
            {"path": os.path.relpath(path), "digest": digest}
            for path, digest in zip(paths, request.digests[name], strict=True)
        ]
        for name, paths in request.inputs.items()
    }
    return {
        "stage": request.stage,
        "key": folder.name,
        "code": request.code,
        "config": request.config,
        "observed": request.observed,
        "versions_in_key": request.versions,
        "inputs": inputs,
        "places": {name: [os.path.relpath(path) for path in paths] for name, paths in request.outputs.items()},
        **request.record,
    }


def put_in_place(folder: Path, request: Request, done: dict[str, Any]) -> None:
    """Link every output to its declared place (or copy it there, with a receipt), each by one rename."""
    for name, places in request.outputs.items():
        for output, place in zip(done["outputs"][name], places, strict=True):
            place.parent.mkdir(parents=True, exist_ok=True)
            if place.is_dir() and not place.is_symlink():
                raise CspineError(f"output {place}: found a folder; expected a free place. Move the folder away")
            temporary = place.with_name(f".{place.name}.{os.getpid()}.tmp")
            temporary.unlink(missing_ok=True)
            source = folder / output["file"]
            if name in request.copies:
                shutil.copyfile(source, temporary)
                temporary.replace(place)
                receipt = {
                    "stage": request.stage,
                    "key": folder.name,
                    "digest": output["digest"],
                    **stat_of(place),
                }
                write_json(receipt_path(place), receipt)
            else:
                temporary.symlink_to(os.path.relpath(source, place.parent))
                fault_point("link-before-rename")
                temporary.replace(place)
            fault_point("output-in-place")


def _allow(path: Path, mode: int) -> None:
    for file in [path] if path.is_file() else sorted(path.rglob("*")):
        if file.is_file():
            file.chmod(mode)


def remove(path: Path) -> None:
    """Take away a file, a link or a whole folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
