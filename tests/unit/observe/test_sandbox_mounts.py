"""What a sandbox finds mounted where the host has mounts; they are made in a mount namespace of the test's program."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests import ordinary, overlays

ROOT = hasattr(os, "geteuid") and os.geteuid() == 0
pytestmark = pytest.mark.skipif(not ROOT, reason="only root mounts what the host would have")
RUN = """
import json, os, sys
from pathlib import Path
from hearth.observe._layer import read_layer
from hearth.observe._sandbox import Layout, SandboxServer
folder, script = Path(sys.argv[1]), sys.argv[2]
state = Path(sys.argv[3])
reading, writing = os.pipe()
request = {"argv": ["sh", "-c", script], "cwd": str(folder), "env": {"PATH": os.environ["PATH"]}, "targets": [0, 1, 2]}
with SandboxServer() as server:
    null = os.open(os.devnull, os.O_RDONLY)
    process = server.start(
        Layout(state=state, layer="0"),
        "hearth.observe._command:run_command",
        json.dumps(request).encode(),
        descriptors=[null, writing, writing],
    )
    os.close(writing)
    written = os.fdopen(reading).read()
    end = process.wait(30)
changes = [change.path for change in read_layer(state, "0").changes] if not end.problem else []
print(json.dumps([end.code, end.problem, written, dict(end.readonly), dict(end.failed), changes]))
"""
MOUNT = """
set -e
cd "$1"
mkdir -p disk/inner plain ro covered
mount -t tmpfs none disk
mkdir disk/inner disk/beside
echo file > disk/file
mount -t tmpfs none disk/inner
echo a > disk/inner/a
mount -t tmpfs none covered
mkdir covered/below
mount -t tmpfs none covered/below
mount -t tmpfs none covered
touch plain/a plain/over
mount --bind plain/a plain/over
chown -R 65534:65534 .
mount -t tmpfs -o ro,uid=65534,gid=65534 none ro
shift
exec "$@"
"""


def run(folder: Path, script: str, *, nobody: bool) -> tuple[int, str, str, dict[str, str], dict[str, str], list[str]]:
    """Mount some file systems below a folder, and run a script in a sandbox there."""
    os.chown(folder, ordinary.NOBODY, ordinary.NOBODY)
    state = folder / "state"
    state.mkdir(mode=0o700)
    inner = [sys.executable, "-c", RUN, str(folder), script, str(state)]
    argv = [sys.executable, ordinary.__file__, *inner] if nobody else inner
    ended = subprocess.run(
        ["unshare", "-m", "sh", "-c", MOUNT, "sh", str(folder), *argv],
        env={"PATH": os.environ["PATH"], "HOME": str(folder), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    code, problem, written, readonly, failed, changes = json.loads(ended.stdout)
    return code, problem, written, readonly, failed, changes


@pytest.mark.skipif(bool(overlays.why_not(root=True)), reason=overlays.why_not(root=True))
def test_root_has_an_overlay_over_each_mount() -> None:
    """What the host's mount refuses is refused here, and what another mount covers is not missed."""
    with tempfile.TemporaryDirectory(prefix="mounts-") as name:
        folder = Path(name).resolve()
        script = (
            "echo b > disk/b; echo b > disk/inner/b; rm disk/inner/a; echo c > plain/c; touch ro/x; touch plain/over"
        )
        code, problem, written, readonly, failed, changes = run(folder, script, nobody=False)
        subprocess.run(["rm", "-rf", str(folder / "state")], check=True)
    assert (problem, failed) == ("", {})
    assert set(readonly) == {f"{folder}/plain/over"}
    assert written.count("Read-only file system") == 2
    assert code == 1
    assert changes == [f"{folder}/{path}" for path in ("disk/b", "disk/inner/a", "disk/inner/b", "plain/c")]


@pytest.mark.skipif(bool(ordinary.why_not()), reason=ordinary.why_not())
def test_an_ordinary_user_has_one_over_what_no_mount_lies_below() -> None:
    """A folder beside a mount point takes nothing new, but what lies in it can be changed as before."""
    with tempfile.TemporaryDirectory(prefix="mounts-", dir="/var/tmp") as name:
        folder = Path(name).resolve()
        script = "echo b > disk/inner/b; rm disk/inner/a; echo c > disk/beside/c; cat disk/file; touch disk/new ro/x"
        code, problem, written, readonly, failed, changes = run(folder, script, nobody=True)
        subprocess.run(["rm", "-rf", str(folder / "state")], check=True)
    assert (problem, failed) == ("", {})
    assert {"/var", "/var/tmp", str(folder), f"{folder}/disk", f"{folder}/disk/file"} <= set(readonly)
    assert written.startswith("file\n")
    assert written.count("Read-only file system") == 2
    assert code == 1
    assert changes == [f"{folder}/{path}" for path in ("disk/beside/c", "disk/inner/a", "disk/inner/b")]
