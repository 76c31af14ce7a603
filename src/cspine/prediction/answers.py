"""Studies in, answers out, in order: workers read while the networks compute."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from cspine.bundles.manifest import Bundle
from cspine.prediction.inputs import StudyInput
from cspine.prediction.parts import Parts
from cspine.prediction.reading import ReadStudy, lost, read_for
from cspine.prediction.results import StudyResult, by_prior, counted_studies, predicted, without_folder
from cspine.progress import say
from cspine.study_pool import studies_read

if TYPE_CHECKING:  # torch takes seconds to import, in which the workers read the first studies
    from cspine.prediction.ensemble import Ensemble


@dataclass(frozen=True)
class Options:
    """What the machine and the person decide; no number depends on it but for the last digits of other devices."""

    device: str = "auto"  # auto | cpu | cuda | cuda:1
    threads: int = 0  # torch's; 0 = the workflow's
    workers: int = 1  # processes that read
    study_seconds: float = 300.0  # after which a study that is still being read is given up


def resumed(
    studies: Sequence[StudyInput], bundle: Bundle, options: Options, parts: Parts, pictures: Path | None = None
) -> Iterator[StudyResult]:
    """The answer to every study: first those without a folder and those that ``parts`` has, then the others.

    Args:
        studies: in any order.
        bundle: whose models answer.
        options: see Options.
        parts: what an earlier start has left; new answers are kept there.
        pictures: see ``answers``.
    """
    waiting: list[Path] = []
    begun = 0
    for study in studies:
        if study.folder is None:
            yield without_folder(study.uid, bundle)
        elif (kept := parts.find(study.uid, study.folder)) is not None:
            begun += 1
            yield kept
        else:
            waiting.append(study.folder)
    if begun and waiting:
        say(f"predict: goes on; {counted_studies(begun)} predicted before, {counted_studies(len(waiting))} to do")
    for answer in answers(waiting, bundle, options, pictures):
        parts.keep(answer)
        yield answer


def answers(
    folders: Sequence[Path], bundle: Bundle, options: Options, pictures: Path | None = None
) -> Iterator[StudyResult]:
    """The answer to every study, in order.

    Args:
        folders: of the studies; at most two per worker are held in memory.
        bundle: whose models answer.
        options: see Options.
        pictures: the folder for pictures of key slices; None = none are drawn.
    """
    if not folders:
        return
    with studies_read(folders, read_for, bundle.form, lost, options.workers, options.study_seconds) as reads:
        from cspine.prediction.ensemble import Ensemble

        ensemble = Ensemble(bundle, options.device, options.threads)
        for folder, read in zip(folders, reads, strict=True):
            yield _answer(folder, read, bundle, ensemble, pictures)


def _answer(folder: Path, read: ReadStudy, bundle: Bundle, ensemble: Ensemble, pictures: Path | None) -> StudyResult:
    if not len(read.pixels):
        detail = next((f.detail for f in read.findings if f.code == read.reason), "")
        return replace(by_prior(read.uid, bundle, read.reason, detail, read.findings), listing=read.listing)
    begun = time.perf_counter()
    result = predicted(read, ensemble.predict(read.pixels), bundle)
    computed = time.perf_counter()
    drawn = _draw(folder, read, result, bundle, ensemble, pictures) if pictures is not None else {}
    seconds = {"reading": read.seconds, "network": computed - begun, "pictures": time.perf_counter() - computed}
    return replace(result, pictures=drawn, seconds=seconds, listing=read.listing)


def _draw(
    folder: Path, read: ReadStudy, result: StudyResult, bundle: Bundle, ensemble: Ensemble, pictures: Path
) -> dict[str, str]:
    """Draw the key slice of each suspicious vertebra: vertebra -> file name."""
    from cspine.prediction import key_slices

    drawn = {}
    for vertebra in result.suspicious(bundle.points):
        row = result.key_row(vertebra)
        image = key_slices.full_slice(folder, read.files[row], int(read.frames[row]), bundle.form)
        if image is None:
            continue
        name = key_slices.picture_name(result.uid, vertebra)
        evidence = ensemble.evidence(read.pixels, row, vertebra)
        title = key_slices.title_of(result, vertebra, row)
        key_slices.draw(pictures / name, image, evidence, bundle.form, title, bundle.warning())
        drawn[vertebra] = name
    return drawn
