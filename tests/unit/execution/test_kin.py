"""Whom a signal reaches: descendants, and nobody else."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hearth.execution import _kin
from hearth.execution._kin import end_family, family, look, process_ids, signal_family
from hearth.execution._strays import MARK, kill_marked, new_mark
from hearth.execution._supervised import can_supervise
from tests import strays

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.skipif(not can_supervise(), reason="/proc and descriptors of processes are Linux")


@pytest.fixture
def tree() -> Iterator[subprocess.Popen[bytes]]:
    """A shell with two children, the second of which has one too."""
    process = subprocess.Popen(
        ["sh", "-c", "sleep 30 & sh -c 'sleep 30 & echo ready; wait' & wait"], stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    yield process
    signal_family(process.pid, (signal.SIGKILL,))
    process.kill()
    process.communicate()


class TestLooking:
    def test_a_name_cannot_deceive(self, tmp_path: Path) -> None:
        program = tmp_path / ") Z 1 (x"
        program.symlink_to("/bin/sleep")
        process = subprocess.Popen([program, "30"])
        try:
            assert strays.wait_until(lambda: ") Z 1" in Path(f"/proc/{process.pid}/stat").read_text())
            seen = look(process.pid)
            assert seen is not None
            assert (seen.pid, seen.parent, seen.group, seen.alive) == (process.pid, os.getpid(), os.getpgrp(), True)
        finally:
            process.kill()
            process.wait()
        assert look(process.pid) is None

    def test_the_dead_are_told_from_the_living(self) -> None:
        process = subprocess.Popen(["true"])
        assert strays.wait_until(lambda: (seen := look(process.pid)) is not None and not seen.alive)
        process.wait()

    def test_without_proc_nobody_is_seen(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def missing(_: str) -> list[str]:
            raise FileNotFoundError

        monkeypatch.setattr(os, "listdir", missing)
        assert list(process_ids()) == []


class TestFamily:
    def test_parents_come_before_their_children(self, tree: subprocess.Popen[bytes]) -> None:
        found = family(tree.pid)
        assert len(found) == 3
        met = {tree.pid}
        for process in found:
            assert process.parent in met
            met.add(process.pid)

    def test_a_branch_may_be_left_out(self, tree: subprocess.Popen[bytes]) -> None:
        inner = next(process.parent for process in family(tree.pid) if process.parent != tree.pid)
        assert [process.parent for process in family(tree.pid, besides={inner})] == [tree.pid]

    def test_all_get_the_signal_but_the_root(self, tree: subprocess.Popen[bytes]) -> None:
        assert len(signal_family(tree.pid, (signal.SIGKILL,))) == 3
        assert strays.wait_until(lambda: not any(process.alive for process in family(tree.pid)))
        assert tree.wait(5) == 0  # it was not killed: its `wait` came to an end

    def test_all_are_ended_but_a_branch_that_is_left_out(self, tree: subprocess.Popen[bytes]) -> None:
        inner = next(process.parent for process in family(tree.pid) if process.parent != tree.pid)
        assert end_family(tree.pid, 10, besides={inner}) == []
        assert [process.pid for process in family(tree.pid) if process.alive and process.parent == tree.pid] == [inner]
        assert end_family(tree.pid, 10) == []
        assert not any(process.alive for process in family(tree.pid))

    def test_who_cannot_be_ended_is_named(self, tree: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
        with monkeypatch.context() as patched:
            patched.setattr(_kin, "signal_process", lambda *_: False)
            assert len(end_family(tree.pid, 0.05)) == 3

    def test_nobody_descends_from_who_is_gone(self) -> None:
        process = subprocess.Popen(["true"])
        process.wait()
        assert signal_family(process.pid, (signal.SIGKILL,)) == []

    def test_a_number_that_another_has_got_is_not_signalled(
        self, tree: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Between the look and the signal a process ends, and a stranger is born with its number."""
        stranger = subprocess.Popen(["sleep", "30"])
        try:
            seen = family(tree.pid)
            lie = look(stranger.pid)
            assert lie is not None
            lie.parent = tree.pid  # as the one had that ended
            monkeypatch.setattr(_kin, "family", lambda *_: [*seen, lie])
            signal_family(tree.pid, (signal.SIGKILL,))
            assert strays.wait_until(lambda: not any(process.alive for process in family(tree.pid)))
            assert stranger.poll() is None
        finally:
            stranger.kill()
            stranger.wait()

    def test_nor_is_the_child_of_a_stranger_with_a_known_parents_number(
        self, tree: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        real, first = look, next(process for process in family(tree.pid) if process.parent == tree.pid)

        asked: list[int] = []

        def reborn(pid: int) -> _kin.Process | None:
            seen = real(pid)
            if seen is not None and pid == tree.pid and asked:
                seen.start += 1
            asked.append(pid)
            return seen

        monkeypatch.setattr(_kin, "look", reborn)
        signal_family(tree.pid, (signal.SIGKILL,))
        monkeypatch.undo()
        seen = look(first.pid)
        assert seen is not None
        assert seen.alive


class TestTheLastResort:
    def orphan(self, mark: str, word: str, tmp_path: Path, kind: str = "daemon") -> None:
        subprocess.run(
            [*strays.script(tmp_path).split(), kind, word],
            env={"PATH": os.environ["PATH"], MARK: mark},
            check=True,
            stdout=subprocess.PIPE if kind == "silent" else subprocess.DEVNULL,
        )
        assert strays.wait_until(lambda: strays.living(word))

    def test_orphans_are_killed_with_all_that_descends_from_them(self, tmp_path: Path) -> None:
        mark, word = new_mark(), strays.new_mark()
        self.orphan(mark, word, tmp_path, "subreaper")
        assert strays.wait_until(lambda: len(strays.living(word)) == 2)
        try:
            assert kill_marked(mark, 5) == ()
            assert strays.living(word) == []
        finally:
            strays.end(word)

    def test_another_mark_is_anothers(self, tmp_path: Path) -> None:
        mark, word = new_mark(), strays.new_mark()
        self.orphan(mark, word, tmp_path)
        try:
            assert kill_marked(mark[:-1], 1) == ()
            assert kill_marked("x", 1) == ()
            assert len(strays.living(word)) == 1
        finally:
            strays.end(word)

    def test_who_was_started_by_another_with_the_same_environment_lives_on(self) -> None:
        """As a batch job is, for example, that a step has asked for."""
        mark = new_mark()
        code = (
            "import os, subprocess, sys\n"
            "child = subprocess.Popen(['sleep', '30'], env=dict(os.environ, HEARTH_STEP=sys.argv[1]))\n"
            "print('ready', flush=True); sys.stdin.read(); print(child.poll()); child.kill(); child.wait()\n"
        )
        with subprocess.Popen(
            [sys.executable, "-I", "-c", code, mark], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as other:
            assert other.stdout is not None
            assert other.stdout.readline() == "ready\n"
            thread = threading.Thread(target=lambda: kill_marked(mark, 1))
            thread.start()
            thread.join()
            assert other.communicate()[0] == "None\n"
