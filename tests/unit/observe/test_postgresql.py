"""Counts and previews on a real PostgreSQL, where one can be started."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest

from hearth.errors import ObservationError
from hearth.observe._postgresql import PostgresCounts, postgres_name
from hearth.observe._row_deviation import differing_rows
from tests.postgresql import PASSWORD, running_server

if TYPE_CHECKING:
    from collections.abc import Iterator

SCHEMA = """
DROP SCHEMA public CASCADE; CREATE SCHEMA public; DROP SCHEMA IF EXISTS other CASCADE; CREATE SCHEMA other;
CREATE TABLE users (id int PRIMARY KEY, name text, worth numeric);
CREATE TABLE log (id serial, what text);
CREATE TABLE other.owned (id int, u int REFERENCES users ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED);
CREATE TABLE parts (k int, v text) PARTITION BY LIST (k);
CREATE TABLE part_1 PARTITION OF parts FOR VALUES IN (1);
CREATE TABLE part_2 PARTITION OF parts FOR VALUES IN (2);
CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN INSERT INTO log (what) VALUES (NEW.name); RETURN NULL; END $$;
CREATE TRIGGER told AFTER UPDATE ON users FOR EACH ROW EXECUTE FUNCTION tell();
INSERT INTO users VALUES (1, 'a', 1.10), (2, 'b', 2), (3, 'c', NULL);
INSERT INTO other.owned VALUES (1, 1), (2, 1), (3, 3);
"""


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with running_server() as url:
        yield parse_qs(urlsplit(url).query)["host"][0]


def connect(server: str, user: str = "postgres") -> Any:
    import psycopg

    return psycopg.connect(host=server, user=user, password=PASSWORD, dbname="postgres")


@pytest.fixture
def db(server: str) -> Iterator[Any]:
    db = connect(server)
    db.execute("SET client_min_messages = warning")
    db.execute(SCHEMA)
    db.commit()
    yield db
    db.close()


def tables(effects: Any) -> dict[str, tuple[int, int, int]]:
    return {row.table: (row.inserted, row.updated, row.deleted) for row in effects.tables}


def counted(db: Any, *statements: str) -> Any:
    counts = PostgresCounts(db)
    for statement in statements:
        db.execute(statement)
    return counts.effects()


class TestCounts:
    def test_rows_by_table_with_what_triggers_and_keys_do(self, db: Any) -> None:
        effects = counted(
            db,
            "INSERT INTO users SELECT i, 'n' FROM generate_series(10, 14) i",
            "UPDATE users SET name = 'x' WHERE id < 3",
            "DELETE FROM users WHERE id = 1",
            "INSERT INTO parts VALUES (1, 'a'), (2, 'b')",
        )
        assert tables(effects) == {
            "users": (5, 2, 1),
            "log": (2, 0, 0),
            "other.owned": (0, 0, 2),
            "part_1": (1, 0, 0),
            "part_2": (1, 0, 0),
        }
        assert {row.database for row in effects.tables} == {"localhost/postgres"}
        assert not effects.schema_changed
        assert effects.unseen == ("the sequence log_id_seq, which stays advanced whatever becomes of the transaction",)

    def test_each_transaction_stands_for_itself(self, db: Any) -> None:
        assert tables(counted(db, "DELETE FROM other.owned")) == {"other.owned": (0, 0, 3)}
        db.commit()
        assert tables(counted(db, "INSERT INTO other.owned VALUES (7, 2)")) == {"other.owned": (1, 0, 0)}
        db.rollback()
        assert counted(db, "SELECT * FROM users").tables == ()

    def test_what_is_taken_back_to_a_savepoint_is_counted(self, db: Any) -> None:
        effects = counted(db, "SAVEPOINT s", "DELETE FROM other.owned", "ROLLBACK TO s")
        assert tables(effects) == {"other.owned": (0, 0, 3)}

    @pytest.mark.parametrize(
        "statement,reason",
        [
            ("CREATE TABLE new (a int)", "the schema: CREATE TABLE new"),
            ("CREATE VIEW other.v AS SELECT 1", "the schema: CREATE VIEW other.v"),
            ("DROP TABLE parts", "the schema: DROP TABLE part_1"),
            ("ALTER TABLE users RENAME TO people", "the schema: users is people now"),
            ("ALTER TABLE users ADD COLUMN x int", "the schema: pg_attribute, pg_class changed"),
            ("GRANT SELECT ON users TO PUBLIC", "the schema: pg_class changed"),
            ("COMMENT ON TABLE users IS 'all of them'", "the schema: pg_description changed"),
            ("CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'", "pg_proc"),
            ("CREATE ROLE somebody", "the schema: pg_authid changed"),
            ("SELECT lo_from_bytea(0, 'x')", "pg_largeobject"),
            ("TRUNCATE log", "rows of log: it was truncated or written anew"),
            ("ALTER TABLE users ALTER COLUMN id TYPE bigint", "rows of users: it was truncated or written anew"),
        ],
    )
    def test_a_change_of_the_schema_is_named(self, db: Any, statement: str, reason: str) -> None:
        effects = counted(db, statement)
        assert effects.schema_changed
        assert any(reason in told for told in effects.unseen), effects.unseen

    @pytest.mark.parametrize(
        "statement, names, other",
        [
            ("CREATE TABLE new (a int)", {"new", "pg_class", "pg_attribute", "pg_type"}, "CREATE TABLE new (b int)"),
            ("DROP TABLE log", {"log", "log_id_seq"}, "ALTER TABLE log RENAME TO l"),
            ("ALTER TABLE users ADD COLUMN x int", {"pg_attribute", "pg_class"}, "ALTER TABLE log ADD COLUMN x int"),
            ("GRANT SELECT ON users TO PUBLIC", {"pg_class"}, "GRANT INSERT ON users TO PUBLIC"),
            (
                "ALTER TABLE users ALTER name SET DEFAULT 'x'",
                {"pg_attrdef"},
                "ALTER TABLE users ALTER name SET DEFAULT 'y'",
            ),
            (
                "CREATE TRIGGER evil AFTER UPDATE ON users EXECUTE FUNCTION tell()",
                {"pg_trigger"},
                "CREATE TRIGGER evil AFTER UPDATE ON log EXECUTE FUNCTION tell()",
            ),
            (
                "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
                {"pg_proc"},
                "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 2'",
            ),
            ("CREATE VIEW v AS SELECT 1", {"v", "pg_rewrite"}, "CREATE VIEW v AS SELECT 2"),
            ("ALTER ROLE postgres CONNECTION LIMIT 5", {"pg_authid"}, "ALTER ROLE postgres CONNECTION LIMIT 6"),
            ("ALTER ROLE postgres SET work_mem = 99", {"pg_db_role_setting"}, "ALTER ROLE postgres SET work_mem = 98"),
            ("SELECT lo_from_bytea(0, 'x')", {"pg_largeobject"}, "SELECT lo_from_bytea(0, 'y')"),
            (
                "DO $$ BEGIN BEGIN CREATE VIEW v AS SELECT 1; EXCEPTION WHEN OTHERS THEN END; END $$",
                {"v", "pg_rewrite"},
                "DO $$ BEGIN BEGIN CREATE VIEW v AS SELECT 2; EXCEPTION WHEN OTHERS THEN END; END $$",
            ),
        ],
    )
    def test_a_change_of_the_schema_is_an_effect_that_can_be_compared(
        self, db: Any, statement: str, names: set[str], other: str
    ) -> None:
        def schema(statement: str) -> Any:
            found = counted(db, statement).schema
            db.rollback()
            return found

        first, again, third = schema(statement), schema(statement), schema(other)
        assert first == again
        assert {f"schema:{name}" for name in names} <= {row.table for row in first}
        assert first != third
        assert all(row.definition for row in first)

    def test_changes_of_rows_are_none_of_the_schema(self, db: Any) -> None:
        assert counted(db, "INSERT INTO log (what) VALUES ('x')", "UPDATE users SET name = 'y'").schema == ()
        db.rollback()
        assert [row.table for row in counted(db, "TRUNCATE log").schema] == ["schema:pg_class"]

    def test_a_refused_deferred_constraint_shows_here(self, db: Any) -> None:
        import psycopg

        with pytest.raises(psycopg.errors.ForeignKeyViolation):
            counted(db, "INSERT INTO other.owned VALUES (9, 99)")

    def test_a_server_that_does_not_count(self, db: Any) -> None:
        effects = counted(db, "SET LOCAL track_counts = off", "DELETE FROM other.owned")
        assert "rows: the server does not count them (track_counts is off)" in effects.unseen

    def test_without_a_transaction(self, db: Any) -> None:
        db.commit()
        db.autocommit = True
        with pytest.raises(ObservationError, match="autocommit"):
            PostgresCounts(db)

    def test_the_name_has_neither_user_nor_password(self, db: Any) -> None:
        assert postgres_name(db) == "localhost/postgres"


def valued(db: Any, *statements: str) -> Any:
    """What they do, with values; rolled back."""
    counts = PostgresCounts(db)
    for statement in statements:
        db.execute(statement)
    effects = counts.effects(values=True)
    db.rollback()
    return effects


def by_table(effects: Any) -> dict[str, Any]:
    return {row.table: row for row in effects.tables}


class TestValues:
    def test_columns_that_changed_with_the_rows_that_they_changed_in(self, db: Any) -> None:
        db.commit()
        effects = valued(
            db,
            "UPDATE users SET worth = worth * 2, name = 'x' WHERE id = 1",
            "DELETE FROM users WHERE id = 3",
            "INSERT INTO parts VALUES (2, NULL)",
        )
        rows = by_table(effects)
        assert effects.unseen == ("the sequence log_id_seq, which stays advanced whatever becomes of the transaction",)
        assert dict(rows["users"].before).keys() == {"id", "name", "worth"}
        assert dict(rows["users"].after).keys() == {"name", "worth"}
        assert rows["users"].examples == (
            "~ id=1: name 'a' -> 'x', worth '1.10' -> '2.20'",
            "- id=3, name='c', worth=NULL",
        )
        assert rows["other.owned"].examples == ("- id=3, u=3",)
        assert rows["part_2"].examples == ("+ k=2, v=NULL",)
        assert dict(rows["log"].after).keys() == {"what"}  # its number is another one each time
        assert db.execute("SELECT count(*), sum(worth) FROM users").fetchone() == (3, Decimal("3.10"))

    @pytest.mark.parametrize(
        "statement",
        [
            "UPDATE users SET name = name || '!'",
            "INSERT INTO log (what) SELECT 'n' || i FROM generate_series(1, 30) i",
            "DELETE FROM other.owned",
            "INSERT INTO kinds VALUES (true, 'NaN', '{1,2}', '{\"a\": [1]}', '\\x00ff', '2026-01-01 00:00+02', 1e300)",
            "UPDATE twins SET a = 2",
        ],
    )
    def test_the_same_is_the_same_again(self, db: Any, statement: str) -> None:
        db.execute("CREATE TABLE kinds (b bool, f float8, i int[], j jsonb, y bytea, t timestamptz, n numeric)")
        db.execute("CREATE TABLE twins (a int); INSERT INTO twins VALUES (1), (1), (3)")
        db.commit()
        first, again = valued(db, statement), valued(db, statement)
        assert first.tables == again.tables
        assert all(row.before or row.after for row in first.tables)

    @pytest.mark.parametrize(
        "drift, words",
        [
            ("UPDATE users SET name = 'other' WHERE id = 1", "held something else before: name"),
            ("UPDATE users SET worth = 7 WHERE id = 1", ""),
            ("UPDATE users SET name = 'other' WHERE id = 2", ""),
            ("INSERT INTO users VALUES (9, 'z')", ""),
        ],
    )
    def test_what_others_changed_meanwhile_is_seen_where_it_matters(self, db: Any, drift: str, words: str) -> None:
        db.commit()
        statement = "UPDATE users SET name = 'x' WHERE id = 1"
        shown = valued(db, statement)
        db.execute(drift)
        db.commit()
        found = list(differing_rows(shown.tables, valued(db, statement).tables))
        assert [words in one for one in found] == [True] * bool(words)

    def test_what_others_do_at_the_same_time_is_not_told(self, db: Any, server: str) -> None:
        db.commit()
        alone = by_table(valued(db, "DELETE FROM other.owned WHERE id = 1"))
        other = connect(server)
        other.execute("UPDATE other.owned SET u = 2 WHERE id = 2")  # and it is not done yet
        third = connect(server)
        counts = PostgresCounts(db)
        db.execute("DELETE FROM other.owned WHERE id = 1")
        third.execute("DELETE FROM other.owned WHERE id = 3")
        third.execute("INSERT INTO other.owned VALUES (4, 2)")
        third.commit()
        effects = counts.effects(values=True)
        for one in (db, other, third):
            one.rollback()
        other.close()
        third.close()
        assert by_table(effects) == alone

    def test_savepoints_count_as_far_as_they_last(self, db: Any) -> None:
        db.execute(
            "CREATE FUNCTION careful() RETURNS void LANGUAGE plpgsql AS $$ BEGIN"
            " UPDATE other.owned SET u = 2 WHERE id = 1; EXCEPTION WHEN OTHERS THEN NULL; END $$"
        )
        db.commit()
        effects = valued(
            db,
            "SAVEPOINT s",
            "DELETE FROM other.owned",
            "ROLLBACK TO s",
            "SELECT careful()",
            "SAVEPOINT t",
            "DELETE FROM other.owned WHERE id = 3",
        )
        lines = ("- id=1, u=1", "+ id=1, u=2", "- id=3, u=3")
        assert by_table(effects)["other.owned"].examples == lines

    def test_rows_that_are_only_locked_are_not_told(self, db: Any) -> None:
        db.commit()
        effects = valued(db, "INSERT INTO other.owned VALUES (7, 1)", "SELECT * FROM users FOR UPDATE")
        assert by_table(effects).keys() == {"other.owned"}
        effects = valued(
            db, "SELECT * FROM users FOR UPDATE", "UPDATE users SET name = 'y' WHERE id = 2", "UPDATE users SET id = id"
        )
        assert [line[:7] for line in by_table(effects)["users"].examples if "name" in line] == ["~ id=2:"]

    def test_where_they_cannot_be_read_that_is_said(self, db: Any, server: str) -> None:
        db.execute(f"DROP ROLE IF EXISTS clerk; CREATE ROLE clerk LOGIN PASSWORD '{PASSWORD}'")
        db.execute(
            "GRANT INSERT ON log TO clerk; GRANT USAGE ON log_id_seq TO clerk; GRANT USAGE ON SCHEMA public TO clerk"
        )
        db.commit()
        effects = valued(db, "TRUNCATE other.owned", "INSERT INTO other.owned VALUES (1, 1)")
        assert "values in other.owned: the transaction keeps everybody else from the table" in effects.unseen
        clerk = connect(server, "clerk")
        effects = valued(clerk, "INSERT INTO log (what) VALUES ('x')")
        clerk.close()
        assert effects.unseen[0] == "values in log: the role may not read the table"
        assert (by_table(effects)["log"].inserted, by_table(effects)["log"].after) == (1, ())
        db.execute("DROP OWNED BY clerk; DROP ROLE clerk")
        db.commit()

    def test_the_transaction_goes_on_as_it_was(self, db: Any) -> None:
        db.commit()
        counts = PostgresCounts(db)
        path = db.execute("SHOW search_path").fetchone()
        db.execute("UPDATE users SET name = 'x' WHERE id = 1")
        counts.effects(values=True)
        assert db.execute("SHOW search_path").fetchone() == path
        db.execute("UPDATE users SET name = 'y' WHERE id = 2")
        assert tables(counts.effects(values=True))["users"] == (0, 2, 0)
        db.commit()
        assert db.execute("SELECT name FROM users ORDER BY id").fetchall() == [("x",), ("y",), ("c",)]
