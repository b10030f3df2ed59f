"""The plans that were run, kept beside their records: the rollback hints, the inputs' hashes, what exactly was to run.

A record commits the digest of its plan and the effects that the steps declare; the rest is kept here, without secrets,
in `plans/<sha256>.json` of the ledger's folder. Entry 0 names that SHA-256, so a copy is believed only as long as its
bytes are those that were written before the run. The file itself has no say in that.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hearth._directory import sync_directory
from hearth.errors import LedgerError, RecordError
from hearth.operations._write import write_whole
from hearth.plan import Secrets, load_tasks
from hearth.record import Redactor, canonical_bytes, strict_loads, thaw

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from hearth.ledger import LedgerHome
    from hearth.plan import Plan, TaskSpec
    from hearth.record import ExecutionRecord

__all__ = ["KeptPlan", "PlanArchive", "parse_kept"]

_SCHEMA = "hearth/kept-plan/v2"
_DIGEST = re.compile(r"[0-9a-f]{64}")
_IN_TEXT = re.compile(r"\{[ \t]*secret[ \t]*:[^{}\n]*\}")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptPlan:
    """A plan as it was run: the rendered document without secrets, the inputs' SHA-256 by name, its tasks' versions.

    `digest` is the plan's, `copy` the SHA-256 of the kept file, which entry 0 names.
    """

    copy: str
    digest: str
    document: dict[str, Any]
    inputs: dict[str, str]
    tasks: dict[str, str]

    @property
    def hints(self) -> list[dict[str, Any]]:
        """The plan's rollback hints, each with its step's index; verbatim, but for a secret that stood in one."""
        return [
            {**step["rollback"], "step_index": index}
            for index, step in enumerate(self.document["steps"])
            if step.get("rollback") is not None
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "copy": self.copy,
            "digest": self.digest,
            "document": self.document,
            "inputs": self.inputs,
            "tasks": self.tasks,
        }


class PlanArchive:
    """The folder of kept plans of one ledger; several processes may use it at the same time."""

    def __init__(self, home: LedgerHome) -> None:
        self.folder = home.root / "plans"

    def path(self, copy: str) -> Path:
        """Return where the copy with this SHA-256 (hex) lies, or would lie."""
        return self.folder / f"{copy}.json"

    def keep(self, plan: Plan, tasks: Mapping[str, TaskSpec] | None = None) -> str:
        """Keep a plan durably and return the SHA-256 (hex) of the kept file, for entry 0.

        The same bytes are kept once. What lies in their place and is something else is moved aside, never believed.
        LedgerError when the copy cannot be written.
        """
        content = _without_secrets(_content(plan, load_tasks() if tasks is None else tasks), _redactor_of(plan))
        data = canonical_bytes({"schema": _SCHEMA, "digest": plan.digest, **content}) + b"\n"
        copy = hashlib.sha256(data).hexdigest()
        target = self.path(copy)
        try:
            self.folder.mkdir(mode=0o700, exist_ok=True)
            if not _holds(target, data) or not _touched(target):
                _move_aside(target)
                _write_once(target, data)
        except OSError as error:
            raise LedgerError(
                f"{target}: the plan cannot be kept ({error.strerror or error}); nothing was started"
            ) from error
        return copy

    def of(self, record: ExecutionRecord) -> KeptPlan | None:
        """Return the plan that a record was made from; None where entry 0 names no copy of it.

        LedgerError when the copy is missing, or is not the one that was kept before the run.
        """
        copy = record.started.get("plan_copy")
        if copy is None:
            return None
        if not isinstance(copy, str) or not _DIGEST.fullmatch(copy):
            raise LedgerError(f"the record names {copy!r} as its plan's copy, which is no SHA-256")
        found = self.read(copy)
        if found is None or found.digest != record.started.get("plan_digest"):
            raise LedgerError(f"{self.path(copy)}: the kept plan is not the one whose digest the record names")
        return found

    def read(self, copy: str) -> KeptPlan | None:
        """Return the copy with this SHA-256 (hex); None for a file that is no kept plan. LedgerError as `of`."""
        path = self.path(copy)
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            raise LedgerError(f"{path}: the kept plan is missing; restore it from a backup") from None
        except OSError as error:
            raise LedgerError(f"{path}: the kept plan cannot be read: {error.strerror}") from error
        if hashlib.sha256(data).hexdigest() != copy:
            raise LedgerError(f"{path}: the kept plan was changed after the run; restore it from a backup")
        return parse_kept(data, copy)


def _redactor_of(plan: Plan) -> Redactor:
    redactor = Redactor(disclosable=plan.disclosable)
    for value in plan.secret_variables(redactor.telling):
        redactor.add_secret(value)
    return redactor


def _content(plan: Plan, tasks: Mapping[str, TaskSpec]) -> dict[str, Any]:
    """Return what the plan's digest covers."""
    used = sorted({name for step in plan.steps for name in (step.task_type, *(step.undo or ()))})
    return {
        "plan": thaw(plan.document),
        "inputs": dict(plan.inputs),
        "tasks": {name: tasks[name].version for name in used},
    }


