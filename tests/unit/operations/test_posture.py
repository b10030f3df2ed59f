"""The posture of a ledger as commands see and change it, and the sensors of what commands find."""

from __future__ import annotations

import json
import logging
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from hearth.errors import ApprovalRefusedError, GateRefusedError, JournalDamagedError, LedgerError
from hearth.execution import vouching
from hearth.kernel import HearthKernel
from hearth.ledger import Ledger
from hearth.operations import (
    Records,
    TrustedAs,
    add_hold,
    list_holds,
    load_key,
    lock_down,
    posture_history,
    read_posture,
    record_refusal,
    recover,
    release_hold,
    report_states,
    restore_posture,
    run_plan,
    verify_all,
)
from hearth.recorder import ExecutionObserver, Journal
from hearth.security import BoundaryState, KeptPosture, LiveMode, Posture, Restoration, SecurityState
from tests import approving

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hearth.ledger import LedgerHome
    from hearth.plan import Plan
    from hearth.signing import SigningKey


@pytest.fixture
def operator(home: LedgerHome) -> TrustedAs:
    return load_key(home, approving.trust(home))


def posture(home: LedgerHome) -> KeptPosture:
    with Ledger.open(home) as ledger:
        ledger.postures.believe(vouching(home.policy, ledger.ledger_id))
        return ledger.postures.load()


def damage_journal(home: LedgerHome) -> Path:
    path = home.journal_path("run-1")
    journal = Journal.create(path)
    observer = ExecutionObserver("run-1", "p", journal=journal)
    for index in range(3):
        with observer.step(index, "a step"):
            pass
    journal.close()
    path.write_bytes(path.read_bytes().replace(b"a step", b"b step", 1))
    return path


def test_a_new_ledger_permits_everything(home: LedgerHome) -> None:
    view = read_posture(home)
    assert view.to_dict() == {
        "version": 0,
        "security": "OPERATIONAL",
        "boundary": "NOMINAL",
        "since": None,
        "who": "",
        "why": "",
        "source": "",
        "signature": "",
        "permits": {"DRY_RUN": None, "STAGING": None, "LIVE": None},
        "running": [],
        "note": "",
    }
    assert posture_history(home) == []


def test_a_posture_permits_what_artemis_and_the_policy_do(home: LedgerHome) -> None:
    home.policy.write_text(
        "states:\n  DEGRADED: {modes: [DRY_RUN, LIVE], tasks: [file, shell]}\n  ELEVATED: {tasks: [file]}\n"
    )
    report_states(home, security=SecurityState.DEGRADED, why="noise", source="edr", who="Ada")
    assert read_posture(home).permits == {"DRY_RUN": ("file", "shell")}
    report_states(home, boundary=BoundaryState.ELEVATED, why="noise", source="edr", who="Ada")
    assert read_posture(home).permits == {"DRY_RUN": ("file",)}
    home.policy.write_text("states: 7\n")
    view = read_posture(home)
    assert view.permits == {}
    assert "policy.yaml" in view.note


def test_a_lockdown_is_said_once_and_needs_a_reason(home: LedgerHome) -> None:
    with pytest.raises(GateRefusedError, match="needs a reason"):
        lock_down(home, who="Ada", why=" ")
    home.policy.write_text("no: [policy")
    first = lock_down(home, who="Ada", why="an intruder")
    again = lock_down(home, who="Bob", why="too")
    assert (first.new, again.new) == (True, False)
    assert first.runs == ()
    assert again.kept.reason == "an intruder (by Ada)"
    assert again.to_dict()["security"] == "LOCKDOWN"


def test_a_lockdown_needs_no_readable_posture(home: LedgerHome) -> None:
    report_states(home, security=SecurityState.DEGRADED, why="noise", source="edr", who="Ada")
    with closing(sqlite3.connect(home.database)) as connection, connection:
        connection.execute("UPDATE postures SET security = 'SUNNY'")
    locked = lock_down(home, who="Ada", why="in doubt")
    assert locked.kept.posture == Posture(SecurityState.LOCKDOWN, BoundaryState.LOCKDOWN)


