"""Layers as the kernel writes them, and layers put together by hand: what is hidden, kept, moved and not told."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
from dataclasses import dataclass, replace
from errno import EXDEV
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hearth.errors import ObservationError
from hearth.observe._layer import LowerView, layer_path, read_layer
from hearth.observe._tree import compare, scan
from tests import overlays

if TYPE_CHECKING:
    from hearth.observe._layer import LayerChanges

pytestmark = pytest.mark.skipif(not hasattr(os, "setxattr"), reason="overlayfs is Linux's own")
needs_root = pytest.mark.skipif(bool(overlays.why_not(root=True)), reason=overlays.why_not(root=True))
needs_overlay = pytest.mark.skipif(bool(overlays.why_not(root=False)), reason=overlays.why_not(root=False))


@dataclass(frozen=True)
class Room:
    """A tree, and a state folder for layers over it."""

    tree: Path
    state: Path

    def layer(self, name: str, *, root: bool = False) -> Path:
        """Make an empty layer by hand, and return its upper directory."""
        upper = self.state / name / "t/up"
        upper.mkdir(parents=True)
        upper.chmod(stat.S_IMODE(self.tree.stat().st_mode))
        document = {"root": root, "mounts": {"t": str(self.tree)}, "readonly": {}, "failed": {}}
        (self.state / name / "mounts.json").write_text(json.dumps(document))
        return upper

    def kinds(self, read: LayerChanges) -> dict[str, str]:
        return {change.path.removeprefix(f"{self.tree}/"): str(change.kind) for change in read.changes}

    def run(self, script: str, layer: str = "0", *, below: tuple[str, ...] = (), index: bool = True) -> None:
        """Run a shell script over the tree, in an overlay as root has it."""
        overlays.run_over(
            self.tree,
            self.state,
            layer,
            lambda: subprocess.run(["sh", "-ec", script], check=True),
            below=below,
            index=index,
        )


@pytest.fixture
def room(tmp_path: Path) -> Room:
    tree = tmp_path / "tree"
    (tree / "folder/inner").mkdir(parents=True)
    for name in ("a", "b", "folder/c", "folder/inner/d"):
        (tree / name).write_text(name)
    (tree / "link").symlink_to("a")
    (tmp_path / "state").mkdir()
    return Room(tree, tmp_path / "state")


def whiteout(path: Path) -> None:
    """Make one of the kind that needs no device: a file with an attribute, in a directory that says so."""
    path.touch()
    os.setxattr(path, "user.overlay.whiteout", b"")
    os.setxattr(path.parent, "user.overlay.opaque", b"x")


def test_an_empty_layer_changes_nothing(room: Room) -> None:
    room.layer("0")
    read = read_layer(room.state, "0")
    assert (read.changes, read.unseen, read.groups, read.parted) == ((), (), (), ())


def test_a_whiteout_may_be_a_file_with_an_attribute(room: Room) -> None:
    upper = room.layer("0")
    whiteout(upper / "a")
    whiteout(upper / "absent")
    assert room.kinds(read_layer(room.state, "0")) == {"a": "deleted"}
    with LowerView(state=room.state, below=("0",)) as view:
        assert view.names(str(room.tree)) == ["b", "folder", "link"]
        assert view.node(f"{room.tree}/a") is None
        with pytest.raises(FileNotFoundError):
            view.open(f"{room.tree}/a")
    assert layer_path(room.state, "0", f"{room.tree}/a") is None


def test_such_a_file_in_an_unmarked_directory_is_a_file(room: Room) -> None:
    upper = room.layer("0")
    (upper / "new").touch()
    os.setxattr(upper / "new", "user.overlay.whiteout", b"")
    assert room.kinds(read_layer(room.state, "0")) == {"new": "created"}


@needs_root
def test_a_whiteout_may_be_a_device(room: Room) -> None:
    upper = room.layer("0", root=True)
    os.mknod(upper / "folder", stat.S_IFCHR | 0o000, 0)
    kinds = room.kinds(read_layer(room.state, "0"))
    assert set(kinds) == {"folder", "folder/c", "folder/inner", "folder/inner/d"}
    assert set(kinds.values()) == {"deleted"}


def test_an_opaque_directory_is_compared_child_by_child(room: Room) -> None:
    folder = room.layer("0") / "folder"
    folder.mkdir()
    os.setxattr(folder, "user.overlay.opaque", b"y")
    folder.chmod(stat.S_IMODE((room.tree / "folder").stat().st_mode))
    shutil.copy2(room.tree / "folder/c", folder / "c")
    (folder / "e").touch()
    expected = {"folder/e": "created", "folder/inner": "deleted", "folder/inner/d": "deleted"}
    assert room.kinds(read_layer(room.state, "0")) == expected
    with LowerView(state=room.state, below=("0",)) as view:
        assert view.names(f"{room.tree}/folder") == ["c", "e"]
        assert view.node(f"{room.tree}/folder/inner/d") is None


def test_a_file_that_was_copied_up_alone_is_no_change(room: Room) -> None:
    shutil.copy2(room.tree / "a", room.layer("0") / "a")
    assert read_layer(room.state, "0").changes == ()
    (room.state / "0/t/up/a").chmod(0o600)
    assert room.kinds(read_layer(room.state, "0")) == {"a": "metadata"}


def test_attributes_of_the_overlay_itself_do_not_count(room: Room) -> None:
    upper = room.layer("0")
    shutil.copy2(room.tree / "a", upper / "a")
    for name in ("origin", "nlink", "impure", "uuid", "protattr"):
        os.setxattr(upper / "a", f"user.overlay.{name}", b"y")
    os.setxattr(upper, "user.overlay.impure", b"y")
    assert read_layer(room.state, "0").changes == ()
    assert read_layer(room.state, "0").unseen == ()


@pytest.mark.parametrize("root, name", [(True, "user.overlay.opaque"), (False, "user.overlay.overlay.opaque")])
def test_where_a_program_uses_the_names_of_the_overlay_that_is_said(room: Room, root: bool, name: str) -> None:
    folder = room.layer("0", root=root) / "new"
    folder.mkdir()
    os.setxattr(folder, name, b"y")
    read = read_layer(room.state, "0")
    assert room.kinds(read) == {"new": "created"}
    assert [reason for reason in read.unseen if "are not compared" in reason and str(room.tree / "new") in reason]


def test_a_redirected_directory_is_not_read_and_that_is_said(room: Room) -> None:
    folder = room.layer("0") / "moved"
    folder.mkdir()
    os.setxattr(folder, "user.overlay.redirect", b"folder")
    read = read_layer(room.state, "0")
    assert room.kinds(read) == {"moved": "created"}
    assert read.unseen == (
        f"what lies in {room.tree}/moved was moved there from elsewhere, and was not read (redirect)",
    )


def test_content_that_lies_elsewhere_has_no_hash_and_that_is_said(room: Room) -> None:
    upper = room.layer("0")
    shutil.copy2(room.tree / "a", upper / "a")
    os.truncate(upper / "a", 1)
    os.setxattr(upper / "a", "user.overlay.metacopy", b"")
    read = read_layer(room.state, "0")
    assert read.changes[0].after is not None
    assert read.changes[0].after.sha256 is None
    assert read.unseen == (f"the content of {room.tree}/a does not lie in the layer (metacopy)",)


def test_what_lies_under_a_deeper_mount_point_does_not_count(room: Room) -> None:
    upper = room.layer("0")
    document = json.loads((room.state / "0/mounts.json").read_text())
    document["mounts"]["inner"] = f"{room.tree}/folder/inner"
    (room.state / "0/mounts.json").write_text(json.dumps(document))
    (upper / "folder/inner").mkdir(parents=True)
    (upper / "folder/inner/covered").touch()
    (upper / "folder/seen").touch()
    inner = room.state / "0/inner/up"
    inner.mkdir(parents=True)
    whiteout(inner / "d")
    assert room.kinds(read_layer(room.state, "0")) == {"folder/inner/d": "deleted", "folder/seen": "created"}
    with LowerView(state=room.state, below=("0",)) as view:
        assert view.names(f"{room.tree}/folder/inner") == []
        assert view.names(f"{room.tree}/folder") == ["c", "inner", "seen"]
        assert view.node(f"{room.tree}/folder/inner") is not None
    assert layer_path(room.state, "0", f"{room.tree}/folder/inner") == inner
    assert layer_path(room.state, "0", f"{room.tree}/folder/seen") == upper / "folder/seen"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root gives a folder away")
def test_a_directory_of_somebody_else_is_compared_with_its_stand_in(room: Room) -> None:
    """That has the user's number and perhaps another mode, until the step gives it one."""
    upper = room.layer("0")
    os.chown(upper, 1234, 1234)
    upper.chmod(0o555)
    path = room.state / "0/mounts.json"
    foreign = {"t": {"mode": 0o555, "writable": True, "sticky": True}}
    path.write_text(json.dumps(json.loads(path.read_text()) | {"foreign": foreign}))
    (upper / "a").write_text("another user's")
    (upper / "new").touch()
    read = read_layer(room.state, "0")
    assert room.kinds(read) == {"a": "modified", "new": "created"}
    assert read.refused == ()
    os.chown(upper / "a", 1234, 1234)
    os.chown(room.tree / "a", 4321, 4321)
    upper.chmod(0o700)
    read = read_layer(room.state, "0")
    (change,) = (one for one in read.changes if one.path == str(room.tree))
    assert change.before is not None
    assert change.after == replace(change.before, mode=0o700)
    what = "given other permissions, owner or attributes: it is another user's"
    assert read.refused == (
        f"the host would refuse that {room.tree} was {what}",
        f"the host would refuse that {room.tree}/a was modified: in {room.tree} only its owner may do that",
    )
    assert read.unseen == read.refused


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root gives a folder to any group")
def test_the_group_of_a_mount_point_is_not_compared_where_one_alone_has_a_number(room: Room) -> None:
    """An ordinary user's folder may belong to another of the user's groups; its mode is compared all the same."""
    os.chown(room.tree, 0, 1234)
    upper = room.layer("0")
    assert read_layer(room.state, "0").changes == ()
    upper.chmod(0o700)
    (change,) = read_layer(room.state, "0").changes
    assert change.before is not None
    assert change.after is not None
    assert (change.before.gid, change.after.gid, change.after.mode) == (1234, 1234, 0o700)
    upper = room.layer("1", root=True)
    assert room.kinds(read_layer(room.state, "1")) == {str(room.tree): "metadata"}


