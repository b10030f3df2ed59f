from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import pytest

from hearth.observe._remove_tree import remove_tree
from tests import ordinary

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="it works by descriptors of directories")


def test_folders_that_are_closed_to_their_owner_go_too(tmp_path: Path) -> None:
    inner = tmp_path / "tree" / "a" / "b"
    inner.mkdir(parents=True)
    (inner / "file").touch()
    for path in (inner, inner.parent, inner.parent.parent):
        path.chmod(0)
    remove_tree(tmp_path / "tree")
    assert list(tmp_path.iterdir()) == []


def test_it_may_be_deeper_than_a_path_is_long() -> None:
    memory = Path("/dev/shm")  # where removing so many directories takes no time
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as folder:
        tree = Path(folder, "tree")
        tree.mkdir()
        here = os.open(tree, os.O_RDONLY)
        for _ in range(3000):
            os.mkdir("folder", dir_fd=here)
            inner = os.open("folder", os.O_RDONLY, dir_fd=here)
            os.close(here)
            here = inner
        os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=here))
        os.close(here)
        remove_tree(tree)
        assert not tree.exists()


def test_all_of_a_wide_tree_goes(tmp_path: Path) -> None:
    for number in range(60):
        (tmp_path / "tree" / f"{number % 4}" / f"{number % 5}" / f"{number}").mkdir(parents=True)
        (tmp_path / "tree" / f"{number % 4}" / f"file-{number}").touch()
    remove_tree(tmp_path / "tree")
    assert list(tmp_path.iterdir()) == []


def test_links_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir(mode=0o750)
    (tmp_path / "other" / "file").touch()
    (tmp_path / "tree" / "inner").mkdir(parents=True)
    for where in (tmp_path / "tree", tmp_path / "tree" / "inner"):
        (where / "link").symlink_to(tmp_path / "other")
        (where / "broken").symlink_to("nothing")
    remove_tree(tmp_path / "tree")
    assert [path.name for path in tmp_path.iterdir()] == ["other"]
    assert [path.name for path in (tmp_path / "other").iterdir()] == ["file"]
    assert (tmp_path / "other").stat().st_mode & 0o777 == 0o750


def test_what_is_not_there_is_as_good_as_removed(tmp_path: Path) -> None:
    remove_tree(tmp_path / "nothing")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(bool(ordinary.why_not()), reason=ordinary.why_not())
def test_an_ordinary_user_whom_modes_bind_can_do_it_too(repository: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="remove-") as folder:
        os.chown(folder, ordinary.NOBODY, ordinary.NOBODY)
        options = ["-q", "-p", "no:cacheprovider", f"--basetemp={folder}/base", f"--rootdir={repository}"]
        ended = ordinary.run_as_nobody([sys.executable, "-m", "pytest", *options, __file__], HOME=folder, TMPDIR=folder)
    assert ended.returncode == 0, ended.stdout[-3000:] + ended.stderr[-3000:]
    assert "5 passed" in ended.stdout
