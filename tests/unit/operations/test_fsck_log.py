"""hearth fsck and the transparency log: what is wrong in its folder, and where the ledger says another thing."""

from __future__ import annotations

import shutil
import sqlite3
import threading
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from hearth.evidence import Note, TransparencyLog, load_log_key
from hearth.ledger import Ledger, LedgerHome
from hearth.operations import Records, fsck, log_init, log_update, recover, rotate_log_key, verify_log
from hearth.operations._fsck._log_tiles import LogTree, log_entries
from hearth.record import canonical_bytes
from hearth.signing import SigningKey
from tests.unit.ledger._records import journal_of, make_sealed_record, store_as_run
from tests.unit.operations._ledgers import connect, copy_of, edit, find, furnish

if TYPE_CHECKING:
    from pathlib import Path

    from hearth.operations import FsckReport

LOG = "transparency/log"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> LedgerHome:
    """The furnished ledger with a log whose key was changed once; nobody changes it."""
    home = furnish(tmp_path_factory.mktemp("logged"))
    log_init(home, origin="example.org/log")
    rotate_log_key(home)
    with closing(connect(home)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    return home


@pytest.fixture
def home(whole: LedgerHome, tmp_path: Path) -> LedgerHome:
    return copy_of(whole, tmp_path)


def told(report: FsckReport) -> str:
    return "\n".join(one.what for one in report.findings if one.severity == "damage")


def store(home: LedgerHome, name: str, *, log: bool = True) -> None:
    record = make_sealed_record(name)
    if log:
        store_as_run(home, record)
        return
    with Ledger.open(home) as ledger:
        ledger.store(record)


def test_a_log_that_holds_gives_no_finding(whole: LedgerHome) -> None:
    report = fsck(whole)
    assert report.findings == ()
    assert report.checked["leaves"] == 18
    assert not [note for note in report.notes if "log" in note]


FILES = [
    "settings.json", "signed.json", "log/checkpoint", "log/keys", "log/tile/0/000.p/18", "log/tile/entries/000.p/18",
]  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_a_changed_byte_anywhere_in_the_log_is_damage(home: LedgerHome, name: str) -> None:
    path = home.root / "transparency" / name
    data = path.read_bytes()
    unseen = []
    for place in range(0, len(data), max(1, len(data) // 20)):
        path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        if not fsck(home).damaged:
            unseen.append(data[place - 40 : place + 20])
    # Where the key and the note of sizes lie, and when the log was made: no other byte says that.
    assert all(name == "settings.json" and (b"_file" in one or b"created" in one) for one in unseen), unseen


@pytest.mark.parametrize("name", [name for name in FILES if name != "log/keys"])
def test_a_missing_file_of_the_log_is_damage(home: LedgerHome, name: str) -> None:
    (home.root / "transparency" / name).unlink()
    assert find(fsck(home), "transparency").severity == "damage"


def test_a_missing_history_of_keys_is_damage(home: LedgerHome) -> None:
    (home.root / LOG / "keys").unlink()
    assert "other keys than the settings" in told(fsck(home))


@pytest.mark.parametrize(
    "statement, said, record",
    [
        ("DELETE FROM executions WHERE execution_id = 'made-0'", "made-0 was sealed, and there is neither", "made-0"),
        ("DELETE FROM approval_uses WHERE execution_id = 'run-1'", "is not in the ledger: it was removed", None),
        ("UPDATE approval_uses SET used = '2030-01-01T00:00:00.000000Z'", "at is another in the ledger", None),
        ("DELETE FROM approval_decisions", "decisions is another in the ledger", None),
        ("UPDATE postures SET why = 'nothing' WHERE version = 1", "document_sha256 is another", "1"),
        ("DELETE FROM postures WHERE version = 3", "posture_changed 3 is not in the ledger", "3"),
        ("DELETE FROM tombstones WHERE execution_id = 'made-2'", "made-2 is not in the ledger", "made-2"),
        ("DELETE FROM erasures", "is not in the ledger: it was removed", None),
    ],
)  # fmt: skip
def test_what_was_removed_from_the_ledger_or_changed_there_is_damage(
    home: LedgerHome, statement: str, said: str, record: str | None
) -> None:
    edit(home, statement)
    found = [one for one in fsck(home).findings if one.kind == "transparency" and said in one.what]
    assert found, statement
    assert record is None or record in found[0].records


def test_a_run_of_which_nothing_is_left_but_its_leaf_is_damage(home: LedgerHome) -> None:
    home.journal_path("killed").unlink()
    assert "killed" in find(fsck(home), "transparency", "killed").what


def test_a_damaged_journal_in_quarantine_is_no_run_that_was_removed(home: LedgerHome) -> None:
    path = home.journal_path("killed")
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:2], lines[2][:80] + b"?" + lines[2][81:], *lines[3:]]))
    with Records(home) as records:
        assert [outcome.outcome for outcome in recover(records)] == ["damaged"]
    assert [one.kind for one in fsck(home).findings] == ["quarantine"]
    assert verify_log(home).ok
    (kept,) = (home.root / "quarantine").glob("killed.journal*")
    kept.unlink()
    assert "killed was opened" in find(fsck(home), "transparency", "killed").what
    assert "killed was opened" in verify_log(home).report.problems[0]


