"""The columns of the localization tables.

Places are shares of the slice as it is stored (after turning it upright): x of its columns, y of its rows, 0..1. The
first column reaches from 0 to 1 / columns, its middle lies at 0.5 / columns.
"""

from __future__ import annotations

from cspine.studies import PRESENCE, UID, VERTEBRAE

THORACIC = "T"  #: all thoracic levels together
LEVELS = (*VERTEBRAE, THORACIC)
SLICE = (UID, "slice_number", "z_index")

#: voxels of a level in a slice (labels/extents.parquet)
PIXELS = tuple(f"pixels_{level}" for level in LEVELS)
#: 0..1: a level's voxels in the slice / their largest number in a slice of the study (S1d)
RATIO = tuple(f"ratio_{level}" for level in LEVELS)
#: of all vertebrae in the slice; NaN where it shows none
BOX = ("box_x0", "box_y0", "box_x1", "box_y1")
#: middle of what the slice shows of a vertebra; NaN where it shows nothing of it
MIDDLE = tuple(f"middle_{vertebra}_{axis}" for vertebra in VERTEBRAE for axis in "xy")
#: of what the slice shows of each vertebra by itself, four columns each; NaN where it shows nothing of it
OWN_BOX = tuple(f"box_{vertebra}_{corner}" for vertebra in VERTEBRAE for corner in ("x0", "y0", "x1", "y1"))
#: presence after the anatomical clean-up, 0 or 1
SHOWN = tuple(f"shown_{vertebra}" for vertebra in VERTEBRAE)
#: what a localizer says about a slice; NaN in columns for which it has no head
OUTPUTS = (*PRESENCE, *RATIO, *BOX, *MIDDLE, *OWN_BOX)
#: overlap of a study's own mask and the segmentation of a family that makes one, by vertebra; NaN = not measured
DICE = tuple(f"dice_{vertebra}" for vertebra in VERTEBRAE)
