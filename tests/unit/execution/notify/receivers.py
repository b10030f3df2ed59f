"""What notices are delivered to: a real HTTP server on a free loopback port, and small real commands."""

from __future__ import annotations

import json
import sys
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from hearth.security import Hook, Policy

if TYPE_CHECKING:
    from collections.abc import Iterator
    from io import BufferedIOBase
    from pathlib import Path


@dataclass
class Received:
    """One request as it came."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Receiver:
    """A server that keeps what it gets. `answer` is a status, `location` where a redirect leads."""

    url: str = ""
    answer: int = 204
    location: str = ""
    hang: threading.Event | None = None
    dribble: bool = False
    requests: list[Received] = field(default_factory=list)
    came: threading.Condition = field(default_factory=threading.Condition)

    def wait_for(self, count: int, seconds: float = 10.0) -> list[Received]:
        with self.came:
            assert self.came.wait_for(lambda: len(self.requests) >= count, seconds), self.requests
            return list(self.requests)


def _handler(kept: Receiver) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self._take()

        def do_GET(self) -> None:
            self._take()

        def _take(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            with kept.came:
                kept.requests.append(Received(self.path, dict(self.headers), body))
                kept.came.notify_all()
            if kept.hang is not None:
                kept.hang.wait(30)
            if kept.dribble:
                _dribble(self.wfile)
                return
            self.send_response(kept.answer)
            if kept.location:
                self.send_header("Location", kept.location)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return Handler


def _dribble(file: BufferedIOBase) -> None:
    """Never hold the line still for long, and never come to an end."""
    file.write(b"HTTP/1.1 200 OK\r\n")
    with suppress(OSError):
        while True:
            time.sleep(0.05)
            file.write(b"X-More: yes\r\n")


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_: object) -> None:
        """Say nothing: clients that go away are part of the tests."""


@contextmanager
def receiver(**options: Any) -> Iterator[Receiver]:
    """Serve on a free port of 127.0.0.1 while the block lasts."""
    kept = Receiver(**options)
    server = _Server(("127.0.0.1", 0), _handler(kept))
    kept.url = f"http://127.0.0.1:{server.server_address[1]}/hook/key-in-the-path?and=in-the-query"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield kept
    finally:
        if kept.hang is not None:
            kept.hang.set()
        server.shutdown()
        server.server_close()
        thread.join(5)


def script(folder: Path, text: str) -> tuple[str, ...]:
    """Return a command that runs this Python text; its arguments follow."""
    path = folder / f"hook{len(list(folder.glob('hook*.py')))}.py"
    path.write_text(text)
    return (sys.executable, "-I", "-S", str(path))


def keeping(folder: Path, *more: str) -> tuple[str, ...]:
    """Return a command that appends what it is told, with its arguments, to the file `told` as a line of JSON."""
    text = (
        "import json, os, sys\n"
        "line = json.dumps({'args': sys.argv[2:], 'told': json.load(sys.stdin), 'env': sorted(os.environ), "
        "'cwd': os.getcwd(), 'group': os.getpgid(0) == os.getpid()})\n"
        "f = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND | os.O_CREAT)\n"
        "os.write(f, line.encode() + b'\\n')\n"
    )
    return (*script(folder, text), str(folder / "told"), *more)


def told(folder: Path) -> list[Any]:
    path = folder / "told"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def policy(*hooks: Hook, folder: Path | None = None) -> Policy:
    source = "policy.yaml" if folder is None else str(folder / "policy.yaml")
    return Policy(hooks=hooks, source=source)


EVERY = ("start", "finish", "failure", "escalation", "restore", "recorder_failure", "request", "approval", "denial")


def command(*words: str, on: tuple[str, ...] = EVERY, timeout: float = 10.0) -> Hook:
    return Hook(on=on, command=words, timeout=timeout)


def webhook(url: str, *, secret: str = "", on: tuple[str, ...] = EVERY, timeout: float = 10.0) -> Hook:
    return Hook(on=on, url=url, secret=secret, timeout=timeout)
