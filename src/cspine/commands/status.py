"""How things stand, and what a run would do."""

from __future__ import annotations

from cspine.outlook import outlook
from cspine.overview import overview
from cspine.present import present_by


def main(plan: bool = False, *snakemake: str) -> int:
    """Show what there is, what is at work, what was cut off and how far it is; with --plan, what a run would do.

    Arguments of Snakemake are understood (targets, --configfile, --config ...); without any, the last run's count.

    Args:
        plan: mark each job that a run would plan: in place, hit, resume, run, or unknown until its inputs exist
    """
    now = present_by(snakemake)
    now.announce()
    print(now)
    for line in outlook(now) if plan else overview(now):
        print(line)
    return 0
