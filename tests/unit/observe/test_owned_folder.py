from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from hearth.observe._owned_folder import OwnedFolder, clear_dead, has_living_owner

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="it is locked by flock(2)")

MAKE_ONE = """
import sys, time
from pathlib import Path
from hearth.observe._owned_folder import OwnedFolder
folder = OwnedFolder(Path(sys.argv[1]))
(folder.path / "0" / "root" / "work" / "work").mkdir(parents=True)
(folder.path / "0" / "root" / "work" / "work").chmod(0)
print(folder.path, flush=True)
time.sleep(60)
"""


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_it_is_private_and_gone_when_it_is_closed(tmp_path: Path) -> None:
    folder = OwnedFolder(tmp_path)
    assert folder.path.stat().st_mode & 0o777 == 0o700
    assert names(tmp_path) == [folder.path.name]
    assert folder.path.name.startswith("hearth-")
    (folder.path / "layer").mkdir()
    folder.close()
    folder.close()  # which is nothing by now
    assert names(tmp_path) == []


def test_that_of_a_killed_owner_is_removed_by_the_next_one_and_that_of_a_living_one_is_not(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    argv = [sys.executable, "-c", MAKE_ONE, str(tmp_path)]
    with subprocess.Popen(argv, env=environment, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        theirs = Path(owner.stdout.readline().strip())
        OwnedFolder(tmp_path).close()
        assert (theirs / "0").is_dir()
        owner.send_signal(signal.SIGKILL)
    assert theirs.is_dir()
    ours = OwnedFolder(tmp_path)
    assert names(tmp_path) == [ours.path.name]
    ours.close()


def test_what_is_no_such_folder_or_not_locked_like_one_is_let_be(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / ".owner").touch()
    (tmp_path / "hearth-link").symlink_to("other")
    (tmp_path / "hearth-file").touch()
    (tmp_path / "hearth-unmarked").mkdir()
    (tmp_path / "hearth-linked-mark").mkdir()
    (tmp_path / "hearth-linked-mark" / ".owner").symlink_to("../other/.owner")
    before = names(tmp_path)
    clear_dead(tmp_path)
    assert names(tmp_path) == before
    assert names(other) == [".owner"]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can make another user's folder")
def test_a_folder_of_another_user_is_let_be(tmp_path: Path) -> None:
    theirs = tmp_path / "hearth-theirs"
    theirs.mkdir()
    (theirs / ".owner").touch()
    os.chown(theirs, 65534, 65534)
    clear_dead(tmp_path)
    assert theirs.is_dir()
    os.chown(theirs, 0, 0)
    clear_dead(tmp_path)
    assert not theirs.exists()


def test_what_cannot_be_removed_yet_is_found_the_next_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = OwnedFolder(tmp_path)
    (folder.path / "0").mkdir()
    monkeypatch.setattr("hearth.observe._owned_folder.remove_tree", lambda _: None)  # it is busy
    folder.close()
    assert names(folder.path) == [".owner", "0"]
    monkeypatch.undo()
    clear_dead(tmp_path)
    assert names(tmp_path) == []


def test_one_that_never_got_its_name_is_removed_when_it_is_old(tmp_path: Path) -> None:
    young, old = tmp_path / "new-hearth-young", tmp_path / "new-hearth-old"
    for folder in (young, old):
        folder.mkdir()
        (folder / ".owner").touch()
    os.utime(old, (0, 0))
    assert (has_living_owner(young), has_living_owner(old)) == (True, False)
    clear_dead(tmp_path)
    assert names(tmp_path) == ["new-hearth-young"]


def test_whether_its_owner_lives_is_told_by_its_lock(tmp_path: Path) -> None:
    folder = OwnedFolder(tmp_path)
    (tmp_path / "run-older").mkdir()
    (tmp_path / "hearth-unmarked").mkdir()
    assert has_living_owner(folder.path)
    assert not has_living_owner(tmp_path / "run-older")
    assert not has_living_owner(tmp_path / "hearth-unmarked")
    folder.close()
    assert not has_living_owner(folder.path)
