"""Committing changes of every kind, and undoing them: afterwards the tree is what it was."""

from __future__ import annotations

import os
import shutil
import socket
import stat
import struct
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from hearth.execution._store import ContentStore
from hearth.observe._commit import commit, recover_commits, undo
from hearth.observe._tree import compare, scan, tree_digest

if TYPE_CHECKING:
    from collections.abc import Callable

    from hearth.observe._change import Change

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="commits need Linux")
root_only = pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root")


class Scene:
    """A folder that stands for the host, a copy of it that a step worked on, a store and a folder of journals."""

    def __init__(self, base: Path) -> None:
        self.host = base / "host"
        self.copy = base / "copy"
        self.journals = base / "journals"
        self.store = ContentStore(base / "store", durable=False)
        self.host.mkdir()

    def change(self, act: Callable[[Path], None], *, empty: bool = False) -> tuple[Change, ...]:
        """Do something to a copy of the host (`empty`: to nothing); return what changed, by the host's paths."""
        if self.copy.exists():
            shutil.rmtree(self.copy)
        if empty:
            self.copy.mkdir()
        else:
            duplicate(self.host, self.copy)
        act(self.copy)
        before = scan(self.host)
        after = {str(self.host) + path[len(str(self.copy)) :]: node for path, node in scan(self.copy).items()}
        return compare(before, after)

    def content(self, path: str) -> Path:
        return Path(str(self.copy) + path[len(str(self.host)) :])

    def commit(self, changes: tuple[Change, ...], name: str = "one", **more: Any) -> Any:
        return commit(changes, content=self.content, folder=self.journals, name=name, store=self.store, **more)

    def both(self, act: Callable[[Path], None], *, empty: bool = False) -> tuple[Change, ...]:
        """Commit what `act` does, look that it is just that, undo it, look that nothing of it is left."""
        before, times = tree_digest(self.host), folder_times(self.host)
        changes = self.change(act, empty=empty)
        assert changes
        self.commit(changes)
        assert not compare(scan(self.copy), moved(scan(self.host), self.host, self.copy))
        undo(self.journals, "one", self.store)
        assert tree_digest(self.host) == before
        assert folder_times(self.host) == times
        assert not temporary(self.host)
        assert recover_commits(self.journals, self.store) == []
        return changes


def duplicate(source: Path, target: Path) -> None:
    """Copy a tree with all that cp can keep: links, holes, owners, times, attributes."""
    subprocess.run(["cp", "-a", "--sparse=auto", source, target], check=True)


def moved(nodes: dict[str, Any], source: Path, target: Path) -> dict[str, Any]:
    return {str(target) + path[len(str(source)) :]: node for path, node in nodes.items()}


def folder_times(top: Path) -> dict[str, int | None]:
    return {path: node.mtime_ns for path, node in scan(top).items() if node.type == "directory"}


def temporary(folder: Path) -> list[str]:
    return [path for path in scan(folder) if ".hearth-" in path]


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def write(path: Path, text: str = "old", mode: int = 0o644) -> Path:
    path.write_text(text)
    path.chmod(mode)
    os.utime(path, ns=(1_111_111_111, 1_222_333_444))
    return path


def test_created_modified_deleted_and_touched_files_and_folders(scene: Scene) -> None:
    for name in ("changed", "gone", "touched", "mode", "tree/a", "tree/b/c"):
        (scene.host / name).parent.mkdir(parents=True, exist_ok=True)
        write(scene.host / name)
    (scene.host / "empty").mkdir()

    def act(copy: Path) -> None:
        write(copy / "changed", "new and longer")
        (copy / "gone").unlink()
        os.utime(copy / "touched", ns=(5, 6))
        (copy / "mode").chmod(0o600)
        shutil.rmtree(copy / "tree")
        (copy / "empty").rmdir()
        (copy / "new/folder/deep").mkdir(parents=True)
        (copy / "new").chmod(0o751)
        write(copy / "new/folder/deep/file")
        (copy / "new/folder").chmod(0o500)

    assert len(scene.both(act)) == 13


def test_one_type_becomes_another(scene: Scene) -> None:
    (scene.host / "folder/inner").mkdir(parents=True)
    write(scene.host / "folder/inner/file")
    write(scene.host / "file")
    write(scene.host / "to-link")
    (scene.host / "link").symlink_to("file")
    (scene.host / "link2").symlink_to("file")
    os.mkfifo(scene.host / "pipe")

    def act(copy: Path) -> None:
        shutil.rmtree(copy / "folder")
        write(copy / "folder", "a file now")
        for name in ("file", "to-link", "link", "link2", "pipe"):
            (copy / name).unlink()
        (copy / "file/inner").mkdir(parents=True)
        write(copy / "file/inner/deep")
        (copy / "file/inner").chmod(0o750)
        (copy / "to-link").symlink_to("folder")
        write(copy / "link")
        (copy / "link2").symlink_to("elsewhere")
        (copy / "pipe").mkdir()

    scene.both(act)


