"""Databases in previews and sandboxed runs: rows are shown, approved, compared before the commit, and recorded."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from hearth.execution import ContentStore
from hearth.ledger import LedgerHome
from hearth.observe._sqlite import undo_changeset
from hearth.operations import fsck
from hearth.record import ExecutionRecord
from tests.e2e.command import document, hearth
from tests.e2e.sandboxed import approved, live, needs_sandbox, observed, record, rows, stopped, unapproved

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path


PLAN = """\
plan: clean
steps:
  - name: Delete
    sql: {url: "sqlite:///app.db", statement: DELETE FROM users WHERE old = 1}
    effects: [{data_mutation: "app.db:users", must: true}, {data_mutation: log}]
  - name: Look
    sql: {url: "sqlite:///app.db", statement: SELECT count(*) AS n FROM users, expect_rows: 1}
    effects: []
  - name: Note
    sql: {url: "sqlite:///app.db", statement: "INSERT INTO notes SELECT count(*) FROM users"}
    effects: [{data_mutation: "app.db:notes"}]
"""
SCHEMA = """
CREATE TABLE users (id INTEGER PRIMARY KEY, old INTEGER);
CREATE TABLE log (id INTEGER PRIMARY KEY, gone INTEGER);
CREATE TABLE notes (n INTEGER);
CREATE TABLE spare (n INTEGER);
CREATE TRIGGER told AFTER DELETE ON users BEGIN INSERT INTO log (gone) VALUES (old.id); END;
INSERT INTO users (old) VALUES (1), (1), (0), (0), (0);
"""

pytestmark = needs_sandbox


@pytest.fixture(autouse=True)
def folder(ledger_folder: Path) -> Path:
    """The current folder, with a ledger that trusts one key, a plan, and a database."""
    (ledger_folder / "plan.yaml").write_text(PLAN)
    with closing(sqlite3.connect(ledger_folder / "app.db")) as db:
        db.executescript(SCHEMA)
    return ledger_folder


def ask(folder: Path, sql: str) -> list[Any]:
    with closing(sqlite3.connect(folder / "app.db")) as db:
        return [row[0] if len(row) == 1 else row for row in db.execute(sql)]


def state(folder: Path) -> list[Any]:
    return [ask(folder, f"SELECT count(*) FROM {table}")[0] for table in ("users", "log", "notes")]


def in_another_process(folder: Path, script: str) -> None:
    """Locks belong to a process, and so do those of HEARTH's own SQLite, which runs in this one."""
    code = "import sqlite3, sys; db = sqlite3.connect('app.db'); db.executescript(sys.argv[1]); db.close()"
    subprocess.run([sys.executable, "-c", code, script], cwd=folder, check=True)


def ends() -> list[dict[str, Any]]:
    return [event["details"] for event in record()["step_events"] if "ran" in event["details"]]


# SQLite


def test_a_preview_shows_the_rows_and_changes_nothing(folder: Path) -> None:
    told = document("preview", "plan.yaml")
    assert [rows(step) for step in told["steps"]] == [
        {"users": (0, 0, 2), "log": (2, 0, 0)},
        {},
        {"notes": (1, 0, 0)},
    ]
    assert [step["changes"] for step in told["steps"]] == [[], [], []]
    assert [step["unseen"] for step in told["steps"]] == [[], [], []]
    assert "users +0 ~0 -2" in hearth("preview", "plan.yaml", code=0).stdout
    assert state(folder) == [5, 0, 0]


def test_an_approved_preview_is_committed_row_by_row(folder: Path) -> None:
    live(approved(), code=0)
    assert state(folder) == [3, 2, 1]
    assert ask(folder, "SELECT n FROM notes") == [3], "the third step found what the first had committed"
    assert [(end["ran"], end["committed"], rows(end) if "rows" in end else {}) for end in ends()] == [
        ("transaction", True, {"users": (0, 0, 2), "log": (2, 0, 0)}),
        ("transaction", True, {}),
        ("transaction", True, {"notes": (1, 0, 0)}),
    ]
    assert observed() == [
        ("inserted 2 rows into log of app.db", "log"),
        ("deleted 2 rows from users of app.db", "app.db:users"),
        ("inserted 1 row into notes of app.db", "app.db:notes"),
    ]
    told = record()["side_effects_report"]
    assert len(told["side_effects_observed"]) == 3, "what was observed is not told twice"
    assert told["side_effects_observed"][0]["category"] == "data_mutation"
    assert told["unknown_effects"] is False
    hearth("verify", "run", code=0)
    assert fsck(LedgerHome(folder / ".hearth")).findings == ()


