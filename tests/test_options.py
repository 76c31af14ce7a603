"""A command's options are its function's parameters."""

from __future__ import annotations

import pytest

from cspine.cli import known_commands, main
from cspine.options import called


def command(
    output: str, config: list[str] | None = None, dry_run: bool = False, keep_days: float = 1.0, *rest: str
) -> int:
    """Do something.

    Args:
        output: what
            to do it with
        dry_run: only 100 % talk
    """
    print((output, config, dry_run, keep_days, rest))
    return 3


def strict(output: str, at: str = "") -> None:
    """Do something else."""


@pytest.mark.parametrize(
    ("words", "values"),
    [
        (["x"], ("x", None, False, 1.0, ())),
        (["x", "--dry-run", "--keep-days", "0"], ("x", None, True, 0.0, ())),
        (["x", "--config", "set=a.b=1", "c=2", "--config", "d=3"], ("x", ["set=a.b=1", "c=2", "d=3"], False, 1.0, ())),
        (["x", "y", "--cores", "2"], ("x", None, False, 1.0, ("y", "--cores", "2"))),
    ],
)
def test_the_words_become_the_functions_values(
    words: list[str], values: tuple[object, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert called(command, "command", words) == 3
    assert capsys.readouterr().out.strip() == repr(values)


@pytest.mark.parametrize("words", [[], ["x", "--conifg", "a=1"], ["x", "--a", "t"]])
def test_a_wrong_word_is_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        called(strict, "strict", words)
    assert ended.value.code == 2 and "usage: python -m cspine strict" in capsys.readouterr().err


def test_the_docstring_is_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        called(command, "command", ["--help"])
    printed = " ".join(capsys.readouterr().out.split())
    assert "Do something." in printed and "what to do it with" in printed and "only 100 % talk" in printed


@pytest.mark.parametrize("name", known_commands())
def test_every_command_explains_its_call(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([name, "--help"])
    assert ended.value.code == 0 and f"usage: python -m cspine {name}" in capsys.readouterr().out
