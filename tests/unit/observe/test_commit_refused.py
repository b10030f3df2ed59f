"""Commits that are stopped: drift, no room, no permission, links swapped in. The host is then what it was."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from hearth.errors import DriftError, HearthError, ObservationError
from hearth.execution._store import ContentStore
from hearth.observe import _commit_apply
from hearth.observe._commit import CommitOutcome, commit, recover_commits, undo
from hearth.observe._tree import compare, scan, tree_digest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hearth.observe._change import Change

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="commits need Linux")


class Scene:
    """A host with a few files, and a copy on which they were changed."""

    def __init__(self, base: Path) -> None:
        self.host, self.copy, self.journals = base / "host", base / "copy", base / "journals"
        self.store = ContentStore(base / "store", durable=False)
        for name in ("file", "other", "gone/inner", "folder/x"):
            (self.host / name).parent.mkdir(parents=True, exist_ok=True)
            (self.host / name).write_text(f"old {name}")
        (self.host / "link").symlink_to("file")
        os.setxattr(self.host / "file", "user.a", b"1")

    def change(self, act: Callable[[Path], None] | None = None) -> tuple[Change, ...]:
        shutil.copytree(self.host, self.copy, symlinks=True)
        (act or usual)(self.copy)
        after = {str(self.host) + path[len(str(self.copy)) :]: node for path, node in scan(self.copy).items()}
        return compare(scan(self.host), after)

    def content(self, path: str) -> Path:
        return Path(str(self.copy) + path[len(str(self.host)) :])

    def commit(self, changes: tuple[Change, ...], **more: Any) -> Any:
        return commit(
            changes, **{"content": self.content, "folder": self.journals, "name": "one", "store": self.store, **more}
        )

    def undo(self) -> None:
        undo(self.journals, "one", self.store)


def usual(copy: Path) -> None:
    (copy / "file").write_text("new")
    (copy / "other").chmod(0o600)
    (copy / "link").unlink()
    (copy / "link").symlink_to("other")
    (copy / "made").mkdir()
    (copy / "made/new").write_text("new")
    shutil.rmtree(copy / "gone")


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def replaced(path: Path) -> None:
    path.unlink()
    path.mkdir()


def retargeted(path: Path) -> None:
    (path.parent / "link").unlink()
    (path.parent / "link").symlink_to("gone")


DRIFTS: dict[str, Callable[[Path], object]] = {
    "content": lambda path: path.write_text("abc file"),
    "size": lambda path: path.write_text("longer than it was"),
    "mode": lambda path: path.chmod(0o640),
    "attribute": lambda path: os.setxattr(path, "user.a", b"2"),
    "another attribute": lambda path: os.setxattr(path, "user.b", b"1"),
    "attribute gone": lambda path: os.removexattr(path, "user.a"),
    "gone": lambda path: path.unlink(),
    "type": replaced,
    "target": retargeted,
    "stranger": lambda path: (path.parent / "gone/stranger").write_text("x"),
    "come": lambda path: (path.parent / "made").mkdir(),
    "removed": lambda path: (path.parent / "gone/inner").unlink(),
}
if hasattr(os, "geteuid") and os.geteuid() == 0:
    DRIFTS |= {"owner": lambda path: os.chown(path, 1, -1), "group": lambda path: os.chown(path, -1, 1)}


@pytest.mark.parametrize("drift", DRIFTS)
def test_drift_stops_before_anything_is_touched(scene: Scene, drift: str) -> None:
    changes = scene.change()
    DRIFTS[drift](scene.host / "file")
    before = tree_digest(scene.host)
    with pytest.raises(DriftError, match=str(scene.host)):
        scene.commit(changes)
    assert tree_digest(scene.host) == before
    assert not scene.journals.exists()


@pytest.mark.parametrize("drift", ["content", "mode", "gone", "type", "target"])
def test_undo_refuses_what_was_changed_since(scene: Scene, drift: str) -> None:
    scene.commit(scene.change())
    DRIFTS[drift](scene.host / "file")
    after = tree_digest(scene.host)
    with pytest.raises(DriftError, match=str(scene.host)):
        scene.undo()
    assert tree_digest(scene.host) == after


def test_undo_names_a_stranger_in_a_folder_that_was_made(scene: Scene) -> None:
    scene.commit(scene.change())
    (scene.host / "made/stranger").write_text("x")
    with pytest.raises(DriftError, match="made/stranger"):
        scene.undo()
    (scene.host / "made/stranger").unlink()
    scene.undo()
    with pytest.raises(ObservationError, match="undone already"):
        scene.undo()


def test_only_what_is_there_can_be_undone(scene: Scene) -> None:
    with pytest.raises(ObservationError, match="no commit of that name"):
        scene.undo()
    scene.commit(scene.change())
    with pytest.raises(ObservationError, match="commit of that name already"):
        scene.commit(())
    shutil.rmtree(scene.store.folder)
    with pytest.raises(ObservationError, match="kept no more"):
        scene.undo()


def test_a_check_that_raises_stops_it(scene: Scene) -> None:
    before = tree_digest(scene.host)

    def check() -> None:
        assert (scene.journals / "one.jsonl").exists()
        assert tree_digest(scene.host) == before
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        scene.commit(scene.change(), check=check)
    assert tree_digest(scene.host) == before
    assert not list(scene.journals.iterdir())


def test_another_content_than_was_observed_is_refused(scene: Scene) -> None:
    changes = scene.change()
    before = tree_digest(scene.host)
    (scene.copy / "made/new").write_text("bad")
    with pytest.raises(ObservationError, match="what was observed"):
        scene.commit(changes)
    (scene.copy / "made/new").unlink()
    with pytest.raises(ObservationError, match="what was observed"):
        scene.commit(changes)
    assert tree_digest(scene.host) == before


@pytest.mark.parametrize("path", ["relative", "/a/../b", "/a//b", "/a/./b", "/a/"])
def test_only_plain_paths(scene: Scene, path: str) -> None:
    from dataclasses import replace

    with pytest.raises(ObservationError, match="plain form"):
        scene.commit((replace(scene.change()[0], path=path),))


# --- what happens between the look and the act ----------------------------------------------------------------------

MEANWHILE: dict[str, tuple[str, Callable[[Path], object]]] = {
    "written": ("file", lambda host: (host / "file").write_text("meanwhile")),
    "renamed over": ("file", lambda host: renamed_over(host / "file")),
    "gone": ("file", lambda host: (host / "file").unlink()),
    "metadata": ("other", lambda host: (host / "other").chmod(0o444)),
    "created": ("made", lambda host: (host / "made").mkdir()),
    "into a folder that goes": ("gone/stranger", lambda host: (host / "gone/stranger").write_text("x")),
    "in a folder that goes": ("gone/inner", lambda host: (host / "gone/inner").write_text("xyz")),
    "link": ("link", lambda host: retargeted(host / "link")),
}


def renamed_over(path: Path) -> None:
    (path.parent / "temp").write_text("meanwhile")
    (path.parent / "temp").rename(path)


@pytest.mark.parametrize("event", MEANWHILE)
def test_what_is_changed_meanwhile_survives_and_stops_it(scene: Scene, tmp_path: Path, event: str) -> None:
    name, act = MEANWHILE[event]
    changes = scene.change()
    with pytest.raises(HearthError, match=name):
        scene.commit(changes, check=lambda: act(scene.host))
    shutil.rmtree(scene.copy)
    shutil.copytree(scene.host, scene.copy, symlinks=True)
    after = tree_digest(scene.host)
    recover_commits(scene.journals, scene.store)
    assert tree_digest(scene.host) == after
    # But for what was done meanwhile, it is the host of the beginning.
    (tmp_path / "fresh").mkdir()
    fresh = Scene(tmp_path / "fresh")
    act(fresh.host)
    assert contents(scene.host) == contents(fresh.host)


def contents(host: Path) -> dict[str, Any]:
    return {
        path[len(str(host)) :]: (node.type, node.mode, node.sha256, node.target, node.xattrs)
        for path, node in scan(host).items()
    }


def test_a_link_swapped_in_for_a_folder_does_not_lead_elsewhere(scene: Scene, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(scene.host / "folder", elsewhere)
    untouched = tree_digest(elsewhere)

    def act(copy: Path) -> None:
        (copy / "folder/x").write_text("changed")
        (copy / "folder/new").write_text("new")

    changes = scene.change(act)

    def swap() -> None:
        (scene.host / "folder").rename(scene.host / "moved")
        (scene.host / "folder").symlink_to(elsewhere)

    # Before the look: it is refused. After it: what is held open goes on being what it was.
    scene.commit(changes, check=swap)
    assert tree_digest(elsewhere) == untouched
    assert (scene.host / "moved/x").read_text() == "changed"
    with pytest.raises(DriftError, match="folder"):
        scene.undo()
    assert tree_digest(elsewhere) == untouched


def test_without_openat2_links_are_not_followed_either(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hearth.observe import _commit_calls

    monkeypatch.setattr(_commit_calls, "_OPENAT2", 99_999)  # ENOSYS
    changes = scene.change()
    (scene.host / "made").symlink_to(tmp_path)
    with pytest.raises(DriftError):
        scene.commit(changes)
    (scene.host / "made").unlink()
    scene.host.rename(tmp_path / "real")
    scene.host.symlink_to(tmp_path / "real")
    with pytest.raises(DriftError, match="folder is not there"):
        scene.commit(changes)
    scene.host.unlink()
    (tmp_path / "real").rename(scene.host)
    scene.commit(changes)
    scene.undo()


def test_without_an_exchange_of_names(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_commit_apply, "exchange", lambda *_: False)
    before = tree_digest(scene.host)
    scene.commit(scene.change())
    scene.undo()
    assert tree_digest(scene.host) == before


# --- no room --------------------------------------------------------------------------------------------------------


def forked(work: Callable[[], None]) -> None:
    """Do something in a process of its own, which may change what it is; its failure is this test's."""
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException:  # noqa: BLE001 - told to the parent
            os.write(write_end, traceback.format_exc().encode()[-4000:])
        finally:
            os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end, "rb") as told:
        said = told.read().decode()
    os.waitpid(child, 0)
    if "Skipped" in said:
        pytest.skip(said.strip().splitlines()[-1])
    assert not said, said