def test_special_files_and_modes(scene: Scene) -> None:
    os.mkfifo(scene.host / "pipe", 0o600)
    (scene.host / "sticky").mkdir()

    def act(copy: Path) -> None:
        (copy / "pipe").chmod(0o666)
        os.mkfifo(copy / "another", 0o640)
        with socket.socket(socket.AF_UNIX) as server:
            here = Path.cwd()
            os.chdir(copy)  # a socket's path has 108 bytes
            try:
                server.bind("socket")
            finally:
                os.chdir(here)
        (copy / "sticky").chmod(0o1777)
        write(copy / "suid", "#!", 0o4755)
        (copy / "sgid").mkdir()
        (copy / "sgid").chmod(0o2775)
        write(copy / "secret", "x", 0o000)

    scene.both(act)


@root_only
def test_owners_devices_and_capabilities(scene: Scene) -> None:
    write(scene.host / "owned")
    write(scene.host / "able", "program", 0o755)
    write(scene.host / "suid", "program", 0o4755)
    (scene.host / "link").symlink_to("nowhere")
    capability = struct.pack("<IIIII", 0x02000001, 1 << 10, 0, 0, 0)

    def act(copy: Path) -> None:
        os.chown(copy / "owned", 1234, 5678)
        os.chown(copy / "link", 1234, 5678, follow_symlinks=False)
        os.chown(copy / "suid", 4321, 4321)
        (copy / "suid").chmod(0o6755)
        os.chown(copy / "able", 11, 12)
        os.setxattr(copy / "able", "security.capability", capability)
        os.setxattr(copy / "owned", "trusted.hearth", b"t")
        os.setxattr(copy / "link", "trusted.hearth", b"t", follow_symlinks=False)
        os.mknod(copy / "null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))

    scene.both(act)
    changes = scene.change(act)
    scene.commit(changes, "two")
    assert os.getxattr(scene.host / "able", "security.capability") == capability
    assert stat.S_IMODE((scene.host / "suid").stat().st_mode) == 0o6755

    # And the way back: a file with a capability, an owner and set-id bits becomes another, and is taken back.
    def other(copy: Path) -> None:
        write(copy / "able", "another program")
        os.chown(copy / "able", 0, 0)
        (copy / "suid").unlink()
        (copy / "link").unlink()

    scene_two = tree_digest(scene.host)
    scene.commit(scene.change(other), "three")
    undo(scene.journals, "three", scene.store)
    assert tree_digest(scene.host) == scene_two


def acl(*entries: tuple[int, int, int]) -> bytes:
    """The value of a POSIX ACL attribute (acl(5), linux/posix_acl_xattr.h): tag, permissions, id."""
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


NOBODY = 0xFFFFFFFF
ACCESS = acl((1, 6, NOBODY), (2, 7, 1234), (4, 4, NOBODY), (16, 5, NOBODY), (32, 0, NOBODY))
DEFAULT = acl((1, 7, NOBODY), (2, 6, 4321), (4, 5, NOBODY), (16, 7, NOBODY), (32, 4, NOBODY))


def try_acl(path: Path) -> None:
    path.mkdir()
    try:
        os.setxattr(path, "system.posix_acl_default", DEFAULT)
    except OSError as error:
        pytest.skip(f"no ACLs here: {error.strerror}")


def test_attributes_and_acls_also_inherited_ones(scene: Scene) -> None:
    try_acl(scene.host / "with-default")
    write(scene.host / "with-default/inherits")
    write(scene.host / "plain")
    write(scene.host / "closed", mode=0o444)
    os.setxattr(scene.host / "plain", "user.old", b"1")

    def act(copy: Path) -> None:
        os.setxattr(copy / "plain", "user.old", b"2")
        os.setxattr(copy / "plain", "user.new", b"\0\xff")
        os.setxattr(copy / "plain", "system.posix_acl_access", ACCESS)
        (copy / "closed").chmod(0o644)
        os.setxattr(copy / "closed", "user.x", b"1")
        (copy / "closed").chmod(0o444)
        # A new file below a folder with a default ACL, that has lost what it inherited.
        write(copy / "with-default/new")
        with suppress(OSError):
            os.removexattr(copy / "with-default/new", "system.posix_acl_access")
        (copy / "with-default/new").chmod(0o640)
        (copy / "with-default/folder").mkdir()
        os.removexattr(copy / "with-default/inherits", "system.posix_acl_access")
        write(copy / "with-default/inherits", "other")

    scene.both(act)


def test_sparse_files_stay_sparse(scene: Scene) -> None:
    def sparse(path: Path, *at: int) -> None:
        with path.open("wb") as file:
            for place in at:
                file.seek(place)
                file.write(b"data" * 1024)
            file.truncate(64 << 20)

    sparse(scene.host / "changed", 0, 8 << 20)
    sparse(scene.host / "gone", 16 << 20)
    blocks = (scene.host / "gone").stat().st_blocks
    if blocks * 512 > 1 << 20:
        pytest.skip("this file system knows no holes")

    def act(copy: Path) -> None:
        sparse(copy / "changed", 4096, 32 << 20)
        (copy / "gone").unlink()
        sparse(copy / "new", (64 << 20) - 4096)
        sparse(copy / "hole")

    changes = scene.both(act)
    assert (scene.host / "gone").stat().st_blocks == blocks
    assert (scene.host / "changed").stat().st_blocks * 512 < 1 << 20
    assert sum(path.stat().st_size for path in scene.store.folder.rglob("*") if path.is_file()) < 1 << 20
    scene.commit(changes, "two")
    assert (scene.host / "new").stat().st_blocks * 512 < 1 << 20


def test_hard_links_are_written_in_place_and_made_as_links(scene: Scene) -> None:
    write(scene.host / "a")
    os.link(scene.host / "a", scene.host / "b")
    write(scene.host / "c")
    os.link(scene.host / "c", scene.host / "d")
    write(scene.host / "e")
    os.link(scene.host / "e", scene.host / "f")
    inode = (scene.host / "a").stat().st_ino
    before = tree_digest(scene.host)

    def act(copy: Path) -> None:
        with (copy / "a").open("a") as file:  # both names
            file.write("more")
        (copy / "c").unlink()
        (copy / "e").unlink()
        (copy / "f").unlink()
        write(copy / "new1")
        os.link(copy / "new1", copy / "new2")

    result = scene.commit(scene.change(act))
    assert result.in_place == (str(scene.host / "a"),)
    assert (scene.host / "a").stat().st_ino == inode == (scene.host / "b").stat().st_ino
    assert (scene.host / "b").read_text() == "oldmore"
    assert (scene.host / "new1").stat().st_ino == (scene.host / "new2").stat().st_ino
    undo(scene.journals, "one", scene.store)
    assert tree_digest(scene.host) == before
    for one, other in ("ab", "cd", "ef"):
        assert (scene.host / one).stat().st_ino == (scene.host / other).stat().st_ino


def test_a_name_that_leaves_its_links_is_told(scene: Scene, tmp_path: Path) -> None:
    write(scene.host / "a")
    os.link(scene.host / "a", tmp_path / "elsewhere")
    result = scene.commit(scene.change(lambda copy: (copy / "a").unlink()))
    assert "is one of 2 names" in result.notes[0]


def test_odd_names_and_deep_paths(scene: Scene) -> None:
    names = [os.fsdecode(b"\xff\xfe"), "new\nline", " ", "-rf", "*", "ü", "a" * 255, "\\040", ".hidden", "back\\slash"]
    for name in names[:5]:
        write(scene.host / name)

    def act(copy: Path) -> None:
        for name in names[:3]:
            write(copy / name, "new")
        for name in names[3:5]:
            (copy / name).unlink()
        for name in names[5:]:
            write(copy / name)
        (copy / os.fsdecode(b"\x80dir")).mkdir()
        write(copy / os.fsdecode(b"\x80dir") / os.fsdecode(b"\x81"))
        (copy / os.fsdecode(b"link\xff")).symlink_to(os.fsdecode(b"to\xfe"))

    scene.both(act)


def deep(top: Path, count: int) -> None:
    """Make a chain of folders far beyond PATH_MAX, and a file at its end."""
    here = os.open(top, os.O_RDONLY)
    for _ in range(count):
        os.mkdir("d" * 200, dir_fd=here)
        there = os.open("d" * 200, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = there
    file = os.open("file", os.O_WRONLY | os.O_CREAT, 0o640, dir_fd=here)
    os.write(file, b"deep down")
    os.close(file)
    os.close(here)


def test_paths_beyond_path_max(scene: Scene) -> None:
    deep(scene.host, 40)

    def act(copy: Path) -> None:
        (copy / "new").mkdir()
        deep(copy / "new", 40)

    assert len(scene.both(act, empty=True)) == 83


def test_five_hundred_changes(scene: Scene) -> None:
    many(scene, 500)


@pytest.mark.soak
def test_ten_thousand_changes(scene: Scene) -> None:
    many(scene, 10_000)


def many(scene: Scene, count: int) -> None:
    third = count // 3
    for number in range(2 * third):
        folder = scene.host / f"{number % 50}"
        folder.mkdir(exist_ok=True)
        (folder / f"{number}").write_bytes(b"%d " % number * 100)

    def act(copy: Path) -> None:
        for number in range(third):
            (copy / f"{number % 50}/{number}").write_bytes(b"new %d" % number)
        for number in range(third, 2 * third):
            (copy / f"{number % 50}/{number}").unlink()
        for number in range(count - 2 * third):
            (copy / f"{number % 50}/new{number}").write_bytes(b"new %d" % number * 50)

    changes = scene.change(act)
    assert len(changes) == count
    before = tree_digest(scene.host)
    start = time.perf_counter()
    scene.commit(changes)
    middle = time.perf_counter()
    undo(scene.journals, "one", scene.store)
    end = time.perf_counter()
    print(f"{count} changes: commit {middle - start:.2f} s, undo {end - middle:.2f} s")  # noqa: T201 - a figure
    assert tree_digest(scene.host) == before
