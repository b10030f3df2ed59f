"""A ledger's log: every event a leaf, once; what a crash left out is added; both are held against each other."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from typing import TYPE_CHECKING

import pytest

from hearth.errors import EvidenceError, SigningError
from hearth.evidence import (
    LedgerLog,
    LogFiles,
    LogPlace,
    Note,
    check_ledger_log,
    leaf_hash,
    load_log_key,
    update_log,
    verify_consistency,
)
from hearth.ledger import Ledger, LedgerHome
from hearth.record import LeafKind, format_time, named_in_leaf, parse_leaf, sealed_leaf, utc_now
from hearth.recorder import ExecutionObserver, Journal
from hearth.signing import SigningKey
from tests.unit.evidence._ledgers import ORIGIN, LoggedLedger

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path


@pytest.fixture
def logged(tmp_path: Path) -> Iterator[LoggedLedger]:
    made = LoggedLedger(tmp_path)
    yield made
    made.close()


def kinds(logged: LoggedLedger) -> list[str]:
    return [str(parse_leaf(entry)["kind"]) for entry in logged.log.log.entries()]


def test_a_new_log_has_what_was_in_the_ledger(logged: LoggedLedger) -> None:
    assert kinds(logged) == ["log_created", *["execution_sealed"] * 3]
    first = parse_leaf(logged.log.log.entry(0))
    assert (first["origin"], first["ledger_id"], first["log_key"]) == (
        ORIGIN,
        logged.ledger.ledger_id,
        str(logged.vkey),
    )


def test_every_kind_of_event_becomes_a_leaf_once(logged: LoggedLedger) -> None:
    logged.ledger.postures.lock_down(who="ann", why="drill", source="test")
    one = logged.ledger.disclosures("run-1")[0]
    logged.ledger.erasures.erase("run-1", [(one.sequence, one.pointer, one.digest)], by="ann", reason="asked")
    record = logged.ledger.get("run-2")
    facts = {"execution_id": "run-2", "plan_id": "plan", "execution_hash": record.get_execution_hash(), "files": {}}
    logged.ledger.retention.purge(facts, by="ann", reason="old")
    journal = Journal.create(logged.home.journal_path("open"))
    ExecutionObserver("open", "plan", journal=journal)
    journal.sync()
    added = logged.log.update().added
    journal.close()
    assert sorted(kinds(logged)[added.start :]) == [
        "execution_opened",
        "execution_purged",
        "posture_changed",
        "values_erased",
    ]
    assert not logged.log.update().added
    assert check_ledger_log(logged.log, logged.checked).ok


def test_no_leaf_names_a_person_or_a_reason(logged: LoggedLedger) -> None:
    logged.ledger.postures.lock_down(who="Ann Onymous", why="a delicate matter", source="test")
    one = logged.ledger.disclosures("run-1")[0]
    logged.ledger.erasures.erase(
        "run-1", [(one.sequence, one.pointer, one.digest)], by="Ann Onymous", reason="delicate"
    )
    logged.log.update()
    everything = b"".join(logged.log.log.entries())
    assert b"Ann" not in everything
    assert b"delicate" not in everything
    assert b"ACME" not in everything


def test_a_proof_shows_that_the_log_has_a_record(logged: LoggedLedger) -> None:
    record = logged.run("mine", log=True)
    leaf, proof = logged.log.prove(LeafKind.EXECUTION_SEALED, "mine")
    assert leaf == sealed_leaf(record, origin=ORIGIN, ledger_id=logged.ledger.ledger_id)
    assert proof.verify(leaf, logged.vkey).size == logged.log.log.checkpoint().size
    with pytest.raises(EvidenceError, match="no leaf"):
        logged.log.prove(LeafKind.EXECUTION_SEALED, "nobody's")


def test_any_two_states_are_consistent(logged: LoggedLedger) -> None:
    before = logged.log.log.checkpoint()
    for number in range(5):
        logged.run(f"more-{number}", log=True)
    after = logged.log.log.checkpoint()
    proof = logged.log.log.consistency(before.size, after.size)
    verify_consistency(before.size, after.size, before.root, after.root, proof)


_CHANGED = {
    "ahead": "INSERT INTO leaves VALUES (99, 'execution_sealed', 'run-1')",
    "of another version": "PRAGMA user_version = 9",
    "a leaf less": "DELETE FROM leaves WHERE name = 'run-1'",
    "not counted": "DELETE FROM counted",
    "a table less": "DROP TABLE counted",
}


@pytest.mark.parametrize("damage", ["gone", "garbage", *_CHANGED])
def test_the_index_is_made_anew_from_the_log(logged: LoggedLedger, damage: str) -> None:
    path = logged.log.place.index
    if damage == "gone":
        path.unlink()
    elif damage == "garbage":
        path.write_bytes(b"nothing" * 1000)
    else:
        import sqlite3

        connection = sqlite3.connect(path)
        connection.execute(_CHANGED[damage])
        connection.commit()
        connection.close()
    assert not logged.log.update().added
    number = logged.log.find(LeafKind.EXECUTION_SEALED, "run-1")
    assert number is not None
    assert parse_leaf(logged.log.log.entry(number))["execution_id"] == "run-1"


def test_what_a_crash_left_out_is_added(logged: LoggedLedger, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the log's append and the index; between tiles and checkpoint is the log's own business (test_log.py)."""
    from hearth.evidence import _leaf_index

    logged.run("lost")
    with monkeypatch.context() as patch:
        patch.setattr(_leaf_index.LeafIndex, "add", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            logged.log.update()
    assert not logged.log.update().added
    assert kinds(logged).count("execution_sealed") == 4
    assert check_ledger_log(logged.log, logged.checked).ok


def test_a_record_that_cannot_be_read_is_told_and_not_logged(logged: LoggedLedger) -> None:
    logged.run("hurt")
    logged.edit("UPDATE executions SET record = x'00' WHERE execution_id = 'hurt'")
    update = logged.log.update()
    assert not update.added
    assert "hurt" in update.problems[0]
    assert any("hurt" in problem for problem in check_ledger_log(logged.log, logged.checked).problems)


def test_another_ledger_beside_the_log_is_refused(logged: LoggedLedger, tmp_path: Path) -> None:
    other = LoggedLedger(tmp_path / "other")
    other.close()
    settings = json.loads(logged.log.place.settings.read_bytes())
    settings["ledger_id"] = "0" * 32
    logged.log.place.settings.write_text(json.dumps(settings))
    with pytest.raises(EvidenceError, match="another"):
        LedgerLog(logged.ledger)


def test_a_wrong_or_missing_key_signs_nothing(logged: LoggedLedger) -> None:
    logged.run("next")
    size = logged.log.log.checkpoint().size
    with pytest.raises(SigningError, match="private key is not there"):
        update_log(logged.ledger)
    SigningKey.generate().save(LogPlace.of(logged.home).key)
    with pytest.raises(SigningError, match="not the key that signs this log"):
        update_log(logged.ledger)
    assert logged.log.log.checkpoint().size == size


def test_a_key_with_a_passphrase_needs_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "key.pem"
    key = SigningKey.generate()
    key.save(path, "long enough")
    monkeypatch.delenv("HEARTH_LOG_PASSPHRASE", raising=False)
    with pytest.raises(SigningError, match="HEARTH_LOG_PASSPHRASE"):
        load_log_key(path)
    monkeypatch.setenv("HEARTH_LOG_PASSPHRASE", "long enough")
    assert load_log_key(path).public == key.public


def test_a_ledger_without_a_log_needs_none(tmp_path: Path) -> None:
    with Ledger.open(LedgerHome.create(tmp_path / ".hearth"), create=True) as ledger:
        assert update_log(ledger) is None
        assert ledger.logs.present() is None


@pytest.mark.parametrize("what", ["settings.json", "."])
def test_a_log_that_was_taken_away_is_missed(logged: LoggedLedger, what: str) -> None:
    """Who removes the log does not switch it off: the database says that there is one."""
    place = logged.log.place
    (place.root / what).rename(place.root.with_name("elsewhere"))
    with pytest.raises(EvidenceError, match="it was taken away"):
        update_log(logged.ledger)
    with pytest.raises(EvidenceError, match="init --replace"):
        LedgerLog.create(logged.ledger, origin=ORIGIN, key=SigningKey.generate())
    if what == ".":
        assert not place.root.exists()
    place.root.with_name("elsewhere").rename(place.root / what)
    assert update_log(logged.ledger) is not None


def test_another_log_does_not_take_its_place_unsaid(logged: LoggedLedger) -> None:
    place = logged.log.place
    place.root.rename(place.root.with_name("elsewhere"))
    key = SigningKey.generate()
    made = LedgerLog.create(logged.ledger, origin=ORIGIN, key=key, replace=True)
    assert logged.ledger.logs.present() == str(made.settings.key)
    made.update()
    shutil.rmtree(place.root)
    place.root.with_name("elsewhere").rename(place.root)
    with pytest.raises(EvidenceError, match="put another log in its place"):
        update_log(logged.ledger)


def test_a_log_of_a_ledger_that_did_not_note_it_is_noted(logged: LoggedLedger) -> None:
    """As it is with ledgers of before, and where a crash came between."""
    logged.edit("DELETE FROM logs")
    assert logged.ledger.logs.present() is None
    LedgerLog(logged.ledger, lambda _: logged.key).update()
    assert logged.ledger.logs.present() == str(logged.vkey)


@pytest.mark.parametrize("how", ["removed", "replaced", "changed"])
def test_a_database_that_was_set_back_adds_nothing(logged: LoggedLedger, how: str) -> None:
    """A LOCKDOWN that the database has forgotten is remembered by the log, and no run starts."""
    logged.ledger.postures.lock_down(who="ann", why="real", source="test")
    logged.log.update()
    size = logged.log.log.checkpoint().size
    if how == "changed":
        logged.edit("UPDATE postures SET security = 'DEGRADED', boundary = 'ELEVATED'")
    else:
        logged.edit("DELETE FROM postures", "UPDATE sqlite_sequence SET seq = 0 WHERE name = 'postures'")
    if how == "replaced":
        logged.ledger.postures.lock_down(who="eve", why="other", source="test")
    journal = Journal.create(logged.home.journal_path("next"))
    ExecutionObserver("next", "plan", journal=journal)
    journal.sync()
    with pytest.raises(EvidenceError, match="brought back"):
        logged.log.update()
    assert logged.log.log.checkpoint().size == size
    journal.close()


def test_the_checkpoint_commits_every_leaf(logged: LoggedLedger) -> None:
    note = Note.parse(logged.log.log.note())
    assert logged.checked(note) == logged.log.log.checkpoint()
    assert len({leaf_hash(entry) for entry in logged.log.log.entries()}) == logged.log.log.checkpoint().size
    assert format_time(utc_now()) > str(parse_leaf(logged.log.log.entry(0))["at"])


def test_what_is_new_waits_and_what_was_put_in_between_is_no_event(logged: LoggedLedger) -> None:
    """The newest events of a kind come to the log with its next update; one before them never happened through us."""
    logged.run("later")
    logged.ledger.retention.purge(
        {
            "execution_id": "run-1",
            "plan_id": "plan",
            "execution_hash": logged.ledger.get("run-1").get_execution_hash(),
            "files": {},
        },
        by="ann",
        reason="old",
    )
    report = check_ledger_log(logged.log, logged.checked)
    assert (report.problems, report.waiting) == ((), 2)
    logged.log.update()
    assert check_ledger_log(logged.log, logged.checked).waiting == 0
    logged.edit(
        "UPDATE executions SET id = 2 WHERE execution_id = 'run-2'", "UPDATE executions SET id = 1 WHERE id = 0"
    )
    logged.run("forged")
    logged.edit("UPDATE executions SET id = 3 WHERE execution_id = 'forged'")
    (problem,) = check_ledger_log(logged.log, logged.checked).problems
    assert problem.startswith("execution_sealed forged is not in the log, and what came after it is")


def test_another_run_under_the_id_of_one_that_was_removed_is_no_run(logged: LoggedLedger) -> None:
    """Who removes the journal of a run that acted, and runs something harmless under its id, is told of."""

    def opened() -> None:
        with Journal.create(logged.home.journal_path("run-9")) as journal:
            ExecutionObserver("run-9", "plan", ledger_id=logged.ledger.ledger_id, journal=journal)

    opened()
    logged.log.update()
    logged.home.journal_path("run-9").unlink()
    opened()
    with pytest.raises(EvidenceError, match="An id is used once"):
        logged.log.update()
    (problem,) = check_ledger_log(logged.log, logged.checked).problems
    assert problem.startswith("execution run-9 is not the one that was opened")
    logged.home.journal_path("run-9").unlink()
    logged.run("run-9", told=False)
    (unsigned,) = logged.log.update().problems
    assert unsigned.startswith("execution_sealed run-9: another execution of this id was opened (leaf 4)")
    (problem,) = check_ledger_log(logged.log, logged.checked).problems
    assert problem.startswith("execution run-9 is not the one that was opened")


def test_a_run_past_the_log_is_not_signed_and_said(logged: LoggedLedger) -> None:
    """As it is where somebody ran a plan in a copy of the ledger without its log, and put the record in later."""
    logged.run("honest", log=True)
    size = logged.log.log.checkpoint().size
    logged.run("ghost", told=False)
    report = check_ledger_log(logged.log, logged.checked)
    assert [problem.split(":")[0] for problem in report.problems] == ["execution_sealed ghost"]
    assert report.waiting == 0
    update = logged.log.update()
    assert not update.added
    assert "the log was not told of it before the first of them" in update.problems[0]
    logged.run("after", log=True)
    assert logged.log.log.checkpoint().size == size + 2
    assert logged.log.find(LeafKind.EXECUTION_SEALED, "ghost") is None
    assert [problem.split(":")[0] for problem in check_ledger_log(logged.log, logged.checked).problems] == [
        "execution_sealed ghost"
    ]


def test_a_log_that_signed_a_run_without_its_opening_is_told_of(
    logged: LoggedLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another program that writes to the log may sign what it likes; the check knows what was told before it acted."""
    with monkeypatch.context() as patch:
        patch.setattr("hearth.evidence._log_intake.backlog_of", lambda _: (100, 100))
        logged.run("ghost", told=False, log=True)
    (problem,) = check_ledger_log(logged.log, logged.checked).problems
    assert problem.startswith("execution_sealed ghost (leaf 4): it has steps, and the log was not told")


def test_records_of_before_the_log_need_no_opening_and_no_more_than_they_were(tmp_path: Path) -> None:
    logged = LoggedLedger(tmp_path, records=2)
    first = parse_leaf(logged.log.log.entry(0))
    assert (first["records"], first["last_record"]) == (2, 2)
    assert check_ledger_log(logged.log, logged.checked).ok
    logged.close()


def test_an_execution_without_a_step_needs_no_opening(logged: LoggedLedger) -> None:
    """Its log may not have been reached: then no step started, and that is what the record says."""
    observer = ExecutionObserver("idle", "plan", ledger_id=logged.ledger.ledger_id)
    observer.mark_completed()
    logged.ledger.store(observer.get_execution_record("DRY_RUN"))
    assert len(logged.log.update().added) == 1
    assert check_ledger_log(logged.log, logged.checked).ok


def test_a_long_backlog_keeps_nobody_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the index is lost, the one who opens a run adds its opening, and leaves the rest after its slice."""
    logged = LoggedLedger(tmp_path, records=12)
    monkeypatch.setattr("hearth.evidence._log_intake._SLICE", 0.0)
    monkeypatch.setattr("hearth.evidence._ledger_log._MOST_INDEXED", 3)
    monkeypatch.setattr("hearth.evidence._ledger_log._PAUSE", 0.0)
    logged.log.place.index.unlink()
    journal = Journal.create(logged.home.journal_path("open"))
    ExecutionObserver("open", "plan", journal=journal)
    journal.sync()
    assert len(logged.log.update(whole=False).added) == 1
    assert kinds(logged)[-1] == "execution_opened"
    journal.close()
    for number in range(3):
        logged.ledger.postures.lock_down(who="ann", why=f"drill {number}", source="test")
    with logged.log.index() as index:
        assert index.seen(LeafKind.EXECUTION_SEALED) == 1  # how far the slice came
    assert len(logged.log.update().added) == 3
    with logged.log.index() as index:
        assert index.seen(LeafKind.EXECUTION_SEALED) == 12
    assert check_ledger_log(logged.log, logged.checked).ok
    logged.close()


def test_what_was_signed_and_not_published_is_published_before_it_is_proved(logged: LoggedLedger) -> None:
    """As a crash between the two leaves it: the proof is of the newer state, and holds."""
    checkpoint = logged.log.place.log / "checkpoint"
    before = checkpoint.read_bytes()
    logged.run("late", log=True)
    newer = checkpoint.read_bytes()
    for mend in ("prove", "update"):
        checkpoint.write_bytes(before)
        if mend == "prove":
            leaf, proof = logged.log.prove(LeafKind.EXECUTION_SEALED, "late")
            assert proof.verify(leaf, logged.vkey) == logged.log.log.checkpoint()
        else:
            assert not logged.log.update().added
        assert checkpoint.read_bytes() == newer


def test_a_proof_that_does_not_hold_is_not_given(logged: LoggedLedger) -> None:
    logged.run("mine", log=True)
    path = logged.log.place.log / "tile" / "0" / f"000.p/{logged.log.log.checkpoint().size}"
    data = bytearray(path.read_bytes())
    data[0] ^= 1
    path.write_bytes(data)
    with pytest.raises(EvidenceError, match="do not prove leaf"):
        logged.log.prove(LeafKind.EXECUTION_SEALED, "mine")


def test_a_log_whose_making_was_cut_off_is_made_by_the_next_try(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until then nothing runs: a run that is not told of would be missed for ever."""
    home = LedgerHome.create(tmp_path / ".hearth")
    key = SigningKey.generate()
    place = LogPlace.of(home)
    with Ledger.open(home, create=True) as ledger:
        write, written = LogFiles.write, 0
        for at in range(4):
            written = 0

            def crashing(self: LogFiles, files: Iterable[tuple[str, bytes]], at: int = at) -> None:
                nonlocal written
                for one in files:
                    if written == at:
                        raise KeyboardInterrupt
                    written += 1
                    write(self, [one])

            with monkeypatch.context() as patch:
                patch.setattr(LogFiles, "write", crashing)
                with pytest.raises(KeyboardInterrupt):
                    LedgerLog.create(ledger, origin=ORIGIN, key=key)
            if place.exists:
                with pytest.raises(EvidenceError):
                    update_log(ledger)
        assert place.exists, "the last one was cut off between settings and leaves"
        made = LedgerLog.create(ledger, origin=ORIGIN, key=key)
        assert [str(parse_leaf(entry)["kind"]) for entry in made.log.entries()] == ["log_created"]
        with pytest.raises(EvidenceError, match="has a log already"):
            LedgerLog.create(ledger, origin=ORIGIN, key=key)


def test_a_run_that_was_open_when_the_log_was_made_is_in_it_and_counts_for_no_other(tmp_path: Path) -> None:
    home = LedgerHome.create(tmp_path / ".hearth")
    with Ledger.open(home, create=True) as ledger:
        with Journal.create(home.journal_path("open")) as journal:
            observer = ExecutionObserver("open", "plan", ledger_id=ledger.ledger_id, journal=journal)
            journal.sync()
            key = SigningKey.generate()
            log = LedgerLog.create(ledger, origin=ORIGIN, key=key)
            first, opening = map(parse_leaf, log.log.entries())
            assert (first["records"], opening["execution_id"]) == (0, "open")
            observer.record_step_started(0, "Act")
            observer.record_step_completed(0, "Act")
            observer.mark_completed()
            ledger.store(observer.get_execution_record("LIVE"))
        home.journal_path("open").unlink()
        other = ExecutionObserver("ghost", "plan", ledger_id=ledger.ledger_id)
        other.record_step_started(0, "Act")
        other.record_step_completed(0, "Act")
        other.mark_completed()
        ledger.store(other.get_execution_record("LIVE"))
        update = log.update()
        assert (len(update.added), len(update.problems)) == (1, 1)


def test_progress_is_told_of_a_long_backlog(logged: LoggedLedger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hearth.evidence._log_intake._SLICE", 0.0)
    monkeypatch.setattr("hearth.evidence._ledger_log._PAUSE", 0.0)
    for number in range(4):
        logged.ledger.postures.lock_down(who="ann", why=f"drill {number}", source="test")
    told: list[int] = []
    assert len(logged.log.update(progress=told.append).added) == 4
    assert told == sorted(told)
    assert told[0] > 0


def test_an_index_that_was_changed_gives_no_other_proof(logged: LoggedLedger) -> None:
    logged.run("mine", log=True)
    import sqlite3

    with sqlite3.connect(logged.log.place.index) as connection:
        connection.execute("DELETE FROM leaves WHERE name = 'mine'")
        connection.execute("INSERT OR REPLACE INTO leaves VALUES (1, 'execution_sealed', 'mine')")
        connection.execute("INSERT OR REPLACE INTO leaves VALUES (5, 'execution_sealed', 'nobody')")
    connection.close()
    leaf, proof = logged.log.prove(LeafKind.EXECUTION_SEALED, "mine")
    assert parse_leaf(leaf)["execution_id"] == "mine"
    assert proof.verify(leaf, logged.vkey).size == logged.log.log.checkpoint().size


def test_a_log_without_its_settings_is_not_gone_on_with(logged: LoggedLedger) -> None:
    logged.log.place.settings.unlink()
    for key, said in ((logged.key, "a second history"), (SigningKey.generate(), "not signed by the log")):
        with pytest.raises(EvidenceError, match=said):
            LedgerLog.create(logged.ledger, origin=ORIGIN, key=key, replace=True)
    assert not logged.log.place.settings.exists()


def test_a_journal_that_has_steps_and_no_leaf_is_not_signed(logged: LoggedLedger) -> None:
    """A run that acted in a copy of the ledger and was killed there: its journal is put into this one."""
    with Journal.create(logged.home.journal_path("ghost")) as journal:
        observer = ExecutionObserver("ghost", "plan", ledger_id=logged.ledger.ledger_id, journal=journal)
        observer.record_step_started(0, "Act")
        journal.sync()
    update = logged.log.update()
    assert not update.added
    assert "the log was not told of it" in update.problems[0]
    assert logged.log.waiting() == (0, update.problems)
    (problem,) = check_ledger_log(logged.log, logged.checked).problems
    assert problem.startswith("execution_opened ghost: it has steps")


@pytest.mark.parametrize("row", [3, 4, 999_999])
def test_an_index_that_says_more_was_looked_at_hides_no_record(logged: LoggedLedger, row: int) -> None:
    import sqlite3

    logged.run("hidden")
    with sqlite3.connect(logged.log.place.index) as connection:
        connection.execute("INSERT OR REPLACE INTO rows_seen VALUES ('execution_sealed', ?)", (row,))
    connection.close()
    assert len(logged.log.update().added) == 1
    assert logged.log.find(LeafKind.EXECUTION_SEALED, "hidden") is not None


def test_a_lost_log_is_not_replaced_by_another_history_of_it(logged: LoggedLedger) -> None:
    place = logged.log.place
    place.root.rename(place.root.with_name("elsewhere"))
    with pytest.raises(EvidenceError, match="a second history"):
        LedgerLog.create(logged.ledger, origin=ORIGIN, key=logged.key, replace=True)
    assert LedgerLog.create(logged.ledger, origin=f"{ORIGIN}/2", key=logged.key, replace=True).log.checkpoint().size


def test_a_pipe_among_the_journals_is_not_waited_for(logged: LoggedLedger) -> None:
    os.mkfifo(logged.home.journals / "x.journal")
    logged.run("next", log=True)
    assert logged.log.find(LeafKind.EXECUTION_SEALED, "next") is not None


def test_no_id_has_the_name_of_another_one(logged: LoggedLedger) -> None:
    """A long id is named by its SHA-256; one that has that form is not taken for it."""
    long = "x" * 1100
    name = f"sha256:{hashlib.sha256(long.encode()).hexdigest()}"
    logged.ledger.postures.lock_down(who="ann", why="before", source="test")
    assert len({named_in_leaf(one) for one in (long, name, "short")}) == 3
    for kind in (LeafKind.EXECUTION_SEALED,):
        logged.run(name, log=True)
        assert logged.log.find(kind, long) is None
        assert parse_leaf(logged.log.prove(kind, name)[0])["execution_id"] != name
    assert check_ledger_log(logged.log, logged.checked).ok
