"""The segmented studies of a fold in parts: inner model j learns from all but part j, and predicts part j.

So a segmented study, too, has predictions by a model that never saw it, and whatever learns from predicted
localizations sees them as good, and as bad, as they are for studies without a mask.
"""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from cspine.errors import CspineError
from cspine.folds import roles_of
from cspine.hashing import seed_of

TAUGHT_ROLES = ("train", "select")  #: a localizer makes no choice on `select`: its segmented studies are taught too


def inner_parts(segmented: Iterable[str], folds: pd.DataFrame, fold: int, parts: int, seed: int) -> dict[str, int]:
    """The part, 0 .. parts - 1, of each segmented study that is not held out of ``fold`` (and has a role in it).

    Dealt in turn in the order of a seeded hash of the name, the studies of the role train first: each part gets its
    share of both roles, to within one study.

    Raises:
        CspineError: fewer such studies than parts.
    """
    roles = roles_of(folds, fold)
    kinds = {uid: TAUGHT_ROLES.index(roles[uid]) for uid in segmented if roles.get(uid) in TAUGHT_ROLES}
    if len(kinds) < max(parts, 2):
        raise CspineError(
            f"fold {fold} has {len(kinds)} segmented studies that it does not hold out; localization.inner: {parts} "
            f"needs at least {max(parts, 2)}, one for each part: add masks of training studies (segmentations/; of the "
            "phantom: phantom.segmented), lower localization.inner, or use other folds (folds.count); "
            "results/labels/presence_findings.parquet says which masks could not be used. Without masks do without "
            "a localizer: methods.<method>.labels.assign: all and pseudo_labels.evidence: fracture"
        )
    cards = sorted(kinds, key=lambda uid: (kinds[uid], seed_of("inner part", seed, fold, uid), uid))
    return {uid: place % parts for place, uid in enumerate(cards)}
