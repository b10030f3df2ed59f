"""Completeness: what a layer tells of a small program is the difference of full scans before and after a bare run."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hearth.execution._store import ContentStore
from hearth.observe._change import ChangeKind
from hearth.observe._commit import commit
from hearth.observe._layer import layer_path, read_layer
from hearth.observe._sandbox import Layout, SandboxServer
from hearth.observe._tree import compare, scan
from tests import ordinary, overlays
from tests.fault._programs import PROGRAMS, Program, plant

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ROOT = hasattr(os, "geteuid") and os.geteuid() == 0
REASON = overlays.why_not(root=ROOT)
pytestmark = pytest.mark.skipif(bool(REASON), reason=REASON)
Ended = tuple[int, bytes, bytes]


@pytest.fixture(scope="module")
def server() -> Iterator[SandboxServer]:
    with SandboxServer(preload=["hearth.observe._command"]) as one:
        yield one


def environment(tree: Path) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": str(tree), "TMPDIR": str(tree), "LC_ALL": "C.UTF-8"}


def run_bare(program: Program, tree: Path) -> Ended:
    """Run a program, and wait for all that it left behind (they hold its output)."""
    argv = ["sh", "-ec", program.script]
    ended = subprocess.run(argv, cwd=tree, env=environment(tree), capture_output=True, check=False)
    return ended.returncode, ended.stdout, ended.stderr


def run_sandboxed(server: SandboxServer, program: Program, tree: Path, state: Path) -> Ended:
    """Run a program in a sandbox over the host, the layer of which is `0`."""
    state.mkdir(mode=0o700)
    request = {
        "argv": ["sh", "-ec", program.script],
        "cwd": str(tree),
        "env": environment(tree),
        "targets": [0, 1, 2],
    }
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err, Path(os.devnull).open("rb") as nothing:
        process = server.start(
            Layout(state=state, layer="0"),
            "hearth.observe._command:run_command",
            json.dumps(request).encode(),
            descriptors=[nothing.fileno(), out.fileno(), err.fileno()],
        )
        end = process.wait(60)
        assert (end.problem, end.left, dict(end.failed)) == ("", (), {})
        out.seek(0)
        err.seek(0)
        return end.code, out.read(), err.read()


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.name)
def test_what_is_told_is_what_a_bare_run_changes(program: Program, server: SandboxServer, tmp_path: Path) -> None:
    lacking = [name for name in program.needs if shutil.which(name) is None]
    if lacking:
        pytest.skip(f"there is no {', '.join(lacking)}")
    if program.root and not ROOT:
        pytest.skip("only root may do this")
    tree, state = tmp_path / "tree", tmp_path / "state"
    tree.mkdir()
    plant(tree)
    planted = scan(tree)
    ended = run_sandboxed(server, program, tree, state)
    assert (ended[0], ended[2]) == (program.code, b"")
    before = scan(tree)
    assert compare(planted, before) == ()
    read = read_layer(state, "0", search=[str(tree)])

    assert run_bare(program, tree) == ended
    after = scan(tree)
    if not ROOT and (program.linked or program.closed) and read.unseen:
        return  # it cannot all be told, and that is said
    assert read.changes == compare(before, after)  # so nothing else on this host was changed, either
    assert read.unseen == ()
    for change in read.changes:
        held = layer_path(state, "0", change.path)
        assert (held is None) == (change.after is None)
        if held is not None and len(str(held)) < 4096:
            assert scan(held)[str(held)] == after[change.path]


def names_of_files(tree: Path) -> list[list[str]]:
    """Return which names belong together, of files that have several."""
    found: dict[tuple[int, int], list[str]] = {}
    for where, _, files in os.walk(tree):
        for name in files:
            path = os.path.join(where, name)  # noqa: PTH118 - a text of any bytes
            status = os.lstat(path)
            found.setdefault((status.st_dev, status.st_ino), []).append(path)
    return sorted(sorted(names) for names in found.values() if len(names) > 1)


COMMITTED = ("write-linked", "mv-linked-and-write", "ln-over", "folder-to-file", "tar", "chmod", "dd-holes", "acl")


@pytest.mark.parametrize(
    "program",
    [pytest.param(one, marks=() if one.name in COMMITTED else pytest.mark.soak, id=one.name) for one in PROGRAMS],
)
def test_what_is_committed_is_what_a_bare_run_leaves(program: Program, server: SandboxServer, tmp_path: Path) -> None:
    if any(shutil.which(name) is None for name in program.needs) or (program.root and not ROOT):
        pytest.skip("this program cannot be run here")
    if not ROOT and (program.linked or program.closed):
        pytest.skip("without an index it cannot be told what becomes of files with several names")
    tree, state = tmp_path / "tree", tmp_path / "state"
    tree.mkdir()
    plant(tree)
    run_sandboxed(server, program, tree, state)
    read = read_layer(state, "0", search=[str(tree)])
    (tmp_path / "journals").mkdir()

    def content(path: str) -> Path:
        held = layer_path(state, "0", path)
        assert held is not None
        return held

    commit(
        read.changes,
        content=content,
        folder=tmp_path / "journals",
        name="commit",
        store=ContentStore(tmp_path / "store", durable=False),
        parted=read.parted,
        groups=read.groups,
    )
    committed, names = scan(tree), names_of_files(tree)
    subprocess.run(["rm", "-rf", str(tree)], check=True)
    tree.mkdir()
    plant(tree)
    run_bare(program, tree)
    # Two runs are never at one time.
    assert [one for one in compare(scan(tree), committed) if one.kind is not ChangeKind.TOUCHED] == []
    if program.name not in ("mv-folder", "folder-to-file-and-back"):  # mv copied what it could not rename
        assert names == names_of_files(tree)


def run_as_nobody(programs: Sequence[Program], repository: Path) -> None:
    """Run the test above as an ordinary user, for some of the programs."""
    wanted = [program for program in programs if not program.root]
    with tempfile.TemporaryDirectory(prefix="complete-") as folder:
        os.chown(folder, ordinary.NOBODY, ordinary.NOBODY)  # what is not one's own cannot be copied up
        test = f"{__file__}::{test_what_is_told_is_what_a_bare_run_changes.__name__}"
        ids = [f"{test}[{program.name}]" for program in wanted]
        options = ["-q", "-p", "no:cacheprovider", f"--basetemp={folder}/base", f"--rootdir={repository}"]
        ended = ordinary.run_as_nobody(
            [sys.executable, "-m", "pytest", *options, *ids], HOME=folder, TMPDIR=folder, PWD=str(repository)
        )
        subprocess.run(["rm", "-rf", f"{folder}/base"], check=True)  # deeper than Python's own removal goes
    assert ended.returncode == 0, ended.stdout[-3000:] + ended.stderr[-3000:]
    passed = int(ended.stdout.strip().splitlines()[-1].split()[0])
    lacking = sum(any(shutil.which(name) is None for name in program.needs) for program in wanted)
    assert passed == len(wanted) - lacking


@pytest.mark.skipif(bool(ordinary.why_not()), reason=ordinary.why_not())
def test_an_ordinary_user_is_told_as_much(repository: Path) -> None:
    """Without root: in a user namespace of one user, with attributes that a user may set, and no index."""
    run_as_nobody([one for number, one in enumerate(PROGRAMS) if one.linked or number % 8 == 0], repository)


@pytest.mark.soak
@pytest.mark.skipif(bool(ordinary.why_not()), reason=ordinary.why_not())
def test_an_ordinary_user_is_told_as_much_of_every_program(repository: Path) -> None:
    run_as_nobody(PROGRAMS, repository)
