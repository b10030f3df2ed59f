"""hearth fsck: each kind of damage, made in the bytes, is named with the record that it concerns."""

from __future__ import annotations

import ast
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hearth.errors import LedgerNotFoundError
from hearth.operations import Records, _fsck, fsck, recover
from hearth.operations._fsck._schema import APPLICATION_ID, INDEXES, MADE_BY, NUMBERED, REVISIONS, TABLES
from tests.unit.operations._ledgers import connect, copy_of, edit, find, furnish

if TYPE_CHECKING:
    import sqlite3

    from hearth.ledger import LedgerHome

OF_LOGS = {"logs"}  # the furnished ledger has none; see test_fsck_log
NUMBERED_HERE = [table for table in NUMBERED if table not in OF_LOGS]
COLUMNS = [(table, column) for table in TABLES if table not in OF_LOGS for column in TABLES[table].split()]
# What no other byte contradicts: a plausible value in its place cannot be told from the true one.
PLAUSIBLE = {
    *((table, "id") for table in ("execution_texts", "disclosures")),
    ("ledger_meta", "created"), ("executions", "stored"), ("approval_uses", "used"),
    *(("refusals", column) for column in ("created", "plan_digest", "code", "who")),
    *(("legal_holds", column) for column in ("kind", "name", "who", "why", "created", "released", "released_by")),
    *(("postures", column) for column in ("security", "boundary", "who", "why", "source", "created")),
}  # fmt: skip
# Of these, nonsense is seen all the same.
SEEN_AS_NONSENSE = PLAUSIBLE - {("execution_texts", "id"), ("disclosures", "id")}
DERIVED = {"executions", "execution_texts"}


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> LedgerHome:
    """The furnished ledger; nobody changes it."""
    home = furnish(tmp_path_factory.mktemp("furnished"))
    connection = connect(home)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    connection.close()
    return home


@pytest.fixture
def home(whole: LedgerHome, tmp_path: Path) -> LedgerHome:
    return copy_of(whole, tmp_path)


def digests(home: LedgerHome, table: str) -> list[tuple[object, ...]]:
    connection = connect(home)
    rows = connection.execute(f"SELECT * FROM {table} ORDER BY 1").fetchall()
    connection.close()
    return rows


# --- nothing wrong


def test_a_whole_ledger_gives_no_finding(whole: LedgerHome) -> None:
    report = fsck(whole)
    assert report.findings == ()
    assert report.ok
    assert not report.damaged
    assert report.checked["records"] == 6
    assert report.checked["tombstones"] == 2
    assert any("killed: its journal is not sealed" in note for note in report.notes)
    assert json.loads(json.dumps(report.to_dict()))["ok"] is True


def test_the_check_changes_nothing(home: LedgerHome) -> None:
    before = {path: path.read_bytes() for path in home.root.rglob("*") if path.is_file() and path.suffix != ".db-shm"}
    fsck(home)
    after = {path: path.read_bytes() for path in before}
    assert before == after


def test_every_furnished_table_has_rows(whole: LedgerHome) -> None:
    assert {table for table in TABLES if not digests(whole, table)} == OF_LOGS


# --- the database, column by column


@pytest.mark.parametrize("table,column", COLUMNS)
def test_a_changed_column_is_seen(home: LedgerHome, table: str, column: str) -> None:
    """A value of the same form in another place of the column, or a small change of it."""
    if (table, column) in PLAUSIBLE:
        pytest.skip("no other byte says what should stand here")
    key = "version" if table == "postures" else "version_num" if table == "alembic_version" else "id"
    connection = connect(home)
    row, value = connection.execute(
        f"SELECT {key}, {column} FROM {table} WHERE {column} IS NOT NULL LIMIT 1"
    ).fetchone()
    changed = value + 77 if isinstance(value, int) else _altered(value)
    connection.execute("PRAGMA writable_schema = ON")
    connection.execute(f"UPDATE {table} SET {column} = ? WHERE {key} = ?", (changed, row))
    concerned = _concerned(connection, table, changed if column == key else row)
    connection.close()
    report = fsck(home)
    assert not report.ok, f"{value!r} became {changed!r}"
    if table in DERIVED and column not in {"id", "record", "execution"}:
        assert not report.damaged, report.findings
        fsck(home, repair=True)
        assert fsck(home).findings == ()
    if column not in {key, "execution", "execution_id", "request_id"} and concerned:
        named = {record for finding in report.findings for record in finding.records}
        assert concerned in named, report.findings


