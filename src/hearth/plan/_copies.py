"""InputCopies: a run's private copy of the inputs, so that what was approved is what runs."""

from __future__ import annotations

import hashlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from hearth.errors import PlanChangedError, TaskError
from hearth.plan._inputs import InputError, input_name, open_input
from hearth.plan._paths import absolute
from hearth.plan._problems import short
from hearth.record import freeze

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hearth.plan._model import Plan

__all__ = ["InputCopies"]

_CHUNK = 1024 * 1024
# Inputs from elsewhere, each in a numbered folder of its own.
_OUTSIDE = ".outside"


@dataclass(frozen=True, slots=True)
class InputCopies:
    """Copies of a plan's inputs, laid out as in the plan's folder. `folder` is absolute (HEARTH_INPUTS for a step)."""

    folder: Path
    copies: Mapping[str, str]
    _plan_folder: Path

    @classmethod
    def create(cls, plan: Plan, folder: Path) -> InputCopies:
        """Copy each input into `folder`, which must be new or empty, hashing the very bytes that are written.

        Folders have mode 0700, files 0600, or 0700 where the owner may execute the original. Raises PlanChangedError
        when an input is not the approved one, TaskError when a copy cannot be written; then nothing is left behind.
        """
        folder = absolute(folder)
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder.chmod(0o700)
            if any(folder.iterdir()):
                raise TaskError(f"the folder for the copies of the inputs is not empty: {folder}")
        except OSError as error:
            raise TaskError(f"cannot make the folder for the copies of the inputs: {error}") from error
        copies: dict[str, str] = {}
        try:
            for number, (name, approved) in enumerate(plan.inputs.items()):
                target = folder / _place(name, number)
                _copy(plan, name, approved, target=target, root=folder)
                copies[name] = str(target)
            for name in plan.input_folders:
                if _lies_inside(name) and name != ".":
                    (folder / name).mkdir(mode=0o700, parents=True, exist_ok=True)
                    copies[name] = str(folder / name)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return cls(folder, freeze(copies), plan.folder)

    def resolve(self, value: str) -> str:
        """Return the copy's absolute path for a value that is exactly an input's path, other values unchanged.

        The path of an input, or of an input folder within the plan's folder, may be written in any way that leads there
        from the plan's folder (`users.csv`, `./users.csv`, the absolute path).
        """
        if value in self.copies:
            return self.copies[value]
        if not value or "\0" in value or "\n" in value:
            return value
        return self.copies.get(input_name(value, self._plan_folder), value)


def _lies_inside(name: str) -> bool:
    path = PurePosixPath(name)
    return not Path(name).is_absolute() and ".." not in path.parts


def _place(name: str, number: int) -> PurePosixPath:
    path = PurePosixPath(name)
    return path if _lies_inside(name) else PurePosixPath(_OUTSIDE, str(number), path.name)


def _copy(plan: Plan, name: str, approved: str, *, target: Path, root: Path) -> None:
    try:
        source = open_input(plan.folder / name)
    except InputError as error:
        raise PlanChangedError(f"plan {plan.id}: the input {short(name)} {error}; restore it") from error
    with source:
        digest = hashlib.sha256()
        try:
            _make_folders(target.parent, root)
            executable = os.fstat(source.fileno()).st_mode & 0o100
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
            with os.fdopen(os.open(target, flags, 0o600), "wb") as copy:
                while chunk := source.read(_CHUNK):
                    digest.update(chunk)
                    copy.write(chunk)
            if executable:
                target.chmod(0o700)
        except OSError as error:
            raise TaskError(f"cannot copy the input {short(name)}: {error}") from error
    if digest.hexdigest() != approved:
        raise PlanChangedError(
            f"plan {plan.id}: the input {short(name)} is not what was approved: its SHA-256 is {digest.hexdigest()}, "
            f"was {approved}; restore it, or have the plan approved as it is now"
        )


def _make_folders(folder: Path, root: Path) -> None:
    """Make each folder on the way with mode 0700: `parents=True` would give the umask's."""
    current = root
    for part in folder.relative_to(root).parts:
        current /= part
        current.mkdir(mode=0o700, exist_ok=True)
