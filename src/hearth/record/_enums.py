"""The words that a record uses for statuses, events, effects and causes."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["ExecutionStatus", "Origin", "SealCause", "SideEffectCategory", "StepEventType"]


class ExecutionStatus(StrEnum):
    """How far an execution came; STARTED until its seal."""

    STARTED = "started"
    COMPLETED = "completed"
    COMPLETED_PARTIAL = "completed_partial"
    FAILED = "failed"
    INCOMPLETE = "incomplete"


class StepEventType(StrEnum):
    """What an entry of the chain says."""

    EXECUTION_STARTED = "execution_started"
    STEP_STARTED = "step_started"
    STEP_COMPLETED = "step_completed"
    STEP_FAILED = "step_failed"
    SIDE_EFFECT = "side_effect"
    EXECUTION_SEALED = "execution_sealed"


class SideEffectCategory(StrEnum):
    """What kind of thing a side effect changed."""

    FILE_SYSTEM = "file_system"
    NETWORK = "network"
    DATA_MUTATION = "data_mutation"
    CONFIGURATION = "configuration"
    SYSTEM = "system"
    OTHER = "other"


class Origin(StrEnum):
    """Who says that an effect happened: the code that ran, or an observer of it."""

    REPORTED = "reported"
    OBSERVED = "observed"


class SealCause(StrEnum):
    """Why an execution was sealed. The last three give the status INCOMPLETE."""

    COMPLETED = "completed"
    FAILED = "failed"
    ESCALATION = "escalation"
    INTERRUPTED = "interrupted"
    RECOVERED = "recovered"
    RECORDER_FAILURE = "recorder_failure"