@pytest.mark.parametrize("table,column", sorted(SEEN_AS_NONSENSE))
def test_a_nonsensical_value_is_seen(home: LedgerHome, table: str, column: str) -> None:
    edit(home, f"UPDATE {table} SET {column} = ?", values=(b"\x00nonsense",))
    if (table, column) == ("executions", "stored"):
        assert not fsck(home).ok
        assert fsck(home, repair=True).findings == ()
    else:
        assert fsck(home).damaged


def _altered(value: object) -> object:
    if isinstance(value, bytes):
        return value.replace(b'"', b"'", 1)
    text = str(value)
    last = text[-1]
    return text[:-1] + ("1" if last == "0" else "0" if last.isdigit() else "a" if last != "a" else "b")


def _concerned(connection: sqlite3.Connection, table: str, row: object) -> str | None:
    """Return the id of the execution or the request that a row belongs to."""
    names = TABLES[table].split()
    if "execution_id" in names or "request_id" in names:
        name = "execution_id" if "execution_id" in names else "request_id"
        found = connection.execute(f"SELECT {name} FROM {table} WHERE id = ?", (row,)).fetchone()
    elif "execution" in names:
        query = f"SELECT e.execution_id FROM executions e JOIN {table} t ON t.execution = e.id WHERE t.id = ?"
        found = connection.execute(query, (row,)).fetchone()
    else:
        return None
    return None if found is None else str(found[0])


@pytest.mark.parametrize("table", [*NUMBERED_HERE, "ledger_meta", "alembic_version"])
@pytest.mark.parametrize("which", ["first", "last"])
def test_a_removed_row_is_seen(home: LedgerHome, table: str, which: str) -> None:
    order = "DESC" if which == "last" else "ASC"
    rowid = f"SELECT rowid FROM {table} ORDER BY rowid {order} LIMIT 1"
    edit(home, f"DELETE FROM {table} WHERE rowid = ({rowid})")
    report = fsck(home)
    assert report.damaged, report.findings


def test_rows_removed_with_their_numbers_are_seen_where_others_name_them(home: LedgerHome) -> None:
    edit(home, "DELETE FROM approval_uses WHERE execution_id = 'run-1'", "UPDATE approval_uses SET id = id - 1")
    edit(home, "UPDATE sqlite_sequence SET seq = seq - 1 WHERE name = 'approval_uses'")
    assert "nobody" not in find(fsck(home), "approval", "run-1").what


def test_all_texts_of_a_record_can_be_derived_again(home: LedgerHome) -> None:
    before = digests(home, "execution_texts")
    edit(home, "DELETE FROM execution_texts")
    assert find(fsck(home), "texts", "run-1").repairable
    assert fsck(home, repair=True).findings == ()
    assert sorted(map(repr, (row[1:] for row in digests(home, "execution_texts")))) == sorted(
        map(repr, (row[1:] for row in before))
    )


def test_texts_of_no_execution_are_removed(home: LedgerHome) -> None:
    edit(home, "INSERT INTO execution_texts (execution, kind, text) VALUES (999, 'step', 'loose')")
    assert find(fsck(home), "loose-row").repairable
    assert fsck(home, repair=True).ok


def test_a_lost_and_a_foreign_index(home: LedgerHome) -> None:
    edit(home, "DROP INDEX executions_by_plan", "CREATE INDEX mine ON executions (status)")
    report = fsck(home)
    assert find(report, "index").where == "executions_by_plan"
    assert "'mine'" in find(report, "schema").what
    report = fsck(home, repair=True)
    assert [finding.kind for finding in report.findings] == ["schema"]
    assert report.damaged


def test_an_index_that_lacks_a_row_is_built_anew(home: LedgerHome) -> None:
    edit(home, "DROP INDEX executions_by_plan")
    edit(home, "CREATE INDEX executions_by_plan ON executions (plan_id, started) WHERE status = 'x'")
    assert "other rows" in find(fsck(home), "index").what
    whole = "CREATE INDEX executions_by_plan ON executions (plan_id, started)"
    schema = f"UPDATE sqlite_master SET sql = '{whole}' WHERE name = 'executions_by_plan'"
    edit(home, "PRAGMA writable_schema = ON", schema)
    report = fsck(home)
    assert find(report, "index").repairable
    assert not report.damaged, report.findings
    assert fsck(home, repair=True).findings == ()