def test_a_file_that_may_not_be_written_so_long(scene: Scene) -> None:
    def act(copy: Path) -> None:
        usual(copy)
        (copy / "zz").write_bytes(b"x" * 200_000)

    changes = scene.change(act)
    before = tree_digest(scene.host)

    def work() -> None:
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        with pytest.raises(ObservationError, match="File too large"):
            scene.commit(changes)

    forked(work)
    assert tree_digest(scene.host) == before
    assert not list(scene.journals.iterdir())


@pytest.mark.parametrize("late", [False, True], ids=["seen before", "filled meanwhile"])
def test_a_full_disk(scene: Scene, tmp_path: Path, late: bool) -> None:
    small = tmp_path / "small"
    small.mkdir()

    def work() -> None:
        libc = __import__("ctypes").CDLL(None, use_errno=True)
        if libc.unshare(0x00020000):
            pytest.skip("no mount namespace of its own")
        assert libc.mount(b"none", b"/", None, 0x4000 | 0x40000, None) == 0
        assert libc.mount(b"tmpfs", os.fsencode(small), b"tmpfs", 0, b"size=1m") == 0
        inner = Scene(small)
        inner.store = scene.store

        def act(copy: Path) -> None:
            usual(copy)
            (copy / "zz").write_bytes(b"x" * 400_000)

        inner.copy = tmp_path / "layer"
        changes = inner.change(act)
        inner.journals = scene.journals
        before = tree_digest(inner.host)

        def fill() -> None:
            with (small / "balloon").open("wb") as file:
                file.write(bytes(os.statvfs(small).f_bavail * 4096 - 200_000))

        if late:
            with pytest.raises(ObservationError, match="No space left"):
                inner.commit(changes, check=fill)
        else:
            fill()
            with pytest.raises(ObservationError, match="no room"):
                inner.commit(changes)
        assert tree_digest(inner.host) == before
        assert not scene.journals.exists() or not list(scene.journals.iterdir())

    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    forked(work)