def test_what_was_committed_can_be_taken_back_by_its_changesets(folder: Path) -> None:
    before = ask(folder, "SELECT * FROM users")
    live(approved(), code=0)
    store = ContentStore(LedgerHome(folder / ".hearth").outputs)
    effects = record()["side_effects_report"]["side_effects_observed"]
    assert [one["reversible"] for one in effects] == [True] * len(effects) != []
    for end in reversed(ends()):
        if "changeset" in end:
            undo_changeset(folder / "app.db", store.read(end["changeset"]["sha256"]))
    assert state(folder) == [5, 0, 0]
    assert ask(folder, "SELECT * FROM users") == before


def test_a_preview_keeps_no_values_of_rows(folder: Path) -> None:
    hearth("run", "plan.yaml", "--sandbox", "--id", "run", code=0)
    assert state(folder) == [5, 0, 0]
    assert not any("changeset" in end for end in ends())
    assert [end["ran"] for end in ends()] == ["sandbox"] * 3
    assert [one for one in fsck(LedgerHome(folder / ".hearth")).findings if one.kind != "leftover"] == []


@pytest.mark.parametrize(
    "statement, said",
    [
        ("DELETE FROM users WHERE old = 1; UPDATE notes SET n = 1; DELETE FROM log", ""),  # no row of `notes`
        ("DELETE FROM users WHERE old = 1; INSERT INTO notes VALUES (9)", "rows of notes in "),
        ("DELETE FROM users WHERE old = 1; CREATE TABLE more (x)", "the schema of "),
        ("DELETE FROM users WHERE old = 1; DROP TABLE spare", "rows of spare in "),
    ],
)
def test_another_table_than_declared_is_rolled_back(folder: Path, statement: str, said: str) -> None:
    (folder / "plan.yaml").write_text(PLAN.replace("DELETE FROM users WHERE old = 1", f'"{statement}"'))
    before = ask(folder, "SELECT * FROM sqlite_master"), state(folder)
    if not said:
        live(approved(), code=0)
        return
    hearth("request", "plan.yaml", "--preview", "--reason", "why", code=3)
    unapproved(code=4)
    stopped("undeclared effects", said, "nothing of the step was committed")
    assert (ask(folder, "SELECT * FROM sqlite_master"), state(folder)) == before
    report = ExecutionRecord.from_dict(record()).side_effects_report
    assert report.undeclared[0]["what"].startswith(said)
    assert report.unknown_effects is False


def test_an_index_is_undeclared_where_no_change_of_a_database_is_declared(folder: Path) -> None:
    plan = PLAN.replace("SELECT count(*) AS n FROM users, expect_rows: 1", "CREATE INDEX i ON users (old)")
    (folder / "plan.yaml").write_text(plan)
    unapproved(code=4)
    stopped("the schema of ", "schema:i")
    assert ask(folder, "SELECT name FROM sqlite_master WHERE type = 'index'") == []


EVIL = "CREATE TRIGGER evil AFTER UPDATE ON users BEGIN DELETE FROM log; END"


def write_schema_step(folder: Path, task: str, what: str, effects: str) -> None:
    """A step that has SQLite do something: itself, or as a program."""
    (folder / "change.py").write_text(f"import sqlite3\nsqlite3.connect('app.db').executescript({what!r})\n")
    sql = f"sql: {{url: 'sqlite:///app.db', statement: {json.dumps(what)}}}"
    step = sql if task == "sql" else "python: {script: change.py}"
    (folder / "plan.yaml").write_text(f"plan: p\nsteps:\n  - name: Change\n    {step}\n    effects: [{effects}]\n")


@pytest.mark.parametrize("task", ["sql", "python"])
@pytest.mark.parametrize("change", [EVIL, "PRAGMA user_version = 7", "DROP TRIGGER told"])
def test_a_change_of_the_schema_is_no_change_of_rows(folder: Path, task: str, change: str) -> None:
    write_schema_step(folder, task, f"UPDATE users SET old = 1; {change}", "{data_mutation: users}")
    before = ask(folder, "SELECT sql FROM sqlite_master"), ask(folder, "PRAGMA user_version"), state(folder)
    unapproved(code=4)
    stopped("undeclared effects", "the schema of ")
    after = ask(folder, "SELECT sql FROM sqlite_master"), ask(folder, "PRAGMA user_version"), state(folder)
    assert before == after


