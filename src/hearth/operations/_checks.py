"""Does recording work here? Eight checks of an installation, each of which fails when what it names is broken.

They use the real classes and nothing else: no file, no ledger, no network. `verify_execution_observability.py` runs
them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib import import_module
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final

from hearth.errors import ArtemisEscalationError, ExecutionSealedError, RollbackHintError, StepFailedError
from hearth.execution import ApprovalExecutor
from hearth.kernel import HearthKernel
from hearth.record import (
    GENESIS_HASH,
    ExecutionRecord,
    ExecutionStatus,
    SealCause,
    SecuritySnapshot,
    SideEffectCategory,
    StepEventType,
    record_hash,
)
from hearth.recorder import ExecutionObserver
from hearth.rollback import RollbackHint, RollbackPlanner
from hearth.security import SecurityState

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

__all__ = ["HANDOFF", "Check", "checks"]

HANDOFF: Final[dict[str, dict[str, tuple[str, ...]]]] = {
    "artemis.execution_observability": {
        "hearth.record": (
            "ExecutionRecord",
            "ExecutionStatus",
            "SecuritySnapshot",
            "SideEffect",
            "SideEffectCategory",
            "SideEffectReport",
            "StepEvent",
            "StepEventType",
        ),
        "hearth.recorder": ("ExecutionObserver",),
        "hearth.rollback": ("RollbackHint", "RollbackPlanner", "RollbackScaffold"),
    },
    "core.kernel": {"hearth.kernel": ("HearthKernel",)},
    "stage4.approval_executor": {"hearth.execution": ("ApprovalExecutor",)},
}
"""The handoff's import paths: for each, where its names come from."""


@dataclass(frozen=True, slots=True)
class Check:
    """One check: `run` returns a line on what was seen, and raises when that is not what was promised."""

    name: str
    run: Callable[[], str]


def checks(load: Callable[[str], ModuleType]) -> tuple[Check, ...]:
    """Return the eight checks. `load` imports a module by name: HEARTH itself imports none of the handoff's paths."""
    return (
        Check("imports", lambda: _imports(load)),
        Check("observer", _observer),
        Check("hash links", _hash_links),
        Check("failed execution", _failed_execution),
        Check("side effects", _side_effects),
        Check("rollback scaffold", _rollback_scaffold),
        Check("security snapshots", _security_snapshots),
        Check("immutability", _immutability),
    )


def _expect(what: str, found: object, expected: object) -> None:
    if found != expected:
        raise AssertionError(f"{what}: expected {expected!r}, found {found!r}")


def _require(what: str, holds: object) -> None:
    if not holds:
        raise AssertionError(f"not so: {what}")


def _expect_raises(what: str, kind: type[BaseException], call: Callable[[], object]) -> None:
    try:
        call()
    except kind:
        return
    raise AssertionError(f"{what}: expected {kind.__name__}, nothing was raised")


# --- imports ----------------------------------------------------------------------------------------------------------


def _imports(load: Callable[[str], ModuleType]) -> str:
    count = 0
    for path, origins in HANDOFF.items():
        module = load(path)
        for origin, names in origins.items():
            for name in names:
                _require(f"{path}.__all__ has {name}", name in module.__all__)
                same = getattr(module, name) is getattr(import_module(origin), name)
                _require(f"{path}.{name} is {origin}.{name}", same)
                count += 1
    return f"{count} names on {len(HANDOFF)} paths"


# --- observer ---------------------------------------------------------------------------------------------------------


def _observer() -> str:
    observer = ExecutionObserver("check-observer", "check-plan")
    _expect("status at the start", observer.status, ExecutionStatus.STARTED)
    heads = [observer.head_hash]
    observer.record_step_started(0, "first", {"answer": 42})
    heads.append(observer.head_hash)
    observer.record_step_completed(0, "first", {"rows": [1, 2]})
    heads.append(observer.head_hash)
    observer.record_step_started(1, "second")
    observer.record_step_failed(1, "second", "no such table", {"code": 7})
    _expect("status before a mark", observer.get_execution_record("DRY_RUN").status, ExecutionStatus.STARTED)
    observer.mark_completed("as far as it went")
    heads.append(observer.head_hash)
    _expect("number of different heads", len(set(heads)), len(heads))
    _expect_raises("recording after the seal", ExecutionSealedError, lambda: observer.record_step_started(2, "third"))

    record = observer.get_execution_record("DRY_RUN")
    _expect("status", record.status, ExecutionStatus.COMPLETED_PARTIAL)
    _expect("reason", record.completion_reason, "as far as it went")
    started, completed, failed = StepEventType.STEP_STARTED, StepEventType.STEP_COMPLETED, StepEventType.STEP_FAILED
    told = [(event.step_index, event.step_name, event.event_type) for event in record.step_events]
    events = [(0, "first", started), (0, "first", completed), (1, "second", started), (1, "second", failed)]
    _expect("events", told, events)
    details = [dict(event.details) for event in record.step_events]
    _expect("details", details, [{"answer": 42}, {"rows": [1, 2]}, {}, {"code": 7}])
    _expect("error", record.step_events[3].error_message, "no such table")
    _require("a step's end says how long it took", record.step_events[1].elapsed_us is not None)
    return f"{len(record.entries)} entries in their order, sealed once"


