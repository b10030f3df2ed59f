"""Lists for access (ACLs) of which a layer has less than the host would."""

from __future__ import annotations

import json
import os
import struct
from typing import TYPE_CHECKING

import pytest

from hearth.observe._layer import read_layer
from tests.unit.observe.test_layer import Room

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(not hasattr(os, "setxattr"), reason="overlayfs is Linux's own")
ACCESS, DEFAULT = "system.posix_acl_access", "system.posix_acl_default"
ANYBODY = 0xFFFFFFFF


def acl(*entries: tuple[int, int, int], mask: int = 7) -> bytes:
    """Return a list with the owner, the group, all others and the mask, and these besides: tag, rights, number."""
    every = sorted([(1, 6, ANYBODY), (4, 4, ANYBODY), (16, mask, ANYBODY), (32, 4, ANYBODY), *entries])
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in every)


@pytest.fixture
def room(tmp_path: Path) -> Room:
    (tmp_path / "tree").mkdir()
    (tmp_path / "state").mkdir()
    return Room(tmp_path / "tree", tmp_path / "state")


def put(path: Path, value: bytes | None) -> None:
    path.write_text("same")
    if value is not None:
        try:
            os.setxattr(path, ACCESS, value)
        except OSError:
            pytest.skip("this file system has no lists for access")


OTHER, GROUP = (2, 6, 4321), (8, 6, 4321)


@pytest.mark.parametrize(
    "before, after, lost",
    [
        (acl(OTHER), None, True),
        (acl(OTHER, GROUP), acl(OTHER), True),
        (acl(OTHER), acl((2, 4, 4321)), True),
        (acl(OTHER), acl(OTHER, mask=4), False),
        (acl(OTHER), acl(OTHER, GROUP), False),
        (acl((2, 6, os.geteuid() if hasattr(os, "geteuid") else 0)), None, False),
        (None, acl(OTHER), False),
    ],
    ids=["all", "one of two", "rights", "a mask alone", "more", "one's own", "a new one"],
)
def test_entries_that_name_others_are_missed(room: Room, before: bytes | None, after: bytes | None, lost: bool) -> None:
    put(room.tree / "file", before)
    put(room.layer("0") / "file", after)
    read = read_layer(room.state, "0")
    assert [one.path for one in read.changes] == [f"{room.tree}/file"]
    assert bool(read.refused) is lost
    assert set(read.refused) <= set(read.unseen)
    assert all("lost entries of its list for access" in reason for reason in read.refused)


def test_as_root_a_step_may_take_them_away(room: Room) -> None:
    put(room.tree / "file", acl(OTHER))
    put(room.layer("0", root=True) / "file", None)
    read = read_layer(room.state, "0")
    assert (len(read.changes), read.refused) == (1, ())


def test_what_is_made_where_a_list_should_be_inherited_and_is_not_is_told(room: Room) -> None:
    upper = room.layer("0")
    document = json.loads((room.state / "0/mounts.json").read_bytes())
    (room.state / "0/mounts.json").write_text(json.dumps(document | {"lacking": {"t": [DEFAULT]}}))
    (upper / "new").mkdir()
    (upper / "new/file").touch()
    (reason,) = read_layer(room.state, "0").refused
    assert reason.startswith(f"{room.tree}/new was created without the list for access (ACL) that {room.tree} gives")
