"""How many names a file has after a step in a layer, and before the next one: as many as without a sandbox."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from hearth.observe._layer import read_layer
from hearth.observe._layer_names import told_number
from tests import overlays
from tests.unit.observe.test_layer import Room, needs_overlay, needs_root

if TYPE_CHECKING:
    from pathlib import Path

    from hearth.observe._change import Change

pytestmark = pytest.mark.skipif(not hasattr(os, "setxattr"), reason="overlayfs is Linux's own")
SCRIPTS = {
    "a link, and a write": "ln a c; echo x >> b",
    "a link alone": "ln b c",
    "links in two folders": "mkdir new; ln a new/c; ln a folder/d; echo x >> a",
    "a name removed": "rm b",
    "a name removed, another written": "rm b; echo x >> a",
    "all removed": "rm a b",
    "a name renamed": "echo x >> a; mv b d",
    "a name replaced": "echo y > t; mv t b",
    "made anew with links": "echo z > x; ln x y; ln x z; rm z",
    "linked, and removed again": "ln a c; echo x >> c; rm a",
}


@pytest.fixture
def room(tmp_path: Path) -> Room:
    tree, bare = tmp_path / "tree", tmp_path / "bare"
    (tree / "folder").mkdir(parents=True)
    (tree / "a").write_text("1")
    os.link(tree / "a", tree / "b")
    (tmp_path / "state").mkdir()
    subprocess.run(["cp", "-a", str(tree), str(bare)], check=True)
    return Room(tree, tmp_path / "state")


def bare(room: Room, script: str) -> dict[str, int]:
    """Run a script without a sandbox, and return how many names each file has then."""
    folder = room.tree.with_name("bare")
    subprocess.run(["sh", "-ec", script], cwd=folder, check=True)
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path).replace(str(folder), str(room.tree)): path.stat().st_nlink for path in files}


def after(changes: tuple[Change, ...]) -> dict[str, int]:
    return {one.path: one.after.links for one in changes if one.after is not None and one.after.type == "file"}


def before(changes: tuple[Change, ...]) -> dict[str, int]:
    return {one.path: one.before.links for one in changes if one.before is not None and one.before.type == "file"}


def within(some: dict[str, int], every: dict[str, int]) -> bool:
    return some.items() <= every.items()


@needs_root
@pytest.mark.parametrize("index", [True, False])
@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
def test_one_step(room: Room, script: str, index: bool) -> None:
    if not index and script in (SCRIPTS["a name renamed"], SCRIPTS["linked, and removed again"]):
        pytest.skip("without an index nothing tells what a renamed file was")
    room.run(script, index=index)
    read = read_layer(room.state, "0")
    assert read.changes
    expected = bare(room, script)
    assert within(after(read.changes), expected), (after(read.changes), expected)
    assert set(before(read.changes).values()) <= {2}


@needs_overlay
@pytest.mark.parametrize("script", ["ln a c; echo x >> b", "ln b c", "rm b", "rm b; echo x >> a"])
def test_one_step_of_an_ordinary_user(room: Room, script: str) -> None:
    def work() -> None:
        subprocess.run(["sh", "-ec", script], check=True)

    overlays.run_over(room.tree, room.state, "0", work, root=False)
    read = read_layer(room.state, "0")
    expected = bare(room, script)
    assert within(after(read.changes), expected), (after(read.changes), expected)


@needs_root
@pytest.mark.parametrize(
    "first, second",
    [
        ("ln a c", "ln c d"),
        ("ln a c; echo x >> a", "rm c"),
        ("echo z > x; ln x y", "ln y z; echo 1 >> x"),
        ("rm b", "ln a c"),
        ("rm b", "echo x >> a"),
        ("ln a c", "echo x > folder/new; ln folder/new folder/newer; rm c"),
    ],
)
def test_two_steps(room: Room, first: str, second: str) -> None:
    room.run(first)
    one = read_layer(room.state, "0")
    between = bare(room, first)
    assert within(after(one.changes), between)
    room.run(second, "1", below=("0",))
    two = read_layer(room.state, "1", ("0",))
    expected = bare(room, second)
    assert within(after(two.changes), expected), (after(two.changes), expected)
    assert within(before(two.changes), between), (before(two.changes), between)


@pytest.mark.parametrize(
    "links, value, number", [(4, b"U-1", 3), (3, b"U+2", 5), (2, b"L+0", 1), (2, b"U", 1), (2, b"\xff1", 1)]
)
def test_what_overlayfs_writes_down(links: int, value: bytes, number: int) -> None:
    assert told_number(links, {"nlink": value}) == number
    assert told_number(links, {}) == links
