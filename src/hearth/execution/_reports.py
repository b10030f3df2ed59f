"""Reports from outside: a folder in which a detector (Falco, an EDR, a SIEM rule) leaves what it found, as JSON."""

from __future__ import annotations

import logging
import os
import secrets
import stat
import time
from typing import TYPE_CHECKING, Any, TypeVar

from hearth.errors import RecordError
from hearth.record import Redactor, strict_loads
from hearth.security import BoundaryState, Finding, SecurityState

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["ReportFolder"]

_log = logging.getLogger(__name__)
_State = TypeVar("_State", SecurityState, BoundaryState)

_LARGEST = 1 << 16
_LONGEST = 2000
_MEMBERS = {"security", "boundary", "reason", "source"}
# A detector that does not write under another name and rename may be in the middle of it.
_SETTLED_SECONDS = 1.0


class ReportFolder:
    """Takes the files `*.json` of a folder, each once: `{"security": …, "boundary": …, "reason": …, "source": …}`.

    At least one state, and both texts. The finding is told first and the file moved aside after that, into `taken`; a
    crash in between tells it twice, which changes nothing. What cannot be read as a report goes into `refused`, and is
    doubt: DEGRADED. A file that looks unfinished is left alone for a second.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stuck: set[tuple[str, int]] = set()

    def take(self, tell: Callable[[Finding], object]) -> int:
        """Take what is there, and return how many reports that were."""
        number = 0
        for path in self._waiting():
            finding, readable = self._read(path)
            if finding is None:
                continue
            tell(finding)
            number += 1
            self._move(path, "taken" if readable else "refused")
        return number

    def _waiting(self) -> list[Path]:
        try:
            with os.scandir(self._folder) as entries:
                names = sorted(entry.name for entry in entries if entry.name.endswith(".json"))
        except FileNotFoundError:
            return []
        return [path for name in names if (path := self._folder / name) and _mark(path) not in self._stuck]

    def _read(self, path: Path) -> tuple[Finding | None, bool]:
        """Return what a file says, and whether it is a report; None for one that is not there or not whole yet."""
        try:
            # Not to block on a named pipe, nor to follow a link elsewhere.
            flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0)
            with os.fdopen(os.open(path, flags | getattr(os, "O_BINARY", 0)), "rb") as file:
                status = os.fstat(file.fileno())
                if not stat.S_ISREG(status.st_mode):
                    return _doubt(path, "it is no regular file"), False
                data = file.read(_LARGEST + 1)
        except FileNotFoundError:
            return None, False
        except OSError as error:
            return _doubt(path, f"it cannot be read: {error.strerror}"), False
        if len(data) > _LARGEST:
            return _doubt(path, f"it is larger than {_LARGEST} bytes"), False
        try:
            return _finding(strict_loads(data)), True
        except (RecordError, ValueError) as error:
            if abs(time.time() - status.st_mtime) < _SETTLED_SECONDS:
                return None, False
            return _doubt(path, str(error)), False

    def _move(self, path: Path, where: str) -> None:
        folder = self._folder / where
        mark = _mark(path)
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
            path.replace(folder / f"{path.name}.{secrets.token_hex(4)}")
        except FileNotFoundError:
            return  # another process has taken it too
        except OSError as error:
            self._stuck.add(mark)  # else it would be told again at every look
            _log.warning("the report %s was taken, but cannot be moved aside: %s", path, error.strerror)


def _finding(document: Any) -> Finding:  # noqa: ANN401 - a JSON tree
    if not isinstance(document, dict) or not set(document) <= _MEMBERS:
        raise ValueError(f"it is no object with the members {', '.join(sorted(_MEMBERS))} alone")
    texts = {name: document.get(name) for name in ("reason", "source")}
    for name, text in texts.items():
        if not isinstance(text, str) or not text.strip():
            raise ValueError(f"its {name} is missing, or no text")
    security = _state(document.get("security"), SecurityState)
    boundary = _state(document.get("boundary"), BoundaryState)
    if security is None and boundary is None:
        raise ValueError("it names no state")
    redactor = Redactor()  # before the texts are cut: half a secret looks like none
    return Finding(
        reason=redactor.text(str(texts["reason"]))[:_LONGEST],
        source=redactor.text(str(texts["source"]))[:_LONGEST],
        security=security,
        boundary=boundary,
    )


def _state(name: object, kind: type[_State]) -> _State | None:
    if name is None:
        return None
    state = kind.parse(name) if isinstance(name, str) else None
    if state is None:
        raise ValueError(f"{str(name)[:80]!r} is no {kind.__name__}; known are {', '.join(kind.__members__)}")
    return state


def _doubt(path: Path, why: str) -> Finding:
    return Finding(
        security=SecurityState.DEGRADED,
        reason=f"a report from outside cannot be understood ({path.name}): {why[:_LONGEST]}",
        source="reports",
    )


def _mark(path: Path) -> tuple[str, int]:
    try:
        return path.name, path.lstat().st_mtime_ns
    except OSError:
        return path.name, -1
