"""Patterns of paths in a plan, as declared effects use them."""

from __future__ import annotations

import posixpath
import re

__all__ = ["escaped", "has_wildcard", "matches_anything", "name_matches", "path_matches", "url_matches"]

_WILDCARD = re.compile(r"[*?\[]")
_CHARACTERS = re.compile(r"\[[^/]*?\]")


def has_wildcard(pattern: str) -> bool:
    """Whether a pattern may match more than one path."""
    return _WILDCARD.search(pattern) is not None


def matches_anything(pattern: str) -> bool:
    """Whether no letter of a pattern says what it is about, such as `**`, `*.*` or `./*/`."""
    return not _CHARACTERS.sub("", pattern).strip("*?./")


def escaped(path: str) -> str:
    """Return the pattern that matches this path alone, whatever characters its names have."""
    return _WILDCARD.sub(lambda found: f"[{found[0]}]", path)


def path_matches(pattern: str, path: str) -> bool:
    """Whether a POSIX path fits a pattern, both absolute or both relative to one folder.

    `*` and `?` stay within one name, `[ab]` and `[!a-c]` are one character, `**` is any number of names, also none; a
    slash at the end means everything below. Upper and lower case differ. The time is at most the product of both
    lengths.
    """
    below = pattern.endswith("/")
    names = [name for name in posixpath.normpath(path).split("/") if name]
    parts = [part for part in posixpath.normpath(pattern).split("/") if part]
    if below:
        parts += ["*", "**"]  # something below, not the folder itself
    return _match(parts, names)


def url_matches(pattern: str, url: str) -> bool:
    """Whether an absolute URL fits a pattern, name by name as `path_matches`, its scheme included.

    Nothing is left out of the URL: where a server might take names away (`.`, `..`), only the same text fits.
    """
    scheme, _, rest = url.partition("://")
    wanted, _, place = pattern.partition("://")
    if not name_matches(wanted.lower(), scheme.lower()):
        return False
    names, parts = rest.split("/"), place.split("/")
    path = rest.partition("?")[0].partition("#")[0].replace("\\", "/").split("/")
    if any(name.lower().replace("%2e", ".") in (".", "..") for name in path):
        return place == rest
    for one in (names, parts):
        if len(one) == 1:  # a host alone is its first page
            one.append("")
    if place.endswith("/"):
        parts[-1:] = ["*", "**"]
    return _match(parts, names)


def _match(parts: list[str], names: list[str]) -> bool:
    reachable = {0}  # counts of names that the parts so far can stand for
    for part in parts:
        if part == "**":
            reachable = set(range(min(reachable), len(names) + 1))
        else:
            reachable = {count + 1 for count in reachable if count < len(names) and name_matches(part, names[count])}
        if not reachable:
            return False
    return len(names) in reachable


def name_matches(pattern: str, name: str) -> bool:
    """Whether one name fits, a slash being a character as any other.

    On a mismatch only the last `*` is tried longer, which is exact and never exponential.
    """
    at = start = 0
    star: tuple[int, int] | None = None
    while start < len(name):
        if at < len(pattern) and pattern[at] == "*":
            star = (at + 1, start)
            at += 1
            continue
        end = _one(pattern, at, name[start])
        if end is not None:
            at, start = end, start + 1
        elif star is not None:
            star = (star[0], star[1] + 1)
            at, start = star
        else:
            return False
    return not pattern[at:].strip("*")


def _one(pattern: str, at: int, character: str) -> int | None:
    """Return where the pattern goes on after `character`, or None when it does not fit there."""
    if at >= len(pattern):
        return None
    symbol = pattern[at]
    if symbol == "?":
        return at + 1
    if symbol == "[":
        negated = pattern.startswith("!", at + 1)
        first = at + 1 + negated
        close = pattern.find("]", first + 1)  # a bracket that stands first is meant itself
        if close > 0:
            return close + 1 if _in_set(pattern[first:close], character) != negated else None
    return at + 1 if symbol == character else None


def _in_set(members: str, character: str) -> bool:
    index = 0
    while index < len(members):
        if members[index + 1 : index + 2] == "-" and index + 2 < len(members):
            if members[index] <= character <= members[index + 2]:
                return True
            index += 3
        else:
            if members[index] == character:
                return True
            index += 1
    return False