def test_a_file_too_long_to_be_read_counts_as_modified_and_unread(room: Room) -> None:
    upper = room.layer("0")
    for folder in (room.tree, upper):
        with (folder / "holes").open("wb") as file:
            file.truncate(1 << 40)
        os.utime(folder / "holes", (1, 1))
    read = read_layer(room.state, "0")
    assert room.kinds(read) == {"holes": "modified"}
    assert read.unread == (f"{room.tree}/holes",)
    why = f"{room.tree}/holes was not compared by its content: of its {1 << 40} bytes most lie in holes"
    assert read.unseen == (why,)


def test_reading_a_layer_ends_where_it_is_told_to(room: Room) -> None:
    (room.layer("0") / "new").write_text("new")
    with pytest.raises(ObservationError, match="SIGTERM"):
        read_layer(room.state, "0", stop=lambda: "SIGTERM")


def test_paths_that_are_ignored_are_left_out_with_all_below(room: Room) -> None:
    upper = room.layer("0")
    (upper / "folder").mkdir()
    (upper / "folder/new").touch()
    (upper / "folders").touch()
    assert room.kinds(read_layer(room.state, "0", ignore=[f"{room.tree}/folder"])) == {"folders": "created"}
    assert read_layer(room.state, "0", ignore=[str(room.tree)]).changes == ()


