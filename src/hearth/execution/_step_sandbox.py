"""StepSandbox: the sandbox of one step, seen from outside."""

from __future__ import annotations

import json
import os
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hearth.errors import ObservationError, TaskError
from hearth.execution._inside import END_OF_CONTENTS, request_of
from hearth.execution._sandboxed import Sandboxed
from hearth.observe import RowChanges, Way

if TYPE_CHECKING:
    from collections.abc import Callable

    from hearth.execution._leader import Command, Leader
    from hearth.execution._task import TaskContext
    from hearth.observe import Layout, SandboxEnd, SandboxRoom

__all__ = ["StepSandbox"]

_PIECE = 1 << 20


class StepSandbox:
    """One step's sandbox: what the task does in it, and how it ended.

    `used` says whether it was set up at all. What a database tells of its own stands in `rows` and `unseen`; `database`
    is the SQLite file that they are about (None: another one, or none), `way` how the step ran.
    """

    def __init__(self, room: SandboxRoom, layout: Layout) -> None:
        self.room = room
        self.layout = layout
        self.ends: list[SandboxEnd] = []
        self.used = False
        self.way = Way.SANDBOX
        self.rows: tuple[RowChanges, ...] = ()
        self.unseen: list[str] = []
        self.database: str | None = None
        self._leaders: list[Sandboxed] = []

    def start(self, command: Command, go_on: Callable[[], None]) -> Leader:
        """Start a command in it; the task does the rest as if it ran on the host."""
        go_on()
        self.used = True
        leader = Sandboxed(command, self.room.server, self.layout)
        self._leaders.append(leader)
        return leader

    def carry_out(self, params: Any, context: TaskContext, *, copy: tuple[str, int] | None = None) -> object:  # noqa: ANN401 - a JSON tree
        """Have a task that acts by itself do so in it; return its result.

        `copy` is a path, and the descriptor of what it is to hold there instead of what the host has.
        """
        read_end, write_end = os.pipe()
        self.used = True
        try:
            process = self.room.server.start(
                self.layout,
                "hearth.execution._inside:perform",
                request_of(context, params, copy_to=None if copy is None else copy[0]),
                descriptors=(write_end,) if copy is None else (write_end, copy[1]),
                linger=0.0,
            )
        except BaseException:
            os.close(read_end)
            raise
        finally:
            os.close(write_end)
        killed = threading.Event()

        def kill() -> None:
            killed.set()
            process.kill()

        timer = None if context.timeout is None else threading.Timer(context.timeout, kill)
        if timer is not None:
            timer.daemon = True
            timer.start()
        try:
            with context.cancellation.on_request(kill), os.fdopen(read_end, "rb") as answer:
                document = _answer(answer, context)
            end = process.wait()
        finally:
            if timer is not None:
                timer.cancel()
        self.ends.append(end)
        if document is None:
            why = f"stopped: {context.cancellation.reason}" if context.cancellation.requested else ""
            why = why or (f"timed out after {context.timeout:g} s" if killed.is_set() else "")
            raise TaskError(why or end.problem or f"it ended before it was done (exit code {end.code})")
        self.rows = tuple(
            replace(RowChanges.from_dict(row), examples=tuple(lines))
            for row, lines in zip(document.get("rows", ()), document.get("examples", ()), strict=True)
        )
        self.unseen += map(str, document.get("row_unseen", ()))
        self.database = document.get("database")
        return {**document, "side_effects": document["effects"]}

    def finish(self) -> list[str]:
        """Return what of the step may have gone unseen; ObservationError where the sandbox could not be set up."""
        self.ends += [leader.end for leader in self._leaders if leader.end is not None]
        unseen = list(self.unseen)
        for end in self.ends:
            if end.problem:
                raise ObservationError(f"the sandbox could not be set up: {end.problem}; nothing was run")
            unseen += end.unseen
            unseen += [f"{path} was not in the sandbox as the host has it: {why}" for path, why in end.failed.items()]
            for path in self.room.newly_readonly(end.readonly):
                why = f"{end.readonly[path]}; what earlier steps changed there was not to be seen"
                unseen.append(f"{path} took no changes in the sandbox, unlike those before: {why}")
            if end.left:
                unseen.append(f"{', '.join(end.left)} still ran after its end, and was killed")
        return unseen


def _answer(stream: Any, context: TaskContext) -> dict[str, Any] | None:  # noqa: ANN401 - a binary stream
    """Take the contents that the task kept, and return its result; None where it ended before."""
    while len(head := stream.read(8)) == 8:  # noqa: PLR2004 - the length of a length
        size = int.from_bytes(head, "big")
        if size == END_OF_CONTENTS:
            try:
                document = json.loads(stream.read())
            except ValueError:
                return None
            return document if isinstance(document, dict) else None
        with context.store.put_stream() as writer:
            while size and (piece := stream.read(min(size, _PIECE))):
                writer.write(piece)
                size -= len(piece)
            if size:
                return None
            writer.close()
    return None