def test_only_an_operator_s_signature_restores(home: LedgerHome, operator: TrustedAs) -> None:
    with pytest.raises(GateRefusedError, match="nothing to restore"):
        restore_posture(home, operator, why="x")
    lock_down(home, who="Ada", why="a drill")
    for stranger in (TrustedAs(operator.path, operator.key, "ann", ("approver",)), _unknown(operator)):
        with pytest.raises(GateRefusedError, match=r"does not trust .* as an operator's"):
            restore_posture(home, stranger, why="x")
    with pytest.raises(GateRefusedError, match="needs who does it and why"):
        restore_posture(home, operator, why=" ")
    entry = restore_posture(home, operator, why="a drill", security=SecurityState.DEGRADED)
    assert (str(entry.kept.posture), entry.signature, entry.kept.who) == ("DEGRADED/NOMINAL", "verified", "ann")
    assert restore_posture(home, operator, why="over").kept.posture == Posture()
    assert [(one.kept.version, one.signature) for one in posture_history(home)] == [
        (1, ""),
        (2, "verified"),
        (3, "verified"),
    ]


def _unknown(operator: TrustedAs) -> TrustedAs:
    return TrustedAs(operator.path, operator.key, None, ())


def test_a_signature_that_was_put_elsewhere_does_not_hold(home: LedgerHome, operator: TrustedAs) -> None:
    lock_down(home, who="Ada", why="a drill")
    restore_posture(home, operator, why="a drill")
    lock_down(home, who="Ada", why="an intruder")
    with closing(sqlite3.connect(home.database)) as connection, connection:
        connection.execute(
            "INSERT INTO postures SELECT 4, security, boundary, who, why, source, created, envelope "
            "FROM postures WHERE version = 2"
        )
    *_, forged = posture_history(home)
    assert not forged.ok
    assert "the posture has changed since this was signed" in forged.signature
    assert not read_posture(home).entry.ok


def test_a_report_in_the_folder_is_taken_when_a_command_opens_the_ledger(
    home: LedgerHome, make_plan: Callable[..., Plan]
) -> None:
    report = {"security": "LOCKDOWN", "reason": "ransomware", "source": "edr"}
    (home.reports / "1.json").write_text(json.dumps(report))
    with pytest.raises(GateRefusedError, match="LOCKDOWN"):
        run_plan(make_plan({"name": "a", "shell": "true"}), home=home)
    assert (posture(home).why, posture(home).source) == ("ransomware", "edr")


def test_a_clock_behind_the_ledger_degrades_until_an_operator_knows(home: LedgerHome, operator: TrustedAs) -> None:
    future = datetime(2999, 1, 1, tzinfo=UTC)
    with Ledger.open(home) as ledger:
        ledger.postures.compare_and_set(
            0, KeptPosture(Posture(boundary=BoundaryState.ELEVATED), 1, "", "", "x", future)
        )
    assert read_posture(home).entry.kept.source == "clock"
    assert posture(home).posture == Posture(SecurityState.DEGRADED, BoundaryState.ELEVATED)
    restore_posture(home, operator, why="the clock was wrong, now it is right")
    assert read_posture(home).entry.kept.posture == Posture()


def test_damage_that_recovery_finds_compromises(home: LedgerHome, records: Records, operator: TrustedAs) -> None:
    damage_journal(home)
    with pytest.raises(JournalDamagedError):
        records.read(records.find("run-1"))
    assert (posture(home).posture.security, posture(home).source) == (SecurityState.COMPROMISED, "journal")
    restore_posture(home, operator, why="seen")
    assert [one.outcome for one in recover(records)] == ["damaged"]
    assert (posture(home).posture.security, posture(home).source) == (SecurityState.COMPROMISED, "recover")
    restore_posture(home, operator, why="known")
    assert [bool(one.verdict) for one in verify_all(records)] == [False]
    assert posture(home).posture == Posture(), "what lies in quarantine was told of when it came there"


def test_a_record_that_was_changed_compromises_once(
    home: LedgerHome, records: Records, operator: TrustedAs, make_plan: Callable[..., Plan]
) -> None:
    run_plan(make_plan({"name": "a", "shell": "true"}), home=home, execution_id="run-1")
    with closing(sqlite3.connect(home.database)) as connection, connection:
        connection.execute("UPDATE executions SET record = CAST(replace(record, 'dry run', 'wet run') AS BLOB)")
    for expected in (SecurityState.COMPROMISED, SecurityState.OPERATIONAL):
        assert [bool(one.verdict) for one in verify_all(records)] == [False]
        assert posture(home).posture.security is expected
        if expected is SecurityState.COMPROMISED:
            restore_posture(home, operator, why="the record is known to be bad")


