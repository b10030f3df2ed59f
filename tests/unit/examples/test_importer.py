"""The importer: each bad row found for its own reason, one transaction, and a batch that can be taken out again."""

from __future__ import annotations

import csv
import hashlib
import sqlite3
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from types import ModuleType

Import = Callable[..., dict[str, Any]]
HEADER = "name,email,joined,country\n"
GOOD = "Anna Berg,anna@example.com,2024-02-29,NO\n"


def dump(database: Path) -> list[str]:
    with closing(sqlite3.connect(database)) as connection:
        return list(connection.iterdump())


def query(statement: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect("app.db")) as connection:
        return connection.execute(statement).fetchall()


@pytest.fixture
def migrated(site: Path, example: Path) -> Path:
    """A site whose database has schema version 2."""
    with closing(sqlite3.connect(site / "app.db")) as connection:
        connection.executescript((example / "migrations" / "0002_batches.sql").read_text(encoding="utf-8"))
    return site


@pytest.fixture
def run(importer: ModuleType) -> Import:
    """The import as the plan calls it; a test names what it wants otherwise."""

    def call(**other: object) -> dict[str, Any]:
        usual = {
            "source": "users.csv",
            "database": "app.db",
            "rejects": "rejects.csv",
            "batch": "2025-09",
            "last_day": "2025-09-30",
        }
        answer: dict[str, Any] = importer.run(**(usual | other))
        return answer

    return call


@pytest.mark.usefixtures("migrated")
def test_every_planted_row_is_rejected_for_its_own_reason(run: Import, make_data: ModuleType) -> None:
    result = run()["result"]
    assert result["reasons"] == dict(make_data.BAD_ROWS)
    assert (result["read"], result["imported"], result["rejected"]) == (5_000, 4_822, 178)
    assert result["source_sha256"] == hashlib.sha256(Path("users.csv").read_bytes()).hexdigest()
    with Path("rejects.csv").open(encoding="utf-8", newline="") as file:
        rejects = list(csv.reader(file))
    assert rejects[0] == ["line", "reason", "name", "email", "joined", "country"]
    assert Counter(row[1] for row in rejects[1:]) == make_data.BAD_ROWS


@pytest.mark.usefixtures("migrated")
def test_a_reject_names_the_line_it_came_from(run: Import) -> None:
    run()
    with Path("rejects.csv").open(encoding="utf-8", newline="") as file:
        line, *_, address, _, _ = next(row for row in csv.reader(file) if row[1] == "not UTF-8")
    lines = Path("users.csv").read_bytes().split(b"\n")
    assert address.encode() in lines[int(line) - 1]


@pytest.mark.usefixtures("migrated")
def test_the_database_agrees_with_the_counts(run: Import) -> None:
    run()
    assert query("SELECT count(*) FROM users") == [(8_022,)]
    assert query("SELECT value FROM meta WHERE key = 'users'") == [("8022",)]
    assert query("SELECT id, source, rows_read, imported, rejected FROM import_batches") == [
        ("2025-09", "users.csv", 5_000, 4_822, 178)
    ]
    assert query("SELECT count(*) FROM users WHERE batch IS NULL AND country IS NULL") == [(3_200,)]
    # The untidy rows are tidied up: no blanks at the ends, small letters in addresses, capitals in countries.
    assert query(
        "SELECT count(*) FROM users WHERE batch IS NOT NULL AND (email <> lower(email) OR country <> upper(country))"
    ) == [(0,)]
    assert query("SELECT count(*) FROM users WHERE name <> trim(name) OR email <> trim(email)") == [(0,)]


@pytest.mark.usefixtures("migrated")
def test_the_effects_say_what_was_done(run: Import) -> None:
    answer = run()
    effects = answer["side_effects"]
    assert [(effect["category"], effect["reversible"]) for effect in effects] == [
        ("DATA_MUTATION", True),
        ("DATA_MUTATION", True),
        ("FILE_SYSTEM", True),
    ]
    assert effects[0]["description"] == "inserted 4,822 rows into users of app.db"


@pytest.mark.usefixtures("migrated")
def test_undo_gives_the_database_of_before(run: Import, importer: ModuleType) -> None:
    before = dump(Path("app.db"))
    run()
    assert dump(Path("app.db")) != before
    assert importer.main(["undo", "app.db", "2025-09", "rejects.csv"]) == 0
    assert dump(Path("app.db")) == before
    assert not Path("rejects.csv").exists()


