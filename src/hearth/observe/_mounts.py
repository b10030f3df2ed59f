"""What a sandboxed program finds mounted: an overlay over each real file system, and little else. Linux."""

from __future__ import annotations

import json
import os
import stat
from typing import TYPE_CHECKING

from hearth.observe._linux import (
    MS_BIND,
    MS_NODEV,
    MS_NOEXEC,
    MS_NOSUID,
    MS_RDONLY,
    MS_REC,
    MS_REMOUNT,
    bind_read_only,
    mount,
    read_only_tree,
)
from hearth.observe._mounts_host import VIRTUAL, few_parts, foreign_on_the_way, mount_points, other_places
from hearth.observe._mounts_overlay import Overlays

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["SandboxMounts"]

# What lies on a disk, or is as good as that. All else (network file systems, FUSE) is shown read-only.
_OVERLAID = frozenset(
    ("bcachefs", "btrfs", "ext2", "ext3", "ext4", "f2fs", "overlay", "ramfs", "tmpfs", "vfat", "xfs", "zfs")
)
# What can hold neither a pipe nor a socket of the host; else a read-only mount stops nobody from writing to these.
_WITHOUT_PIPES = frozenset(
    (
        "autofs", "binfmt_misc", "bpf", "cgroup", "cgroup2", "configfs", "cpuset", "debugfs", "devpts", "efivarfs",
        "exfat", "fusectl", "mqueue", "msdos", "proc", "pstore", "securityfs", "sysfs", "tracefs", "vfat",
    )
)  # fmt: skip
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
_LINKS = {"fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2"}
_MASKED = ("kcore", "kmsg", "keys", "timer_list", "kallsyms")