@pytest.mark.parametrize(
    "document", ["", "{}", "[]", '{"root": 1, "mounts": {}}', '{"root": true, "mounts": {"a": "b"}}']
)
def test_a_layer_without_sound_mounts_is_refused(room: Room, document: str) -> None:
    (room.state / "0").mkdir()
    with pytest.raises(ObservationError, match="the layer 0 cannot be read"):
        read_layer(room.state, "0")
    (room.state / "0/mounts.json").write_text(document)
    with pytest.raises(ObservationError, match="the layer 0 cannot be read"):
        read_layer(room.state, "0")


def test_a_layer_whose_folder_is_gone_says_so(room: Room) -> None:
    room.layer("0").rmdir()
    read = read_layer(room.state, "0")
    assert (read.changes, read.unseen) == ((), (f"{room.tree} cannot be read: its layer is gone",))


def test_a_view_of_the_host_alone_is_the_host(room: Room) -> None:
    with LowerView(state=room.state) as view:
        found = scan(room.tree)
        for path, node in found.items():
            assert view.node(path) == node
        assert view.names(str(room.tree)) == ["a", "b", "folder", "link"]
        with view.open(f"{room.tree}/folder/c") as file:
            assert file.read() == b"folder/c"
        assert view.names(f"{room.tree}/a") == []
        assert view.node(f"{room.tree}/a/b") is None
        assert view.node(f"{room.tree}/a", content=False) != found[f"{room.tree}/a"]
        with pytest.raises(IsADirectoryError):
            view.open(f"{room.tree}/folder")
        with pytest.raises(ValueError, match="not an absolute path"):
            view.names("a")
        assert view.node("/") is not None