@pytest.mark.usefixtures("migrated")
def test_undo_of_an_unknown_batch_is_refused(importer: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    before = dump(Path("app.db"))
    assert importer.main(["undo", "app.db", "2025-10", "rejects.csv"]) == 1
    assert "no batch 2025-10" in capsys.readouterr().err
    assert dump(Path("app.db")) == before


@pytest.mark.parametrize(
    "other, message",
    [
        ({"max_rejected_percent": 3.5}, "178 of 5000 rows are bad, more than 3.5 %"),
        ({"last_day": "2016-01-01"}, "is this the right file"),
        ({"source": "app.ini"}, "the first line must be name,email,joined,country"),
    ],
)
@pytest.mark.usefixtures("migrated")
def test_a_refused_import_changes_nothing(
    run: Import, importer: ModuleType, other: dict[str, object], message: str
) -> None:
    before = dump(Path("app.db"))
    with pytest.raises(importer.ImportRefusedError, match=message):
        run(**other)
    assert dump(Path("app.db")) == before
    assert sorted(path.name for path in Path().iterdir()) == ["app.db", "app.ini", "users.csv"]


@pytest.mark.usefixtures("migrated")
def test_a_failure_in_the_last_moment_changes_nothing(
    run: Import, importer: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rows are in, the reject file is being written, the disk is full."""

    def full(path: Path, rejects: object) -> None:
        path.write_text("half of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(importer, "write_rejects", full)
    before = dump(Path("app.db"))
    with pytest.raises(OSError, match="No space left"):
        run()
    assert dump(Path("app.db")) == before
    assert sorted(path.name for path in Path().iterdir()) == ["app.db", "app.ini", "users.csv"]


@pytest.mark.usefixtures("migrated")
def test_a_batch_is_imported_once(run: Import, importer: ModuleType) -> None:
    run()
    before = dump(Path("app.db"))
    with pytest.raises(importer.ImportRefusedError, match="batch 2025-09 is already in the database"):
        run(rejects="second.csv")
    assert dump(Path("app.db")) == before


@pytest.mark.usefixtures("migrated")
def test_another_imports_reject_file_stays(run: Import, importer: ModuleType) -> None:
    Path("rejects.csv").write_text("the August ones")
    with pytest.raises(importer.ImportRefusedError, match="belongs to another import"):
        run()
    assert Path("rejects.csv").read_text() == "the August ones"


@pytest.mark.usefixtures("site")
def test_the_old_schema_is_refused(run: Import, importer: ModuleType) -> None:
    with pytest.raises(importer.ImportRefusedError, match="run the migration first"):
        run()


@pytest.mark.usefixtures("site")
def test_a_database_that_is_not_there_is_not_made(run: Import) -> None:
    with pytest.raises(sqlite3.OperationalError):
        run(database="typo.db")
    assert not Path("typo.db").exists()


@pytest.mark.parametrize(
    "row, reason",
    [
        (GOOD, ""),
        ('"Berg, Anna", ANNA@Example.COM ,2024-02-29,no\n', ""),
        ("Anna,,2024-02-29,NO\n", "no e-mail"),
        ("  ,anna@example.com,2024-02-29,NO\n", "no name"),
        ("Anna,anna@example,2024-02-29,NO\n", "malformed e-mail"),
        ("Anna,anna @example.com,2024-02-29,NO\n", "malformed e-mail"),
        ("Anna,anna@example.com,2023-02-29,NO\n", "malformed date"),
        ("Anna,anna@example.com,20240229,NO\n", "malformed date"),
        ("Anna,anna@example.com,٢٠٢٤-٠٢-٢٩,NO\n", "malformed date"),  # digits, but not ours
        ("Anna,anna@example.com,2025-10-01,NO\n", "date in the future"),
        ("Anna,anna@example.com,2025-09-30,NO\n", ""),
        ("Anna,anna@example.com,2024-02-29,Norway\n", "unknown country"),
        ("Anna,KARI@example.com,2024-02-29,NO\n", "already a user"),
        ("Anna,anna@example.com,2024-02-29,NO,\n", "too many columns"),
        ("Anna\n", "too few columns"),
        ('"Anna\nBerg",anna@example.com,2024-02-29,NO\n', "line break in a value"),
        ('"Anna,anna@example.com,2024-02-29,NO\nKari,k@example.com,2024-02-29,NO\n', "line break in a value"),
    ],
)
def test_one_row(importer: ModuleType, row: str, reason: str) -> None:
    good, bad = importer.sort_out((HEADER + row).encode(), last_day=date(2025, 9, 30), known={"kari@example.com"})
    assert len(good) + len(bad) == 1
    assert [found for _, found in bad] == ([reason] if reason else [])


def test_the_first_of_two_equal_addresses_wins(importer: ModuleType) -> None:
    good, bad = importer.sort_out((HEADER + GOOD + GOOD.upper()).encode(), last_day=date(2025, 9, 30), known=set())
    assert [row[0] for row in good] == ["Anna Berg"]
    assert [(row.line, reason) for row, reason in bad] == [(3, "duplicate in the file")]


def test_undecodable_bytes_stay_readable(importer: ModuleType, tmp_path: Path) -> None:
    content = HEADER.encode() + b"S\xf8ren,soren@example.com,2024-02-29,DK\n"
    _, bad = importer.sort_out(content, last_day=date(2025, 9, 30), known=set())
    importer.write_rejects(tmp_path / "rejects.csv", bad)
    assert (tmp_path / "rejects.csv").read_text(encoding="utf-8").splitlines()[
        1
    ] == "2,not UTF-8,S\\xf8ren,soren@example.com,2024-02-29,DK"


def test_a_file_that_is_no_csv_is_refused(importer: ModuleType) -> None:
    endless = HEADER + '"' + "x" * 200_000
    with pytest.raises(importer.ImportRefusedError, match="field larger"):
        importer.sort_out(endless.encode(), last_day=date(2025, 9, 30), known=set())
