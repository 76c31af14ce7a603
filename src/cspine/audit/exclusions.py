"""Which training studies no fold teaches or scores: a table made from the config, with the reason of each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import pandas as pd

from cspine.errors import CspineError
from cspine.findings import Finding
from cspine.reason_codes import unknown
from cspine.studies import UID

#: reason code -> what is done about it
CONSEQUENCES = {
    "exclude-unknown-study": "nothing to exclude",
    "exclude-test-study": "predicted all the same: test studies are never excluded",
}


@dataclass(frozen=True)
class AuditConfig:
    """Which training studies are left out."""

    #: reason codes; a training study with a finding of one of them is excluded
    exclude_codes: list[str] = field(default_factory=list)
    #: StudyInstanceUID -> why it is excluded
    exclude_studies: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for phrase in unknown(self.exclude_codes):
            raise CspineError(f"audit.exclude_codes: {phrase}")


def check_exclusions(studies: pd.DataFrame, config: AuditConfig) -> Iterator[Finding]:
    """Studies that the config names and that cannot be excluded.

    Args:
        studies: cohort, StudyInstanceUID.
        config: see AuditConfig.
    """
    cohorts = studies.groupby(UID)["cohort"].agg(set)
    for uid in sorted(config.exclude_studies):
        known = cohorts.get(uid, set())
        if "train" not in known:
            code = "exclude-test-study" if known else "exclude-unknown-study"
            yield Finding(uid, code, "", config.exclude_studies[uid], CONSEQUENCES[code])


def excluded_studies(studies: pd.DataFrame, findings: pd.DataFrame, config: AuditConfig) -> dict[str, str]:
    """StudyInstanceUID of each excluded training study -> why: the config's own words, then the codes found."""
    training = set(studies.loc[studies["cohort"] == "train", UID])
    reasons = {uid: [why] for uid, why in config.exclude_studies.items() if uid in training}
    found = findings[findings["code"].isin(config.exclude_codes) & findings[UID].isin(training)]
    for uid, code in found[[UID, "code"]].drop_duplicates().sort_values([UID, "code"]).itertuples(index=False):
        reasons.setdefault(uid, []).append(code)
    return {uid: "; ".join(reasons[uid]) for uid in sorted(reasons)}
