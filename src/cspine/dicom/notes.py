"""The reader's reason codes, and the notes on one study while it is read."""

from __future__ import annotations

from dataclasses import dataclass, field

from cspine.findings import Finding

#: what is done about a slice that cannot be used; one finding per file
LEFT_OUT = dict.fromkeys(
    (
        *("file-missing", "zero-byte-file", "file-unreadable", "not-dicom", "header-unreadable", "reader-failed"),
        *("no-pixel-data", "truncated", "corrupt-frame", "unsupported-syntax", "unsupported-bits"),
        *("implausible-size", "not-ct", "not-greyscale", "multi-frame", "secondary-capture", "burned-in-text"),
        *("localizer", "not-axial", "other-series", "other-orientation", "other-size", "no-place"),
        *("duplicate-position", "duplicate-file"),
    ),
    "slice left out",
)
#: what is done about a slice (or study) that is used all the same; one finding per study and code
KEPT = {
    "no-preamble": "read without the preamble",
    "decimal-comma": "comma read as decimal point",
    "syntax-contradicted": "read as what the data are",
    "lossy": "used as it is; Hounsfield values are approximate",
    "decoded-again": "decoded by the strict decoder",
    "monochrome1": "Hounsfield values from the rescale, not inverted",
    "padding": "those pixels set to -1024 HU",
    "padding-ignored": "its value lies among tissue values; pixels kept",
    "high-bits": "bits above BitsStored masked away",
    "signedness": "sign taken from the compressed data",
    "no-rescale": "taken from the study's other slices, else slope 1 and -1024 for unsigned, 0 for signed data",
    "not-hounsfield": "rescaled as the header says",
    "no-spacing": "spacing taken from the study's other slices, else 0.5 mm",
    "spacing-varies": "kept; each slice carries its own spacing",
    "sizes-vary": "kept; each slice has its own rows and columns",
    "no-orientation": "taken for upright and axial",
    "turned-upright": "image turned: patient left on the right, anterior up; boxes mean the stored image",
    "gantry-tilt": "slices kept as they are, not resampled",
    "uneven-spacing": "kept; the positions tell",
    "no-position": "position estimated from the numbers of its neighbours",
    "positions-all-equal": "positions not used",
    "ordered-by-instance-number": "order from InstanceNumber; positions are nominal",
    "ordered-by-file-name": "order from the numbers in the file names; positions are nominal",
    "series-uid-per-file": "SeriesInstanceUID not used",
    "repeated-file-number": "slice_number -1 for the later files",
    "frame-without-number": "slice_number -1: no box can mean them",
    "no-readable-slice": "study has no slices; predicted from the prior",
}


@dataclass
class Notes:
    """Findings of one study under way: one per file (and code) that is left out, one per code on what is kept.

    ``frame`` is the number of the frame in a file of several, from 1; 0 where the file is one slice.
    """

    uid: str
    _left_out: dict[tuple[str, str], list[tuple[int, str]]] = field(default_factory=dict)
    _kept: dict[str, list[tuple[str, int, str]]] = field(default_factory=dict)

    def leave_out(self, code: str, file: str, detail: str, frame: int = 0) -> None:
        """Note a file, or a frame of it, that gives no slice."""
        self._left_out.setdefault((code, file), []).append((frame, detail))

    def keep(self, code: str, file: str, detail: str, frame: int = 0) -> None:
        """Note something about a slice (or, with file "", the study) that is used all the same."""
        self._kept.setdefault(code, []).append((file, frame, detail))

    def left_out(self) -> tuple[int, list[str]]:
        """The number of files that gave no slice, or not all, and the codes that say why."""
        return len({file for _, file in self._left_out}), sorted({code for code, _ in self._left_out})

    def findings(self) -> list[Finding]:
        """All findings, those on what is kept last."""
        found = []
        for (code, file), places in self._left_out.items():
            frames = [frame for frame, _ in places]
            found.append(Finding(self.uid, code, file, _of_frames(frames, places[0][1]), LEFT_OUT[code]))
        for code, kept in self._kept.items():
            file, frame, detail = kept[0]
            if len(kept) > 1:
                detail = f"{len(kept)} slices, first {file}: {_of_frames([frame], detail)}"
            else:
                detail = _of_frames([frame], detail)
            found.append(Finding(self.uid, code, file if len(kept) == 1 else "", detail, KEPT[code]))
        return found


def _of_frames(frames: list[int], detail: str) -> str:
    """``detail`` with the frames it is about: "frames 1, 3-5: ..."; as it is for a file that is one slice."""
    if not frames[0]:
        return detail
    runs: list[list[int]] = []
    for frame in sorted(frames):
        if runs and runs[-1][-1] == frame - 1:
            runs[-1].append(frame)
        else:
            runs.append([frame])
    words = ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)
    return f"{'frame' if len(frames) == 1 else 'frames'} {words}: {detail}"
