"""CT studies as DICOM files, read into Hounsfield units with their geometry, or a reason why not.

``read_study(folder)`` is the only way in, and this package the only reader of DICOM here. Bad input never raises: a
file that cannot be used, and every assumption made about one that can, becomes a finding with a reason code
(docs/findings.md). No name or date of a patient leaves this package.

    study       a folder -> Study: files read, stacked, turned upright
    slice_files one file -> its slices: is it an axial CT slice, where does it lie, what does it hold
    parsing     bytes -> the few header elements that are needed
    headers     those elements, and whether they can be a CT slice's
    pixels      the numbers stored in a file, padding and odd bits seen to
    codestreams compressed frames, decoded fast and doubted
    hounsfield  stored numbers -> Hounsfield units
    geometry    where a slice lies, and how it is turned upright
    series      which slices are the stack, in which order
"""

from cspine.dicom.study import Study as Study
from cspine.dicom.study import read_study as read_study
