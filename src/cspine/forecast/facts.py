"""How much there is to read and to learn from: what the costs of a run grow with, known before anything is read."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cspine.cache.sizes import ListedStudy
from cspine.layers import Config
from cspine.masks.nifti import voxels_of
from cspine.raw_folder import COHORTS, MASKS, check_raw_folder, numeric_aware, read_rows, study_folders
from cspine.studies import UID


@dataclass(frozen=True)
class Facts:
    """A data set in numbers.

    Attributes:
        files: slices by cohort (train, test).
        studies: study folders by cohort.
        fractured, boxed, segmented: training studies.
        voxels: of all masks.
    """

    files: dict[str, int]
    studies: dict[str, int]
    fractured: int
    boxed: int
    segmented: int
    voxels: float

    @property
    def slices(self) -> int:
        """Of both cohorts."""
        return sum(self.files.values())

    def each(self, cohort: str = "train") -> float:
        """Slices of a study of the cohort."""
        return self.files[cohort] / max(1, self.studies[cohort])


def facts_of_phantom(phantom: Config, seed: int, subset: float = 1.0) -> Facts:
    """The phantom's, from its plan: it need not be there yet.

    Args:
        phantom: the config's block.
        seed: as the stage make_phantom has it.
        subset: ``data.subset``.
    """
    from cspine.phantom.plans import PhantomConfig, plan_studies

    plans = plan_studies(PhantomConfig(seed=seed, **phantom))
    of = {cohort: [plan for plan in plans if plan.cohort == cohort] for cohort in COHORTS}
    train = of["train"]
    return _part(
        Facts(
            files={cohort: sum(plan.slices - plan.missing_file for plan in own) for cohort, own in of.items()},
            studies={cohort: len(own) for cohort, own in of.items()},
            fractured=sum(bool(plan.fractured) for plan in train),
            boxed=sum(plan.boxed for plan in train),
            segmented=sum(plan.segmented for plan in train),
            voxels=float(sum(plan.slices * plan.pixels**2 for plan in train if plan.segmented)),
        ),
        subset,
    )


def listed(root: Path) -> list[ListedStudy]:
    """Every study of a raw folder with the names of its files; their sizes are not asked for, which makes it quick.

    Raises:
        CspineError: the folder is not a competition's.
    """
    check_raw_folder(root)
    return [
        ListedStudy(cohort, uid, tuple(sorted(_names(root / COHORTS[cohort] / uid), key=numeric_aware)))
        for cohort, uids in study_folders(root).items()
        for uid in uids
    ]


def facts_of_folder(root: Path, studies: Iterable[ListedStudy], subset: float = 1.0) -> Facts:
    """A raw folder's.

    Args:
        root: the raw folder.
        studies: its listing.
        subset: ``data.subset``: the share of the training studies that a run takes.
    """
    studies = list(studies)
    of = {cohort: [study for study in studies if study.cohort == cohort] for cohort in COHORTS}
    there = {study.uid for study in of["train"]}
    rows = [row for _, row in read_rows(root / "train.csv", (UID, "patient_overall"))]
    boxes = {row[UID] for _, row in read_rows(root / "train_bounding_boxes.csv", (UID,))}
    masks = [path for path in sorted((root / MASKS).glob("*.nii*")) if path.name.split(".nii")[0] in there]
    return _part(
        Facts(
            files={cohort: sum(len(study.files) for study in own) for cohort, own in of.items()},
            studies={cohort: len(own) for cohort, own in of.items()},
            fractured=sum(row["patient_overall"] == "1" for row in rows if row[UID] in there),
            boxed=len(boxes & there),
            segmented=len(masks),
            voxels=float(sum(map(voxels_of, masks))),
        ),
        subset,
    )


def _part(facts: Facts, subset: float) -> Facts:
    """The facts of a stratified share of the training studies."""
    if subset >= 1:
        return facts
    return Facts(
        files={"train": round(facts.files["train"] * subset), "test": facts.files["test"]},
        studies={"train": round(facts.studies["train"] * subset), "test": facts.studies["test"]},
        fractured=round(facts.fractured * subset),
        boxed=round(facts.boxed * subset),
        segmented=round(facts.segmented * subset),
        voxels=facts.voxels * subset,
    )


def _names(folder: Path) -> list[str]:
    with os.scandir(folder) as entries:
        return [entry.name for entry in entries if entry.is_file()]