def test_a_record_that_was_made_anew_is_another_than_was_logged(home: LedgerHome) -> None:
    with Ledger.open(home) as ledger:
        record = make_sealed_record("made-0", reason="a better one")
        data = canonical_bytes(record.to_dict())
        assert record != ledger.get("made-0")
    edit(home, "UPDATE executions SET record = ? WHERE execution_id = 'made-0'", values=(data,))
    fsck(home, repair=True)
    assert "execution_hash is another" in find(fsck(home), "transparency", "made-0").what


def test_what_is_not_in_the_log_yet_is_a_note(home: LedgerHome) -> None:
    with Ledger.open(home) as ledger:
        ledger.postures.lock_down(who="ann", why="drill", source="test")
    report = fsck(home)
    assert report.findings == ()
    assert any("1 events of the ledger are not in its log yet" in note for note in report.notes)


def test_an_index_that_would_hide_an_event_is_seen_and_made_anew(home: LedgerHome) -> None:
    with closing(sqlite3.connect(home.root / "transparency" / "index.db")) as index, index:
        index.execute("UPDATE leaves SET kind = 'execution_sealed', name = 'hidden' WHERE number = 3")
    assert find(fsck(home), "index").severity == "derived"
    report = fsck(home, repair=True)
    assert [one.kind for one in report.repaired] == ["index"]


def test_an_index_that_hides_an_event_from_the_log_hides_nothing(home: LedgerHome) -> None:
    with closing(sqlite3.connect(home.root / "transparency" / "index.db")) as index, index:
        index.execute("UPDATE leaves SET kind = 'execution_sealed', name = 'hidden' WHERE number = 3")
    store(home, "hidden")
    store(home, "after it")
    assert fsck(home).findings == ()


def test_a_row_that_was_put_between_logged_ones_is_damage(home: LedgerHome) -> None:
    store(home, "one", log=False)
    store(home, "two")
    edit(home, "UPDATE executions SET id = id + 1000 WHERE execution_id = 'two'")
    store(home, "between", log=False)
    edit(home, "UPDATE executions SET id = 999 WHERE execution_id = 'between'")
    assert "it was put there since" in find(fsck(home), "transparency", "between").what


def test_a_log_of_another_ledger_is_named(home: LedgerHome, tmp_path: Path) -> None:
    other = furnish(tmp_path / "other")
    log_init(other)
    shutil.rmtree(home.root / "transparency")
    shutil.copytree(other.root / "transparency", home.root / "transparency")
    assert "it is the log of the ledger" in find(fsck(home), "identity").what


def test_a_log_that_was_set_back_is_damage_as_long_as_what_was_signed_stands_elsewhere(home: LedgerHome) -> None:
    folder = home.root / LOG
    shutil.copytree(folder, folder.with_name("kept"))
    store(home, "later")
    shutil.rmtree(folder)
    folder.with_name("kept").rename(folder)
    assert told(fsck(home)) == "it has 18 entries, and 20 were signed before: it was changed or set back"


def test_what_a_crash_left_unpublished_is_a_note(home: LedgerHome) -> None:
    checkpoint = home.root / LOG / "checkpoint"
    before = checkpoint.read_bytes()
    store(home, "later")
    checkpoint.write_bytes(before)
    report = fsck(home)
    assert report.findings == ()
    assert any("signed up to 20 entries" in note for note in report.notes)
    log_update(home)
    assert fsck(home).findings == ()


def test_a_change_of_keys_that_a_crash_cut_off_is_no_damage(home: LedgerHome) -> None:
    (home.root / LOG / "keys").rename(home.root / "transparency" / "keys.next")
    assert fsck(home).findings == ()


def test_a_former_key_does_not_sign_what_is_not_its_own(home: LedgerHome) -> None:
    checkpoint = home.root / LOG / "checkpoint"
    text = Note.parse(checkpoint.read_bytes()).text
    key = load_log_key(home.root / "transparency" / "key.pem")
    checkpoint.write_bytes(Note(text).signed("example.org/log", key).to_bytes())
    assert "does not sign for 18 entries" in told(fsck(home))
    checkpoint.write_bytes(Note(text).signed("example.org/log", SigningKey.generate()).to_bytes())
    assert "not signed by a key of the log" in told(fsck(home))