def parse_kept(data: bytes, copy: str) -> KeptPlan | None:
    """Read a kept file's content; None for one of another form, for whoever wrote it."""
    try:
        kept = strict_loads(data)
    except RecordError:
        return None
    if not isinstance(kept, dict) or kept.get("schema") != _SCHEMA or not isinstance(kept.get("digest"), str):
        return None
    document = kept.get("plan")
    inputs, tasks = _texts(kept.get("inputs")), _texts(kept.get("tasks"))
    if not isinstance(document, dict) or inputs is None or tasks is None:
        return None
    steps = document.get("steps")
    if not isinstance(steps, list) or not all(
        isinstance(step, dict) and isinstance(step.get("rollback"), dict | None) for step in steps
    ):
        return None
    return KeptPlan(copy=copy, digest=kept["digest"], document=document, inputs=inputs, tasks=tasks)


def _texts(value: object) -> dict[str, str] | None:
    if isinstance(value, dict) and all(isinstance(item, str) for item in value.values()):
        return value
    return None


def _without_secrets(value: Any, redactor: Redactor, *, telling: bool = False) -> Any:  # noqa: ANN401 - a JSON tree
    """Return a copy in which what looks like a secret is a commitment; references stay, for they are none."""
    if isinstance(value, dict):
        if len(value) == 1 and Secrets.references(value):
            return value
        return {key: _without_secrets(item, redactor, telling=redactor.telling(key)) for key, item in value.items()}
    if isinstance(value, list):
        # `["--password", "…"]`: a word may tell of the next one. Only the recorder's redactor looks at lists so.
        texts = [item if isinstance(item, str) and not Secrets.references(item) else "" for item in value]
        found = redactor.details({"list": texts})[0]["list"]
        return [
            other if text and other != text else _without_secrets(item, redactor, telling=telling)
            for item, text, other in zip(value, texts, found, strict=True)
        ]
    if telling and isinstance(value, str | int | float) and not isinstance(value, bool):
        if isinstance(value, str) and not _IN_TEXT.sub("", value).strip():
            return value
        return redactor.details({"secret": value})[0]["secret"]
    if isinstance(value, str):
        # A reference is no secret, though a URL with one in the place of its password looks like a URL with a password.
        return value if Secrets.references(value) and _is_harmless(value, redactor) else redactor.text(value)
    return value


def _is_harmless(text: str, redactor: Redactor) -> bool:
    bare = _IN_TEXT.sub("", text)
    return redactor.text(bare) == bare


def _holds(target: Path, data: bytes) -> bool:
    """Whether the file is there, with these bytes."""
    if target.is_symlink():
        return False
    try:
        return target.stat().st_size == len(data) and target.read_bytes() == data
    except (FileNotFoundError, IsADirectoryError, PermissionError):
        return False


def _touched(target: Path) -> bool:
    """Say that a plan which is there is wanted now, so that no purge takes it; False where one just did."""
    try:
        os.utime(target)
    except FileNotFoundError:
        return False
    return True


def _move_aside(target: Path) -> None:
    """Give what lies in a copy's place another name: it may show who put it there."""
    if os.path.lexists(target):
        aside = target.with_name(f"{target.name}.changed-{secrets.token_hex(4)}")
        target.replace(aside)
        _log.warning("%s was not the plan that was kept under this name; it is now %s", target, aside.name)


def _write_once(target: Path, data: bytes) -> None:
    write_whole(target, data)
    sync_directory(target.parent)
