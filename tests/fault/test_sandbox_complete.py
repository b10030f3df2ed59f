"""Completeness: what a layer tells of a small program is the difference of full scans before and after a bare run."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from hearth.observe._layer import layer_path, read_layer
from hearth.observe._tree import compare, scan, tree_digest
from tests import ordinary, overlays
from tests.fault._programs import PROGRAMS, Program, plant

ROOT = hasattr(os, "geteuid") and os.geteuid() == 0
REASON = overlays.why_not(root=ROOT)
pytestmark = pytest.mark.skipif(bool(REASON), reason=REASON)


def run(program: Program, tree: Path) -> tuple[int, bytes, bytes]:
    """Run a program, and wait for all that it left behind (they hold its output)."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(tree), "TMPDIR": str(tree), "LC_ALL": "C.UTF-8"}
    ended = subprocess.run(["sh", "-ec", program.script], cwd=tree, env=environment, capture_output=True, check=False)
    return ended.returncode, ended.stdout, ended.stderr


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.name)
def test_what_is_told_is_what_a_bare_run_changes(program: Program, tmp_path: Path) -> None:
    lacking = [name for name in program.needs if shutil.which(name) is None]
    if lacking:
        pytest.skip(f"there is no {', '.join(lacking)}")
    if program.root and not ROOT:
        pytest.skip("only root may do this")
    tree, state = tmp_path / "tree", tmp_path / "state"
    tree.mkdir()
    plant(tree)
    digest = tree_digest(tree)
    ended = overlays.run_over(tree, state, "0", lambda: run(program, tree), root=ROOT)
    assert (ended[0], ended[2]) == (program.code, b"")
    assert tree_digest(tree) == digest
    read = read_layer(state, "0", search=[str(tree)])

    before = scan(tree)
    assert run(program, tree) == ended
    after = scan(tree)
    if not ROOT and (program.linked or program.closed) and read.unseen:
        return  # it cannot all be told, and that is said
    assert read.changes == compare(before, after)
    assert read.unseen == ()
    for change in read.changes:
        held = layer_path(state, "0", change.path)
        assert (held is None) == (change.after is None)
        if held is not None and len(str(held)) < 4096:
            assert scan(held)[str(held)] == after[change.path]


@pytest.mark.skipif(bool(ordinary.why_not()), reason=ordinary.why_not())
def test_an_ordinary_user_is_told_as_much(repository: Path) -> None:
    """The same programs without root: one user namespace, one user, attributes of the user's own, no index."""
    with tempfile.TemporaryDirectory(prefix="complete-") as folder:
        Path(folder).chmod(0o777)
        options = ["-q", "-p", "no:cacheprovider", f"--basetemp={folder}/base", "-k", "bare_run", __file__]
        ended = ordinary.run_as_nobody(
            [sys.executable, "-m", "pytest", *options], HOME=folder, TMPDIR=folder, PWD=str(repository)
        )
        subprocess.run(["rm", "-rf", f"{folder}/base"], check=True)
    last = ended.stdout.strip().splitlines()[-1]
    assert ended.returncode == 0, ended.stdout[-3000:] + ended.stderr[-3000:]
    assert int(last.split()[0]) > 40, last
