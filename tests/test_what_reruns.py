"""A changed key executes exactly its stages, with Snakemake's records there or lost; a key without a row fails."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from contextlib import chdir
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import timm
import torch

from chains import SCHEMA, Chain, at_work
from cspine import fingerprint
from cspine.blocks import BLOCKS, block
from cspine.fingerprint import closure
from cspine.layers import Config
from cspine.store.key_versions import VARIABLE
from rerun_rows import (
    ANALYSED,
    ARMS,
    BUNDLED,
    COMPARED,
    EVIDENCE,
    KINDS,
    LOCALIZED,
    LOCALIZER_ROWS,
    METHOD,
    MICRO,
    ONE_VALUE,
    PAIR,
    REPORTED,
    ROWS,
    VIEW_ROWS,
    VIEWED,
    Row,
)
from small_bundles import resign
from smoke_projects import ROOT, checkout
from test_fingerprint import forget

FOLD = "results/semi_supervised/fold-0"


def leaves(schema: Config, path: str = "") -> Iterator[tuple[str, Config]]:
    """Every key of the schema that is no block of further keys; a method's under ``methods.*``.

    ``teacher`` and ``student`` repeat the keys of their method: one leaf each, see the test of their blocks; so do the
    blocks of a localizer.
    """
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[-1]
        schema = {**SCHEMA["$defs"][name], **{k: v for k, v in schema.items() if k != "$ref"}}
        if name == "differences":
            schema = {}
    if schema.get("familyKey") == "kind":
        for kind in KINDS:
            yield from leaves(SCHEMA["$defs"][f"{schema['familyPrefix']}{kind}"], f"{path}.{kind}")
    elif "familyPrefix" in schema:
        yield from (
            (f"{path}.*.{key}", part) for key, part in SCHEMA["$defs"]["localizer_slice_cnn"]["properties"].items()
        )
    elif "propertyNames" in schema:
        yield from leaves(SCHEMA["$defs"]["slice_cnn"], f"{path}.*")
    elif "properties" in schema:
        for key, part in schema["properties"].items():
            yield from leaves(part, f"{path}.{key}".lstrip("."))
    elif "$ref" in (schema.get("additionalProperties") or {}):
        yield from leaves(schema["additionalProperties"], f"{path}.*")
    else:
        yield path, schema


LEAVES = dict(leaves(SCHEMA))


def test_every_leaf_of_the_schema_has_a_row_and_every_row_its_leaf() -> None:
    assert len(LEAVES) > 100
    assert {
        row.leaf for row in [*ROWS, *ARMS, *BUNDLED, *COMPARED, *LOCALIZER_ROWS, *REPORTED, *VIEW_ROWS]
    } | ONE_VALUE == LEAVES.keys()


def test_a_leaf_without_a_row_allows_one_value_only() -> None:
    for leaf in ONE_VALUE:
        assert "const" in LEAVES[leaf] or len(LEAVES[leaf]["enum"]) == 1, leaf


@pytest.fixture(autouse=True)
def no_versions_in_the_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "[]")


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    with at_work(Chain(tmp_path_factory.mktemp("chain") / "run", MICRO, "submission")) as chain:
        shutil.copytree("data/phantom", "data/raw")
        Path("elsewhere").mkdir()
        shutil.copy(f"{FOLD}/round-0/model.safetensors", "elsewhere")
        torch.save(timm.create_model("test_efficientnet").state_dict(), "elsewhere/weights.pth")
        begun = Path("elsewhere/work/train/begun/request.json")  # an earlier session's store, with nothing finished
        begun.parent.mkdir(parents=True)
        begun.write_text("{}", encoding="utf-8")
        yield chain


@pytest.fixture(scope="module")
def evaluation(tmp_path_factory: pytest.TempPathFactory, chain: Chain) -> Iterator[Chain]:
    with at_work(Chain(tmp_path_factory.mktemp("evaluation") / "run", MICRO, "evaluate", chain)) as own:
        shutil.copytree("results/bundle", "elsewhere/bundle")
        content = json.loads(Path("elsewhere/bundle/bundle.json").read_text(encoding="utf-8"))
        content["clip"] = 0.002  # another bundle of the same models
        resign(Path("elsewhere/bundle"), content)
        yield own


@pytest.fixture(scope="module")
def errors(tmp_path_factory: pytest.TempPathFactory, chain: Chain) -> Iterator[Chain]:
    with at_work(Chain(tmp_path_factory.mktemp("errors") / "run", MICRO, "error_analysis", chain)) as own:
        yield own


@pytest.fixture(scope="module")
def comparison(tmp_path_factory: pytest.TempPathFactory, chain: Chain) -> Iterator[Chain]:
    with at_work(Chain(tmp_path_factory.mktemp("comparison") / "run", PAIR, "compare", chain)) as own:
        yield own


@pytest.fixture(scope="module")
def evidence(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    with at_work(Chain(tmp_path_factory.mktemp("evidence") / "run", EVIDENCE, "evidence")) as chain:
        yield chain


@pytest.fixture(scope="module")
def views(tmp_path_factory: pytest.TempPathFactory, chain: Chain) -> Iterator[Chain]:
    with at_work(Chain(tmp_path_factory.mktemp("views") / "run", VIEWED, "views", chain)) as own:
        yield own


@pytest.fixture(scope="module")
def localization(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    with at_work(Chain(tmp_path_factory.mktemp("localization") / "run", LOCALIZED, "localizers")) as chain:
        yield chain


def parameters(rows: list[Row]) -> list[Any]:
    return [
        pytest.param(row, id=f"{row.leaf}={row.value}", marks=[pytest.mark.slow] if row.slow else []) for row in rows
    ]


@pytest.mark.parametrize("row", parameters(ROWS))
def test_a_changed_key_executes_exactly_its_stages_and_changed_back_none(chain: Chain, row: Row) -> None:
    check(chain, row)


@pytest.mark.parametrize("row", parameters(BUNDLED))
def test_another_bundle_is_evaluated_and_nothing_is_trained(evaluation: Chain, row: Row) -> None:
    check(evaluation, row)


@pytest.mark.parametrize("row", parameters(ANALYSED))
def test_the_errors_are_analysed_again_and_nothing_is_trained(errors: Chain, row: Row) -> None:
    check(errors, row)


@pytest.mark.parametrize("row", parameters(COMPARED))
def test_the_methods_are_compared_again_and_nothing_is_trained(comparison: Chain, row: Row) -> None:
    check(comparison, row)


@pytest.mark.parametrize("row", parameters(ARMS))
def test_another_arm_of_the_evidence_executes_only_the_weighing(evidence: Chain, row: Row) -> None:
    check(evidence, row)


@pytest.mark.parametrize("row", parameters(LOCALIZER_ROWS))
def test_a_changed_localizer_executes_its_own_stages_and_no_method(localization: Chain, row: Row) -> None:
    check(localization, row)


@pytest.mark.parametrize("row", parameters(VIEW_ROWS))
def test_a_changed_view_executes_its_own_stages_and_leaves_the_other_views(views: Chain, row: Row) -> None:
    check(views, row)


def check(chain: Chain, row: Row) -> None:
    with chdir(chain.project.folder):  # every chain of this file is at work; the youngest one's folder is the current
        check_here(chain, row)


def check_here(chain: Chain, row: Row) -> None:
    shapes = (row.before, row.after) if row.planned else ("", "")
    back = False  # whether all is as ``at_work`` left it, which every row begins with
    try:
        if row.before:
            chain.run(row.before, shapes[0])
        assert chain.stale(row.before, shapes[0]) == []  # a run without a change would take nothing away
        planned = chain.planned(row.after, shapes[1])
        ran = {command.name for command in chain.run(row.after, shapes[1])}
        assert row.runs <= ran <= row.runs | row.perhaps
        assert ran <= planned, "not noticed with .snakemake lost"
        assert chain.run(row.before, shapes[0]) == []
        back = not row.before
    finally:
        if not back:
            chain.run()
        chain.forget()


def test_no_key_is_in_the_block_of_a_stage_that_its_row_does_not_name(chain: Chain) -> None:
    commands = {command.name: command for command in chain.commands()}
    for row in ROWS:
        before, after = chain.config(row.before), chain.config(row.after)
        blocks = {name for name, command in commands.items() if command.under(before) != command.under(after)}
        assert blocks <= row.runs | (commands.keys() if row.planned else set()), row.leaf
        assert blocks or row.planned or not row.runs or row.leaf == "store.key_versions", row.leaf


def test_keys_with_leave_to_differ_between_machines_are_threads_and_compile() -> None:
    assert {row.leaf for row in ROWS if row.perhaps} == {f"methods.*.training.{key}" for key in ("threads", "compile")}


def test_a_difference_of_teacher_or_student_changes_what_the_key_itself_would_in_those_rounds(chain: Chain) -> None:
    roles = {"teacher": {"0"}, "student": {"1", "2"}}
    pattern = re.compile(r"methods\.\*\.(init_from|network|training|augment)")
    rows = [row for row in ROWS if pattern.match(row.leaf) and not row.given]
    assert len(rows) > 30
    for row in rows:
        leaf = row.leaf.removeprefix("methods.*.")
        plain = changed_blocks(chain, f"{METHOD}.{leaf}={row.value}")
        for role, rounds in roles.items():
            found = changed_blocks(chain, f"{METHOD}.{role}.{leaf}={row.value}")
            overridden = {leaf} & {"init_from", "training.epochs", "augment.probability"}  # the student has its own
            assert found == {at for at in plain if at[1] in rounds} or overridden, (role, leaf)


def changed_blocks(chain: Chain, setting: str) -> set[tuple[str, str]]:
    """(stage, round) of every block that the setting changes in a method of three rounds."""
    before, after = chain.config(f"{METHOD}.rounds=3"), chain.config(f"{METHOD}.rounds=3 {setting}")
    stages = ("build_training_set", "train", "predict_slices", "pseudo_label", "aggregate_studies")
    return {
        (stage, number)
        for stage in stages
        for number in ("0", "1", "2")
        if block_at(before, stage, number) != block_at(after, stage, number)
    }


def block_at(config: Config, stage: str, number: str) -> dict[str, Any]:
    assert stage in BLOCKS
    return block(config, stage, method="semi_supervised", fold="0", round=number)


def test_the_documented_table_says_of_every_key_which_stage_runs_first() -> None:
    text = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    section = text.split("## What re-runs when a key changes")[1].split("\n## ")[0]
    table = [
        [cell.strip() for cell in line.split("|")[1:-1]] for line in section.splitlines() if line.startswith("| `")
    ]
    documented = [(re.findall(r"`([^`]+)`", keys), first) for keys, first, *_ in table]
    for leaf in LEAVES:
        said = [first for patterns, first in documented if any(fnmatch(leaf, p) for p in patterns)]
        assert len(said) == 1, f"{leaf}: {len(said)} rows of docs/architecture.md speak of it"
        runs = {
            name.split()[0]
            for row in [*ROWS, *ARMS, *BUNDLED, *COMPARED, *LOCALIZER_ROWS, *REPORTED, *VIEW_ROWS]
            if row.leaf == leaf
            for name in row.runs
        }
        assert said[0].strip("`") in runs if runs else said[0] == "nothing", leaf
    for patterns, _ in documented:
        assert all(any(fnmatch(leaf, p) for leaf in LEAVES) for p in patterns), f"no such key: {patterns}"


@pytest.mark.slow
@pytest.mark.parametrize("row", [row for row in ROWS if not row.planned], ids=lambda row: f"{row.leaf}={row.value}")
def test_snakemake_would_run_the_commands_that_the_test_has_run(chain: Chain, row: Row) -> None:
    config = chain.config(row.after)
    planned = chain.commands(row.after)
    assert {command.under(config) for command in planned} == {command.under(config) for command in chain.commands()}
    for command in planned:
        own = {word for word in command.words if word.startswith("{")}
        assert own <= set(command.under(config)), command.name  # its block is the one that the test gave it


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the package that may be edited: its code is what the keys are made from."""
    shutil.copytree(fingerprint.PACKAGE, tmp_path / "cspine", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(fingerprint, "PACKAGE", tmp_path / "cspine")
    yield tmp_path / "cspine"
    monkeypatch.undo()
    forget()


def keys(chain: Chain, source: Path, file: str = "", change: str = "") -> dict[str, str]:
    """The store key of every command, with ``change`` added to a file of the package."""
    if file:
        path = source / file
        path.write_text(path.read_text(encoding="utf-8") + change, encoding="utf-8")
    forget()
    with chdir(chain.project.folder):
        return {command.name: command.key() for command in chain.commands()}


def test_a_comment_changes_no_key_and_a_helper_exactly_those_of_the_stages_that_import_it(
    chain: Chain, source: Path
) -> None:
    before = keys(chain, source)
    assert keys(chain, source, "folds.py", "\n\n# a comment\n") == before
    importers = {name for name in before if "cspine.folds" in closure(f"cspine.stages.{name.split()[0]}")}
    assert "assign_folds" in importers and "ingest train 0" not in importers
    after = keys(chain, source, "folds.py", "\nADDED = 1\n")
    assert {name for name in before if before[name] != after[name]} == importers


REAL = [
    "score.bootstrap=20",
    f"{METHOD}.training.learning_rate=1e-3",
    "folds.select=0.5",
    f"{METHOD}.rounds=1",
    "data.shards=2",
    "runtime.device=cpu",
]


@pytest.mark.slow
@pytest.mark.parametrize("records", ["kept", "lost"])
@pytest.mark.parametrize("setting", REAL)
def test_a_real_run_executes_what_the_row_says(tmp_path: Path, setting: str, records: str) -> None:
    """Through Snakemake and processes, with ``.snakemake`` there and without."""
    project = checkout(tmp_path / "run")
    (project.folder / "presets/micro.yaml").write_text(MICRO, encoding="utf-8")
    command = ("submission", "--configfile", "presets/micro.yaml")
    project.run(*command)
    row = next(row for row in ROWS if not row.given and row.after == setting)
    for more, stages in ((("--config", f"set={setting}"), {name.split()[0] for name in row.runs}), ((), set())):
        if records == "lost":
            project.forget()
        before = project.segments()
        project.run(*command, *more)
        assert project.executed(before) == stages
