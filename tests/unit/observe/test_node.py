"""Nodes and changes: what counts as a difference, and that nothing is lost in JSON."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hearth.observe import Change, ChangeKind, Node, NodeType
from hearth.observe._node import path_from_json, path_to_json

if TYPE_CHECKING:
    from pathlib import Path

FILE = Node(type=NodeType.FILE, mode=0o644, uid=1, gid=2, size=3, sha256="a" * 64, mtime_ns=5)
FOLDER = Node(type=NodeType.DIRECTORY, mode=0o755, uid=1, gid=2, mtime_ns=5)


@pytest.mark.parametrize(
    "before, after, kind",
    [
        (None, FILE, ChangeKind.CREATED),
        (FILE, None, ChangeKind.DELETED),
        (FILE, FOLDER, ChangeKind.REPLACED),
        (FILE, replace(FILE, sha256="b" * 64), ChangeKind.MODIFIED),
        (FILE, replace(FILE, sha256="b" * 64, mode=0o600), ChangeKind.MODIFIED),
        (FILE, replace(FILE, mode=0o600), ChangeKind.METADATA),
        (FILE, replace(FILE, uid=7), ChangeKind.METADATA),
        (FOLDER, replace(FOLDER, xattrs={"user.a": "b" * 64}), ChangeKind.METADATA),
        (FILE, replace(FILE, mtime_ns=6), ChangeKind.TOUCHED),
        (FOLDER, replace(FOLDER, mtime_ns=6), None),
        (FILE, replace(FILE, links=2), None),
        (FILE, FILE, None),
        (None, None, None),
    ],
)
def test_the_kind_of_a_change(before: Node | None, after: Node | None, kind: ChangeKind | None) -> None:
    change = Change.between("/a", before, after)
    assert (None if change is None else change.kind) == kind
    if change is not None:
        assert Change.from_dict(json.loads(json.dumps(change.to_dict()))) == change


def test_a_node_of_a_file_says_what_lstat_said(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("abc")
    path.chmod(0o4751)
    status = path.lstat()
    node = Node.of(status, sha256="a" * 64)
    assert (node.type, node.mode, node.size, node.uid) == (NodeType.FILE, 0o4751, 3, status.st_uid)
    assert node.mtime_ns == status.st_mtime_ns
    (tmp_path / "b").symlink_to("a")
    assert Node.of((tmp_path / "b").lstat(), target="a").type is NodeType.SYMLINK
    assert Node.of(tmp_path.lstat()).size is None


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no such devices")
def test_devices_and_pipes_are_told_apart(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert Node.of((tmp_path / "pipe").lstat()).type is NodeType.FIFO
    null = Node.of(os.lstat("/dev/null"))
    assert (null.type, null.device) == (NodeType.CHARACTER, (1, 3))
    assert Node.from_dict(null.to_dict()) == null


@given(st.binary(min_size=1, max_size=50).filter(lambda name: b"\0" not in name))
def test_any_name_goes_through_json(name: bytes) -> None:
    path = "/" + name.decode("utf-8", "surrogateescape")
    assert path_from_json(json.loads(json.dumps(path_to_json(path)))) == path


@pytest.mark.parametrize("value", [None, 1, {}, {"$bytes": 1}, {"$bytes": "!"}, {"$bytes": "YQ==", "more": 1}])
def test_what_is_no_path_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match=r"path|base64|padding|data"):
        path_from_json(value)
