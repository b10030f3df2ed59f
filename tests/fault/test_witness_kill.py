"""kill -9 of a witness between looking, keeping and answering: it never cosigns two histories."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import httpx
import pytest

from hearth.evidence import Checkpoint, Note, NoteKey, add_checkpoint_body
from tests.witnesses import LOG_KEY, WITNESS, grown, made_log

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from hearth.evidence import TransparencyLog

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals")

# The service, and a place in what it does where the process is gone.
DYING = """
import os, signal, sys
from pathlib import Path
from hearth.cli import main
from hearth.evidence._log_files import LogFiles

point, armed = os.environ["POINT"], Path(os.environ["ARMED"])
write, replace = LogFiles.write, Path.replace

def die():
    os.kill(os.getpid(), signal.SIGKILL)

def dying_write(self, files):
    if armed.exists() and point == "before":
        die()
    write(self, files)
    if armed.exists() and point == "kept":
        die()

def dying_replace(self, target):
    if armed.exists() and point == "draft":
        die()
    replace(self, target)
    if armed.exists() and point == "renamed":
        die()

LogFiles.write, Path.replace = dying_write, dying_replace
main()
"""


@contextmanager
def witness_process(folder: Path, point: str = "") -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Run `hearth witness` in a process of its own; it is gone at the end."""
    key = folder / "witness.pem"
    if not key.exists():
        WITNESS.save(key)
    command = [sys.executable, "-c", DYING] if point else [sys.executable, "-m", "hearth"]
    arguments = ["witness", "--name", "w", "--key", str(key), "--log", str(LOG_KEY), "--folder", str(folder / "w")]
    process = subprocess.Popen(
        [*command, *arguments, "--listen", "127.0.0.1:0"],
        stdout=subprocess.PIPE,
        env={**os.environ, "POINT": point, "ARMED": str(folder / "armed"), "PYTHONUNBUFFERED": "1"},
        text=True,
    )
    try:
        assert process.stdout is not None
        process.stdout.readline()
        listens = re.search(r"http://127.0.0.1:\d+/add-checkpoint", process.stdout.readline())
        assert listens is not None
        yield listens[0], process
    finally:
        process.kill()
        process.communicate()


def ask(url: str, old: int, log: TransparencyLog) -> httpx.Response:
    proof = log.consistency(old) if old else []
    return httpx.post(url, content=add_checkpoint_body(old, proof, log.note()), trust_env=False, timeout=10)


@pytest.mark.parametrize("point", ["before", "draft", "renamed", "kept"])
def test_gone_at_any_point_it_knows_one_history(tmp_path: Path, point: str) -> None:
    one, other = made_log(tmp_path / "one", 5), made_log(tmp_path / "other", 5)
    grown(other, 6, b"another entry")
    with witness_process(tmp_path, point) as (url, process):
        assert ask(url, 0, one).status_code == 200
        grown(one, 6)
        (tmp_path / "armed").touch()
        with pytest.raises(httpx.HTTPError):
            ask(url, 5, one)
        assert process.wait(10) == -signal.SIGKILL
    with witness_process(tmp_path) as (url, _):
        first, second = ask(url, 5, other), ask(url, 5, one)
        answers = [first.status_code, second.status_code]
        if point in ("before", "draft"):
            assert answers == [200, 409], "nothing was kept, so nothing was cosigned"
            assert ask(url, 6, one).status_code == 409
        else:
            assert answers == [409, 409]
            assert first.content == b"6\n"
            assert ask(url, 6, other).status_code == 409
            assert ask(url, 6, one).status_code == 200
    (kept,) = (tmp_path / "w").glob("*/checkpoint")
    assert Note.parse(kept.read_bytes()).text == (other if point in ("before", "draft") else one).checkpoint().text()


def until(what: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not what() and time.monotonic() < end:
        time.sleep(0.01)


def hammered(folder: Path, rounds: int) -> None:
    """Two histories ask at once, again and again, while the witness is killed at moments of chance."""
    begin = made_log(folder / "one", 1), made_log(folder / "other", 1, b"other %d")
    cosigned: list[tuple[int, str]] = []
    chance = random.Random(rounds)  # noqa: S311 - moments, not secrets
    key = NoteKey("w", WITNESS.public, 4)

    def press(number: int, url: str) -> None:
        log, old = begin[number], 0
        with suppress(httpx.HTTPError):
            while True:
                size = log.checkpoint().size
                answer = ask(url, min(old, size), log)
                if answer.status_code == 200:
                    note = Note.parse(log.note() + answer.content)
                    assert note.verified_by([key]) == (key,)
                    cosigned.append((number, note.text))
                    old = size
                    grown(log, size + 1, b"%d" % number)
                elif answer.status_code == 409:
                    old = int(answer.content)
                    if old >= size:
                        grown(log, old + 1, b"%d" % number)

    for _ in range(rounds):
        with witness_process(folder) as (url, process):
            threads = [threading.Thread(target=press, args=(number, url)) for number in (0, 1)]
            for thread in threads:
                thread.start()
            time.sleep(chance.uniform(0.05, 0.4))
            until(lambda: bool(cosigned))  # a slow machine has the first round take longer
            process.kill()
            for thread in threads:
                thread.join(30)
                assert not thread.is_alive()
    assert cosigned
    assert len({number for number, _ in cosigned}) == 1, "one of the two histories alone was ever cosigned"
    sizes = [Checkpoint.parse(text).size for _, text in cosigned]
    assert sizes == sorted(set(sizes)), "and each size of it once, in order"
    (kept,) = (folder / "w").glob("*/checkpoint")
    assert Checkpoint.parse(Note.parse(kept.read_bytes()).text).size >= sizes[-1]


def test_killed_by_chance_it_cosigns_one_history(tmp_path: Path) -> None:
    hammered(tmp_path, 3)


@pytest.mark.soak
def test_killed_by_chance_many_times(tmp_path: Path) -> None:
    hammered(tmp_path, 60)
