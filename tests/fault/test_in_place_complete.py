"""Completeness: what is observed of a program on the host is the difference of full scans before and after it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from typing import TYPE_CHECKING

import pytest

from hearth.observe import HostObserver, compare, host_observer_why_not, scan
from tests import ordinary
from tests.fault._programs import PROGRAMS, Program, plant

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from hearth.observe import Observed

ROOT = hasattr(os, "geteuid") and os.geteuid() == 0
REASON = host_observer_why_not()
pytestmark = pytest.mark.skipif(bool(REASON), reason=REASON)
# What may be told in another way than exactly, and with what reason.
DEEP = "it changed files whose paths are longer than 4,096 bytes: they were looked at in new folders alone"
SAID = {"deep": (DEEP,)}


def environment(tree: Path) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": str(tree), "TMPDIR": str(tree), "LC_ALL": "C.UTF-8"}


def run_observed(script: str, tree: Path, *, search: Sequence[str] = ()) -> tuple[int, bytes, Observed]:
    """Run a script, wait for all that it left behind (they hold its output), and return what was observed."""
    observer = HostObserver(search=(*search, str(tree)), yielding=True)
    try:
        argv, number = observer.launch()
        process = subprocess.Popen(
            argv, cwd=tree, env={}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, pass_fds=(number,)
        )
        observer.begin(process.pid, ["sh", "-ec", script], environment(tree), supervised=False)
        assert observer.why_not == ""
        _, errors = process.communicate(timeout=60)
        return process.returncode, errors, observer.finish()
    finally:
        observer.close()


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.name)
def test_what_is_observed_is_what_was_changed(program: Program, tmp_path: Path) -> None:
    lacking = [name for name in program.needs if shutil.which(name) is None]
    if lacking:
        pytest.skip(f"there is no {', '.join(lacking)}")
    if program.root and not ROOT:
        pytest.skip("only root may do this")
    tree = tmp_path / "tree"
    tree.mkdir()
    plant(tree)
    before = scan(tree)
    code, errors, observed = run_observed(program.script, tree)
    assert (code, errors) == (program.code, b"")
    after = scan(tree)
    assert observed.changes == compare(before, after)
    assert observed.unseen == SAID.get(program.name, ())
    assert (observed.connections, observed.actions) == ((), ())
    assert observed.programs


@pytest.mark.skipif(bool(ordinary.why_not()), reason=ordinary.why_not())
def test_an_ordinary_user_is_told_as_much(repository: Path) -> None:
    """Without root, with new privileges given up, and with an observer that may read no more than the program."""
    wanted = [one for number, one in enumerate(PROGRAMS) if not one.root and not one.closed and number % 3 == 0]
    with tempfile.TemporaryDirectory(prefix="observed-") as folder:
        os.chown(folder, ordinary.NOBODY, ordinary.NOBODY)
        test = f"{__file__}::{test_what_is_observed_is_what_was_changed.__name__}"
        ids = [f"{test}[{program.name}]" for program in wanted]
        options = ["-q", "-n", "0", "-p", "no:cacheprovider", f"--basetemp={folder}/base", f"--rootdir={repository}"]
        ended = ordinary.run_as_nobody(
            [sys.executable, "-m", "pytest", *options, *ids], HOME=folder, TMPDIR=folder, PWD=str(repository)
        )
        subprocess.run(["rm", "-rf", f"{folder}/base"], check=True)  # deeper than Python's own removal goes
    assert ended.returncode == 0, ended.stdout[-3000:] + ended.stderr[-3000:]
    passed = int(ended.stdout.strip().splitlines()[-1].split()[0])
    lacking = sum(any(shutil.which(name) is None for name in program.needs) for program in wanted)
    assert passed == len(wanted) - lacking
