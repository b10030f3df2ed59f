"""Ways out of a sandbox: each is closed or seen, as root and as an ordinary user, and the host is as it was."""

from __future__ import annotations

import json
import os
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from hearth.observe._tree import tree_digest
from tests import ordinary, overlays
from tests.fault import _escapes

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = hasattr(os, "geteuid") and os.geteuid() == 0
REASON = overlays.why_not(root=ROOT)
pytestmark = pytest.mark.skipif(bool(REASON), reason=REASON)
_SETTINGS = ("/proc/sys/vm/swappiness", "/proc/sys/kernel/core_pattern", "/proc/sys/kernel/hostname")


class Host:
    """What of this host could be reached: a folder, a process, sockets, a fifo, a secret; and how it all was."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.canary = folder / "canary"
        self.canary.mkdir()
        (self.canary / "a").write_text("a")
        os.mkfifo(self.canary / "fifo")
        (folder / "hidden").mkdir()
        (folder / "hidden" / "secret").write_text("secret")
        (folder / "hidden-file").write_text("secret")
        self.process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"])
        self.fifo = os.open(self.canary / "fifo", os.O_RDONLY | os.O_NONBLOCK)
        self.abstract = f"hearth-escape-{uuid.uuid4()}"
        self.sockets = [socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX), socket.socket()]
        self.sockets[0].bind("\0" + self.abstract)
        self.sockets[1].bind(str(self.canary / "socket"))
        self.sockets[2].bind(("127.0.0.1", 0))
        for one in self.sockets:
            one.listen()
            one.setblocking(False)
        self.port = self.sockets[2].getsockname()[1]
        if ROOT:
            subprocess.run(["chown", "-R", f"{ordinary.NOBODY}:{ordinary.NOBODY}", str(folder)], check=True)
        self.given = {
            "canary": str(self.canary),
            "hidden": str(folder / "hidden"),
            "state": str(folder / "state"),
            "process": self.process.pid,
            "abstract": self.abstract,
            "port": self.port,
        }
        (folder / "given.json").write_text(json.dumps(self.given))
        self.before = self.look()

    def look(self) -> dict[str, Any]:
        """Return what must not change."""
        null = Path("/dev/null").stat()
        mounts = Path("/proc/self/mountinfo").read_text().splitlines()
        return {
            "tree": tree_digest(self.canary),
            "settings": [Path(name).read_bytes() for name in _SETTINGS],
            "clock": round(time.time() - time.monotonic(), 1),
            "null": (stat.S_IMODE(null.st_mode), null.st_uid, null.st_gid),
            "process": self.process.poll(),
            "traced": "TracerPid:\t0" in Path(f"/proc/{self.process.pid}/status").read_text(),
            "mounts": [line for line in mounts if str(self.folder) in line],
            "name": socket.gethostname(),
        }

    def visited(self) -> list[str]:
        """Return which of the sockets somebody has come to."""
        found = []
        for one in self.sockets:
            try:
                visitor, _ = one.accept()
            except BlockingIOError:
                continue
            visitor.close()
            found.append(str(one.getsockname()))
        return found

    def close(self) -> None:
        """End it all."""
        self.process.kill()
        self.process.wait()
        os.close(self.fifo)
        for one in self.sockets:
            one.close()


@pytest.fixture
def host() -> Iterator[Host]:
    folder = Path(tempfile.mkdtemp(prefix="escape-"))
    folder.chmod(0o755)
    one = Host(folder)
    try:
        yield one
    finally:
        one.close()
        shutil.rmtree(folder, ignore_errors=True)


def check(host: Host, told: dict[str, Any]) -> None:
    """Every way was closed, the host is as it was, and what was tried of it was seen."""
    assert (told["problem"], told["code"]) == ("", 0)
    assert {name: end for name, end in told["ways"].items() if not end.startswith("closed: ")} == {}
    assert sorted(told["ways"]) == sorted(_escapes.WAYS)
    assert told["left"] == [f"{_escapes.DAEMON} -c import time; time.sleep(60)"]
    assert told["typed"] == ""
    assert set(told["connections"]) == {
        f"unix @{host.abstract}",
        f"unix {host.canary}/socket",
        f"tcp 127.0.0.1:{host.port}",
    }
    assert host.visited() == []
    assert host.look() == host.before
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            assert not process.read_bytes().startswith(_escapes.DAEMON.encode())
        except (FileNotFoundError, ProcessLookupError):
            continue


def test_no_way_leads_out(host: Host) -> None:
    check(host, json.loads(json.dumps(_escapes.run_in_sandbox(host.folder))))


@pytest.mark.skipif(bool(ordinary.why_not()), reason=ordinary.why_not())
def test_no_way_leads_out_for_an_ordinary_user(host: Host, repository: Path) -> None:
    ended = ordinary.run_as_nobody(
        [sys.executable, _escapes.__file__, "host", str(host.folder)], PYTHONPATH=str(repository / "src")
    )
    assert ended.returncode == 0, ended.stderr
    check(host, json.loads(ended.stdout))


def test_the_tries_are_real(host: Host) -> None:
    """Outside of a sandbox, what is harmless of it works."""
    Path(host.given["state"]).mkdir()
    given = {**host.given, "ways": list(_escapes.OPEN_OUTSIDE)}
    assert _escapes.tried(given) == dict.fromkeys(_escapes.OPEN_OUTSIDE, "open")
    assert len(host.visited()) == 3
