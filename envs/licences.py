"""The licences of what cspine needs at run time, read from the installed packages, as the page docs/licences.md."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from importlib import metadata

# Packages whose metadata names no licence, or only its text or a list of which one part applies; read from the
# licence files inside the packages.
READ_BY_HAND = {
    "conda-inject": "MIT",
    "cuda-toolkit": "NVIDIA proprietary",  # an empty package that only requires the libraries below
    "docutils": "Public domain, BSD-2-Clause",  # its one GPL file is an Emacs mode, which the wheel leaves out
    "packaging": "Apache-2.0 OR BSD-2-Clause",
    "snakemake-interface-common": "MIT",
    "snakemake-interface-logger-plugins": "MIT",
    "snakemake-interface-report-plugins": "MIT",
    "snakemake-interface-scheduler-plugins": "MIT",
    "snakemake-interface-storage-plugins": "MIT",
}
SPELLINGS = {
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache": "Apache-2.0",
    "Apache 2.0": "Apache-2.0",
    "Apache License 2.0": "Apache-2.0",
    "Apache License, Version 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD",
    "BSD": "BSD",
    "ISC License (ISCL)": "ISC",
    "LicenseRef-NVIDIA-Proprietary": "NVIDIA proprietary",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "NVIDIA Proprietary Software": "NVIDIA proprietary",
    "Python Software Foundation License": "PSF-2.0",
}
PAGE = """# Licences

cspine is under Apache-2.0. It contains no code of others; what it needs at run time is installed from its own
packages, {count} of them on Linux, under the licences their metadata (or licence file) names:

| licence | packages |
|---|---|
{rows}

None is under the GPL. The NVIDIA libraries come with torch's Linux build and are used through it only.
Wheels of compiled packages bring further libraries (OpenCV's brings FFmpeg under the LGPL, for one): see the
licence files inside them. Made by `python envs/pins.py --write`.
"""


def licence_of(name: str) -> str:
    """The licence of an installed package in SPDX spelling where it says so; "unknown" when it says nothing."""
    if name in READ_BY_HAND:
        return READ_BY_HAND[name]
    about = metadata.metadata(name).json
    expression = str(about.get("license_expression", ""))
    said = str(about.get("license", "")).strip()
    if not expression and re.fullmatch(r"[A-Za-z0-9.-]+( (AND|OR|WITH) [A-Za-z0-9.-]+)*", said):
        expression = said
    classifiers = [c.split(" :: ")[-1] for c in about.get("classifier", []) if c.startswith("License :: ")]
    named = " OR ".join(sorted(SPELLINGS.get(c, c) for c in classifiers if c != "OSI Approved"))
    return SPELLINGS.get(expression, expression) or named or SPELLINGS.get(said, said.split("\n")[0]) or "unknown"


def licences_page(names: Iterable[str], pins: Mapping[str, str]) -> str:
    """The Markdown page: one row per licence, the most common first, with the packages under it."""
    packages: dict[str, list[str]] = defaultdict(list)
    for name in sorted(names):
        packages[licence_of(name)].append(f"{name} {pins[name]}")
    ordered = sorted(packages.items(), key=lambda item: (-len(item[1]), item[0]))
    rows = "\n".join(f"| {licence} | {', '.join(listed)} |" for licence, listed in ordered)
    return PAGE.format(count=sum(map(len, packages.values())), rows=rows)
