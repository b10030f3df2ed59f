"""Executions made to order, by the real recorder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hearth.recorder import ExecutionObserver

if TYPE_CHECKING:
    from hearth.record import ExecutionRecord

NAMES = ("Back up", "Import", "Tell", "Mark")


class Kernel:
    """A security kernel that says what it is told to say."""

    def __init__(self, before: str = "OPERATIONAL", after: str = "OPERATIONAL", boundary: str = "NOMINAL") -> None:
        self.states = [before, after]
        self.boundary = boundary

    def get_security_state(self) -> str:
        return self.states.pop(0)

    def get_boundary_state(self) -> str:
        return self.boundary


def run(
    script: str, *, kernel: object | None = None, mark: str = "failed", plan: object | None = None
) -> ExecutionRecord:
    """Record what a script says: `0+` step 0 starts and completes, `1-` it fails, `2?` it never ends.

    `0!` before its end adds an effect that cannot be undone, `0~` one that can. `mark` is a seal's method or "".
    """
    observer = ExecutionObserver("run-1", "user-import", kernel, plan=plan)
    for word in script.split():
        index = int(word.rstrip("+-?!~"))
        name = NAMES[index % len(NAMES)]
        observer.record_step_started(index, name)
        if "!" in word:
            observer.record_side_effect("NETWORK", f"POST of {name}", step_index=index)
        if "~" in word:
            observer.record_side_effect("FILE_SYSTEM", f"file of {name}", reversible=True, step_index=index)
        if word.endswith("+"):
            observer.record_step_completed(index, name)
        elif word.endswith("-"):
            observer.record_step_failed(index, name, f"{name} has failed")
    seal(observer, mark)
    return observer.get_execution_record("LIVE")


def seal(observer: ExecutionObserver, mark: str) -> None:
    if mark == "escalation":
        observer.mark_incomplete_security_escalation("an intruder")
    elif mark in {"completed", "failed"}:
        getattr(observer, f"mark_{mark}")("as the test wants it")
    elif mark:
        observer.mark_incomplete(mark, "as the test wants it")  # type: ignore[arg-type]


def hint(index: int, **fields: Any) -> dict[str, Any]:
    return {"step_index": index, "description": f"undo {index}", "actions": [f"undo --step {index}"], **fields}
