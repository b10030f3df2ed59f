"""What of the host's mounts cannot be reached from a sandbox, and what of them is taken over, as root and as nobody.

They are made in a mount namespace of the test's program; the host's ends of pipes and sockets are held by it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests import ordinary, overlays

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = hasattr(os, "geteuid") and os.geteuid() == 0
pytestmark = [
    pytest.mark.skipif(not ROOT, reason="only root mounts what the host would have"),
    pytest.mark.skipif(bool(overlays.why_not(root=True)), reason=overlays.why_not(root=True)),
]
USERS = [
    pytest.param(False, id="root"),
    pytest.param(True, id="nobody", marks=pytest.mark.skipif(bool(ordinary.why_not()), reason=ordinary.why_not())),
]
RUN = """
import json, os, select, socket, sys
from pathlib import Path
from hearth.observe._layer import read_layer
from hearth.observe._sandbox import Layout, SandboxServer
folder, state, scripts, hidden = Path(sys.argv[1]), Path(sys.argv[2]), *map(json.loads, sys.argv[3:5])
pipes = [os.open(path, os.O_RDONLY | os.O_NONBLOCK) for path in folder.glob("host-*/fifo")]
listeners = []
for path in folder.glob("host-*"):
    listeners.append(socket.socket(socket.AF_UNIX))
    listeners[-1].bind(f"{path}/socket")
    listeners[-1].listen()
told = []
with SandboxServer() as server:
    for number, script in enumerate(scripts):
        reading, writing = os.pipe()
        null = os.open(os.devnull, os.O_RDONLY)
        request = {"argv": [sys.executable, "-I", "-c", script], "cwd": str(folder), "env": {}, "targets": [0, 1, 2]}
        process = server.start(
            Layout(
                state=state, layer=str(number), below=tuple(map(str, range(number))), hidden=tuple(map(Path, hidden))
            ),
            "hearth.observe._command:run_command",
            json.dumps(request).encode(),
            descriptors=[null, writing, writing],
        )
        os.close(writing)
        written = os.fdopen(reading).read()
        end = process.wait(30)
        read = read_layer(state, str(number), tuple(map(str, range(number)))) if not end.problem else None
        told.append({
            "problem": end.problem, "written": written, "readonly": dict(end.readonly), "failed": dict(end.failed),
            "changes": [] if read is None else [[str(one.kind), one.path] for one in read.changes],
            "unseen": [] if read is None else [*read.unseen],
        })
came = [len(os.read(pipe, 100)) for pipe in pipes] + [len(select.select([one], [], [], 0)[0]) for one in listeners]
print(json.dumps([told, came]))
"""
REACH = """
import os, socket
for path in PATHS:
    try:
        if path.endswith("fifo"):
            os.write(os.open(path, os.O_WRONLY | os.O_NONBLOCK), b"from the sandbox")
        else:
            socket.socket(socket.AF_UNIX).connect(path)
        print(path, "was reached")
    except OSError as error:
        print(path, "was not reached:", error.strerror)
"""

ENDS = ("fifo", "socket")
SHOW = """
import errno, json, os, socket, sys
from hearth.observe import _linux as linux
from hearth.observe._mounts_overlay import Overlays
folder, state = sys.argv[1:]
reader = os.open(f"{folder}/shown/fifo", os.O_RDONLY | os.O_NONBLOCK)
listener = socket.socket(socket.AF_UNIX)
listener.bind(f"{folder}/shown/socket")
listener.listen()
beside = os.open(f"{folder}/shown/fifo", os.O_WRONLY | os.O_NONBLOCK)
linux.unshare(linux.CLONE_NEWNS | (linux.CLONE_NEWUSER if os.geteuid() else 0))
Overlays(state=state, layer="0", below=(), root=os.geteuid() == 0).show(f"{folder}/shown", f"{folder}/target")
failed = []
for work in (
    lambda: os.open(f"{folder}/target/fifo", os.O_WRONLY | os.O_NONBLOCK),
    lambda: os.open(f"{folder}/target/file", os.O_WRONLY),
    lambda: socket.socket(socket.AF_UNIX).connect(f"{folder}/target/socket"),
):
    try:
        work()
    except OSError as error:
        failed.append(errno.errorcode[error.errno])
