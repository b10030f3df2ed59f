"""What is read from a layer is what a bare run changes: random file operations, in an overlay and then bare."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import contextmanager
from errno import EXDEV
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from hearth.observe._layer import layer_path, read_layer
from hearth.observe._tree import compare, scan, tree_digest
from tests import overlays

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hearth.observe._change import Change

needs_root = pytest.mark.skipif(bool(overlays.why_not(root=True)), reason=overlays.why_not(root=True))
needs_overlay = pytest.mark.skipif(bool(overlays.why_not(root=False)), reason=overlays.why_not(root=False))

NAMES = ["a", "b", "c", "d/a", "d/b", "d/e/a", "d/e", "d", "e", "e/a", "l", "\udcff\n"]
OLD = 1_000_000_000_000_000_000
path = st.sampled_from(NAMES)
data = st.sampled_from([b"", b"x", b"other words", b"w" * 5000])
modes = st.sampled_from([0o600, 0o644, 0o755, 0o4755, 0o1777])
COMMON = [
    st.tuples(st.sampled_from(["create", "write", "append"]), path, data),
    st.tuples(st.sampled_from(["unlink", "mkdir", "rmdir", "mkfifo", "remove"]), path),
    st.tuples(st.sampled_from(["rename", "symlink", "copy", "replace"]), path, path),
    st.tuples(st.just("truncate"), path, st.sampled_from([0, 1, 3, 9000])),
    st.tuples(st.just("chmod"), path, modes),
    st.tuples(st.just("setxattr"), path, data),
    st.tuples(st.just("removexattr"), path),
    st.tuples(st.just("utime"), path, st.sampled_from([OLD, 5])),
]
link = st.tuples(st.just("link"), path, path)
chown = st.tuples(st.just("chown"), path, st.sampled_from([0, 1000, 65534]))


def open_to_its_owner(operation: tuple[Any, ...]) -> bool:
    """Whether an ordinary user can still list a directory after it: what cannot be listed cannot be compared."""
    return bool(operation[0] != "chmod" or operation[2] & 0o700 == 0o700)


def _replace(where: str, target: str) -> None:
    """Write a new file and rename it over the old one, as editors do."""
    temporary = Path("temporary")
    shutil.copy2(where, temporary)
    temporary.write_bytes(temporary.read_bytes() + b"!")
    temporary.replace(target)


def _write(where: str, data: bytes, mode: Literal["xb", "r+b", "ab"]) -> None:
    with Path(where).open(mode) as file:
        file.write(data)


ACTIONS: dict[str, Callable[..., object]] = {
    "create": lambda where, data: _write(where, data, "xb"),
    "write": lambda where, data: _write(where, data, "r+b"),
    "append": lambda where, data: _write(where, data, "ab"),
    "copy": lambda where, target: Path(target).write_bytes(Path(where).read_bytes()),
    "replace": _replace,
    "remove": shutil.rmtree,
    "symlink": lambda where, target: Path(where).symlink_to(target),
    "setxattr": lambda where, data: os.setxattr(where, "user.note", data, follow_symlinks=False),
    "removexattr": lambda where: os.removexattr(where, "user.note", follow_symlinks=False),
    "chown": lambda where, owner: os.chown(where, owner, owner, follow_symlinks=False),
    "utime": lambda where, time: os.utime(where, ns=(OLD, time), follow_symlinks=False),
}


def apply(operation: tuple[Any, ...]) -> None:
    name, *arguments = operation
    (ACTIONS.get(name) or getattr(os, name))(*arguments)


def play(operations: list[tuple[Any, ...]], skip: frozenset[int] = frozenset()) -> list[int]:
    """Do all of them, and return the error number of each (0: none, -1: skipped)."""
    results = []
    for index, operation in enumerate(operations):
        number = 0
        try:
            if index in skip:
                number = -1
            elif not (operation[0] in ("write", "append", "copy", "remove") and _is_pipe(operation)):
                apply(operation)
        except shutil.Error:
            number = 1
        except OSError as error:
            number = error.errno or 1
        Path("temporary").unlink(missing_ok=True)
        results.append(number)
    return results


def _is_pipe(operation: tuple[Any, ...]) -> bool:
    """Opening a pipe would wait for a second process."""
    return any(Path(one).is_fifo() for one in operation[1:] if isinstance(one, str))


@contextmanager
def folder() -> Iterator[Path]:
    where = Path(tempfile.mkdtemp(prefix="layers-"))
    here = Path.cwd()
    try:
        yield where
    finally:
        os.chdir(here)
        shutil.rmtree(where, ignore_errors=True)


def plant(tree: Path, *, links: bool) -> None:
    """Make a tree whose times are long past."""
    (tree / "d/e").mkdir(parents=True)
    for name in ("a", "b", "d/a", "d/b", "d/e/a"):
        (tree / name).write_text(f"this is {name}\n")
    (tree / "l").symlink_to("d")
    (tree / "d/b").chmod(0o640)
    os.setxattr(tree / "d/a", "user.note", b"planted")
    if links:
        os.link(tree / "a", tree / "c")
        os.link(tree / "d/a", tree / "d/e/c")
    for where, _, files in os.walk(tree):
        for name in files:
            os.utime(Path(where, name), ns=(OLD + 1, OLD + 2), follow_symlinks=False)


def bare(tree: Path, operations: list[tuple[Any, ...]], results: list[int], *, root: bool) -> tuple[Change, ...] | None:
    """Do the operations on the tree itself, and return what that changed; None where one ended in another way.

    A directory that lies on the host cannot be renamed in an overlay: the program is told EXDEV, as it would be between
    two file systems. What it does then is its own affair, so here that one operation is left out.
    """
    before = scan(tree)
    os.chdir(tree)
    skip = frozenset(index for index, number in enumerate(results) if number == EXDEV)
    again = play(operations, skip) if root else overlays.run_as_ordinary_user(lambda: play(operations, skip))
    if again != [-1 if number == EXDEV else number for number in results]:
        return None
    return compare(before, scan(tree))


def check_one(operations: list[tuple[Any, ...]], *, root: bool, index: bool, links: bool) -> None:
    with folder() as where:
        tree, state = where / "tree", where / "state"
        plant(tree, links=links)
        digest = tree_digest(tree)
        results = overlays.run_over(tree, state, "0", lambda: play(operations), root=root, index=index)
        assert tree_digest(tree) == digest
        read = read_layer(state, "0", search=(str(tree),))
        for change in read.changes:
            held = layer_path(state, "0", change.path)
            assert (held is None) == (change.after is None)
            if held is not None and change.after is not None and change.after.sha256 is not None:
                found = scan(held)[str(held)]
                assert (found.sha256, found.mode) == (change.after.sha256, change.after.mode)
        expected = bare(tree, operations, results, root=root)
        if not links:
            assert read.unseen == ()
        if index:  # the program itself sees no difference, and who reads the layer has nothing to guess
            assert expected is not None
            assert not any("cannot be told" in reason or "may be" in reason for reason in read.unseen)
        if not read.unseen:
            assert read.changes == expected


@needs_root
@settings(max_examples=80, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.one_of(*COMMON, link, chown), max_size=12))
def test_a_layer_tells_what_a_bare_run_changes(operations: list[tuple[Any, ...]]) -> None:
    check_one(operations, root=True, index=True, links=False)


@needs_root
@settings(max_examples=80, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.one_of(*COMMON, link), max_size=8))
def test_a_file_with_several_names_changes_under_all_of_them(operations: list[tuple[Any, ...]]) -> None:
    check_one(operations, root=True, index=True, links=True)


@needs_overlay
@example(operations=[("chmod", "a", 0o4755), ("truncate", "a", 0)], links=False)
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.one_of(*COMMON, link).filter(open_to_its_owner), max_size=12), st.booleans())
def test_a_layer_of_an_ordinary_user_tells_it_too(operations: list[tuple[Any, ...]], links: bool) -> None:
    check_one(operations, root=False, index=False, links=links)


@needs_root
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.one_of(*COMMON), max_size=8), st.lists(st.one_of(*COMMON), max_size=8))
def test_a_second_layer_is_read_against_the_first(one: list[tuple[Any, ...]], other: list[tuple[Any, ...]]) -> None:
    with folder() as where:
        tree, state = where / "tree", where / "state"
        plant(tree, links=False)
        first = overlays.run_over(tree, state, "0", lambda: play(one))
        second = overlays.run_over(tree, state, "1", lambda: play(other), below=("0",))
        read = [read_layer(state, "0"), read_layer(state, "1", ("0",))]
        assert [layer.unseen for layer in read] == [(), ()]
        assert read[0].changes == bare(tree, one, first, root=True)
        assert read[1].changes == bare(tree, other, second, root=True)


@needs_root
@settings(max_examples=1000, suppress_health_check=[HealthCheck.too_slow])
@pytest.mark.soak
@given(st.lists(st.one_of(*COMMON, link, chown), max_size=30), st.booleans(), st.booleans())
def test_long_sequences(operations: list[tuple[Any, ...]], index: bool, links: bool) -> None:
    assume(operations)
    check_one(operations, root=True, index=index, links=links)