@pytest.mark.parametrize("task", ["sql", "python"])
def test_a_declared_change_of_the_schema_is_committed_and_told(folder: Path, task: str) -> None:
    effects = "{data_mutation: users}, {data_mutation: 'schema:evil'}"
    write_schema_step(folder, task, f"UPDATE users SET old = 1; {EVIL}", effects)
    assert "schema:evil changed" in hearth("preview", "plan.yaml", code=0).stdout
    live(approved(), code=0)
    assert ask(folder, "SELECT name FROM sqlite_master WHERE name = 'evil'") == ["evil"]
    assert ("changed the schema (schema:evil) of app.db", "schema:evil") in observed()


def test_another_change_of_the_schema_than_the_approved_preview_showed_is_rolled_back(folder: Path) -> None:
    """What is altered was altered by somebody else before, so that something else comes out."""
    write_schema_step(folder, "sql", "ALTER TABLE spare ADD COLUMN m", "{data_mutation: 'app.db:*'}")
    request = approved()
    in_another_process(folder, "ALTER TABLE spare ADD COLUMN x")
    live(request, code=4)
    stopped("not what was approved", "schema:spare")
    assert len(ask(folder, "SELECT * FROM pragma_table_info('spare')")) == 2


def test_rows_that_somebody_else_added_meanwhile_are_a_deviation_where_they_count(folder: Path) -> None:
    request = approved()
    in_another_process(folder, "INSERT INTO users (old) VALUES (1)")
    live(request, code=4)
    stopped("not what was approved", "the rows of users")
    assert state(folder) == [6, 0, 0]


def test_rows_that_somebody_else_added_meanwhile_are_none_where_nothing_depends_on_them(folder: Path) -> None:
    request = approved()
    in_another_process(folder, "INSERT INTO spare VALUES (0); INSERT INTO notes VALUES (7)")
    live(request, code=0)
    assert state(folder) == [3, 2, 2]


def test_rows_that_somebody_else_added_meanwhile_are_a_deviation_where_other_values_come_of_them(folder: Path) -> None:
    request = approved()
    in_another_process(folder, "INSERT INTO users (old) VALUES (0)")
    live(request, code=4)
    stopped("not what was approved", "the rows of notes", "hold other values than in the preview: n (")
    assert state(folder) == [4, 2, 0]


def test_what_must_be_and_is_not_is_rolled_back(folder: Path) -> None:
    (folder / "plan.yaml").write_text(
        PLAN.replace("{data_mutation: log}", "{data_mutation: other, must: true}, {data_mutation: log}")
    )
    unapproved(code=1)
    assert "demands of it (other); all of it was rolled back" in record()["completion_reason"]
    assert state(folder) == [5, 0, 0]


def test_a_statement_that_fails_commits_nothing(folder: Path) -> None:
    request = approved()
    in_another_process(folder, "DROP TABLE log")
    live(request, code=1)
    assert (ends()[0]["ran"], ends()[0]["committed"]) == ("transaction", False)
    assert ask(folder, "SELECT count(*) FROM users") == [5]


def in_use_by_another(folder: Path) -> AbstractContextManager[None]:
    """Another process has it open in WAL mode, and committed a row that is in the log alone."""
    return open_by_another(
        folder,
        "db.execute('PRAGMA journal_mode = wal'); db.execute('PRAGMA wal_autocheckpoint = 0');"
        "db.execute('INSERT INTO users (old) VALUES (1)')",
    )


def opened_by_another(folder: Path) -> AbstractContextManager[None]:
    """Another process has it open, and does nothing at the moment."""
    return open_by_another(folder, "db.execute('SELECT * FROM users').fetchall()")


