"""The words of a stage's signature. Plain paths at run time; the runner reads the names to tell inputs from outputs.

    def label_slices(studies: InPath, boxes: InPath, labels: OutPath, *, config: LabelConfig) -> None

The runner reads them from the source text (``cspine.signature``), so that a store lookup imports no stage.
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

InPath: TypeAlias = Path  #: a file whose content is part of the key
OutPath: TypeAlias = Path  #: a file or folder the stage writes; linked to its declared place when the stage is done
OutCopy: TypeAlias = Path  #: like OutPath, but put in place as a real file with a receipt beside it
RawFolder: TypeAlias = Path  #: a folder of this machine, read-only; its place is not part of the key
Scratch: TypeAlias = Path  #: a folder inside the key's own, kept after a kill: checkpoints and partial results
