"""A command line as a plan: it runs as it was typed."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from hearth.errors import PlanError
from hearth.operations import command_plan
from hearth.plan import Secrets

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    "words",
    [
        ["ls", "-l"],
        ["docker", "ps", "--format", "{{.Names}}"],
        ["echo", "{{ x }}", '{{ "{{" }}', "}}", "{{{{"],
        ["sh", "-c", "echo 'a  b'\necho \"$HOME\" *"],
        ["printf", "", "%s"],
    ],
)
def test_every_word_stays_as_it_is(tmp_path: Path, words: list[str]) -> None:
    plan = command_plan(words, folder=tmp_path)
    assert plan.steps[0].params == {"argv": words}
    assert plan.cwd == tmp_path


@pytest.mark.parametrize(
    "program, plan_id",
    [("/usr/bin/rm", "exec-rm"), ("./de ploy.sh", "exec-de-ploy.sh"), ("ü", "exec"), ("x" * 300, "exec-" + "x" * 60)],
)
def test_the_plan_is_named_after_the_program(tmp_path: Path, program: str, plan_id: str) -> None:
    assert command_plan([program], folder=tmp_path).id == plan_id


def test_a_name_of_ones_own(tmp_path: Path) -> None:
    assert command_plan(["true"], folder=tmp_path, name="nightly").id == "nightly"
    with pytest.raises(PlanError):
        command_plan(["true"], folder=tmp_path, name="not a name")


def test_a_long_command_has_a_short_name_and_stays_whole(tmp_path: Path) -> None:
    word = "y" * 100_000
    step = command_plan(["echo", word, "{{"], folder=tmp_path).steps[0]
    assert len(step.name) <= 60
    assert step.params["argv"][1] == word


def test_time_and_environment(tmp_path: Path) -> None:
    plan = command_plan(["true"], folder=tmp_path, timeout="90s", env={"A": "{{", "T": {"secret": "env:T"}})
    assert plan.steps[0].timeout == 90.0
    assert plan.steps[0].env["A"] == "{{"
    assert Secrets.references(plan.steps[0].env) == ("env:T",)


@pytest.mark.parametrize("command", [[], [""]])
def test_no_command(tmp_path: Path, command: list[str]) -> None:
    with pytest.raises(PlanError, match="no command"):
        command_plan(command, folder=tmp_path)


def test_a_bad_timeout_is_named(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="timeout"):
        command_plan(["true"], folder=tmp_path, timeout="soon")


def test_an_input_belongs_to_the_plan_and_the_command_stays_in_its_folder(tmp_path: Path) -> None:
    (tmp_path / "work {{ x }}").mkdir()
    plans = []
    for place, content in (("one", b"same"), ("two", b"same"), ("three", b"other")):
        file = tmp_path / place / "stdin-0a1b"
        file.parent.mkdir()
        file.write_bytes(content)
        plans.append(command_plan(["cat", "-", "{{"], folder=tmp_path / "work {{ x }}", stdin=file))
    same, again, other = plans
    assert same.inputs == {"stdin-0a1b": hashlib.sha256(b"same").hexdigest()}
    assert same.cwd == tmp_path / "work {{ x }}"
    assert same.steps[0].params["args"] == ["cat", "-", "{{"]
    assert same.steps[0].name == "cat - '{{'"
    assert same.digest == again.digest != other.digest