@contextmanager
def open_by_another(folder: Path, what: str) -> Iterator[None]:
    """Another process opens it, does something, and keeps it open."""
    code = (
        "import sqlite3, sys; db = sqlite3.connect('app.db', isolation_level=None);"
        f"{what}; print(flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        other.stdout.readline()
        try:
            yield
        finally:
            other.stdin.close()


def test_a_database_that_others_use_is_previewed_in_a_copy(folder: Path) -> None:
    with in_use_by_another(folder):
        main, log = ((folder / name).read_bytes() for name in ("app.db", "app.db-wal"))
        told = document("preview", "plan.yaml")
        assert rows(told["steps"][0]) == {"users": (0, 0, 3), "log": (3, 0, 0)}
        assert rows(told["steps"][2]) == {"notes": (1, 0, 0)}
        assert [step["changes"] + step["unseen"] for step in told["steps"]] == [[], [], []]
        assert ((folder / "app.db").read_bytes(), (folder / "app.db-wal").read_bytes()) == (main, log)
        live(approved(), code=0)
    assert state(folder) == [3, 3, 1]


def test_a_database_that_is_made(folder: Path) -> None:
    (folder / "plan.yaml").write_text(
        "plan: new\nsteps: [{name: Make, sql: {url: 'sqlite:///new.db', create: true, statement: "
        "CREATE TABLE a (x); INSERT INTO a VALUES (1)}, effects: [{data_mutation: 'new.db'}]}]\n"
    )
    told = document("preview", "plan.yaml")
    assert rows(told["steps"][0]) == {"a": (1, 0, 0), "schema:a": (0, 0, 0)}
    assert not (folder / "new.db").exists()
    live(approved(), code=0)
    assert (folder / "new.db").exists()


# Databases that programs change as files


PROGRAM = """\
plan: program
steps:
  - name: Change
    python: {script: change.py}
    effects: [{data_mutation: app.db}]
    volatile: ["app.db-journal"]
"""
SCRIPT = """\
import os, sqlite3
db = sqlite3.connect("app.db")
db.execute("PRAGMA wal_autocheckpoint = 0")
db.execute("UPDATE users SET old = 2 WHERE id = 1")
db.execute("DELETE FROM users WHERE id = 2")
db.commit()
db.close()
"""


def write_program(folder: Path, plan: str = PROGRAM, script: str = SCRIPT) -> None:
    (folder / "plan.yaml").write_text(plan)
    (folder / "change.py").write_text(script)


def test_a_database_that_others_have_open_is_not_replaced_under_their_hands(folder: Path) -> None:
    write_program(folder)
    request = approved()
    with opened_by_another(folder):
        (reason,) = document("preview", "plan.yaml")["steps"][0]["unseen"]
        assert f"other processes have {folder}/app.db open" in reason
        inode = (folder / "app.db").stat().st_ino
        before = state(folder)
        told = live(request, code=1)
        assert "nothing of the step was committed; change it by a sql step" in told.stdout
        assert ((folder / "app.db").stat().st_ino, state(folder)) == (inode, before)
    assert ends()[0]["committed"] is False


def test_rows_that_a_program_changed_are_shown_and_recorded(folder: Path) -> None:
    write_program(folder)
    told = document("preview", "plan.yaml")
    assert rows(told["steps"][0]) == {"users": (0, 1, 1), "log": (1, 0, 0)}
    assert state(folder) == [5, 0, 0]
    live(approved(), code=0)
    assert state(folder) == [4, 1, 0]
    assert ("updated 1 and deleted 1 row in users of app.db", "app.db") in observed()


def test_rows_in_a_log_that_a_program_leaves_are_seen(folder: Path) -> None:
    """Killed before a checkpoint: the database's own file is as it was."""
    in_another_process(folder, "PRAGMA journal_mode = wal")
    plan = PROGRAM.replace("python: {script: change.py}", f"shell: '{sys.executable} change.py'")
    write_program(folder, plan, SCRIPT.replace("db.close()", "os._exit(0)"))
    told = document("preview", "plan.yaml")
    assert "app.db-wal" in {change["path"].rpartition("/")[2] for change in told["steps"][0]["changes"]}
    assert rows(told["steps"][0]) == {"users": (0, 1, 1), "log": (1, 0, 0)}


def test_undeclared_rows_of_a_program_stop_the_run(folder: Path) -> None:
    write_program(folder, PROGRAM.replace("{data_mutation: app.db}", "{data_mutation: users}"))
    unapproved(code=4)
    stopped("app.db was modified", "rows of log in ")
    assert state(folder) == [5, 0, 0]


@pytest.mark.parametrize(
    "more, named",
    [
        ("shutil.copy('/bin/sh', 'app.db-journal'); os.chmod('app.db-journal', 0o6755)", "app.db-journal was created"),
        ("os.symlink('/etc/shadow', 'app.db-shm')", "app.db-shm was created"),
        ("os.mkdir('app.db-wal'); os.chmod('app.db-wal', 0o1777)", "app.db-wal was created"),
        ("os.chmod('app.db', 0o6777)", "app.db was modified"),
    ],
)
@pytest.mark.parametrize("declared", ["users}, {data_mutation: log", "app.db"])
def test_who_declares_rows_declares_the_content_of_the_databases_files_alone(
    folder: Path, more: str, named: str, declared: str
) -> None:
    write_program(folder, PROGRAM.replace("data_mutation: app.db", f"data_mutation: {declared}"), f"{SCRIPT}{more}\n")
    (folder / "change.py").write_text("import shutil\n" + (folder / "change.py").read_text())
    before = (folder / "app.db").stat(), state(folder)
    unapproved(code=4)
    stopped(named)
    after = (folder / "app.db").stat()
    assert ((before[0].st_ino, before[0].st_mode), before[1]) == ((after.st_ino, after.st_mode), state(folder))
    assert not [one for one in folder.iterdir() if one.name.startswith("app.db-")]


# Other servers


def test_of_other_servers_nothing_is_run_in_a_preview(folder: Path) -> None:
    step = "{name: Far, sql: {url: 'mysql+pymysql://u@db.example/d', statement: DELETE FROM t}}"
    (folder / "plan.yaml").write_text(f"plan: far\nsteps: [{step}]\n")
    (told,) = document("preview", "plan.yaml")["steps"]
    assert (told["way"], told["rows"], told["error"]) == ("not-run", [], "")
    assert "mysql+pymysql" in told["unseen"][0]


# Requests


class Answers(BaseHTTPRequestHandler):
    seen: list[str]

    def do_GET(self) -> None:
        self.server.seen.append(f"{self.command} {self.path}")  # type: ignore[attr-defined]
        if self.path == "/there":
            self.send_response(302)
            self.send_header("Location", "/elsewhere")
        else:
            self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def web() -> Iterator[tuple[str, list[str]]]:
    server = HTTPServer(("127.0.0.1", 0), Answers)
    server.seen = []  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", server.seen  # type: ignore[attr-defined]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def request_plan(folder: Path, url: str, effects: str, more: str = "") -> None:
    step = f"  - name: Ask\n    http: {{method: GET, url: '{url}'{more}}}\n    effects: [{effects}]\n"
    (folder / "plan.yaml").write_text(f"plan: ask\nsteps:\n{step}")


def test_a_declared_request_is_sent_and_observed(
    folder: Path, web: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, seen = web
    monkeypatch.setenv("TOKEN", "s3cretvalue")
    request_plan(folder, f"{url}/here?token={{secret: env:TOKEN}}", f"{{network: 'GET {url}/**'}}")
    request = approved()
    assert seen == []
    live(request, code=0)
    assert seen == ["GET /here?token=s3cretvalue"]
    (end,) = ends()
    assert (end["ran"], end["sent"], end["status"]) == ("request", True, 200)
    assert [declared for _, declared in observed()] == [f"GET {url}/**"]
    kept = json.loads(ContentStore(LedgerHome(folder / ".hearth").outputs).read(end["manifest"]["sha256"]))
    assert [(one["status"], one["sent"]) for one in kept["requests"]] == [(200, True)]
    assert "s3cretvalue" not in json.dumps(kept)


def test_an_undeclared_request_is_not_sent(folder: Path, web: tuple[str, list[str]]) -> None:
    url, seen = web
    request_plan(folder, f"{url}/here", "{network: 'GET elsewhere.example'}")
    unapproved(code=4)
    stopped("undeclared effects", f"GET {url}/here would be sent", "nothing was sent")
    assert seen == []


def test_where_a_redirect_leads_is_held_to_the_plan_too(folder: Path, web: tuple[str, list[str]]) -> None:
    url, seen = web
    request_plan(folder, f"{url}/there", f"{{network: 'GET {url}/there'}}", ", follow_redirects: true")
    live(approved(), code=4)
    stopped("undeclared effects", f"GET {url}/elsewhere was sent", "it was sent, and stays so")
    assert seen == ["GET /there", "GET /elsewhere"]
    assert len(observed()) == 2