def test_settings_that_are_gone_are_damage_for_nothing_is_logged_any_more(home: LedgerHome) -> None:
    (home.root / "transparency" / "settings.json").unlink()
    assert "nothing that happens is told to it" in told(fsck(home))
    shutil.rmtree(home.root / "transparency")
    assert "it was taken away" in told(fsck(home))


@pytest.mark.parametrize(
    "sql, what",
    [
        ("UPDATE logs SET log_key = 'example.org/log+00000000+AA'", "and this one with"),
        ("UPDATE logs SET created = 'yesterday'", "which is no time"),
        ("UPDATE logs SET id = 7", "row"),
        ("DELETE FROM logs", "row"),
    ],
)
def test_what_the_ledger_notes_of_its_log_does_not_change_unseen(home: LedgerHome, sql: str, what: str) -> None:
    edit(home, sql)
    assert what in told(fsck(home))


def test_a_log_that_took_the_place_of_another_is_named(home: LedgerHome) -> None:
    (home.root / "transparency").rename(home.root.parent / "lost")
    log_init(home, origin="example.org/log", replace=True)
    report = fsck(home)
    assert report.findings == ()
    assert any("the ledger had a log before" in note for note in report.notes)


def test_drafts_are_leftovers_and_foreign_files_are_named(home: LedgerHome) -> None:
    draft = home.root / LOG / "tile" / "0" / ".000.0123abcd.new"
    draft.write_bytes(b"x")
    (home.root / LOG / "tile" / "0" / "000.p" / "17").write_bytes(b"x" * 32)
    (home.root / "transparency" / "mine.txt").write_bytes(b"x")
    report = fsck(home)
    assert find(report, "leftover").where == f"{LOG}/tile/0/.000.0123abcd.new"
    assert any("mine.txt is none of the names" in note for note in report.notes)
    assert any("000.p/17 is no tile of 18 entries" in note for note in report.notes)
    fsck(home, repair=True)
    assert not draft.exists()


def test_no_alarm_while_the_log_grows(home: LedgerHome) -> None:
    stop = threading.Event()

    def grow() -> None:
        number = 0
        while not stop.is_set() and number < 400:
            number += 1
            store(home, f"grown-{number}")

    thread = threading.Thread(target=grow)
    thread.start()
    try:
        for _ in range(8):
            assert told(fsck(home)) == ""
    finally:
        stop.set()
        thread.join()
    assert fsck(home).findings == ()


def test_every_tile_of_a_large_log_is_hashed(tmp_path: Path) -> None:
    key = SigningKey.generate()
    log = TransparencyLog.create(tmp_path / "log", tmp_path / "signed.json", key, origin="o")
    for size in (1, 255, 256, 257, 65793):
        log.append(b"%d" % number for number in range(log.checkpoint().size, size))
        tree = LogTree(tmp_path / "log")
        for entry in log_entries(tmp_path / "log", size, tree.read):
            tree.add(entry)
        tree.check_edge()
        assert (tree.root(), tree.wrong) == (log.checkpoint().root, [])
    tile = tmp_path / "log" / "tile" / "1" / "000"
    tile.write_bytes(bytes(32) + tile.read_bytes()[32:])
    tree = LogTree(tmp_path / "log")
    for entry in log_entries(tmp_path / "log", 65793, set()):
        tree.add(entry)
    assert tree.wrong == ["tile/1/000 is not what the entries give"]


def test_a_run_that_is_not_the_one_that_was_opened_is_damage(home: LedgerHome) -> None:
    """Its journal was put in the place of another's, whose opening the log has; then its record was."""
    first, other = make_sealed_record("swapped"), make_sealed_record("swapped", plan="harmless")
    path = home.journal_path("swapped")
    path.write_bytes(journal_of(first).partition(b"\n")[0] + b"\n")
    log_update(home)
    path.write_bytes(journal_of(other))
    assert "another took its id" in find(fsck(home), "transparency", "swapped").what
    with Ledger.open(home) as ledger:
        ledger.store(other)
    path.unlink()
    assert "another took its id" in find(fsck(home), "transparency", "swapped").what


def test_a_record_of_which_the_log_was_not_told_before_it_acted_is_damage(home: LedgerHome) -> None:
    store(home, "ghost", log=False)
    assert "the log was not told of it before" in find(fsck(home), "transparency", "ghost").what