def test_bytes_that_cannot_be_read_degrade(home: LedgerHome, records: Records, make_plan: Callable[..., Plan]) -> None:
    run_plan(make_plan({"name": "a", "shell": "true"}), home=home, execution_id="run-1")
    with closing(sqlite3.connect(home.database)) as connection, connection:
        connection.execute("UPDATE executions SET record = x'00'")
    assert [bool(one.verdict) for one in verify_all(records)] == [False]
    assert (posture(home).posture.security, posture(home).source) == (SecurityState.DEGRADED, "verify")


def test_a_posture_that_cannot_be_worsened_is_warned_of(
    home: LedgerHome, records: Records, caplog: pytest.LogCaptureFixture
) -> None:
    damage_journal(home)
    with closing(sqlite3.connect(home.database)) as connection, connection:
        connection.execute("ALTER TABLE postures RENAME TO lost")
    with caplog.at_level(logging.WARNING):
        assert [one.outcome for one in recover(records)] == ["damaged"]
    assert "the posture could not be worsened for it" in caplog.text


def refuse(home: LedgerHome, times: int) -> Posture:
    with HearthKernel.open(home) as kernel:
        for _ in range(times):
            record_refusal(kernel, plan_digest="0" * 64, code="missing", who="Mallory")
        return kernel.posture


def test_refused_approvals_elevate_the_boundary(home: LedgerHome, operator: TrustedAs) -> None:
    with home.policy.open("a") as policy:
        policy.write("sensors: {refused_approvals: 3}\n")
    assert refuse(home, 2) == Posture()
    assert refuse(home, 1) == Posture(boundary=BoundaryState.ELEVATED)
    assert (
        posture(home).why
        == "3 runs were refused for want of an approval within an hour, the last one because there was none"
    )
    restore_posture(home, operator, why="it was a script of ours")
    assert refuse(home, 2) == Posture(), "an operator has answered for the earlier ones"
    with closing(sqlite3.connect(home.database)) as connection, connection:
        connection.execute("UPDATE refusals SET created = '2020-01-01T00:00:00.000000Z'")
    assert refuse(home, 2) == Posture()
    assert refuse(home, 1) == Posture(boundary=BoundaryState.ELEVATED)


def test_a_live_run_without_an_approval_counts_as_refused(home: LedgerHome, make_plan: Callable[..., Plan]) -> None:
    home.policy.write_text("sensors: {refused_approvals: 1}\n")
    arguments: dict[str, Any] = {"home": home, "mode": LiveMode.LIVE}
    with pytest.raises(ApprovalRefusedError):
        run_plan(make_plan({"name": "a", "shell": "true"}), **arguments)
    assert posture(home).posture == Posture(boundary=BoundaryState.ELEVATED)


def test_a_plan_that_is_not_what_was_approved_elevates_the_boundary(
    home: LedgerHome, key: Path, make_plan: Callable[..., Plan]
) -> None:
    """The approval stands there, and an input changed before the run: it is found when the approval is looked for."""
    plan = make_plan({"name": "a", "shell": "true"})
    (plan.folder / "data").write_text("approved")
    approving.approve(home, make_plan({"name": "a", "shell": "true"}, inputs=["data"]), key)
    (plan.folder / "data").write_text("changed")
    with pytest.raises(ApprovalRefusedError, match="is not what was approved"):
        run_plan(make_plan({"name": "a", "shell": "true"}, inputs=["data"]), home=home, mode=LiveMode.LIVE)
    assert (posture(home).posture, posture(home).source) == (Posture(boundary=BoundaryState.ELEVATED), "inputs")


SECRET = "ghp_" + "0123456789abcdefghij" * 2


