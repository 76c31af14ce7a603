"""CT studies as DICOM files, read into Hounsfield units with their geometry, or a reason why not.

``read_study(folder)`` is the only way in, and this package the only reader of DICOM here. Bad input never raises: a
file that cannot be used, and every assumption made about one that can, becomes a finding with a reason code
(docs/findings.md). No name or date of a patient leaves this package.

    study       a folder -> Study: files read, stacked, turned upright
    slice_files one file -> its slices: are they axial CT slices, where do they lie, what do they hold
    frames      a file of several frames -> a header for each
    syntaxes    where header and pixel data contradict each other
    parsing     bytes -> the few header elements that are needed
    scan        the same for ordinary files, without a parser
    headers     those elements, and whether they can be a CT slice's
    pixels      the numbers stored in a file
    stored      those numbers kept as they are, padding and odd bits seen to when somebody asks what they stand for
    codestreams compressed frames, decoded fast and doubted
    hounsfield  stored numbers -> Hounsfield units
    geometry    where a slice lies, and how it is turned upright
    series      which slices are the stack
    order       from head to feet, and where they lie
    notes       the reason codes, and what was noted on one study
"""

from cspine.dicom.study import Study as Study
from cspine.dicom.study import read_study as read_study
