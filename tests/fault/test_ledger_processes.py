"""Many processes on one ledger: races, forks, and death at any moment."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from hearth.ledger import Ledger, LedgerHome

if TYPE_CHECKING:
    from pathlib import Path

PROCESSES = 6
STORES = 20

# One process loads everything and forks: no memory of the ledger is shared, and starting costs milliseconds.
RACERS = """
import json, os, sys
from hearth.errors import DuplicateExecutionError
from hearth.ledger import Ledger, LedgerHome
from hearth.recorder import ExecutionObserver

home, racers, stores = LedgerHome(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])

def record(execution_id, plan):
    observer = ExecutionObserver(execution_id, plan)
    observer.record_step_started(0, "work for " + plan)
    observer.record_step_completed(0, "work for " + plan)
    observer.mark_completed()
    return observer.get_execution_record("LIVE")

def race(name):
    outcome = {"stored": 0, "shared": 0, "contested": 0}
    with Ledger.open(home) as ledger:
        for number in range(stores):
            outcome["stored"] += ledger.store(record(f"{name}-{number}", name))
            outcome["shared"] += ledger.store(shared)
            try:
                outcome["contested"] += ledger.store(record(f"contested-{number}", "contested"))
            except DuplicateExecutionError:
                pass
            assert ledger.get(f"{name}-{number}").verify()
            assert ledger.list(plan=name, limit=1)[0].execution_id == f"{name}-{number}"
            assert ledger.count(plan=name, text="work for " + name) == number + 1
    os.write(1, (json.dumps(outcome) + "\\n").encode())

shared = record("shared", "plan")
gate, opener = os.pipe()
children = []
for number in range(racers):
    child = os.fork()
    if child == 0:
        os.close(opener)
        os.read(gate, 1)  # until the parent opens the gate for all at once
        race(f"racer{number}")
        os._exit(0)
    children.append(child)
os.close(opener)
sys.exit(max(os.waitpid(child, 0)[1] for child in children))
"""

# Forks from one process that has loaded everything: a death costs milliseconds, so there can be many.
VICTIMS = """
import json, os, random, signal, sys, time
from hearth.ledger import Ledger, LedgerHome
from hearth.record import Redactor
from hearth.recorder import ExecutionObserver

home = LedgerHome(sys.argv[1])
for seed in range(int(sys.argv[2])):
    chance = random.Random(seed)
    heard, told = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(heard)
        with Ledger.open(home) as ledger:
            for number in range(1000):
                observer = ExecutionObserver(f"seed-{seed}-{number}", "plan", redactor=Redactor(disclosable=["who"]))
                for step in range(20):
                    observer.record_step_started(step, f"step {step}", {"who": f"person {step}"})
                    observer.record_side_effect("OTHER", f"effect {step} " + "text " * 100, step_index=step)
                    observer.record_step_completed(step, f"step {step}")
                observer.mark_completed()
                ledger.store(observer.get_execution_record("LIVE"), observer.disclosures)
                os.write(told, f"seed-{seed}-{number}\\n".encode())
        os._exit(1)
    os.close(told)
    acknowledged = b""
    for _ in range(chance.randrange(1, 4)):
        acknowledged += os.read(heard, 65536)
    time.sleep(chance.uniform(0, 0.008))  # the moment of death, not a wait for anything
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    while more := os.read(heard, 65536):
        acknowledged += more
    os.close(heard)
    print(acknowledged.decode(), end="", flush=True)
"""

FORKER = """
import os, sys
from hearth.ledger import Ledger, LedgerHome
from hearth.recorder import ExecutionObserver

def record(execution_id):
    observer = ExecutionObserver(execution_id, "plan")
    observer.mark_completed()
    return observer.get_execution_record("LIVE")

ledger = Ledger.open(LedgerHome(sys.argv[1]))
ledger.store(record("before"))
children = []
for number in range(4):
    child = os.fork()
    if child == 0:
        for count in range(10):
            ledger.store(record(f"child-{number}-{count}"))
        if number % 2:
            ledger.close()
        sys.exit(0)  # through the interpreter's own end, destructors and all
    children.append(child)
for count in range(10):
    ledger.store(record(f"parent-{count}"))
assert [os.waitpid(child, 0)[1] for child in children] == [0] * 4
assert ledger.count() == 51
ledger.close()
"""

posix_only = pytest.mark.skipif(os.name != "posix", reason="fork and SIGKILL are POSIX's")


@pytest.fixture
def home(tmp_path: Path) -> LedgerHome:
    home = LedgerHome.create(tmp_path / ".hearth")
    Ledger.open(home, create=True).close()
    return home


def integrity(home: LedgerHome) -> list[tuple[Any, ...]]:
    connection = sqlite3.connect(home.database)
    try:
        return [
            *connection.execute("PRAGMA integrity_check").fetchall(),
            *connection.execute("PRAGMA foreign_key_check").fetchall(),
        ]
    finally:
        connection.close()


@posix_only
def test_processes_that_race_lose_nothing_and_never_see_a_lock(home: LedgerHome) -> None:
    run = subprocess.run(
        [sys.executable, "-c", RACERS, str(home.root), str(PROCESSES), str(STORES)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert (run.returncode, run.stderr) == (0, "")
    outcomes = [json.loads(line) for line in run.stdout.splitlines()]
    assert [outcome["stored"] for outcome in outcomes] == [STORES] * PROCESSES
    assert sum(outcome["shared"] for outcome in outcomes) == 1
    assert sum(outcome["contested"] for outcome in outcomes) == STORES
    with Ledger.open(home) as ledger:
        names = list(ledger.iterate_ids())
        assert len(names) == len(set(names)) == ledger.count() == PROCESSES * STORES + STORES + 1
        assert all(ledger.get(name).verify() for name in names)
    assert integrity(home) == [("ok",)]


@posix_only
def test_killed_while_storing_leaves_all_of_a_record_or_nothing(home: LedgerHome) -> None:
    run = subprocess.run(
        [sys.executable, "-c", VICTIMS, str(home.root), "25"], capture_output=True, text=True, check=False, timeout=120
    )
    assert (run.returncode, run.stderr) == (0, "")
    acknowledged = run.stdout.split()
    assert len(acknowledged) >= 25
    assert integrity(home) == [("ok",)]
    with Ledger.open(home) as ledger:
        stored = set(ledger.iterate_ids())
        assert set(acknowledged) <= stored
        # At most the one that each was at when it died.
        assert len(stored) <= len(acknowledged) + 25
        for name in stored:
            record = ledger.get(name)
            assert record.with_disclosures(ledger.disclosures(name)).verify()
            assert len(ledger.disclosures(name)) == 20
        assert ledger.count(text="effect 19 text") == len(stored)


@posix_only
def test_a_ledger_opened_before_a_fork_serves_both_sides(home: LedgerHome) -> None:
    run = subprocess.run(
        [sys.executable, "-c", FORKER, str(home.root)], capture_output=True, text=True, check=False, timeout=120
    )
    assert (run.returncode, run.stderr) == (0, "")
    assert integrity(home) == [("ok",)]
    with Ledger.open(home) as ledger:
        assert ledger.count() == 51