class SandboxMounts:
    """Builds the root of one sandbox below `<state>/<layer>/root`; to be used in a mount namespace of its own.

    `root` says which way: as root one overlay lies over each mount, else one over each top-level directory, with the
    attributes that a user may set; a directory below which something is mounted is taken apart, for its overlay would
    be refused. `places` get overlays of their own where a user could not change them otherwise. What is not to be
    changed lies under a read-only overlay, which cuts its pipes and sockets off from the host's; what cannot is hidden.
    """

    def __init__(
        self,
        *,
        state: str,
        layer: str,
        below: Iterable[str],
        hidden: Iterable[str],
        places: Iterable[str],
        root: bool,
    ) -> None:
        self.readonly: dict[str, str] = {}
        self.failed: dict[str, str] = {}
        self._state = state
        self._layer = layer
        self._hidden = tuple(hidden)
        # Looked at before there is a user namespace, in which every other user has the same number.
        self._places = () if root else tuple(foreign_on_the_way(os.path.realpath(place)) for place in places)
        self._root = root
        self._overlays = Overlays(state=state, layer=layer, below=below, root=root)
        self._target = f"{state}/{layer}/root"

    @property
    def target(self) -> str:
        """Where the new root lies until it is one."""
        return self._target

    def build(self) -> None:
        """Mount everything that does not need the new PID namespace.

        OSError where the root itself cannot be had, or what earlier steps changed cannot be shown.
        """
        os.makedirs(self._target)  # noqa: PTH103 - texts throughout
        points = list(mount_points())  # of the host alone: from now on there are also ours
        hidden = [os.path.realpath(path) for path in (self._state, *self._hidden)]
        hidden += other_places(hidden)
        if self._root:
            self._overlay("/")
            for point, kind in points:
                self._add(point, kind)
        else:
            mount("tmpfs", self._target, "tmpfs", MS_NOSUID | MS_NODEV, "mode=755")
            self._show_parts("/", dict(points), "ext4")
            for way in self._places:
                self._own(way)
        for path in hidden:
            self._cover(path)
        self._devices()
        self._kernel_tree()

    def tell(self) -> None:
        """Write down what was mounted where, for whoever reads the layer."""
        document = {"root": self._root, "mounts": self._overlays.mounts, "readonly": self.readonly}
        document |= {"failed": self.failed, "lacking": self._overlays.lacking}
        document["foreign"] = self._overlays.foreign
        with open(f"{self._state}/{self._layer}/mounts.json", "w", encoding="utf-8") as file:  # noqa: PTH123 - as above
            json.dump(document, file)

    def mount_proc(self) -> None:
        """Mount /proc; to be called in the new PID namespace."""
        proc = f"{self._target}/proc"
        mount("proc", proc, "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
        for entry in list(os.scandir(proc)):  # but for processes nothing in it is this sandbox's: root would act on all
            if entry.name.isdecimal() or entry.is_symlink():
                continue
            if entry.is_dir() or entry.stat().st_mode & 0o222:
                mount(entry.path, entry.path, None, MS_BIND | MS_REC)
                read_only_tree(entry.path)
        for name in _MASKED:
            if os.path.exists(f"{proc}/{name}"):  # noqa: PTH110 - as above
                bind_read_only(f"{self._target}/dev/null", f"{proc}/{name}")

    # --- one mount

    def _add(self, point: str, kind: str) -> None:
        """Show another mount of the host."""
        target = self._target + point
        mode = os.lstat(point).st_mode
        if not os.path.lexists(target):
            self.failed[point] = "its mount point is not there in the sandbox"
        elif stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode):
            self._cover(point)
            self.readonly[point] = "a pipe or a socket is mounted there: it is not the host's"
        elif not stat.S_ISDIR(mode):
            self._bind(point, "a file is mounted there")
        elif kind not in _OVERLAID:
            self._read_only(point, kind, f"a file system of the kind {kind}")
        else:
            try:
                self._overlay(point)
            except OSError as error:
                self._read_only(point, kind, self._why(point, error))

    def _show_parts(self, folder: str, kinds: Mapping[str, str], kind: str) -> None:
        """Show what is in a directory, part by part, on a tmpfs that takes nothing new: it is not the host's."""
        with os.scandir(folder) as entries:
            parts = sorted(entries, key=lambda entry: entry.name)
        for part in parts:
            target = self._target + part.path
            try:
                mode = os.lstat(part.path).st_mode  # of what is mounted there, which the entry does not tell
            except OSError:  # it is gone, or not this user's to see
                continue
            if stat.S_ISLNK(mode):
                os.symlink(os.readlink(part.path), target)  # noqa: PTH115, PTH211 - as above
            elif stat.S_ISDIR(mode):
                os.mkdir(target)  # noqa: PTH102 - as above
                if part.path not in VIRTUAL:
                    self._show(part.path, kinds, kinds.get(part.path, kind))
            elif stat.S_ISREG(mode) and folder != "/":
                with open(target, "xb"):  # noqa: PTH123 - as above
                    pass
                self._bind(part.path, "it lies beside a mount point")
        flags = MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV
        mount(None, self._target + (folder if folder != "/" else ""), None, flags)

    def _show(self, path: str, kinds: Mapping[str, str], kind: str) -> None:
        """Show a directory to an ordinary user."""
        why = f"a file system of the kind {kind}"
        if kind in _OVERLAID:
            try:
                self._overlay(path)
            except OSError as error:
                why = self._why(path, error)
            else:
                return
        if not any(point.startswith(f"{path}/") for point in kinds) or not few_parts(path):
            self._read_only(path, kind, why)
            return
        mode = stat.S_IMODE(os.stat(path).st_mode)  # noqa: PTH116 - as above
        mount("tmpfs", self._target + path, "tmpfs", MS_NOSUID | MS_NODEV, f"mode={mode | 0o700:o}")
        self.readonly[path] = "something is mounted below it, so nothing new can be made in it itself"
        self._show_parts(path, kinds, kind)

    def _own(self, way: Mapping[str, tuple[bool, bool]]) -> None:
        """Give a user's folder an overlay of its own where it lies in somebody else's, which could not be copied up."""
        shown = list(self._overlays.mounts.values())
        inside = foreign = False
        for path, (is_foreign, is_writable) in way.items():
            if path in shown:
                inside, foreign = True, False
                continue
            foreign = foreign or is_foreign
            if inside and foreign and is_writable:
                try:
                    self._overlay(path)
                    foreign = False
                except OSError as error:
                    self._why(path, error)

    def _overlay(self, point: str) -> None:
        self._overlays.lay(point, self._target + ("" if point == "/" else point))

    def _why(self, point: str, error: OSError) -> str:
        """Return why a mount point cannot be overlaid; raise that where what earlier steps changed would be lost."""
        if self._overlays.is_changed(point):
            raise error
        return _said(error)

    def _read_only(self, point: str, kind: str, why: str) -> None:
        """Show a directory read-only, or nothing of it: never with the pipes and sockets of the host."""
        if kind in _WITHOUT_PIPES:
            self._bind(point, why)
            return
        try:
            self._overlays.show(point, self._target + point)
        except OSError as error:
            self._hide(point, f"{why}; {_said(error)}")
        else:
            self.readonly[point] = why

    def _bind(self, point: str, why: str, *, deep: int = 0) -> None:
        """Show what has neither pipes nor sockets read-only."""
        target = self._target + point
        try:
            mount(point, target, None, MS_BIND | deep)
            read_only_tree(target)
        except OSError as error:
            self._hide(point, f"{why}; {_said(error)}")
        else:
            self.readonly[point] = why

    def _hide(self, point: str, why: str) -> None:
        self._cover(point)
        self.failed[point] = f"{why}; it is hidden"

    def _cover(self, path: str) -> None:
        """Hide a path: an empty folder, or nothing, lies over it, and cannot be written."""
        target = self._target + path
        if not os.path.lexists(target):
            return
        if os.path.isdir(target):  # noqa: PTH112 - as above
            mount("tmpfs", target, "tmpfs", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, "size=4k,mode=555")
        else:
            bind_read_only("/dev/null", target)

    # --- /dev, /sys

    def _devices(self) -> None:
        dev = f"{self._target}/dev"
        if not os.path.isdir(dev):  # noqa: PTH112 - as above
            return
        mount("tmpfs", dev, "tmpfs", MS_NOSUID | MS_NOEXEC, "mode=755,size=1m")
        for name in _DEVICES:
            if os.path.exists(f"/dev/{name}"):  # noqa: PTH110 - as above
                with open(f"{dev}/{name}", "xb"):  # noqa: PTH123 - as above
                    pass
                bind_read_only(f"/dev/{name}", f"{dev}/{name}")
        for name, to in _LINKS.items():
            os.symlink(to, f"{dev}/{name}")  # noqa: PTH211 - as above
        for name in ("shm", "pts", "mqueue"):
            os.mkdir(f"{dev}/{name}")  # noqa: PTH102 - as above
        mount("tmpfs", f"{dev}/shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777")
        try:
            mount("devpts", f"{dev}/pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=620")
            os.symlink("pts/ptmx", f"{dev}/ptmx")  # noqa: PTH211 - as above
        except OSError as error:
            self.failed["/dev/pts"] = _said(error)
        if os.path.exists("/proc/sys/fs/mqueue"):  # noqa: PTH110 - as above; else the kernel has none
            try:  # so that it can be seen what is left in it
                mount("mqueue", f"{dev}/mqueue", "mqueue", MS_NOSUID | MS_NODEV | MS_NOEXEC)
            except OSError as error:
                self.failed["/dev/mqueue"] = _said(error)

    def _kernel_tree(self) -> None:
        if os.path.isdir("/sys") and os.path.isdir(f"{self._target}/sys"):  # noqa: PTH112 - as above
            self._bind("/sys", "what the kernel says of itself", deep=MS_REC)
            self.readonly.pop("/sys", None)  # nobody expects to change files there


def _said(error: OSError) -> str:
    return f"{error.filename or 'the system'}: {error.strerror}"