def test_two_records_swapped_are_both_named(home: LedgerHome) -> None:
    edit(
        home,
        "CREATE TEMP TABLE swap AS SELECT id, record FROM executions WHERE execution_id IN ('made-0', 'made-3')",
        "UPDATE executions SET record = (SELECT record FROM swap WHERE swap.id <> executions.id) "
        "WHERE execution_id IN ('made-0', 'made-3')",
    )
    report = fsck(home)
    assert {record for finding in report.findings for record in finding.records} == {"made-0", "made-3"}


def test_a_record_under_the_id_of_a_purged_one(home: LedgerHome) -> None:
    edit(home, "UPDATE tombstones SET execution_id = 'made-0' WHERE execution_id = 'made-1'")
    assert find(fsck(home), "column", "made-1")


def test_an_approval_without_its_run_and_the_other_way_round(home: LedgerHome) -> None:
    edit(home, "UPDATE approval_uses SET execution_id = 'elsewhere' WHERE execution_id = 'run-1'")
    report = fsck(home)
    assert find(report, "approval", "run-1")
    assert any("elsewhere" in note for note in report.notes)


def test_a_posture_that_nobody_signed(home: LedgerHome) -> None:
    edit(home, "UPDATE postures SET envelope = NULL WHERE version = 3")
    assert "nobody signed" in find(fsck(home), "posture").what


def test_a_changed_statement_no_longer_has_its_signature(home: LedgerHome) -> None:
    from base64 import b64decode, b64encode

    connection = connect(home)
    row, envelope = connection.execute("SELECT id, envelope FROM approval_decisions").fetchone()
    document = json.loads(envelope)
    payload = b64decode(document["payload"]).replace(b'"reason":"a test"', b'"reason":"b test"')
    document["payload"] = b64encode(payload).decode()
    forged = json.dumps(document, separators=(",", ":"), sort_keys=True).encode()
    connection.execute("UPDATE approval_decisions SET envelope = ? WHERE id = ?", (forged, row))
    connection.close()
    assert find(fsck(home), "signature")


def test_numbers_that_were_given_are_kept(home: LedgerHome) -> None:
    edit(home, "UPDATE sqlite_sequence SET seq = 1 WHERE name = 'executions'")
    assert find(fsck(home), "sequence").repairable
    assert fsck(home, repair=True).findings == ()
    assert ("executions", 8) in digests(home, "sqlite_sequence")


# --- files


def _first(home: LedgerHome, pattern: str) -> Path:
    return next(path for path in sorted(home.root.glob(pattern)) if path.is_file() and path.stat().st_size)


def _flip(path: Path, place: int = -3) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    "pattern,kind,record",
    [
        ("outputs/??/*", "output", "run-"),
        ("inputs/??/*", "input", ""),
        ("plans/*.json", "plan", ""),
        ("journals/*.journal", "journal", "killed"),
    ],
)
def test_a_flipped_byte_in_each_kind_of_file(home: LedgerHome, pattern: str, kind: str, record: str) -> None:
    path = _first(home, pattern)
    _flip(path, 100 if kind == "journal" else -3)
    report = fsck(home)
    finding = find(report, kind)
    assert path.name in finding.where
    assert all(name.startswith(record) for name in finding.records)
    assert report.damaged
    assert fsck(home, repair=True).damaged, "evidence is never repaired"


def test_every_flipped_byte_of_a_record_is_seen(home: LedgerHome) -> None:
    connection = connect(home)
    (raw,) = connection.execute("SELECT record FROM executions WHERE execution_id = 'made-0'").fetchone()
    for place in range(0, len(raw), 211):
        changed = bytearray(raw)
        changed[place] ^= 1
        connection.execute("UPDATE executions SET record = ? WHERE execution_id = 'made-0'", (bytes(changed),))
        assert find(fsck(home), "record", "made-0"), place
    connection.close()


