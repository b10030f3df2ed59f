"""Files that are none: whatever bytes stand in a plan, a policy, a key, an envelope, a journal, a record or a ledger.

Each reader either understands a file or says in a HearthError what is wrong with it, in at most two seconds and 200 MB.
Mutations of good files come from a seeded random source; the bombs are written out.

What is measured: the processor's time of the process that reads (so a busy machine fails nothing; a case beyond the
limit is tried again, and its best counts), and the peak of its resident memory above that of the same process when it
was idle, all of HEARTH loaded, less the bytes that the test itself hands over.
"""

from __future__ import annotations

import ctypes
import gc
import hashlib
import json
import os
import random
import re
import shutil
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from hearth.errors import HearthError
from hearth.execution import load_policy
from hearth.ledger import Ledger, LedgerHome
from hearth.operations import Approvals, Records, fsck, initialise, load_key, recover, run_plan, verify_all, verify_file
from hearth.plan import ApprovalDecision, ApprovalRequest, load_plan
from hearth.record import EVENT_DOMAIN, canonical_bytes
from hearth.recorder import ExecutionObserver, Journal, read_journal, recover_journal, verify_journal
from hearth.security import LiveMode
from hearth.signing import Envelope, PublicKey, SigningKey
from tests import approving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Prepare = Callable[[bytes | Path], Callable[[], object]]
    Case = tuple[str, Prepare, bytes | Path]

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the peak of memory is Linux's to tell")

PATIENCE = 2.0  # seconds of the processor
MEMORY = 200_000_000
TRIES = 3
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
    "seven million lists": lambda: b"[" + b"[]," * 7_000_000 + b"[]]",
    "two million mappings": lambda: b'{"a":[' + b'{"":1},' * 2_000_000 + b"{}]}",
    "just too few values to be refused": lambda: (
        b'{"a":[' + b",".join(b'{"%d":1.5}' % n for n in range(299_000)) + b"]}"
    ),
    "many texts of ten megabytes": lambda: b"[" + (b'"' + b"x" * 10_000_000 + b'",') * 5 + b"1]",
    "thirty megabytes of hexadecimal digits": lambda: b"a" * 30_000_000,
    "beginnings of lines": lambda: b' {"' * 5_000_000,
}

# What stands in the place of the second entry's details, its hash made right.
DETAILS: dict[str, Callable[[], bytes]] = {
    "ten million lists": lambda: b'{"a":[' + b"[]," * 10_000_000 + b"[]]}",
    "as many mappings as pass": lambda: b'{"a":[' + b'{"":1},' * 290_000 + b"[]]}",
    "as many numbers as pass": lambda: b'{"a":[' + b"1.5," * 590_000 + b"1]}",
    "a hundred megabytes of text": lambda: b'{"a":"' + b"x" * 100_000_000 + b'"}',
    "fifteen megabytes of text": lambda: b'{"a":"' + b"x" * 15_000_000 + b'"}',
    "deep": lambda: b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
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


def with_details(journal: bytes, details: bytes) -> bytes:
    """The journal with other details in its second entry; that entry's hash is right."""
    first, second, *rest = journal.splitlines(keepends=True)
    entry = orjson.loads(second[65:])
    raw = canonical_bytes({**entry, "details": None}).replace(b'"details":null', b'"details":' + details)
    return first + hashlib.sha256(EVENT_DOMAIN + raw).hexdigest().encode() + b" " + raw + b"\n" + b"".join(rest)


def readers(folder: Path) -> dict[str, tuple[bytes, Prepare]]:
    """Return a good file of each kind, and what takes a file's bytes and returns what reads them."""
    (folder / "data.csv").write_text("a,b\n")

    def through(name: str, read: Callable[[Path], object]) -> Prepare:
        def write(data: bytes | Path) -> Callable[[], object]:
            path = folder / name
            path.unlink(missing_ok=True)
            if isinstance(data, Path):
                path.hardlink_to(data)
            else:
                path.write_bytes(data)
            path.chmod(0o600)
            return lambda: read(path)

        return write

    def direct(read: Callable[[bytes], object]) -> Prepare:
        def give(data: bytes | Path) -> Callable[[], object]:
            handed = data.read_bytes() if isinstance(data, Path) else data
            return lambda: read(handed)

        return give

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
        "public key": (str(key.public).encode(), direct(lambda data: PublicKey.parse(data.decode("latin-1")))),
        "request": (row.request.to_json(), direct(lambda data: ApprovalRequest.read(Envelope.parse(data)))),
        "decision": (row.decisions[0].to_json(), direct(lambda data: ApprovalDecision.read(Envelope.parse(data)))),
        "journal, read": (journal, through("a.journal", read_journal)),
        "journal, verified": (journal, through("b.journal", verify_journal)),
        "journal, recovered": (journal, through("c.journal", lambda path: recover_journal(path, quarantine=aside))),
        "record": (record, through("record.json", verify_file)),
    }


