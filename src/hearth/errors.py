"""Every error that HEARTH raises on purpose.

    HearthError
    ├── RecordError                     a document is not a well-formed record (also a ValueError)
    │   └── LiveModeMismatchError       the record states another live mode than entry 0
    ├── RecorderError                   the recorder cannot write: nothing may act any more
    │   ├── ExecutionSealedError        the execution has its last entry already
    │   ├── JournalLockedError          another process writes this journal
    │   ├── JournalDamagedError         bytes before a whole line are wrong: tampering or a bad disk
    │   └── RecorderUnfitError          no room for the journal; the run was sealed (also an ExecutionError)
    ├── PlanError                       a plan cannot be read or is not valid (file, line, path)
    ├── RollbackHintError               a rollback hint is malformed (also a ValueError)
    ├── SecurityError
    │   └── ArtemisEscalationError      the security state became worse: the run stops
    ├── RefusedError                    HEARTH declines to act; nothing was started
    │   ├── GateRefusedError            the live-mode gate, the policy or the posture forbids it
    │   ├── ApprovalRefusedError        no valid approval for this run (`code` says which way)
    │   ├── PlanChangedError            the plan or one of its inputs is not what its digest says
    │   └── ConcurrencyRefusedError     as many runs of the plan as it allows are under way
    ├── ExecutionError                  a run did not reach its end
    │   ├── StepFailedError             a step failed; `str()` is the step's error
    │   └── RunInterruptedError         SIGINT or SIGTERM stopped the run
    ├── TaskError                       a task cannot be prepared (parameters, secrets, inputs)
    ├── ObservationError                what a step does cannot be observed as was asked, or no sandbox be had
    │   └── DriftError                  what lies on the host is not what was looked at: nothing was changed
    ├── SigningError                    a key, a signature or an envelope is not usable
    ├── EvidenceError                   a proof, checkpoint or log does not hold, or is malformed
    │   ├── EvidenceUsageError          no log, no key or no such file: nothing was found wrong
    │   ├── EvidenceBusyError           others kept the log to themselves for too long: try it again
    │   └── EquivocationError           two signed statements that cannot both be true (`notes` are both)
    └── LedgerError
        ├── LedgerNotFoundError         no ledger here
        ├── LedgerDamagedError          its database is damaged, or another file
        ├── ExecutionNotFoundError      no such execution in the ledger
        ├── ExecutionPurgedError        the record was purged; its tombstone is there
        ├── RequestNotFoundError        no such approval request in the ledger
        └── DuplicateExecutionError     the ledger holds another record under this id

Messages say what happened, where, and what to do. The errors that end a run carry the sealed record as
`execution_record`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from hearth.record import ExecutionRecord

__all__ = [
    "ApprovalRefusedError",
    "ArtemisEscalationError",
    "ConcurrencyRefusedError",
    "DriftError",
    "DuplicateExecutionError",
    "EquivocationError",
    "EvidenceBusyError",
    "EvidenceError",
    "EvidenceUsageError",
    "ExecutionError",
    "ExecutionNotFoundError",
    "ExecutionPurgedError",
    "ExecutionSealedError",
    "GateRefusedError",
    "HearthError",
    "JournalDamagedError",
    "JournalLockedError",
    "LedgerDamagedError",
    "LedgerError",
    "LedgerNotFoundError",
    "LiveModeMismatchError",
    "ObservationError",
    "PlanChangedError",
    "PlanError",
    "RecordError",
    "RecorderError",
    "RecorderUnfitError",
    "RefusedError",
    "RequestNotFoundError",
    "RollbackHintError",
    "RunInterruptedError",
    "SecurityError",
    "SigningError",
    "StepFailedError",
    "TaskError",
]


class HearthError(Exception):
    """Root of all errors that HEARTH raises on purpose."""


class RecordError(HearthError, ValueError):
    """A document is not a well-formed execution record.

    `first_bad` is the sequence number of the first entry concerned, where there is one.
    """

    def __init__(self, message: str, *, first_bad: int | None = None) -> None:
        super().__init__(message)
        self.first_bad = first_bad


class LiveModeMismatchError(RecordError):
    """The live mode asked for is not the one that entry 0 commits."""


class RecorderError(HearthError):
    """The recorder cannot write; by the first law nothing may act any more."""


class ExecutionSealedError(RecorderError):
    """The execution is sealed: nothing can be added to its record."""


class JournalLockedError(RecorderError):
    """Another process (or another recorder in this one) holds the journal."""


class JournalDamagedError(RecorderError):
    """A journal has wrong bytes before a line that still parses; it is refused, never sealed over.

    `path` is the file, `line` the first bad line (from 1), `why` the finding.
    """

    def __init__(self, path: Path | str, line: int, why: str) -> None:
        super().__init__(
            f"{path}: line {line}: {why}; this is tampering or a bad disk, so the journal is not sealed. "
            "Compare it with a copy kept elsewhere"
        )
        self.path = path
        self.line = line
        self.why = why


class PlanError(HearthError):
    """A plan cannot be read, or says something that is not valid.

    `problems` holds every finding as `file:line: path: what is wrong`.
    """

    def __init__(self, problems: str | list[str]) -> None:
        self.problems = (problems,) if isinstance(problems, str) else tuple(problems)
        super().__init__("\n".join(self.problems))


class RollbackHintError(HearthError, ValueError):
    """A rollback hint lacks a required field or has one of the wrong type."""


class SecurityError(HearthError):
    """Root of what the security kernel reports."""


class ArtemisEscalationError(SecurityError):
    """The security state became worse while a run was under way; the run stops.

    `new_state` is the worse state (enum or its upper-case name), `reason` says why. `execution_record`
    is the sealed record (INCOMPLETE), once there is one; `details` go into the entry of the step that failed by it.
    """

    details: Mapping[str, Any] | None = None

    def __init__(self, new_state: object, reason: str = "", execution_record: ExecutionRecord | None = None) -> None:
        name = str(getattr(new_state, "name", new_state))
        # By name: the states' own room stands above this file. ELEVATED alone says which of the two it is.
        which = "boundary" if type(new_state).__name__ == "BoundaryState" or name == "ELEVATED" else "security"
        super().__init__(f"{which} state escalated to {name}" + (f": {reason}" if reason else ""))
        self.new_state = new_state
        self.reason = reason
        self.execution_record = execution_record


class RefusedError(HearthError):
    """HEARTH declines to act; nothing was started."""


class GateRefusedError(RefusedError):
    """The live-mode gate, the policy or the present posture forbids the run."""


class ApprovalRefusedError(RefusedError):
    """No approval lets this run go on.

    `code` is `missing` (no request, or too few approvals), `denied`, `expired`, `not_yet`, `spent`, `host`, `mode`,
    `posture` (worse than the approval bears), `plan` (another digest), `preview`, `ledger`, `untrusted`, or `damaged`
    (what was decided cannot be read, or was changed).
    """

    def __init__(self, message: str, *, code: str) -> None:
        super().__init__(message)
        self.code = code


class PlanChangedError(RefusedError):
    """The plan or one of its inputs is not what the digest says."""


class ConcurrencyRefusedError(RefusedError):
    """As many runs of this plan are under way as it allows at a time."""


class ExecutionError(HearthError):
    """A run did not reach its end. `execution_record` is its sealed record."""

    def __init__(self, message: str, execution_record: ExecutionRecord | None = None) -> None:
        super().__init__(message)
        self.execution_record = execution_record


class RecorderUnfitError(ExecutionError, RecorderError):
    """There was no room to record the next step, so the run was sealed before it: INCOMPLETE, `recorder_failure`.

    `execution_record` is that record. A RecorderError of another class means that nothing could be sealed any more.
    """


class StepFailedError(ExecutionError):
    """A step failed; `str()` is the step's error. `step_index` and `step_name` say which one."""

    def __init__(
        self,
        message: str,
        execution_record: ExecutionRecord | None = None,
        *,
        step_index: int | None = None,
        step_name: str | None = None,
    ) -> None:
        super().__init__(message, execution_record)
        self.step_index = step_index
        self.step_name = step_name