@pytest.mark.parametrize("pattern,kind", [("outputs/??/*", "output"), ("plans/*.json", "plan")])
def test_a_removed_and_a_swapped_file(home: LedgerHome, pattern: str, kind: str) -> None:
    paths = [path for path in sorted(home.root.glob(pattern)) if path.stat().st_size]
    contents = [path.read_bytes() for path in paths]
    paths[0].write_bytes(contents[1])
    paths[1].write_bytes(contents[0])
    swapped = [finding.where for finding in fsck(home).findings if finding.kind == kind]
    assert len(swapped) == 2
    for path in paths:
        path.unlink()
    missing = [finding for finding in fsck(home).findings if finding.kind == kind]
    assert len(missing) == len(paths)
    assert all(finding.records and "missing" in finding.what for finding in missing)


def test_a_torn_journal_is_no_damage_and_a_hole_is(home: LedgerHome) -> None:
    path = home.journal_path("killed")
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    assert fsck(home).findings == ()
    lines = whole.splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:2] + lines[3:]))
    assert find(fsck(home), "journal", "killed")
    path.write_bytes(whole.replace(b"\n", b" ", 1))
    assert find(fsck(home), "journal", "killed")


def test_a_journal_of_a_stored_record(home: LedgerHome) -> None:
    with Records(home) as records:
        (outcome,) = [outcome for outcome in recover(records) if outcome.execution_id == "killed"]
    assert outcome.outcome == "recovered"
    (original,) = home.quarantine.iterdir()
    assert fsck(home).findings == ()
    shutil.copy(original, home.journal_path("killed"))
    assert "otherwise" in find(fsck(home), "journal", "killed").what
    original.rename(home.quarantine / "killed.journal")
    assert find(fsck(home), "quarantine", "killed")


def test_an_approval_of_a_run_in_quarantine_was_not_used_by_a_run_that_never_began(home: LedgerHome) -> None:
    path = home.journal_path("killed")
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:2] + lines[3:]))
    with Records(home) as records:
        list(recover(records))
    edit(home, "UPDATE approval_uses SET execution_id = 'killed' WHERE execution_id = 'run-1'")
    report = fsck(home)
    assert find(report, "quarantine", "killed")
    assert not [note for note in report.notes if "never began" in note]


def test_modes_are_closed_again(home: LedgerHome) -> None:
    home.outputs.chmod(0o755)
    home.database.chmod(0o644)
    report = fsck(home)
    # SQLite gives its companions the mode of the database.
    assert {finding.where for finding in report.findings if finding.kind == "mode"} >= {"outputs", "ledger.db"}
    report = fsck(home, repair=True)
    assert len(report.repaired) >= 2
    assert report.findings == ()


def test_what_dead_processes_left_is_removed(home: LedgerHome) -> None:
    (home.root / "ledger.db.0123456789abcdef.new").touch(mode=0o600)
    (home.outputs / "tmp").mkdir(mode=0o700, exist_ok=True)
    (home.outputs / "tmp" / "0123456789abcdef").touch(mode=0o600)
    (home.runs / "gone.x1").mkdir(mode=0o700)
    (home.runs / "killed.x2").mkdir(mode=0o700)
    orphan = home.outputs / "2c" / "f24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
    orphan.parent.mkdir(mode=0o700, exist_ok=True)
    orphan.touch(mode=0o600)
    orphan.write_bytes(b"hello")
    report = fsck(home)
    assert report.ok, report.findings
    assert len(report.findings) == 4
    report = fsck(home, repair=True)
    assert report.findings == ()
    assert len(report.repaired) == 4
    assert not orphan.exists()
    assert (home.runs / "killed.x2").exists(), "its run waits for recovery"


def test_what_a_dead_purge_put_aside_is_put_back(home: LedgerHome) -> None:
    path = _first(home, "outputs/??/*")
    aside = home.outputs / "purged" / (path.parent.name + path.name)
    aside.parent.mkdir(mode=0o700)
    path.rename(aside)
    report = fsck(home)
    assert [finding.kind for finding in report.findings] == ["aside"]
    assert fsck(home, repair=True).findings == ()
    assert path.is_file()


def test_links_are_refused(home: LedgerHome, tmp_path: Path) -> None:
    path = _first(home, "plans/*.json")
    target = tmp_path / "elsewhere"
    path.rename(target)
    path.symlink_to(target)
    assert find(fsck(home), "file").where == f"plans/{path.name}"