os.write(beside, b"beside")
print(json.dumps([sorted(os.listdir(f"{folder}/target")), failed, os.read(reader, 100).decode()]))
"""
LATER = """
import json, os, subprocess, sys
from pathlib import Path
from hearth.execution._step_sandbox import StepSandbox
from hearth.observe import SandboxRoom
folder = Path(sys.argv[1])
request = {"argv": ["true"], "cwd": "/", "env": {"PATH": os.environ["PATH"]}, "targets": [0, 1, 2]}
told = []
with SandboxRoom(folder / "state", stacked=True) as room:
    for number in range(3):
        sandbox = StepSandbox(room, room.layout(str(number)))
        null = os.open(os.devnull, os.O_RDWR)
        work = "hearth.observe._command:run_command", json.dumps(request).encode()
        sandbox.ends.append(room.server.start(sandbox.layout, *work, descriptors=[null] * 3).wait(30))
        room.read(sandbox.layout)
        told.append(sandbox.finish())
        if number == 1:
            subprocess.run(["mount", "--bind", folder / "a", folder / "b"], check=True)
print(json.dumps(told))
"""


@contextmanager
def folders() -> Iterator[tuple[Path, Path]]:
    """Make a folder to mount in, and one for the layers that no disk is below."""
    with (
        tempfile.TemporaryDirectory(prefix="reach-", dir="/var/tmp", ignore_cleanup_errors=True) as name,
        tempfile.TemporaryDirectory(prefix="reach-", dir="/dev/shm", ignore_cleanup_errors=True) as layers,
    ):
        for one in (name, layers):
            os.chown(one, ordinary.NOBODY, ordinary.NOBODY)
        yield Path(name).resolve(), Path(layers)
        subprocess.run(["rm", "-rf", *Path(layers).iterdir()], check=True)


def run(
    folder: Path, layers: Path, mounts: str, *scripts: str, nobody: bool, hidden: tuple[str, ...] = ()
) -> tuple[list[dict[str, Any]], list[int]]:
    """Mount what a shell script mounts; return what became of each Python script, and what the host's ends received."""
    inner = [sys.executable, "-c", RUN, str(folder), str(layers), json.dumps(scripts)]
    inner.append(json.dumps([f"{folder}/{name}" for name in hidden]))
    argv = [sys.executable, ordinary.__file__, *inner] if nobody else inner
    ended = subprocess.run(
        ["unshare", "-m", "sh", "-ec", f'cd "$1"\n{mounts}\nshift\nexec "$@"', "sh", str(folder), *argv],
        env={"PATH": os.environ["PATH"], "HOME": str(folder), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    told, came = json.loads(ended.stdout)
    return told, came


@pytest.mark.parametrize("nobody", USERS)
def test_pipes_and_sockets_of_the_host_are_not_reached(*, nobody: bool) -> None:
    """Where an overlay takes changes, where one takes none, and where one itself is mounted at another place."""
    mounts = """
    mkdir host-disk host-huge host-plain over
    mount -t tmpfs none host-disk
    mount -t hugetlbfs none host-huge
    for one in host-*; do mkfifo -m 666 $one/fifo; chmod 777 $one; done
    touch over/fifo
    mount --bind host-plain/fifo over/fifo
    """
    with folders() as (folder, layers):
        paths = [f"{folder}/{one}/{name}" for one in ("host-disk", "host-huge", "host-plain") for name in ENDS]
        paths.append(f"{folder}/over/fifo")
        (told,), came = run(folder, layers, mounts, REACH.replace("PATHS", repr(paths)), nobody=nobody)
    assert (told["problem"], told["unseen"]) == ("", [])
    # At the last one there is /dev/null, or, to an ordinary user, nothing: what it lies in is shown part by part.
    assert told["written"].count("was not reached") == len(paths) - (not nobody)
    assert list(told["failed"]) == [f"{folder}/host-huge"]
    assert told["failed"][f"{folder}/host-huge"].startswith("a file system of the kind hugetlbfs; ")
    assert told["failed"][f"{folder}/host-huge"].endswith("; it is hidden")
    why = told["readonly"].get(f"{folder}/over/fifo", "")
    assert why == ("" if nobody else "a pipe or a socket is mounted there: it is not the host's")
    assert came == [0] * 6


@pytest.mark.parametrize("nobody", USERS)
def test_what_is_only_shown_has_pipes_and_sockets_of_its_own(*, nobody: bool) -> None:
    """The host's reader gets what is written beside the overlay, and nothing by way of it."""
    with folders() as (folder, layers):
        for name in ("shown", "target"):
            (folder / name).mkdir()
        os.mkfifo(folder / "shown/fifo")
        (folder / "shown/file").write_text("as it is")
        for path in (folder / "shown", folder / "shown/fifo"):
            path.chmod(0o777)
        (layers / "0").mkdir()
        os.chown(layers / "0", ordinary.NOBODY, ordinary.NOBODY)
        argv = [sys.executable, "-c", SHOW, str(folder), str(layers)]
        ended = (
            ordinary.run_as_nobody(argv)
            if nobody
            else subprocess.run(argv, capture_output=True, text=True, check=False)
        )
    assert (ended.stderr, ended.returncode) == ("", 0)
    assert json.loads(ended.stdout) == [["fifo", "file", "socket"], ["ENXIO", "EROFS", "ECONNREFUSED"], "beside"]


@pytest.mark.parametrize("nobody", USERS)
def test_what_is_hidden_is_hidden_under_each_of_its_names(*, nobody: bool) -> None:
    mounts = """
    mkdir ledger ledger/inner alias part disk whole other
    echo secret > ledger/key; echo secret > ledger/inner/key
    touch file
    mount --bind ledger alias
    mount --bind ledger/inner part
    mount --bind ledger/key file
    mount -t tmpfs none disk
    mkdir disk/ledger; echo secret > disk/ledger/key; echo open > disk/open
    mount --bind disk whole
    mount -t tmpfs none other
    mkdir other/ledger; echo open > other/ledger/key
    chmod -R a+rX .
    """
    read = """
import os
for path in ("ledger", "alias", "part", "whole/ledger", "disk/ledger"):
    print(os.listdir(path))
print(repr(open("file").read()), open("whole/open").read(), open("other/ledger/key").read())
"""
    with folders() as (folder, layers):
        (told,), _ = run(folder, layers, mounts, read, nobody=nobody, hidden=("ledger", "disk/ledger"))
    assert told["written"].split("\n")[:5] == ["[]"] * 5
    assert told["written"].split()[5:] == ["''", "open", "open"]


@pytest.mark.parametrize("nobody", USERS)
def test_the_folder_of_a_mount_is_what_it_was(*, nobody: bool) -> None:
    """Its attributes and ACLs are there, too, and what an earlier step made of its mode."""
    mounts = """
    mkdir disk; mount -t tmpfs none disk; chmod 750 disk; chown 65534:65534 disk
    "$2" -c 'if True:
        import os, struct
        acl = struct.pack("<IHHIHHIHHI", 2, 1, 7, 2**32 - 1, 4, 5, 2**32 - 1, 32, 4, 2**32 - 1)
        os.setxattr("disk", "system.posix_acl_default", acl)
        os.setxattr("disk", "user.note", b"kept")
    '
    """
    look = """
import os
print(sorted(os.listxattr("disk")), oct(os.stat("disk").st_mode & 0o7777))
os.umask(0)
open("disk/made%s", "x").close()
print(oct(os.stat("disk/made%s").st_mode & 0o7777))
"""
    scripts = [look % (0, 0), "import os; os.chmod('disk', 0o710); os.removexattr('disk', 'user.note')", look % (2, 2)]
    with folders() as (folder, layers):
        told, _ = run(folder, layers, mounts, *scripts, nobody=nobody)
    disk = f"{folder}/disk"
    assert told[0]["written"].splitlines() == ["['system.posix_acl_default', 'user.note'] 0o750", "0o644"]
    assert told[2]["written"].splitlines() == ["['system.posix_acl_default'] 0o710", "0o644"]
    assert [one["changes"] for one in told] == [
        [["created", f"{disk}/made0"]], [["metadata", disk]], [["created", f"{disk}/made2"]],
    ]  # fmt: skip


@pytest.mark.parametrize("nobody", USERS)
def test_a_list_for_access_that_names_others_is_no_change(*, nobody: bool) -> None:
    """An ordinary user's sandbox has no number for them."""
    mounts = """
    mkdir disk; mount -t tmpfs none disk; chown 65534:65534 disk
    "$2" -c 'if True:
        import os, struct
        entries = (1, 7, 2**32 - 1), (2, 5, 4321), (4, 5, 2**32 - 1), (16, 5, 2**32 - 1), (32, 4, 2**32 - 1)
        acl = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *one) for one in entries)
        os.setxattr("disk", "system.posix_acl_access", acl)
    '
    """
    with folders() as (folder, layers):
        (told,), _ = run(folder, layers, mounts, "open('disk/made', 'x')", nobody=nobody)
    assert told["changes"] == [["created", f"{folder}/disk/made"]]


def test_what_takes_changes_no_longer_is_said() -> None:
    """Something was mounted while a preview ran: a later step finds that instead of what an earlier one made."""
    with folders() as (folder, _):
        for name in ("a", "b"):
            (folder / name).touch()
        argv = ["unshare", "-m", sys.executable, "-c", LATER, str(folder)]
        ended = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert (ended.stderr, ended.returncode) == ("", 0)
    first, second, (third,) = json.loads(ended.stdout)
    assert (first, second) == ([], [])
    assert third.startswith(f"{folder}/b took no changes in the sandbox, unlike those before: a file is mounted there")
