from __future__ import annotations

import os
import re
import sqlite3
import stat
import subprocess
import sys
import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from hearth.errors import LedgerError, LedgerNotFoundError
from hearth.ledger import Ledger, LedgerHome
from tests.unit.ledger._records import make_sealed_record

if TYPE_CHECKING:
    from pathlib import Path

posix_only = pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def edit(home: LedgerHome, statement: str) -> None:
    with sqlite3.connect(home.database) as connection:
        connection.execute(statement)
    connection.close()


def test_a_ledger_keeps_its_identity(home: LedgerHome) -> None:
    with Ledger.open(home, create=True) as first:
        assert re.fullmatch("[0-9a-f]{32}", first.ledger_id)
        assert abs((datetime.now(UTC) - first.created).total_seconds()) < 60
    for create in (False, True):
        with Ledger.open(home, create=create) as again:
            assert (again.ledger_id, again.created) == (first.ledger_id, first.created)


def test_two_ledgers_differ(tmp_path: Path) -> None:
    homes = [LedgerHome.create(tmp_path / name) for name in "ab"]
    ids = set()
    for home in homes:
        with Ledger.open(home, create=True) as ledger:
            ids.add(ledger.ledger_id)
    assert len(ids) == 2


def test_making_one_leaves_nothing_else_behind(home: LedgerHome) -> None:
    before = names_in(home.root)
    Ledger.open(home, create=True).close()
    assert names_in(home.root) - before == {"ledger.db"}


def test_the_settings_that_durability_needs(ledger: Ledger) -> None:
    def ask(name: str) -> object:
        return ledger._database.read(lambda connection: connection.exec_driver_sql(f"PRAGMA {name}").scalar())

    assert ask("journal_mode") == "wal"
    assert ask("synchronous") == 2  # FULL
    assert ask("foreign_keys") == 1
    assert ask("secure_delete") == 1
    assert ask("trusted_schema") == 0


@posix_only
@pytest.mark.parametrize("umask", [0o000, 0o022, 0o277])
def test_files_are_private_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        home = LedgerHome.create(tmp_path / ".hearth")
        with Ledger.open(home, create=True) as ledger:
            ledger.store(make_sealed_record())
            files = [path for path in home.root.iterdir() if path.is_file()]
            assert {path.name for path in files} == {"ledger.db", "ledger.db-wal", "ledger.db-shm"}
            assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    finally:
        os.umask(before)


@posix_only
def test_a_database_that_stood_open_is_closed_to_others(home: LedgerHome) -> None:
    Ledger.open(home, create=True).close()
    home.database.chmod(0o644)
    Ledger.open(home).close()
    assert stat.S_IMODE(home.database.stat().st_mode) == 0o600