# --- hash links -------------------------------------------------------------------------------------------------------


def _sample() -> ExecutionRecord:
    observer = ExecutionObserver("check-links", "check-plan", live_mode="DRY_RUN")
    for index in range(3):
        observer.record_step_started(index, f"step {index}", {"index": index})
        observer.record_side_effect(SideEffectCategory.OTHER, f"effect {index}", step_index=index)
        observer.record_step_completed(index, f"step {index}")
    observer.mark_completed()
    return observer.get_execution_record("DRY_RUN")


def _hash_links() -> str:
    record = _sample()
    previous = GENESIS_HASH
    for entry in record.entries:
        _expect(f"link of entry {entry.sequence}", entry.previous_event_hash, previous)
        previous = entry.get_hash()
    _expect("verdict of the untouched record", str(record.verify()), "verified")
    document = json.loads(json.dumps(record.to_dict()))
    _expect("the record after a journey through JSON", ExecutionRecord.from_dict(document), record)
    for sequence in range(len(record.entries)):
        changed = json.loads(json.dumps(document))
        victim = next(entry for entry in _entries(changed) if entry["sequence"] == sequence)
        victim["details"]["added"] = "afterwards"
        _expect_found(changed, f"a change in entry {sequence}", sequence)
    cut = json.loads(json.dumps(document))
    cut["marks"].pop()
    _expect_found(cut, "a cut tail", len(record.entries) - 1)
    return f"each of {len(record.entries)} changed entries was named, and the cut tail"


def _entries(document: dict[str, Any]) -> list[dict[str, Any]]:
    observed: list[dict[str, Any]] = document["side_effects_report"]["side_effects_observed"]
    return [*document["marks"], *document["step_events"], *observed]


def _expect_found(document: dict[str, Any], what: str, sequence: int) -> None:
    """Expect that a changed record is found out, also by somebody who has fitted its execution hash to the change."""
    document["execution_hash"] = record_hash(document)
    verdict = ExecutionRecord.from_dict(document).verify()
    _require(f"{what} is found", not verdict)
    _expect(f"{what}: the first bad entry", verdict.first_bad, sequence)


# --- failed execution -------------------------------------------------------------------------------------------------


def _plan(*names: str) -> SimpleNamespace:
    return SimpleNamespace(
        id="check-plan",
        steps=[SimpleNamespace(index=index, name=name, task_type="check") for index, name in enumerate(names)],
    )


def _failed_execution() -> str:
    done: list[str] = []

    def execute_step(step: Any) -> object:  # noqa: ANN401 - any step
        done.append(step.name)
        return SimpleNamespace(failed=step.name == "import", error="row 17 is bad", details={}, side_effects=[])

    executor = ApprovalExecutor(execute_step=execute_step)
    try:
        executor.execute(_plan("back up", "import", "report"))
    except StepFailedError as error:
        _expect("str() of the error", str(error), "row 17 is bad")
        record = error.execution_record
    else:
        raise AssertionError("a failed step did not end the run")
    if record is None:
        raise AssertionError("the error carries no record")
    _expect("steps that ran", done, ["back up", "import"])
    _expect("status", record.status, ExecutionStatus.FAILED)
    _expect("cause", record.cause, SealCause.FAILED)
    _expect("last event", record.step_events[-1].event_type, StepEventType.STEP_FAILED)
    _expect("error on record", record.step_events[-1].error_message, "row 17 is bad")
    return "the run stopped at step 1, and its record says why"


# --- side effects -----------------------------------------------------------------------------------------------------


def _side_effects() -> str:
    categories = list(SideEffectCategory)
    effects = [
        {"category": category.name, "description": f"it was {category.value}", "reversible": number % 2 == 0}
        for number, category in enumerate(categories)
    ]
    result = SimpleNamespace(failed=False, error="", details={}, side_effects=effects)
    record = ApprovalExecutor(execute_step=lambda _: result).execute(_plan("act")).execution_record
    report = record.side_effects_report
    told = [(effect.category, effect.description, effect.reversible) for effect in report.side_effects_observed]
    expected = [(category, f"it was {category.value}", number % 2 == 0) for number, category in enumerate(categories)]
    _expect("effects", told, expected)
    _expect("their step", {effect.step_index for effect in report.side_effects_observed}, {0})
    sequences = [effect.sequence for effect in report.side_effects_observed]
    start, end = record.step_events[0].sequence, record.step_events[-1].sequence
    _expect("their place in the chain", sequences, list(range(start + 1, end)))
    _require("there may be unknown effects, for nothing watched the step", report.unknown_effects)
    _require("the report says why there may be unknown effects", report.unknown_effects_why)
    return f"{len(categories)} categories, between the step's start and its end"


# --- rollback scaffold ------------------------------------------------------------------------------------------------


