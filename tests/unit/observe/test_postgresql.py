"""Counts and previews on a real PostgreSQL, where one can be started."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest

from hearth.errors import ObservationError
from hearth.observe._postgresql import PostgresCounts, postgres_name
from hearth.observe._postgresql_rows import RowImage, preview_rows
from tests.postgresql import PASSWORD, running_server

if TYPE_CHECKING:
    from collections.abc import Iterator

ELSEWHERE = "what functions do outside of this database (other servers, files, notifications)"
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
        assert effects.unseen == (
            "the sequence log_id_seq, which stays advanced whatever becomes of the transaction",
            ELSEWHERE,
        )

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


class TestPreview:
    def test_exact_rows_and_nothing_stays(self, db: Any) -> None:
        with preview_rows(db) as preview:
            db.execute("UPDATE users SET worth = worth * 2, name = 'x' WHERE id = 1")
            db.execute("DELETE FROM users WHERE id = 3")
            db.execute("INSERT INTO parts VALUES (2, NULL)")
        assert preview.rows == (
            RowImage("log", "INSERT", None, {"id": 1, "what": "x"}),
            RowImage(
                "users",
                "UPDATE",
                {"id": 1, "name": "a", "worth": Decimal("1.10")},
                {"id": 1, "name": "x", "worth": Decimal("2.20")},
            ),
            RowImage("users", "DELETE", {"id": 3, "name": "c", "worth": None}, None),
            RowImage("other.owned", "DELETE", {"id": 3, "u": 3}, None),
            RowImage("part_2", "INSERT", None, {"k": 2, "v": None}),
        )
        assert tables(preview) == {
            "log": (1, 0, 0),
            "other.owned": (0, 0, 1),
            "part_2": (1, 0, 0),
            "users": (0, 1, 1),
        }
        assert not preview.schema_changed
        assert db.execute("SELECT count(*), sum(worth) FROM users").fetchone() == (3, Decimal("3.10"))
        assert db.execute("SELECT count(*) FROM pg_trigger WHERE tgname LIKE '%hearth%'").fetchone() == (0,)
        assert db.execute("SELECT nextval('log_id_seq')").fetchone() == (2,)  # as `unseen` says

    def test_ten_thousand_rows(self, db: Any) -> None:
        with preview_rows(db, tables=["users"], most=5) as preview:
            db.execute("INSERT INTO users SELECT i, 'n' FROM generate_series(100, 10099) i")
        assert tables(preview) == {"users": (10_000, 0, 0)}
        assert [row.after and row.after["id"] for row in preview.rows] == [100, 101, 102, 103, 104]

    def test_what_was_taken_back_to_a_savepoint_is_no_row(self, db: Any) -> None:
        with preview_rows(db) as preview:
            db.execute("SAVEPOINT s")
            db.execute("DELETE FROM other.owned")
            db.execute("ROLLBACK TO s")
            db.execute("DELETE FROM other.owned WHERE id = 2")
        assert tables(preview) == {"other.owned": (0, 0, 1)}
        assert "rows of other.owned: 4 were counted and 1 seen" in preview.unseen[0]

    def test_a_table_that_is_not_looked_at_is_counted(self, db: Any) -> None:
        with preview_rows(db, tables=["users"]) as preview:
            db.execute("UPDATE users SET name = 'x' WHERE id = 1")
        assert tables(preview) == {"log": (1, 0, 0), "users": (0, 1, 0)}
        assert preview.unseen[0].startswith("which rows of log:")
        assert [row.table for row in preview.rows] == ["users"]

    def test_a_failure_rolls_back_too(self, db: Any) -> None:
        import psycopg

        with pytest.raises(psycopg.errors.UniqueViolation), preview_rows(db):  # noqa: PT012 - what is taken back
            db.execute("DELETE FROM other.owned")
            db.execute("INSERT INTO users VALUES (1)")
        assert db.execute("SELECT count(*) FROM other.owned").fetchone() == (3,)

    def test_who_ends_the_transaction_is_told(self, db: Any) -> None:
        with pytest.raises(ObservationError, match="ended the transaction"), preview_rows(db):
            db.execute("COMMIT")
        with pytest.raises(ObservationError, match="ended the transaction"), preview_rows(db):
            db.execute("COMMIT; SELECT 1")
        with pytest.raises(ObservationError, match="ended the transaction"), preview_rows(db):
            db.execute("ROLLBACK AND CHAIN")
        assert db.execute("SELECT count(*) FROM pg_trigger WHERE tgname LIKE '%hearth%'").fetchone() == (0,)

    def test_a_transaction_of_somebody_else_is_not_rolled_back(self, db: Any) -> None:
        db.execute("DELETE FROM other.owned")
        with pytest.raises(ObservationError, match="without a transaction under way"), preview_rows(db):
            pytest.fail("it began")
        db.commit()
        assert db.execute("SELECT count(*) FROM other.owned").fetchone() == (0,)

    def test_as_a_user_who_owns_nothing(self, db: Any, server: str) -> None:
        db.execute(f"DROP ROLE IF EXISTS clerk; CREATE ROLE clerk LOGIN PASSWORD '{PASSWORD}'")
        db.execute(
            "GRANT USAGE ON SCHEMA other, public TO clerk; GRANT ALL ON other.owned TO clerk;"
            "GRANT UPDATE, SELECT ON users TO clerk"
        )
        db.execute("ALTER FUNCTION tell() SECURITY DEFINER")
        db.commit()
        clerk = connect(server, "clerk")
        with preview_rows(clerk) as preview:
            clerk.execute("DELETE FROM other.owned WHERE id = 1")
            clerk.execute("UPDATE users SET name = 'x' WHERE id = 1")
        clerk.close()
        assert tables(preview) == {"other.owned": (0, 0, 1), "users": (0, 1, 0), "log": (1, 0, 0)}
        assert [row.table for row in preview.rows] == ["other.owned"]
        db.execute("DROP OWNED BY clerk; DROP ROLE clerk")
        db.commit()
