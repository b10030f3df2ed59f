"""Random trees, changed at random: a commit brings just that, an undo takes it back, and so does recovery."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hearth.execution._store import ContentStore
from hearth.observe._commit import commit, recover_commits, undo
from hearth.observe._tree import compare, scan, tree_digest
from tests.fault.test_commit_crash import crash_before

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="commits need Linux")

NAMES = st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=3).map("/".join)


Step = tuple[str, str, str, int]


def act(top: Path, steps: list[Step]) -> None:
    """Do what can be done of these steps."""
    for what, name, other, number in steps:
        with suppress(OSError):
            DEEDS[what](top / name, top / other, number)


def write(path: Path, content: bytes) -> None:
    if not path.is_fifo():  # that would wait for a reader
        path.write_bytes(content)


def remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def permit(path: Path, number: int) -> None:
    if not path.is_symlink():
        path.chmod(0o700 | number << 9 | number)


def give(path: Path, number: int) -> None:
    if os.geteuid() == 0:
        os.chown(path, number, number, follow_symlinks=False)


DEEDS: dict[str, Callable[[Path, Path, int], object]] = {
    "write": lambda path, _other, number: write(path, b"%d" % number * 1000 * number),
    "folder": lambda path, _other, _number: path.mkdir(),
    "link": lambda path, _other, number: path.symlink_to(f"to{number}"),
    "pipe": lambda path, _other, _number: os.mkfifo(path),
    "remove": lambda path, _other, _number: remove(path),
    "mode": lambda path, _other, number: permit(path, number),
    "time": lambda path, _other, number: os.utime(path, ns=(number, number), follow_symlinks=False),
    "attribute": lambda path, _other, number: os.setxattr(path, f"user.{number % 2}", b"%d" % number),
    "twin": lambda path, other, _number: other.hardlink_to(path),
    "rename": lambda path, other, _number: path.rename(other),
    "owner": lambda path, _other, number: give(path, number),
}
STEPS = st.lists(st.tuples(st.sampled_from(sorted(DEEDS)), NAMES, NAMES, st.integers(0, 7)), max_size=14)


@settings(max_examples=60)
@given(before=STEPS, later=STEPS, crash=st.integers(1, 60))
def test_a_random_change(before: list[Step], later: list[Step], crash: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        host, copy, journals = base / "host", base / "copy", base / "journals"
        host.mkdir()
        act(host, before)
        subprocess.run(["cp", "-a", host, copy], check=True)
        act(copy, later)
        store = ContentStore(base / "store", durable=False)

        def there(name: str) -> None:
            commit(
                changes,
                content=lambda path: Path(str(copy) + path[len(str(host)) :]),
                folder=journals,
                name=name,
                store=store,
                parted=parted,
            )

        def differences() -> object:
            found = {str(copy) + path[len(str(host)) :]: node for path, node in scan(host).items()}
            return compare(scan(copy), found)

        after = {str(host) + path[len(str(copy)) :]: node for path, node in scan(copy).items()}
        changes = compare(scan(host), after)
        parted = [change.path for change in changes]
        digest = tree_digest(host)
        crash_before(crash, lambda: there("cut"))
        for told in recover_commits(journals, store):
            assert not told.conflicts
            assert not told.left
        if (journals / "cut.jsonl").exists():
            assert not differences()
            undo(journals, "cut", store)
        assert tree_digest(host) == digest
        there("whole")
        assert not differences()
        undo(journals, "whole", store)
        assert tree_digest(host) == digest
