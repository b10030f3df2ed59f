"""Files that are none: whatever bytes stand in a plan, a policy, a key, an envelope, a journal, a record or a ledger.

Each reader either understands a file or says in a HearthError what is wrong with it, in bounded memory and without
going on for ever. Mutations of good files come from a seeded random source; the bombs are written out.
"""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from hearth.errors import HearthError
from hearth.execution import load_policy
from hearth.ledger import Ledger, LedgerHome
from hearth.operations import Approvals, Records, fsck, initialise, load_key, recover, run_plan, verify_all, verify_file
from hearth.plan import ApprovalDecision, ApprovalRequest, load_plan
from hearth.recorder import ExecutionObserver, Journal, read_journal, recover_journal, verify_journal
from hearth.security import LiveMode
from hearth.signing import Envelope, PublicKey, SigningKey
from tests import approving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="limits of a process")

# Far more than any case takes, so that a busy machine fails nothing; what hangs or grows without bound is over it.
PATIENCE = 20.0
MEMORY = 300 << 20
LONGEST_MESSAGE = 100_000  # a plan's hundred problems, one a line
PLAN = """\
plan: tidy
description: Tidy the reports
variables: {name: report.txt}
env: {PLACE: north, TOKEN: {secret: "env:TOKEN"}}
inputs: [data.csv]
steps:
  - name: Write
    file: {write: "{{ name }}", content: "hello\\n"}
    effects: [{file_system: "{{ name }}", reversible: true}]
    rollback: {description: Remove it, actions: ["rm {{ name }}"], risks: [none]}
    timeout: 30s
  - {name: Count, shell: "wc -l {{ name }}"}
  - {name: Ask, sql: {url: "sqlite:///app.db", statement: "SELECT 1"}}
"""
POLICY = """\
staging: {targets: ["file:/srv/*"]}
states: {DEGRADED: {modes: [DRY_RUN], tasks: [file]}}
notify: [{on: [failure], command: ["/bin/true", "{event}"], timeout: 5s}]
retention: {minimum_age: 90d}
"""


