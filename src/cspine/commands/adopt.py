"""Take over, for the present code, what other code has made."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from cspine import amounts, blocks
from cspine.amounts import pairs_of
from cspine.errors import CspineError
from cspine.fingerprint import fingerprint
from cspine.layers import Config
from cspine.present import present
from cspine.signature import signature_of
from cspine.store import adoption, receipts
from cspine.store.contents import Contents
from cspine.store.differing import departures
from cspine.store.holdings import Held


def main(stage: str, at: str = "", configfile: list[str] | None = None, config: list[str] | None = None) -> int:
    """Take finished results, or the checkpoints of unfinished ones, over to the present code, on your word.

    For results that differ from the present by nothing but code: same config, same inputs. They get a second folder
    under the present key (files are linked, nothing is deleted), whose done.json says what was adopted from where.
    What follows from them is then found again, because its key is made of their content.

    Args:
        stage: e.g. train.
        at: only these wildcards, e.g. method=semi_supervised,fold=0,round=0
        configfile: as for snakemake; default: the files of the last run
        config: as for snakemake, e.g. set=folds.count=5; default: the settings of the last run
    """
    signature_of(stage)
    now = present(configfile, config)
    now.announce()
    print(now)
    wanted = pairs_of(at)
    groups: dict[str, list[Held]] = {}
    for held in adoption.everywhere(stage):
        for place in _places(held, now.config):
            if wanted.items() <= pairs_of(place).items():
                groups.setdefault(place, []).append(held)
    if not groups:
        print(f"nothing of {stage}{f' at {at}' if at else ''} is in work/ or resume_from; there is nothing to adopt")
        return 1
    adopted = [_adopt(stage, place, found, now.config) for place, found in sorted(groups.items())]
    if any(adopted):
        print("run the same command as before: it finds them")
    return 0 if any(adopted) else 1


def _adopt(stage: str, at: str, found: list[Held], config: Config) -> bool:
    """Adopt the best of ``found`` at one place and say so, or say why not."""
    name = amounts.job(stage, at)
    reasons = {h.folder: _against(h, at, config) for h in found}
    code = fingerprint(stage, blocks.block(config, stage, **pairs_of(at)).get("family"))
    able = [h for h in found if all(why.startswith("code: ") for why in reasons[h.folder])]
    there = [h for h in able if h.finished and not reasons[h.folder]]
    if there:
        print(f"{name}: {there[0].folder} is the present code's")
        return False
    others = [h for h in able if reasons[h.folder] and (h.finished or h.begun)]
    best = max(others, key=lambda h: (h.finished, h.time), default=None)
    if best is None:
        last = adoption.newest(found)
        assert last is not None
        why = "; ".join(reasons[last.folder]) or "it is the present code's, and unfinished"
        print(f"{name}: nothing to adopt; the newest is {last.folder}: {why}")
        return False
    what = adoption.described(best)
    try:
        target = adoption.adopt(best, code)
    except CspineError as error:
        print(f"{name}: not adopted: {error}")
        return False
    print(f"{name}: {target} now has {what}, from {best.folder} ({'; '.join(reasons[best.folder])})")
    return True


def _against(held: Held, at: str, config: Config) -> list[str]:
    """What differs from the present, in words; "code: …" is the one kind that can be adopted."""
    found = departures(held.record, at, lambda stage, **where: blocks.block(config, stage, **where))
    found += [f"input {path} changed" for path in receipts.changed_inputs(held.record, at, Contents())]
    root = receipts.other_root(held.record, Path(config["data"]["root"]))
    return [*found, root] if root else found


def _places(held: Held, config: Config) -> Iterator[str]:
    """The wildcards the present config has for this result: its own, and those of other methods it may serve."""
    pairs = pairs_of(held.at)
    for method in config["methods"] if "method" in pairs else [""]:
        at = {**pairs, "method": method} if method else pairs
        text = ",".join(f"{name}={value}" for name, value in at.items())
        try:
            blocks.block(config, held.stage, **at)
        except (KeyError, TypeError, CspineError):  # no such method, view or round any more
            continue
        if text == held.at or _same_config(held, at, config):
            yield text


def _same_config(held: Held, at: dict[str, str], config: Config) -> bool:
    return blocks.block(config, held.stage, **at) == (held.record.get("config") or {})