def test_the_newest_layer_counts(room: Room) -> None:
    for name, text in (("0", "first"), ("1", "second")):
        upper = room.layer(name)
        (upper / "a").write_text(text)
        (upper / f"new{name}").touch()
    whiteout(room.state / "1/t/up/new0")
    with LowerView(state=room.state, below=("0", "1")) as view:
        with view.open(f"{room.tree}/a") as file:
            assert file.read() == b"second"
        assert view.names(str(room.tree)) == ["a", "b", "folder", "link", "new1"]
    read = read_layer(room.state, "1", ("0",))
    assert room.kinds(read) == {"a": "modified", "new0": "deleted", "new1": "created"}
    assert layer_path(room.state, "1", f"{room.tree}/a") == room.state / "1/t/up/a"


def test_a_host_may_lie_in_another_place(room: Room, tmp_path: Path) -> None:
    upper = room.layer("0")
    (upper / "a").write_text("new")
    host = tmp_path / "host"
    shutil.copytree(room.tree, host / str(room.tree).lstrip("/"), symlinks=True)
    (room.tree / "a").unlink()
    assert room.kinds(read_layer(room.state, "0")) == {"a": "created"}
    assert room.kinds(read_layer(room.state, "0", host=host)) == {"a": "modified"}


# --- as the kernel writes them --------------------------------------------------------------------------------------


@needs_root
def test_each_kind_of_change(room: Room) -> None:
    room.run(
        "echo more >> a; rm b; chmod 700 folder; touch -d @5 folder/c; ln -sfn b link; mkfifo p; mkdir n; echo x > n/x"
        "; rm -r folder/inner; touch folder/inner"
    )
    read = read_layer(room.state, "0")
    assert read.unseen == ()
    assert room.kinds(read) == {
        "a": "modified",
        "b": "deleted",
        "folder": "metadata",
        "folder/c": "touched",
        "folder/inner": "replaced",
        "folder/inner/d": "deleted",
        "link": "modified",
        "n": "created",
        "n/x": "created",
        "p": "created",
    }
    assert list(read.changes) == sorted(read.changes, key=lambda change: os.fsencode(change.path))


@needs_root
def test_a_directory_that_is_removed_and_made_again_is_what_it_was(room: Room) -> None:
    room.run("cp -a folder ../copy; rm -r folder; cp -a ../copy folder")
    assert read_layer(room.state, "0").changes == ()


@needs_root
def test_a_directory_of_the_host_cannot_be_renamed_and_mv_copes(room: Room) -> None:
    """The known difference: a program that renames by itself is told EXDEV (redirect_dir=off)."""

    def rename() -> int:
        try:
            Path("folder").rename("other")
        except OSError as error:
            return error.errno or 0
        return 0

    assert overlays.run_over(room.tree, room.state, "0", rename) == EXDEV
    assert read_layer(room.state, "0").changes == ()
    room.run("mv folder other", "1")
    read, before = read_layer(room.state, "1"), scan(room.tree)
    (room.tree / "folder").rename(room.tree / "other")
    assert read.changes == compare(before, scan(room.tree))


def link(room: Room) -> None:
    os.link(room.tree / "a", room.tree / "a2")
    os.link(room.tree / "a", room.tree / "folder/inner/a3")


@needs_root
@pytest.mark.parametrize(
    "script",
    ["echo more >> a", "echo more >> a; rm a", "mv a moved; echo more >> moved", "chmod 600 a", "rm a; echo x >> a2"],
)
def test_a_write_to_one_name_changes_the_others(room: Room, script: str) -> None:
    link(room)
    room.run(script)
    read = read_layer(room.state, "0", search=[str(room.tree)])
    before = scan(room.tree)
    subprocess.run(["sh", "-ec", script], cwd=room.tree, check=True)
    after = scan(room.tree)
    assert read.changes == compare(before, after)
    assert (read.unseen, read.parted) == ((), ())
    for change in read.changes:
        if change.after is not None:
            held = layer_path(room.state, "0", change.path)
            assert held is not None
            assert scan(held)[str(held)] == after[change.path]


@needs_root
@pytest.mark.parametrize("index", [True, False])
def test_a_file_put_in_the_place_of_one_name_leaves_the_others(room: Room, index: bool) -> None:
    link(room)
    room.run("sed -i s/a/x/ a", index=index)
    read = read_layer(room.state, "0", search=[str(room.tree)])
    assert room.kinds(read) == {"a": "modified"}
    assert read.parted == (f"{room.tree}/a",)
    assert bool(read.unseen) is not index  # without an index it is a guess, and called one


@needs_root
def test_removing_one_name_changes_nothing_of_the_others(room: Room) -> None:
    link(room)
    room.run("rm a a2")
    read = read_layer(room.state, "0", search=[str(room.tree)])
    assert room.kinds(read) == {"a": "deleted", "a2": "deleted"}
    assert read.unseen == ()