def refused_or_understood(read: Callable[[], object], what: str) -> float:
    """Read; return the seconds of the processor that it took."""
    began = time.process_time()
    said = "understood"
    try:
        read()
    except HearthError as error:
        said = str(error)
    taken = time.process_time() - began
    assert said, f"{what}: refused without a word"
    assert len(said) < LONGEST_MESSAGE, f"{what}: a message of {len(said)} characters"
    return taken


def memory(which: str) -> int:
    """The resident memory of this process in bytes: now (VmRSS), or its peak (VmHWM)."""
    found = re.search(rf"^{which}:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024


def settle() -> None:
    """Give back what is free, and have the peak counted from now."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")


def measure(prepared: Iterator[Case]) -> None:
    """Read case after case, as the main part of a process of its own, and say what was seen."""
    settle()
    idle = memory("VmRSS")
    number, longest, most = 0, (0.0, ""), (0, "")
    for what, prepare, data in prepared:
        held, large = (0, True) if isinstance(data, Path) else (len(data), len(data) > 1 << 19)
        read = prepare(data)
        if isinstance(data, Path) and getattr(prepare, "__name__", "") == "give":
            held = data.stat().st_size
        del data
        if large:
            settle()
        seconds = refused_or_understood(read, what)
        grown = memory("VmHWM") - idle - held
        for _ in range(1, TRIES):
            if seconds > PATIENCE:
                seconds = min(seconds, refused_or_understood(read, what))
        number, longest, most = number + 1, max(longest, (seconds, what)), max(most, (grown, what))
        assert seconds <= PATIENCE, f"{what}: {seconds:.1f} s"
        assert grown <= MEMORY, f"{what}: {grown / 1e6:.0f} MB"
    sys.stdout.write(f"{number} cases; longest {longest}, most {most}\n")


def cases(rounds: int, folder: Path) -> Iterator[Case]:
    """Yield the bombs and the mutations for every reader but the ledger's."""
    known = readers(folder)
    for good, prepare in known.values():
        prepare(good)()  # the good one is understood, and all is loaded
    for name, bomb in BOMBS.items():
        path = folder / "bomb"
        path.write_bytes(bomb())  # once: the readers' files are links to it
        for kind, (_, prepare) in known.items():
            yield f"{kind}: {name}", prepare, path
        path.unlink()
    for number, (kind, (good, prepare)) in enumerate(known.items()):
        for name, bomb in DETAILS.items():
            if kind.startswith("journal"):
                yield f"{kind}: details of {name}", prepare, with_details(good, bomb())
            elif kind == "record":
                marks = good.index(b'"details": {') + len(b'"details": ')
                yield f"{kind}: details of {name}", prepare, good[:marks] + bomb()[:-1] + b"," + good[marks + 1 :]
        for seed in range(rounds):
            yield f"{kind}: mutation {seed}", prepare, Mutation(1000 * number + seed).of(good)


def ledger_cases(rounds: int, folder: Path) -> Iterator[Case]:
    """Yield mutations of a ledger's file, and bombs in its rows and beside it."""
    home = a_home(folder)
    with closing(sqlite3.connect(home.database)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    good = home.database.read_bytes()
    read_ledger(home)

    def copied(data: bytes | Path) -> LedgerHome:
        assert isinstance(data, bytes)
        damaged = folder / "damaged"
        shutil.rmtree(damaged, ignore_errors=True)
        shutil.copytree(home.root, damaged, ignore=shutil.ignore_patterns("*-wal", "*-shm"))
        (damaged / "ledger.db").write_bytes(data)
        return LedgerHome(damaged)

    def whole(data: bytes | Path) -> Callable[[], object]:
        there = copied(data)
        return lambda: read_ledger(there)

    def row(table: str, column: str) -> Prepare:
        def put(data: bytes | Path) -> Callable[[], object]:
            there = copied(good)
            with closing(sqlite3.connect(there.database)) as connection:
                connection.execute(f"UPDATE {table} SET {column} = ?", (data,))
                connection.commit()
            return lambda: read_ledger(there)

        return put

    def left(data: bytes | Path) -> Callable[[], object]:
        there = copied(good)
        assert isinstance(data, bytes)
        (there.journals / "left.journal").write_bytes(data)
        return lambda: read_ledger(there)

    for name in LEDGER_BOMBS:
        for table, column in ROWS.items():
            yield f"{table}.{column}: {name}", row(table, column), BOMBS[name]()
    journal = a_journal(folder / "left.journal")
    for name, bomb in DETAILS.items():
        yield f"a journal left behind: details of {name}", left, with_details(journal, bomb())
    for seed in range(rounds):
        yield f"ledger: mutation {seed}", whole, Mutation(seed).of(good)


ROWS = {"executions": "record", "approval_requests": "document", "approval_decisions": "envelope"}
LEDGER_BOMBS = ("seven million lists", "just too few values to be refused", "a million keys", "deep brackets")


def alone(which: str, rounds: int, folder: Path) -> int:
    """Measure the cases in a process of its own; return their number."""
    program = (
        "import sys\nfrom pathlib import Path\nfrom tests.fault import test_hostile_files as suite\n"
        f"suite.measure(suite.{which}({rounds}, Path(sys.argv[1])))\n"
    )
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", program, str(folder)],
        capture_output=True,
        text=True,
        check=False,
        cwd=root,
        env=os.environ | {"PYTHONPATH": str(root)},
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return int(done.stdout.split()[0])


@pytest.mark.parametrize("rounds", [5, pytest.param(5000, marks=pytest.mark.soak)])
def test_only_refusals_come_out_in_bounded_time_and_memory(tmp_path: Path, rounds: int) -> None:
    assert alone("cases", rounds, tmp_path) >= 11 * (rounds + len(BOMBS))


@pytest.mark.parametrize("rounds", [7, pytest.param(1500, marks=pytest.mark.soak)])
def test_a_damaged_ledger_gives_refusals_and_findings(tmp_path: Path, rounds: int) -> None:
    assert alone("ledger_cases", rounds, tmp_path) >= rounds + len(DETAILS) + len(ROWS) * len(LEDGER_BOMBS)


def test_what_the_recorder_takes_its_readers_take(tmp_path: Path) -> None:
    """However much a caller hands over: it is said what was left out, and the rest can be read."""
    path = tmp_path / "large.journal"
    with Journal.create(path) as journal:
        observer = ExecutionObserver("large", "plan", journal=journal, live_mode="LIVE")
        observer.record_step_started(0, "name " * 20_000, {"rows": list(range(310_000))})
        observer.record_side_effect("OTHER", "," * 100_000, details={"text": "x" * 9_000_000, "password": "hunter2"})
        observer.record_side_effect("OTHER", "many", details={"lists": [[]] * 200_000}, step_index=0)
        observer.record_side_effect("OTHER", "just fits", details={"rows": list(range(200_000)), "t": "," * 5_000})
        observer.record_step_failed(0, "name", "[" * 100_000, {"text": "é\n" * 2_200_000})
        observer.mark_failed("{" * 1_000_000)
        record = observer.get_execution_record("LIVE")
    assert verify_journal(path)
    (tmp_path / "large.json").write_text(json.dumps(record.to_dict()))
    assert verify_file(tmp_path / "large.json").verdict
    assert read_journal(path) == record
    left_out = [entry for entry in record.entries if "left out" in str(entry.details.get("$text", ""))]
    assert [entry.sequence for entry in left_out] == [1, 2, 3, 5]
    assert all(re.search(r"SHA-256 [0-9a-f]{64}$", entry.details["$text"]) for entry in left_out)
    assert "SHA-256" in (record.entries[5].error_message or "")


@pytest.mark.parametrize("entries", [20_000, pytest.param(100_000, marks=pytest.mark.soak)])
def test_a_long_export_is_no_bomb(tmp_path: Path, entries: int) -> None:
    observer = ExecutionObserver("long", "plan", live_mode="LIVE")
    for number in range(entries):
        observer.record_side_effect("OTHER", f"wrote row {number}", details={"row": number, "table": "users"})
    observer.mark_completed()
    (tmp_path / "long.json").write_bytes(orjson.dumps(observer.get_execution_record("LIVE").to_dict()))
    verified = verify_file(tmp_path / "long.json")
    assert verified.verdict, verified.verdict


def test_a_file_beyond_all_limits_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "sparse.json"
    with path.open("wb") as file:
        file.write(b"{")
        file.truncate(1 << 40)
    verdict = verify_file(path).verdict
    assert not verdict
    assert "1,099,511,627,776 bytes" in (verdict.why or "")


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
    refused_or_understood(lambda: read_ledger(home), column)
    assert any(True for _ in fsck(home).findings), "fsck names it"


def test_the_good_ones_are_good(tmp_path: Path) -> None:
    home = a_home(tmp_path)
    read_ledger(home)
    assert not list(fsck(home).findings)
    more = tmp_path / "more"
    more.mkdir()
    good: Any = readers(more)
    for kind, (data, prepare) in good.items():
        assert prepare(data)() is not None, kind
