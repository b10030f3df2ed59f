"""PostgreSQL in previews and sandboxed runs: a transaction that is rolled back, and nothing on the server's host."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from tests.e2e.command import document, hearth
from tests.e2e.sandboxed import approved, live, needs_sandbox, observed, record, rows, stopped, unapproved
from tests.postgresql import PASSWORD, running_server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = needs_sandbox


@pytest.fixture
def folder(ledger_folder: Path) -> Path:
    """The current folder, with a ledger that trusts one key; the server's user may write there."""
    ledger_folder.chmod(0o777)
    return ledger_folder


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with running_server() as url:
        yield url.replace("postgres@", f"postgres:{quote(PASSWORD)}@")


def on_server(url: str, *statements: str) -> list[Any]:
    from sqlalchemy import create_engine, pool

    engine = create_engine(url, poolclass=pool.NullPool)
    with engine.begin() as connection:
        for statement in statements:
            result = connection.exec_driver_sql(statement)
        return [tuple(row) for row in result] if result.returns_rows else []


@pytest.fixture
def database(folder: Path, server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    on_server(
        server,
        "DROP SCHEMA public CASCADE",
        "CREATE SCHEMA public",
        "DO $$ BEGIN IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'clerk') THEN DROP ROLE clerk; END IF; END $$",
        "CREATE TABLE users (id int PRIMARY KEY, old int)",
        "CREATE TABLE log (gone int)",
        "CREATE OR REPLACE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN INSERT INTO log VALUES (OLD.id); RETURN NULL; END $$",
        "CREATE TRIGGER told AFTER DELETE ON users FOR EACH ROW EXECUTE FUNCTION tell()",
        "INSERT INTO users VALUES (1, 1), (2, 1), (3, 0)",
        f"CREATE ROLE clerk LOGIN PASSWORD '{PASSWORD}'",
        "ALTER TABLE users OWNER TO clerk",
        "ALTER TABLE log OWNER TO clerk",
        "GRANT USAGE, CREATE ON SCHEMA public TO clerk",
    )
    monkeypatch.setenv("PGPASS", PASSWORD)
    reference = server.replace(f"postgres:{quote(PASSWORD)}", "clerk:{secret: env:PGPASS}")
    (folder / "plan.yaml").write_text(
        "plan: server\nsteps:\n  - name: Delete\n"
        f"    sql: {{url: '{reference}', statement: DELETE FROM users WHERE old = 1}}\n"
        "    effects: [{data_mutation: users, must: true}, {data_mutation: 'localhost/postgres:log'}]\n"
    )
    return server


COUNTS = "SELECT (SELECT count(*) FROM users), (SELECT count(*) FROM log)"


def test_postgresql_is_previewed_in_a_transaction_that_is_rolled_back(folder: Path, database: str) -> None:
    told = document("preview", "plan.yaml")
    (step,) = told["steps"]
    assert (step["way"], rows(step), step["error"]) == ("transaction", {"users": (0, 0, 2), "log": (2, 0, 0)}, "")
    elsewhere = "what functions do outside of this database (other servers, files, notifications)"
    assert step["unseen"] == [f"{elsewhere}: the function public.tell()"]
    assert on_server(database, COUNTS) == [(3, 0)]
    live(approved(), code=0)
    assert on_server(database, COUNTS) == [(1, 2)]
    assert observed() == [
        ("inserted 2 rows into log of postgres", "localhost/postgres:log"),
        ("deleted 2 rows from users of postgres", "users"),
    ]
    report = record()["side_effects_report"]
    assert (report["unknown_effects"], len(report["side_effects_observed"])) == (True, 2)
    assert "outside of this database" in str(report["unknown_effects_why"])
    assert PASSWORD not in hearth("export", "run", code=0).stdout


def test_plain_rows_on_postgresql_are_all_that_happened(folder: Path, database: str) -> None:
    on_server(database, "DROP TRIGGER told ON users")
    plan = (folder / "plan.yaml").read_text()
    (folder / "plan.yaml").write_text(
        plan.replace("DELETE FROM users WHERE old = 1", "UPDATE users SET old = 9 WHERE id = 1")
    )
    said = hearth("preview", "plan.yaml", "--diff", code=0).output
    assert "~ id=1: old 1 -> 9" in said
    live(approved(), code=0)
    report = record()["side_effects_report"]
    assert (report["unknown_effects"], report["unknown_effects_why"]) == (False, [])


def test_values_on_postgresql_that_somebody_else_set_stop_it(folder: Path, database: str) -> None:
    plan = (folder / "plan.yaml").read_text()
    doubled = plan.replace("DELETE FROM users WHERE old = 1", "UPDATE users SET old = old * 2 WHERE id = 1")
    (folder / "plan.yaml").write_text(doubled)
    request = approved()
    on_server(database, "UPDATE users SET old = 7777 WHERE id = 1")
    live(request, code=4)
    stopped("not what was approved", "held something else before: old")
    assert on_server(database, "SELECT old FROM users WHERE id = 1") == [(7777,)]


def test_undeclared_rows_on_postgresql_are_rolled_back(folder: Path, database: str) -> None:
    plan = (folder / "plan.yaml").read_text()
    (folder / "plan.yaml").write_text(plan.replace(", {data_mutation: 'localhost/postgres:log'}", ""))
    unapproved(code=4)
    stopped("undeclared effects", "rows of log in localhost/postgres were changed")
    assert on_server(database, COUNTS) == [(3, 0)]


def test_rows_on_postgresql_that_deviate_are_rolled_back(folder: Path, database: str) -> None:
    request = approved()
    on_server(database, "INSERT INTO users VALUES (9, 1)")
    live(request, code=4)
    stopped("not what was approved", "the rows of users")
    assert on_server(database, COUNTS) == [(4, 0)]


def not_previewed(folder: Path, *, statement: str, role: str, named: str) -> None:
    """Such a statement is refused, in a preview and in a run that is held to what the plan declares; nothing acted."""
    plan = (folder / "plan.yaml").read_text()
    text = plan.replace("//clerk:", f"//{role}:").replace("DELETE FROM users WHERE old = 1", json.dumps(statement))
    (folder / "plan.yaml").write_text(text)
    (step,) = document("preview", "plan.yaml", code=1)["steps"]
    assert named in step["error"]
    assert "can be neither previewed nor held to an approval" in step["error"]
    unapproved(code=1)
    assert not (folder / "there").exists()
    (folder / "plan.yaml").write_text(plan)


@pytest.mark.parametrize("role", ["postgres", "clerk"])
@pytest.mark.parametrize(
    "statement, named",
    [
        ("COPY (SELECT 1) TO PROGRAM 'touch {}'", "COPY"),
        ("COPY (SELECT ';') TO PROGRAM 'touch {}'", "COPY"),
        ("COPY (SELECT 1) TO /* /* */ */ PROGRAM 'touch {}'", "COPY"),
        ("/* /* */ */ -- x\nCOPY (SELECT '/*') TO PROGRAM 'touch {} #*/'", "COPY"),
        ("COPY (SELECT 1) TO U&'{}'", "COPY"),
        ("COPY users TO '{}'", "COPY"),
        ("COPY users FROM PROGRAM 'touch {}'", "COPY"),
        ("LOAD '{}'", "LOAD"),
        ("SELECT lo_export(lo_from_bytea(0, 'x'), '{}')", "lo_export()"),
        ("SELECT pg_catalog.\"lo_export\" (lo_from_bytea(0, 'x'), '{}')", "lo_export()"),
        ("DO $x$ BEGIN PERFORM \"lo_export\"(lo_from_bytea(0, 'x'), '{}'); END $x$", "lo_export()"),
        ('SELECT "pg_terminate_backend"(pid) FROM pg_stat_activity WHERE pid = 0', "pg_terminate_backend()"),
        ("SELECT setval('numbers', 4711)", "setval()"),
        ("SELECT pg_stat_reset()", "pg_stat_reset()"),
    ],
)
def test_what_acts_outside_of_a_transaction_is_not_previewed(
    folder: Path, database: str, statement: str, named: str, role: str
) -> None:
    on_server(database, "CREATE SEQUENCE numbers", "SELECT setval('numbers', 7)")
    not_previewed(folder, statement=statement.replace("{}", str(folder / "there")), role=role, named=named)
    assert on_server(database, COUNTS) == [(3, 0)]
    assert on_server(database, "SELECT last_value FROM numbers") == [(7,)]


def test_in_place_nothing_is_refused_before_and_its_rows_are_held(folder: Path, database: str) -> None:
    plan = (folder / "plan.yaml").read_text().replace(", must: true", "")
    words = ("run", "plan.yaml", "--mode", "live", "--in-place", "--yes", "--reason", "why", "--id")
    block = json.dumps("DO $x$ BEGIN INSERT INTO log VALUES (9); END $x$")
    (folder / "plan.yaml").write_text(plan.replace("DELETE FROM users WHERE old = 1", block))
    hearth(*words, "run", code=0)
    assert on_server(database, COUNTS) == [(3, 1)]
    (folder / "plan.yaml").write_text(plan.replace("{data_mutation: users}, ", ""))
    hearth(*words, "held", code=4)
    assert on_server(database, COUNTS) == [(3, 1)]


WORK = "CREATE FUNCTION work() RETURNS {} LANGUAGE plpgsql {} AS $$ BEGIN {}; RETURN NULL; END $$"
TOUCHES = "EXECUTE 'COPY (SELECT 1) TO PROGRAM ''touch {}'''"
UNTRIGGERED = "DROP TRIGGER told ON users"
EXPORT = "lo_export(lo_from_bytea(0, 'x'), '{}')"


@pytest.mark.parametrize(
    "setup, statement, named",
    [
        ([], "DO $x$ BEGIN EXECUTE 'CO' || 'PY (SELECT 1) TO PRO' || 'GRAM ''touch {}'''; END $x$", "DO is neither"),
        ([], "SELECT U&\"lo!005fexport\" UESCAPE '!' (lo_from_bytea(0, 'x'), '{}')", "U&"),
        ([], "SELECT query_to_xml('SELECT lo_' || 'export(1, ''{}'')', true, true, '')", "query_to_xml"),
        ([], "SELECT set_config('session_preload_libraries', 'x', false)", "set_config"),
        ([], "UPDATE pg_settings SET setting = 'on' WHERE name = 'x'", "pg_settings is named"),
        ([], "CREATE TABLE more (a int)", "CREATE is neither"),
        ([], "SELECT E'\\'' || '\\' FROM users WHERE work() = ''", "work()"),
        ([UNTRIGGERED], "SELECT work()", "work()"),
        ([UNTRIGGERED], 'SELECT "work" ()', "work()"),
        (["CREATE VIEW low AS SELECT work()", "CREATE VIEW top AS TABLE low"], "SELECT * FROM top", "work()"),
        (
            [UNTRIGGERED, "ALTER TABLE users ALTER old SET DEFAULT work()"],
            "INSERT INTO users (id) VALUES (9)",
            "work()",
        ),
        (
            [UNTRIGGERED, "CREATE TABLE kept (u int REFERENCES users ON DELETE SET NULL, CHECK (work() IS NULL))"],
            "DELETE FROM users WHERE id = 1",
            "work()",
        ),
        (["CREATE OPERATOR ### (RIGHTARG = int, FUNCTION = worked)"], "SELECT ### 1", "worked(integer)"),
        ([f"CREATE VIEW top AS SELECT {EXPORT}"], "SELECT * FROM top", "lo_export"),
        ([], "DELETE FROM users WHERE old = 1", "tell()"),
    ],
)
def test_as_a_superuser_nothing_is_previewed_that_may_call_a_function_that_acts(
    folder: Path, database: str, setup: list[str], statement: str, named: str
) -> None:
    there = str(folder / "there")
    on_server(database, WORK.format("int", "", TOUCHES.format(there)))
    on_server(database, "CREATE FUNCTION worked(int) RETURNS int LANGUAGE sql AS 'SELECT work()'")
    for one in setup:
        on_server(database, one.replace("{}", there))
    (folder / "there").unlink(missing_ok=True)
    not_previewed(folder, statement=statement.replace("{}", there), role="postgres", named=named)
    assert on_server(database, COUNTS) == [(3, 0)]


def test_as_a_superuser_plain_changes_of_rows_are_previewed(folder: Path, database: str) -> None:
    on_server(database, UNTRIGGERED)
    plan = (folder / "plan.yaml").read_text().replace("//clerk:", "//postgres:")
    gone = "DELETE FROM users WHERE old = 1 AND random() < 2 RETURNING id"
    statement = f"WITH gone AS ({gone}) INSERT INTO log SELECT max(id) FROM gone GROUP BY id"
    (folder / "plan.yaml").write_text(plan.replace("DELETE FROM users WHERE old = 1", json.dumps(statement)))
    (step,) = document("preview", "plan.yaml")["steps"]
    assert (rows(step), step["error"]) == ({"users": (0, 0, 2), "log": (2, 0, 0)}, "")
    told = hearth("preview", "plan.yaml", code=0).stdout
    assert "the host is as it was" not in told
    assert "the files here are as they were; what the database server was asked to do was rolled back there" in told
    hearth("run", "plan.yaml", "--sandbox", "--id", "run", code=0)
    assert "as it was" not in record()["completion_reason"]


@pytest.mark.parametrize("right", ["pg_execute_server_program", "pg_write_server_files"])
def test_a_role_with_rights_to_the_servers_host_is_told(folder: Path, database: str, right: str) -> None:
    on_server(database, f"GRANT {right} TO clerk")
    body = f"DO $x$ BEGIN EXECUTE 'CO' || 'PY (SELECT 1) TO PROGRAM ''touch {folder}/there'''; END $x$"
    named = f"the role clerk has rights to the server's host ({right})"
    not_previewed(folder, statement=body, role="clerk", named=named)


@pytest.mark.parametrize(
    "statement, named",
    [
        ("DELETE FROM users WHERE id = 1", "the function public.work()"),
        ("DO $x$ BEGIN DELETE FROM users; END $x$", "DO is neither a query nor a change of rows"),
    ],
)
def test_functions_with_a_superusers_rights_are_not_previewed_for_others(
    folder: Path, database: str, statement: str, named: str
) -> None:
    on_server(database, WORK.format("trigger", "SECURITY DEFINER", TOUCHES.format(folder / "there")))
    on_server(database, "CREATE TRIGGER works AFTER DELETE ON users FOR EACH ROW EXECUTE FUNCTION work()")
    not_previewed(folder, statement=statement, role="clerk", named=named)


def test_a_role_without_such_rights_may_try_what_is_rolled_back(folder: Path, database: str) -> None:
    plan = (folder / "plan.yaml").read_text()
    body = json.dumps("DO $x$ BEGIN EXECUTE 'DELETE FROM users WHERE old = 1'; END $x$")
    (folder / "plan.yaml").write_text(plan.replace("DELETE FROM users WHERE old = 1", body))
    (step,) = document("preview", "plan.yaml")["steps"]
    assert (rows(step), step["error"]) == ({"users": (0, 0, 2), "log": (2, 0, 0)}, "")
    assert on_server(database, COUNTS) == [(3, 0)]


@pytest.mark.parametrize(
    "statement, named",
    [
        ("CREATE TRIGGER evil AFTER UPDATE ON users FOR EACH ROW EXECUTE FUNCTION tell()", "schema:pg_trigger"),
        ("GRANT ALL ON users TO PUBLIC", "schema:pg_class"),
        ("ALTER ROLE clerk SET work_mem = 99", "schema:pg_db_role_setting"),
        ("SELECT lo_from_bytea(0, 'x')", "schema:pg_largeobject"),
        ("CREATE TABLE more (a int)", "schema:more"),
    ],
)
def test_a_change_of_the_schema_is_undeclared_where_rows_are_declared(
    folder: Path, database: str, statement: str, named: str
) -> None:
    plan = (folder / "plan.yaml").read_text().replace("DELETE FROM users WHERE old = 1", json.dumps(statement))
    plan = plan.replace(", must: true", "")
    (folder / "plan.yaml").write_text(plan)
    assert any(named in one for one in undeclared())
    unapproved(code=4)
    stopped("undeclared effects", "the schema of localhost/postgres was changed")
    (folder / "plan.yaml").write_text(plan.replace("data_mutation: users", "data_mutation: 'schema:*'"))
    assert undeclared() == []


def undeclared() -> list[str]:
    """What a preview shows and the plan does not declare."""
    return [one["what"] for one in document("preview", "plan.yaml")["undeclared"]]


def test_another_schema_than_the_approved_preview_showed_is_rolled_back(folder: Path, database: str) -> None:
    body = "IF (SELECT count(*) FROM log) = 0 THEN CREATE VIEW v AS SELECT 1; ELSE CREATE VIEW v AS SELECT 2; END IF"
    plan = (folder / "plan.yaml").read_text()
    plan = plan.replace("DELETE FROM users WHERE old = 1", json.dumps(f"DO $x$ BEGIN {body}; END $x$"))
    (folder / "plan.yaml").write_text(plan.replace("data_mutation: users, must: true", "data_mutation: 'schema:*'"))
    request = approved()
    on_server(database, "INSERT INTO log VALUES (1)")
    live(request, code=4)
    stopped("not what was approved", "schema:pg_rewrite")
    assert on_server(database, "SELECT to_regclass('v')") == [(None,)]
