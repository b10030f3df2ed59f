"""PostureKeeper: the posture and the gate of one process, in step with the store that processes share."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Protocol

from hearth.errors import GateRefusedError, HearthError, LedgerError
from hearth.execution._posture_watch import PostureWatch
from hearth.record import Redactor
from hearth.security import Artemis, BoundaryState, KeptPosture, LiveMode, LiveModeGate, Posture, SecurityState

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from hearth.security import PostureStore

    Callback = Callable[[Posture, str], object]

__all__ = ["PostureKeeper", "RunCounter"]

_log = logging.getLogger(__name__)
_LOCKED = Posture(SecurityState.LOCKDOWN, BoundaryState.LOCKDOWN)


class RunCounter(Protocol):
    """Counts the runs under way of all processes."""

    def begin(self) -> Callable[[], None]:
        """Count a run; call what is returned at its end. A RefusedError when it cannot be counted."""

    def none(self, what: str) -> AbstractContextManager[None]:
        """Hold new runs back; GateRefusedError, which begins with `what`, while any is under way."""


class PostureKeeper:
    """Keeps posture, gate and subscribers of one process; safe from any thread.

    Whoever looks first (a caller, the watch while a run is under way) notices what another process has changed: a
    worse posture lets the gate fall back and is told to the subscribers, once. A store that cannot be read while a run
    is under way is doubt: for this process it may hold a LOCKDOWN, and the posture stays unknown (`load` raises) until
    the store can be read again and no run is under way. `present` says what a change starts from, also where `load` of
    the store refuses to believe what stands there: it can still worsen, and an operator can answer for it.
    """

    def __init__(
        self,
        store: PostureStore,
        *,
        shared: bool,
        runs: RunCounter | None = None,
        sense: Callable[[], object] = lambda: None,
        present: Callable[[], KeptPosture] | None = None,
    ) -> None:
        self._gate = LiveModeGate()
        self._lock = threading.RLock()
        self._store = store
        self._shared = shared
        self._runs = runs
        self._sense = sense
        self._present = store.load if present is None else present
        self._seen: KeptPosture | None = None
        self._doubt = ""
        self._subscribers: dict[object, Callback] = {}
        self._under_way = 0
        self._watch: PostureWatch | None = None

    def load(self) -> KeptPosture:
        """Return the present posture; LedgerError while it is in doubt or cannot be read."""
        if self._watch is not None and not self._watch.alive:
            self._doubted("the thread that watches the posture has ended")
        if self._doubt:
            if self._under_way:
                raise LedgerError(self._doubt)
            self._doubt = ""
        kept = self._store.load()
        self._notice(kept)
        return kept

    @property
    def in_doubt(self) -> bool:
        """Whether the store could not be read during the run that is under way."""
        return bool(self._doubt)

    @property
    def gate(self) -> LiveModeGate:
        """The gate, after a look at the posture; one that cannot be read lets nothing through."""
        if self._shared and self._gate.mode is not LiveMode.DRY_RUN:
            try:
                self.load()
            except HearthError as error:
                return LiveModeGate(why=str(error))
        return self._gate

    def arm(self, change: Callable[[LiveModeGate, Posture], LiveModeGate]) -> LiveModeGate:
        """Change the gate; `change` raises where it must not be.

        GateRefusedError while the posture is in doubt or cannot be read.
        """
        posture = self._load_or_refuse("nothing is armed").posture
        with self._lock:
            self._gate = change(self._gate, posture if self._seen is None else self._seen.posture)
            return self._gate

    def worsen(self, *states: SecurityState | BoundaryState, who: str, why: str, source: str) -> Posture:
        """Worsen the posture to all of `states`; what is no worse changes nothing. Secrets are taken out of the texts.

        When the store refuses, this process stops as if it had changed, and the error is raised.
        """
        redactor = Redactor()
        who, why, source = redactor.text(who), redactor.text(why), redactor.text(source)

        def rule(kept: KeptPosture) -> KeptPosture:
            posture = kept.posture
            for state in states:
                posture = Artemis.escalate(posture, state)
            return KeptPosture(posture, kept.version + 1, who, why, source)

        try:
            before, now = self._change(rule)
        except HearthError as error:
            what = f"it was to worsen to {'/'.join(states)} ({why}), which could not be kept: {error}"
            self._doubted(what, keep=False)
            raise
        with self._lock:
            if self._seen is None:
                self._seen = before
        self._notice(now)
        return now.posture

    def restore(self, rule: Callable[[KeptPosture, int], KeptPosture]) -> Posture:
        """Better the posture by `rule(kept, runs under way)`, which may refuse by raising; no run begins meanwhile."""
        with self._lock:
            if self._runs is None or self._under_way:
                return self._restored(rule)
            with self._runs.none(f"the posture {self._present().posture} is not restored"):
                return self._restored(rule)

    def subscribe(self, callback: Callback) -> Callable[[], None]:
        """Call `callback(posture, reason)` after every worsening; return what ends it."""
        key = object()
        with self._lock:
            self._subscribers[key] = callback

        def unsubscribe() -> None:
            with self._lock:
                self._subscribers.pop(key, None)

        return unsubscribe

    def begin_run(self) -> Callable[[], None]:
        """Count a run as under way and watch the posture meanwhile; call what is returned at its end.

        GateRefusedError while the posture is in doubt or cannot be read.
        """
        end_count = None if self._runs is None else self._runs.begin()
        ended = threading.Event()
        if self._shared:
            try:
                self._load_or_refuse("no run is started")  # what worsens from here on is told
            except BaseException:
                if end_count is not None:
                    end_count()
                raise
        with self._lock:
            self._under_way += 1
            if self._shared and self._under_way == 1:
                self._watch = PostureWatch(self.load, self._sense, self._doubted)
                self._watch.start()

        def end_run() -> None:
            watch = None
            with self._lock:
                if ended.is_set():
                    return
                ended.set()
                self._under_way -= 1
                if not self._under_way:
                    watch, self._watch = self._watch, None
            if watch is not None:
                watch.stop()
            if end_count is not None:
                end_count()

        return end_run

    # --- inside

    def _restored(self, rule: Callable[[KeptPosture, int], KeptPosture]) -> Posture:
        now = self._change(lambda kept: rule(kept, self._under_way))[1]
        self._notice(now)
        return now.posture

    def _load_or_refuse(self, what: str) -> KeptPosture:
        try:
            return self.load()
        except LedgerError as error:
            raise GateRefusedError(f"{what}, for the posture is not known: {error}") from error

    def _change(self, rule: Callable[[KeptPosture], KeptPosture]) -> tuple[KeptPosture, KeptPosture]:
        while True:
            kept = self._present()
            new = rule(kept)
            # A signed act counts also where it changes nothing: it may be the answer to a doubt.
            if new is kept or (new.posture == kept.posture and new.envelope is None):
                return kept, kept
            if self._store.compare_and_set(kept.version, new):
                return kept, new

    def _notice(self, kept: KeptPosture) -> None:
        with self._lock:
            seen = self._seen
            if seen is not None and kept.version <= seen.version:
                return
            self._seen = kept
            if seen is None or not kept.posture.worse_than(seen.posture):
                return
            self._gate = self._gate.after(seen.posture, kept.posture)
        self._tell(kept.posture, kept.reason)
        told = {"reason": kept.reason}  # who has shown it already leaves it out
        _log.warning("the posture worsened from %s to %s: %s", seen.posture, kept.posture, kept.reason, extra=told)

    def _doubted(self, why: str, *, keep: bool = True) -> None:
        with self._lock:
            if self._doubt:
                return
            self._doubt = f"the posture cannot be read, so it may be LOCKDOWN: {why}"
            self._gate = self._gate.after(Posture(), _LOCKED)
        self._tell(_LOCKED, self._doubt)
        _log.warning("%s", self._doubt)
        if keep:
            self._keep_doubt()

    def _keep_doubt(self) -> None:
        """Let the other processes know, where the store still takes it: DEGRADED, until an operator has looked."""
        try:
            self._change(
                lambda kept: KeptPosture(
                    Artemis.escalate(kept.posture, SecurityState.DEGRADED), kept.version + 1, "", self._doubt, "watch"
                )
            )
        except HearthError as error:
            _log.debug("the doubt could not be kept: %s", error)

    def _tell(self, posture: Posture, reason: str) -> None:
        with self._lock:
            callbacks = tuple(self._subscribers.values())
        # Outside the lock: a callback may ask this keeper, or wait for a thread that does.
        for callback in callbacks:
            try:
                callback(posture, reason)
            except Exception:  # noqa: BLE001 - the others have to know too
                _log.exception("a subscriber to the posture raised")