# --- as an ordinary user --------------------------------------------------------------------------------------------


@pytest.fixture
def open_folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="hearth-test-"))
    folder.chmod(0o777)
    yield folder
    subprocess.run(["chmod", "-R", "u+rwX", folder], check=False)
    shutil.rmtree(folder)


def as_user(work: Callable[[], None]) -> None:
    def dropped() -> None:
        if os.geteuid() == 0:
            os.setgroups([])
            os.setresgid(65534, 65534, 65534)
            os.setresuid(65534, 65534, 65534)
        work()

    forked(dropped)


def test_an_ordinary_user_commits_in_folders_closed_to_its_owner(open_folder: Path) -> None:
    def work() -> None:
        base = open_folder / "base"
        base.mkdir()
        scene = Scene(base)
        for name in ("shut/file", "shutting/file", "opening/file"):
            (scene.host / name).parent.mkdir()
            (scene.host / name).write_text("old")
        (scene.host / "readonly").write_text("old")
        os.link(scene.host / "readonly", scene.host / "readonly2")
        (scene.host / "readonly").chmod(0o444)
        (scene.host / "shut").chmod(0o555)
        (scene.host / "opening").chmod(0o500)
        before = tree_digest(scene.host)

        def act(copy: Path) -> None:
            usual(copy)
            for name in ("shut", "shutting", "opening"):
                (copy / name).chmod(0o755)
                (copy / name / "file").write_text("new")
                (copy / name / "another").write_text("new")
            (copy / "shut").chmod(0o555)
            (copy / "shutting").chmod(0o500)
            for name in ("readonly", "readonly2"):
                (copy / name).chmod(0o644)
                (copy / name).write_text("new")
                (copy / name).chmod(0o444)

        changes = scene.change(act)
        assert scene.commit(changes).left == ()
        assert stat.S_IMODE((scene.host / "shut").stat().st_mode) == 0o555
        assert stat.S_IMODE((scene.host / "shutting").stat().st_mode) == 0o500
        assert (scene.host / "shut/file").read_text() == "new"
        assert (scene.host / "readonly2").read_text() == "new"
        assert not [path for path in scan(scene.host) if ".hearth-" in path]
        scene.undo()
        assert tree_digest(scene.host) == before

    as_user(work)


