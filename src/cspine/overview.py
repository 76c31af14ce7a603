"""What there is in work/ and results/, at a glance."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path

from cspine import amounts, progress
from cspine.amounts import pairs_of
from cspine.errors import CspineError
from cspine.present import Present
from cspine.store import keeping, locks, needs, receipts
from cspine.store.differing import departures
from cspine.store.holdings import Held, holdings, recorded_size
from cspine.store.records import WORK

RESULTS = Path("results")
MOST_LISTED = 4  # jobs of one stage by name; more are counted
MIXED = ("torch", "timm", "monai", "albumentations", "numpy", "python")  # versions that should be one within a fold


def overview(now: Present) -> list[str]:
    """Lines for the terminal: what is in use, at work, cut off, adopted, to be mounted, mixed; and the size of all."""
    found = holdings()
    if not found:
        return [f"{WORK}/ holds nothing yet"]
    shown = {folder for _, folder in receipts.outputs(RESULTS)}
    used = [held for held in found if held.finished and held.folder in shown]
    return [
        "",
        *_table(found, used),
        *told("at work", _at_work(found)),
        *told("cut off or paused", _cut_off(found, now)),
        *told("adopted from other code", _jobs(held for held in used if "adopted" in held.record)),
        *told("must be mounted with work/", [f"{root}: {what} ({stages})" for root, what, stages in _needs()]),
        *told("mixed within a fold", _mixed(used)),
        *_size(found, now),
    ]


def _table(found: list[Held], used: list[Held]) -> list[str]:
    rows = [("stage", "in use", "size", "took", "else in work/")]
    for stage in sorted({held.stage for held in found}):
        own = [held for held in used if held.stage == stage]
        folders = {held.folder for held in own}
        rest = [held for held in found if held.stage == stage and held.folder not in folders]
        kinds = Counter("finished" if h.finished else "unfinished" if h.begun else "remains" for h in rest)
        words = ", ".join(f"{number} {kind}" for kind, number in kinds.items())
        rows.append((stage, str(len(own)), *_sums(own), words))
    rows.append(("total", str(len(used)), *_sums(used), ""))
    return amounts.table(rows, texts=(0, 4))


def _sums(group: list[Held]) -> tuple[str, str]:
    return (amounts.size(recorded_size(group)), amounts.duration(sum(h.seconds for h in group))) if group else ("", "")


def _at_work(found: list[Held]) -> list[str]:
    lines = []
    if who := locks.run_holder():
        lines.append(f"a run ({who})")
    for held in found:
        if who := None if held.finished else locks.holder(held.folder):
            lines.append(f"{amounts.job(held.stage, held.at)}{_how_far(held)} ({who})")
    return lines


def _cut_off(found: list[Held], now: Present) -> list[str]:
    newest: dict[tuple[str, str], Held] = {}
    for held in sorted((h for h in found if h.begun and not locks.holder(h.folder)), key=lambda h: h.time):
        newest[held.stage, held.at] = held
    lines = []
    for stage in sorted({stage for stage, _ in newest}):
        own = [held for held in newest.values() if held.stage == stage]
        lines += [f"{amounts.job(stage, h.at)}{_how_far(h)}{_other(h, now)}" for h in own[:MOST_LISTED]]
        lines += [f"{stage}: {len(own) - MOST_LISTED} more"] if len(own) > MOST_LISTED else []
    return lines


def _how_far(held: Held) -> str:
    standing = progress.standing(held.folder)
    if not standing:
        return ""
    left = progress.seconds_to_go(standing)
    rest = f", about {amounts.duration(left)} to go" if left is not None else ""
    return f": {standing['done']:,} of {standing['total']:,} {standing['unit']}{rest}"


def _other(held: Held, now: Present) -> str:
    try:
        found = departures(held.record, held.at, now.block)
    except (KeyError, TypeError, CspineError):
        return " (of a method the config has no more)"
    return f" (begun with another {'; '.join(found)})" if found else ""


def _needs() -> list[tuple[str, str, str]]:
    return needs.by_root(needs.read())


def _jobs(found: Iterable[Held]) -> list[str]:
    names = [amounts.job(held.stage, held.at) for held in found]
    more = f" and {len(names) - MOST_LISTED} more" if len(names) > MOST_LISTED else ""
    return [", ".join(names[:MOST_LISTED]) + more] if names else []


def _mixed(used: list[Held]) -> list[str]:
    """Folds whose models were made and used by several versions of a library, or on several kinds of device."""
    facts: dict[tuple[str, str, str], dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for held in sorted(used, key=lambda held: (held.at, held.stage)):
        at, versions = pairs_of(held.at), held.record.get("versions", {})
        if "fold" not in at or "torch" not in versions:
            continue
        known = {name: versions[name] for name in MIXED if name in versions} | {"device": held.record.get("device", "")}
        for name, value in known.items():
            facts[at["method"], at["fold"], name][value].append(f"{held.stage} round {at['round']}")
    return [
        f"{method} fold {fold}: {name} "
        + ", ".join(f"{value} ({' and '.join(jobs)})" for value, jobs in values.items())
        for (method, fold, name), values in sorted(facts.items())
        if len(values) > 1
    ]


def _size(found: list[Held], now: Present) -> list[str]:
    max_gb = now.config["store"]["max_gb"]
    if warning := keeping.warning(max_gb, now.block):
        return ["", warning]
    limit = f" of store.max_gb ({max_gb:g} GB)" if max_gb else ""
    return [
        "",
        f"work/ holds {amounts.size(recorded_size(found))}{limit}; `python -m cspine gc --dry-run`: what may go",
    ]


def told(title: str, lines: list[str]) -> list[str]:
    """Lines under a title; nothing when there are none."""
    return ["", f"{title}:", *(f"  {line}" for line in lines)] if lines else []
