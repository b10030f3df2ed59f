"""`hearth witness` as its operator meets it."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import httpx
import pytest

from hearth.evidence import COSIGNATURE, NoteKey, add_checkpoint_body
from tests.e2e.command import hearth
from tests.witnesses import LOG_KEY, WITNESS, made_log

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KEY = NoteKey("w.example/1", WITNESS.public, COSIGNATURE)


@contextmanager
def running(folder: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    if not (folder / "w.pem").exists():
        WITNESS.save(folder / "w.pem")
    whole = ["--name", KEY.name, "--key", "w.pem", "--folder", "kept", "--listen", "127.0.0.1:0", *arguments]
    with subprocess.Popen(
        [sys.executable, "-m", "hearth", "witness", *whole],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=folder,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.skipif(os.name != "posix", reason="signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_says_who_it_is_what_it_answers_and_ends_cleanly(tmp_path: Path, number: signal.Signals) -> None:
    log = made_log(tmp_path / "log", 5)
    with running(tmp_path, "--log", str(LOG_KEY), "--prefix", "/a/") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == f"witness {KEY}\n"
        listens = re.fullmatch(
            r"listens at (http://127.0.0.1:\d+/a)/add-checkpoint for example.com/log\n", process.stdout.readline()
        )
        assert listens is not None
        with httpx.Client(trust_env=False) as client:
            url = f"{listens[1]}/add-checkpoint"
            assert client.get(f"{listens[1]}/").text == f"{KEY}\n"
            assert client.post(url, content=add_checkpoint_body(0, [], log.note())).status_code == 200
            assert client.post(url, content=add_checkpoint_body(0, [], log.note())).status_code == 409
            process.send_signal(number)
            out, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (0, "")
    lines = [line.split(" ", 1)[1] for line in out.splitlines()]
    assert lines == [
        "127.0.0.1 200 example.com/log 5 cosigned",
        "127.0.0.1 409 example.com/log 5 the latest checkpoint here has 5 entries",
    ]


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_lines_of_json_and_a_file_of_logs(tmp_path: Path) -> None:
    log = made_log(tmp_path / "log", 5)
    other = NoteKey("other.example", WITNESS.public)
    (tmp_path / "logs").write_text(f"# the logs\n\nlog {LOG_KEY} https://log.example\n {other}\n")
    with running(tmp_path, "--logs", "logs", "--json") as process:
        assert process.stdout is not None
        first = json.loads(process.stdout.readline())
        assert (first["witness"], first["logs"]) == (str(KEY), ["example.com/log", "other.example"])
        answer = httpx.post(first["listens"], content=add_checkpoint_body(0, [], log.note()), trust_env=False)
        assert answer.status_code == 200
        httpx.post(first["listens"], content=b"old 0\n\n\x1b[31m\n", trust_env=False)
        process.terminate()
        out, _ = process.communicate(timeout=20)
    told = [json.loads(line) for line in out.splitlines()]
    assert told[0].pop("at").endswith("Z")
    assert told[0] == {"client": "127.0.0.1", "status": 200, "origin": "example.com/log", "size": 5, "why": ""}
    assert (told[1]["status"], told[1]["origin"]) == (400, "")
    assert "\x1b" not in out


def test_what_is_wrong_is_said_before_it_listens(tmp_path: Path) -> None:
    WITNESS.save(tmp_path / "w.pem")
    base = ["witness", "--name", "w", "--key", str(tmp_path / "w.pem"), "--folder", str(tmp_path / "kept")]
    log = ["--log", str(LOG_KEY)]
    assert "a witness knows at least one log" in hearth(*base, code=2).stderr
    assert "is no verifier key" in hearth(*base, "--log", "x", code=2).stderr
    assert "is the key of a witness" in hearth(*base, "--log", str(KEY), code=2).stderr
    assert "No such file" in hearth(*base, "--logs", str(tmp_path / "none"), code=2).stderr
    (tmp_path / "logs").write_text(f"log {LOG_KEY}\nquorum none\n")
    assert "logs:2: 'quorum none' is neither" in hearth(*base, "--logs", str(tmp_path / "logs"), code=2).stderr
    for listen in ("127.0.0.1", "127.0.0.1:x", "127.0.0.1:65536", ":80", "127.0.0.1:"):
        assert "is not HOST:PORT" in hearth(*base, *log, "--listen", listen, code=2).stderr
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        assert "nobody can listen there" in hearth(*base, *log, "--listen", listen, code=2).stderr
    assert "is no prefix" in hearth(*base, *log, "--prefix", "a", "--listen", "127.0.0.1:0", code=2).stderr
    assert "is no name of a key" in hearth(*base, *log, "--name", "a b", code=2).stderr
    assert "there is no key" in hearth(*base, *log, "--key", str(tmp_path / "none.pem"), code=2).stderr


def test_without_the_extra_it_says_what_to_install(tmp_path: Path) -> None:
    WITNESS.save(tmp_path / "w.pem")
    arguments = ["witness", "--name", "w", "--key", "w.pem", "--log", str(LOG_KEY), "--folder", "kept"]
    without = "import sys\nsys.modules['uvicorn'] = None\nfrom hearth.cli import main\nmain()\n"
    done = subprocess.run(
        [sys.executable, "-c", without, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "needs the package uvicorn: pip install 'hearth-recorder[web]' brings it" in done.stderr
