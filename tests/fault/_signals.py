"""Signals at every place where the interpreter lets a handler run: behind a call, and at a function's entry.

Run as a program, `every SINK ACTION` strikes once in each of those places, for each operation of the recorder, and
`random SECONDS SEED` strikes twice: the second signal comes while the first one's handler is at work. It prints what
broke, and how often it struck.
The profiler finds the places and raises the signal there, so nothing depends on time.
"""

from __future__ import annotations

import logging
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hearth.errors import ExecutionSealedError, RecorderError
from hearth.record import ExecutionRecord, ExecutionStatus, SealCause
from hearth.recorder import ExecutionObserver, Journal, _journal, _new_file, verify_journal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

SIGNAL = getattr(signal, "SIGUSR1", signal.SIGINT)
SOON = 20.0
DEADLINE = 2.0
MOST = 3
"""How often one place of the code counts: a loop repeats itself."""


class Sink:
    """A sink of somebody else's."""

    def __init__(self) -> None:
        self.kept: list[bytes] = []
        self.durable = 0

    def append(self, line: bytes) -> None:
        self.kept.append(line)

    def sync(self) -> None:
        self.durable = len(self.kept)

    def close(self) -> None:
        """Nothing is open."""

    def lines(self) -> Iterator[bytes]:
        return iter([line[:-1] for line in self.kept])


class World:
    """One execution, what was acknowledged, and what broke."""

    def __init__(self, sink: str, folder: Path, *, full: bool) -> None:
        self.kind = sink
        self.path = folder / "journal"
        self.path.unlink(missing_ok=True)
        self.synced = 0
        self.acknowledged: list[str] = []
        self.broken: list[str] = []
        self.closed = self.looking = False
        _journal._fdatasync = self._note_size
        self.journal = Journal.create(self.path, deadline=DEADLINE) if sink == "journal" else None
        self.sink = Sink() if sink == "foreign" else None
        self.observer = ExecutionObserver("run", "plan", journal=self.journal or self.sink, live_mode="LIVE")
        self.start("prepared", 0)
        for number in range(252 if full else 0):  # so that the next ones are joined
            self.observer.record_side_effect("OTHER", f"before {number}")

    def _note_size(self, descriptor: int) -> None:
        self.synced = max(self.synced, os.fstat(descriptor).st_size)

    def is_durable(self, text: str) -> bool:
        self.looking = True  # not the recorder's doing: nothing strikes here
        try:
            if self.journal is not None:
                raw = self.path.read_bytes()[: self.synced]
            else:
                raw = b"".join(self.sink.kept[: self.sink.durable] if self.sink is not None else self.observer._memory)
        finally:
            self.looking = False
        return text.encode() in raw

    def start(self, key: str, index: int) -> None:
        self.observer.record_step_started(index, key)
        if not self.is_durable(f'"step_name":"{key}"'):
            self.broken.append(f"the start {key} returned before it was durable")
        self.acknowledged.append(key)

    def effect(self, key: str) -> None:
        self.observer.record_side_effect("OTHER", key)
        self.acknowledged.append(key)

    def effects(self) -> None:
        for number in range(3):
            self.effect(f"outer {number}")

    def complete(self, key: str, index: int) -> None:
        self.observer.record_step_completed(index, key)
        self.acknowledged.append(key)

    def fail(self, key: str, index: int) -> None:
        self.observer.record_step_failed(index, key, "x")
        self.acknowledged.append(key)

    def seal(self, cause: SealCause) -> None:
        act = {SealCause.COMPLETED: self.observer.mark_completed, SealCause.FAILED: self.observer.mark_failed}
        act.get(cause, lambda: self.observer.mark_incomplete(cause))()
        if not self.is_durable('"event_type":"execution_sealed"'):
            self.broken.append(f"the mark {cause} returned before it was durable")

    def sync(self) -> None:
        (self.journal or self.sink or Sink()).sync()

    def close(self) -> None:
        self.closed = True
        if self.journal is not None:
            self.journal.close()

    def read(self) -> None:
        verdict = self.observer.get_execution_record("LIVE").verify()
        if not verdict and verdict.why != "unsealed":
            self.broken.append(f"read in the middle: {verdict}")

    def interrupt(self) -> None:
        raise KeyboardInterrupt


OPERATIONS: dict[str, Callable[[World], None]] = {
    "start": lambda world: world.start("outer", 1),
    "start again": lambda world: world.start("outer", 0),
    "complete": lambda world: world.complete("outer", 0),
    "fail": lambda world: world.fail("outer", 0),
    "effect": lambda world: world.effect("outer"),
    "effects": World.effects,
    "mark_completed": lambda world: world.seal(SealCause.COMPLETED),
    "mark_failed": lambda world: world.seal(SealCause.FAILED),
    "sync": World.sync,
    "read": World.read,
}
ACTIONS: dict[str, Callable[[World], None]] = {
    "effect": lambda world: world.effect("handler"),
    "start": lambda world: world.start("handler", 7),
    "complete": lambda world: world.complete("handler", 0),
    "mark_completed": lambda world: world.seal(SealCause.COMPLETED),
    "mark_incomplete": lambda world: world.seal(SealCause.INTERRUPTED),
    "sync": World.sync,
    "close": World.close,
    "read": World.read,
    "interrupt": World.interrupt,
}
SEALING = {"mark_completed", "mark_incomplete"}


