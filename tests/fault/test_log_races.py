"""Many processes on one ledger's log, killed at any moment: it never forks, loses or doubles an event, or goes back."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from hearth.evidence import (
    Checkpoint,
    LedgerLog,
    LogFiles,
    Note,
    check_log,
    load_log_key,
    name_of_leaf,
    update_log,
    verify_consistency,
)
from hearth.ledger import Ledger, LedgerHome
from hearth.operations import LogKeys, log_init, log_status, publish_log, verify_log
from hearth.record import parse_leaf

if TYPE_CHECKING:
    from pathlib import Path

# A process that does what runs and commands do to a log, and notes what it was told to be done.
WORKER = """
import os, random, sys
from pathlib import Path
from hearth.evidence import LogTeller
from hearth.ledger import Ledger, LedgerHome
from hearth.operations import publish_log, verify_log
from hearth.recorder import ExecutionObserver, Journal

home, name, told, public = LedgerHome(Path(sys.argv[1])), sys.argv[2], sys.argv[3], Path(sys.argv[4])
chance = random.Random(name)
notes = os.open(told, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

def note(*words):
    os.write(notes, (" ".join(words) + "\\n").encode())

for number in range(int(sys.argv[5])):
    with Ledger.open(home) as ledger:
        what = chance.choices(["run", "posture", "publish", "verify"], [12, 2, 2, 1])[0]
        if what == "run":
            run = f"{name}-{number}"
            with Journal.create(home.journal_path(run)) as journal:
                observer = ExecutionObserver(run, "plan", ledger_id=ledger.ledger_id, journal=journal)
                journal.sync()
                LogTeller(ledger).opened(run)
                note("opened", run)
                with observer.step(0, "Act"):
                    pass
                observer.mark_completed()
                ledger.store(observer.get_execution_record("DRY_RUN"))
            LogTeller(ledger).sealed(run)
            note("sealed", run)
            home.journal_path(run).unlink()
        elif what == "posture":
            ledger.postures.lock_down(who=name, why="race", source="test")
            LogTeller(ledger).sealed("posture")
        elif what == "publish":
            publish_log(home, public)
        else:
            found = verify_log(home)
            assert found.ok, found.report.problems
note("done", name)
"""


class Watcher(threading.Thread):
    """Keeps every checkpoint that it sees, as a witness or a mirror would."""

    def __init__(self, *folders: Path) -> None:
        super().__init__(daemon=True)
        self.seen: dict[tuple[Path, int], set[bytes]] = {}
        self.went_back: list[tuple[int, int]] = []
        self._folders = folders
        self._over = threading.Event()

    def run(self) -> None:
        last = dict.fromkeys(self._folders, 0)
        while not self._over.wait(0.002):
            for folder in self._folders:
                try:
                    found = Checkpoint.parse(Note.parse((folder / "checkpoint").read_bytes()).text)
                except FileNotFoundError:
                    continue
                self.seen.setdefault((folder, found.size), set()).add(found.root)
                if found.size < last[folder]:
                    self.went_back.append((last[folder], found.size))
                last[folder] = found.size

    def stop(self) -> None:
        self._over.set()
        self.join()


class Race:
    """A ledger with a log, and processes that work on it until they are killed, or done."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.home = LedgerHome.create(folder / ".hearth")
        Ledger.open(self.home, create=True).close()
        log_init(self.home, origin="example.org/race")
        self.public = folder / "public"
        self._folder = folder
        self._chance = random.Random(seed)  # noqa: S311 - no secret
        self.watcher = Watcher(self.home.root / "transparency" / "log", self.public)

    @property
    def notes(self) -> list[list[str]]:
        return [line.split() for line in (self._folder / "told").read_text().splitlines()]

    def run(self, *, processes: int, rounds: int, operations: int) -> list[str]:
        """Have so many work at once, each with a successor; return what those said that failed by themselves."""
        running: list[tuple[subprocess.Popen[bytes], Path, float]] = []
        failed = []
        self.watcher.start()
        try:
            for number in range(rounds):
                while len(running) >= processes:
                    failed += self._ended(running)
                running.append(self._begun(f"w{number}", operations))
            while running:
                failed += self._ended(running)
        finally:
            for process, _, _ in running:
                process.kill()
                process.wait()
            self.watcher.stop()
        return failed

    def _begun(self, name: str, operations: int) -> tuple[subprocess.Popen[bytes], Path, float]:
        words = [str(self.home.root), name, str(self._folder / "told"), str(self.public), str(operations)]
        said = self._folder / f"{name}.err"
        with said.open("wb") as out:
            process = subprocess.Popen([sys.executable, "-c", WORKER, *words], stderr=out)
        # A third may end by themselves.
        lives = self._chance.uniform(0.5, 4.0) if self._chance.random() < 0.67 else 600.0
        return process, said, time.monotonic() + lives

    def _ended(self, running: list[tuple[subprocess.Popen[bytes], Path, float]]) -> list[str]:
        time.sleep(0.01)
        failed = []
        for one in list(running):
            process, said, until = one
            if process.poll() is not None:
                running.remove(one)
                failed += [said.read_text()] if process.returncode not in (0, -9) else []
            elif time.monotonic() > until:
                process.kill()
        return failed


def race(tmp_path: Path, seed: int, *, processes: int, rounds: int, operations: int) -> None:
    raced = Race(tmp_path, seed)
    assert raced.run(processes=processes, rounds=rounds, operations=operations) == []
    with Ledger.open(raced.home) as ledger:
        update_log(ledger)
        log = LedgerLog(ledger, load_log_key)
        now = log.log.checkpoint()
        found = Counter((leaf["kind"], name_of_leaf(leaf)) for leaf in map(parse_leaf, log.log.entries()))
        for (_, size), roots in raced.watcher.seen.items():
            (root,) = roots  # one for each size: no fork
            verify_consistency(size, now.size, root, now.root, log.log.consistency(size))
    assert raced.watcher.went_back == []
    assert max(found.values()) == 1
    for what, run in (note for note in raced.notes if note[0] != "done"):
        assert found[f"execution_{what}", run] == 1, (what, run)
    assert sum(note[0] == "sealed" for note in raced.notes) > rounds  # it did race
    assert verify_log(raced.home).report.problems == ()
    status = log_status(raced.home)
    assert status.waiting == 0
    publish_log(raced.home, raced.public)
    assert check_log(LogFiles(raced.public), LogKeys.read(status.keys).check).ok


def test_processes_that_are_killed(tmp_path: Path) -> None:
    race(tmp_path, 1, processes=6, rounds=14, operations=12)


@pytest.mark.soak
@pytest.mark.parametrize("seed", [2, 3])
def test_twenty_processes_that_are_killed(tmp_path: Path, seed: int) -> None:
    race(tmp_path, seed, processes=20, rounds=120, operations=40)


def test_a_run_goes_on_while_the_whole_log_is_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A check of a large log takes long; nobody waits for it, and what comes meanwhile is no difference."""
    home = LedgerHome.create(tmp_path / ".hearth")
    with Ledger.open(home, create=True) as ledger:
        log_init(home, origin="example.org/long")
        ledger.postures.lock_down(who="ann", why="before", source="test")
        update_log(ledger)
        script = WORKER.replace('["run", "posture", "publish", "verify"], [12, 2, 2, 1]', '["run"]')
        argv = [sys.executable, "-c", script, str(home.root), "other", str(tmp_path / "told"), os.devnull, "1"]
        done: list[int] = []

        def slow(number: int) -> None:
            done.append(subprocess.run(argv, check=False).returncode)

        report = verify_log(home, progress=slow).report
    assert done == [0]
    assert report.problems == ()
    assert report.checkpoint.size == 5 - 1  # what came is in the answer: the log, the posture, the run twice
