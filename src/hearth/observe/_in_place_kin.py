"""Which processes are those of a step on the host, and what /proc says of one. Linux."""

from __future__ import annotations

import os

__all__ = ["Kin"]

_PARENT, _GROUP, _SESSION = 1, 2, 3  # fields after the name, proc_pid_stat(5)
_MOST_ANCESTORS = 200


class Kin:
    """The processes of a step; `proc` is the host's /proc, `first` the step's first process.

    With `supervised` the first process' parent is the parent of all that loses its own, so that all of the step
    descends from it.
    """

    def __init__(self, proc: int, first: int, *, supervised: bool) -> None:
        self._proc = proc
        self._first = first
        self._roots = {first}
        fields = self._fields(first)
        if supervised and fields:
            self._roots.add(int(fields[_PARENT]))

    def has(self, pid: int) -> bool:
        """Whether a process is the step's: of its session, or below its first process."""
        for _ in range(_MOST_ANCESTORS):
            if pid == self._first:
                return True
            fields = self._fields(pid)
            if fields is None:
                return False
            if int(fields[_SESSION]) == self._first:
                return True
            pid = int(fields[_PARENT])
            if pid in self._roots:
                return True
        return False

    def called(self, pid: int) -> str:
        """Return a process' name and number; "" where there is none."""
        name = self.file(pid, "comm").strip()
        return f"{os.fsdecode(name)} ({pid})" if name else ""

    def group(self, pid: int) -> int:
        """Return the number of a process' group; 0 where there is no such process."""
        fields = self._fields(pid)
        return int(fields[_GROUP]) if fields else 0

    def meant(self, pid: int, number: int) -> int:
        """Return the process that a descriptor of another stands for (pidfd_open(2)); 0 where it is none."""
        said = self.line(pid, f"fdinfo/{number}", "Pid")
        return int(said) if said else 0

    def is_in_namespace(self, pid: int, kind: str) -> bool:
        """Whether a process is in the same namespace as this one (namespaces(7))."""
        try:
            theirs, ours = (os.stat(f"{one}/ns/{kind}", dir_fd=self._proc) for one in (pid, os.getpid()))
        except OSError:
            return False
        return (theirs.st_dev, theirs.st_ino) == (ours.st_dev, ours.st_ino)

    def line(self, pid: int, file: str, word: str) -> str:
        """Return what follows a word and a colon in a file of a process; "" where nothing does."""
        for line in self.file(pid, file).decode("ascii", "replace").splitlines():
            if line.startswith(word + ":"):
                return line.partition(":")[2].strip()
        return ""

    def file(self, pid: int, name: str) -> bytes:
        """Return a file that /proc has of a process; "" where it has none."""
        try:
            descriptor = os.open(f"{pid}/{name}", os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._proc)
        except OSError:
            return b""
        try:
            return os.read(descriptor, 1 << 16)
        except OSError:  # it ended in between
            return b""
        finally:
            os.close(descriptor)

    def _fields(self, pid: int) -> list[bytes] | None:
        line = self.file(pid, "stat").rpartition(b")")[2].split()
        return line if len(line) > _SESSION else None
