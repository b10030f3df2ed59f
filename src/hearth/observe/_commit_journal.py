"""The journal of a commit: what is to be done, durable before any of it is; and how far it came.

A file `<name>.jsonl` of lines `{"entry": …, "sum": …}`, where `sum` is the SHA-256 of the sum before and the entry's
JSON, so that a torn tail shows. First a header, then one entry for each action; a journal under its final name has all
of these. Then marks: `begin` and `end` of what is written in place, `committed` (from then on it is finished, not taken
back), `done`, `undone`. Who works on a journal holds a lock on it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Self

from hearth._directory import sync_directory
from hearth.errors import ObservationError
from hearth.observe._change import Change
from hearth.observe._commit_state import Remembered
from hearth.observe._node import path_from_json, path_to_json
from hearth.record import percent_encode
from hearth.recorder import try_lock

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

__all__ = ["SUFFIX", "UNPREPARED", "Action", "CommitJournal", "Way"]

SUFFIX = ".jsonl"
UNPREPARED = ".unprepared"
_START = "0" * 64
_VERSION = 1


class Way(StrEnum):
    """How a change is brought about.

    RENAME: made under a temporary name and swapped in, the old thing waits under the temporary name until all is done.
    MAKE: a new folder. IN_PLACE: written into the file that is there, so its other names change too. METADATA: mode,
    owner, attributes and times alone. LINKED: the file is changed by an earlier action, by another of its names.
    WITHIN: goes with a folder above.
    """

    RENAME = "rename"
    MAKE = "make"
    IN_PLACE = "in_place"
    METADATA = "metadata"
    LINKED = "linked"
    WITHIN = "within"


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """One change and its way. `temp` is the temporary name, in the same folder; `old` and `new` complete the nodes.

    `link`: the path of a file that this is to be another name of.
    """

    index: int
    change: Change
    way: Way
    temp: str
    old: Remembered | None = None
    new_xattrs: Mapping[str, bytes] = field(default_factory=dict)
    new_atime_ns: int | None = None
    link: str | None = None

    @property
    def path(self) -> str:
        """The path concerned."""
        return self.change.path

    @property
    def times(self) -> tuple[int, int] | None:
        """The new times of access and of change (ns); None where the change says nothing of them."""
        mtime = None if self.change.after is None else self.change.after.mtime_ns
        return None if mtime is None else (mtime if self.new_atime_ns is None else self.new_atime_ns, mtime)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        old = self.old
        return {
            "type": "action",
            "index": self.index,
            "change": self.change.to_dict(),
            "way": str(self.way),
            "temp": self.temp,
            "old": None if old is None else _remembered_to_dict(old),
            "new_xattrs": _values_to_dict(self.new_xattrs),
            "new_atime_ns": None if self.new_atime_ns is None else str(self.new_atime_ns),
            "link": None if self.link is None else path_to_json(self.link),
        }

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Self:
        """Read the JSON form; ValueError, KeyError or TypeError where it is none."""
        old, atime, link = document["old"], document["new_atime_ns"], document["link"]
        return cls(
            index=document["index"],
            change=Change.from_dict(document["change"]),
            way=Way(document["way"]),
            temp=document["temp"],
            old=None if old is None else _remembered_from_dict(old),
            new_xattrs=_values_from_dict(document["new_xattrs"]),
            new_atime_ns=None if atime is None else int(atime),
            link=None if link is None else path_from_json(link),
        )


class CommitJournal:
    """One journal, locked as long as it is open. `entries` are its marks, those of earlier processes too."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self.header: dict[str, Any] = {}
        self.actions: list[Action] = []
        self.marks: list[dict[str, Any]] = []
        self._descriptor = descriptor
        self._sum = _START

    @classmethod
    def create(cls, folder: Path, name: str, header: Mapping[str, Any], actions: Iterable[Action]) -> Self:
        """Write a journal; when this returns, it is durable. ObservationError where there is one of that name."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = folder / (percent_encode(name) + SUFFIX)
        if path.exists():
            raise ObservationError(f"{path}: there is a commit of that name already")
        waiting = path.with_suffix(UNPREPARED)
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)
        self = cls(path, os.open(waiting, flags, 0o600))
        try:
            if not try_lock(self._descriptor):
                raise ObservationError(f"{waiting}: another process uses it")  # noqa: TRY301 - the file goes again
            self.actions = list(actions)
            self.header = {"type": "header", "version": _VERSION, "name": name, "actions": len(self.actions), **header}
            self._write(b"".join(self._line(one) for one in (self.header, *(one.to_dict() for one in self.actions))))
            os.fsync(self._descriptor)
            waiting.rename(path)
            sync_directory(folder)
        except BaseException:
            self.close()
            with suppress(FileNotFoundError):
                waiting.unlink()
            raise
        return self

    @classmethod
    def open(cls, path: Path) -> Self | None:
        """Open a journal to go on with it; None when another process holds it. ValueError where it is damaged.

        A torn last line is cut off, once the journal is appended to.
        """
        self = cls(path, os.open(path, os.O_RDWR | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)))
        try:
            if not try_lock(self._descriptor):
                self.close()
                return None
            self._read()
        except (ValueError, KeyError, TypeError) as error:
            self.close()
            raise ValueError(f"{path}: {error}") from error
        except BaseException:
            self.close()
            raise
        return self

    def has(self, kind: str) -> bool:
        """Whether a mark of that type stands here."""
        return any(mark["type"] == kind for mark in self.marks)

    def mark(self, kind: str, **more: Any) -> None:
        """Append a mark; when this returns, it is durable."""
        entry = {"type": kind, **more}
        before, end = self._sum, os.lseek(self._descriptor, 0, os.SEEK_CUR)
        line = self._line(entry)
        try:
            self._write(line)
            os.fsync(self._descriptor)
        except OSError:  # such as a full disk: the next mark must not follow half a line
            self._sum = before
            os.ftruncate(self._descriptor, end)
            os.lseek(self._descriptor, end, os.SEEK_SET)
            raise
        self.marks.append(entry)

    def begun(self, index: int) -> tuple[bool, bool]:
        """Whether writing in place has begun, and whether it has ended since."""
        kinds = [mark["type"] for mark in self.marks if mark.get("index") == index]
        return bool(kinds), bool(kinds) and kinds[-1] == "end"

    def remove(self) -> None:
        """Remove the journal, of which nothing is left to do, and close it."""
        self.path.unlink()
        sync_directory(self.path.parent)
        self.close()

    def close(self) -> None:
        """Close it, and give the lock back."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _line(self, entry: Mapping[str, Any]) -> bytes:
        text = _text(entry)
        self._sum = hashlib.sha256(self._sum.encode() + text).hexdigest()
        return b'{"entry":%b,"sum":"%b"}\n' % (text, self._sum.encode())

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._descriptor, view) :]

    def _read(self) -> None:
        with os.fdopen(os.dup(self._descriptor), "rb") as file:
            data = file.read()
        good = 0
        entries: list[dict[str, Any]] = []
        lines = data.splitlines(keepends=True)
        for number, line in enumerate(lines, 1):
            entry = self._entry(line)
            if entry is None:
                if number != len(lines) or not entries or len(entries) <= entries[0]["actions"]:
                    raise ValueError(f"line {number} is not what was written")
                break
            entries.append(entry)
            good += len(line)
        if not entries or entries[0].get("type") != "header" or entries[0].get("version") != _VERSION:
            raise ValueError("it is no journal of a commit")
        self.header = entries[0]
        count = self.header["actions"]
        self.actions = [Action.from_dict(one) for one in entries[1 : count + 1]]
        if len(self.actions) != count:
            raise ValueError("actions are missing")
        self.marks = entries[count + 1 :]
        if good != len(data):
            os.ftruncate(self._descriptor, good)
        os.lseek(self._descriptor, good, os.SEEK_SET)

    def _entry(self, line: bytes) -> dict[str, Any] | None:
        try:
            document = json.loads(line)
            entry = document["entry"]
            total = hashlib.sha256(self._sum.encode() + _text(entry)).hexdigest()
            if document["sum"] != total or not line.endswith(b"\n"):
                return None
        except (ValueError, KeyError, TypeError):
            return None
        self._sum = total
        return dict(entry)