def test_no_text_that_is_kept_of_a_posture_or_a_hold_has_a_secret(
    home: LedgerHome, operator: TrustedAs, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = f"pushed with {SECRET}"
    report_states(home, security=SecurityState.DEGRADED, why=said, source=said, who=said)
    (home.reports / "1.json").write_text(json.dumps({"boundary": "ELEVATED", "reason": said, "source": said}))
    assert read_posture(home).entry.kept.posture.boundary == "ELEVATED"
    with HearthKernel.open(home) as kernel:
        kernel.escalate("COMPROMISED", said, who=said, source=said)
    assert "pushed with [redacted:" in lock_down(home, who=said, why=said).kept.reason
    assert restore_posture(home, operator, why=said).signature == "verified"
    monkeypatch.setattr("hearth.operations._hold.person", lambda: said)
    for act in (add_hold, release_hold):
        act(home, "plan", "p", reason=said)
    (held,) = list_holds(home, released=True)
    assert "[redacted:" in held.why
    assert SECRET.encode() not in b"".join(path.read_bytes() for path in home.root.glob("ledger.db*"))
    assert all(entry.ok for entry in posture_history(home))


def forge(home: LedgerHome, version: int, envelope: bytes | None = None, posture: str = "OPERATIONAL") -> None:
    with closing(sqlite3.connect(home.database)) as connection, connection:
        connection.execute(
            "INSERT INTO postures VALUES (?, ?, 'NOMINAL', 'x', 'x', 'operator', '2025-09-01T12:00:00.000000Z', ?)",
            (version, posture, envelope),
        )


@pytest.mark.parametrize("rows", [[b"\0"], [None], [None, None], [b"\0", None]])
def test_a_posture_that_nobody_signed_permits_nothing_until_an_operator_answers_for_it(
    home: LedgerHome, operator: TrustedAs, make_plan: Callable[..., Plan], rows: list[bytes | None]
) -> None:
    home.policy.write_text(home.policy.read_text() + 'staging: {targets: ["*"]}\n')
    plan = make_plan({"name": "a", "shell": "true"})
    lock_down(home, who="Ada", why="an intruder")
    for version, envelope in enumerate(rows, 2):
        forge(home, version, envelope)
    for mode in (LiveMode.DRY_RUN, LiveMode.STAGING):
        with pytest.raises(GateRefusedError, match="the posture is not known"):
            run_plan(plan, home=home, mode=mode)
    view = read_posture(home)
    assert (str(view.entry.kept.posture), view.permits) == ("LOCKDOWN/NOMINAL", {})
    assert not view.entry.ok
    assert [entry.ok for entry in posture_history(home)] == [True] + [False] * len(rows)
    reported = report_states(home, boundary=BoundaryState.ELEVATED, why="noise", source="edr", who="Ada")
    assert (str(reported.kept.posture), reported.ok) == ("LOCKDOWN/ELEVATED", False)
    entry = restore_posture(home, operator, why="forged by x", security=SecurityState.DEGRADED)
    assert (str(entry.kept.posture), entry.signature) == ("DEGRADED/ELEVATED", "verified")
    assert run_plan(plan, home=home, mode=LiveMode.STAGING).error is None
    assert not all(entry.ok for entry in posture_history(home)), "the history goes on telling of it"


def test_a_lockdown_counts_in_doubt_and_an_operator_answers_for_the_same_posture(
    home: LedgerHome, operator: TrustedAs
) -> None:
    lock_down(home, who="Ada", why="an intruder")
    forge(home, 2)
    assert str(lock_down(home, who="Ada", why="again").kept.posture) == "LOCKDOWN/LOCKDOWN"
    assert str(read_posture(home).entry.kept.posture) == "LOCKDOWN/LOCKDOWN"
    restore_posture(home, operator, why="less", security=SecurityState.DEGRADED, boundary=BoundaryState.NOMINAL)
    forge(home, 5, posture="DEGRADED")
    entry = restore_posture(home, operator, why="known", security=SecurityState.DEGRADED)
    assert (entry.kept.version, str(entry.kept.posture), entry.signature) == (6, "DEGRADED/NOMINAL", "verified")
    with pytest.raises(GateRefusedError, match="nothing to restore"):
        restore_posture(home, operator, why="known", security=SecurityState.DEGRADED)


def test_a_key_that_left_the_policy_vouches_for_nothing(home: LedgerHome, operator: TrustedAs) -> None:
    lock_down(home, who="Ada", why="a drill")
    restore_posture(home, operator, why="over")
    assert read_posture(home).entry.ok
    home.policy.write_text("")
    view = read_posture(home)
    assert (str(view.entry.kept.posture), view.permits) == ("LOCKDOWN/NOMINAL", {})
    assert "a key has left the policy" in view.entry.signature
    other = load_key(home, approving.trust(home, "bob"))
    assert restore_posture(home, other, why="ann has left").signature == "verified"
    assert read_posture(home).entry.ok


def test_the_history_names_what_nobody_signed_and_what_is_missing(home: LedgerHome) -> None:
    for state in (SecurityState.DEGRADED, SecurityState.COMPROMISED):
        report_states(home, security=state, why="noise", source="edr", who="Ada")
    forge(home, 3, posture="DEGRADED")
    forge(home, 4, posture="DEGRADED")
    forge(home, 6, posture="LOCKDOWN")
    assert [entry.signature for entry in posture_history(home)] == [
        "",
        "",
        "nobody signed this, and it is better than COMPROMISED/NOMINAL before it",
        "nobody signed this, and it changes nothing",
        "version 5 is missing",
    ]


def test_of_two_restorations_at_a_time_one_is_told_that_nothing_is_left(
    home: LedgerHome, operator: TrustedAs, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock_down(home, who="Ada", why="an intruder")
    real = Restoration.sign

    def sign_late(self: Restoration, key: SigningKey) -> bytes:
        monkeypatch.setattr(Restoration, "sign", real)
        restore_posture(home, operator, why="the other one")
        return real(self, key)

    monkeypatch.setattr(Restoration, "sign", sign_late)
    with pytest.raises(GateRefusedError, match="by somebody else meanwhile"):
        restore_posture(home, operator, why="this one")
    assert [entry.kept.why for entry in posture_history(home)][-1] == "the other one"


FOREIGN = [
    "CREATE INDEX xx ON postures(who)",
    "CREATE TABLE xx (id)",
    "CREATE VIEW xx AS SELECT 1",
    "CREATE TRIGGER xx AFTER INSERT ON postures BEGIN SELECT 1; END",
    "DROP INDEX executions_by_start",
]


def put(home: LedgerHome, statement: str) -> None:
    with closing(sqlite3.connect(home.database)) as connection, connection:
        connection.execute(statement)


def postures_in(home: LedgerHome) -> list[tuple[str, str]]:
    with closing(sqlite3.connect(home.database)) as connection:
        return connection.execute("SELECT security, boundary FROM postures ORDER BY version").fetchall()


@pytest.mark.parametrize("statement", FOREIGN)
def test_what_somebody_put_into_the_schema_keeps_nobody_from_locking_down(
    home: LedgerHome, statement: str, caplog: pytest.LogCaptureFixture
) -> None:
    put(home, statement)
    entry = report_states(home, security=SecurityState.DEGRADED, why="a shell", source="falco", who="ann")
    assert entry.kept.posture == Posture(SecurityState.DEGRADED)
    locked = lock_down(home, who="ann", why="an intruder")
    assert locked.new
    assert postures_in(home) == [("DEGRADED", "NOMINAL"), ("LOCKDOWN", "NOMINAL")]
    assert "somebody has changed the ledger's schema" in caplog.text
    assert not lock_down(home, who="ann", why="an intruder").new
    again = report_states(home, security=SecurityState.DEGRADED, why="a shell", source="falco", who="ann")
    assert again.kept.version == locked.kept.version


def test_a_lockdown_names_and_ends_the_runs_on_a_ledger_with_a_foreign_object(home: LedgerHome) -> None:
    with Journal.create(home.journal_path("run/1")):
        put(home, FOREIGN[0])
        locked = lock_down(home, who="ann", why="an intruder", wait=0.1)
    assert [(run.execution_id, run.outcome) for run in locked.runs] == [("run/1", "running")]


@pytest.mark.parametrize(
    "trigger, told",
    [
        ("BEFORE INSERT ON postures BEGIN SELECT raise(IGNORE); END", "does NOT stand"),
        ("AFTER INSERT ON postures BEGIN DELETE FROM postures; END", "does NOT stand"),
        ("AFTER INSERT ON postures BEGIN UPDATE postures SET security = 'OPERATIONAL'; END", "does NOT stand"),
        ("BEFORE INSERT ON postures BEGIN SELECT raise(ABORT, 'not so'); END", "not so"),
    ],
)
def test_a_trigger_that_swallows_a_lockdown_is_said_aloud(home: LedgerHome, trigger: str, told: str) -> None:
    put(home, f"CREATE TRIGGER xx {trigger}")
    for _ in range(2):
        with pytest.raises(LedgerError, match=told) as caught:
            lock_down(home, who="ann", why="an intruder")
        assert any("none of HEARTH's" in note for note in caught.value.__notes__)


def test_a_report_that_is_swallowed_is_said_aloud(home: LedgerHome) -> None:
    put(home, "CREATE TRIGGER xx BEFORE INSERT ON postures BEGIN SELECT raise(IGNORE); END")
    with pytest.raises(LedgerError, match="does NOT stand"):
        report_states(home, security=SecurityState.DEGRADED, why="a shell", source="falco", who="ann")
