"""Reading a plan file: at most so many bytes, of a regular file, as text without deceptive characters."""

from __future__ import annotations

import os
import re
import stat
from typing import TYPE_CHECKING

from hearth.plan._limits import MAX_BYTES

if TYPE_CHECKING:
    from pathlib import Path

    from hearth.plan._marks import Marks
    from hearth.plan._problems import Problems

__all__ = ["parse_source", "read_source"]

# Left-to-right overrides make a text look different from what it is ("Trojan Source", CVE-2021-42574): an
# approver would see one command and Stage 4 run another.
_BIDIRECTIONAL = "\u202a-\u202e\u2066-\u2069"
_DECEPTIVE = re.compile(f"[{_BIDIRECTIONAL}]")
# YAML 1.1 takes U+0085, U+2028 and U+2029 for line breaks, YAML 1.2 and editors do not.
_NOT_IN_YAML = re.compile(f"[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff{_BIDIRECTIONAL}]")
_LINE_BREAK = re.compile(r"\r\n?|\n")


def read_source(path: Path, problems: Problems) -> bytes:
    """Return the bytes of a plan file; a PlanError says why it cannot be read.

    Neither a named pipe nor a device blocks, and no more than MAX_BYTES is ever held.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                problems.fatal((), "cannot be read: not a regular file")
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        problems.fatal((), f"cannot be read: {error.strerror or error}")
    except ValueError as error:  # a NUL character in the path
        problems.fatal((), f"cannot be read: {error}")
    if len(data) > MAX_BYTES:
        problems.fatal((), f"larger than {MAX_BYTES} bytes; put large data into a file and list it under inputs")
    return data


def parse_source(data: bytes, problems: Problems, *, json: bool) -> tuple[object, Marks]:
    """Return the tree of a plan file's bytes and its marks, YAML unless `json`; values are not checked yet."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        problems.fatal((), f"not UTF-8 (byte {error.start}); save the file as UTF-8", line=line)
    bad = (_DECEPTIVE if json else _NOT_IN_YAML).search(text)
    if bad:
        line = len(_LINE_BREAK.findall(text, 0, bad.start())) + 1
        escape = f"\\u{ord(bad[0]):04x}"
        what = f'the character {escape} is invisible or ambiguous; write "{escape}" in double quotes'
        problems.fatal((), what, line=line)
    if json:
        from hearth.plan._json import compose_json

        return compose_json(text, problems)
    from hearth.plan._yaml import compose_yaml

    return compose_yaml(text, problems)
