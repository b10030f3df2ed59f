"""Sandboxes above many earlier steps, and what a step leaves that no layer holds: told, or not begun."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hearth.observe._layer import read_layer
from hearth.observe._sandbox import Layout, SandboxServer
from tests import ordinary, overlays
from tests.unit.observe.test_sandbox import run, run_as_nobody

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = hasattr(os, "geteuid") and os.geteuid() == 0
REASON = overlays.why_not(root=ROOT)
pytestmark = pytest.mark.skipif(bool(REASON), reason=REASON)
FLAGGED = (("folder", "new", "old"), "dAd")


@pytest.fixture(scope="module")
def server() -> Iterator[SandboxServer]:
    with SandboxServer(preload=["hearth.observe._command"]) as one:
        yield one


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(state=tmp_path / "state", layer="0")


def stacked(layout: Layout, number: int) -> Layout:
    """Make so many layers, each of which has a file at the first mount point; return the layout of the next one."""
    (layout.state / "0/mounts.json").rename(layout.state / "mounts.json")
    mounts = json.loads((layout.state / "mounts.json").read_bytes())["mounts"]
    key = min(mounts, key=lambda key: len(mounts[key]))
    below = tuple(f"earlier-step-{one}" for one in range(number))
    for layer in below:
        (layout.state / layer / key / "up").mkdir(parents=True)
        (layout.state / layer / key / "up" / layer).touch()
    return Layout(state=layout.state, layer="next", below=below)


def test_hundreds_of_earlier_steps_are_seen(server: SandboxServer) -> None:
    """Their names are no part of the options, which have 4096 bytes."""
    with tempfile.TemporaryDirectory(dir="/dev/shm", ignore_cleanup_errors=True) as folder:
        layout = Layout(state=Path(folder, "state"), layer="0")
        run(server, layout, "true", cwd=Path("/"))
        above = stacked(layout, 400)
        point = min(json.loads((layout.state / "mounts.json").read_bytes())["mounts"].values(), key=len)
        script = "ls -d earlier-step-* | wc -l; echo new > earlier-step-7"
        end, written = run(server, above, script, cwd=Path(point))
    assert (end.problem, end.code, written) == ("", 0, "400\n")


def test_what_cannot_be_set_up_says_so_and_runs_nothing(server: SandboxServer, layout: Layout, tmp_path: Path) -> None:
    """More layers than overlayfs takes: without them the step would find what the host has."""
    run(server, layout, "true")
    end, written = run(server, stacked(layout, 500), "echo it ran; touch there")
    assert end.problem.startswith("mount overlay on")
    assert end.problem.endswith("overlayfs takes no more than 500 layers, and 500 earlier steps changed files")
    assert (end.code, written) == (-1, "")
    assert not (tmp_path / "there").exists()


def test_steps_that_changed_nothing_take_no_layer(server: SandboxServer, layout: Layout) -> None:
    run(server, layout, "true")
    below = ("0", *(f"empty-{one}" for one in range(600)))
    for layer in below[1:]:
        (layout.state / layer / "root/up").mkdir(parents=True)
    assert run(server, Layout(state=layout.state, layer="next", below=below), "echo it ran")[1] == "it ran\n"


FLAGS = """
import fcntl, os, struct
open("new", "x").close()
for name, flags in (("old", 0x40), ("new", 0x80), ("folder", 0x40), ("untouched", None)):
    descriptor = os.open(name, os.O_RDONLY)
    fcntl.ioctl(descriptor, 0x80086601, held := bytearray(8))
    if flags is not None:
        (now,) = struct.unpack_from("=I", held)
        fcntl.ioctl(descriptor, 0x40086602, struct.pack("=Q", now | flags))
"""


def test_flags_of_inodes_are_said(server: SandboxServer, layout: Layout, tmp_path: Path) -> None:
    """They show in no attribute, and would be gone after a commit."""
    (tmp_path / "folder").mkdir()
    for name in ("old", "untouched", "folder/beside"):
        (tmp_path / name).write_text("old")
    tried = f"{sys.executable} -I -c '{FLAGS}' 2>&1; echo more >> untouched; echo more >> folder/beside"
    _, written = run(server, layout, tried)
    if "Error" in written:
        pytest.skip(f"this file system has no flags: {written.splitlines()[-1]}")
    told = [f"{name} were changed, which is not kept: {letter}" for name, letter in zip(*FLAGGED, strict=True)]
    assert sorted(read_layer(layout.state, "0").unseen) == [f"the flags (chattr) of {tmp_path}/{one}" for one in told]


QUEUE = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
mq_open = getattr(libc, "mq_open", None) or ctypes.CDLL("librt.so.1", use_errno=True).mq_open
assert mq_open(b"/hearth-test", os.O_CREAT | os.O_RDWR, 0o600, None) >= 0, os.strerror(ctypes.get_errno())
"""


@pytest.mark.skipif(not Path("/proc/sys/fs/mqueue").exists(), reason="this kernel has no POSIX message queues")
def test_a_message_queue_of_its_own_that_is_left_is_said(server: SandboxServer, layout: Layout) -> None:
    end, written = run(server, layout, f"{sys.executable} -I -c '{QUEUE}' 2>&1")
    assert (end.code, written) == (0, "")
    assert end.unseen == ("POSIX message queues were left in the sandbox: hearth-test",)


def test_what_is_left_in_shared_memory_is_said(server: SandboxServer, layout: Layout) -> None:
    end, _ = run(server, layout, "echo x > /dev/shm/hearth-test")
    assert end.unseen == ("the sandbox has a /dev/shm of its own, and this was left in it: hearth-test",)
    assert not Path("/dev/shm/hearth-test").exists()


def test_shared_memory_that_is_closed_before_the_end_is_said(server: SandboxServer, layout: Layout) -> None:
    end, _ = run(server, layout, "echo x > /dev/shm/hearth-test; chmod 000 /dev/shm")
    told = "hearth-test" if ROOT else "it cannot be listed (Permission denied)"
    assert end.unseen == (f"the sandbox has a /dev/shm of its own, and this was left in it: {told}",)


@pytest.mark.skipif(bool(ordinary.why_not()), reason=ordinary.why_not())
def test_an_ordinary_user_is_told_as_much(repository: Path) -> None:
    run_as_nobody(repository, "-k", "not ordinary", file=__file__)
