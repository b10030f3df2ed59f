"""HearthKernel: wires security, gate, recorder and ledger for one process.

Importing this module and `HearthKernel()` touch no file and load no database; `HearthKernel.open` does.
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any, Self, TypeVar

from hearth.errors import DuplicateExecutionError, ExecutionNotFoundError, LedgerError, LedgerNotFoundError
from hearth.security import (
    Artemis,
    BoundaryState,
    KeptPosture,
    LiveMode,
    LiveModeGate,
    Posture,
    PostureStore,
    SecurityState,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from types import TracebackType

    from hearth.execution import ApprovalExecutor, RunListener, Task
    from hearth.ledger import Ledger, LedgerHome
    from hearth.record import ExecutionRecord
    from hearth.recorder import JournalSink

__all__ = ["HearthKernel"]

_State = TypeVar("_State", SecurityState, BoundaryState, LiveMode)

_log = logging.getLogger(__name__)


class HearthKernel:
    """The security state, the boundary state and the live-mode gate of one process; safe from any thread.

    A new kernel is OPERATIONAL, NOMINAL and in DRY_RUN, in memory. `posture_store` may keep the posture
    elsewhere. `HearthKernel.open(home)` gives one with a ledger.
    """

    def __init__(self, *, posture_store: PostureStore | None = None) -> None:
        self._lock = threading.RLock()
        self._postures = posture_store or _InMemory()
        self._gate = LiveModeGate()
        self._subscribers: dict[object, Callable[[Posture, str], object]] = {}
        self._runs_under_way = 0
        self._home: LedgerHome | None = None
        self._ledger: Ledger | None = None

    # --- the posture

    @property
    def posture(self) -> Posture:
        """The present posture."""
        return self._postures.load().posture

    def get_security_state(self) -> SecurityState:
        """Return the present security state."""
        return self.posture.security

    def get_boundary_state(self) -> BoundaryState:
        """Return the present boundary state."""
        return self.posture.boundary

    def escalate(self, state: SecurityState | str, reason: str) -> Posture:
        """Worsen the security state to `state` and return the posture; a state that is no worse changes nothing.

        The gate falls back to DRY_RUN and every run under way stops, before this returns or soon after.
        """
        return self._worsen(_known(state, SecurityState), reason)

    def report_boundary(self, state: BoundaryState | str, reason: str) -> Posture:
        """Worsen the boundary state to `state`, as `escalate` does for the security state."""
        return self._worsen(_known(state, BoundaryState), reason)

    def restore(self, to: Posture | None = None, *, who: str, why: str) -> Posture:
        """Return to a better posture (OPERATIONAL/NOMINAL without `to`): an operator's explicit act.

        Raises GateRefusedError while a run is under way, without who and why, or for a worse posture.
        """
        target = Posture() if to is None else to
        with self._lock:
            return self._change(
                lambda posture: Artemis.restore(posture, target, who=who, why=why, runs_under_way=self._runs_under_way),
                who=who,
                why=why,
            )[1]

    def subscribe(self, callback: Callable[[Posture, str], object]) -> Callable[[], None]:
        """Call `callback(posture, reason)` after every worsening, in the thread that reports it; return its end.

        Callbacks must be quick. One that raises is logged; the others are still called.
        """
        key = object()
        with self._lock:
            self._subscribers[key] = callback

        def unsubscribe() -> None:
            with self._lock:
                self._subscribers.pop(key, None)

        return unsubscribe

    def begin_run(self) -> Callable[[], None]:
        """Count a run as under way (the posture is not restored meanwhile); call what is returned at its end."""
        with self._lock:
            self._runs_under_way += 1
        ended = threading.Event()

        def end_run() -> None:
            with self._lock:
                if not ended.is_set():
                    ended.set()
                    self._runs_under_way -= 1

        return end_run

    # --- the gate

    @property
    def gate(self) -> LiveModeGate:
        """The live-mode gate as it stands now."""
        return self._gate

    @property
    def live_mode(self) -> LiveMode:
        """The armed live mode; DRY_RUN unless `arm` said otherwise and the posture has not worsened since."""
        return self._gate.mode

    def arm(self, mode: LiveMode | str, *, who: str, why: str) -> LiveModeGate:
        """Arm the gate for `mode` (DRY_RUN disarms it); GateRefusedError without who and why, or in a bad posture."""
        with self._lock:
            self._gate = self._gate.arm(_known(mode, LiveMode), who=who, why=why, posture=self.posture)
            _log.info("the live-mode gate stands at %s (%s: %s)", mode, who, why)
            return self._gate

    # --- ledger and executor

    @classmethod
    def open(cls, home: LedgerHome | Path | str) -> Self:
        """Return a kernel with the ledger of `home` (the `.hearth` folder); close it, or use it in a `with`.

        Raises LedgerNotFoundError where there is none, LedgerError where it cannot be used.
        """
        from hearth.ledger import Ledger, LedgerHome

        place = home if isinstance(home, LedgerHome) else LedgerHome(home)  # type: ignore[arg-type]
        if not place.root.is_dir():
            raise LedgerNotFoundError(f"there is no ledger folder {place.root}; run `hearth init` to make one")
        kernel = cls()
        kernel._home = place
        kernel._ledger = Ledger.open(place)
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
        approval: Mapping[str, Any] | None = None,
        plan_copy: str | None = None,
    ) -> ApprovalExecutor:
        """Return a Stage 4 executor under this kernel.

        With a ledger its runs have a journal and kept outputs there, are counted against the plan's
        `concurrency`, and their sealed records are stored; then the journal, which says the same, is removed.
        `plan_copy` is the SHA-256 (hex) of the copy that is kept of the plan; entry 0 names it.
        An unreadable policy raises GateRefusedError.
        """
        from hearth.execution import ApprovalExecutor, ContentStore, load_policy

        if self._home is None or self._ledger is None:
            return ApprovalExecutor(
                self,
                execute_step,
                listener=listener,
                initiator=initiator,
                tasks=tasks,
                approval=approval,
                plan_copy=plan_copy,
            )
        return ApprovalExecutor(
            self,
            execute_step,
            journal=self._new_journal,
            tasks=tasks,
            initiator=initiator,
            listener=listener,
            store=ContentStore(self._home.outputs),
            runs_folder=self._home.runs,
            locks_folder=self._home.locks,
            ledger_id=self._ledger.ledger_id,
            approval=approval,
            plan_copy=plan_copy,
            policy=load_policy(self._home.policy),
            keep=self._keep,
        )

    def close(self) -> None:
        """Close the ledger; a second time does nothing."""
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

    def _worsen(self, to: SecurityState | BoundaryState, reason: str) -> Posture:
        with self._lock:
            before, now = self._change(lambda posture: Artemis.escalate(posture, to), who="", why=reason)
            self._gate = self._gate.after(before, now)
            callbacks = tuple(self._subscribers.values())
        if now == before:
            return now
        _log.warning("the posture worsened from %s to %s: %s", before, now, reason)
        # Outside the lock: a callback may ask this kernel, or wait for a thread that does.
        for callback in callbacks:
            try:
                callback(now, reason)
            except Exception:  # noqa: BLE001 - the others have to know too
                _log.exception("a subscriber to the posture raised")
        return now

    def _change(self, rule: Callable[[Posture], Posture], *, who: str, why: str) -> tuple[Posture, Posture]:
        while True:
            kept = self._postures.load()
            posture = rule(kept.posture)
            if posture == kept.posture:
                return posture, posture
            if self._postures.compare_and_set(kept.version, KeptPosture(posture, kept.version + 1, who, why)):
                return kept.posture, posture

    def _new_journal(self, execution_id: str) -> JournalSink:
        from hearth.recorder import Journal

        if self._home is None:
            raise LedgerNotFoundError("this kernel has no ledger folder")
        try:
            self.ledger.get_bytes(execution_id)  # also of a record that is damaged, the id is taken
        except ExecutionNotFoundError:
            path = self._home.journal_path(execution_id)
            refused = self._home.quarantine / path.name
            if refused.exists():
                raise DuplicateExecutionError(
                    f"an execution {execution_id} has a damaged journal in {refused}; choose another id"
                ) from None
            return Journal.create(path)
        raise DuplicateExecutionError(f"the ledger already holds an execution {execution_id}; choose another id")

    def _keep(self, record: ExecutionRecord) -> None:
        if self._home is None:
            raise LedgerError("this kernel has no ledger folder")
        self.ledger.store(record)
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
