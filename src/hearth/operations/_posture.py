"""The posture of a ledger: what it is and was, a lockdown, a report, and the signed act that restores it."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hearth.errors import GateRefusedError, HearthError, LedgerError, LedgerNotFoundError
from hearth.execution import Notifier, PolicyFile, load_policy, posture_notice, vouching
from hearth.kernel import HearthKernel
from hearth.ledger import require_kept
from hearth.operations._find import Records
from hearth.operations._log_follows import log_follows
from hearth.operations._stopping import StoppedRun, despite, journals_running, outcomes
from hearth.record import Redactor, format_time, utc_now
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
    from collections.abc import Callable

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
    "posture_doubt",
    "posture_history",
    "read_posture",
    "report_states",
    "restore_posture",
]

_log = logging.getLogger(__name__)
_WAIT_SECONDS = 5.0
_LOCKED = Posture(SecurityState.LOCKDOWN, BoundaryState.LOCKDOWN)


@dataclass(frozen=True, slots=True, kw_only=True)
class PostureEntry:
    """One posture of the history. `signature` is "" for one that needs none, `verified`, or what is wrong with it."""

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
class Lockdown:
    """A lockdown: the posture that stands now, whether this act committed it, and what became of the runs."""

    kept: KeptPosture
    new: bool
    runs: tuple[StoppedRun, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {**PostureEntry(kept=self.kept).to_dict(), "new": self.new, "runs": [run.to_dict() for run in self.runs]}


def read_posture(home: LedgerHome) -> PostureView:
    """Return the present posture, after the reports from outside were taken up.

    Where it is in doubt, the entry has the worst that it may be, says why, and nothing is permitted. LedgerError for a
    database that cannot be read.
    """
    with HearthKernel.open(home) as kernel, Records(home) as records:
        kept, doubt = kernel.ledger.postures.judged()
        running = tuple(note for note in records.journals() if note.running)
        try:
            policy = load_policy(home.policy)
        except GateRefusedError as error:
            entry = PostureEntry(kept=kept, signature=doubt)
            return PostureView(entry=entry, permits={}, running=running, note=str(error))
        if doubt:
            return PostureView(entry=PostureEntry(kept=kept, signature=doubt), permits={}, running=running)
        entry = _checked(kept, vouching(home.policy, kernel.ledger.ledger_id))
        return PostureView(entry=entry, permits=_permits(kept.posture, policy), running=running)


def posture_history(home: LedgerHome) -> list[PostureEntry]:
    """Return every posture there was, oldest first, with what is wrong with each: its signature, none, a gap.

    GateRefusedError for a policy, and LedgerDamagedError for a row, that cannot be read.
    """
    with HearthKernel.open(home) as kernel:
        load_policy(home.policy)  # one that cannot be read is said once, not of every row
        vouch = vouching(home.policy, kernel.ledger.ledger_id)
        entries, before = [], KeptPosture()
        for kept in kernel.ledger.postures.history():
            entries.append(_compared(before, _checked(kept, vouch)))
            before = kept
        return entries


def posture_doubt(home: LedgerHome) -> str:
    """Return why the history as a whole is not believed, "" where it is: rows at its end may be gone, for instance."""
    with HearthKernel.open(home) as kernel:
        return kernel.ledger.postures.judged()[1]


@log_follows
def lock_down(home: LedgerHome, *, who: str, why: str, wait: float = _WAIT_SECONDS) -> Lockdown:
    """Commit LOCKDOWN, which kills every running step on this ledger, and wait for the runs to seal their records.

    It needs no policy and no readable history, only a database that can be written. Once it is committed, the policy's
    hooks are told, and waited for at most five seconds. GateRefusedError without a reason.
    """
    redactor = Redactor()
    who, why = redactor.text(who), redactor.text(why.strip())
    if not why:
        raise GateRefusedError("a lockdown needs a reason; give --reason TEXT")
    try:
        with Records(home) as records:
            running = [note for note in records.journals() if note.running]
            ledger = records.ledger
            return _locked_down(home, ledger.postures, ledger.ledger_id, running, ledger, who=who, why=why, wait=wait)
    except LedgerNotFoundError:
        raise
    except LedgerError as error:
        with despite(home, error) as (postures, ledger_id):
            running = journals_running(home)
            return _locked_down(home, postures, ledger_id, running, None, who=who, why=why, wait=wait)


def _locked_down(
    home: LedgerHome,
    postures: LedgerPostures,
    ledger_id: str,
    running: list[JournalNote],
    ledger: Ledger | None,
    *,
    who: str,
    why: str,
    wait: float,
) -> Lockdown:
    postures.believe(vouching(home.policy, ledger_id))
    before, kept = _commit_lockdown(postures, who=who, why=why)
    require_kept(home, kept)
    began = time.monotonic()
    notifier = Notifier(PolicyFile(home.policy).load, facts={"ledger_id": ledger_id})
    new = before is None or kept.version != before.version
    if new:
        notifier.send(*posture_notice(None if before is None else before.posture, kept))
    try:
        runs = outcomes(home, ledger, running, began, wait)
    finally:
        for problem in notifier.settle():
            _log.warning("%s", problem)
    return Lockdown(kept=kept, new=new, runs=runs)


@log_follows
def report_states(
    home: LedgerHome,
    *,
    security: SecurityState | None = None,
    boundary: BoundaryState | None = None,
    why: str,
    source: str,
    who: str,
) -> PostureEntry:
    """Worsen the posture by a report from outside, and return what stands then.

    GateRefusedError without a reason or a source; LedgerError where it cannot be kept.
    """
    if not why.strip() or not source.strip():
        raise GateRefusedError("a report needs a reason and a source; give --reason TEXT and --source NAME")
    finding = Finding(security=security, boundary=boundary, reason=why.strip(), source=source.strip(), who=who)
    try:
        with HearthKernel.open(home) as kernel:
            kernel.report(finding)
            kept, doubt = kernel.ledger.postures.judged()
            return PostureEntry(kept=kept, signature=doubt)
    except LedgerNotFoundError:
        raise
    except LedgerError as error:
        with despite(home, error) as (postures, ledger_id):
            postures.believe(vouching(home.policy, ledger_id))
            return _reported(home, postures, finding)


def _reported(home: LedgerHome, postures: LedgerPostures, finding: Finding) -> PostureEntry:
    redactor = Redactor()
    who, why, source = map(redactor.text, (finding.who, finding.reason, finding.source))
    while True:
        before, doubt = postures.judged()
        posture = before.posture
        for state in finding.states:
            posture = Artemis.escalate(posture, state)
        if posture == before.posture:
            return PostureEntry(kept=before, signature=doubt)
        new = KeptPosture(posture, before.version + 1, who, why, source, utc_now())
        if postures.compare_and_set(before.version, new):
            require_kept(home, new)
            return PostureEntry(kept=new, signature=postures.judged()[1])


@log_follows
def restore_posture(
    home: LedgerHome,
    signer: TrustedAs,
    *,
    why: str,
    security: SecurityState | None = None,
    boundary: BoundaryState | None = None,
) -> PostureEntry:
    """Restore the posture by a signed act, wholly or only in the part that is named.

    Where the ledger's rows are in doubt the act answers for them; what is not named stays the worst that it may be.
    GateRefusedError for a key that the policy does not trust as an operator's, while a run is under way on this
    ledger, without a reason, or for a worse posture.
    """
    if signer.name is None or "operator" not in signer.roles:
        raise GateRefusedError(
            f"{home.policy} does not trust {signer.path} as an operator's, so it restores nothing; its public key is "
            f"{signer.key.public}"
        )
    with HearthKernel.open(home) as kernel:
        kernel.ledger.postures.require_restorable()
        kept, doubt = kernel.ledger.postures.judged()
        to = Posture()
        if security is not None or boundary is not None:
            to = Posture(security or kept.posture.security, boundary or kept.posture.boundary)
        if to == kept.posture and not doubt:
            raise GateRefusedError(f"the posture is {to} already; there is nothing to restore")
        statement = Restoration(
            ledger_id=kernel.ledger.ledger_id,
            from_version=kept.version,
            to=to,
            who=signer.name,
            why=Redactor().text(why.strip()),
            created=utc_now(),
        )
        envelope = statement.sign(signer.key)
        kernel.restore(to, who=statement.who, why=statement.why, envelope=envelope)
        for entry in kernel.ledger.postures.history(after=kept.version):
            if entry.envelope == envelope:
                return _checked(entry, vouching(home.policy, kernel.ledger.ledger_id))
        raise GateRefusedError(
            f"the posture was restored to {to} by somebody else meanwhile; there is nothing to restore"
        )


def _commit_lockdown(postures: LedgerPostures, *, who: str, why: str) -> tuple[KeptPosture | None, KeptPosture]:
    """Commit it; return what stood before and what stands now, the same where nothing had to change.

    What cannot be read or is not believed (None) keeps nobody from locking down.
    """
    try:
        while True:
            before = postures.load()
            posture = Artemis.escalate(before.posture, SecurityState.LOCKDOWN)
            if posture == before.posture:
                return before, before
            new = KeptPosture(posture, before.version + 1, who, why, "lockdown", utc_now())
            if postures.compare_and_set(before.version, new):
                return before, new
    except LedgerError:
        return None, postures.lock_down(who=who, why=why, source="lockdown")


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


def _checked(kept: KeptPosture, vouch: Callable[[KeptPosture], Restoration]) -> PostureEntry:
    if kept.envelope is None:
        return PostureEntry(kept=kept)
    try:
        vouch(kept)
    except HearthError as error:
        return PostureEntry(kept=kept, signature=str(error))
    return PostureEntry(kept=kept, signature="verified")


def _compared(before: KeptPosture, entry: PostureEntry) -> PostureEntry:
    """Return the entry with what its place in the history says against it."""
    kept = entry.kept
    wrong = [] if entry.ok else [entry.signature]
    if kept.version != before.version + 1:
        wrong.append(f"version {before.version + 1} is missing")
    if kept.envelope is None and before.posture.worse_than(kept.posture):
        wrong.append(f"nobody signed this, and it is better than {before.posture} before it")
    elif kept.envelope is None and kept.posture == before.posture and kept.posture != _LOCKED:
        wrong.append("nobody signed this, and it changes nothing")
    return PostureEntry(kept=kept, signature="; ".join(wrong)) if wrong else entry