class RunInterruptedError(ExecutionError):
    """A signal (`signum`) stopped the run; its record is sealed INCOMPLETE, cause `interrupted`."""

    def __init__(self, message: str, execution_record: ExecutionRecord | None = None, *, signum: int = 2) -> None:
        super().__init__(message, execution_record)
        self.signum = signum


class TaskError(HearthError):
    """A task cannot be prepared: a parameter, a secret or an input is wrong or missing."""


class ObservationError(HearthError):
    """What a step does cannot be observed in the way that was asked for, or a sandbox cannot be had."""


class DriftError(ObservationError):
    """What lies on the host is not what was looked at before; nothing was changed."""


class SigningError(HearthError):
    """A key cannot be read or written, a signature does not verify, or an envelope is malformed."""


class EvidenceError(HearthError):
    """A proof, a checkpoint, a signed note or a log does not hold, or is malformed."""


class EvidenceUsageError(EvidenceError):
    """There is nothing to look at, or nothing to look with: no log, no key, no such file. Nothing was found wrong."""


class EvidenceBusyError(EvidenceError):
    """Another process kept a log, or what a witness keeps, to itself for too long. Nothing is wrong with it."""


class EquivocationError(EvidenceError):
    """Two signed statements cannot both be true; `notes` are both, as they were signed: they are the proof."""

    def __init__(self, message: str, notes: tuple[bytes, bytes]) -> None:
        super().__init__(message)
        self.notes = notes


class LedgerError(HearthError):
    """The ledger cannot do what was asked."""


class LedgerNotFoundError(LedgerError):
    """There is no ledger: neither `HEARTH_HOME` nor a `.hearth` folder upward from here names one."""


class LedgerDamagedError(LedgerError):
    """The ledger's database is damaged, or is no database at all: nothing that it holds can be believed."""


class ExecutionNotFoundError(LedgerError):
    """The ledger holds no execution under this id."""


class ExecutionPurgedError(LedgerError):
    """The record was purged. `tombstone` is what was left of it (JSON form); the id is never given again."""

    def __init__(self, tombstone: Mapping[str, Any]) -> None:
        super().__init__(
            f"the execution {tombstone['execution_id']} was purged at {tombstone['purged']} by {tombstone['by']}: "
            f"{tombstone['reason']}. Its record had the hash {tombstone['execution_hash']}; its id is not given again"
        )
        self.tombstone = tombstone


class RequestNotFoundError(LedgerError):
    """The ledger holds no approval request under this id."""


class DuplicateExecutionError(LedgerError):
    """The ledger already holds another record under this execution id."""