def test_an_ordinary_user_writes_in_place_where_it_may_not_rename(open_folder: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs files of somebody else")
    host = open_folder / "host"
    host.mkdir(0o755)
    (host / "shared").write_text("old")
    (host / "shared").chmod(0o666)
    inode = (host / "shared").stat().st_ino

    def work() -> None:
        (open_folder / "copy").mkdir()
        (open_folder / "copy/shared").write_text("new and longer")
        before = scan(host)
        path = str(host / "shared")
        from dataclasses import replace

        found = scan(open_folder / "copy")[str(open_folder / "copy/shared")]
        node = replace(found, uid=0, gid=0, mode=0o666)
        changes = compare(before, {**before, path: node})
        store = ContentStore(open_folder / "store", durable=False)
        result = commit(
            changes,
            content=lambda _path: open_folder / "copy/shared",
            folder=open_folder / "journals",
            name="one",
            store=store,
        )
        assert result.in_place == (path,)
        assert (host / "shared").read_text() == "new and longer"
        undo(open_folder / "journals", "one", store)
        assert (host / "shared").read_text() == "old"

    as_user(work)
    assert (host / "shared").stat().st_ino == inode


def test_what_an_ordinary_user_may_not_do_is_taken_back(open_folder: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs to be root first")

    def work() -> None:
        base = open_folder / "base"
        base.mkdir()
        scene = Scene(base)
        before = tree_digest(scene.host)
        from dataclasses import replace

        changes = list(scene.change())
        for number, change in enumerate(changes):
            if change.path.endswith("/made") and change.after is not None:
                changes[number] = replace(change, after=replace(change.after, uid=0))
        with pytest.raises(ObservationError, match="Operation not permitted"):
            scene.commit(tuple(changes))
        assert tree_digest(scene.host) == before
        assert not list(scene.journals.iterdir())

    as_user(work)


# --- journals -------------------------------------------------------------------------------------------------------


def test_a_damaged_journal_is_told_and_nothing_is_touched(scene: Scene) -> None:
    scene.commit(scene.change())
    path = scene.journals / "one.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([lines[0], lines[1].replace(b"file", b"fild"), *lines[2:]]))
    before = tree_digest(scene.host)
    (found,) = recover_commits(scene.journals, scene.store)
    assert found.outcome is CommitOutcome.DAMAGED
    with pytest.raises(ObservationError, match="damaged"):
        scene.undo()
    assert tree_digest(scene.host) == before
    # A torn tail is none: the commit is finished.
    path.write_bytes(b"".join(lines)[:-20])
    (found,) = recover_commits(scene.journals, scene.store)
    assert found.outcome is CommitOutcome.FINISHED
    assert recover_commits(scene.journals, scene.store) == []
    scene.undo()


def test_a_commit_under_way_is_left_alone(scene: Scene) -> None:
    before = tree_digest(scene.host)

    def check() -> None:
        assert recover_commits(scene.journals, scene.store) == []
        assert (scene.journals / "one.jsonl").exists()

    scene.commit(scene.change(), check=check)
    scene.undo()
    assert tree_digest(scene.host) == before


def test_no_folder_of_journals(tmp_path: Path) -> None:
    assert recover_commits(tmp_path / "none", ContentStore(tmp_path)) == []


@pytest.mark.parametrize("kind", ["a link to a folder", "a link to nothing", "a file"])
@pytest.mark.parametrize("fails", [False, True])
def test_a_folder_with_folders_becomes_something_else(scene: Scene, kind: str, fails: bool) -> None:
    (scene.host / "gone/deep").mkdir()
    (scene.host / "gone/deep/f").write_text("f")
    before = tree_digest(scene.host)

    def act(copy: Path) -> None:
        shutil.rmtree(copy / "gone")
        (copy / "zz").write_text("new")
        if kind == "a file":
            (copy / "gone").write_text("x")
        else:
            (copy / "gone").symlink_to("/etc" if kind == "a link to a folder" else "nowhere")

    changes = scene.change(act)
    if fails:
        with pytest.raises(DriftError, match="zz has come into being"):
            scene.commit(changes, check=lambda: (scene.host / "zz").write_text("meanwhile"))
        (scene.host / "zz").unlink()
    else:
        scene.commit(changes)
        assert not (scene.host / "gone/deep").exists()
        scene.undo()
    assert tree_digest(scene.host) == before
    assert recover_commits(scene.journals, scene.store) == []


def test_parted_names_and_groups(scene: Scene) -> None:
    os.link(scene.host / "file", scene.host / "file2")

    def act(copy: Path) -> None:
        (copy / "file").write_text("another file took the name")
        (copy / "newname").write_text((copy / "other").read_text())
        shutil.copystat(copy / "other", copy / "newname")

    before = tree_digest(scene.host)
    changes = scene.change(act)
    names = [str(scene.host / name) for name in ("file", "other", "newname")]
    result = scene.commit(changes, parted=names[:1], groups=[names[1:]])
    assert result.in_place == ()
    assert (scene.host / "file2").read_text() == "old file"
    assert (scene.host / "other").stat().st_ino == (scene.host / "newname").stat().st_ino
    scene.undo()
    assert tree_digest(scene.host) == before
    assert (scene.host / "file").stat().st_ino == (scene.host / "file2").stat().st_ino
