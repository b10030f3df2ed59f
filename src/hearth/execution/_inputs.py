"""What was approved is what runs: a plan and its inputs, looked at again before every step."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from hearth.errors import PlanChangedError
from hearth.record import canonical_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

    from hearth.plan import InputCopies, Plan, Step

__all__ = ["PlanGuard"]

_Fingerprint = tuple[int, int, int, int, int]
# A change this soon after another may leave no trace in a file's times, which follow the system's tick.
_SETTLED_NS = 50_000_000


class PlanGuard:
    """Checks, before a step, the step and where it runs, the plan's inputs, and the private copies that steps read.

    Make it before the inputs are verified: a file is hashed again only if it looks different from then (device,
    inode, size, times of change), or had been changed less than 50 ms before it was looked at. So one check
    of files that nobody touches costs a `stat` each.
    """

    def __init__(self, plan: Plan) -> None:
        self._files = [(f"the input {name}", plan.folder / name, digest) for name, digest in plan.inputs.items()]
        self._seen = {path: _fingerprint(path) for _, path, _ in self._files}
        self._plan = plan
        self._place = _place(plan.cwd)
        self._more: list[Callable[[Step], None]] = []
        self._steps = {step.index: _step_digest(plan, step) for step in plan.steps}

    def add_copies(self, plan: Plan, copies: InputCopies) -> None:
        """Check the private copies too, as they are now."""
        for name, digest in plan.inputs.items():
            path = Path(copies.resolve(name))
            self._files.append((f"the private copy of the input {name}", path, digest))
            self._seen[path] = _fingerprint(path)

    def also(self, check: Callable[[Step], None]) -> None:
        """Have `check(step)` called too, last; it raises a RefusedError."""
        self._more.append(check)

    def check(self, step: Step) -> None:
        """Raise PlanChangedError for the first thing that is not what it was when the run began."""
        if _step_digest(self._plan, step) != self._steps.get(step.index):
            raise PlanChangedError("its parameters are not what they were when the run began")
        if _place(self._plan.cwd) != self._place:
            raise PlanChangedError(f"its working folder, {self._plan.cwd}, is another one than when the run began")
        self._check_files()
        for check in self._more:
            check(step)

    def _check_files(self) -> None:
        for what, path, approved in self._files:
            now = _fingerprint(path)
            if now is not None and now == self._seen[path]:
                continue
            try:
                with path.open("rb") as file:
                    found = hashlib.file_digest(file, "sha256").hexdigest()
            except OSError as error:
                raise PlanChangedError(f"{what} cannot be read any more ({path}: {error.strerror})") from None
            if found != approved:
                raise PlanChangedError(
                    f"{what} is not the approved one any more: its SHA-256 is {found}, was {approved}"
                )
            # As it was before the hashing: a change meanwhile shows at the next look.
            self._seen[path] = now


def _fingerprint(path: Path) -> _Fingerprint | None:
    """Return what changes with every change of a file; None where that cannot be said."""
    try:
        status = path.stat()
    except OSError:
        return None
    if time.time_ns() - max(status.st_mtime_ns, status.st_ctime_ns) < _SETTLED_NS:
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _place(folder: Path) -> tuple[str, int, int] | None:
    """Return which folder a path leads to, all links followed; None where there is none."""
    try:
        real = os.path.realpath(folder)
        status = Path(real).stat()
    except (OSError, ValueError):
        return None
    return real, status.st_dev, status.st_ino


def _step_digest(plan: Plan, step: Step) -> bytes:
    own = [step.name, step.task_type, step.params, step.env, step.timeout]
    return hashlib.sha256(canonical_bytes([*own, plan.env, str(plan.cwd), str(plan.folder)])).digest()
