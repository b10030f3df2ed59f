"""The overlays of one sandbox: which layers each is made of, and what a layer takes over from the host. Linux."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import time
from typing import TYPE_CHECKING

from hearth.observe._linux import MS_NODEV, MS_NOEXEC, MS_NOSUID, MS_RDONLY, mount
from hearth.observe._tree_reader import OVERLAY_PREFIXES

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Overlays"]

_FLAGS = MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC  # which statvfs(3) tells by the same bits
_PATIENCE = 3.0  # seconds
_MOST_LAYERS = 500  # fs/overlayfs/super.c, OVL_MAX_STACK; the host's is one of them


class Overlays:
    """Mounts overlays whose changes go to `<state>/<layer>/<key>/up`, above those of the layers `below` (oldest first).

    `mounts` maps each key to its mount point. `lacking` maps it to the names of the extended attributes of the mount
    point's own directory that its stand-in could not be given. `foreign` maps the keys of those directories that belong
    to another than the ordinary user, whose their stand-ins are, to the mode of the stand-in, and to whether the user
    may make names in it on the host, and whether it is sticky.
    """

    def __init__(self, *, state: str, layer: str, below: Iterable[str], root: bool) -> None:
        self.mounts: dict[str, str] = {}
        self.lacking: dict[str, list[str]] = {}
        self.foreign: dict[str, dict[str, int | bool]] = {}
        self._state = state
        self._layer = layer
        self._below = tuple(below)
        self._root = root
        self._nothing = ""

    def lay(self, point: str, target: str) -> None:
        """Mount one that takes changes. OSError."""
        key = _key(point)
        here = f"{self._state}/{self._layer}/{key}"
        for name in ("up", "work"):
            os.makedirs(f"{here}/{name}")  # noqa: PTH103 - texts throughout
        earlier = self._earlier(key)
        lacking = self._take_over(earlier[0] if earlier else point, f"{here}/up")
        earlier = [up for up in earlier if os.listdir(up)]  # noqa: PTH208 - as above
        # What the host's mount refuses, this one does too; and no device in a folder is one of this sandbox.
        flags = os.statvfs(point).f_flag & _FLAGS | MS_NODEV
        self._mount([*earlier, point], target, flags, f",upperdir=../{key}/up,workdir=../{key}/work")
        self.mounts[key] = point
        if lacking:
            self.lacking[key] = lacking
        if not self._root and not _is_own(point):
            self.foreign[key] = {
                "mode": stat.S_IMODE(os.stat(f"{here}/up").st_mode),  # noqa: PTH116 - as above
                "writable": os.access(point, os.W_OK | os.X_OK, effective_ids=True),
                "sticky": bool(os.stat(point).st_mode & stat.S_ISVTX),  # noqa: PTH116 - as above
            }

    def is_changed(self, point: str) -> bool:
        """Whether earlier steps changed something there."""
        return any(os.listdir(up) for up in self._earlier(_key(point)))  # noqa: PTH208 - as above

    def show(self, point: str, target: str) -> None:
        """Mount one that takes none. Its pipes and sockets are its own: the host's cannot be reached. OSError."""
        if not self._nothing:  # an overlay without an upper layer needs two lower ones
            self._nothing = f"{self._state}/{self._layer}/nothing"
            os.mkdir(self._nothing)  # noqa: PTH102 - as above
            mount("tmpfs", self._nothing, "tmpfs", MS_RDONLY | MS_NOSUID | MS_NODEV, "size=4k,mode=555")
        flags = os.statvfs(point).f_flag & _FLAGS | MS_RDONLY | MS_NOSUID | MS_NODEV
        self._mount([self._nothing, point], target, flags, "")

    def _earlier(self, key: str) -> list[str]:
        """Return the directories that hold what earlier steps changed there, the newest first."""
        every = [f"{self._state}/{layer}/{key}/up" for layer in reversed(self._below)]
        return [up for up in every if os.path.isdir(up)]  # noqa: PTH112 - as above

    def _mount(self, lower: list[str], target: str, flags: int, upper: str) -> None:
        """Mount one, with short links in place of the layers' names: its options have 4096 bytes (mount(2))."""
        if len(lower) > _MOST_LAYERS:
            why = (
                f"overlayfs takes no more than {_MOST_LAYERS} layers, and {len(lower) - 1} earlier steps changed files"
            )
            raise OSError(errno.E2BIG, why, f"mount overlay on {target}")
        via = f"{self._state}/{self._layer}/via"
        os.mkdir(via)  # noqa: PTH102 - as above
        names = [str(number) for number in range(len(lower))]
        for name, folder in zip(names, lower, strict=True):
            os.symlink(folder, f"{via}/{name}")  # noqa: PTH211 - as above
        os.chdir(via)
        try:
            self._mount_here(target, flags, f"lowerdir={':'.join(names)}", upper)
        finally:  # a link to the host's root is nothing to leave behind: who clears up carelessly follows it
            os.chdir(self._state)
            for name in names:
                os.unlink(f"{via}/{name}")  # noqa: PTH108 - as above
            os.rmdir(via)  # noqa: PTH106 - as above

    def _mount_here(self, target: str, flags: int, lower: str, upper: str) -> None:
        if not self._root:
            mount("overlay", target, "overlay", flags | MS_NOSUID, f"{lower}{upper},userxattr")
        elif not upper:
            mount("overlay", target, "overlay", flags, f"{lower},redirect_dir=nofollow,metacopy=off,xino=off")
        else:
            options = f"{lower}{upper},redirect_dir=off,metacopy=off,xino=off"
            try:  # with an index the names of one file hold together
                self._mount_indexed(target, flags, f"{options},index=on")
            except OSError:
                mount("overlay", target, "overlay", flags, f"{options},index=off")

    def _mount_indexed(self, target: str, flags: int, options: str) -> None:
        """Mount one with an index. The kernel may still be unmounting the earlier step's, and refuses it until then."""
        until = time.monotonic() + (_PATIENCE if self._below else 0)
        while True:
            try:
                mount("overlay", target, "overlay", flags, options)
            except OSError as error:
                if error.errno != errno.EBUSY or time.monotonic() >= until:
                    raise
                time.sleep(0.005)
            else:
                return

    def _take_over(self, source: str, up: str) -> list[str]:
        """Give a layer's own directory what the one that it stands in for has; return what could not be given.

        A list for access that names other users cannot be set where one user alone has a number.
        """
        status = os.stat(source)  # noqa: PTH116 - as above
        if self._root:
            os.chown(up, status.st_uid, status.st_gid)
        mode = stat.S_IMODE(status.st_mode)
        read_only = os.statvfs(source).f_flag & os.ST_RDONLY  # there its mode says what it says
        if not self._root and not read_only and not os.access(source, os.W_OK, effective_ids=True):
            mode &= ~stat.S_IWUSR  # it is this user's here, and not on the host
        os.chmod(up, mode)  # noqa: PTH101 - as above
        try:
            names = os.listxattr(source)
        except OSError:  # this file system has none
            return []
        lacking = []
        for name in names:
            if name.startswith(OVERLAY_PREFIXES):
                continue
            try:
                os.setxattr(up, name, os.getxattr(source, name))
            except OSError:
                lacking.append(name)
        return lacking


def _is_own(folder: str) -> bool:
    """Whether a folder is this user's; in doubt not. Its number does not tell: another may look the same here.

    The kernel opens in this way for the owner alone (O_NOATIME, open(2)), and compares the true numbers.
    """
    try:
        os.close(os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOATIME))
    except OSError:
        return False
    return True


def _key(point: str) -> str:
    return "root" if point == "/" else hashlib.sha256(os.fsencode(point)).hexdigest()[:10]