def test_opening_at_the_newest_schema_loads_no_alembic(home: LedgerHome) -> None:
    Ledger.open(home, create=True).close()
    code = (
        "import sys; from hearth.ledger import Ledger, LedgerHome\n"
        f"Ledger.open(LedgerHome({str(home.root)!r})).close()\n"
        "print('sqlalchemy' in sys.modules, 'alembic' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "True False\n"


def test_a_missing_database_is_named_and_not_made(home: LedgerHome) -> None:
    with pytest.raises(LedgerNotFoundError, match=r"ledger\.db is missing.*restore the last backup.*`hearth init`"):
        Ledger.open(home)
    assert not home.database.exists()


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(LedgerNotFoundError, match="`hearth init`"):
        Ledger.open(LedgerHome(tmp_path / "nowhere"))
    assert names_in(tmp_path) == set()


@pytest.mark.parametrize("create", [False, True])
@pytest.mark.parametrize(
    "content, why",
    [(b"", "is empty"), (b"not a database at all" * 100, "is not a SQLite database"), (b"SQLite", "is not a SQLite")],
)
def test_what_is_no_database_is_refused_and_kept(home: LedgerHome, create: bool, content: bytes, why: str) -> None:
    home.database.write_bytes(content)
    with pytest.raises(LedgerError, match=f"{why}.*restore the last backup"):
        Ledger.open(home, create=create)
    assert home.database.read_bytes() == content


def test_a_folder_in_its_place_is_refused(home: LedgerHome) -> None:
    home.database.mkdir()
    with pytest.raises(LedgerError, match="is not a file"):
        Ledger.open(home, create=True)


def test_another_applications_database_is_refused_and_kept(home: LedgerHome) -> None:
    edit(home, "CREATE TABLE executions (id)")
    content = home.database.read_bytes()
    with pytest.raises(LedgerError, match="not a HEARTH ledger"):
        Ledger.open(home, create=True)
    assert home.database.read_bytes() == content


@pytest.mark.parametrize(
    "statement, why",
    [
        ("UPDATE alembic_version SET version_num = '0999'", "written by a newer one. Upgrade HEARTH"),
        ("DELETE FROM alembic_version", "version is missing"),
        ("INSERT INTO alembic_version VALUES ('0001')", "stands there twice"),
        ("DROP TABLE alembic_version", "version is missing"),
        ("DROP TABLE ledger_meta", "version is missing"),
        ("DELETE FROM ledger_meta", "identity is missing"),
        ("UPDATE ledger_meta SET schema = 'hearth-ledger-v2'", "identity is missing or unknown"),
        ("PRAGMA application_id = 7", "not a HEARTH ledger"),
    ],
)
def test_a_strange_schema_is_refused(home: LedgerHome, statement: str, why: str) -> None:
    Ledger.open(home, create=True).close()
    edit(home, statement)
    with pytest.raises(LedgerError, match=why):
        Ledger.open(home, create=True)


def test_a_damaged_database_is_refused_and_kept(home: LedgerHome) -> None:
    with Ledger.open(home, create=True) as ledger:
        for number in range(20):
            ledger.store(make_sealed_record(f"run-{number}"))
    content = bytearray(home.database.read_bytes())
    content[100:] = bytes(len(content) - 100)
    home.database.write_bytes(content)
    with pytest.raises(LedgerError, match=r"damaged.*restore the last backup"):
        Ledger.open(home, create=True)
    assert home.database.read_bytes() == bytes(content)


def test_a_cut_database_is_refused(home: LedgerHome) -> None:
    with Ledger.open(home, create=True) as ledger:
        for number in range(20):
            ledger.store(make_sealed_record(f"run-{number}"))
    content = home.database.read_bytes()
    home.database.write_bytes(content[:5000])
    with pytest.raises(LedgerError), Ledger.open(home, create=True) as ledger:
        [ledger.get(name) for name in ledger.iterate_ids()]


@pytest.mark.parametrize("trace", ["ledger.db-wal", "ledger.db-journal", "journals/run-1.journal", "quarantine/x"])
def test_no_empty_ledger_is_made_where_one_was_lost(home: LedgerHome, trace: str) -> None:
    (home.root / trace).write_bytes(b"left over")
    with pytest.raises(LedgerError, match=f"{re.escape(trace)} shows that a ledger was here.*Restore the last backup"):
        Ledger.open(home, create=True)
    assert not home.database.exists()


def test_many_who_make_it_at_once_get_the_same(home: LedgerHome) -> None:
    ids: list[str] = []
    start = threading.Barrier(6)

    def make() -> None:
        start.wait()
        with Ledger.open(home, create=True) as ledger:
            ids.append(ledger.ledger_id)

    threads = [threading.Thread(target=make) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ids) == 6
    assert len(set(ids)) == 1
    assert not [name for name in names_in(home.root) if name.endswith(".new")]


def test_without_hard_links_it_is_made_all_the_same(home: LedgerHome, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(source: Path, target: Path) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    with Ledger.open(home, create=True) as first:
        pass
    with Ledger.open(home, create=True) as second:
        assert second.ledger_id == first.ledger_id


def test_a_closed_ledger_says_so(ledger: Ledger) -> None:
    ledger.close()
    ledger.close()
    with pytest.raises(LedgerError, match="is closed"):
        ledger.count()


def test_a_folder_with_strange_characters_in_its_name(tmp_path: Path) -> None:
    home = LedgerHome.create(tmp_path / "100% of ?a#b&c=d äß")
    with Ledger.open(home, create=True) as ledger:
        ledger.store(make_sealed_record())
        assert ledger.count() == 1
    assert home.database.exists()


@pytest.mark.parametrize(
    "statement, told",
    [
        ("CREATE TRIGGER evil AFTER INSERT ON executions BEGIN SELECT 1; END", "the trigger 'evil'"),
        ("CREATE VIEW more AS SELECT * FROM executions", "the view 'more'"),
        ("CREATE TABLE notes (x)", "the table 'notes'"),
        ("CREATE UNIQUE INDEX one_plan ON executions (plan_id)", "the index 'one_plan'"),
        ("DROP INDEX executions_by_plan", "lacks the index 'executions_by_plan'"),
        ("ALTER TABLE postures ADD COLUMN x TEXT AS (why) VIRTUAL", "another table 'postures'"),
        ("ALTER TABLE postures RENAME COLUMN why TO why2", "another table 'postures'"),
    ],
)
def test_a_schema_that_no_migration_made_is_refused(home: LedgerHome, statement: str, told: str) -> None:
    Ledger.open(home, create=True).close()
    edit(home, statement)
    with pytest.raises(LedgerError, match=told):
        Ledger.open(home)


def test_a_view_in_the_place_of_a_table_is_refused(home: LedgerHome) -> None:
    Ledger.open(home, create=True).close()
    edit(home, "ALTER TABLE executions RENAME TO hidden")
    edit(home, "CREATE VIEW executions AS SELECT * FROM hidden WHERE 0")
    with pytest.raises(LedgerError, match="none of HEARTH's"):
        Ledger.open(home)


def test_statistics_of_sqlite_itself_are_no_foreign_table(home: LedgerHome) -> None:
    with Ledger.open(home, create=True) as ledger:
        ledger.store(make_sealed_record("one"))
    edit(home, "ANALYZE")
    with Ledger.open(home) as ledger:
        assert ledger.count() == 1


@posix_only
def test_opening_closes_the_folder_to_others_again(home: LedgerHome) -> None:
    Ledger.open(home, create=True).close()
    home.root.chmod(0o755)
    Ledger.open(home).close()
    assert stat.S_IMODE(home.root.stat().st_mode) == 0o700
