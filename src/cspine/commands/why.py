"""What changed since an output was made."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from pathlib import Path

from cspine import planning
from cspine.errors import CspineError
from cspine.present import Present, present
from cspine.store import receipts
from cspine.store.causes import Cause, Causes, at_output
from cspine.store.holdings import Held, held, holdings

RESULTS = Path("results")
MOST_SHOWN = 12  # outputs of one answer


def main(output: str, configfile: list[str] | None = None, config: list[str] | None = None) -> int:
    """Say which config value, module or input changed since an output was made, or that nothing did.

    Args:
        output: a file under results/, there or not, or a folder of them.
        configfile: as for snakemake; default: the files of the last run
        config: as for snakemake, e.g. set=folds.count=5; default: the settings of the last run
    """
    now = present(configfile, config)
    now.announce()
    print(now)
    asked = [(path, folder) for path, folder in receipts.outputs(RESULTS) if Path(output) in (path, *path.parents)]
    rules = _rules(now, [str(path) for path, _ in asked] or [output])
    everything = holdings()
    causes = Causes(everything, now.block, now.root, rules.get)
    answers: dict[tuple[str, ...], list[str]] = {}
    for path, text, why in _answers(Path(output), asked, everything, causes):
        answers.setdefault((text, *map(str, why)), []).append(str(path))
    if not answers:
        known = "no rule makes it" if Path(output) not in rules else "it was never made here; the next run makes it"
        print(f"{output}: {known}")
        return 0 if Path(output) in rules else 1
    for (text, *lines), paths in answers.items():
        more = f" and {len(paths) - MOST_SHOWN} more" if len(paths) > MOST_SHOWN else ""
        print(f"{', '.join(paths[:MOST_SHOWN])}{more}: {text}")
        for line in lines:
            print(f"  {line}")
    return 0


def _rules(now: Present, targets: list[str]) -> dict[Path, planning.Inputs]:
    """What the present rules make each output from, for all that the targets stand on."""
    try:
        jobs = planning.jobs_of(dataclasses.replace(now.line, targets=tuple(targets), given=()))
    except CspineError as error:
        print(error)
        return {}
    return planning.inputs_by_output(jobs)


def _answers(
    output: Path, asked: list[tuple[Path, Path]], everything: list[Held], causes: Causes
) -> Iterator[tuple[Path, str, list[Cause]]]:
    """Each output asked about, what there is to say of it, and the causes."""
    for path, folder in sorted(asked):
        yield path, *_in_place(path, held(folder), everything, causes)
    if not asked and (found := at_output(everything, output)):
        yield output, *_not_in_place(output, found, causes)


def _in_place(path: Path, result: Held, everything: list[Held], causes: Causes) -> tuple[str, list[Cause]]:
    if not result.finished:
        _, why = _not_in_place(path, at_output(everything, path), causes)
        return f"made again: its result is not in the store any more ({result.folder})", why
    why = causes.of(result, next((at for _, at in at_output([result], path)), result.at), path)
    if wrong := receipts.altered(path):
        why = [*why, Cause(result.stage, result.at, wrong)]
    return ("made again, or found in the store, because" if why else f"up to date{_history(result)}"), why


def _not_in_place(path: Path, found: list[tuple[Held, str]], causes: Causes) -> tuple[str, list[Cause]]:
    """Of an output that is not there: the result that is just right, or what sets the newest apart."""
    for result, at in found:
        if result.finished and not causes.of(result, at, path):
            return f"not in place, but its result is in the store and the next run links it{_history(result)}", []
    if not found:
        return "not in place", []
    newest, at = found[0]
    state = "the newest result is" if newest.finished else "the newest attempt is unfinished,"
    why = causes.of(newest, at, path)
    end = "made again, or found in the store, because" if why else "the same command goes on with it"
    return f"not in place; {state} {newest.folder} of {_when(newest)}; {end}", why


def _history(result: Held) -> str:
    notes = [
        f"; adopted {note['time']} from {note['key']} (changed: {', '.join(note['changed']) or 'unknown'})"
        for note in result.record.get("adopted", [])
    ]
    return f" ({result.folder}, made {_when(result)}{''.join(notes)})"


def _when(result: Held) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(result.time))
