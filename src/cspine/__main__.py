"""``python -m cspine``."""

from __future__ import annotations

import sys

if __name__ == "__main__":  # spawned worker processes import this module too, and need nothing of the command line
    from cspine.cli import main

    sys.exit(main())
