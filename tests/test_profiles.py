"""The profiles agree with each other and with the rules: what is submitted, what is made here, what gets a GPU."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from cspine.config import read_yaml

ROOT = Path(__file__).parent.parent
PROFILES = {path.parent.name: path for path in (ROOT / "profiles").glob("*/profile.yaml")}
SLURM = read_yaml(PROFILES["slurm"])
TEXT = "\n".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "workflow/rules").glob("*.smk")))
HERE = {
    name
    for block in re.findall(r"^localrules:\n((?: +\w+,\n)+)", TEXT, re.MULTILINE)
    for name in re.findall(r"\w+", block)
}
# what reads pixels, masks or the raw folder, although one process does it
READS_FILES = {"inventory", "write_audit", "gather_studies", "write_pseudo_pages"}
MEASURES_HERE = {"plan"}  # this machine, with all of its cores


def rules() -> dict[str, str]:
    """The text of every rule, of a variant with that of the rule it is made from."""
    found: dict[str, str] = {}
    for part in re.split(r"^(?=(?:use )?rule )", TEXT, flags=re.MULTILINE)[1:]:
        if variant := re.match(r"use rule (\w+) as (\w+) with:", part):
            found[variant[2]] = part + found.get(variant[1], "")
        elif named := re.match(r"rule (\w+):", part):
            found[named[1]] = part
    found["train_localizer"] += found["train"]  # that is in another file
    return found


RULES = rules()
ON_GPU = {name for name, text in RULES.items() if "gpu=PLAN.gpu" in text}


def test_what_takes_one_process_and_no_gpu_is_made_where_the_command_runs() -> None:
    many = {name for name, text in RULES.items() if re.search(r"threads: (?!1\n)", text)}
    assert RULES.keys() - many - ON_GPU - READS_FILES | MEASURES_HERE == HERE


def test_every_rule_with_a_gpu_and_no_other_has_slurm_resources_of_its_own() -> None:
    assert SLURM["set-resources"].keys() == ON_GPU
    for name, resources in SLURM["set-resources"].items():
        assert resources.keys() == {"slurm_partition", "runtime", "mem_mb", "cpus_per_task"}, name
        assert "gpu" not in resources, "the rule asks for it"


def test_a_cluster_s_names_stand_in_one_marked_place_for_each_kind_of_job() -> None:
    lines = PROFILES["slurm"].read_text(encoding="utf-8").splitlines()
    assert sum("slurm_partition:" in line for line in lines) == sum(" # SITE: " in line for line in lines) - 1 == 3
    resources = yaml.safe_load(PROFILES["slurm"].read_text(encoding="utf-8"))["set-resources"]
    shared = {id(own) for own in resources.values()}  # of an anchor and its aliases the same
    assert len(resources) == len(ON_GPU) and len(shared) == 2


@pytest.mark.parametrize("name", sorted(PROFILES.keys() - {"default"}))
def test_a_profile_that_stands_instead_of_the_default_repeats_it(name: str) -> None:
    default, other = read_yaml(PROFILES["default"]), read_yaml(PROFILES[name])
    default.pop("resources")  # of one machine
    default.pop("quiet")
    own = other.pop("default-resources")
    assert default.pop("default-resources").items() <= own.items()
    assert default.items() <= other.items()
    assert {"host", "reason", "rules"} <= set(other["quiet"])
