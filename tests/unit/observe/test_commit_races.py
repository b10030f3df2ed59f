"""Names that lead elsewhere between the look and the act: a commit reaches what was looked at, or nothing."""

from __future__ import annotations

import os
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from hearth.errors import DriftError, HearthError
from hearth.observe import _commit_apply, _commit_make, _commit_restore, recover_commits
from tests.unit.observe.test_commit_refused import Scene

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="commits need Linux")


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    found = Scene(tmp_path)
    (found.host / "secret").write_text("secret")
    (found.host / "secret").chmod(0o600)
    (found.host / "private").mkdir(0o700)
    (found.host / "open").mkdir(0o755)
    return found


def once(act: Callable[[], object]) -> Callable[[], None]:
    left = [act]

    def do() -> None:
        if left:
            left.pop()()

    return do


def swap(host: Path, name: str, other: str) -> Callable[[], None]:
    """Return what puts a thing elsewhere, and another one under its name."""

    def do() -> None:
        (host / name).rename(host / f"{name}.away")
        (host / other).rename(host / name)

    return once(do)


def around(
    patch: pytest.MonkeyPatch, place: Any, name: str, *, before: Any = None, after: Any = None, where: Any = None
) -> None:
    """Have something happen directly before or after a real call, where its arguments are such."""
    real = getattr(place, name)

    def call(*given: Any, **named: Any) -> Any:
        here = where is None or where(*given)
        if here and before is not None:
            before()
        result = real(*given, **named)
        if here and after is not None:
            after()
        return result

    patch.setattr(place, name, call)


def mode(path: Path) -> int:
    return path.lstat().st_mode & 0o7777


@pytest.mark.parametrize("name, other", [("other", "secret"), ("open", "private")])
@pytest.mark.parametrize("late", [False, True], ids=["before it is held", "after it is held"])
def test_permissions_are_never_given_to_another_thing(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, name: str, other: str, late: bool
) -> None:
    changes = scene.change(lambda copy: (copy / name).chmod(0o777))
    was = mode(scene.host / other)
    event = swap(scene.host, name, other)
    if late:
        around(monkeypatch, _commit_apply, "apply_metadata", before=event)
    else:
        around(monkeypatch, os, "open", before=event, where=lambda path, how, *_: path == name and how & os.O_PATH)
    with pytest.raises(HearthError) as caught:
        scene.commit(changes)
    assert mode(scene.host / name) == was
    if late:
        assert "another one lies there" in str(caught.value)
    else:
        assert isinstance(caught.value, DriftError)
        assert mode(scene.host / f"{name}.away") != 0o777
        assert recover_commits(scene.journals, scene.store) == []


def test_a_change_that_leaves_size_and_time_as_they_were_is_seen(scene: Scene) -> None:
    def rewrite() -> None:
        status = (scene.host / "other").stat()
        (scene.host / "other").write_text("OLD other")
        os.utime(scene.host / "other", ns=(status.st_atime_ns, status.st_mtime_ns))

    with pytest.raises(DriftError, match="other was changed meanwhile"):
        scene.commit(scene.change(lambda copy: (copy / "other").chmod(0o600)), check=rewrite)
    assert mode(scene.host / "other") == 0o644


def temporary(host: Path) -> Path:
    return next(path for path in host.iterdir() if path.name.startswith(".hearth-"))


def test_what_is_put_under_the_temporary_name_gets_no_rights(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    def act(copy: Path) -> None:
        (copy / "new").write_text("new")
        (copy / "new").chmod(0o666)

    changes = scene.change(act)

    def put() -> None:
        temporary(scene.host).rename(scene.host / "away")
        (scene.host / "secret").rename(scene.host / temporary_name[0])

    temporary_name: list[str] = []
    around(monkeypatch, _commit_make, "_fill", after=once(lambda: temporary_name.append(temporary(scene.host).name)))
    around(monkeypatch, _commit_make, "_fill", after=once(put))
    with pytest.raises(HearthError):
        scene.commit(changes)
    kept = [path for path in scene.host.iterdir() if path.is_file() and path.read_text() == "secret"]
    assert [mode(path) for path in kept] == [0o600]


@pytest.mark.parametrize("name", ["new", "file"])
def test_what_is_put_under_the_temporary_name_is_not_committed(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def act(copy: Path) -> None:
        (copy / name).write_text("new")

    changes = scene.change(act)

    def put() -> None:
        (scene.host / "evil").write_text("evil")
        (scene.host / "evil").rename(temporary(scene.host))

    for call in ("rename_new", "exchange"):
        around(monkeypatch, _commit_apply, call, before=once(put))
    with pytest.raises(HearthError):
        scene.commit(changes)


def test_a_stranger_survives_what_is_taken_back(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """It comes between the look at what was committed and its removal or replacement."""

    def act(copy: Path) -> None:
        for name in ("file", "new", "zz"):
            (copy / name).write_text("new")

    (scene.host / "zz").write_text("zz")
    changes = scene.change(act)

    def come(name: str) -> None:
        (scene.host / f"{name}.stranger").write_text(f"strange {name}")
        (scene.host / f"{name}.stranger").rename(scene.host / name)

    for name in ("file", "new"):
        event = once(partial(come, name))
        around(monkeypatch, _commit_restore, "look", after=event, where=lambda _, looked, name=name: looked == name)
    with pytest.raises(HearthError, match="another one"):
        scene.commit(changes, check=lambda: (scene.host / "zz").write_text("meanwhile"))
    assert (scene.host / "file").read_text() == "strange file"
    assert (scene.host / "new").read_text() == "strange new"
    assert (scene.host / "zz").read_text() == "meanwhile"


def test_permissions_are_not_taken_back_from_another_file(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    def act(copy: Path) -> None:
        (copy / "other").chmod(0o600)
        (copy / "zz").write_text("new")

    (scene.host / "zz").write_text("zz")
    changes = scene.change(act)
    (scene.host / "twin").write_text("old other")
    (scene.host / "twin").chmod(0o600)

    def late() -> None:
        (scene.host / "twin").rename(scene.host / "other")
        (scene.host / "zz").write_text("meanwhile")

    around(monkeypatch, _commit_apply, "exchange", before=late)
    with pytest.raises(HearthError, match="another one"):
        scene.commit(changes)
    assert mode(scene.host / "other") == 0o600


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root")
def test_the_owner_of_a_link_is_changed_and_not_that_of_its_target(scene: Scene) -> None:
    changes = scene.change(lambda copy: os.lchown(copy / "link", 65534, 65534))
    scene.commit(changes)
    assert (scene.host / "link").lstat().st_uid == 65534
    assert (scene.host / "file").stat().st_uid == 0
    scene.undo()
    assert (scene.host / "link").lstat().st_uid == 0
