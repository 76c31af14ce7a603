"""A bundle's README.md: what it is, and the one command that uses it."""

from __future__ import annotations

from typing import Any

TEXT = """# Bundle of cspine

{what}
**Not a medical device.** {claim}

    python -m pip install --no-deps {wheel}
    python -m cspine predict FOLDER --bundle . --out predicted

FOLDER is one study's folder of DICOM files, or a folder of such folders. `bundle.json` lists every file with its digest
(`cspine predict` refuses one that differs), the libraries that are needed and the versions the bundle was made with;
`config.json` says how the models were trained. The wheel holds the whole project: `python -m cspine unpack FOLDER`.
"""


def readme_of(content: dict[str, Any]) -> str:
    """The text, from what bundle.json will hold."""
    networks = sorted({model["network"] for model in content["models"]})
    models = len(content["models"])
    what = f"Finds fractures of C1 to C7 in CT: {models} model{'s' * (models > 1)} of {', '.join(networks)}."
    taught = "a phantom: synthetic CT, so its results say nothing about patients" if content["phantom"] else "CT"
    claim = f"Taught by {taught}." + (
        "" if content["size"] == "study" else f" Size {content['size']}: shows that it runs."
    )
    return TEXT.format(what=what, claim=claim, wheel=content["wheel"])
