"""The plans that were run, kept beside their records: what the plan's digest covers, found by that digest.

A record commits the digest of its plan and the effects that the steps declare; the rest of the plan (the rollback
hints, the inputs' hashes, what exactly was to be run) is kept here, in `plans/<digest>.json` of the ledger's folder.
A plan holds references to secrets, not secrets; should one hold a secret in clear, the kept copy is without it, and
says that its digest cannot be checked.
"""

from __future__ import annotations

import os
import re
import secrets
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hearth.errors import LedgerError, RecordError
from hearth.plan import Secrets, load_tasks, plan_digest
from hearth.record import Redactor, canonical_bytes, strict_loads, thaw

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from hearth.ledger import LedgerHome
    from hearth.plan import Plan, TaskSpec

__all__ = ["KeptPlan", "PlanArchive"]

_SCHEMA = "hearth/kept-plan/v1"
_DIGEST = re.compile(r"[0-9a-f]{64}")
_IN_TEXT = re.compile(r"\{[ \t]*secret[ \t]*:[^{}\n]*\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptPlan:
    """A plan as it was run: the rendered document, the inputs' SHA-256 by name, the versions of its tasks.

    `whole` says that the digest was computed anew from all of it; where it is False, secrets that stood in the plan
    were left out, and nothing can be checked.
    """

    digest: str
    document: dict[str, Any]
    inputs: dict[str, str]
    tasks: dict[str, str]
    whole: bool

    @property
    def hints(self) -> list[dict[str, Any]]:
        """The plan's rollback hints, verbatim, each with its step's index."""
        return [
            {"step_index": index, **step["rollback"]}
            for index, step in enumerate(self.document.get("steps", ()))
            if step.get("rollback") is not None
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "digest": self.digest,
            "whole": self.whole,
            "document": self.document,
            "inputs": self.inputs,
            "tasks": self.tasks,
        }


class PlanArchive:
    """The folder of kept plans of one ledger; several processes may use it at the same time."""

    def __init__(self, home: LedgerHome) -> None:
        self.folder = home.root / "plans"

    def keep(self, plan: Plan, tasks: Mapping[str, TaskSpec] | None = None) -> Path:
        """Keep a plan durably; one that is kept already is left as it is. LedgerError when it cannot be written."""
        target = self.folder / f"{plan.digest}.json"
        if target.exists():
            return target
        content = _content(plan, load_tasks() if tasks is None else tasks)
        without = _without_secrets(content, Redactor(disclosable=plan.disclosable))
        kept = {"schema": _SCHEMA, "digest": plan.digest, "whole": without == content, "content": without}
        try:
            self.folder.mkdir(mode=0o700, exist_ok=True)
            _write_once(target, canonical_bytes(kept) + b"\n")
        except OSError as error:
            raise LedgerError(
                f"{target}: the plan cannot be kept ({error.strerror or error}); nothing was started"
            ) from error
        return target

    def find(self, digest: str | None) -> KeptPlan | None:
        """Return the plan with this digest, None where it is not kept; LedgerError when the kept one is not it."""
        if digest is None or not _DIGEST.fullmatch(digest):
            return None
        path = self.folder / f"{digest}.json"
        try:
            kept = strict_loads(path.read_bytes())
        except FileNotFoundError:
            return None
        except OSError as error:
            raise LedgerError(f"{path}: the kept plan cannot be read: {error.strerror}") from error
        except RecordError as error:
            raise LedgerError(f"{path}: the kept plan is damaged: {error}") from error
        try:
            content = kept["content"]
            found = KeptPlan(
                digest=digest,
                document=content["plan"],
                inputs=content["inputs"],
                tasks=content["tasks"],
                whole=kept["whole"],
            )
            same = plan_digest(found.document, found.inputs, found.tasks) == digest
        except (KeyError, TypeError, ValueError) as error:
            raise LedgerError(f"{path}: the kept plan is damaged: {type(error).__name__}") from error
        if kept.get("schema") != _SCHEMA or kept.get("digest") != digest or (found.whole and not same):
            raise LedgerError(f"{path}: the kept plan is not the one that was run: its digest is another one")
        return found


def _content(plan: Plan, tasks: Mapping[str, TaskSpec]) -> dict[str, Any]:
    """Return what the digest covers, in the same form (DESIGN section 6)."""
    used = sorted({name for step in plan.steps for name in (step.task_type, *(step.undo or ()))})
    return {
        "plan": thaw(plan.document),
        "inputs": dict(plan.inputs),
        "tasks": {name: tasks[name].version for name in used},
    }


def _without_secrets(value: Any, redactor: Redactor, *, telling: bool = False) -> Any:  # noqa: ANN401 - a JSON tree
    """Return a copy in which what looks like a secret is a commitment; references stay, and so do rollback hints."""
    if isinstance(value, dict):
        if len(value) == 1 and Secrets.references(value):
            return value
        return {
            key: item if key == "rollback" else _without_secrets(item, redactor, telling=redactor.telling(key))
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [_without_secrets(item, redactor, telling=telling) for item in value]
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


def _write_once(target: Path, data: bytes) -> None:
    draft = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(target)
    except BaseException:
        with suppress(OSError):
            draft.unlink()
        raise
    if os.name == "posix":
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
