"""``python -m cspine``."""

from __future__ import annotations

import sys

from cspine.cli import main

if __name__ == "__main__":  # spawned worker processes import this module too
    sys.exit(main())
