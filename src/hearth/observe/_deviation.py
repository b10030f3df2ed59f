"""Deviations: where a run did something else than the preview that was approved."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

from hearth.observe._row_deviation import differing_rows
from hearth.observe._volatile import parted
from hearth.plan import escaped

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from hearth.observe._change import Change
    from hearth.observe._manifest import StepManifest
    from hearth.observe._node import Node

__all__ = ["VOLATILE", "deviations", "volatile_patterns"]

VOLATILE = (
    "**/__pycache__/**",
    "**/*.pyc",
    "/var/log/apt/**",
    "/var/log/dpkg.log",
    "/var/log/alternatives.log",
    "/var/log/lastlog",
    "/var/log/wtmp",
    "/var/cache/ldconfig/aux-cache",
    "/var/cache/apt/*.bin",
    "/var/lib/apt/lists/**",
    "**/.cache/pip/**",
    "**/pip/**/RECORD",
)
"""Paths whose content differs from run to run by nature; they are compared loosely."""

_RESPECTS = {
    "type": "type",
    "mode": "permissions",
    "uid": "owner",
    "gid": "group",
    "sha256": "content",
    "size": "size",
    "target": "link target",
    "device": "device number",
    "xattrs": "extended attributes",
    "links": "number of names",
}


def deviations(
    approved: StepManifest, seen: StepManifest, *, volatile: Sequence[str] = (), cwd: Path | None = None
) -> tuple[str, ...]:
    """Return in words where a step's manifest differs from the approved one; nothing where it does not.

    `volatile` are the step's patterns: one without a slash means the name wherever it lies, another relative one
    starts at `cwd`. What matches one of them, or one of VOLATILE, is compared loosely (`hearth.observe._volatile`).
    Programs and connections are not compared: how often one is tried is chance.
    """
    patterns = volatile_patterns(volatile, cwd)
    (before, new_before), (now, new) = (parted(step.changes, patterns) for step in (approved, seen))
    found: list[str] = []
    for path in sorted({*before, *now}):
        was, is_ = before.get(path), now.get(path)
        if was is not None and is_ is not None:
            found += [said] if (said := _difference(was, is_)) else []
        elif is_ is not None:
            found.append(f"{path} was {is_.kind.words}, and the preview did not show that")
        elif was is not None:
            found.append(f"{path} was not {was.kind.words}, as the preview showed")
    found += [
        f"{path} was created, and the preview showed nothing of its kind there"
        for path in new.without_counterpart(new_before)
    ]
    found += [
        f"something that matches the volatile pattern {pattern} was changed in the preview alone"
        for pattern in sorted(new_before.patterns - new.patterns)
    ]
    found += differing_rows(approved.rows, seen.rows, volatile)
    was_sent = [(one.method, one.url, one.body_sha256) for one in approved.requests]
    for request in seen.requests:
        key3 = (request.method, request.url, request.body_sha256)
        if key3 in was_sent:
            was_sent.remove(key3)
        else:
            found.append(f"{request.method} {request.url} was sent, and the preview did not show that")
    found.extend(f"{method} {url} was not sent, as the preview showed" for method, url, _ in was_sent)
    if bool(approved.error) != bool(seen.error):
        found.append("it failed, and did not in the preview" if seen.error else "it failed in the preview, and did not")
    return tuple(found)


def volatile_patterns(volatile: Sequence[str], cwd: Path | None) -> tuple[str, ...]:
    """Return the patterns of paths that are compared loosely, as absolute ones: a step's own, and HEARTH's."""
    return tuple(_absolute(pattern, cwd) for pattern in volatile) + VOLATILE


def _absolute(pattern: str, cwd: Path | None) -> str:
    if "/" not in pattern:
        return f"**/{pattern}"
    return posixpath.join("/" if cwd is None else escaped(cwd.as_posix()), pattern)


def _difference(was: Change, is_: Change) -> str:
    """Return in words what became of a path otherwise than in the preview; "" where nothing did.

    What differs after the step as it did before is a consequence, and said once.
    """
    if was.kind is not is_.kind:
        return f"{was.path} was {is_.kind.words}, and in the preview {was.kind.words}"
    before, after = _in_what(was.before, is_.before), _in_what(was.after, is_.after)
    if not before:
        return f"{was.path} is not what it was in the preview after the step: {', '.join(after)}" if after else ""
    more = [one for one in after if one not in before]
    also = f"; after it also: {', '.join(more)}" if more else ""
    return f"{was.path} was not what it was in the preview before the step already: {', '.join(before)}{also}"


def _in_what(one: Node | None, other: Node | None) -> list[str]:
    """Return in which respects the two differ."""
    if one is None or other is None:
        if one is other:
            return []
        return ["it is there" if one is None else "it is not there"]
    if one == other and one.links == other.links:
        return []
    found = [words for name, words in _RESPECTS.items() if getattr(one, name) != getattr(other, name)]
    # Another size is another content.
    return [words for words in found if words != "size" or "content" not in found] or ["what it is"]
