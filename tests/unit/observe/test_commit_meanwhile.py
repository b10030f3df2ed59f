"""What somebody else does between a commit's look and its act is not overwritten; flags stay, and errors name paths."""

from __future__ import annotations

import fcntl
import os
import shutil
import struct
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from hearth.errors import DriftError, ObservationError
from hearth.observe import Change, _commit_make, recover_commits
from hearth.observe._tree import scan, tree_digest
from tests.unit.observe.test_commit_refused import Scene

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="commits need Linux")


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def rewritten(path: Path) -> None:
    """Other content of the same length, and the time put back."""
    status = path.stat()
    path.write_text("x" * status.st_size)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def become_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


MEANWHILE: dict[str, Callable[[Path], object]] = {
    "content": rewritten,
    "longer": lambda path: path.write_text("somebody else's words"),
    "attribute": lambda path: os.setxattr(path, "user.other", b"1"),
    "mode": lambda path: path.chmod(0o604),
}
ACTS: dict[str, Callable[[Path], object]] = {
    "rewritten": lambda path: path.write_text("the step's"),
    "deleted": lambda path: path.unlink(),
    "given rights": lambda path: path.chmod(0o600),
    "replaced": become_folder,
}


def refused(scene: Scene, changes: tuple[Change, ...], act: Callable[[], object], words: str) -> None:
    """Have somebody act when everything is prepared: that is what the host has afterwards, and nothing else."""
    left: list[str] = []

    def check() -> None:
        act()
        left.append(tree_digest(scene.host))

    with pytest.raises(DriftError, match=words):
        scene.commit(changes, check=check)
    assert [tree_digest(scene.host)] == left
    assert recover_commits(scene.journals, scene.store) == []


@pytest.mark.parametrize("meanwhile", MEANWHILE)
@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("names", [1, 2])
def test_what_somebody_changed_meanwhile_is_kept(scene: Scene, act: str, meanwhile: str, names: int) -> None:
    def do(copy: Path) -> None:
        ACTS[act](copy / "file")

    if names > 1:
        os.link(scene.host / "file", scene.host / "second")
    changes = scene.change(do)
    refused(
        scene, changes, lambda: MEANWHILE[meanwhile](scene.host / ("file", "second")[names - 1]), "changed meanwhile"
    )


def test_a_name_that_a_file_got_since_the_step_is_seen(scene: Scene) -> None:
    changes = scene.change(write)
    os.link(scene.host / "file", scene.host.parent / "outsider")
    with pytest.raises(DriftError, match="file: number of names 1 was expected, 2 is there"):
        scene.commit(changes)
    assert (scene.host.parent / "outsider").read_text() == "old file"


@pytest.mark.parametrize("what", ["rights", "gone"])
def test_an_attribute_that_a_folder_got_meanwhile_is_kept(scene: Scene, what: str) -> None:
    def act(copy: Path) -> None:
        if what == "gone":
            shutil.rmtree(copy / "gone")
        else:
            (copy / "gone").chmod(0o700)

    changes = scene.change(act)
    refused(scene, changes, lambda: os.setxattr(scene.host / "gone", "user.other", b"1"), "gone was changed meanwhile")


def test_a_file_that_was_changed_in_a_folder_that_is_to_go_is_kept(scene: Scene) -> None:
    changes = scene.change(lambda copy: shutil.rmtree(copy / "gone"))
    refused(scene, changes, lambda: rewritten(scene.host / "gone/inner"), "gone/inner was changed meanwhile")


def test_all_names_of_a_file_go_or_are_written_by_one_commit(scene: Scene) -> None:
    """What the commit itself does to a file by one name is no change by somebody else when it comes to the next."""
    for name in ("one", "two", "three"):
        os.link(scene.host / "other", scene.host / name)
    before = scan(scene.host)
    changes = [Change.between(str(scene.host / name), before[str(scene.host / name)], None) for name in ("one", "two")]
    node = before[str(scene.host / "other")]
    rights = [Change.between(str(scene.host / name), node, replace(node, mode=0o600)) for name in ("other", "three")]
    scene.commit(tuple(one for one in (*changes, *rights) if one is not None))
    assert sorted(path.name for path in scene.host.iterdir()) == ["file", "folder", "gone", "link", "other", "three"]
    assert (scene.host / "three").stat().st_mode & 0o777 == 0o600
    scene.undo()
    assert (scene.host / "one").read_text() == "old other"


def write(copy: Path) -> None:
    (copy / "file").write_text("new")


def flags(path: Path) -> int:
    with path.open("rb") as file:
        return int(struct.unpack_from("=I", fcntl.ioctl(file, 0x80086601, bytes(8)))[0]) & 0xC0


@pytest.fixture
def flagged(scene: Scene) -> Scene:
    done = subprocess.run(["chattr", "+Ad", str(scene.host / "file")], capture_output=True, check=False)
    if done.returncode != 0:
        pytest.skip("this file system has no such flags")
    return scene


def test_a_file_keeps_its_flags(flagged: Scene) -> None:
    had = flags(flagged.host / "file")
    assert had == 0xC0
    flagged.commit(flagged.change(write))
    assert (flagged.host / "file").read_text() == "new"
    assert flags(flagged.host / "file") == had
    flagged.undo()
    assert flags(flagged.host / "file") == had


def test_where_the_flags_cannot_be_had_nothing_is_committed(flagged: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    changes = flagged.change(write)
    before = tree_digest(flagged.host)
    monkeypatch.setattr(_commit_make, "write_flags", lambda *_: False)
    with pytest.raises(ObservationError, match=f"{flagged.host}/file: a new file cannot be given its flags"):
        flagged.commit(changes)
    assert tree_digest(flagged.host) == before


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root makes a file immutable")
def test_what_the_system_refuses_is_named_by_its_path(scene: Scene) -> None:
    if subprocess.run(["chattr", "+a", str(scene.host / "file")], capture_output=True, check=False).returncode != 0:
        pytest.skip("this file system has no such flag")
    try:
        changes = scene.change(write)
        before = tree_digest(scene.host)
        with pytest.raises(ObservationError) as caught:
            scene.commit(changes)
        assert f"{scene.host}/file: the system refused the commit" in str(caught.value)
        assert ".hearth-" not in str(caught.value)
        assert tree_digest(scene.host) == before
    finally:
        subprocess.run(["chattr", "-a", str(scene.host / "file")], check=True)
