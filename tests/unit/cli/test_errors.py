"""Every error becomes one message and one of the documented exit codes."""

from __future__ import annotations

import json
import signal

import click
import pytest
from click.testing import CliRunner

import hearth.errors as room
from hearth.cli._errors import exit_code
from hearth.cli._group import HearthGroup
from hearth.cli._json import json_option
from hearth.errors import HearthError

TOMBSTONE = {"execution_id": "x", "purged": "then", "by": "ann", "reason": "old", "execution_hash": "0"}
CASES: list[tuple[BaseException, int, str]] = [
    (room.PlanError(["a:1: x", "a:2: y"]), 2, "error"),
    (room.LedgerNotFoundError("x"), 2, "error"),
    (room.RequestNotFoundError("x"), 2, "error"),
    (room.ExecutionPurgedError(TOMBSTONE), 3, "refused"),
    (room.SigningError("x"), 2, "error"),
    (room.ExecutionNotFoundError("x"), 2, "error"),
    (room.GateRefusedError("x"), 3, "refused"),
    (room.ApprovalRefusedError("x", code="missing"), 3, "refused"),
    (room.PlanChangedError("x"), 3, "refused"),
    (room.ConcurrencyRefusedError("x"), 3, "refused"),
    (room.TaskError("x"), 3, "refused"),
    (room.JournalLockedError("x"), 3, "refused"),
    (room.DuplicateExecutionError("x"), 3, "refused"),
    (room.ArtemisEscalationError("LOCKDOWN", "x"), 4, "escalated"),
    (room.RecordError("x"), 5, "not verified"),
    (room.LiveModeMismatchError("x"), 5, "not verified"),
    (room.JournalDamagedError("file", 3, "x"), 5, "not verified"),
    (room.LedgerDamagedError("x"), 5, "not verified"),
    (room.EvidenceUsageError("x"), 2, "error"),
    (room.EvidenceBusyError("x"), 3, "refused"),
    (room.EvidenceError("x"), 5, "not verified"),
    (room.EquivocationError("x", (b"", b"")), 5, "not verified"),
    (room.StepFailedError("x"), 1, "failed"),
    (room.RecorderError("x"), 1, "failed"),
    (room.RecorderUnfitError("x"), 1, "failed"),
    (room.ExecutionSealedError("x"), 1, "failed"),
    (room.LedgerError("x"), 1, "failed"),
    (room.RollbackHintError("x"), 1, "failed"),
    (room.SecurityError("x"), 1, "failed"),
    (room.ObservationError("x"), 1, "failed"),
    (room.DriftError("x"), 3, "refused"),
]


def group_that(error: BaseException) -> HearthGroup:
    """Return `hearth` with one command, which raises."""

    @click.command()
    @json_option
    def act(*, as_json: bool) -> None:
        raise error

    class Group(HearthGroup):
        def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
            return act

        def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str, click.Command, list[str]]:
            return "act", act, args[1:]

    return Group("hearth")


@pytest.mark.parametrize(
    "error, code, word", CASES, ids=lambda case: type(case).__name__ if isinstance(case, BaseException) else None
)
def test_errors(error: BaseException, code: int, word: str) -> None:
    result = CliRunner().invoke(group_that(error), ["act"])
    assert result.exit_code == code
    assert result.stdout == ""
    assert result.stderr.startswith(f"hearth: {word}: ")
    assert "Traceback" not in result.stderr


def test_every_error_of_the_room_has_a_code() -> None:
    kinds = [value for value in vars(room).values() if isinstance(value, type) and issubclass(value, HearthError)]
    tried = {type(error) for error, _, _ in CASES}
    roots = {HearthError, room.RefusedError, room.ExecutionError, room.RunInterruptedError}
    assert set(kinds) == tried | roots


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_after_a_signal_it_is_128_and_its_number(number: signal.Signals) -> None:
    assert exit_code(room.RunInterruptedError("x", signum=number)) == 128 + number


def test_a_plans_problems_stand_line_by_line() -> None:
    result = CliRunner().invoke(group_that(room.PlanError(["a:1: x", "a:2: y"])), ["act"])
    assert result.stderr == "hearth: error: a:1: x\n  a:2: y\n"


def test_notes_of_an_error_are_told() -> None:
    error = room.StepFailedError("it broke")
    error.add_note("and the record was not stored")
    result = CliRunner().invoke(group_that(error), ["act"])
    assert result.stderr == "hearth: failed: it broke\n  and the record was not stored\n"


def test_what_an_error_quotes_cannot_act_on_the_terminal() -> None:
    result = CliRunner().invoke(group_that(room.LedgerError("bad \x1b[2J name")), ["act"])
    assert result.stderr == "hearth: failed: bad \\x1b[2J name\n"


def test_with_json_an_error_is_the_one_document() -> None:
    result = CliRunner().invoke(group_that(room.GateRefusedError("not armed")), ["act", "--json"])
    assert json.loads(result.stdout) == {"error": {"kind": "GateRefusedError", "message": "not armed", "exit_code": 3}}
    assert result.stderr == "hearth: refused: not armed\n"
    assert result.exit_code == 3


def test_with_json_a_usage_error_is_one_too() -> None:
    result = CliRunner().invoke(group_that(ValueError()), ["act", "--json", "--nonsense"])
    assert result.exit_code == 2
    assert json.loads(result.stdout)["error"]["exit_code"] == 2


def test_an_unexpected_error_is_short(monkeypatch: pytest.MonkeyPatch) -> None:
    result = CliRunner().invoke(group_that(ZeroDivisionError("by zero")), ["act"])
    assert result.exit_code == 1
    assert result.stderr == "hearth: internal error: ZeroDivisionError: by zero; HEARTH_DEBUG=1 shows where\n"
    monkeypatch.setenv("HEARTH_DEBUG", "1")
    result = CliRunner().invoke(group_that(ZeroDivisionError("by zero")), ["act"])
    assert "Traceback (most recent call last)" in result.stderr
    assert "HEARTH_DEBUG" not in result.stderr.splitlines()[-1]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), click.Abort()])
def test_interrupted(error: BaseException) -> None:
    result = CliRunner().invoke(group_that(error), ["act"])
    assert (result.exit_code, result.stderr.strip()) == (130, "hearth: interrupted")


def test_a_broken_pipe_is_quiet() -> None:
    result = CliRunner().invoke(group_that(BrokenPipeError()), ["act"])
    assert (result.exit_code, result.output) == (141, "")