def _text(entry: Mapping[str, Any]) -> bytes:
    return json.dumps(entry, sort_keys=True, separators=(",", ":")).encode()


def _remembered_to_dict(rest: Remembered) -> dict[str, Any]:
    return {
        "xattrs": _values_to_dict(rest.xattrs),
        "atime_ns": str(rest.atime_ns),
        "mtime_ns": str(rest.mtime_ns),
        "inode": list(rest.inode),
        "stored": rest.stored,
        "extents": None if rest.extents is None else [list(one) for one in rest.extents],
        "link": None if rest.link is None else path_to_json(rest.link),
    }


def _remembered_from_dict(document: Mapping[str, Any]) -> Remembered:
    extents, link = document["extents"], document["link"]
    return Remembered(
        xattrs=_values_from_dict(document["xattrs"]),
        atime_ns=int(document["atime_ns"]),
        mtime_ns=int(document["mtime_ns"]),
        inode=(document["inode"][0], document["inode"][1]),
        stored=document["stored"],
        extents=None if extents is None else tuple((one[0], one[1]) for one in extents),
        link=None if link is None else path_from_json(link),
    )


def _values_to_dict(values: Mapping[str, bytes]) -> dict[str, str]:
    return {key: base64.b64encode(value).decode() for key, value in values.items()}


def _values_from_dict(values: Mapping[str, str]) -> dict[str, bytes]:
    return {key: base64.b64decode(value, validate=True) for key, value in values.items()}