class Mutation:
    """Seeded damage: flipped, deleted, doubled and foreign bytes, and cut ends."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)  # noqa: S311 - repeatable, not secret

    def of(self, data: bytes) -> bytes:
        """Return the data with one to four pieces of damage."""
        bytes_now = bytearray(data)
        for _ in range(self._chance.randint(1, 4)):
            place = self._chance.randrange(len(bytes_now) + 1)
            end = min(len(bytes_now), place + self._chance.choice((1, 1, 2, 8, 64)))
            match self._chance.randrange(6):
                case 0 if place < len(bytes_now):
                    bytes_now[place] ^= 1 << self._chance.randrange(8)
                case 1:
                    del bytes_now[place:end]
                case 2:
                    bytes_now[place:place] = bytes_now[place:end] * self._chance.choice((1, 2, 50))
                case 3:
                    bytes_now[place:place] = self._chance.choice(FOREIGN)
                case 4:
                    bytes_now[place:end] = self._chance.randbytes(end - place)
                case _:
                    del bytes_now[place:]
        return bytes(bytes_now)


FOREIGN = (
    b"\0", b"\xff\xfe", b"\xed\xa0\x80", b"[" * 2000, b'{"a":' * 2000, b"9" * 5000, b"-1e999999", b"NaN",
    b"&a [*a,*a]", b"<<: *a", b"!!python/object:os.system", b"\r\n", b'"', b"\\u0000", b"\\ud800", b"\xe2\x80\xae",
    b"{{ name }}", b"{secret: env:X}", b"%", b"A" * 100_000,
)  # fmt: skip

BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join([f'*{chr(97 + n)}'] * 9)}]\n" for n in range(12)
)
BOMBS: dict[str, Callable[[], bytes]] = {
    "aliases": BOMB.encode,
    "deep brackets": lambda: b"[" * 200_000,
    "deep mappings": lambda: b'{"a":' * 200_000,
    "deep block": lambda: "".join(" " * n + "a:\n" for n in range(2000)).encode(),
    "one huge integer": lambda: b"plan: " + b"9" * 2_000_000,
    "one huge exponent": lambda: b"plan: 1e" + b"9" * 1_000_000,
    "a hundred megabytes of text": lambda: b'{"plan": "' + b"x" * 100_000_000 + b'"}',
    "a hundred megabytes of nothing": lambda: b"\0" * 100_000_000,
    "a million keys": lambda: b"{" + b",".join(b'"k%d":1' % n for n in range(1_000_000)) + b"}",
    "a million lines": lambda: b"- x\n" * 1_000_000,
    "tags": lambda: b"!!python/object/apply:os.system [echo]\n",
    "merge keys": lambda: b"<<: [{a: 1}, {b: 2}]\n" * 1000,
    "byte order marks": lambda: "\ufeff".encode() * 1000,
    "utf-16": lambda: PLAN.encode("utf-16"),
    "empty": lambda: b"",
}


def a_home(folder: Path) -> LedgerHome:
    """A ledger with an approved, a denied and a used request, a stored run, and a journal left behind."""
    home = initialise(folder / ".hearth").home
    key = approving.trust(home)
    (folder / "work").mkdir()
    (folder / "work" / "data.csv").write_text("a,b\n1,2\n")
    simple = folder / "work" / "simple.yaml"
    simple.write_text("plan: simple\nsteps: [{name: Write, file: {write: out.txt, content: x}}]\n")
    plan = load_plan(simple)
    run_plan(plan, home=home, mode=LiveMode.LIVE, request_id=approving.approve(home, plan, key), execution_id="one")
    approving.approve(home, plan, key)
    with Ledger.open(home) as ledger:
        approvals = Approvals(home, ledger)
        signer = load_key(home, key)
        asked = approvals.request(plan, signer, requester="ann", reason="another")
        approvals.decide(asked.asked.request_id, signer, verdict="deny", reason="no")
    return home


def a_journal(path: Path) -> bytes:
    """The bytes of a sealed journal."""
    with Journal.create(path) as journal:
        observer = ExecutionObserver("left", "plan", journal=journal, live_mode="LIVE")
        with observer.step(0, "first", {"a": [1, 2.5, None], "b": {"c": "d"}}) as step:
            step.effect("FILE_SYSTEM", "wrote", reversible=True, details={"path": "x"})
        observer.mark_completed()
    return path.read_bytes()


def read_ledger(home: LedgerHome) -> None:
    """Read everything that a ledger holds, by every way."""
    with Records(home) as records:
        for summary in records.ledger.list():
            records.ledger.get(summary.execution_id)
        for _ in verify_all(records):
            pass
        Approvals(home, records.ledger).listing()
        recover(records)
    fsck(home)


def readers(folder: Path) -> dict[str, tuple[bytes, Callable[[bytes], object]]]:
    """Return a good file of each kind, and what reads it."""
    (folder / "data.csv").write_text("a,b\n")

    def through(name: str, read: Callable[[Path], object]) -> Callable[[bytes], object]:
        def write_and_read(data: bytes) -> object:
            path = folder / name
            path.unlink(missing_ok=True)
            path.write_bytes(data)
            path.chmod(0o600)
            return read(path)

        return write_and_read

    journal = a_journal(folder / "good.journal")
    record = json.dumps(read_journal(folder / "good.journal").to_dict(), indent=1).encode()
    key = SigningKey.generate()
    key.save(folder / "good.pem")
    home = a_home(folder)
    with Ledger.open(home) as ledger:
        row = ledger.approvals.listing()[0]
    aside = folder / "quarantine"
    return {
        "plan": (PLAN.encode(), through("plan.yaml", load_plan)),
        "plan in JSON": (b'{"plan": "p", "steps": [{"name": "a", "shell": "true"}]}', through("p.json", load_plan)),
        "policy": (POLICY.encode() + home.policy.read_bytes(), through("policy.yaml", load_policy)),
        "key": ((folder / "good.pem").read_bytes(), through("key.pem", SigningKey.load)),
        "public key": (str(key.public).encode(), lambda data: PublicKey.parse(data.decode("latin-1"))),
        "request": (row.request.to_json(), lambda data: ApprovalRequest.read(Envelope.parse(data))),
        "decision": (row.decisions[0].to_json(), lambda data: ApprovalDecision.read(Envelope.parse(data))),
        "journal, read": (journal, through("a.journal", read_journal)),
        "journal, verified": (journal, through("b.journal", verify_journal)),
        "journal, recovered": (journal, through("c.journal", lambda path: recover_journal(path, quarantine=aside))),
        "record": (record, through("record.json", verify_file)),
    }


def expect_no_more_than_a_refusal(read: Callable[[bytes], object], data: bytes, what: str) -> None:
    began = time.process_time()
    said = "understood"
    try:
        read(data)
    except HearthError as error:
        said = str(error)
    assert said, f"{what}: refused without a word"
    assert len(said) < LONGEST_MESSAGE, f"{what}: a message of {len(said)} characters"
    assert time.process_time() - began < PATIENCE, what


def cases(rounds: int, folder: Path) -> Iterator[tuple[str, Callable[[bytes], object], bytes]]:
    """Yield the bombs and the mutations for every reader but the ledger's."""
    for number, (kind, (good, read)) in enumerate(readers(folder).items()):
        read(good)  # the good one is understood
        for name, bomb in BOMBS.items():
            yield f"{kind}: {name}", read, bomb()
        for seed in range(rounds):
            yield f"{kind}: mutation {seed}", read, Mutation(1000 * number + seed).of(good)