@needs_root
def test_without_an_index_a_removed_name_may_have_been_written_and_that_is_said(room: Room) -> None:
    link(room)
    room.run("echo more >> a; rm a", index=False)
    read = read_layer(room.state, "0")
    assert room.kinds(read) == {"a": "deleted"}
    assert read.unseen == (f"{room.tree}/a had 3 names; whether it was written before it was removed, cannot be told",)


@needs_root
def test_names_that_are_not_found_are_said(room: Room) -> None:
    link(room)
    room.run("echo more >> a")
    read = read_layer(room.state, "0")
    assert room.kinds(read) == {"a": "modified", "a2": "modified"}
    assert read.unseen == (f"{room.tree}/a has 3 names, and only 2 were found",)
    assert read_layer(room.state, "0", search=[str(room.tree)], search_limit=0).unseen == read.unseen
    assert room.kinds(read_layer(room.state, "0", search=[str(room.tree)]))["folder/inner/a3"] == "modified"


@needs_root
def test_names_that_were_given_are_told_as_one_file(room: Room) -> None:
    room.run("ln a n1; ln a n2; echo more >> n2")
    read = read_layer(room.state, "0")
    assert room.kinds(read) == {"a": "modified", "n1": "created", "n2": "created"}
    assert read.groups == (tuple(f"{room.tree}/{name}" for name in ("a", "n1", "n2")),)


@needs_root
@pytest.mark.parametrize(
    "script", ["mv a moved", "mv a moved; echo more >> moved", "ln a moved; chmod 600 moved; rm a"]
)
def test_a_new_name_is_told_with_those_that_stay(room: Room, script: str) -> None:
    link(room)
    room.run(script)
    names = ["a2", "folder/inner/a3", "moved"]
    assert read_layer(room.state, "0", search=[str(room.tree)]).groups == (tuple(f"{room.tree}/{n}" for n in names),)


@needs_root
def test_a_later_step_changes_all_names_that_an_earlier_one_gave(room: Room) -> None:
    room.run("ln b b2; echo x > n; ln n n2")
    room.run("echo more >> b; chmod 600 n2", "1", below=("0",))
    read = read_layer(room.state, "1", ("0",))
    assert room.kinds(read) == {"b": "modified", "b2": "modified", "n": "metadata", "n2": "metadata"}
    assert (read.unseen, read.parted) == ((), ())
    held = layer_path(room.state, "1", f"{room.tree}/b2")
    assert held is not None
    assert held.read_text() == "bmore\n"


@needs_root
def test_a_later_step_that_finds_another_name_as_it_was_is_told_of(room: Room) -> None:
    link(room)
    room.run("echo more >> a")
    assert len(read_layer(room.state, "0").changes) == 2
    room.run("touch new", "1", below=("0",))
    reasons = read_layer(room.state, "1", ("0",)).unseen
    assert reasons == (
        f"{room.tree}/a2 was changed by an earlier step through another name; this step found it as it was before",
    )


@needs_overlay
@pytest.mark.parametrize(
    "script, kinds",
    [
        ("echo more >> a", {"a": "modified", "a2": "modified", "folder/inner/a3": "modified"}),
        ("echo more > new; mv new a", {"a": "modified"}),
    ],
)
def test_an_ordinary_user_has_guesses_that_are_called_so(room: Room, script: str, kinds: dict[str, str]) -> None:
    link(room)

    def shell() -> None:
        subprocess.run(["sh", "-ec", script], check=True)

    overlays.run_over(room.tree, room.state, "0", shell, root=False)
    read = read_layer(room.state, "0", search=[str(room.tree)])
    assert room.kinds(read) == kinds
    assert "which cannot be told for sure" in read.unseen[0]


@needs_root
def test_another_file_system_in_a_removed_directory_is_told_of(room: Room, tmp_path: Path) -> None:
    """What is mounted within a directory is not in the layer: a program could not have removed it."""
    whiteout_at = room.layer("0", root=True) / "folder"
    os.mknod(whiteout_at, stat.S_IFCHR, 0)

    def mounted() -> tuple[str, ...]:
        subprocess.run(["mount", "-t", "tmpfs", "none", f"{room.tree}/folder/inner"], check=True)
        return read_layer(room.state, "0").unseen

    other = tmp_path / "other"
    other.mkdir()
    unseen = overlays.run_over(other, tmp_path / "elsewhere", "0", mounted)
    assert unseen == (f"{room.tree}/folder/inner is another file system than the directory that holds it",)
