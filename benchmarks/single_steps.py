"""The steps of a prediction, each of them alone, on one study."""

from __future__ import annotations

from pathlib import Path

from watched_sessions import quiet

from cspine.bundles.manifest import Bundle
from cspine.dicom import read_study
from cspine.prediction import answers
from cspine.prediction.ensemble import Ensemble
from cspine.prediction.listings import files_below
from cspine.prediction.parts import Parts
from cspine.prediction.reading import read_for
from cspine.prediction.results import StudyResult, predicted
from cspine.views.windows import resize_slice


class Steps:
    """A study, read once, and what comes of it."""

    def __init__(self, bundle: Bundle, study: Path, out: Path) -> None:
        self.bundle, self.folder, self.form, self.pictures = bundle, study, bundle.form, out / "pictures"
        out.mkdir(parents=True)
        self.parts = Parts(out, "benchmark")
        with quiet():
            self.ensemble = Ensemble(bundle, "cpu")
        self.names = [name for name, *_ in files_below(study)]
        self.study, self.read = read_study(study, self.names), read_for(study, self.form)
        self.probabilities = self.ensemble.predict(self.read.pixels)
        self.result = predicted(self.read, self.probabilities, bundle)

    def bytes(self) -> None:
        for name in self.names:
            (self.folder / name).read_bytes()

    def decode(self) -> None:
        read_study(self.folder, self.names)

    def window(self) -> None:
        for z in range(len(self.study.files)):
            resize_slice(self.study.grey_levels(z, self.form.window), self.form.pixels, self.form.centre)

    def network(self) -> None:
        self.ensemble.predict(self.read.pixels)

    def answer(self) -> StudyResult:
        result = predicted(self.read, self.probabilities, self.bundle)
        self.parts.keep(result)
        return result

    def picture(self) -> None:
        drawn = answers._draw(self.folder, self.read, self.result, self.bundle, self.ensemble, self.pictures)
        assert len(drawn) == 1, drawn

    def all(self) -> None:
        read = read_for(self.folder, self.form)
        self.parts.keep(answers._answer(self.folder, read, self.bundle, self.ensemble, self.pictures))
