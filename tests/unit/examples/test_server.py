"""The user service: it takes a new state whole or keeps the old one, and it ends when it should."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

TOKEN = "a-token-for-this-test"  # opens nothing but the server of this test
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Running(Protocol):
    """What the tests use of the server."""

    url: str
    generation: int


@pytest.fixture
def running(site: Path, server: ModuleType) -> Iterator[Running]:
    """A server in this process on the fresh data."""
    with server.UserServer(site / "app.ini", TOKEN) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def ask(url: str, *, post: bool = False, token: str = TOKEN) -> tuple[int, dict[str, object]]:
    request = urllib.request.Request(url, data=b"" if post else None, headers={"X-Reload-Token": token})  # noqa: S310  # always http
    try:
        with OPENER.open(request, timeout=10) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def edit(old: str, new: str) -> None:
    text = Path("app.ini").read_text(encoding="utf-8")
    assert old in text
    Path("app.ini").write_text(text.replace(old, new), encoding="utf-8")


def test_it_serves_what_is_there(running: Running) -> None:
    expected = {"name": "oslo", "users": 3_200, "schema": 1, "batch": "none", "limit": 4_000, "generation": 1}
    assert ask(f"{running.url}/status") == (200, expected)
    assert ask(f"{running.url}/other")[0] == 404
    assert ask(f"{running.url}/other", post=True)[0] == 404


def test_a_reload_takes_the_new_state(running: Running) -> None:
    edit("batch = none", "batch = 2025-09")
    with closing(sqlite3.connect("app.db")) as connection, connection:
        connection.execute("DELETE FROM users WHERE id > 3000")
    assert ask(f"{running.url}/status")[1]["users"] == 3_200
    status, answer = ask(f"{running.url}/reload", post=True)
    assert (status, answer["users"], answer["batch"], answer["generation"]) == (200, 3_000, "2025-09", 2)
    assert ask(f"{running.url}/status")[1] == answer


def test_what_is_served_is_compared_with_what_lies_there(running: Running) -> None:
    assert ask(f"{running.url}/current") == ask(f"{running.url}/status")
    edit("limit = 4000", "limit = 5000")
    differs = {"error": "what is served is not what lies on the disk", "limit": [4_000, 5_000]}
    assert ask(f"{running.url}/current") == (409, differs)
    assert ask(f"{running.url}/reload", post=True)[0] == 200
    assert ask(f"{running.url}/current")[0] == 200
    edit("limit = 5000", "limit = 5")
    assert ask(f"{running.url}/current") == (409, {"error": "the database has 3200 users, but app.ini allows 5"})


@pytest.mark.parametrize(
    "old, new, why",
    [
        ("limit = 4000", "limit = 3199", "the database has 3200 users, but app.ini allows 3199"),
        ("limit = 4000", "limit = many", "invalid literal"),
        ("limit = 4000", "", "limit"),
        ("schema = 1", "schema = 2", "app.ini says schema 2, the database has schema 1"),
        ("path = app.db", "path = gone.db", "unable to open"),
        ("[users]", "[uses]", "users"),
    ],
)
def test_a_refused_reload_keeps_the_old_state(running: Running, old: str, new: str, why: str) -> None:
    before = ask(f"{running.url}/status")
    edit(old, new)
    status, answer = ask(f"{running.url}/reload", post=True)
    assert status == 422
    assert why in str(answer["error"])
    assert ask(f"{running.url}/status") == before


@pytest.mark.parametrize("token", ["", "wrong", TOKEN + "x", "ü"])
def test_a_reload_needs_the_token(running: Running, token: str) -> None:
    assert ask(f"{running.url}/reload", post=True, token=token)[0] == 401
    assert running.generation == 1


def start(site: Path, example: Path, token: str = TOKEN) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(example / "server.py"), str(site / "app.ini"), "--until-eof"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"RELOAD_TOKEN": token},
    )


def test_it_ends_when_its_input_ends(site: Path, example: Path) -> None:
    with start(site, example) as process:
        assert process.stdout is not None
        url = process.stdout.readline().removeprefix("listening on ").strip()
        assert ask(f"{url}/status")[0] == 200
        _, errors = process.communicate(timeout=10)
    assert (process.returncode, errors) == (0, "")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for one process")
def test_it_ends_on_ctrl_c(site: Path, example: Path) -> None:
    with start(site, example) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("listening on http://127.0.0.1:")
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=10) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""


def test_it_does_not_start_without_a_token_or_on_bad_data(site: Path, example: Path) -> None:
    with start(site, example, token="") as process:
        _, errors = process.communicate(timeout=10)
    assert (process.returncode, "set RELOAD_TOKEN" in errors) == (2, True)
    edit("limit = 4000", "limit = 1")
    with start(site, example) as process:
        _, errors = process.communicate(timeout=10)
    assert (process.returncode, "allows 1" in errors) == (1, True)
