"""A small user service: it serves what its configuration and database say, and re-reads both when it is told to.

    python server.py app.ini            (prints the address it listens on: loopback, a free port)

    GET  /status   what is being served: users, schema, batch, limit, generation
    GET  /current  the same where it is what lies on the disk now, 409 where it is not
    POST /reload   re-read configuration and database: 200, or 422 with the reason, and everything stays as it was

`/reload` needs the token of the environment variable RELOAD_TOKEN in the header X-Reload-Token. The server ends on
Ctrl-C, on a termination signal, and, with --until-eof, as soon as its standard input is closed: so it never outlives
the program that started it.
"""

from __future__ import annotations

import argparse
import configparser
import hmac
import json
import os
import sqlite3
import sys
import threading
from contextlib import closing
from dataclasses import asdict, dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

LOOPBACK = "127.0.0.1"


class RefusedError(Exception):
    """Configuration and database do not fit together; the message says why."""


@dataclass(frozen=True, slots=True)
class State:
    """What the server serves."""

    name: str
    users: int
    schema: int
    batch: str
    limit: int


def load(config: Path) -> State:
    """Read the configuration and the database beside it.

    Raises RefusedError where one of them cannot be read, or where they contradict each other.
    """
    parser = configparser.ConfigParser(interpolation=None)
    try:
        with config.open(encoding="utf-8") as file:
            parser.read_file(file)
        name, batch = parser["server"]["name"], parser["users"]["batch"]
        limit, schema = parser.getint("users", "limit"), parser.getint("database", "schema")
        users, actual = measure(config.parent / parser["database"]["path"])
    except (OSError, UnicodeError, ValueError, KeyError, configparser.Error, sqlite3.Error) as error:
        raise RefusedError(f"{config.name}: {type(error).__name__}: {error}") from error
    if actual != schema:
        raise RefusedError(f"{config.name} says schema {schema}, the database has schema {actual}")
    if users > limit:
        raise RefusedError(f"the database has {users} users, but {config.name} allows {limit}")
    return State(name, users, schema, batch, limit)


def measure(database: Path) -> tuple[int, int]:
    """Return the number of users in the database and its schema version."""
    with closing(sqlite3.connect(f"{database.resolve().as_uri()}?mode=ro", uri=True, timeout=5)) as connection:
        (users,) = connection.execute("SELECT count(*) FROM users").fetchone()
        (schema,) = connection.execute("SELECT value FROM meta WHERE key = 'schema_version'").fetchone()
    return int(users), int(schema)


class UserServer(ThreadingHTTPServer):
    """The server with its state; `generation` counts the successful loads."""

    daemon_threads = True

    def __init__(self, config: Path, token: str) -> None:
        """Load the state and bind a free loopback port; raise RefusedError where the state cannot be loaded."""
        self.config, self.token = config, token
        self.state, self.generation = load(config), 1
        self.lock = threading.Lock()
        super().__init__((LOOPBACK, 0), Handler)

    @property
    def url(self) -> str:
        """The address that clients use."""
        return f"http://{LOOPBACK}:{self.server_address[1]}"

    def reload(self) -> None:
        """Take the new state, or raise RefusedError and keep the old one."""
        with self.lock:
            self.state = load(self.config)
            self.generation += 1


class Handler(BaseHTTPRequestHandler):
    """Answer one request in JSON."""

    server: UserServer
    timeout = 10

    def do_GET(self) -> None:  # the name that http.server calls
        """Answer /status and /current."""
        if self.path == "/status":
            self.answer(HTTPStatus.OK, asdict(self.server.state) | {"generation": self.server.generation})
        elif self.path == "/current":
            self.compare()
        else:
            self.answer(HTTPStatus.NOT_FOUND, {"error": f"there is no {self.path}"})

    def compare(self) -> None:
        """Answer /current: what is served, or how it differs from what lies on the disk."""
        served = self.server.state
        try:
            lies = asdict(load(self.server.config))
        except RefusedError as error:
            self.answer(HTTPStatus.CONFLICT, {"error": str(error)})
            return
        different = {name: [value, lies[name]] for name, value in asdict(served).items() if value != lies[name]}
        if different:
            self.answer(HTTPStatus.CONFLICT, {"error": "what is served is not what lies on the disk", **different})
        else:
            self.answer(HTTPStatus.OK, asdict(served) | {"generation": self.server.generation})

    def do_POST(self) -> None:  # the name that http.server calls
        """Answer /reload."""
        given = self.headers.get("X-Reload-Token", "")
        if self.path != "/reload":
            self.answer(HTTPStatus.NOT_FOUND, {"error": f"there is no {self.path}"})
        elif not hmac.compare_digest(given.encode(), self.server.token.encode()):
            self.answer(HTTPStatus.UNAUTHORIZED, {"error": "a reload needs the right X-Reload-Token"})
        else:
            try:
                self.server.reload()
            except RefusedError as error:
                self.answer(HTTPStatus.UNPROCESSABLE_ENTITY, {"error": str(error)})
            else:
                self.answer(HTTPStatus.OK, asdict(self.server.state) | {"generation": self.server.generation})

    def answer(self, status: HTTPStatus, body: dict[str, object]) -> None:
        """Send the status with a JSON body."""
        content = json.dumps(body).encode() + b"\n"
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class names it so
        """Write nothing: who asked for what is in the record of the run."""


def wait_for_eof(server: UserServer) -> None:
    """Shut the server down as soon as standard input ends."""
    # Not sys.stdin.buffer: its lock, held by a daemon thread, would spoil the exit.
    while os.read(sys.stdin.fileno(), 1024):
        pass
    server.shutdown()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run as a program."""
    parser = argparse.ArgumentParser(description="Serve the users that the configuration and its database describe.")
    parser.add_argument("config", type=Path, help="the configuration file, such as app.ini")
    parser.add_argument("--until-eof", action="store_true", help="end when standard input ends")
    options = parser.parse_args(arguments)
    token = os.environ.get("RELOAD_TOKEN", "")
    if not token:
        print("server: set RELOAD_TOKEN to the token that a reload must bring", file=sys.stderr)
        return 2
    try:
        server = UserServer(options.config, token)
    except RefusedError as error:
        print(f"server: {error}", file=sys.stderr)
        return 1
    with server:
        if options.until_eof:
            threading.Thread(target=wait_for_eof, args=(server,), daemon=True).start()
        try:
            print(f"listening on {server.url}", flush=True)
            server.serve_forever(poll_interval=0.05)
        except KeyboardInterrupt:
            pass  # Ctrl-C is the usual way to end it, no error
    return 0


if __name__ == "__main__":
    sys.exit(main())
