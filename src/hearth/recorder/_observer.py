"""ExecutionObserver: writes down what an execution does, while it does it."""

from __future__ import annotations

import logging
import os
import platform
import threading
import weakref
from typing import TYPE_CHECKING, Any

from hearth._version import __version__
from hearth.errors import ExecutionSealedError, LiveModeMismatchError, RecorderError
from hearth.record import (
    Disclosure,
    ExecutionRecord,
    ExecutionStatus,
    Origin,
    Progress,
    Redactor,
    SealCause,
    Secret,
    SecuritySnapshot,
    SideEffectCategory,
    canonical_bytes,
    common_bytes,
    cut_text,
    make_details_encoder,
    make_text_encoder,
    printable,
    text_of,
)
from hearth.recorder._appender import Appender, Shut
from hearth.recorder._arguments import check_index, digest_of, index_of, mode_name
from hearth.recorder._declared import declared_effects
from hearth.recorder._feed import feed_of
from hearth.recorder._memory import EntryMemory
from hearth.recorder._read_back import read_back
from hearth.recorder._step import StepRecording

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from hearth.recorder._sink import JournalSink

__all__ = ["ExecutionObserver"]

_log = logging.getLogger("hearth.recorder")
_NOT_OBSERVED = "effects are what the code reported; nothing observed the step"
_CATEGORIES: dict[str, str] = {
    **{category: str(category) for category in SideEffectCategory},
    **{str(category): str(category) for category in SideEffectCategory},
    **{category.name: str(category) for category in SideEffectCategory},
}
_STATUS = {SealCause.FAILED: ExecutionStatus.FAILED}