def grown() -> int:
    """The most memory that this process has had, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


@pytest.mark.parametrize("rounds", [60, pytest.param(5000, marks=pytest.mark.soak)])
def test_only_refusals_come_out_in_bounded_memory(tmp_path: Path, rounds: int) -> None:
    """In a process of its own, so that its memory is that of these cases."""
    program = f"""
import sys
from pathlib import Path
from tests.fault import test_hostile_files as suite
folder = Path(sys.argv[1])
known = 0
for what, read, data in suite.cases({rounds}, folder):
    held = len(data)
    suite.expect_no_more_than_a_refusal(read, data, what)
    del data
    known += 1
print(known, suite.grown())
"""
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        cwd=root,
        env=os.environ | {"PYTHONPATH": str(root)},
    )
    assert done.returncode == 0, done.stderr[-4000:]
    number, most = map(int, done.stdout.split())
    assert number >= 11 * rounds
    # The test itself holds one bomb of a hundred megabytes, and makes it of another.
    assert most < MEMORY + 200_000_000, f"{most / 1e6:.0f} MB"


@pytest.mark.parametrize("rounds", [40, pytest.param(1500, marks=pytest.mark.soak)])
def test_a_damaged_ledger_file_gives_refusals_and_findings(tmp_path: Path, rounds: int) -> None:
    home = a_home(tmp_path)
    with closing(sqlite3.connect(home.database)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    good = home.database.read_bytes()
    for seed in range(rounds):
        damaged = tmp_path / f"ledger-{seed % 2}"
        shutil.rmtree(damaged, ignore_errors=True)
        shutil.copytree(home.root, damaged, ignore=shutil.ignore_patterns("*-wal", "*-shm"))
        (damaged / "ledger.db").write_bytes(Mutation(seed).of(good))
        expect_no_more_than_a_refusal(
            lambda name: read_ledger(LedgerHome(Path(name.decode()))), str(damaged).encode(), f"ledger: mutation {seed}"
        )


@pytest.mark.parametrize("column", ["record", "document", "envelope"])
@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[" * 100_000, b"\xff" * 100, b'{"payload":"","payloadType":"x","signatures":[]}']
)
def test_a_damaged_row_gives_refusals_and_findings(tmp_path: Path, column: str, content: bytes) -> None:
    home = a_home(tmp_path)
    table = {"record": "executions", "document": "approval_requests", "envelope": "approval_decisions"}[column]
    with closing(sqlite3.connect(home.database)) as connection:
        connection.execute(f"UPDATE {table} SET {column} = ?", (content,))
        connection.commit()
    expect_no_more_than_a_refusal(lambda _: read_ledger(home), b"", column)
    assert any(True for _ in fsck(home).findings), "fsck names it"


def test_the_good_ones_are_good(tmp_path: Path) -> None:
    home = a_home(tmp_path)
    read_ledger(home)
    assert not list(fsck(home).findings)
    more = tmp_path / "more"
    more.mkdir()
    good: Any = readers(more)
    for kind, (data, read) in good.items():
        assert read(data) is not None, kind
