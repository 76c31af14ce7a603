"""How things stand, and what a run would do."""

from __future__ import annotations

from functools import partial

from cspine.errors import CspineError
from cspine.outlook import outlook
from cspine.overview import overview
from cspine.present import present_by

SECONDS_BETWEEN_FRAMES = 2.0


def main(plan: bool = False, watch: float | bool = False, *snakemake: str) -> int:
    """Show what there is, what is at work, what was cut off and how far it is; with --plan, what a run would do.

    Arguments of Snakemake are understood (targets, --configfile, --config ...); without any, the last run's count.

    Args:
        plan: mark each job that a run would plan: in place, hit, resume, run, or unknown until its inputs exist
        watch: show the run at work every so many seconds (2 without a number): its stages and jobs, disk and GPUs, the
            time left of its budget; until Ctrl-C, or where there is no terminal until no run is at work
    """
    now = present_by(snakemake)
    if watch is not False:
        return _watch(SECONDS_BETWEEN_FRAMES if watch is True else watch, now.config["store"]["max_gb"])
    now.announce()
    print(now)
    for line in outlook(now) if plan else overview(now):
        print(line)
    return 0


def _watch(seconds: float, max_gb: float) -> int:
    from cspine.watching.loop import watch
    from cspine.watching.seen import look

    if not 0 < seconds < float("inf"):
        raise CspineError(f"--watch: found {seconds:g}; expected seconds between two looks, above 0")
    watch(partial(look, max_gb), seconds)
    return 0