class ExecutionObserver:
    """Records one execution: one chain of steps, effects and marks, in the order in which they happen.

    With three arguments it works in memory, without a file or a thread. With a `journal` each entry is handed over to
    that sink, and `record_step_started` and the marks return only when it is durable; RecorderError means that nothing
    may act any more. `plan` is any object with `steps` (each with `index`, perhaps `effects`) and perhaps `digest`;
    `plan_copy` is the SHA-256 (hex) of the copy of the plan that is kept beside the record.

    Thread-safe. In async code the calls are short, except that with a journal starts and marks wait for the disk:
    use `async with observer.step(…)`, which waits in a thread.
    """

    def __init__(
        self,
        execution_id: str,
        plan_id: str,
        kernel: object | None = None,
        *,
        journal: JournalSink | None = None,
        plan: object | None = None,
        live_mode: str | None = None,
        initiator: str | None = None,
        approval: Mapping[str, Any] | None = None,
        ledger_id: str | None = None,
        plan_copy: str | None = None,
        redactor: Redactor | None = None,
    ) -> None:
        for name, value in (("execution_id", execution_id), ("plan_id", plan_id)):
            if not isinstance(value, str):
                message = f"{name} must be a str, not {type(value).__name__}"
                raise TypeError(message)
        self._kernel = kernel
        self._redactor = Redactor() if redactor is None else redactor
        self._memory = EntryMemory()
        self._of_start: list[Disclosure] = []
        self._seal_is_durable = journal is None
        self._live_mode = None if live_mode is None else mode_name(live_mode)
        self._unknown_why: list[dict[str, Any]] | None = None
        self._encode_details = make_details_encoder(self._redactor)
        self._names = make_text_encoder(self._redactor, "/step_name")
        self._encode_name = self._names.encode
        self._encode_error = make_text_encoder(self._redactor, "/error_message").encode
        self._encode_description = make_text_encoder(self._redactor, "/description").encode
        steps = None if plan is None else tuple(getattr(plan, "steps", ()))
        self._declared = None if steps is None else declared_effects(steps, self._redactor)
        indices = None if steps is None else [index_of(step, position) for position, step in enumerate(steps)]
        self._progress = Progress(indices)
        claim = getattr(journal, "claim", None)
        if claim is not None:
            claim()
        self._feed = None if journal is None else feed_of(journal)
        self._quiet_starts = self._feed is not None and self._feed.prompt
        accepted, nudge = (
            (self._memory.recent, self._memory.fold) if self._feed is None else (self._feed.accepted, self._feed.nudge)
        )
        self._appender = Appender(
            printable(execution_id), accepted, nudge, whole_lines=journal is not None, progress=self._progress
        )
        if self._feed is not None:
            self._feed.stop_at_death(self._appender.refuse)
        self._append = self._appender.append
        self._fresh_lock()
        start = {
            "plan_id": self._text(plan_id, "plan_id"),
            "plan_digest": digest_of(plan),
            "number_of_steps": None if steps is None else len(steps),
            "step_indices": None if indices is None or indices == list(range(len(indices))) else indices,
            "plan_copy": plan_copy,
            "approval": self._caller(approval, "approval"),
            "live_mode": self._live_mode,
            "initiator": self._text(initiator, "initiator"),
            "host": self._text(platform.node(), "host"),
            "recorder_version": __version__,
            "ledger_id": ledger_id,
            "security_snapshot": self._snapshot("before execution"),
        }
        self._append(_front("execution_started", canonical_bytes(start)), "null", "null", kept=self._of_start)
        _observers.add(self)

    @property
    def status(self) -> ExecutionStatus:
        """The present status; STARTED until the seal."""
        return self._appender.status()

    @property
    def _status(self) -> ExecutionStatus:
        return self._appender.status()

    @property
    def head_hash(self) -> str:
        """The hash of the last entry, current at every moment: kept elsewhere, it shows any later change."""
        return self._appender.head()

    @property
    def redactor(self) -> Redactor:
        """What takes secrets out; make secret values known to it with `add_secret`."""
        return self._redactor

    @property
    def disclosures(self) -> tuple[Disclosure, ...]:
        """The redacted values that are kept beside the record (`record.with_disclosures` puts them into an export)."""
        with self._lock:
            return tuple(
                Disclosure(sequence=number, pointer=item.pointer, salt=item.salt, value=item.value, digest=item.digest)
                for kept, number in self._appender.disclosed
                for item in kept
            )

    def record_step_started(self, step_index: int, step_name: str, details: Any = None) -> None:  # noqa: ANN401
        """Record that a step is about to act; with a journal, durable before this returns (law 1)."""
        check_index(step_index)
        if type(step_name) is not str:
            self._redactor.make_known(step_name)
        encoded, kept = self._encode_details(details)  # first: a Secret in there makes its value known
        name = self._encode_name(step_name)
        first = "" if self._declared is None else f'"declared_effects":{self._declared.get(step_index, "[]")},'
        with self._lock:
            front = f'{first}"details":{encoded},"error_message":null,"event_type":"step_started",'
            self._append(front, step_index, name, opens=True, kept=kept, quiet=self._quiet_starts)
        if self._feed is not None:
            self._feed.sync()

    def record_step_completed(self, step_index: int, step_name: str, details: Any = None) -> None:  # noqa: ANN401
        """Record that a step did what it was to do."""
        self._end("step_completed", step_index, step_name, details, None)

    def record_step_failed(
        self,
        step_index: int,
        step_name: str,
        error_message: str | None,
        details: Any = None,  # noqa: ANN401
    ) -> None:
        """Record that a step failed; `error_message=None` is ""."""
        self._end("step_failed", step_index, step_name, details, "" if error_message is None else error_message)

    def record_side_effect(
        self,
        category: SideEffectCategory | str,
        description: str,
        reversible: bool = False,
        step_index: int | None = None,
        details: Any = None,  # noqa: ANN401
        *,
        origin: Origin = Origin.REPORTED,
    ) -> None:
        """Record something that a step changed.

        `category` is a SideEffectCategory, its name or its value; `reversible` is the reporter's word, and whatever is
        not True is no. Raises ValueError for an unknown category and TypeError for a wrong index, before anything is
        recorded.
        """
        try:
            known = _CATEGORIES[category]
        except (KeyError, TypeError):
            message = f"{category!r} is no side effect category; use one of {', '.join(SideEffectCategory.__members__)}"
            raise ValueError(message) from None
        if step_index is not None:
            check_index(step_index)
        self._redactor.make_known(description)
        encoded, kept = self._encode_details(details)
        text = self._encode_description("" if description is None else description)
        with self._lock:
            running = self._progress.open.get(step_index) if step_index is not None else None
            name = running[1] if running else "null"
            front = (
                f'"category":"{known}","description":{text},"details":{encoded},'
                f'"error_message":null,"event_type":"side_effect",'
            )
            self._append(
                front,
                "null" if step_index is None else step_index,
                name,
                f'"origin":"{origin.value}",',
                '"reversible":true,' if reversible is True else '"reversible":false,',
                kept=kept,
            )

    def step(self, index: int, name: str, details: Any = None) -> StepRecording:  # noqa: ANN401
        """Return a context manager that records the step's start, then its completion, or its failure by exception."""
        return StepRecording(self, index, name, details)

    def set_unknown_effects(self, reasons: Iterable[tuple[int | None, str]]) -> None:
        """Say what could not be seen, as (step index or None for all, why); an empty iterable: everything was seen.

        Without this call the seal says that nothing observed the steps.
        """
        why = []
        for index, text in reasons:
            if index is not None:
                check_index(index)
            why.append({"step_index": index, "why": self._text(text, "unknown_effects_why") or ""})
        self._unknown_why = why

    def mark_completed(self, reason: str = "") -> None:
        """Seal: the execution ran to its end. COMPLETED when every step did, else COMPLETED_PARTIAL."""
        self._seal(SealCause.COMPLETED, reason)

    def mark_failed(self, reason: str = "") -> None:
        """Seal: the execution failed."""
        self._seal(SealCause.FAILED, reason)

    def mark_incomplete_security_escalation(self, reason: str = "") -> None:
        """Seal: the security state became worse, and the execution was stopped."""
        self._seal(SealCause.ESCALATION, reason)

    def mark_incomplete(self, cause: SealCause, reason: str = "") -> None:
        """Seal INCOMPLETE for another cause: interrupted, recovered or recorder_failure."""
        if cause in {SealCause.COMPLETED, SealCause.FAILED}:
            message = f"the cause {cause} does not leave an execution incomplete"
            raise ValueError(message)
        self._seal(SealCause(cause), reason)

    def get_execution_record(self, live_mode_state: str | None = None) -> ExecutionRecord:
        """Return the record as it stands; before a mark it is unsealed, with status STARTED.

        Where entry 0 commits a live mode, asking with another one raises LiveModeMismatchError; where it does not, the
        record carries what is told here, and its verdict notes that the live mode is not anchored.
        """
        told = None if live_mode_state is None else mode_name(live_mode_state)
        if self._live_mode is not None and told not in {None, self._live_mode}:
            message = f"the execution was recorded in {self._live_mode}; it cannot be retrieved as {told}"
            raise LiveModeMismatchError(message)
        with self._lock:
            while True:
                head, length = self._appender.head(), self._appender.length()
                try:
                    entries = read_back(self._memory if self._feed is None else self._feed, head, length)
                    break
                except RecorderError:
                    # A signal handler may have recorded in the middle of it.
                    if self._appender.length() == length and self._appender.head() == head:
                        raise
        return ExecutionRecord.from_entries(entries, live_mode_state=told)

    def _fresh_lock(self) -> None:
        self._lock = threading.RLock()  # held around every use of the appender and of the progress
        self._end = self._appender.make_step_end(
            self._lock,
            redactor=self._redactor,
            encode_details=self._encode_details,
            names=self._names,
            encode_error=self._encode_error,
        )

    def _seal(self, cause: SealCause, reason: str) -> None:
        if self.status is ExecutionStatus.STARTED:
            snapshot = self._snapshot("after execution")
            words = self._text(reason, "reason") or ""
            with self._lock:
                # Until nothing was recorded, by a signal handler, between looking at the chain and sealing it.
                while self.status is ExecutionStatus.STARTED:
                    if self._appended_seal(cause, words, snapshot):
                        break
                else:
                    self._warn_sealed(cause)
        else:
            self._warn_sealed(cause)
        # Also where an earlier mark sealed: that one's sync may have failed, or been broken off.
        if self._feed is not None and not self._seal_is_durable:
            with self._lock:
                self._feed.nudge()
            self._feed.sync()
            self._seal_is_durable = True

    def _appended_seal(self, cause: SealCause, reason: str, snapshot: dict[str, Any]) -> bool:
        length = self._appender.length()
        if cause is SealCause.COMPLETED:
            status = self._progress.status_when_completed()
        else:
            status = _STATUS.get(cause, ExecutionStatus.INCOMPLETE)
        why = self._unknown_why
        if why is None:
            why = [{"step_index": None, "why": _NOT_OBSERVED}] if self._progress.any else []
        details = {
            "status": str(status),
            "cause": str(cause),
            "reason": reason,
            "number_of_entries": length + 1,
            "unknown_effects": bool(why),
            "unknown_effects_why": why,
            "security_snapshot": snapshot,
        }
        sealed = Shut(
            ExecutionSealedError, f"the execution is sealed ({status}); nothing can be added to its record", status
        )
        return self._append(
            _front("execution_sealed", _of_seal(details)), "null", "null", expected=length, shuts=sealed
        )

    def _text(self, value: object, name: str) -> str | None:
        if value is None or (type(value) is str and not value):
            return value
        pointer = f"/details/{name}"
        if isinstance(value, Secret):
            return self._redactor.hide(value, pointer)
        return cut_text(self._redactor.text(text_of(value), pointer))

    def _caller(self, value: Any, name: str) -> Any:  # noqa: ANN401
        if value is None:
            return None
        plain, kept = self._redactor.details(value, f"/details/{name}")
        self._of_start += kept
        return plain

    def _snapshot(self, context: str) -> dict[str, Any]:
        snapshot = SecuritySnapshot.from_kernel(self._kernel, context).to_dict()
        if self._kernel is None:
            return snapshot  # nobody else had a word in it
        return {**snapshot, "context": self._redactor.text(snapshot["context"], "/details/security_snapshot/context")}

    def _warn_sealed(self, cause: SealCause) -> None:
        _log.warning("the execution is sealed already (%s); the mark %r changes nothing", self.status, str(cause))


def _front(kind: str, details: bytes) -> str:
    """Begin a mark; the recorder's own words in it are never redacted, only what callers brought in."""
    return f'"details":{details.decode()},"error_message":null,"event_type":"{kind}",'


def _of_seal(details: dict[str, Any]) -> bytes:
    """Return the canonical bytes of a seal's details, at once: its keys are ours, and it has no floats."""
    try:
        return common_bytes(details)
    except TypeError:
        return canonical_bytes(details)


_observers: weakref.WeakSet[ExecutionObserver] = weakref.WeakSet()


def _fresh_locks() -> None:
    """In a forked child: a lock that another thread of the parent held would be held for ever here."""
    for observer in list(_observers):
        observer._fresh_lock()  # noqa: SLF001 - the module's own class


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_fresh_locks)
