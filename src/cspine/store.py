"""A stage's result lives at an address computed from what it depends on.

    key  = digest(stage, code fingerprint, config block, {input name: content digests}, what raw folders hold)
    work/{stage}/{key}/     the result, done.json (written last), log.txt; while it runs request.json and, in scratch/,
                            its checkpoints

Declared outputs are relative links into that folder, so they may be deleted at any time without losing anything.
Standard library only: a lookup must not cost the import of pandas or torch.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from cspine.errors import CspineError
from cspine.hashing import digest_of, file_digest
from cspine.progress import say

WORK = Path("work")
DONE = "done.json"
REQUEST = "request.json"  # what is being made, until done.json is there


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
        return {name: [content_digest(path) for path in paths] for name, paths in sorted(self.inputs.items())}

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


def content_digest(path: Path) -> str:
    """The digest of an input: from the store's record where the path leads there, else from the bytes."""
    if not path.exists():
        raise CspineError(f"input {path} does not exist; ask for it by name: snakemake --cores 4 {path}")
    target = Path(os.path.realpath(path))
    done = read_done(target.parent)
    for output in _outputs(done) if done else ():
        if output["file"] == target.name:
            return output["digest"] if _same_stat(target, output) else file_digest(target)
    receipt = read_receipt(path)
    if receipt and _same_stat(path, receipt):
        return receipt["digest"]
    return file_digest(path)


def read_done(folder: Path) -> dict[str, Any] | None:
    """done.json of a store folder, or None when the result is not there or not finished."""
    return _read_json(folder / DONE)


def receipt_path(path: Path) -> Path:
    """The receipt beside a real file: which result of the store it is a copy of."""
    return path.with_name(f".{path.name}.receipt.json")


def read_receipt(path: Path) -> dict[str, Any] | None:
    """The receipt beside ``path``, or None."""
    return _read_json(receipt_path(path))


def lookup(folder: Path) -> dict[str, Any] | None:
    """done.json of ``folder`` when every file it lists is there unaltered; an altered one is named and forgotten.

    Size, modification time and inode are compared; the bytes only where those differ (the store was moved).
    """
    done = read_done(folder)
    if done is None:
        return None
    moved = False
    for output in _outputs(done):
        path = folder / output["file"]
        if _same_stat(path, output):
            continue
        if not path.exists() or file_digest(path) != output["digest"]:
            what = "is missing" if not path.exists() else "was altered since it was made"
            say(f"{path} {what}; it is made again")
            (folder / DONE).unlink()
            return None
        output.update(_stat(path))
        moved = True
    if moved:
        write_json(folder / DONE, done)
    return done


def begin(folder: Path, request: Request, command: str) -> None:
    """Write down in ``folder`` what is about to be made: a run that is cut off leaves it behind."""
    write_json(folder / REQUEST, {**_asked(folder, request), "command": command})


def read_request(folder: Path) -> dict[str, Any] | None:
    """What ``begin`` wrote, or None."""
    return _read_json(folder / REQUEST)


def commit(folder: Path, request: Request, record: dict[str, Any]) -> dict[str, Any]:
    """Protect the files, write done.json last, drop the scratch folder. From here on the result exists."""
    outputs: dict[str, list[dict[str, Any]]] = {}
    for name, places in request.outputs.items():
        outputs[name] = []
        for position, place in enumerate(places):
            path = folder / stored_name(name, place, position if len(places) > 1 else None)
            if not path.exists():
                raise CspineError(f"stage {request.stage} ended without writing its output {name} ({path})")
            digest = file_digest(path)
            _protect(path)
            outputs[name].append({"file": path.name, "digest": digest, **_stat(path)})
    done = {**_asked(folder, request), "outputs": outputs, **record}
    write_json(folder / DONE, done)
    (folder / REQUEST).unlink(missing_ok=True)
    shutil.rmtree(folder / "scratch", ignore_errors=True)
    return done


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
        **request.record,
    }


def put_in_place(folder: Path, request: Request, done: dict[str, Any]) -> None:
    """Link every output to its declared place (or copy it there, with a receipt), each by one rename."""
    for name, places in request.outputs.items():
        for output, place in zip(done["outputs"][name], places, strict=True):
            place.parent.mkdir(parents=True, exist_ok=True)
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
                    **_stat(place),
                }
                write_json(receipt_path(place), receipt)
            else:
                temporary.symlink_to(os.path.relpath(source, place.parent))
                temporary.replace(place)


def write_json(path: Path, value: Any) -> None:
    """Write so that a reader, or a crash at any moment, sees the old file or the new one, never half of it."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    with temporary.open("w", encoding="utf-8") as stream:
        json.dump(value, stream, indent=1, ensure_ascii=False)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _outputs(done: dict[str, Any]) -> Sequence[dict[str, Any]]:
    return [output for outputs in done["outputs"].values() for output in outputs]


def _stat(path: Path) -> dict[str, int]:
    found = path.stat()
    return {"size": found.st_size, "mtime_ns": found.st_mtime_ns, "inode": found.st_ino}


def _same_stat(path: Path, recorded: dict[str, Any]) -> bool:
    try:
        return all(recorded[k] == v for k, v in _stat(path).items())
    except FileNotFoundError:
        return False


def _protect(path: Path) -> None:
    for file in [path] if path.is_file() else sorted(path.rglob("*")):
        if file.is_file():
            file.chmod(0o444)


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except json.JSONDecodeError:  # torn by something other than us: as good as absent
        return None
