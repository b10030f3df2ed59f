"""What a step's processes print: secrets taken out line by line, then shown, kept whole, and remembered at its end."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from hearth.errors import RecorderError

if TYPE_CHECKING:
    from collections.abc import Callable

    from hearth.execution._store import ContentStore
    from hearth.record import Redactor

__all__ = ["LONGEST_LINE", "TAIL", "LineRedactor", "OutputKeeper", "Tail", "holds_secret"]

TAIL = 4096  # bytes of an output that stand in the record
LONGEST_LINE = 64 << 10  # bytes; a longer line is searched in pieces that overlap by half
_CANDIDATES = tuple(range(LONGEST_LINE // 2, 0, -(LONGEST_LINE // 16)))

_KEY_BEGINS = re.compile(rb"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_KEY_ENDS = re.compile(rb"-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----[^\r\n]*(\r\n|\r|\n)?")
_KEY_BODY = re.compile(rb"(?:[ \t]*[A-Za-z0-9+/=]{16,}[ \t]*(?:\r\n|\r|\n))+")
_LONGEST_MARK = 128  # no mark of a key is longer
_MARKER = re.compile(r"\[redacted:[A-Za-z0-9_-]*\]")
_REST_OF_LINE = b"[redacted: the rest of this line continues a secret]"
_REST_OF_KEY = b"[redacted: the rest of a private key]\n"


class LineRedactor:
    """Takes the secrets out of a stream of bytes, in bounded memory.

    `feed` returns what can be passed on: whole lines (ended by LF, CR or CRLF). A line longer than 64 KiB is passed on
    in pieces that are never cut within a secret of up to 32 KiB; where no such cut is found, the rest of the line is
    left out, and a note says so. A private key in PEM form is taken out as one, however many lines it has; one without
    an end within 64 KiB is left out as far as it looks like a key. Bytes that are not UTF-8 pass unchanged. `changed`
    says whether anything was taken out.
    """

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._pending = b""
        self._searched = 0  # so far the pending bytes hold no end of a line
        self._dropping_line = False
        self._dropping_key = False
        self.changed = False

    def feed(self, chunk: bytes) -> bytes:
        """Add bytes; return those that are ready, without secrets."""
        self._pending += chunk
        return self._take(at_end=False)

    def finish(self) -> bytes:
        """Return what is left, without secrets; nothing follows it."""
        return self._take(at_end=True)

    def _take(self, *, at_end: bool) -> bytes:
        ready = []
        while self._pending:
            if self._dropping_line:
                ready.append(self._drop_line())
                continue
            length, is_key = self._next_part(at_end=at_end)
            if length:
                part, self._pending = self._pending[:length], self._pending[length:]
                self._searched = 0
                ready.append(self._whole(part) if is_key else self._lines(part))
            elif len(self._pending) > LONGEST_LINE:
                ready.append(self._piece_of_line())
            else:
                break
        return b"".join(ready)

    def _next_part(self, *, at_end: bool) -> tuple[int, bool]:
        """Return how many of the pending bytes can be treated now, and whether they are a private key."""
        pending = self._pending
        begin = _KEY_BEGINS.search(pending, max(0, self._searched - _LONGEST_MARK))
        if begin is None:
            start, self._searched = self._searched, len(pending)
            return (len(pending) if at_end and len(pending) <= LONGEST_LINE else _last_end(pending, start)), False
        before = _last_end(pending[: begin.start()], 0)
        if before:
            return before, False
        end = _KEY_ENDS.search(pending, begin.end())
        if end is not None and (at_end or end[1]):
            return end.end(), True
        if at_end or (len(pending) > LONGEST_LINE and _last_end(pending, 0)):
            self._dropping_key = not at_end
            return len(pending), True
        return 0, False

    def _drop_line(self) -> bytes:
        end = _first_end(self._pending)
        self._dropping_line = not end
        dropped, self._pending = self._pending[:end], self._pending[end:] if end else b""
        return dropped[-1:]

    def _lines(self, part: bytes) -> bytes:
        if self._dropping_key:
            body = _KEY_BODY.match(part)
            rest = part[body.end() :] if body else part
            self._dropping_key = not rest
            return (_REST_OF_KEY if body else b"") + (self._lines(rest) if rest else b"")
        # Mostly there is nothing in many lines at once; only else is it worth looking at each.
        text = part.decode("utf-8", "surrogateescape")
        if self._redactor.text(text) == text:
            return part
        return b"".join(self._whole(line) for line in part.splitlines(keepends=True))

    def _whole(self, part: bytes) -> bytes:
        clean = self._redactor.text(part.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")
        if clean != part:
            self.changed = True
        return clean

    def _piece_of_line(self) -> bytes:
        """Pass on the first part of a line that is too long to wait for its end."""
        pending = self._pending
        self._searched = 0
        self._dropping_key = False
        text = pending.decode("utf-8", "surrogateescape")
        clean = self._redactor.text(text)
        if clean == text:
            cut = _CANDIDATES[0]
            self._pending = pending[cut:]
            return pending[:cut]
        found = _MARKER.sub("[redacted:]", clean)
        for cut in _CANDIDATES:
            # A cut is safe where both sides by themselves give the same as the whole: no secret lies across it.
            if self._found(pending[:cut]) + self._found(pending[cut:]) == found:
                self._pending = pending[cut:]
                return self._whole(pending[:cut])
        self._pending = b""
        self._dropping_line = self.changed = True
        return self._whole(pending) + _REST_OF_LINE

    def _found(self, part: bytes) -> str:
        return _MARKER.sub("[redacted:]", self._redactor.text(part.decode("utf-8", "surrogateescape")))


def _last_end(part: bytes, start: int) -> int:
    return max(part.rfind(b"\n", start), part.rfind(b"\r", start)) + 1


def _first_end(part: bytes) -> int:
    ends = [position for position in (part.find(b"\n"), part.find(b"\r")) if position >= 0]
    return min(ends) + 1 if ends else 0


class Tail:
    """The end of a stream as text for a record: at most `limit` bytes of UTF-8, from the start of a line."""

    def __init__(self, limit: int = TAIL) -> None:
        self._limit = limit
        self._bytes = b""
        self._cut = False

    def feed(self, chunk: bytes) -> None:
        """Add bytes."""
        whole = self._bytes + chunk[-self._limit - 1 :]
        self._cut = self._cut or len(self._bytes) + len(chunk) > self._limit
        self._bytes = whole[-self._limit :]

    def text(self) -> str:
        """Return the text; bytes that are not UTF-8 show as U+FFFD."""
        kept = self._bytes
        if self._cut:
            line = kept.find(b"\n", 0, self._limit // 2)
            if line >= 0:
                kept = kept[line + 1 :]
            else:
                while kept and kept[0] & 0xC0 == 0x80:  # noqa: PLR2004 - the middle of a character
                    kept = kept[1:]
        text = kept.decode("utf-8", "replace")
        while len(text.encode()) > self._limit:
            text = text[len(text) // 4 + 1 :]
        return text


class OutputKeeper:
    """One stream of a step: a sink that redacts, shows, keeps whole and remembers the end.

    Nothing reaches `show` or the store before its secrets are taken out. RecorderError when it cannot be kept.
    """

    def __init__(
        self, name: str, *, redactor: Redactor, store: ContentStore, show: Callable[[str, bytes], None]
    ) -> None:
        self._name = name
        self._lines = LineRedactor(redactor)
        self._show = show
        self._writer = store.put_stream()
        self.tail = Tail()

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes of the stream."""
        self._pass_on(self._lines.feed(chunk))

    def close(self) -> dict[str, Any]:
        """Make the output durable; return what stands in the record: `sha256`, `bytes` (as kept) and `tail`."""
        self._pass_on(self._lines.finish())
        try:
            digest = self._writer.close()
        except OSError as error:
            raise self._cannot_keep(error) from error
        details: dict[str, Any] = {
            "sha256": digest,
            "bytes": self._writer.size,
            "tail": self.tail.text(),
        }
        if self._lines.changed:
            details["redacted"] = True
        return details

    def discard(self) -> None:
        """Keep nothing, unless it is closed already."""
        self._writer.discard()

    def _pass_on(self, clean: bytes) -> None:
        if not clean:
            return
        try:
            self._writer.write(clean)
        except OSError as error:
            raise self._cannot_keep(error) from error
        self.tail.feed(clean)
        self._show(self._name, clean)

    def _cannot_keep(self, error: OSError) -> RecorderError:
        return RecorderError(f"{self._name} cannot be kept ({error.strerror or error})")


def holds_secret(content: bytes, redactor: Redactor) -> bool:
    """Whether a redactor finds anything in these bytes."""
    lines = LineRedactor(redactor)
    for start in range(0, len(content), LONGEST_LINE):
        lines.feed(content[start : start + LONGEST_LINE])
        if lines.changed:
            return True
    lines.finish()
    return lines.changed
