"""What the workflow's rules would give a stage as its inputs now: what no record and no config block says.

A changed number of rounds, another submitted method or another model to start from changes the inputs of a stage and
nothing else of it. Snakemake notices that by its own records; with those lost the rules themselves must be asked.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from cspine import lists
from cspine.signature import STAGES, signature_of
from cspine.store.contents import Contents

Inputs = dict[str, list[Path]]  # by parameter
Wiring = Callable[[Path], Inputs | None]  # output -> the inputs it would be made from; None = no rule makes it


def wiring_of(workflow: Any) -> Wiring:
    """The wiring of the rules that Snakemake has read; the names of a rule's inputs are the stage's parameters.

    Instead of a list there are the files that it names, as in a result's record.
    """

    from snakemake.exceptions import WorkflowError

    known: dict[tuple[str, ...], Inputs | None] = {}  # by rule and wildcards: a job has several outputs

    def files(path: Path) -> list[Path]:
        if path.suffix != lists.SUFFIX:
            return [path]
        return [file for named in (inputs(path) or {}).values() for file in named]

    def inputs(output: Path) -> Inputs | None:
        rule = next((rule for rule in workflow.rules if rule.is_producer(str(output))), None)
        if rule is None:
            return None
        wildcards = rule.get_wildcards(str(output))
        job = (rule.name, *wildcards.values())
        if job not in known:
            try:
                found = rule.expand_input(wildcards)[0]
                known[job] = {
                    name: [path for p in _listed(value) for path in files(Path(str(p)))]
                    for name, value in found.items()
                }
            except WorkflowError:  # planning says it better
                known[job] = None
        return known[job]

    return inputs


def rewired(done: dict[str, Any], inputs: Inputs, contents: Contents) -> str | None:
    """Which parameters would be given other content than the result in ``done`` was made from, in words.

    An input that is not there is left to Snakemake: it is made, and what follows from it with it. A result of a stage
    that is gone, at a place where a rule of today writes, is another stage's now.
    """
    if not (STAGES / f"{done['stage']}.py").is_file():
        return f"the stage {done['stage']} that made it is gone" if inputs else None
    known = {p.name for p in signature_of(done["stage"]).of_kind("InPath")}
    others = [
        name for name in sorted(known & inputs.keys()) if _differs(done["inputs"].get(name, []), inputs[name], contents)
    ]
    return f"it is made from another {', '.join(others)} now" if others else None


def _differs(recorded: list[dict[str, Any]], paths: list[Path], contents: Contents) -> bool:
    found = [contents.at(path) for path in paths]
    return None not in found and [record["digest"] for record in recorded] != found


def _listed(value: Any) -> list[Any]:
    return [value] if isinstance(value, str) else list(value)
