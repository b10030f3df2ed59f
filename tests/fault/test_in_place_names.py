"""Whatever name a step on the host gives a file, what is told is the file's path on this host."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from hearth.observe import host_observer_why_not
from tests.fault.test_in_place_complete import run_observed

if TYPE_CHECKING:
    from pathlib import Path

    from hearth.observe import Observed

REASON = host_observer_why_not()
pytestmark = pytest.mark.skipif(bool(REASON), reason=REASON)
ROOT = hasattr(os, "geteuid") and os.geteuid() == 0
needs_root = pytest.mark.skipif(not ROOT, reason="only root may do this")
BEGIN = """
import ctypes, os, socket, subprocess, sys, threading
libc = ctypes.CDLL(None, use_errno=True)
def make(name, **more):
    os.close(os.open(name, os.O_CREAT | os.O_WRONLY | os.O_EXCL, **more))
"""


def run(tree: Path, code: str) -> Observed:
    """Run a Python program in a folder; return what was observed of it."""
    ended, errors, seen = run_observed(f"'{sys.executable}' -I -S - <<'END'\n{BEGIN}{code}\nEND", tree)
    assert (ended, errors) == (0, b"")
    return seen


def names(seen: Observed, tree: Path) -> list[str]:
    return [change.path.removeprefix(f"{tree}/") for change in seen.changes]


@pytest.mark.parametrize(
    "code",
    [
        "make('/proc/self/cwd/f')",
        "make('/proc/./self/cwd/f')",
        "make('//proc//self///cwd//f')",
        "make('/proc/../proc/self/cwd/../' + os.path.basename(os.getcwd()) + '/f')",
        "make('/proc/thread-self/cwd/f')",
        "make(f'/proc/self/task/{os.getpid()}/cwd/f')",
        "make('/proc/self/root' + os.getcwd() + '/f')",
        "make(f'/dev/fd/{os.open(\".\", os.O_RDONLY)}/f')",
        "make(f'/proc/self/fd/{os.open(\".\", os.O_PATH)}/./f')",
        "os.symlink('/proc/self/cwd', 'link'); make('link/f'); os.unlink('link')",
        "os.symlink('/proc/self/cwd/f', 'link'); open('link', 'w').close(); os.unlink('link')",
        "make('self/cwd/f', dir_fd=os.open('/proc', os.O_RDONLY))",
        "make('cwd/f', dir_fd=os.open('/proc/self', os.O_RDONLY))",
        "here = os.open('.', os.O_RDONLY); os.chdir('/proc/self/task'); make(f'../fd/{here}/f')",
        "here = os.open('.', os.O_RDONLY); os.chdir('/proc/self/fd'); make(f'{here}/f')",
        "make(f'/proc/{os.getppid()}/cwd/f')",
        "os.mkdir('f/') or os.rename('f/', 'g/') or os.rename('g', 'f')",
        "make('a/../f') if os.mkdir('a') is None else 0; os.rmdir('a')",
        "make(b'.' + b'/' * 3000 + b'.//f')",
    ],
)
def test_a_name_means_what_it_means_to_the_step(code: str, tmp_path: Path) -> None:
    seen = run(tmp_path, code)
    assert names(seen, tmp_path) == ["f"]
    assert (seen.actions, seen.unseen) == ((), ())


def test_each_thread_has_its_own_folder_and_its_own_part_of_proc(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    code = """
def work():
    assert libc.unshare(0x200) == 0  # CLONE_FS
    os.chdir("other")
    make("one")
    make("/proc/thread-self/cwd/two")
    make("/proc/self/cwd/three")
thread = threading.Thread(target=work)
thread.start()
thread.join()
"""
    seen = run(tmp_path, code)
    assert names(seen, tmp_path) == ["other/one", "other/two", "three"]
    assert seen.unseen == ()


def test_links_that_lead_nowhere_or_to_each_other_change_nothing(tmp_path: Path) -> None:
    code = """
os.symlink("b", "a")
os.symlink("a", "b")
for number in range(50):
    os.symlink(f"l{number + 1}", f"l{number}")
make("l50")
for name in ("a/x", "l0", "missing/../x", "l50/x", "/proc/self/fd/999", "/proc/self/no/x"):
    try:
        open(name, "a").close()
        raise SystemExit(name)
    except OSError:
        pass
