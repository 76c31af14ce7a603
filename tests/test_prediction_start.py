"""How soon `cspine predict` begins: what it imports before there is a submission."""

from __future__ import annotations

import subprocess
import sys


def test_the_first_submission_waits_for_no_network_and_no_picture() -> None:
    before = "cspine.commands.predict, cspine.submission, cspine.bundles.manifest, cspine.bundles.needs"
    late = "{'torch', 'timm', 'matplotlib', 'scipy.optimize', 'scipy.ndimage', 'PIL'}"
    script = f"import sys, {before}, cspine.prediction.session; print(*sorted({late} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert found.stdout.split() == []
