"""docs/kaggle.md and the notebooks it is about ask for nothing that is not there."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import nbformat
import pytest
import yaml

from cspine.cli import known_commands
from cspine.commands.targets import TARGETS
from cspine.config import read_yaml
from cspine.layers import merged
from cspine.options import parser_of
from cspine.signature import known_stages
from notebook_runs import SUBMISSION, TRAIN
from smoke_projects import ROOT

PAGE = (ROOT / "docs/kaggle.md").read_text(encoding="utf-8")
CELLS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
NOTEBOOKS = {path.stem: nbformat.read(path, as_version=4).cells for path in (TRAIN, SUBMISSION)}
CODE = "\n".join(cell.source for cells in NOTEBOOKS.values() for cell in cells if cell.cell_type == "code")
NOT_YET = set() if "predict" in known_commands() else {"bundle", "predict"}


@pytest.mark.parametrize("cell", CELLS)
def test_the_python_of_every_cell_is_python(cell: str) -> None:
    compile("\n".join("pass" if line.startswith("!") else line for line in cell.splitlines()), "cell", "exec")


def test_the_page_has_no_code_of_the_notebooks() -> None:
    lines = {line for cell in CELLS for line in cell.splitlines() if not line.startswith("SETTINGS")}
    assert not lines & set(CODE.splitlines())


def test_every_setting_is_a_key_of_the_config() -> None:
    config = merged(read_yaml(ROOT / "config.yaml"), read_yaml(ROOT / "presets/rsna.yaml"))
    settings = re.findall(r'SETTINGS = "([^"]*)"', PAGE + CODE) + re.findall(r'f"set=\{SETTINGS\} ([^"]*)"', CODE)
    named = {pair.split("=")[0] for text in settings for pair in text.split()}
    named |= set(re.findall(r'f"(\w+)=\{', CODE)) - {"set"} | set(re.findall(r"`([a-z_.]+)=[\[\d]", PAGE))
    assert {"time_budget", "resume_from", "folds.run", "store.max_gb", "runtime.device"} <= named
    for path in named | {"views.slice.max_gb"}:
        block = config
        for key in path.split("."):
            assert key in block, path
            block = block[key]


def test_every_command_and_option_and_stage_is_there() -> None:
    said = PAGE + "".join(cell.source for cells in NOTEBOOKS.values() for cell in cells)
    named = set(re.findall(r"(?:python -m|`)\s*cspine (\w+)", said)) | {words[0] for words in calls("cspine")}
    assert {"equip", "unpack", "status", "pack", "predict"} <= named <= set(known_commands()) | NOT_YET
    assert set(re.findall(r'--leave-out"?,? "?(\w+)', said)) == {"ingest"} <= set(known_stages())
    assert set(re.findall(r"`([a-z_]+)` projects", PAGE)) <= set(known_stages())


def test_every_option_of_a_command_is_one_of_its_options() -> None:
    from importlib import import_module

    for name in set(known_commands()) & {words[0] for words in calls("cspine")}:
        parser = parser_of(import_module(f"cspine.commands.{name}").main, name)
        known = set(re.findall(r"--[a-z-]+", parser.format_help()))
        assert {word for words in calls("cspine") if words[0] == name for word in words if word[:2] == "--"} <= known


def test_every_target_can_be_asked_for() -> None:
    lists = re.findall(r"TARGETS = (\[[^\]]*\])", PAGE + CODE)
    named = {target for text in lists for target in ast.literal_eval(text)}
    assert {"submission", "bundle", "cache", "audit"} == named
    assert named <= TARGETS.keys() | NOT_YET


def test_files_that_the_notebooks_name_are_there() -> None:
    for place in re.findall(r'"((?:presets|profiles)/[\w./-]+)"', CODE):
        assert (ROOT / place).exists(), place


def test_the_profile_differs_from_the_default_only_where_it_says_so() -> None:
    text = {
        name: (ROOT / f"profiles/{name}/profile.yaml").read_text(encoding="utf-8") for name in ("default", "kaggle")
    }
    default, kaggle = (yaml.safe_load(content) for content in text.values())
    marked = set(re.findall(r"^ *([\w-]+):.*# differs", text["kaggle"], re.MULTILINE))
    differing = {key for key in kaggle if key != "resources" and kaggle[key] != default.get(key)}
    pools = kaggle["resources"].items() - default["resources"].items()
    assert differing | {key for key, _ in pools} == marked and default.keys() <= kaggle.keys()
    assert default["resources"].keys() <= kaggle["resources"].keys()


def calls(module: str) -> Iterator[list[str]]:
    """The constant words after ``run("-m", module, ...)``, those of lists that are handed on included."""
    for cells in NOTEBOOKS.values():
        for tree in [ast.parse(cell.source) for cell in cells if cell.cell_type == "code"]:
            lists = {
                node.targets[0].id: constants(node.value.elts)
                for node in ast.walk(tree)
                if isinstance(node, ast.Assign)
                and isinstance(node.targets[0], ast.Name)
                and isinstance(node.value, ast.List)
            }
            for node in ast.walk(tree):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "run":
                    words = constants(node.args, lists)
                    if words[:2] == ["-m", module]:
                        yield words[2:]


def constants(nodes: list[ast.expr], lists: dict[str, list[str]] | None = None) -> list[str]:
    words: list[str] = []
    for node in nodes:
        if isinstance(node, ast.Constant):
            words.append(str(node.value))
        elif isinstance(node, ast.Starred) and isinstance(node.value, ast.Name):
            words += (lists or {}).get(node.value.id, [])
    return words
