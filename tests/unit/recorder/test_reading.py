"""Reading a journal back: what its whole, true lines tell, and what is said of the rest."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from hearth.errors import JournalDamagedError, RecorderError
from hearth.record import hash_entry_bytes
from hearth.recorder import read_journal, recover_journal, verify_journal
from tests.unit.recorder._support import Json, chained, journal_bytes, line_of, lines_in

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def raw(tmp_path: Path) -> bytes:
    """The bytes of a short, sealed journal of eight entries."""
    return journal_bytes(tmp_path / "made.journal")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a test puts a journal."""
    return tmp_path / "run.journal"


def test_a_sealed_journal(path: Path, raw: bytes) -> None:
    path.write_bytes(raw)
    record = read_journal(path)
    assert record.verify()
    assert len(record.entries) == 8
    assert verify_journal(path)
    assert path.read_bytes() == raw, "reading changes nothing"


def test_an_unsealed_journal(path: Path, raw: bytes) -> None:
    path.write_bytes(b"".join(raw.splitlines(keepends=True)[:-1]))
    assert read_journal(path).verify().why == "unsealed"
    verdict = verify_journal(path)
    assert (verdict.ok, verdict.why, verdict.first_bad) == (False, "unsealed", None)


def test_a_torn_last_line_is_left_out_and_noted(path: Path, raw: bytes) -> None:
    lines = raw.splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:4]) + lines[4][:100])
    assert len(read_journal(path).entries) == 4
    assert any("torn" in note and "100" in note for note in verify_journal(path).notes)


