"""Scanning trees: every kind of thing, any name, any depth; what cannot be read is said."""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import stat
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from hearth.observe._change import ChangeKind
from hearth.observe._node import NodeType
from hearth.observe._tree import compare, scan, tree_digest
from hearth.observe._tree_directory import Directories

if TYPE_CHECKING:
    from collections.abc import Iterator

linux = pytest.mark.skipif(sys.platform != "linux", reason="extended attributes and odd names, as Linux has them")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    (root / "folder").mkdir(parents=True)
    (root / "file").write_bytes(b"abc")
    (root / "folder/link").symlink_to("../file")
    (root / "folder/loop").symlink_to(".")
    return root


def test_each_path_has_its_node(tree: Path) -> None:
    found = scan(tree)
    names = ["", "/file", "/folder", "/folder/link", "/folder/loop"]
    assert sorted(found) == [f"{tree}{name}" for name in names]
    file = found[f"{tree}/file"]
    assert (file.type, file.size, file.sha256) == (NodeType.FILE, 3, hashlib.sha256(b"abc").hexdigest())
    assert file.mtime_ns == (tree / "file").stat().st_mtime_ns
    assert found[f"{tree}/folder/link"].target == "../file"
    assert found[str(tree)].type is NodeType.DIRECTORY


def test_content_can_be_left_unread_and_paths_be_left_out(tree: Path) -> None:
    assert scan(tree, content=False)[f"{tree}/file"].sha256 is None
    assert sorted(scan(tree, skip=[f"{tree}/folder"])) == [str(tree), f"{tree}/file"]
    assert scan(tree, skip=[str(tree)]) == {}


def test_a_file_or_a_link_or_nothing_may_be_the_root(tree: Path) -> None:
    assert scan(tree / "file") == {f"{tree}/file": scan(tree)[f"{tree}/file"]}
    assert scan(tree / "folder/link")[f"{tree}/folder/link"].target == "../file"
    assert scan(tree / "absent") == {}


@linux
def test_nothing_but_files_is_opened(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tree / "pipe")
    monkeypatch.chdir(tree)  # a socket's address has 108 bytes
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
        found = scan(tree)
    assert found[f"{tree}/pipe"].type is NodeType.FIFO
    assert found[f"{tree}/socket"].type is NodeType.SOCKET
    null = scan(Path("/dev/null"))["/dev/null"]
    assert (null.type, null.device, null.sha256) == (NodeType.CHARACTER, (1, 3), None)


@linux
@pytest.mark.parametrize("name", [b"new\nline", b"\xff\xfe", b" ", b"-rf", b"x" * 255, "ü".encode()])
def test_any_name_is_a_name(tree: Path, name: bytes) -> None:
    (tree / os.fsdecode(name)).write_bytes(name)
    found = scan(tree)[f"{tree}/{os.fsdecode(name)}"]
    assert found.sha256 == hashlib.sha256(name).hexdigest()
    assert len(tree_digest(tree)) == 64


@pytest.fixture
def deep(tmp_path: Path) -> Iterator[Path]:
    """A tree deeper than a path, than the stack and than the number of open files may be."""
    depth = 1500
    here = Path.cwd()
    os.chdir(tmp_path)
    try:
        for _ in range(depth):
            Path("folder").mkdir()
            os.chdir("folder")
        Path("last").write_text("deep")
        yield tmp_path
    finally:
        os.chdir(here)
        subprocess.run(["rm", "-rf", "--", str(tmp_path / "folder")], check=True)


@linux
def test_depth_has_no_limit(deep: Path) -> None:
    found = scan(deep)
    last = str(deep) + "/folder" * 1500 + "/last"
    assert len(last) > 4096
    assert found[last].sha256 == hashlib.sha256(b"deep").hexdigest()
    assert len(found) == 1502


def test_a_directory_that_was_closed_is_opened_again(tree: Path) -> None:
    for number in range(20):
        (tree / f"n{number}").mkdir()
        (tree / f"n{number}/file").write_text(str(number))
    with Directories(at_most=3) as directories:
        root = directories.root(tree)
        children = [root.child(f"n{number}") for number in range(20)]
        for child in children + children:
            assert child.names() == ["file"]
        assert len(directories._open) == 3
    assert not directories._open


@linux
def test_a_link_in_the_place_of_a_directory_is_not_followed(tree: Path) -> None:
    with Directories() as directories:
        child = directories.root(tree).child("folder")
        shutil.rmtree(tree / "folder")
        (tree / "elsewhere").mkdir()
        (tree / "folder").symlink_to("elsewhere")
        with pytest.raises(OSError, match=r"Not a directory|Too many levels"):
            child.names()


@linux
def test_extended_attributes_count_and_those_of_overlayfs_do_not(tree: Path) -> None:
    os.setxattr(tree / "file", "user.note", b"value")
    os.setxattr(tree / "folder", "user.\udcff", b"")
    os.setxattr(tree / "file", "user.overlay.opaque", b"y")
    found = scan(tree)
    assert found[f"{tree}/file"].xattrs == {"user.note": hashlib.sha256(b"value").hexdigest()}
    assert list(found[f"{tree}/folder"].xattrs) == ["user.\\xff"]
    assert len(tree_digest(tree)) == 64


