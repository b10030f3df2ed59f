"""HearthKernel: wires security, gate, recorder and ledger for one process.

Importing this module and `HearthKernel()` touch no file and load no database; `HearthKernel.open` does.
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any, Self, TypeVar

from hearth.errors import (
    DuplicateExecutionError,
    ExecutionNotFoundError,
    GateRefusedError,
    LedgerError,
    LedgerNotFoundError,
)
from hearth.execution import PostureKeeper
from hearth.security import (
    Artemis,
    BoundaryState,
    Finding,
    KeptPosture,
    LiveMode,
    LiveModeGate,
    Posture,
    PostureStore,
    Restoration,
    SecurityState,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from types import TracebackType

    from hearth.execution import (
        ApprovalExecutor,
        ApprovalGuard,
        Notifier,
        RunListener,
        RunNotices,
        Sandboxing,
        Sensors,
        Task,
    )
    from hearth.ledger import Ledger, LedgerHome
    from hearth.record import ExecutionRecord
    from hearth.recorder import JournalSink

__all__ = ["HearthKernel"]

_State = TypeVar("_State", SecurityState, BoundaryState, LiveMode)

_log = logging.getLogger(__name__)


class HearthKernel:
    """The security state, the boundary state and the live-mode gate of one process; safe from any thread.

    A new kernel is OPERATIONAL, NOMINAL and in DRY_RUN, in memory. `posture_store` may keep the posture
    elsewhere; while a run is under way a thread looks there fifty times a second. `HearthKernel.open(home)` gives one
    with a ledger, whose posture all processes on it share.
    """

    def __init__(self, *, posture_store: PostureStore | None = None) -> None:
        self._home: LedgerHome | None = None
        self._ledger: Ledger | None = None
        self._sensors: Sensors | None = None
        self._notifier: Notifier | None = None
        self._keeper = PostureKeeper(posture_store or _InMemory(), shared=posture_store is not None)

    # --- the posture

    @property
    def posture(self) -> Posture:
        """The present posture; LedgerError where it cannot be read."""
        return self.kept_posture.posture

    @property
    def kept_posture(self) -> KeptPosture:
        """The present posture with its version, and who changed it last, why and when."""
        return self._keeper.load()

    def get_security_state(self) -> SecurityState:
        """Return the present security state."""
        return self.posture.security

    def get_boundary_state(self) -> BoundaryState:
        """Return the present boundary state."""
        return self.posture.boundary

    def escalate(self, state: SecurityState | str, reason: str, *, who: str = "", source: str = "kernel") -> Posture:
        """Worsen the security state to `state` and return the posture; a state that is no worse changes nothing.

        The gate falls back to DRY_RUN and every run under way stops, before this returns or soon after.
        """
        return self._keeper.worsen(_known(state, SecurityState), who=who, why=reason, source=source)

    def report_boundary(
        self, state: BoundaryState | str, reason: str, *, who: str = "", source: str = "kernel"
    ) -> Posture:
        """Worsen the boundary state to `state`, as `escalate` does for the security state."""
        return self._keeper.worsen(_known(state, BoundaryState), who=who, why=reason, source=source)

    def report(self, finding: Finding) -> Posture:
        """Worsen the posture for what a sensor found; not again for a lasting finding that it was restored after."""
        if finding.lasting and self._ledger is not None and self._ledger.postures.restored_after(finding):
            return self._present().posture
        return self._keeper.worsen(*finding.states, who=finding.who, why=finding.reason, source=finding.source)

    def restore(self, to: Posture | None = None, *, who: str, why: str, envelope: bytes | None = None) -> Posture:
        """Return to a better posture (OPERATIONAL/NOMINAL without `to`): an operator's explicit act.

        With a ledger it needs the `envelope` of a `Restoration` that says the same, signed by an operator's key. Where
        the ledger's rows are in doubt it answers for them, and starts from the worst that they may mean.
        Raises GateRefusedError while a run is under way in any process, without who and why, or for a worse posture;
        SigningError for a signature that is not an operator's.
        """
        target = Posture() if to is None else to

        def rule(kept: KeptPosture, runs: int) -> KeptPosture:
            posture = Artemis.restore(kept.posture, target, who=who, why=why, runs_under_way=runs)
            if self._ledger is not None:
                if posture == kept.posture and not self._ledger.postures.judged()[1]:
                    return kept  # a signature is used only where there is something to restore, or to answer for
                self._signed(envelope).check(
                    ledger_id=self._ledger.ledger_id, version=kept.version, to=target, who=who, why=why
                )
            return KeptPosture(posture, kept.version + 1, who, why, "operator", envelope=envelope)

        return self._keeper.restore(rule)

    def subscribe(self, callback: Callable[[Posture, str], object]) -> Callable[[], None]:
        """Call `callback(posture, reason)` after every worsening, in the thread that notices it; return its end.

        A posture that cannot be read during a run is told as LOCKDOWN, which it may be. Callbacks must be quick. One
        that raises is logged; the others are still called.
        """
        return self._keeper.subscribe(callback)

    def begin_run(self) -> Callable[[], None]:
        """Count a run as under way (the posture is not restored meanwhile); call what is returned at its end.

        Whether an operator whom the policy still trusts restored the posture is verified anew. GateRefusedError where
        the posture is in doubt or cannot be read.
        """
        if self._ledger is not None:
            self._ledger.postures.verify_anew()
        return self._keeper.begin_run()

    # --- the gate

    @property
    def gate(self) -> LiveModeGate:
        """The live-mode gate as it stands now."""
        return self._keeper.gate

    @property
    def live_mode(self) -> LiveMode:
        """The armed live mode; DRY_RUN unless `arm` said otherwise and the posture has not worsened since."""
        return self.gate.mode

    def arm(self, mode: LiveMode | str, *, who: str, why: str) -> LiveModeGate:
        """Arm the gate for `mode` (DRY_RUN disarms it); GateRefusedError without who and why, or in a bad posture."""
        wanted = _known(mode, LiveMode)
        gate = self._keeper.arm(lambda gate, posture: gate.arm(wanted, who=who, why=why, posture=posture))
        _log.info("the live-mode gate stands at %s (%s: %s)", mode, who, why)
        return gate

    # --- ledger and executor

    @classmethod
    def open(cls, home: LedgerHome | Path | str) -> Self:
        """Return a kernel with the ledger of `home` (the `.hearth` folder); close it, or use it in a `with`.

        Reports from outside are taken up, and the clock is compared with the ledger, before it returns.
        Raises LedgerNotFoundError where there is none, LedgerError where it cannot be used.
        """
        from hearth.execution import NoticedPostures, Notifier, PolicyFile, RunsUnderWay, Sensors, vouching
        from hearth.ledger import Ledger, LedgerHome

        place = home if isinstance(home, LedgerHome) else LedgerHome(home)  # type: ignore[arg-type]
        if not place.root.is_dir():
            raise LedgerNotFoundError(f"there is no ledger folder {place.root}; run `hearth init` to make one")
        kernel = cls()
        kernel._home = place
        kernel._ledger = ledger = Ledger.open(place)
        ledger.postures.believe(vouching(place.policy, ledger.ledger_id))
        kernel._notifier = Notifier(PolicyFile(place.policy).load, facts={"ledger_id": ledger.ledger_id})
        kernel._sensors = Sensors(place.reports, last_written=ledger.postures.last_written, tell=kernel.report)
        kernel._keeper = PostureKeeper(
            NoticedPostures(ledger.postures, kernel.notify, present=kernel._present),
            shared=True,
            runs=RunsUnderWay(place.locks),
            sense=kernel._sensors.look,
            present=kernel._present,
        )
        try:
            kernel._sensors.open()
        except BaseException:
            kernel.close()
            raise
        return kernel

    @property
    def home(self) -> LedgerHome | None:
        """The ledger's folder, or None in memory."""
        return self._home

    @property
    def ledger(self) -> Ledger:
        """The ledger; LedgerNotFoundError in memory."""
        if self._ledger is None:
            raise LedgerNotFoundError("this kernel has no open ledger; use HearthKernel.open(home)")
        return self._ledger

    def executor(
        self,
        execute_step: Callable[[Any], object] | None = None,
        *,
        listener: RunListener | None = None,
        initiator: str | None = None,
        tasks: Mapping[str, Task] | None = None,
        approval: ApprovalGuard | Mapping[str, Any] | None = None,
        plan_copy: str | None = None,
        sandbox: Sandboxing | None = None,
        in_place: bool = False,
    ) -> ApprovalExecutor:
        """Return a Stage 4 executor under this kernel.

        With a ledger its runs have a journal and kept outputs there, are counted against the plan's
        `concurrency`, and their sealed records are stored; then the journal, which says the same, is removed.
        `plan_copy` is the SHA-256 (hex) of the copy that is kept of the plan; entry 0 names it. With a `sandbox` the
        tasks of a plan run in sandboxes; `in_place` says that they were asked to run on the host.
        An unreadable policy raises GateRefusedError, and so does a log whose key is not there.
        """
        from hearth.evidence import LogTeller
        from hearth.execution import ApprovalExecutor, ContentStore, Listeners, RunNotices, load_policy

        if self._home is None or self._ledger is None or self._notifier is None:
            return ApprovalExecutor(
                self,
                execute_step,
                listener=listener,
                initiator=initiator,
                tasks=tasks,
                approval=approval,
                plan_copy=plan_copy,
                sandbox=sandbox,
                in_place=in_place,
            )
        policy = load_policy(self._home.policy)
        teller = LogTeller(self._ledger)
        teller.require_ready()
        self._notifier.refresh()
        notices = RunNotices(self.notify)
        return ApprovalExecutor(
            self,
            execute_step,
            journal=lambda execution_id: self._new_journal(execution_id, notices),
            tasks=tasks,
            initiator=initiator,
            listener=Listeners(listener, notices),
            store=ContentStore(self._home.outputs),
            runs_folder=self._home.runs,
            locks_folder=self._home.locks,
            ledger_id=self._ledger.ledger_id,
            approval=approval,
            plan_copy=plan_copy,
            policy=policy,
            keep=self._keep,
            announce=teller.opened,
            sandbox=sandbox,
            in_place=in_place,
        )

    def approval(self, request_id: str, *, preview_digest: str | None = None) -> ApprovalGuard:
        """Return what holds one run to the approval asked for with this request; LedgerNotFoundError in memory.

        `preview_digest` is that of the manifest that the run will be held to.
        """
        from hearth.execution import ApprovalGuard, PolicyFile

        home = self._home
        if home is None:
            raise LedgerNotFoundError("this kernel has no ledger folder, so no approvals")
        return ApprovalGuard(
            self.ledger.approvals,
            request_id,
            ledger_id=self.ledger.ledger_id,
            policy=PolicyFile(home.policy).load,
            posture=lambda: self.posture,
            preview_digest=preview_digest,
        )

    # --- notifications

    def notify(self, event: str, payload: Mapping[str, Any]) -> None:
        """Tell the hooks of the ledger's policy; returns at once and raises nothing. In memory nobody is told."""
        if self._notifier is not None:
            self._notifier.send(event, payload)

    def settle_notices(self) -> tuple[str, ...]:
        """Wait for notifications that are under way, at most five seconds in all, and return what went wrong."""
        return () if self._notifier is None else self._notifier.settle()

    def close(self) -> None:
        """Settle the notifications, warn of those that failed, and close the ledger; a second time does nothing."""
        try:
            for problem in self.settle_notices():
                _log.warning("%s", problem)
        finally:
            ledger, self._ledger = self._ledger, None
            if ledger is not None:
                ledger.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- inside

    def _present(self) -> KeptPosture:
        return self.ledger.postures.judged()[0]

    def _signed(self, envelope: bytes | None) -> Restoration:
        from hearth.execution import load_policy

        if envelope is None or self._home is None:
            raise GateRefusedError(
                "the posture of a ledger is restored only by a signed act of an operator; use `hearth restore`"
            )
        return Restoration.verified(envelope, load_policy(self._home.policy).approvals.with_role("operator"))

    def _new_journal(self, execution_id: str, notices: RunNotices) -> JournalSink:
        if self._home is None:
            raise LedgerNotFoundError("this kernel has no ledger folder")
        self.require_new(execution_id)
        return notices.new_journal(execution_id, self._home.journal_path(execution_id))

    def require_new(self, execution_id: str) -> None:
        """Raise DuplicateExecutionError when the ledger knows this id, in whatever state."""
        if self._home is None:
            return
        try:
            self.ledger.get_bytes(execution_id)  # also of a record that is damaged, the id is taken
        except ExecutionNotFoundError:
            refused = self._home.quarantine / self._home.journal_path(execution_id).name
            if refused.exists():
                raise DuplicateExecutionError(
                    f"an execution {execution_id} has a damaged journal in {refused}; choose another id"
                ) from None
            return
        raise DuplicateExecutionError(f"the ledger already holds an execution {execution_id}; choose another id")

    def _keep(self, record: ExecutionRecord) -> None:
        if self._home is None:
            raise LedgerError("this kernel has no ledger folder")
        from hearth.evidence import LogTeller

        self.ledger.store(record)
        LogTeller(self.ledger).sealed(record.execution_id)
        if self._keeper.in_doubt:
            return  # a database that could not be read may not give back what it took: the journal stays too
        try:
            self._home.journal_path(record.execution_id).unlink(missing_ok=True)
        except OSError as error:
            # Harmless: `hearth recover` finds the record in the ledger and removes the journal.
            _log.warning("the journal of %s is stored but cannot be removed: %s", record.execution_id, error)


class _InMemory:
    """A PostureStore for one process; it ends with it."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._kept = KeptPosture()

    def load(self) -> KeptPosture:
        return self._kept

    def compare_and_set(self, expected: int, new: KeptPosture) -> bool:
        with self._lock:
            if self._kept.version != expected:
                return False
            self._kept = new
            return True


def _known(value: _State | str, kind: type[_State]) -> _State:
    member = kind.parse(value)
    if member is None:
        raise ValueError(f"{value!r} is no {kind.__name__}; use one of {', '.join(kind.__members__)}")
    return member
