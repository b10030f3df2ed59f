"""The generator: the same rows for the same seed, and nothing overwritten."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType


def dump(database: Path) -> list[str]:
    with closing(sqlite3.connect(database)) as connection:
        return list(connection.iterdump())


def test_the_same_seed_gives_the_same_rows(tmp_path: Path, make_data: ModuleType) -> None:
    for parent in ("a", "b"):
        make_data.make_data(tmp_path / parent / "oslo")
    a, b = tmp_path / "a" / "oslo", tmp_path / "b" / "oslo"
    assert (a / "users.csv").read_bytes() == (b / "users.csv").read_bytes()
    assert (a / "app.ini").read_bytes() == (b / "app.ini").read_bytes()
    assert dump(a / "app.db") == dump(b / "app.db")


def test_another_seed_gives_other_rows(tmp_path: Path, make_data: ModuleType) -> None:
    make_data.make_data(tmp_path / "a", seed=1)
    make_data.make_data(tmp_path / "b", seed=2)
    assert (tmp_path / "a" / "users.csv").read_bytes() != (tmp_path / "b" / "users.csv").read_bytes()


def test_the_data_is_what_the_example_says(site: Path, make_data: ModuleType) -> None:
    with closing(sqlite3.connect(site / "app.db")) as connection:
        meta = dict(connection.execute("SELECT key, value FROM meta"))
        (users, addresses) = connection.execute("SELECT count(*), count(DISTINCT lower(email)) FROM users").fetchone()
    assert meta == {"schema_version": "1", "users": "3200", "site": "oslo"}
    assert users == addresses == 3_200
    content = (site / "users.csv").read_bytes()
    # Four rows have a line break within a value, so that lines are not rows.
    assert content.count(b"\r\n") == 1 + 5_000
    assert content.startswith(b"\xef\xbb\xbfname,email,joined,country\r\n")
    assert sum(make_data.BAD_ROWS.values()) == 178
    with pytest.raises(UnicodeDecodeError):
        content.decode()


@pytest.mark.parametrize("name", ["app.db", "users.csv", "app.ini"])
def test_what_is_there_is_not_replaced(tmp_path: Path, make_data: ModuleType, name: str) -> None:
    (tmp_path / name).write_text("precious")
    with pytest.raises(FileExistsError, match=name):
        make_data.make_data(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "precious"


def test_too_few_rows_are_refused(tmp_path: Path, make_data: ModuleType) -> None:
    with pytest.raises(ValueError, match="at least 356"):
        make_data.make_data(tmp_path, rows=355)


def test_as_a_program(tmp_path: Path, make_data: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert make_data.main([str(tmp_path / "oslo")]) == 0
    assert "5,000 new ones, 178 of the rows bad" in capsys.readouterr().out
    assert make_data.main([str(tmp_path / "oslo")]) == 1
    assert "already there" in capsys.readouterr().err
