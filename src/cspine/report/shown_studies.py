"""Which studies can be browsed in the report, and why: errors, and one of everything that a model is taught by."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest

import pandas as pd

from cspine.folds import roles_of
from cspine.hashing import seed_of
from cspine.report.choosing import FALSE_ALARM, FOUND, MISSED, TEST
from cspine.report.study_words import in_index
from cspine.studies import LABELS, UID

BOXED, SEGMENTED, PSEUDO, WHOLE = "boxed", "segmented", "pseudo-labelled", "unfractured"
COLUMNS = ["cohort", UID, "fold", "why"]
Place = tuple[str, str, int]  # cohort (of a training study its role in the fold), StudyInstanceUID, fold


@dataclass(frozen=True)
class Pool:
    """What can be chosen from.

    Attributes:
        studies: index/studies.parquet.
        folds: folds.parquet.
        folds_run: whose models' predictions can be shown.
        judged: vertebrae with their kind (``choosing.judged_vertebrae``).
        pseudo: the studies with pseudo-labels, of each fold run.
        seed: of what is drawn.
    """

    studies: pd.DataFrame
    folds: pd.DataFrame
    folds_run: Sequence[int]
    judged: pd.DataFrame
    pseudo: Sequence[set[str]]
    seed: int

    def places(self) -> list[Place]:
        """The held-out and test studies whose truth is known."""
        rows = self.judged[["cohort", UID, "fold"]].drop_duplicates()
        return [(str(cohort), str(uid), int(fold)) for cohort, uid, fold in rows.itertuples(index=False)]

    def drawn(self, places: Iterable[Place], group: str) -> list[Place]:
        """One of ``places``, if there are any: drawn by the seed, and the same one whatever else is in the data."""
        return sorted(places, key=lambda place: (seed_of(group, self.seed, place[1]), place))[:1]


def shown_studies(pool: Pool, cases: pd.DataFrame, count: int) -> pd.DataFrame:
    """``count`` studies at most, the worst errors first, each once: COLUMNS, ``why`` with all that is true of it.

    First the worst error of each kind, then a fracture that was found, a segmented study, a pseudo-labelled one and an
    unfractured one, unless one that is chosen already is such; the next errors, then found ones, fill what is left.
    """
    facts = _Facts(pool, cases)
    chosen: list[Place] = []
    for wish in _wishes(pool, cases, facts):
        if len(chosen) < count and not any(facts.meets(place, wish.reason) for place in chosen):
            taken = {(in_index(cohort), uid) for cohort, uid, _ in chosen}
            chosen += [place for place in wish.places if (in_index(place[0]), place[1]) not in taken][:1]
    wrong = [place for place in chosen if facts.errors(place)]
    ordered = wrong + [place for place in chosen if place not in wrong]
    rows = [(*place, ", ".join(facts.of(place))) for place in ordered]
    return pd.DataFrame(rows, columns=COLUMNS).astype({"fold": "int32"})


@dataclass(frozen=True)
class _Wish:
    reason: str  # "" = whatever is chosen already, one more
    places: list[Place]


def _wishes(pool: Pool, cases: pd.DataFrame, facts: _Facts) -> Iterator[_Wish]:
    by_kind = [_places(cases[cases["kind"] == kind].sort_values("rank")) for kind in (MISSED, FALSE_ALARM)]
    errors = [place for pair in zip_longest(*by_kind) for place in pair if place is not None]
    worst, others = [places[0] for places in by_kind if places], pool.places()
    yield from (_Wish("", [place]) for place in worst)
    right = _right(pool, facts)
    yield _Wish(FOUND, right)
    for reason in (SEGMENTED, PSEUDO, WHOLE):
        yield _Wish(reason, pool.drawn((p for p in others if facts.meets(p, reason)), reason) or _taught(pool, reason))
    yield from (_Wish("", [place]) for place in [*errors, *right])


def _right(pool: Pool, facts: _Facts) -> list[Place]:
    """Studies in no case with a fracture that was found, the surest first: boxed ones, then test studies, then others.

    Of the first two it may be known where the fracture is.
    """
    rows = pool.judged[pool.judged["kind"] == FOUND].sort_values(["probability", UID], ascending=[False, True])
    places = [place for place in _places(rows) if facts.meets(place, FOUND)]
    return sorted(places, key=lambda place: (not facts.meets(place, BOXED), place[0] != TEST))


def _taught(pool: Pool, reason: str) -> list[Place]:
    """A training study of the first fold run that has one: a model that was taught by it, or could have been."""
    readable = set(pool.studies.loc[pool.studies["readable"] & (pool.studies["cohort"] == "train"), UID])
    segmented = set(pool.studies.loc[pool.studies["segmented"], UID])
    for fold, pseudo in zip(pool.folds_run, pool.pseudo, strict=True):
        wanted = {SEGMENTED: segmented, PSEUDO: pseudo}.get(reason, set()) & readable
        roles = roles_of(pool.folds, fold)
        found = pool.drawn(((str(roles[uid]), uid, fold) for uid in wanted if uid in roles.index), reason)
        if found:
            return found
    return []


def _places(rows: pd.DataFrame) -> list[Place]:
    keys = rows[["cohort", UID, "fold"]].itertuples(index=False)
    return list(dict.fromkeys((str(cohort), str(uid), int(fold)) for cohort, uid, fold in keys))


class _Facts:
    """What is true of a study, in words."""

    def __init__(self, pool: Pool, cases: pd.DataFrame) -> None:
        self.pseudo = dict(zip(pool.folds_run, pool.pseudo, strict=True))
        train = pool.studies[pool.studies["cohort"] == "train"].set_index(UID)
        self.flags = {name: set(train.index[train[name]]) for name in (BOXED, SEGMENTED)}
        self.whole = set(train.index[train[LABELS[0]] == 0])
        tested = pool.judged[pool.judged["cohort"] == TEST].groupby(UID)["truth"].agg(["max", "size"])
        self.whole_of_test = set(tested.index[(tested["max"] == 0) & (tested["size"] == len(LABELS) - 1)])
        ranked = cases.sort_values("rank")
        self.wrong = _by_study(ranked, ranked["kind"] + ": " + ranked["label"])
        right = pool.judged[pool.judged["kind"] == FOUND]
        self.found = _by_study(right, right["label"])

    def errors(self, place: Place) -> list[str]:
        """``false negative: C5`` for each case of it."""
        return self.wrong.get(place[:2], [])

    def of(self, place: Place) -> list[str]:
        """Its errors, the fractures that were found, and what it is labelled with."""
        found = self.found.get(place[:2], [])
        rest = [reason for reason in (BOXED, SEGMENTED, PSEUDO, WHOLE) if self.meets(place, reason)]
        return [*self.errors(place), *([f"found: {' '.join(found)}"] if found else []), *rest]

    def meets(self, place: Place, reason: str) -> bool:
        """Whether a study is ``reason``: boxed, segmented, pseudo-labelled, unfractured, or found and in no case."""
        cohort, uid, fold = place
        if reason == FOUND:
            return place[:2] in self.found and not self.errors(place)
        if cohort == TEST:  # a test study may be a training study, too: there it has boxes and masks
            return reason == WHOLE and uid in self.whole_of_test
        return uid in {PSEUDO: self.pseudo[fold], WHOLE: self.whole, **self.flags}.get(reason, set())


def _by_study(rows: pd.DataFrame, words: pd.Series) -> dict[tuple[str, str], list[str]]:
    found: dict[tuple[str, str], list[str]] = {}
    for cohort, uid, word in zip(rows["cohort"], rows[UID], words, strict=True):
        found.setdefault((cohort, uid), []).append(word)
    return found