@pytest.mark.parametrize("content", [b"", b"abc", b"\n", b"\x00" * 4096, b"{}\n", b"0" * 64 + b" {}\n"])
def test_nothing_whole_is_an_error_that_says_so(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(RecorderError):
        read_journal(path)
    assert not verify_journal(path)


def test_a_file_that_is_not_there(path: Path) -> None:
    for read in (read_journal, verify_journal, recover_journal):
        with pytest.raises(RecorderError, match=r"run\.journal"):
            read(path)


# Lines with hashes that fit, so that only what they say is wrong. Each is refused, as something that no recorder wrote.
def forge(raw: bytes, change: Callable[[list[Json]], Any]) -> bytes:
    entries = lines_in(raw)
    change(entries)
    return b"".join(line_of(entry) for entry in chained(entries))


FORGED: dict[str, Callable[[list[Json]], Any]] = {
    "no start": lambda entries: entries.pop(0),
    "two starts": lambda entries: entries.insert(1, {**entries[0], "sequence": 1}),
    "a number missing": lambda entries: entries.pop(2),
    "a number twice": lambda entries: entries.insert(2, entries[2]),
    "another execution": lambda entries: entries[3].update(execution_id="run-2"),
    "an unknown event": lambda entries: entries[3].update(event_type="other"),
    "an unknown key": lambda entries: entries[3].update(extra=1),
    "a missing key": lambda entries: entries[3].pop("details"),
    "a wrong type": lambda entries: entries[3].update(step_index="0"),
    "a word of no meaning": lambda entries: entries[2].update(category="magic"),
    "a word that is a list": lambda entries: entries[2].update(category=["other"]),
    "a time that is none": lambda entries: entries[3].update(timestamp="yesterday"),
    "a start without plan id": lambda entries: entries[0]["details"].pop("plan_id"),
    "a start without live mode": lambda entries: entries[0]["details"].pop("live_mode"),
    "a start without snapshot": lambda entries: entries[0]["details"].pop("security_snapshot"),
    "a start with a bad snapshot": lambda entries: entries[0]["details"].update(security_snapshot={"timestamp": 1}),
    "a start with a plan id of no text": lambda entries: entries[0]["details"].update(plan_id=7),
    "a start with a live mode of no text": lambda entries: entries[0]["details"].update(live_mode=[]),
    "a seal without status": lambda entries: entries[-1]["details"].pop("status"),
    "a seal without cause": lambda entries: entries[-1]["details"].pop("cause"),
    "a seal without reason": lambda entries: entries[-1]["details"].pop("reason"),
    "a seal with a reason of no text": lambda entries: entries[-1]["details"].update(reason={"$sha256": "x"}),
    "a seal with a status of no text": lambda entries: entries[-1]["details"].update(status=["completed"]),
    "a seal with a wrong count": lambda entries: entries[-1]["details"].update(number_of_entries=7),
    "a seal with a wrong status": lambda entries: entries[-1]["details"].update(status="failed"),
    "a seal with a bad snapshot": lambda entries: entries[-1]["details"].update(security_snapshot=None),
    "a seal without unknown effects": lambda entries: entries[-1]["details"].pop("unknown_effects"),
    "unknown effects of no list": lambda entries: entries[-1]["details"].update(unknown_effects_why=1),
    "a line behind the seal": lambda entries: entries.append({**entries[1], "sequence": 8}),
    "two seals": lambda entries: entries.append({**entries[-1], "sequence": 8}),
}


def test_a_chain_made_anew_without_a_change_is_read(path: Path, raw: bytes) -> None:
    """Or else the tests below would find the forger's mistakes."""
    path.write_bytes(forge(raw, lambda _: None))
    assert path.read_bytes() == raw
    assert read_journal(path).verify()


@pytest.mark.parametrize("what", FORGED)
def test_what_no_recorder_wrote_is_refused_and_never_sealed_over(path: Path, raw: bytes, what: str) -> None:
    content = forge(raw, FORGED[what])
    path.write_bytes(content)
    with pytest.raises(JournalDamagedError) as raised:
        recover_journal(path)
    assert raised.value.line >= 1
    assert path.read_bytes() == content
    with pytest.raises(JournalDamagedError):
        read_journal(path)
    verdict = verify_journal(path)
    assert not verdict
    assert verdict.first_bad == raised.value.line - 1


REWRITTEN: dict[str, Callable[[Json], bytes]] = {
    "blanks": lambda entry: json.dumps(entry, sort_keys=True, ensure_ascii=False).encode(),
    "another order": lambda entry: json.dumps(
        dict(reversed(entry.items())), separators=(",", ":"), ensure_ascii=False
    ).encode(),
    "a key twice": lambda entry: (
        b'{"sequence":0,' + json.dumps(entry, separators=(",", ":"), sort_keys=True).encode()[1:]
    ),
    "escapes": lambda entry: (
        json.dumps(entry, separators=(",", ":"), sort_keys=True).encode().replace(b"step", b"st\\u0065p")
    ),
    "a float": lambda entry: re.sub(
        rb'("sequence":\d+),', rb"\1.0,", json.dumps(entry, separators=(",", ":"), sort_keys=True).encode()
    ),
}


@pytest.mark.parametrize("way", REWRITTEN)
@pytest.mark.parametrize("sealed", [True, False])
def test_a_last_line_in_another_form_is_refused(path: Path, raw: bytes, way: str, sealed: bool) -> None:
    """Its hash fits its bytes, but two readers could understand it differently, or compute another hash from it."""
    lines = raw.splitlines(keepends=True)[: None if sealed else -1]
    entry = json.loads(lines[-1][65:])
    changed = REWRITTEN[way](entry)
    assert changed != lines[-1][65:-1]
    path.write_bytes(b"".join(lines[:-1]) + hash_entry_bytes(changed).encode() + b" " + changed + b"\n")
    with pytest.raises(JournalDamagedError):
        recover_journal(path)
    with pytest.raises(JournalDamagedError):
        read_journal(path)
    assert not verify_journal(path)


def test_verifying_needs_no_memory_for_the_entries(path: Path) -> None:
    import tracemalloc

    path.write_bytes(journal_bytes(path.with_name("long.journal"), steps=1000))
    assert path.stat().st_size > 1_000_000
    verify_journal(path)
    tracemalloc.start()
    try:
        assert verify_journal(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 500_000
