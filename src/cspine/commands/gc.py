"""Free what nothing needs."""

from __future__ import annotations

from collections import Counter

from cspine import amounts
from cspine.errors import CspineError
from cspine.present import present
from cspine.store import keeping, locks
from cspine.store.holdings import Held, holdings
from cspine.store.keeping import Fate
from cspine.store.records import WORK


def main(
    dry_run: bool = False,
    keep_days: float = keeping.KEEP_DAYS,
    configfile: list[str] | None = None,
    config: list[str] | None = None,
) -> int:
    """Delete what is in work/ and no longer needed; results/ and what it was made from stay as they are.

    A config value changed back costs nothing only while the old result is there, so recent results are kept as well.

    Args:
        dry_run: only say what would go and what would stay.
        keep_days: keep finished results younger than this many days (default 1; 0 = none for their age alone)
        configfile: as for snakemake; default: the files of the last run
        config: as for snakemake, e.g. set=folds.count=5; default: the settings of the last run
    """
    if not WORK.is_dir():
        raise CspineError(f"no {WORK}/ here; ask in the folder of the Snakefile, or of an experiment")
    now = present(configfile, config)
    now.announce()
    print(now)
    if dry_run:
        return _tell(keeping.fates(holdings(), now.block, keep_days), "would go", "would stay", keep_days)
    try:
        lock = locks.run_alone()
    except BlockingIOError:
        raise CspineError(f"a run is at work in this folder ({locks.run_holder()}); nothing was deleted") from None
    except OSError as error:
        raise CspineError(
            f"this file system cannot lock files ({error}), so a run may be at work unnoticed; nothing was deleted"
        ) from None
    with lock:
        keeping.clear_remains()
        fates = keeping.fates(holdings(), now.block, keep_days)
        _tell(fates, "goes", "stays", keep_days)
        for fate in fates:
            if not fate.why:
                keeping.remove(fate.held)
        keeping.clear_remains()
    return 0


def _tell(fates: list[Fate], goes: str, stays: str, keep_days: float) -> int:
    going = [fate.held for fate in fates if not fate.why]
    stages = sorted({fate.held.stage for fate in fates})
    kept = [[f.held for f in fates if f.why and f.held.stage == stage] for stage in stages]
    gone = [[held for held in going if held.stage == stage] for stage in stages]
    sizes = keeping.bytes_of([*kept, *gone])
    rows = [("stage", goes, "", stays, "", "why it stays")]
    for i, stage in enumerate(stages):
        why = Counter(fate.why for fate in fates if fate.why and fate.held.stage == stage)
        words = ", ".join(f"{number} {reason}" for reason, number in why.items())
        rows.append((stage, *_cell(gone[i], sizes[len(stages) + i]), *_cell(kept[i], sizes[i]), words))
    total = sum(sizes[len(stages) :])
    staying = [fate.held for fate in fates if fate.why]
    rows.append(("total", *_cell(going, total), *_cell(staying, sum(sizes[: len(stages)])), ""))
    for line in amounts.table(rows, texts=(0, 5)):
        print(line)
    for line in _loss(going) + _recent(fates, keep_days):
        print(line)
    return 0


def _cell(group: list[Held], size: int) -> tuple[str, str]:
    return (str(len(group)), amounts.size(size)) if group else ("", "")


def _loss(going: list[Held]) -> list[str]:
    finished = [held for held in going if held.finished]
    if not finished:
        return []
    longest = max(finished, key=lambda held: held.seconds)
    took = amounts.duration(sum(held.seconds for held in finished))
    return [
        f"What goes took {took} to make, {amounts.job(longest.stage, longest.at)} alone "
        f"{amounts.duration(longest.seconds)}: a value changed back to what it was would make it again."
    ]


def _recent(fates: list[Fate], keep_days: float) -> list[str]:
    recent = [fate.held for fate in fates if fate.why == keeping.RECENT]
    if not recent:
        return []
    number, size = amounts.counted(len(recent), "result"), amounts.size(sum(held.recorded_bytes() for held in recent))
    days = f"{keep_days:g} day{'' if keep_days == 1 else 's'}"
    return [f"Kept only because younger than {days}: {number}, {size}; --keep-days 0 lets them go."]