@linux
def test_access_lists_and_capabilities_are_among_the_attributes(tree: Path) -> None:
    # version 2; user::rw- user:1234:r-- group::r-- mask::r-- other::r-- (linux/posix_acl_xattr.h)
    entries = [(1, 6, -1), (2, 4, 1234), (4, 4, -1), (16, 4, -1), (32, 4, -1)]
    blob = (2).to_bytes(4, "little")
    for tag, rights, who in entries:
        blob += tag.to_bytes(2, "little") + rights.to_bytes(2, "little") + (who & 0xFFFFFFFF).to_bytes(4, "little")
    before = scan(tree)
    try:
        os.setxattr(tree / "file", "system.posix_acl_access", blob)
    except OSError as error:
        pytest.skip(f"no access lists here: {error}")
    changes = compare(before, scan(tree))
    assert [(change.path, change.kind) for change in changes] == [(f"{tree}/file", ChangeKind.METADATA)]
    assert changes[0].after is not None
    assert list(changes[0].after.xattrs) == ["system.posix_acl_access"]
    if os.geteuid() == 0:
        os.setxattr(tree / "file", "security.capability", bytes.fromhex("0100000200040000" + "00" * 12))
        assert "security.capability" in scan(tree)[f"{tree}/file"].xattrs


def test_names_of_one_file_have_its_content_and_tell_their_number(tree: Path) -> None:
    os.link(tree / "file", tree / "folder/file")
    found = scan(tree)
    one, other = found[f"{tree}/file"], found[f"{tree}/folder/file"]
    assert one == other
    assert one.links == other.links == 2


@linux
def test_what_cannot_be_read_is_said(tmp_path: Path) -> None:
    program = """
import os, sys
from pathlib import Path
from hearth.observe._tree import scan
if os.geteuid() == 0:
    os.setgroups([]), os.setgid(65534), os.setuid(65534)
unseen = []
found = scan(Path(sys.argv[1]), unseen=unseen)
print(sorted(Path(one).name for one in found), sorted(unseen))
"""
    root = Path(f"/tmp/hearth-unreadable-{os.getpid()}")
    (root / "closed").mkdir(parents=True)
    try:
        (root / "secret").write_text("x")
        for name, mode in (("secret", 0), ("closed", 0), ("", 0o755)):
            (root / name).chmod(mode)
        run = subprocess.run(
            [sys.executable, "-c", program, str(root)], capture_output=True, text=True, check=True, cwd="/"
        )
    finally:
        (root / "closed").chmod(0o700)
        shutil.rmtree(root)
    assert f"['closed', '{root.name}', 'secret']" in run.stdout
    assert f"{root}/closed cannot be listed: Permission denied" in run.stdout
    assert f"{root}/secret cannot be read: Permission denied" in run.stdout


@linux
def test_what_vanishes_meanwhile_is_not_there(tree: Path) -> None:
    stop = tree.parent / "stop"
    program = f"""
import os, pathlib
while not os.path.exists({str(stop)!r}):
    for name in "abcdefgh":
        os.makedirs(name + "/x", exist_ok=True); pathlib.Path(name + "/x/y").write_text("1")
    for name in "abcdefgh":
        os.unlink(name + "/x/y"); os.removedirs(name + "/x")
"""
    (tree / "keep").write_text("so that the folder is never empty")
    with subprocess.Popen([sys.executable, "-c", program], cwd=tree) as busy:
        for _ in range(200):
            unseen: list[str] = []
            assert f"{tree}/keep" in scan(tree, unseen=unseen)
            assert all("while it was read" in reason for reason in unseen)
        stop.touch()
    assert busy.returncode == 0


def test_the_digest_of_a_tree_goes_with_its_content_not_its_place(tree: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(tree, copy, symlinks=True)
    assert tree_digest(copy) == tree_digest(tree)
    os.utime(copy / "folder", ns=(5, 5))
    assert tree_digest(copy) == tree_digest(tree)
    (copy / "folder/more").touch()
    assert tree_digest(copy) != tree_digest(tree)


@pytest.mark.parametrize(
    "change",
    [
        lambda root: (root / "file").write_bytes(b"abd"),
        lambda root: (root / "file").chmod(0o600),
        lambda root: (root / "file").rename(root / "other"),
        lambda root: os.utime(root / "file", ns=(1, 1)),
        lambda root: (root / "folder").chmod(0o700),
        lambda root: ((root / "folder/link").unlink(), (root / "folder/link").symlink_to("file")),
    ],
)
def test_each_difference_shows_in_the_digest_and_in_the_comparison(tree: Path, change: Any) -> None:
    digest, before = tree_digest(tree), scan(tree)
    assert tree_digest(tree) == digest
    assert compare(before, scan(tree)) == ()
    change(tree)
    assert tree_digest(tree) != digest
    assert compare(before, scan(tree))


def test_changes_are_sorted_by_the_bytes_of_their_paths(tmp_path: Path) -> None:
    root = tmp_path / "tree"
    root.mkdir()
    before = scan(root)
    for name in ("z", "ü", "Z", "\udcff" if sys.platform == "linux" else "y"):
        (root / name).touch()
    paths = [change.path for change in compare(before, scan(root))]
    assert paths == sorted(paths, key=os.fsencode)
    assert len(paths) == 4


def test_the_mode_of_a_node_is_what_lstat_says(tree: Path) -> None:
    (tree / "file").chmod(0o640)
    assert scan(tree)[f"{tree}/file"].mode == stat.S_IMODE((tree / "file").stat().st_mode)


@linux
def test_a_platform_without_descriptors_of_directories_finds_the_same(tree: Path) -> None:
    program = """
import os, sys
for name in ("O_DIRECTORY", "O_NOFOLLOW", "O_PATH", "O_NOATIME", "O_NONBLOCK", "O_NOCTTY", "listxattr", "getxattr"):
    delattr(os, name)
os.supports_dir_fd = set()
from pathlib import Path
from hearth.observe import _layer
from hearth.observe._tree import tree_digest
print(tree_digest(Path(sys.argv[1])))
"""
    run = subprocess.run([sys.executable, "-c", program, str(tree)], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == tree_digest(tree)
