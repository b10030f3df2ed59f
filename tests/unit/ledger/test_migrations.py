from __future__ import annotations

import shutil
import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

import hearth.ledger.migrations
from hearth.errors import LedgerError
from hearth.ledger import Ledger, _schema
from hearth.ledger._layout import CONSTRAINTS, LAYOUT
from hearth.ledger._tables import metadata
from tests.unit.ledger._records import make_sealed_record

if TYPE_CHECKING:
    from hearth.ledger import LedgerHome

NEXT = """
import sqlalchemy as sa
from alembic import op

revision = "9999"
down_revision = "{before}"


def upgrade():
    op.add_column("ledger_meta", sa.Column("motto", sa.Text))
    op.execute("UPDATE ledger_meta SET motto = 'nothing changes unseen'")
    {then}
"""


def test_the_known_revisions_are_the_migrations() -> None:
    config = Config()
    config.set_main_option("script_location", "hearth.ledger:migrations")
    scripts = ScriptDirectory.from_config(config)
    oldest_first = [script.revision for script in reversed(list(scripts.walk_revisions()))]
    assert tuple(oldest_first) == _schema.REVISIONS
    assert scripts.get_heads() == [_schema.HEAD]


def test_the_tables_are_what_the_migrations_make(ledger: Ledger) -> None:
    differences = ledger._database.read(
        lambda connection: compare_metadata(MigrationContext.configure(connection), metadata)
    )
    assert differences == []


def test_the_layout_is_what_the_migrations_make(home: LedgerHome) -> None:
    Ledger.open(home, create=True).close()
    with closing(sqlite3.connect(home.database)) as connection:
        made = dict(connection.execute("SELECT name, sql FROM sqlite_master"))
    assert {name: " ".join(sql.split()) for name, sql in made.items() if sql is not None} == LAYOUT
    assert {name for name, sql in made.items() if sql is None} == CONSTRAINTS


def test_constraints_and_autoincrement_are_there(home: LedgerHome) -> None:
    Ledger.open(home, create=True).close()
    connection = sqlite3.connect(home.database)
    schema = dict(connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table'"))
    connection.close()
    assert "AUTOINCREMENT" in schema["executions"]
    assert "id = 1" in schema["ledger_meta"]
    assert "ON DELETE CASCADE" in schema["execution_texts"]
    assert "ON DELETE CASCADE" in schema["disclosures"]


def add_revision(folder: Path, monkeypatch: pytest.MonkeyPatch, *, then: str = "") -> None:
    """Make this a HEARTH that knows one revision more."""
    scripts = folder / "migrations"
    shutil.copytree(Path(hearth.ledger.migrations.__file__).parent, scripts)
    (scripts / "versions/9999_motto.py").write_text(NEXT.format(before=_schema.HEAD, then=then))
    monkeypatch.setattr(_schema, "SCRIPTS", str(scripts))
    monkeypatch.setattr(_schema, "REVISIONS", (*_schema.REVISIONS, "9999"))
    monkeypatch.setattr(_schema, "HEAD", "9999")
    more = LAYOUT["ledger_meta"].replace(", PRIMARY KEY", ", motto TEXT, PRIMARY KEY")
    monkeypatch.setattr(_schema, "LAYOUT", {**LAYOUT, "ledger_meta": more})


def test_an_older_schema_is_upgraded_with_its_records(
    home: LedgerHome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Ledger.open(home, create=True) as ledger:
        ledger.store(make_sealed_record())
    add_revision(tmp_path, monkeypatch)
    ids: list[str] = []

    def open_and_read() -> None:
        with Ledger.open(home) as upgraded:
            ids.extend(upgraded.iterate_ids())

    threads = [threading.Thread(target=open_and_read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ids == ["run-1"] * 4
    connection = sqlite3.connect(home.database)
    assert connection.execute("SELECT motto FROM ledger_meta").fetchall() == [("nothing changes unseen",)]
    assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [("9999",)]
    connection.close()


def test_an_upgrade_that_fails_changes_nothing(
    home: LedgerHome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Ledger.open(home, create=True) as ledger:
        ledger.store(make_sealed_record())
    with monkeypatch.context() as patch:
        add_revision(tmp_path, patch, then='op.execute("SELECT nonsense FROM nowhere")')
        with pytest.raises(LedgerError, match="nowhere"):
            Ledger.open(home)
    with Ledger.open(home) as ledger:
        assert list(ledger.iterate_ids()) == ["run-1"]


def test_a_newer_schema_is_left_alone(home: LedgerHome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        add_revision(tmp_path, patch)
        Ledger.open(home, create=True).close()
    content = home.database.read_bytes()
    with pytest.raises(LedgerError, match=r"'9999'.*newer"):
        Ledger.open(home, create=True)
    assert home.database.read_bytes() == content