def _rollback_scaffold() -> str:
    observer = ExecutionObserver("check-rollback", "check-plan")
    for index, reversible in enumerate((True, False)):
        observer.record_step_started(index, f"step {index}")
        observer.record_side_effect("OTHER", f"effect {index}", reversible, index)
        observer.record_step_completed(index, f"step {index}")
    observer.record_step_started(2, "step 2")
    observer.record_step_failed(2, "step 2", "it broke")
    observer.mark_failed("it broke")
    record = observer.get_execution_record("DRY_RUN")
    hints = [
        RollbackHint(0, "Remove the copy", actions=("rm copy",), risks=("None",)),
        RollbackHint(1, "Tell the owner"),
        RollbackHint(3, "This step never ran"),
    ]
    scaffold = RollbackPlanner.plan_rollback(record, hints)
    _require("a rollback is possible after FAILED", scaffold.is_rollback_possible)
    _expect("hints, the last step first, verbatim", scaffold.rollback_hints, (hints[1], hints[0]))
    _expect("irreversible steps", scaffold.irreversible_steps, (1,))
    _expect("manual steps", scaffold.manual_steps, (2,))
    _require("the summary has the actions", "rm copy" in scaffold.to_summary())

    def possible(end: Callable[[ExecutionObserver], None]) -> bool:
        other = ExecutionObserver("check-rollback-2", "check-plan")
        other.record_step_started(0, "step 0")
        other.record_step_completed(0, "step 0")
        end(other)
        return RollbackPlanner.plan_rollback(other.get_execution_record("DRY_RUN"), hints).is_rollback_possible

    _require("none is needed after COMPLETED", not possible(lambda other: other.mark_completed()))
    escalated = possible(lambda other: other.mark_incomplete_security_escalation("lockdown"))
    _require("none is possible after an escalation", not escalated)
    _expect_raises(
        "a malformed hint", RollbackHintError, lambda: RollbackPlanner.plan_rollback(record, [{"step_index": 0}])
    )
    return "the last step first, hints verbatim, what cannot be undone named"


# --- security snapshots -----------------------------------------------------------------------------------------------


class _BrokenKernel:
    def get_security_state(self) -> object:
        raise OSError("the kernel is gone")

    def get_boundary_state(self) -> object:
        raise OSError("the kernel is gone")


def _security_snapshots() -> str:
    kernel = HearthKernel()

    def execute_step(step: Any) -> None:  # noqa: ANN401 - any step
        if step.index == 1:
            kernel.escalate(SecurityState.COMPROMISED, "the check says so")

    try:
        ApprovalExecutor(kernel, execute_step).execute(_plan("before", "escalate", "never"))
    except ArtemisEscalationError as error:
        record = error.execution_record
    else:
        raise AssertionError("an escalation did not end the run")
    if record is None or record.security_snapshot_post is None:
        raise AssertionError("the record of an escalated run has no snapshot of its end")
    pre, post = record.security_snapshot_pre, record.security_snapshot_post
    _expect("before", (pre.security_state, pre.boundary_state), ("OPERATIONAL", "NOMINAL"))
    _expect("after", (post.security_state, post.boundary_state), ("COMPROMISED", "NOMINAL"))
    _expect("status", (record.status, record.cause), (ExecutionStatus.INCOMPLETE, SealCause.ESCALATION))
    for kernel_like, why in ((None, "no security kernel"), (_BrokenKernel(), "could not be read")):
        snapshot = SecuritySnapshot.from_kernel(kernel_like)
        _expect("a state that nobody can tell", snapshot.security_state, "UNKNOWN")
        _require(f"the snapshot says {why!r}: {snapshot.context!r}", why in snapshot.context)
    return "OPERATIONAL before, COMPROMISED after; UNKNOWN where nobody can tell"


# --- immutability -----------------------------------------------------------------------------------------------------


def _immutability() -> str:
    given = {"rows": [1, 2], "nested": {"deep": True}}
    observer = ExecutionObserver("check-immutability", "check-plan")
    observer.record_step_started(0, "act", given)
    given["rows"].append(3)  # type: ignore[attr-defined]  # the caller goes on using its own object
    observer.record_step_completed(0, "act")
    observer.mark_completed()
    record = observer.get_execution_record("DRY_RUN")
    event: Any = record.step_events[0]
    _expect("details after the caller's change", event.details, {"rows": [1, 2], "nested": {"deep": True}})
    before = record.get_execution_hash()
    attempts: dict[str, Callable[[], object]] = {
        "an item of the details": lambda: event.details.__setitem__("rows", []),
        "update of the details": lambda: event.details.update(rows=[]),
        "a nested list": lambda: event.details["rows"].append(3),
        "a nested mapping": lambda: event.details["nested"].__setitem__("deep", None),
        "a field of the event": lambda: setattr(event, "step_name", "other"),
        "a field of the record": lambda: setattr(record, "status", ExecutionStatus.FAILED),
    }
    for what, attempt in attempts.items():
        _expect_raises(f"changing {what}", (TypeError, AttributeError), attempt)  # type: ignore[arg-type]
    record.to_dict()["step_events"].clear()
    _expect("hash after all attempts", record.get_execution_hash(), before)
    return f"{len(attempts)} attempts refused, the caller's own object copied"