class Strike:
    """Does `action` at place number `at` of what runs while it is armed, and then what `then` arms."""

    def __init__(self, world: World, at: int, action: str, then: Strike | None = None) -> None:
        self.world, self.at, self.action, self.then = world, at, action, then
        self.places = 0
        self.where = ""
        self._seen: Counter[Any] = Counter()

    def __enter__(self) -> None:
        signal.signal(SIGNAL, self._handle)
        sys.setprofile(self._profile)

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)

    def _profile(self, frame: FrameType, event: str, argument: Any) -> None:
        if "/hearth/rec" not in frame.f_code.co_filename.replace(os.sep, "/"):
            return
        if event in {"call", "c_return"}:
            place = frame.f_code, frame.f_lineno, event, argument
            self._seen[place] += 1
            if self.world.looking or self._seen[place] > MOST:
                return
            self.places += 1
            if self.places == self.at:
                sys.setprofile(None)
                name = getattr(argument, "__name__", frame.f_code.co_name)
                self.where = f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno} {event} {name}"
                signal.raise_signal(SIGNAL)

    def _handle(self, *_: object) -> None:
        if self.then is None:
            ACTIONS[self.action](self.world)
            return
        try:
            with self.then:
                ACTIONS[self.action](self.world)
        except KeyboardInterrupt:  # swallowed, as careless handlers do
            pass
        except RecorderError:
            pass


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def strike(sink: str, operation: str, action: str, at: int, folder: Path, second: tuple[str, int] | None = None) -> int:
    """Run the operation with a signal at one place; return how many places it has. Complains on stdout."""
    world = World(sink, folder, full=sink == "memory" and operation == "effects")
    inner = None if second is None else Strike(world, second[1], second[0])
    outer = Strike(world, at, action, inner)
    actions = {action} | ({second[0]} if second else set())
    try:
        with outer:
            OPERATIONS[operation](world)
    except KeyboardInterrupt:
        if "interrupt" not in actions:
            raise
    except ExecutionSealedError:
        if not actions & SEALING and not operation.startswith("mark_"):
            world.broken.append("refused as sealed")
    except RecorderError as error:
        if not world.closed and not (sink == "foreign" and actions & {"interrupt", "start", "sync", *SEALING, "read"}):
            world.broken.append(f"refused: {error}")
    finally:
        sys.setprofile(None)
    if outer.where or not at:
        _check(world, may_be_dead=sink == "foreign" and "interrupt" in actions)
    if world.journal is not None:
        world.journal.close()
    if world.broken:
        also = f", and at {inner.where}: {second[0]}" if second and inner else ""
        say(f"{sink} {operation}, at {at} ({outer.where}): {action}{also}: {'; '.join(world.broken)}")
    return outer.places


def _check(world: World, *, may_be_dead: bool) -> None:
    """Go on, seal and read: whatever was acknowledged is there, and the chain is whole."""
    try:
        if not world.closed:
            _go_on(world)
            world.seal(SealCause.COMPLETED)
    except RecorderError as error:
        if not may_be_dead:
            world.broken.append(f"afterwards: {error}")
    try:
        record = world.observer.get_execution_record("LIVE")
    except RecorderError as error:
        world.broken.append(f"no record: {error}")
        return
    verdict = record.verify()
    if not verdict and not (verdict.why == "unsealed" and (world.closed or may_be_dead)):
        world.broken.append(f"the record: {verdict}")
    _count(world, record)
    if world.journal is not None:
        world.journal.close()
        verdict = verify_journal(world.path)
        if not verdict and not (verdict.why == "unsealed" and world.closed):
            world.broken.append(f"the journal: {verdict}")


def _go_on(world: World) -> None:
    if world.observer.status is not ExecutionStatus.STARTED:
        return
    world.effect("after")
    if world.journal is not None:
        _committed_soon(world, b'"after"')
        other = threading.Thread(target=_start_in, args=(world,), daemon=True)
        other.start()
        other.join(SOON)
        if other.is_alive():
            world.broken.append("another thread cannot sync: a lock was left behind")


def _committed_soon(world: World, text: bytes) -> None:
    end = time.monotonic() + SOON / 2
    while text not in world.path.read_bytes():
        if time.monotonic() > end:
            world.broken.append("the thread does not write any more")
            return
        time.sleep(0.0005)


def _start_in(world: World) -> None:
    try:
        world.start("by another thread", 9)
    except RecorderError as error:
        world.broken.append(f"another thread: {error}")


def _count(world: World, record: ExecutionRecord) -> None:
    names = Counter(getattr(entry, "description", None) or getattr(entry, "step_name", "") for entry in record.entries)
    for key in dict.fromkeys(world.acknowledged):
        if names[key] < world.acknowledged.count(key):
            world.broken.append(f"{key} was acknowledged and is not there")


def every(sink: str, action: str, folder: Path) -> int:
    """Strike once at each place of each operation; return how often."""
    struck = 0
    for operation in OPERATIONS:
        at = 1
        while strike(sink, operation, action, at, folder) >= at:
            at += 1
        struck += at - 1
    return struck


def at_random(seconds: float, seed: int, folder: Path) -> int:
    """Strike twice, the second time in the first one's handler, which swallows what is raised; return how often."""
    chance = random.Random(seed)  # noqa: S311 - repeatable, not secret
    end = time.monotonic() + seconds
    struck = 0
    while time.monotonic() < end:
        sink = chance.choice(["journal", "journal", "memory", "foreign"])
        operation, first, second = chance.choice([*OPERATIONS]), chance.choice([*ACTIONS]), chance.choice([*ACTIONS])
        strike(sink, operation, first, chance.randint(1, 60), folder, (second, chance.randint(1, 60)))
        struck += 1
    return struck


if __name__ == "__main__":
    logging.disable()
    vars(_new_file)["sync_directory"] = lambda _: None  # the disk's time is not ours
    with tempfile.TemporaryDirectory() as name:
        how, *rest = sys.argv[1:]
        if how == "every":
            say(f"{every(rest[0], rest[1], Path(name))} strikes")
        else:
            say(f"{at_random(float(rest[0]), int(rest[1]), Path(name))} strikes")
