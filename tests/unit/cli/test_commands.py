"""The command `hearth` as a whole: names, help, what its modules load, completion."""

from __future__ import annotations

import importlib
import json
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import click
import pytest
from click.testing import CliRunner

from hearth.cli import cli
from hearth.cli._group import HearthGroup
from hearth.cli._main import COMMANDS

if TYPE_CHECKING:
    from pathlib import Path

NOT_FOR_HELP = (
    "alembic", "cryptography", "httpx", "jsonschema", "orjson", "rfc8785", "sqlalchemy", "sqlite3", "starlette", "yaml",
    "hearth.execution", "hearth.kernel", "hearth.ledger", "hearth.operations", "hearth.plan", "hearth.record",
)  # fmt: skip


@pytest.mark.parametrize("name", COMMANDS, ids=lambda name: name.name)
def test_the_help_of_the_group_is_the_commands_own(name: object) -> None:
    """The group's help is written without loading the command: the two must not drift apart."""
    assert isinstance(cli, HearthGroup)
    known = cli.names[name.name]  # type: ignore[attr-defined]
    command = cli.get_command(click.Context(cli), known.name)
    assert command is not None
    assert command.name == known.name
    first = (command.help or "").split("\n\n")[0].replace("\n", " ")
    assert known.help.split(";")[0].split(":")[0].rstrip(".") in first


@pytest.mark.parametrize("name", [command.name for command in COMMANDS])
def test_every_command_has_help(name: str) -> None:
    result = CliRunner().invoke(cli, [name, "--help"])
    assert result.exit_code == 0
    assert result.output.startswith("Usage: ")
    assert "Traceback" not in result.output


def test_reading_commands_have_json() -> None:
    for words in (
        ["init"], ["plan", "check"], ["plan", "digest"], ["plan", "show"], ["run"], ["exec"], ["list"], ["show"],
        ["verify"], ["rollback"], ["recover"],
    ):  # fmt: skip
        assert "--json" in CliRunner().invoke(cli, [*words, "--help"]).output, words


@pytest.mark.parametrize(
    "typed, meant",
    [
        ("rnu", "run"),
        ("verfy", "verify"),
        ("ls", "list"),
        ("shwo", "show"),
        ("complete", "completion"),
        ("rol", "rollback"),
    ],
)
def test_an_unknown_command_says_which_may_be_meant(typed: str, meant: str) -> None:
    result = CliRunner().invoke(cli, [typed])
    assert result.exit_code == 2
    assert "Did you mean" in result.stderr
    assert meant in result.stderr


def test_a_command_unlike_any_other_says_where_the_list_is() -> None:
    result = CliRunner().invoke(cli, ["xyzzyplugh"])
    assert result.exit_code == 2
    assert "--help` lists them" in result.stderr


def test_the_version() -> None:
    from hearth import __version__

    result = CliRunner().invoke(cli, ["--version"])
    assert (result.exit_code, result.stdout) == (0, f"hearth {__version__}\n")


def test_help_loads_click_and_little_else() -> None:
    """The budget of `hearth --help`: nothing that `import click, rich.console` would not load, but HEARTH's own few."""
    code = """
import sys, json
sys.argv = ["hearth", "--help"]
from hearth.cli import main
try:
    main()
except SystemExit as stop:
    assert stop.code == 0
print("\\n" + json.dumps(sorted(sys.modules)))
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(json.loads(run.stdout.rsplit("\n", 2)[-2]))
    assert "click" in loaded
    assert loaded & set(NOT_FOR_HELP) == set()
    assert {name for name in loaded if name == "rich" or name.startswith("rich.")} == set()
    assert sorted(name for name in loaded if name.startswith("hearth")) == [
        "hearth", "hearth._lazy", "hearth._version", "hearth._visible", "hearth.cli", "hearth.cli._entry",
        "hearth.cli._errors", "hearth.cli._group", "hearth.cli._late_signals", "hearth.cli._main",
        "hearth.cli._settings", "hearth.errors",
    ]  # fmt: skip


def test_every_command_can_be_loaded() -> None:
    for name in COMMANDS:
        module, _, attribute = name.place.partition(":")
        assert isinstance(getattr(importlib.import_module(module), attribute), click.Command)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_are_whole(shell: str, tmp_path: Path) -> None:
    result = CliRunner().invoke(cli, ["completion", shell])
    assert result.exit_code == 0
    assert "_HEARTH_COMPLETE" in result.stdout
    assert result.stdout.startswith("# ")
    program = shutil.which(shell)
    if program is None:
        return
    script = tmp_path / "completion"
    script.write_text(result.stdout)
    checked = subprocess.run([program, "-n", str(script)], capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
def test_bash_completes_commands_with_it(tmp_path: Path) -> None:
    script = tmp_path / "completion"
    script.write_text(CliRunner().invoke(cli, ["completion", "bash"]).stdout)
    (tmp_path / "hearth").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m hearth "$@"\n')
    (tmp_path / "hearth").chmod(0o755)
    typed = (
        f'PATH="{tmp_path}:$PATH"; . "{script}"; COMP_WORDS=(hearth rec); COMP_CWORD=1; '
        'complete() { :; }; compopt() { :; }; _hearth_completion hearth; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(["bash", "-c", typed], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["recover"], done.stderr
