"""STAGING acts on what the policy lists and on nothing else, whatever a URL, a path or a link makes of it."""

from __future__ import annotations

import os
import socket
import sqlite3
from typing import TYPE_CHECKING, Any

import pytest

from hearth.errors import GateRefusedError, StepFailedError
from hearth.execution import ApprovalExecutor
from hearth.kernel import HearthKernel
from hearth.plan import parse_plan
from hearth.security import Policy

if TYPE_CHECKING:
    from pathlib import Path

    from hearth.record import ExecutionRecord


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Two folders, `st` that may be acted on and `prod` that may not, each with a database."""
    for name in ("st", "prod"):
        (tmp_path / name).mkdir()
        with sqlite3.connect(tmp_path / name / "a.db") as connection:
            connection.execute("CREATE TABLE t (x)")
        connection.close()
    return tmp_path


def rows(path: Path) -> int:
    connection = sqlite3.connect(path)
    try:
        return int(connection.execute("SELECT count(*) FROM t").fetchone()[0])
    finally:
        connection.close()


def stage(home: Path, *steps: dict[str, Any], targets: tuple[str, ...] = (), **keys: Any) -> ExecutionRecord:
    named = [{"name": f"step {index}", **step} for index, step in enumerate(steps)]
    plan = parse_plan({"plan": "p", **keys, "steps": named}, folder=home)
    kernel = HearthKernel()
    kernel.arm("STAGING", who="Ada", why="try")
    policy = Policy((f"sql:sqlite:///{home}/st/*", f"file:{home}/st/*", *targets))
    return ApprovalExecutor(kernel, policy=policy).execute(plan).execution_record


def insert(url: object) -> dict[str, Any]:
    return {"sql": {"url": url, "statement": "INSERT INTO t VALUES (1)"}}


def test_what_is_listed_is_acted_on(home: Path) -> None:
    stage(
        home,
        insert("sqlite:///st/a.db"),
        insert(f"sqlite+pysqlite:///{home}/prod/../st/a.db?timeout=3"),
        {"file": {"write": "st/new/x", "content": "1", "parents": True}},
        {"file": {"copy": "prod/a.db", "to": "st/b.db"}},
        {"file": {"move": "st/new/x", "to": "st/y"}},
        {"sql": {"url": "sqlite://", "statement": "SELECT 1"}},
        targets=("sql:sqlite://",),
    )
    assert rows(home / "st" / "a.db") == 2
    assert (home / "st" / "y").read_text() == "1"


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:///prod/a.db",
        "sqlite:///st/../prod/a.db",
        "sqlite:///st/link.db",
        "sqlite:///linked/a.db",
        "sqlite:///file:st/../prod/a.db?uri=true",
        "sqlite:///file:st/%2e%2e/prod/a.db?uri=true",
        "sqlite:///st/{secret: env:DB}",
        "sqlite:///st/{secret:env:DB}?x=1",
        {"secret": "env:URL"},
        "sqlite+pysqlcipher:///st/a.db",
    ],
)
def test_a_database_outside_is_refused_however_it_is_named(
    home: Path, monkeypatch: pytest.MonkeyPatch, url: object
) -> None:
    monkeypatch.setenv("DB", "../prod/a.db")
    monkeypatch.setenv("URL", "sqlite:///prod/a.db")
    (home / "st" / "link.db").symlink_to(home / "prod" / "a.db")
    (home / "linked").symlink_to("prod")
    with pytest.raises(GateRefusedError):
        stage(home, insert(url), targets=("sql:*st/*",))
    assert rows(home / "prod" / "a.db") == 0


@pytest.mark.parametrize(
    "change",
    [
        {"write": "../x", "content": "1"},
        {"write": "st/../prod/x", "content": "1"},
        {"append": "prod/x", "content": "1"},
        {"write": "linked/x", "content": "1"},
        {"write": "st/link", "content": "1", "follow": True},
        {"copy": "st/a.db", "to": "prod/x"},
        {"move": "prod/a.db", "to": "st/x"},
        {"move": "st/a.db", "to": "prod/x"},
        {"delete": "prod/a.db"},
        {"path": "prod/a.db", "mode": "0600"},
        {"write": {"secret": "env:NAME"}, "content": "1"},
        {"write": "st/{secret: env:NAME}", "content": "1"},
    ],
)
def test_a_file_outside_is_refused_however_it_is_named(
    home: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any]
) -> None:
    monkeypatch.setenv("NAME", "../prod/x")
    (home / "linked").symlink_to("prod")
    (home / "st" / "link").symlink_to(home / "prod" / "x")
    with pytest.raises(GateRefusedError):
        stage(home, {"file": change}, targets=(f"host:*:{home}*",))
    assert sorted(path.name for path in (home / "prod").iterdir()) == ["a.db"]


@pytest.mark.parametrize(
    "task",
    [
        {"http": {"method": "GET", "url": "http://{secret: env:H}/x"}},
        {"http": {"method": "GET", "url": "http://st:{secret: env:H}/x"}},
        {"http": {"method": "GET", "url": "http://st/{secret: env:H}"}},
        {"http": {"method": "GET", "url": {"secret": "env:H"}}},
        insert("postgresql://u:p@{secret: env:H}/x"),
        insert("postgresql://u:p@st/{secret: env:H}"),
        insert("postgresql://u:p@/x?host={secret: env:H}"),
        insert("postgresql://u:p@st/x?password=a&{secret: env:H}=b"),
        insert("{secret: env:H}://u:p@st/x"),
    ],
)
def test_a_secret_may_not_decide_on_the_target(
    home: Path, monkeypatch: pytest.MonkeyPatch, task: dict[str, Any]
) -> None:
    monkeypatch.setenv("H", "prod.example.org")
    with pytest.raises(GateRefusedError, match="a secret decides what its URL leads to"):
        stage(home, task, targets=("*",))


def test_a_secret_may_stand_for_a_user_a_password_and_in_a_query(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PASS", "p@127.0.0.2/x?y")
    url = "http://{secret: env:PASS}:{secret: env:PASS}@127.0.0.1:9/x?token={secret: env:PASS}"
    with pytest.raises(StepFailedError, match=r"cannot connect|refused|nothing was sent"):
        stage(home, {"http": {"method": "GET", "url": url}}, targets=("http:127.0.0.1:9",))


def test_a_working_folder_that_is_turned_stops_the_run(home: Path) -> None:
    (home / "here").symlink_to("st")
    turn = {"shell": f"ln -sfn prod {home}/here"}
    act = {"shell": "touch acted"}
    host = f"host:{socket.gethostname()}:{os.path.realpath(home / 'st')}"
    with pytest.raises(StepFailedError, match=r"step 1 .* was not begun: its working folder, .* is another one"):
        stage(home, turn, act, cwd="here", targets=(host,))
    assert not (home / "prod" / "acted").exists()
    assert not (home / "st" / "acted").exists()


def test_a_link_that_is_turned_is_seen_before_the_step(home: Path) -> None:
    (home / "st" / "in").symlink_to("../st")
    turn = {"shell": f"ln -sfn {home}/prod st/in"}
    host = f"host:{socket.gethostname()}:{os.path.realpath(home)}"
    for act in (insert("sqlite:///st/in/a.db"), {"file": {"write": "st/in/x", "content": "1"}}):
        (home / "st" / "in").unlink()
        (home / "st" / "in").symlink_to("../st")
        with pytest.raises(StepFailedError, match=r"step 1 .* was not begun: step 1 .* does not list for STAGING"):
            stage(home, turn, act, targets=(host,))
    assert rows(home / "prod" / "a.db") == 0
    assert not (home / "prod" / "x").exists()
