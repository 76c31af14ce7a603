"""Vertebra masks: NIfTI files laid over the slices of their study, and freed of stray labels.

``lay_over`` is the one place that turns a mask; what it was told by (header, rule or bone) and what was wrong is in its
answer. With a study in memory:

    mask = lay_over(read_nifti(path), Stack.of_study(study), bone_maps(study))
    mask.volume()   # uint8 (slices, rows, columns): 1-7 = C1-C7, 8-19 = T1-T12, 255 = no plane shows the slice

    nifti        a file -> labels as stored, and the affine of its header
    orientation  how stored axes become planes, rows and columns
    stack        the slices: which plane shows each, at which pixels
    bone         whether a mask lies on bone
    readings     the ways a mask may be laid, and which is right
    laying       the labels of every slice
    strays       islands and levels out of order
    reading      one study's mask from its files, in a worker process
"""

from cspine.masks.bone import BoneMap as BoneMap
from cspine.masks.bone import bone_map as bone_map
from cspine.masks.bone import bone_maps as bone_maps
from cspine.masks.bone import spread_over as spread_over
from cspine.masks.laying import StudyMask as StudyMask
from cspine.masks.laying import lay_over as lay_over
from cspine.masks.nifti import read_nifti as read_nifti
from cspine.masks.stack import Stack as Stack
