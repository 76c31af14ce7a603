"""How it was made: versions, config, and where each result lies."""

from __future__ import annotations

from collections.abc import Sequence

import yaml

from cspine.amounts import counted, wildcards
from cspine.comparison.spent import Made
from cspine.pages import Table
from cspine.report.parts import Chapter, Folded, Heading, Listing, Part, Words
from cspine.report.records import config_blocks, versions

MOST_PLACES = 3  # named of those that share a block


def provenance(results: Sequence[Made], shown: dict[str, str]) -> Chapter:
    """Versions and config as the records of the results have them, not as the files are now.

    Args:
        results: on the way to the page.
        shown: StudyInstanceUID -> its name; a UID in a block (studies excluded by hand) is replaced.
    """
    parts: list[Part] = [
        Words(
            "Every result is kept under a key made of its stage, code, config and inputs; what stands here was read "
            "from the "
            "records of the results themselves. python -m cspine why FILE says what made a file."
        ),
        Heading("Versions"),
        _versions(results),
        Heading("Config"),
        *[
            Folded(f"{stage}: {_places(places)}", [Listing(_named(yaml.safe_dump(block, sort_keys=False), shown))])
            for stage, places, block in config_blocks(results)
        ],
        Heading("Results"),
        Folded(counted(len(results), "result"), [_results(results)]),
    ]
    return Chapter("provenance", "How it was made", parts)


def _versions(results: Sequence[Made]) -> Table:
    rows = []
    for name, found in versions(results).items():
        mixed = "mixed: " + ", ".join(f"{version} made {counted(n, 'result')}" for version, n in found.items())
        rows.append([name, next(iter(found)) if len(found) == 1 else mixed, sum(found.values())])
    return Table(["library", "version", "results"], rows, shown=len(rows))


def _results(results: Sequence[Made]) -> Table:
    rows = [
        [one.stage, wildcards(one.at), {"class": "code", "text": one.folder.name}, str(one.done.get("code", ""))]
        for one in results
    ]
    return Table(["stage", "of", "key", "code"], rows, shown=50, most=2000)


def _places(places: Sequence[str]) -> str:
    named = [wildcards(place) for place in places[:MOST_PLACES] if place]
    more = f" and {len(places) - MOST_PLACES} more" if len(places) > MOST_PLACES else ""
    return (", ".join(named) or "once") + more


def _named(text: str, shown: dict[str, str]) -> str:
    for uid, name in shown.items():
        text = text.replace(uid, name)
    return text
