"""A task that acts by itself, such as `file`, carried out within a sandbox: the side that is inside.

The request comes as the sandbox's payload; what is said back goes through the one descriptor that is given: each
content that the task keeps (its length as eight bytes, then its bytes), a length with all bits set, and the result as
JSON. Secrets are revealed in the request, so it is never written anywhere.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from hearth.errors import TaskError
from hearth.execution._cancellation import Cancellation
from hearth.execution._results import read_outcome
from hearth.execution._store import ContentStore
from hearth.execution._task import TaskContext
from hearth.execution.tasks._database import sqlite_path
from hearth.plan import InputCopies, Step, load_tasks
from hearth.record import Redactor, freeze, to_plain

if TYPE_CHECKING:
    from collections.abc import Callable

    from hearth.execution._results import ObservedEffect
    from hearth.execution._task import TaskEffect
    from hearth.observe import RowChanges

__all__ = ["END_OF_CONTENTS", "perform", "request_of"]

END_OF_CONTENTS = (1 << 64) - 1
_PIECE = 1 << 20
_OF_UNDO = ("changeset", "changeset_not_kept")


def request_of(context: TaskContext, params: Any, *, copy_to: str | None = None) -> bytes:  # noqa: ANN401 - a JSON tree
    """Return what `perform` needs to know of a step; at `copy_to` it puts what its second descriptor has, first."""
    inputs = context.inputs
    return json.dumps(
        {
            "index": context.step.index,
            "name": context.step.name,
            "task": context.step.task_type,
            "params": params,
            "cwd": str(context.cwd),
            "folder": str(context.folder),
            "env": dict(context.env),
            "timeout": context.timeout,
            "copy_to": copy_to,
            "inputs": None if inputs is None else {"folder": str(inputs.folder), "copies": dict(inputs.copies)},
        },
        default=lambda value: dict(value) if hasattr(value, "items") else list(value),
    ).encode()


def perform(payload: bytes, descriptors: list[int]) -> int:
    """Carry the step out and say what came of it; 0, whether it failed or not: that stands in what is said."""
    request = json.loads(payload)
    folder = Path(tempfile.mkdtemp(prefix="hearth-", dir="/dev/shm" if os.path.isdir("/dev/shm") else None))  # noqa: S108, PTH112 - the sandbox's own
    store = ContentStore(folder, durable=False)
    effects: list[ObservedEffect] = []
    with os.fdopen(descriptors[0], "wb") as out:
        try:
            if request["copy_to"] is not None:
                _put(request["copy_to"], descriptors[1])
            document = _carry_out(request, store, effects)
            for path in sorted(folder.rglob("*")):
                if path.is_file() and request["task"] != "sql":
                    _send(path, out)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        out.write(END_OF_CONTENTS.to_bytes(8, "big"))
        out.write(json.dumps(document).encode())
    return 0


def _carry_out(request: dict[str, Any], store: ContentStore, effects: list[ObservedEffect]) -> dict[str, Any]:
    inputs = request["inputs"]
    told: dict[str, Any] = {}

    def before_commit(rows: tuple[RowChanges, ...], unseen: tuple[str, ...]) -> None:
        told.update(
            rows=[row.to_dict() for row in rows], examples=[row.examples for row in rows], row_unseen=list(unseen)
        )

    folder = Path(request["folder"])
    context = TaskContext(
        step=Step(
            index=request["index"],
            name=request["name"],
            task_type=request["task"],
            params=freeze(request["params"]),
            env={},
        ),
        cwd=Path(request["cwd"]),
        env=request["env"],
        inputs=None if inputs is None else InputCopies(Path(inputs["folder"]), inputs["copies"], folder),
        timeout=request["timeout"],
        cancellation=Cancellation(),  # the whole sandbox is killed instead
        output=lambda _stream, _chunk: None,
        report=_recording(effects),
        store=store,
        redactor=Redactor(),
        folder=folder,
        before_commit=before_commit,
    )
    if request["task"] == "sql":
        told["database"] = sqlite_path(str(request["params"]["url"]), context.cwd)
    try:
        outcome = read_outcome(load_tasks()[request["task"]].run(context.step.params, context))  # type: ignore[attr-defined]
    except TaskError as error:
        failed = {"failed": True, "error": str(error), "details": {}, "effects": [_effect(one) for one in effects]}
        return failed | told
    details = dict(to_plain(outcome.details))
    if request["task"] == "sql":
        for name in _OF_UNDO:  # what was done is thrown away, and so is what would take it back
            details.pop(name, None)
    return told | {
        "failed": outcome.failed,
        "error": outcome.error,
        "details": details,
        "effects": [_effect(one) for one in (*effects, *outcome.side_effects)],
        "unseen": outcome.unseen,
    }


def _recording(effects: list[ObservedEffect]) -> Callable[[TaskEffect], None]:
    from hearth.execution._results import read_effect

    return lambda effect: effects.append(read_effect(effect))


def _effect(effect: ObservedEffect) -> dict[str, Any]:
    return {
        "category": effect.category.name,
        "description": effect.description,
        "reversible": effect.reversible,
        "details": to_plain(effect.details),
    }


def _put(path: str, descriptor: int) -> None:
    """Give a database another content, with no work left in a log."""
    with os.fdopen(descriptor, "rb") as source, open(path, "wb") as file:  # noqa: PTH123 - a text of any bytes
        shutil.copyfileobj(source, file, _PIECE)
    for end in ("-wal", "-shm", "-journal"):
        Path(path + end).unlink(missing_ok=True)


def _send(path: Path, out: BinaryIO) -> None:
    with path.open("rb") as file:
        out.write(os.fstat(file.fileno()).st_size.to_bytes(8, "big"))
        shutil.copyfileobj(file, out, _PIECE)
