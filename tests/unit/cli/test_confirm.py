"""The question before a live run: only how the digest begins, typed by one who gives a reason, lets it through."""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING

import click
import pytest

from hearth.cli._confirm import confirm, require_reason
from hearth.cli._screen import Screen
from hearth.errors import GateRefusedError
from hearth.operations import Confirmation, person
from hearth.plan import parse_plan

if TYPE_CHECKING:
    from pathlib import Path

    from hearth.plan import Plan


class Typed(io.StringIO):
    """A terminal on which this was typed."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    """A plan of one step."""
    return parse_plan(
        {"plan": "tidy", "steps": [{"name": "Write", "file": {"write": "x", "content": ""}}]}, folder=tmp_path
    )


def answer(monkeypatch: pytest.MonkeyPatch, plan: Plan, typed: str, reason: str | None = None) -> Confirmation:
    """Return what comes of typing something."""
    monkeypatch.setattr(sys, "stdin", Typed(typed))
    monkeypatch.setattr(sys, "stderr", Typed())
    return confirm(plan, yes=False, reason=reason, where="the ledger", screen=lambda: Screen(to_stderr=True))


def test_the_digest_and_a_reason(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = Confirmation(by=person(), reason="it is late", interactive=True)
    assert answer(monkeypatch, plan, f" {plan.digest[:8]} \nit is late\n") == expected
    assert answer(monkeypatch, plan, f"{plan.digest.upper()}\n", reason=" it is late ") == expected


@pytest.mark.parametrize(
    "typed, reason",
    [
        ("", None),
        ("\n", None),
        ("yes\n", "r"),
        ("tidy\n", "r"),
        ("{digest:.7}\n", "r"),
        ("{digest}0\n", "r"),
        ("{digest:.8}\n", None),
        ("{digest:.8}\n\n", None),
        ("{digest:.8}\n \n", " "),
    ],
)
def test_anything_else_is_refused(plan: Plan, monkeypatch: pytest.MonkeyPatch, typed: str, reason: str | None) -> None:
    with pytest.raises(GateRefusedError, match="nothing was started"):
        answer(monkeypatch, plan, typed.format(digest=plan.digest), reason)


def test_yes_asks_nothing_and_says_so(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO())

    def screen() -> Screen:
        raise AssertionError("nothing is shown")

    found = confirm(plan, yes=True, reason="r", where="the ledger", screen=screen)
    assert found == Confirmation(by=person(), reason="r", interactive=False)


def test_without_a_terminal_it_says_what_to_do(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("tidy\nr\n"))
    with pytest.raises(GateRefusedError, match="give --yes and --reason TEXT"):
        confirm(plan, yes=False, reason=None, where="the ledger", screen=Screen)


def test_without_any_input_it_is_refused_too(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(GateRefusedError):
        confirm(plan, yes=False, reason=None, where="the ledger", screen=Screen)


@pytest.mark.parametrize("reason", [None, "", "  "])
def test_yes_without_a_reason_is_misuse(reason: str | None) -> None:
    with pytest.raises(click.UsageError):
        require_reason(yes=True, reason=reason)
    require_reason(yes=False, reason=reason)
