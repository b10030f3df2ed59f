"""Stage 4: `ApprovalExecutor`, what a run gives, and what a task is. Names load when they are first used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hearth._lazy import lazy_names

if TYPE_CHECKING:
    from hearth.execution._approval import ApprovalGuard
    from hearth.execution._cancellation import Cancellation, CancellationHandle
    from hearth.execution._concurrency import running_executions
    from hearth.execution._declared import held_manifest
    from hearth.execution._environment import INPUTS_VARIABLE, scrubbed_environment
    from hearth.execution._executor import ApprovalExecutor, new_execution_id
    from hearth.execution._listener import Listeners, RunListener
    from hearth.execution._manifest_effects import NOT_KEPT
    from hearth.execution._policy_file import PolicyFile, load_policy
    from hearth.execution._posture_keeper import PostureKeeper
    from hearth.execution._posture_vouching import vouching
    from hearth.execution._results import ObservedEffect, PlanResult, StepOutcome
    from hearth.execution._sandbox_steps import Sandboxing
    from hearth.execution._sensors import Sensors, endings_reported, finding_of
    from hearth.execution._store import EMPTY_DIGEST, ContentStore, ContentWriter
    from hearth.execution._task import Task, TaskContext, TaskEffect, TaskResult
    from hearth.execution._under_way import RunsUnderWay
    from hearth.execution._unstop import StoppedProcesses
    from hearth.execution.notify import HookTrial, NoticedPostures, Notifier, RunNotices, posture_notice, try_hooks
    from hearth.execution.tasks.python import report_effect

__all__ = [
    "EMPTY_DIGEST",
    "INPUTS_VARIABLE",
    "NOT_KEPT",
    "ApprovalExecutor",
    "ApprovalGuard",
    "Cancellation",
    "CancellationHandle",
    "ContentStore",
    "ContentWriter",
    "HookTrial",
    "Listeners",
    "NoticedPostures",
    "Notifier",
    "ObservedEffect",
    "PlanResult",
    "PolicyFile",
    "PostureKeeper",
    "RunListener",
    "RunNotices",
    "RunsUnderWay",
    "Sandboxing",
    "Sensors",
    "StepOutcome",
    "StoppedProcesses",
    "Task",
    "TaskContext",
    "TaskEffect",
    "TaskResult",
    "endings_reported",
    "finding_of",
    "held_manifest",
    "load_policy",
    "new_execution_id",
    "posture_notice",
    "report_effect",
    "running_executions",
    "scrubbed_environment",
    "try_hooks",
    "vouching",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "EMPTY_DIGEST": "_store",
        "INPUTS_VARIABLE": "_environment",
        "NOT_KEPT": "_manifest_effects",
        "ApprovalExecutor": "_executor",
        "ApprovalGuard": "_approval",
        "Cancellation": "_cancellation",
        "CancellationHandle": "_cancellation",
        "ContentStore": "_store",
        "ContentWriter": "_store",
        "HookTrial": "notify._trial",
        "Listeners": "_listener",
        "NoticedPostures": "notify._postures",
        "Notifier": "notify._notifier",
        "ObservedEffect": "_results",
        "PlanResult": "_results",
        "PolicyFile": "_policy_file",
        "PostureKeeper": "_posture_keeper",
        "RunListener": "_listener",
        "RunNotices": "notify._runs",
        "RunsUnderWay": "_under_way",
        "Sandboxing": "_sandbox_steps",
        "Sensors": "_sensors",
        "StepOutcome": "_results",
        "StoppedProcesses": "_unstop",
        "Task": "_task",
        "TaskContext": "_task",
        "TaskEffect": "_task",
        "TaskResult": "_task",
        "endings_reported": "_sensors",
        "finding_of": "_sensors",
        "held_manifest": "_declared",
        "load_policy": "_policy_file",
        "new_execution_id": "_executor",
        "posture_notice": "notify._postures",
        "report_effect": "tasks.python",
        "running_executions": "_concurrency",
        "scrubbed_environment": "_environment",
        "try_hooks": "notify._trial",
        "vouching": "_posture_vouching",
    },
)
