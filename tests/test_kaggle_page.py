"""docs/kaggle.md asks for nothing that is not there."""

from __future__ import annotations

import re

import pytest
import yaml

from cspine.cli import known_commands
from cspine.config import read_yaml
from cspine.layers import merged
from cspine.signature import known_stages
from smoke_projects import ROOT

PAGE = (ROOT / "docs/kaggle.md").read_text(encoding="utf-8")
CELLS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("cell", [c for c in CELLS if not c.startswith("...") and "\n..." not in c])
def test_the_python_of_every_cell_is_python(cell: str) -> None:
    lines = cell.replace("\\\n", " ").splitlines()
    compile("\n".join("pass" if line.startswith(("!", "%")) else line for line in lines), "cell", "exec")


def test_every_setting_is_a_key_of_the_config() -> None:
    config = merged(read_yaml(ROOT / "config.yaml"), read_yaml(ROOT / "presets/rsna.yaml"))
    settings = [pair for text in re.findall(r"'set=([^']*)'", PAGE) for pair in text.split()]
    named = [pair.split("=")[0] for pair in settings] + re.findall(r"(?:--config |')(\w+)=[^']", PAGE)
    assert {"time_budget", "resume_from", "folds.run"} <= set(named)
    for path in set(named) - {"set"}:
        block = config
        for key in path.split("."):
            assert key in block, path
            block = block[key]


def test_every_command_and_stage_is_there() -> None:
    assert set(re.findall(r"python -m cspine (\w+)", PAGE)) <= set(known_commands())
    assert set(re.findall(r"--leave-out (\w+)", PAGE)) <= set(known_stages())


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