def test_a_damaged_frame_of_the_log_is_seen(home: LedgerHome) -> None:
    connection = connect(home)
    for word in ("one", "two"):
        connection.execute("UPDATE legal_holds SET why = ?", (word,))
    log = home.database.with_name("ledger.db-wal")
    data = log.read_bytes()
    connection.close()
    for name in ("ledger.db-wal", "ledger.db-shm"):
        home.database.with_name(name).unlink(missing_ok=True)
    log.touch(mode=0o600)
    log.write_bytes(data)
    assert fsck(home).findings == ()
    for path in (log, home.database.with_name("ledger.db-shm")):
        path.unlink(missing_ok=True)
    log.touch(mode=0o600)
    log.write_bytes(data)
    _flip(log, 32 + 24 + 1000)
    assert "frame 1" in find(fsck(home), "log").what


@pytest.mark.parametrize("content", [b"", b"no database at all", None])
def test_a_lost_database_is_damage(home: LedgerHome, content: bytes | None) -> None:
    if content is None:
        home.database.unlink()
    else:
        home.database.write_bytes(content)
    kept = {path for path in home.root.rglob("*") if path.is_file() and path.parent.name not in {"locks", ".hearth"}}
    report = fsck(home, repair=True)
    assert report.damaged
    assert find(report, "database" if content != b"" else "schema")
    assert all(path.exists() for path in kept), "what a lost database referred to must not be taken for orphans"


def test_pages_overwritten_at_random_never_raise(home: LedgerHome) -> None:
    whole = home.database.read_bytes()
    for place in range(100, len(whole), 7919):
        damaged = bytearray(whole)
        damaged[place : place + 64] = b"\xff" * 64
        home.database.write_bytes(damaged)
        fsck(home)


def test_only_a_ledger_is_checked(tmp_path: Path) -> None:
    with pytest.raises(LedgerNotFoundError):
        fsck(tmp_path / "missing")
    (tmp_path / "photos").mkdir(mode=0o755)
    with pytest.raises(LedgerNotFoundError):
        fsck(tmp_path, repair=True)
    assert (tmp_path / "photos").stat().st_mode & 0o777 == 0o755
    with pytest.raises(LedgerNotFoundError):
        fsck(Path("/"))


# --- independence


def test_the_checker_shares_nothing_with_the_writer() -> None:
    folder = Path(str(_fsck.__file__)).parent
    front = {
        "hearth.errors",
        "hearth.execution",
        "hearth.recorder",
        "hearth.operations._unreferenced",
        "hearth.operations._upkeep",
    }
    for path in folder.glob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        typing = {id(inner) for node in tree.body if isinstance(node, ast.If) for inner in ast.walk(node)}
        imported = {
            name
            for node in ast.walk(tree)
            if id(node) not in typing
            for name in (
                [node.module or ""] if isinstance(node, ast.ImportFrom)
                else [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            )
        }  # fmt: skip
        ours = {
            name for name in imported if name.startswith("hearth") and not name.startswith("hearth.operations._fsck")
        }
        assert ours <= (front if path.name == "_check.py" else set()), path.name
        assert not imported & {"sqlalchemy", "orjson"}, path.name


def test_the_second_description_of_the_schema_is_the_first() -> None:
    from hashlib import sha256

    from hearth.ledger import _database, _schema, _tables
    from hearth.ledger._layout import LAYOUT

    assert APPLICATION_ID == _database.APPLICATION_ID
    assert REVISIONS == _schema.REVISIONS
    tables = {
        name: " ".join(column.name for column in table.columns) for name, table in _tables.metadata.tables.items()
    }
    assert {name: columns for name, columns in TABLES.items() if name != "alembic_version"} == tables
    indexes = {
        index.name: (table.name, ", ".join(column.name for column in index.columns), bool(index.unique))
        for table in _tables.metadata.tables.values()
        for index in table.indexes
    }
    assert indexes == INDEXES
    made = {name: sha256(sql.encode()).hexdigest()[:32] for name, sql in LAYOUT.items() if "CREATE TABLE" in sql}
    assert made == MADE_BY
    numbered = {
        name for name, table in _tables.metadata.tables.items() if table.dialect_options["sqlite"]["autoincrement"]
    }
    assert numbered == set(NUMBERED)
