"""The run in small, for real: the same targets, stages, networks and batches on a phantom, in a folder of its own.

Nothing of it comes into the run's own store: the rehearsal has its own results/ and work/, in a temporary folder.
"""

from __future__ import annotations

import copy
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from cspine import progress
from cspine.amounts import pairs_of
from cspine.errors import CspineError
from cspine.layers import ABSENT, Config, is_phantom, merged
from cspine.methods.registry import unit_of
from cspine.planning import Job, complaint

STUDIES, TEST_STUDIES, SEGMENTED = 24, 6, 6  # fewer, and a role of a fold may stay empty
FOLDS = 3
STEPS, PHANTOM_STEPS = 4, 16  # of each training on real data, where networks are large, and on a phantom
#: of a phantom that stands in for real data: small, since reading is measured on the real files
SMALL = {"studies": 16, "test_studies": 3, "segmented": 6, "pixels": 64, "slices": [16, 16]}
CONFIG = "rehearsal.yaml"
STAND_IN = "stand-in-"  # of the names of weights files that are made up


def rehearsal_config(config: Config) -> Config:
    """The config of a rehearsal: the run's, with little data and few steps; shapes, networks and batches as they are.

    Args:
        config: of the run, complete.
    """
    small, steps = copy.deepcopy(config), PHANTOM_STEPS if is_phantom(config) else STEPS
    small["data"] = {**small["data"], "root": "data/phantom", "subset": 1.0, "shards": 1}
    small["phantom"] |= _phantom_like(config)
    small["folds"] |= {"count": min(FOLDS, small["folds"]["count"]), "run": [0]}
    small["localization"]["inner"] = min(2, small["localization"]["inner"])
    small["audit"]["exclude_studies"] = {}
    small |= {"time_budget": "none", "resume_from": []}
    small["store"] |= {"max_gb": 0}
    small["tracking"] |= {"mode": "disabled"}
    for view in small["views"].values():
        view["max_gb"] = 0
    for kind in ("localizers", "methods"):
        small[kind] = {name: _brief(block, steps) for name, block in small[kind].items()}
    return small


def weights_needed(small: Config) -> dict[str, str]:
    """Networks of timm by the file that a rehearsal's config names for them: made up, see ``stand_in_weights``."""
    blocks = [*small["methods"].values(), *small["localizers"].values()]
    nets = [block["network"] for block in blocks if str(block["network"]["weights"]).startswith(STAND_IN)]
    return {net["weights"]: net["name"] for net in nets}


def _phantom_like(config: Config) -> Config:
    """The phantom of the rehearsal: slices as the run's own phantom has them, or a small one beside real data."""
    if not is_phantom(config):
        return SMALL
    own = config["phantom"]
    return {
        "studies": min(STUDIES, own["studies"]),
        "test_studies": min(TEST_STUDIES, own["test_studies"]),
        "segmented": min(SEGMENTED, own["segmented"]),
    }


def _brief(block: Config, steps: int) -> Config:
    """A method's or localizer's block with few steps, and nothing fetched: weights cost the same whatever they are."""
    training = {"epochs": 1, "epoch_steps": steps, "patience": 0, "warmup_steps": 0}
    net = block["network"]
    fetched = f"{STAND_IN}{net['name']}.safetensors" if net.get("trainable") == "head" else "none"
    block = merged(block, {"training": training, "network": {"weights": fetched}})
    for name in ("teacher", "student"):
        if name in block:
            block[name] = merged(block[name], {"training": training} if "training" in block[name] else {})
    for name in ("continued", "members"):
        if name in block:
            block[name] = [_unfetched(merged(one, {"training": training} if "training" in one else {}))
                           for one in block[name]]  # fmt: skip
    if block.get("rounds", 1) > 1 and not any("network" in block.get(name, {}) for name in ("teacher", "student")):
        block["rounds"] = 1  # a later round teaches the same network; its pseudo-labels are asked for by name
    if Path(str(block.get("init_from", "none"))).suffix:  # a file of this machine
        block["init_from"] = "none"
    if unit_of(block["family"]) != "slice":  # keys that its schema does not know
        block = {key: value for key, value in block.items() if key not in ABSENT}
    return block


def _unfetched(block: Config) -> Config:
    return merged(block, {"network": {"weights": "none"}}) if "weights" in block.get("network", {}) else block


def pseudo_labels_of(jobs: Sequence[Job]) -> tuple[str, ...]:
    """What a rehearsal of one round is asked for besides the targets: the pseudo-labels of the run's methods."""
    methods = {pairs_of(job.at)["method"] for job in jobs if job.stage == "pseudo_label"}
    return tuple(f"results/{method}/fold-0/round-0/pseudo_labels.parquet" for method in sorted(methods))


def rehearse(config: Config, base: Path, targets: tuple[str, ...], folder: Path) -> tuple[str, float]:
    """Run the targets on the rehearsal's config in ``folder``; what fails is left out, the rest goes on.

    One job at a time: what runs beside a job would be measured with it.

    Args:
        config: of the run, complete.
        base: the folder of the Snakefile.
        targets: that the run will be asked for.
        folder: where it may write.

    Returns:
        What went wrong, in Snakemake's words ("" when nothing did), and the seconds it took.
    """
    begun = time.monotonic()
    small = rehearsal_config(config)
    (folder / CONFIG).write_text(yaml.safe_dump(small, sort_keys=False), encoding="utf-8")
    if needed := weights_needed(small):
        words = [word for path, name in needed.items() for word in (name, path)]
        subprocess.run([sys.executable, "-m", "cspine.forecast.stand_in_weights", *words], cwd=folder, check=True)
    snakefile = str((base / "Snakefile").resolve())
    call = [sys.executable, "-m", "snakemake", "--snakefile", snakefile, "--directory", str(folder.resolve())]
    call += ["--configfile", str((folder / CONFIG).resolve()), "--cores", "1", "--keep-going", "--nolock"]
    call += ["--resources", "gpu=1", "--default-resources", "mem_mb=1", "disk_mb=1", "--quiet", "all"]
    done = subprocess.Popen([*call, "--", *targets], cwd=folder, env=_environment(), text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, errors="replace")  # fmt: skip
    printed = "".join(_followed(done))
    (folder / "printed.txt").write_text(printed, encoding="utf-8")
    if not any((folder / "work").glob("*/*/done.json")):
        raise CspineError("plan: nothing of the rehearsal could be run:\n  " + "\n  ".join(complaint(printed)))
    wrong = "; ".join(complaint(printed)[:3]) if done.returncode else ""
    return wrong, time.monotonic() - begun


def _followed(done: subprocess.Popen[str]) -> Iterator[str]:
    """What the rehearsal prints, with a word on every stage that it has reached."""
    seen: set[str] = set()
    assert done.stdout is not None
    for line in done.stdout:
        stage, _, rest = line.partition(":")
        stage = stage.split(" ")[0]
        if rest.strip() == "starts" and stage not in seen:
            seen.add(stage)
            progress.say(f"plan: rehearses {stage}")
        yield line
    done.wait()


def _environment() -> dict[str, str]:
    """Nothing of a run that this one is part of, and every stage writes down when it reached what."""
    kept: dict[str, Any] = {name: value for name, value in os.environ.items() if not name.startswith("CSPINE_")}
    return {**kept, progress.TIMED: "1"}
