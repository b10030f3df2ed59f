"""Real overlay mounts for tests: a function runs in a mount namespace of its own, above a tree that stays as it is."""

from __future__ import annotations

import ctypes
import json
import os
import pickle
import shutil
import stat
import tempfile
import traceback
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_NEWNS, _NEWUSER = 0x20000, 0x10000000
_REC, _PRIVATE = 16384, 1 << 18


def run_over(
    tree: Path,
    state: Path,
    layer: str,
    work: Callable[[], Any],
    *,
    below: tuple[str, ...] = (),
    root: bool = True,
    index: bool = True,
) -> Any:
    """Run `work` in a forked process where an overlay lies over `tree`, and return what it returned.

    Its layer comes to lie in `state` as the sandbox would leave it. `root=False` mounts it as an ordinary user has to:
    in a user namespace, with `userxattr`. An exception of `work` is raised here as AssertionError.
    """
    here = state / layer / "t"
    for folder in (here / "up", here / "work"):
        folder.mkdir(parents=True)
    status = tree.stat()
    (here / "up").chmod(stat.S_IMODE(status.st_mode))
    if os.geteuid() == 0:
        os.chown(here / "up", status.st_uid, status.st_gid)
    document = {"root": root, "mounts": {"t": str(tree)}, "readonly": {}, "failed": {}}
    (state / layer / "mounts.json").write_text(json.dumps(document))

    def over() -> Any:
        _mount(tree, state, layer, below, root=root, index=index)
        os.chdir(tree)
        return work()

    return _forked(over)


def run_as_ordinary_user(work: Callable[[], Any]) -> Any:
    """Run `work` in a forked process without privileges over the host, and return what it returned.

    As root, some calls leave more behind than an ordinary user's: truncating a file keeps its set-user-ID bit.
    """

    def within() -> Any:
        _enter_user_namespace(0)
        return work()

    return _forked(within)


def _forked(work: Callable[[], Any]) -> Any:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reading)
            answer: tuple[bool, Any] = (True, work())
        except BaseException:  # noqa: BLE001 - it is raised in the parent
            answer = (False, traceback.format_exc())
        with open(writing, "wb") as pipe:  # noqa: PTH123 - a descriptor
            pickle.dump(answer, pipe)
        os._exit(0)
    os.close(writing)
    with open(reading, "rb") as pipe:  # noqa: PTH123 - a descriptor
        data = pipe.read()
    os.waitpid(child, 0)
    good, value = pickle.loads(data)  # noqa: S301 - our own child wrote it
    assert good, value
    return value


def _enter_user_namespace(more: int) -> None:
    uid, gid = os.geteuid(), os.getegid()
    _done(ctypes.CDLL(None, use_errno=True).unshare(_NEWUSER | more), "unshare")
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1")
    Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1")


def _mount(tree: Path, state: Path, layer: str, below: tuple[str, ...], *, root: bool, index: bool) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if root:
        _done(libc.unshare(_NEWNS), "unshare")
    else:
        _enter_user_namespace(_NEWNS)
    _done(libc.mount(None, b"/", None, ctypes.c_ulong(_REC | _PRIVATE), None), "mount --make-rprivate")
    os.chdir(state)
    lower = ":".join([*(f"{one}/t/up" for one in reversed(below)), str(tree)])
    options = f"lowerdir={lower},upperdir={layer}/t/up,workdir={layer}/t/work,redirect_dir=off,metacopy=off,xino=off"
    options = options.replace("redirect_dir=off,metacopy=off,", "") + ",userxattr" if not root else options
    options += f",index={'on' if index and root else 'off'}"
    _done(libc.mount(b"overlay", os.fsencode(tree), b"overlay", ctypes.c_ulong(0), options.encode()), options)


def _done(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


@cache
def why_not(*, root: bool) -> str:
    """Return why such an overlay cannot be had here; "" where it can."""
    if root and (not hasattr(os, "geteuid") or os.geteuid() != 0):
        return "only root mounts an overlay without a user namespace"
    folder = Path(tempfile.mkdtemp())
    try:
        (folder / "tree").mkdir()
        run_over(folder / "tree", folder / "state", "0", int, root=root)
    except (AssertionError, OSError, AttributeError) as error:
        return f"no overlay: {str(error).strip().splitlines()[-1]}"
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return ""
