"""`kill -9` of a recording process at seeded moments.

A nursery process that has loaded everything forks the victims, so that a death costs milliseconds. A victim records,
acts, and says so, each by one write of its own that outlives it: `told` gets the index of a step once its start has
returned, `acted` gets it when the step acts. (What a power cut would take is tested with watched disks.)
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from hearth.record import ExecutionStatus, SealCause, StepEventType
from hearth.recorder import read_journal, recover_journal, verify_journal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from hearth.record import ExecutionRecord

pytestmark = pytest.mark.skipif(not hasattr(os, "fork") or sys.platform == "win32", reason="needs fork and SIGKILL")

NURSERY = """
import os, sys
from hearth.recorder import ExecutionObserver, Journal

def live(folder, effects, threads):
    import threading
    told, acted = (
        os.open(os.path.join(folder, name), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600) for name in ("told", "acted")
    )
    observer = ExecutionObserver("run-1", "plan", journal=Journal.create(os.path.join(folder, "run.journal")))

    def steps(first):
        index = first
        while True:
            observer.record_step_started(index, f"step {index}", {"text": "x" * (index % 50)})
            os.write(told, b"%d\\n" % index)
            os.write(acted, b"%d\\n" % index)
            for number in range(effects):
                observer.record_side_effect("OTHER", f"effect {number}", step_index=index, details={"n": number})
            observer.record_step_completed(index, f"step {index}")
            index += threads

    for first in range(1, threads):
        threading.Thread(target=steps, args=(first,), daemon=True).start()
    steps(0)

for line in sys.stdin:
    if line == "reap\\n":
        os.wait()
        print("reaped", flush=True)
        continue
    folder, effects, threads = line.rsplit(" ", 2)
    child = os.fork()
    if child == 0:
        try:
            live(folder, int(effects), int(threads))
        finally:
            os._exit(1)
    print(child, flush=True)
"""


class Nursery:
    """Gives birth to victims, one at a time."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", NURSERY], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def say(self, line: str) -> str:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline().strip()
        assert answer, "the nursery is dead"
        return answer

    def close(self) -> None:
        self.process.communicate(timeout=30)


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    nursery = Nursery()
    yield nursery
    nursery.close()


@dataclass
class Death:
    """What a victim left behind."""

    seed: int
    journal: Path
    told: list[int]
    acted: list[int]


def numbers(path: Path) -> list[int]:
    return [int(line) for line in path.read_text().split("\n")[:-1]] if path.exists() else []


def die(nursery: Nursery, folder: Path, seed: int) -> Death:
    """One life of some milliseconds, to a moment that the seed chooses: some before anything was told."""
    chance = random.Random(seed)  # noqa: S311 - repeatable, not secret
    folder.mkdir()
    child = int(nursery.say(f"{folder} {chance.choice((0, 1, 5, 40))} {chance.choice((1, 1, 3))}"))
    give_up = time.monotonic() + 30
    while seed % 4 and not numbers(folder / "acted") and time.monotonic() < give_up:
        time.sleep(0.0005)  # how long it takes to be born is the machine's business
    time.sleep(chance.choice((0, 0.002, 0.01)) + chance.random() * 0.03)
    os.kill(child, signal.SIGKILL)
    assert nursery.say("reap") == "reaped"
    return Death(seed, folder / "run.journal", numbers(folder / "told"), numbers(folder / "acted"))


def starts(record: ExecutionRecord) -> set[int]:
    return {event.step_index or 0 for event in record.step_events if event.event_type is StepEventType.STEP_STARTED}


def check(death: Death) -> int:
    """Hold the journal against what the victim told; return how many steps had acted."""
    what = f"seed {death.seed}"
    assert set(death.acted) <= set(death.told), what
    if not death.journal.exists():
        assert not death.told, what
        return 0
    recovery = recover_journal(death.journal)
    if recovery.outcome == "empty":
        assert not death.told, what
        return 0
    record = recovery.record
    assert recovery.outcome == "recovered", what
    assert record is not None
    assert set(death.told) <= starts(record), f"{what}: a start that was acknowledged is not in the journal"
    assert set(death.acted) <= starts(record), f"{what}: a step acted without its intent"
    assert (record.status, record.cause) == (ExecutionStatus.INCOMPLETE, SealCause.RECOVERED), what
    assert record.verify(), f"{what}: {record.verify()}"
    assert verify_journal(death.journal), what
    assert read_journal(death.journal) == record, what
    open_steps = starts(record) - {
        event.step_index for event in record.step_events if event.event_type is StepEventType.STEP_COMPLETED
    }
    unknown = {why["step_index"] for why in record.side_effects_report.unknown_effects_why}
    assert open_steps <= unknown, f"{what}: an open step whose effects are not said to be unknown"
    assert recover_journal(death.journal).outcome == "sealed", what
    return len(death.acted)


def kill_many(nursery: Nursery, folder: Path, seeds: range) -> list[int]:
    acted = []
    for seed in seeds:
        death = die(nursery, folder / str(seed), seed)
        acted.append(check(death))
        shutil.rmtree(folder / str(seed))
    return acted


def test_fifty_deaths(nursery: Nursery, tmp_path: Path) -> None:
    acted = kill_many(nursery, tmp_path, range(50))
    assert sum(acted) > 50, "the victims lived long enough to act"
    assert sum(count > 0 for count in acted) > 35


@pytest.mark.soak
def test_five_hundred_deaths(nursery: Nursery, tmp_path: Path) -> None:
    acted = kill_many(nursery, tmp_path, range(1000, 1500))
    assert sum(count > 0 for count in acted) > 370


def test_the_check_would_see_a_start_that_is_missing(nursery: Nursery, tmp_path: Path) -> None:
    """The whole test is worth nothing if a lost start went unnoticed."""
    death = die(nursery, tmp_path / "2001", 2001)
    assert read_journal(death.journal).step_events
    death.told.append(max(death.told) + 10_000)
    with pytest.raises(AssertionError, match="acknowledged"):
        check(death)