open("l20", "a").write("x")
"""
    seen = run(tmp_path, code)
    assert set(names(seen, tmp_path)) == {"a", "b", *(f"l{number}" for number in range(51))}
    assert next(change for change in seen.changes if change.path.endswith("/l50")).after.size == 1  # type: ignore[union-attr]
    assert (seen.actions, seen.unseen) == ((), ())


@needs_root
def test_what_lies_outside_of_another_root_is_told_by_its_path(tmp_path: Path) -> None:
    tree, jail = tmp_path / "tree", tmp_path / "tree/jail"
    jail.mkdir(parents=True)
    (jail / "in").mkdir()
    code = """
outside = os.open(".", os.O_RDONLY)
os.chroot("jail")
os.fchdir(outside)
make("one")
make("two", dir_fd=outside)
os.mkdir("../three")
os.symlink("/in", "link")
make("link/four")
make("/in/../../five")
make("jail/in/../../six")  # no further than the root, from wherever one comes
"""
    seen = run(tree, code)
    assert names(seen, tmp_path) == [
        "three",
        *(f"tree/{name}" for name in ("jail/five", "jail/in/four", "jail/six", "link", "one", "two")),
    ]
    assert all(os.path.lexists(change.path) for change in seen.changes)
    assert seen.unseen == ()


@needs_root
def test_a_proc_that_is_mounted_elsewhere_is_known_by_its_file_system(tmp_path: Path) -> None:
    """In a mount namespace of this test's own: nothing of it is left."""
    if shutil.which("unshare") is None:
        pytest.skip("there is no unshare")
    test = f"""
import sys
sys.path[:0] = {sys.path!r}
from pathlib import Path
from tests.fault.test_in_place_names import run
seen = run(Path({str(tmp_path)!r}), '''
make("bound/self/cwd/one")
make("mounted/self/cwd/two")
open("bound/sys/kernel/hostname", "r+").close()
try:
    make("others/self/cwd/three")
except OSError:
    pass
''')
print([change.path for change in seen.changes], seen.actions, seen.unseen)
"""
    script = (
        "mkdir bound mounted others && mount --bind /proc bound && mount -t proc proc mounted"
        ' && unshare -pf mount -t proc proc others && exec "$0" -c "$1"'
    )
    ended = subprocess.run(
        ["unshare", "-m", "sh", "-ec", script, sys.executable, test],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == (
        f"{[f'{tmp_path}/one', f'{tmp_path}/two']} ('write {tmp_path}/bound/sys/kernel/hostname',)"
        ' ("it named files by a /proc of other processes than this host\'s: which ones was not observed",)\n'
    )


@needs_root
def test_what_no_path_leads_to_is_said(tmp_path: Path) -> None:
    """Below a mount, and in the mount namespace of another process."""
    (tmp_path / "below").mkdir()
    test = f"""
import sys
sys.path[:0] = {sys.path!r}
import os, subprocess
from pathlib import Path
from tests.fault.test_in_place_names import run
other = subprocess.Popen(["unshare", "-m", "sh", "-c", "mount -t tmpfs t below; echo; exec sleep 60"], stdout=-1)
other.stdout.readline()
try:
    theirs = run(Path({str(tmp_path)!r}), f'make("/proc/{{other.pid}}/root{tmp_path}/below/file")')
finally:
    other.kill()
ours = run(Path({str(tmp_path)!r}), '''
here = os.open("below", os.O_RDONLY)
assert libc.mount(b"t", b"below", b"tmpfs", 0, None) == 0
make("hidden", dir_fd=here)
os.unlink("hidden", dir_fd=here)
make("below/seen")
''')
for seen in (theirs, ours):
    print([change.path for change in seen.changes], seen.unseen)
"""
    ended = subprocess.run(
        ["unshare", "-m", sys.executable, "-c", test], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    said = ("it changed files that no path of this host leads to: which ones was not observed",)
    assert ended.stdout.splitlines() == [f"[] {said}", f"{[f'{tmp_path}/below/seen']} {said}"]


def test_a_service_and_a_program_are_found_by_names_through_proc(tmp_path: Path) -> None:
    import socket

    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "service"))
        listening.listen()
        code = """
socket.socket(socket.AF_UNIX).connect("/proc/self/cwd/service")
number = os.open("/bin/true", os.O_RDONLY)
os.dup2(number, 77)
if os.fork() == 0:
    os.execv("/proc/self/fd/77", ["by-descriptor"])
os.wait()
"""
        seen = run(tmp_path, code)
    assert seen.connections == (f"unix {tmp_path}/service",)
    assert "by-descriptor" in seen.programs
    assert seen.unseen == ()
