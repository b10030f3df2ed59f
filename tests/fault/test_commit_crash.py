"""A commit, its recovery and its undo are cut off before every call that changes something: nothing is left halfway."""

from __future__ import annotations

import importlib
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from hearth.execution._store import ContentStore
from hearth.observe._commit import CommitOutcome, commit, recover_commits, undo
from hearth.observe._tree import compare, scan

if TYPE_CHECKING:
    from collections.abc import Callable

    from hearth.observe._node import Node

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="commits need Linux")

_CRASHED = 77
_CALLS = (
    *("chmod", "chown", "fsync", "ftruncate", "link", "mkdir", "mkfifo", "mknod", "removexattr", "rename", "rmdir"),
    *("setxattr", "symlink", "unlink", "utime", "write"),
)


def crash_before(number: int, work: Callable[[], object]) -> bool:
    """Do the work in a process of its own that ends at once before its n-th changing call; whether it came so far."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            arm(number)
            work()
            code = 0
        finally:
            os._exit(code)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, _CRASHED)
    return status == _CRASHED


def arm(number: int) -> None:
    """Count the changing calls from now on, and end the process before the n-th; none is really synced, for speed."""
    count = 0

    def counted(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **more: Any) -> Any:
            nonlocal count
            count += 1
            if count == number:
                os._exit(_CRASHED)
            return function(*args, **more)

        return call

    for name in _CALLS:
        function = getattr(os, name)
        setattr(os, name, counted((lambda *_: None) if name == "fsync" else function))
    calls: Any = importlib.import_module("hearth.observe._commit_calls")
    calls._rename = counted(calls._rename)


class Scene:
    """A small host with everything on it, and a copy on which every kind of change was made."""

    def __init__(self, base: Path) -> None:
        self.host, self.copy, self.journals = base / "host", base / "copy", base / "journals"
        self.store = ContentStore(base / "store", durable=False)
        for name in ("changed", "gone", "file", "mode", "linked", "tree/a", "tree/b/c", "folder/inner"):
            path = self.host / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"old {name}")
            os.utime(path, ns=(1_000, 1_222_333_444))
        os.link(self.host / "linked", self.host / "other")
        (self.host / "link").symlink_to("file")
        os.setxattr(self.host / "mode", "user.a", b"1")
        shutil.copytree(self.host, self.copy, symlinks=True)
        (self.copy / "other").unlink()
        os.link(self.copy / "linked", self.copy / "other")
        self.act()
        after = {str(self.host) + path[len(str(self.copy)) :]: node for path, node in scan(self.copy).items()}
        self.changes = compare(scan(self.host), after)

    def act(self) -> None:
        copy = self.copy
        (copy / "changed").write_text("new")
        (copy / "gone").unlink()
        (copy / "linked").write_text("written through one of two names")
        os.setxattr(copy / "mode", "user.a", b"2")
        (copy / "mode").chmod(0o4711)
        shutil.rmtree(copy / "tree")
        shutil.rmtree(copy / "folder")
        (copy / "folder").write_text("a file")
        (copy / "file").unlink()
        (copy / "file/deep").mkdir(parents=True)
        (copy / "file/deep/new").write_text("new")
        (copy / "file/deep").chmod(0o550)
        (copy / "link").unlink()
        (copy / "link").symlink_to("elsewhere")
        os.mkfifo(copy / "pipe")
        (copy / "made").mkdir(mode=0o750)
        (copy / "made/file").write_text("new")
        (copy / "made/twin").hardlink_to(copy / "made/file")

    def state(self) -> dict[str, tuple[Node, int]]:
        """All nodes, with the times of folders too."""
        return {path: (node, os.lstat(path).st_mtime_ns) for path, node in scan(self.host).items()}

    def committed(self) -> bool:
        found = {str(self.copy) + path[len(str(self.host)) :]: node for path, node in scan(self.host).items()}
        return not compare(scan(self.copy), found)

    def commit(self, name: str) -> None:
        commit(
            self.changes,
            content=lambda path: Path(str(self.copy) + path[len(str(self.host)) :]),
            folder=self.journals,
            name=name,
            store=self.store,
        )

    def recover(self) -> list[CommitOutcome]:
        found = recover_commits(self.journals, self.store)
        assert not [one.conflicts for one in found if one.conflicts]
        assert not [one.left for one in found if one.left]
        assert recover_commits(self.journals, self.store) == []
        return [one.outcome for one in found]


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    monkeypatch.setattr(os, "fsync", lambda _descriptor: None)  # processes end here, not the machine
    return Scene(tmp_path)


def test_a_crash_before_every_call_of_a_commit(scene: Scene) -> None:
    before = scene.state()
    outcomes = set()
    number = 0
    while True:
        number += 1
        name = f"n{number}"
        crashed = crash_before(number, lambda name=name: scene.commit(name))  # type: ignore[misc]
        found = scene.recover()
        outcomes.update(found)
        if (scene.journals / f"{name}.jsonl").exists():  # it came to its end
            assert scene.committed()
            undo(scene.journals, name, scene.store)
            assert nodes(scene) == {path: node for path, (node, _) in before.items()}
            before = scene.state()
        else:
            assert scene.state() == before, number
        if not crashed:
            break
    assert number > 70
    assert outcomes == {CommitOutcome.REMOVED, CommitOutcome.UNDONE, CommitOutcome.FINISHED}


@pytest.mark.parametrize("stride", [4, pytest.param(1, marks=pytest.mark.soak)])
def test_a_crash_before_every_call_of_an_undo(scene: Scene, stride: int) -> None:
    before = nodes(scene)
    number = 1 - stride
    crashed = True
    while crashed:
        number += stride
        name = f"n{number}"
        scene.commit(name)
        crashed = crash_before(number, lambda name=name: undo(scene.journals, name, scene.store))  # type: ignore[misc]
        scene.recover()
        if not (scene.journals / f"{name}.undo.jsonl").exists():  # it did not
            assert scene.committed(), number
            undo(scene.journals, name, scene.store)
        assert nodes(scene) == before, number
        (scene.journals / f"{name}.jsonl").unlink()
        (scene.journals / f"{name}.undo.jsonl").unlink()
    assert number > 70


@pytest.mark.parametrize("places", [(60,), pytest.param((25, 40, 50, 68, 70, 72, 74), marks=pytest.mark.soak)])
def test_a_crash_before_every_call_of_a_recovery(scene: Scene, places: tuple[int, ...]) -> None:
    """Of commits that were cut off at several places: each recovery that is cut off is recovered by the next."""
    before = scene.state()
    total = 0
    for number in places:
        inner = 0
        again = True
        while again:
            inner += 1
            assert crash_before(number, lambda: scene.commit("one"))
            again = crash_before(inner, lambda: recover_commits(scene.journals, scene.store))
            scene.recover()
            if (scene.journals / "one.jsonl").exists():
                assert scene.committed()
                undo(scene.journals, "one", scene.store)
                shutil.rmtree(scene.journals)
                before = scene.state()
            else:
                assert scene.state() == before, (number, inner)
        total += inner
    assert total > 10


def test_what_somebody_changed_after_the_crash_stays_and_is_named(scene: Scene) -> None:
    """At every place of the crash, each path in turn: it is as it was, or it is named and stays as it is."""
    before = nodes(scene)
    wanted = ("changed", "mode", "linked", "pipe", "folder", "link", "file/deep/new")
    named = set()
    for number in range(30, 76, 5):
        for name in wanted:
            assert crash_before(number, lambda: scene.commit("one"))
            path = scene.host / name
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
            if not path.parent.is_dir():
                scene.recover()
                continue
            path.write_text("somebody else's")
            found = recover_commits(scene.journals, scene.store)
            assert path.read_text() == "somebody else's" or nodes(scene)[str(path)] == before.get(str(path))
            again = recover_commits(scene.journals, scene.store)
            conflicts = [one for told in found for one in told.conflicts]
            assert [one for told in again for one in told.conflicts] == conflicts
            for one in conflicts:
                assert one.startswith(tuple(f"{here}: " for here in (path, *path.parents)))
                named.add(name)
            after = nodes(scene)
            others = {
                one
                for one in {*before, *after}
                if before.get(one) != after.get(one) and ".hearth-" not in one and not one.startswith(f"{path}/")
            }
            assert not conflicts or others <= {*map(str, (path, *path.parents, scene.host / "other"))}
            rebuild(scene)
            before = nodes(scene)
    assert {"changed", "pipe", "file/deep/new"} <= named


def rebuild(scene: Scene) -> None:
    base = scene.host.parent
    for folder in (scene.host, scene.copy, scene.journals):
        shutil.rmtree(folder, ignore_errors=True)
    scene.__init__(base)  # type: ignore[misc]


def nodes(scene: Scene) -> dict[str, Node]:
    return {path: node for path, (node, _) in scene.state().items()}
