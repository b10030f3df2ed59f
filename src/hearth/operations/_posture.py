"""The posture of a ledger: what it is and was, a lockdown, a report, and the signed act that restores it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hearth.errors import ExecutionNotFoundError, GateRefusedError, HearthError, LedgerError, SigningError
from hearth.execution import StoppedProcesses, load_policy
from hearth.kernel import HearthKernel
from hearth.operations._find import Records
from hearth.record import format_time, utc_now
from hearth.recorder import journal_is_live
from hearth.security import (
    Artemis,
    BoundaryState,
    Finding,
    KeptPosture,
    LiveMode,
    Posture,
    Restoration,
    SecurityState,
)

if TYPE_CHECKING:
    from hearth.ledger import Ledger, LedgerHome, LedgerPostures
    from hearth.operations._find import JournalNote
    from hearth.operations._keys import TrustedAs
    from hearth.security import Policy

__all__ = [
    "Lockdown",
    "PostureEntry",
    "PostureView",
    "StoppedRun",
    "lock_down",
    "posture_history",
    "read_posture",
    "report_states",
    "restore_posture",
]

_WAIT_SECONDS = 5.0
_PAUSE_SECONDS = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class PostureEntry:
    """One posture of the history. `signature` is "" for one that needs none, `verified`, or why it does not hold."""

    kept: KeptPosture
    signature: str = ""

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong with it."""
        return self.signature in {"", "verified"}

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        kept = self.kept
        return {
            "version": kept.version,
            "security": str(kept.posture.security),
            "boundary": str(kept.posture.boundary),
            "since": None if kept.created is None else format_time(kept.created),
            "who": kept.who,
            "why": kept.why,
            "source": kept.source,
            "signature": self.signature,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class PostureView:
    """The present posture, what it and the policy permit, and the runs under way.

    `permits` maps each permitted mode to the tasks that the policy limits it to (None: all of them).
    """

    entry: PostureEntry
    permits: dict[str, tuple[str, ...] | None]
    running: tuple[JournalNote, ...]
    note: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            **self.entry.to_dict(),
            "permits": {mode: None if tasks is None else list(tasks) for mode, tasks in self.permits.items()},
            "running": [{"execution_id": note.execution_id, "plan_id": note.plan_id} for note in self.running],
            "note": self.note,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class StoppedRun:
    """A run that was under way at a lockdown. `outcome`: its status, `killed` (no seal: recover it), or `running`.

    `note` says what had to be done to its process, "" for nothing.
    """

    execution_id: str
    plan_id: str | None
    outcome: str
    seconds: float
    note: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "execution_id": self.execution_id,
            "plan_id": self.plan_id,
            "outcome": self.outcome,
            "seconds": round(self.seconds, 3),
            "note": self.note,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Lockdown:
    """A lockdown: the posture that stands now, whether this act committed it, and what became of the runs."""

    kept: KeptPosture
    new: bool
    runs: tuple[StoppedRun, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {**PostureEntry(kept=self.kept).to_dict(), "new": self.new, "runs": [run.to_dict() for run in self.runs]}


def read_posture(home: LedgerHome) -> PostureView:
    """Return the present posture, after the reports from outside were taken up."""
    with HearthKernel.open(home) as kernel, Records(home) as records:
        kept = kernel.kept_posture
        running = tuple(note for note in records.journals() if note.running)
        try:
            policy = load_policy(home.policy)
        except GateRefusedError as error:
            return PostureView(entry=PostureEntry(kept=kept), permits={}, running=running, note=str(error))
        entry = _checked(kept, kernel.ledger, policy)
        return PostureView(entry=entry, permits=_permits(kept.posture, policy), running=running)


def posture_history(home: LedgerHome) -> list[PostureEntry]:
    """Return every posture there was, oldest first, with the verdict on each signed act."""
    with HearthKernel.open(home) as kernel:
        policy = load_policy(home.policy)
        return [_checked(kept, kernel.ledger, policy) for kept in kernel.ledger.postures.history()]


def lock_down(home: LedgerHome, *, who: str, why: str, wait: float = _WAIT_SECONDS) -> Lockdown:
    """Commit LOCKDOWN, which kills every running step on this ledger, and wait for the runs to seal their records.

    It needs no policy and no readable history, only a database that can be written.
    """
    if not why.strip():
        raise GateRefusedError("a lockdown needs a reason; give --reason TEXT")
    with Records(home) as records:
        running = [note for note in records.journals() if note.running]
        new = _commit_lockdown(records.ledger.postures, who=who, why=why.strip())
        began = time.monotonic()
        kept = records.ledger.postures.load()
        return Lockdown(kept=kept, new=new, runs=_outcomes(records, running, began, wait))


def report_states(
    home: LedgerHome,
    *,
    security: SecurityState | None = None,
    boundary: BoundaryState | None = None,
    why: str,
    source: str,
    who: str,
) -> PostureEntry:
    """Worsen the posture by a report from outside, and return what stands then."""
    if not why.strip() or not source.strip():
        raise GateRefusedError("a report needs a reason and a source; give --reason TEXT and --source NAME")
    finding = Finding(security=security, boundary=boundary, reason=why.strip(), source=source.strip(), who=who)
    with HearthKernel.open(home) as kernel:
        kernel.report(finding)
        return PostureEntry(kept=kernel.kept_posture)


def restore_posture(
    home: LedgerHome,
    signer: TrustedAs,
    *,
    why: str,
    security: SecurityState | None = None,
    boundary: BoundaryState | None = None,
) -> PostureEntry:
    """Restore the posture by a signed act, wholly or only in the part that is named.

    GateRefusedError for a key that the policy does not trust as an operator's, while a run is under way on this
    ledger, without a reason, or for a worse posture.
    """
    if signer.name is None or "operator" not in signer.roles:
        raise GateRefusedError(
            f"{home.policy} does not trust {signer.path} as an operator's, so it restores nothing; its public key is "
            f"{signer.key.public}"
        )
    with HearthKernel.open(home) as kernel:
        kept = kernel.kept_posture
        to = Posture()
        if security is not None or boundary is not None:
            to = Posture(security or kept.posture.security, boundary or kept.posture.boundary)
        if to == kept.posture:
            raise GateRefusedError(f"the posture is {to} already; there is nothing to restore")
        statement = Restoration(
            ledger_id=kernel.ledger.ledger_id,
            from_version=kept.version,
            to=to,
            who=signer.name,
            why=why.strip(),
            created=utc_now(),
        )
        kernel.restore(to, who=statement.who, why=statement.why, envelope=statement.sign(signer.key))
        return _checked(kernel.kept_posture, kernel.ledger, load_policy(home.policy))


def _commit_lockdown(postures: LedgerPostures, *, who: str, why: str) -> bool:
    """Commit it; return False where it stands already. What cannot be read keeps nobody from locking down."""
    try:
        while True:
            kept = postures.load()
            posture = Artemis.escalate(kept.posture, SecurityState.LOCKDOWN)
            if posture == kept.posture:
                return False
            if postures.compare_and_set(kept.version, KeptPosture(posture, kept.version + 1, who, why, "lockdown")):
                return True
    except LedgerError:
        postures.lock_down(who=who, why=why, source="lockdown")
        return True


def _outcomes(records: Records, running: list[JournalNote], began: float, wait: float) -> tuple[StoppedRun, ...]:
    ended: dict[str, float] = {}
    stopped = StoppedProcesses(records.home.locks)
    while len(ended) < len(running) and time.monotonic() < began + wait:
        for note in running:
            if str(note.path) not in ended and not journal_is_live(note.path):
                ended[str(note.path)] = time.monotonic() - began
        stopped.attend(note.path for note in running if str(note.path) not in ended)
        time.sleep(_PAUSE_SECONDS)
    return tuple(
        StoppedRun(
            execution_id=note.execution_id or note.path.name,
            plan_id=note.plan_id,
            outcome=_outcome(records, note) if str(note.path) in ended else "running",
            seconds=ended.get(str(note.path), time.monotonic() - began),
            note=stopped.said_of(note.path),
        )
        for note in running
    )


def _outcome(records: Records, note: JournalNote) -> str:
    deadline = time.monotonic() + 1.0  # between the journal's last line and the ledger's row there is a moment
    while True:
        try:
            return str(records.ledger.get(note.execution_id or "").status)
        except ExecutionNotFoundError:
            if time.monotonic() > deadline:
                return "killed"
        except HearthError:
            return "killed"
        time.sleep(_PAUSE_SECONDS)


def _permits(posture: Posture, policy: Policy) -> dict[str, tuple[str, ...] | None]:
    permitted: dict[str, tuple[str, ...] | None] = {}
    for mode in LiveMode:
        try:
            policy.states.check(posture, mode)
        except GateRefusedError:
            continue
        if Artemis.permits(posture, mode):
            permitted[str(mode)] = _tasks(posture, policy)
    return permitted


def _tasks(posture: Posture, policy: Policy) -> tuple[str, ...] | None:
    allowed: tuple[str, ...] | None = None
    for state in (posture.security, posture.boundary):
        rule = policy.states.rules.get(str(state))
        if rule is not None and rule.tasks is not None:
            allowed = rule.tasks if allowed is None else tuple(task for task in allowed if task in rule.tasks)
    return allowed


def _checked(kept: KeptPosture, ledger: Ledger, policy: Policy) -> PostureEntry:
    if kept.envelope is None:
        return PostureEntry(kept=kept)
    try:
        statement = Restoration.verified(kept.envelope, policy.approvals.with_role("operator"))
        statement.check(
            ledger_id=ledger.ledger_id, version=kept.version - 1, to=kept.posture, who=kept.who, why=kept.why
        )
    except (SigningError, GateRefusedError) as error:
        return PostureEntry(kept=kept, signature=str(error))
    return PostureEntry(kept=kept, signature="verified")
