"""How probabilities become labels: the ``pseudo_labels`` block of a method."""

from __future__ import annotations

from dataclasses import dataclass, replace

from cspine.errors import CspineError

CHOICES = {
    "evidence": ("fracture", "presence", "both"),
    "along_z": ("none", "smooth", "run"),
    "positives": ("threshold", "top"),
    "target": ("hard", "soft"),
    "confidence": ("none", "margin"),
    "boxed_studies": ("boxes", "united"),
    "without_positives": ("drop", "keep"),
}


@dataclass(frozen=True)
class PseudoConfig:
    """From probabilities to labels; the source's recipe is what the defaults say."""

    fold: int
    round: int = 1  # the round these labels teach; the predictions come from the one before
    # what says that a slice shows a fracture: the model; a localizer's presence (times the study's label: S1b); both
    evidence: str = "fracture"
    along_z: str = "none"  # how neighbours count: not, by a Gaussian (smooth), or by the one run they form (run)
    smooth_slices: float = 1.5  # of smooth: standard deviation of the Gaussian
    positives: str = "threshold"  # slices from the threshold on, or the most probable ones of each fractured vertebra
    threshold: float | str = 0.5  # ASSUME: the source names none. "select" = for each vertebra the best on select
    top_slices: int = 6  # of top
    agree_with_study: bool = True  # a vertebra that train.csv calls whole is whole; an unknown one may be positive
    at_least_one_run: bool = True  # a fractured vertebra without a positive slice gets its most probable run
    run_fraction: float = 0.5  # that run's slices reach this share of the peak's probability
    run_slices: int = 7  # and it is at most this long
    target: str = "hard"  # 0 or 1, or the probability itself
    confidence: str = "none"  # what a cell of a fractured vertebra counts in the loss: 1, or |2p - 1|
    keep_share: float = 1.0  # of each vertebra's fractured studies, the most certain; unknown in the others
    boxed_studies: str = "boxes"  # as the boxes say, or united: the box says which slice, the model which vertebra
    without_positives: str = "drop"  # a study without any positive: "drop" it, or "keep" it as all-negative
    weight: float = 1.0  # of a pseudo-labelled slice in the loss

    def __post_init__(self) -> None:
        for name, known in CHOICES.items():
            if getattr(self, name) not in known:
                found, expected = getattr(self, name), ", ".join(known)
                raise CspineError(f"pseudo_labels.{name}: found {found!r}, expected one of {expected}")
        if self.threshold != "select" and not (_is_number(self.threshold) and 0 < float(self.threshold) <= 1):
            raise CspineError(
                f"pseudo_labels.threshold: found {self.threshold!r}, expected a number above 0, at most 1, or select"
            )
        for name in ("run_fraction", "keep_share"):
            if not 0 < getattr(self, name) <= 1:
                raise CspineError(f"pseudo_labels.{name}: found {getattr(self, name)}, expected above 0, at most 1")
        for name in ("run_slices", "top_slices"):
            if getattr(self, name) < 1:
                raise CspineError(f"pseudo_labels.{name}: found {getattr(self, name)}, expected 1 or more")
        if not self.smooth_slices > 0:
            raise CspineError(f"pseudo_labels.smooth_slices: found {self.smooth_slices}, expected above 0")

    @property
    def needs_localizer(self) -> bool:
        """Whether the labels depend on which vertebrae a localizer sees."""
        return self.evidence != "fracture"

    @property
    def needs_choices(self) -> bool:
        """Whether something of them is chosen on the boxed studies of ``select``."""
        return self.threshold == "select" or self.along_z == "run"


def evidence_only(config: PseudoConfig) -> PseudoConfig:
    """The same without its rules: every slice's probability, which the rules cut labels from."""
    return replace(config, target="soft", at_least_one_run=False, keep_share=1.0, without_positives="keep")


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
