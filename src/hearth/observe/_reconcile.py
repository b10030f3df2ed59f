"""Reconciliation: what a step did, held against what its plan declares. What is not declared is a violation."""

from __future__ import annotations

import os
import posixpath
from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from hearth.observe._change import ChangeKind
from hearth.observe._database_files import database_of, is_change_of_data, is_change_of_rows
from hearth.observe._node import NodeType
from hearth.observe._program import program_name, unquoted
from hearth.observe._rows import SCHEMA
from hearth.plan import escaped, has_wildcard, name_matches, path_matches, url_matches
from hearth.record import SideEffectCategory

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from hearth.observe._change import Change
    from hearth.observe._manifest import StepManifest
    from hearth.observe._node import Node
    from hearth.observe._request import ObservedRequest
    from hearth.observe._rows import RowChanges
    from hearth.plan import DeclaredEffect

__all__ = ["Reconciliation", "declared_path", "reconcile"]

_PROGRAM, _CALL = "program:", "call:"
_SPECIAL = 0o7000


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """`undeclared` says in words what was done and not declared, `missing` are the declared effects that were not seen.

    `covered` maps each path, table or request that was seen to the pattern that declares it.
    """

    undeclared: tuple[str, ...]
    missing: tuple[DeclaredEffect, ...]
    covered: dict[str, str]

    @property
    def must(self) -> tuple[DeclaredEffect, ...]:
        """The missing effects that the plan demands."""
        return tuple(effect for effect in self.missing if effect.must)


def reconcile(seen: StepManifest, declared: Sequence[DeclaredEffect], cwd: Path) -> Reconciliation:
    """Hold a step's manifest against its declared effects.

    A path is declared by a path pattern of any category (relative ones start at `cwd`; one without wildcards declares a
    directory with all that is in it), and so are the directories made on the way to it: those that the pattern names,
    and those above something that was made and is declared. With set-id or sticky bits, another owner or an ACL, a
    directory has to be declared itself. Rows are declared by
    `data_mutation`, with the table, `DATABASE:TABLE`, or the database's path; that covers the content of the database's
    files as well, and never their type, permissions, owner or attributes. Changes of the schema are declared by
    `schema:NAME`, `DATABASE:schema:NAME`, by all tables (`*`) or the path; requests and connections by `network`,
    with a host, `HOST:PORT` or URL, and the method before it where it is to be one alone. Programs count only where the
    step declares some (`system: "program:NAME"`). Actions are declared by `system: "call:NAME"`, with the name of the
    system call; what writes to a file of the kernel or to a device, by its path as well.
    """
    held = _Held(declared, cwd)
    held.look_at_changes(seen)
    for row in seen.rows:
        words = f"rows of {row.table} in {row.database} were changed"
        if row.definition:
            words = f"the schema of {row.database} was changed ({row.table})"
        held.look(f"{row.database}:{row.table}", words, [pattern.covers_rows(row) for pattern in held.patterns])
    for request in seen.requests:
        name = f"{request.method} {request.url}"
        words = f"{name} {'was' if request.sent else 'would be'} sent"
        held.look(name, words, [pattern.covers_request(request) for pattern in held.patterns])
    for connection in seen.connections:
        words = f"a connection to {connection} was made"
        held.look(connection, words, [pattern.covers_connection(connection) for pattern in held.patterns])
    for action in seen.actions:
        held.look(action, f"{action} was called", [pattern.covers_action(action) for pattern in held.patterns])
    if any(pattern.program for pattern in held.patterns):
        for program in seen.programs:
            # Without quotes, behind which a secret among its words might not be found when this is recorded.
            words = f"the program {unquoted(program)} was started"
            held.look(program, words, [pattern.covers_program(program) for pattern in held.patterns])
    return held.result()


class _Held:
    """What was seen so far of a step, held against what it declares."""

    def __init__(self, declared: Sequence[DeclaredEffect], cwd: Path) -> None:
        self.patterns = [_Pattern(effect, cwd) for effect in declared]
        self._declared = declared
        self._undeclared: list[str] = []
        self._covered: dict[str, str] = {}
        self._used: set[int] = set()

    def look_at_changes(self, seen: StepManifest) -> None:
        """Take in paths; a directory made on the way to a declared one is declared, and fulfils nothing."""
        changes = seen.changes
        made = {one.path for one in changes if one.kind is ChangeKind.CREATED and _is_plain_directory(one.after)}
        above: dict[str, str] = {}
        databases = {row.database for row in seen.rows}
        covers = {}
        for one in changes:
            of_data = is_change_of_data(one)
            covers[one.path] = [
                pattern.covers_path(one.path) and (of_data or not pattern.is_of_data) for pattern in self.patterns
            ]
            if True not in covers[one.path]:
                covers[one.path] = self._covers_of_database(one, databases, seen)
        for change in changes:
            if change.after is None or True not in covers[change.path]:
                continue
            pattern = self._declared[covers[change.path].index(True)].pattern
            parent = posixpath.dirname(change.path)
            while parent in made and parent not in above:
                above[parent] = pattern
                parent = posixpath.dirname(parent)
        for change in changes:
            if change.path in made and True not in covers[change.path]:
                named = (self._declared[i].pattern for i, one in enumerate(self.patterns) if one.names(change.path))
                declared = above.get(change.path) or next(named, None)
                if declared is not None:
                    self._covered[change.path] = declared
                    continue
            self.look(change.path, f"{change.path} was {change.kind.words}", covers[change.path])

    def _covers_of_database(self, change: Change, databases: set[str], seen: StepManifest) -> list[bool]:
        """Tell which effects declare a file because of the database that it is of.

        What SQLite keeps beside a database belongs to it. The file of one all of whose rows were seen is declared by
        what declares these. That holds for the content alone: the rest is declared by the file's own path.
        """
        base = database_of(change.path)
        if not is_change_of_rows(change, seen.changes):
            return [False] * len(self.patterns)
        if base != change.path:
            covers = [
                pattern.covers_path(base) and (pattern.is_of_data or base in databases) for pattern in self.patterns
            ]
            if True in covers:
                return covers
        rows = [row for row in seen.rows if row.database == base and (row.total or row.definition)]
        each = [[pattern.covers_rows(row) for pattern in self.patterns] for row in rows]
        told = (f"{base}: the schema: ", f"{base}: PRAGMA ") if any(row.definition for row in rows) else ()
        more = any(
            reason.removeprefix("rows in ").startswith(f"{base}: ") and not reason.startswith(told)
            for reason in seen.unseen
        )
        if more or not rows or not all(True in one for one in each):
            return [False] * len(self.patterns)
        return [any(one) for one in zip(*each, strict=True)]

    def look(self, key: str, words: str, covers: Sequence[bool]) -> None:
        """Take in what was seen; `covers` says of each declared effect whether it declares that."""
        numbers = [number for number, covered in enumerate(covers) if covered]
        if numbers:
            self._used.update(numbers)
            self._covered[key] = self._declared[numbers[0]].pattern
        else:
            self._undeclared.append(words)

    def result(self) -> Reconciliation:
        """Return what came out."""
        missing = (
            self._declared[number]
            for number, pattern in enumerate(self.patterns)
            if number not in self._used and pattern.can_be_seen
        )
        return Reconciliation(tuple(self._undeclared), tuple(missing), self._covered)


def declared_path(effect: DeclaredEffect, cwd: Path) -> str | None:
    """Return the absolute pattern of the paths that an effect declares; None where it declares something else.

    Wildcards in the names of `cwd` are no wildcards.
    """
    if not effect.is_path:
        return None
    return _normal(posixpath.join(escaped(cwd.as_posix()), effect.pattern))


def _normal(path: str) -> str:
    """Return a path without `.`, `..` and double slashes; one at its end stays."""
    return posixpath.normpath("/" + path.lstrip("/")) + ("/" if path.endswith("/") else "")


class _Pattern:
    """A declared effect, as it is matched."""

    def __init__(self, effect: DeclaredEffect, cwd: Path) -> None:
        self._category = effect.category
        self._text = effect.pattern
        self._path = declared_path(effect, cwd)
        plain = self._path is not None and not has_wildcard(effect.pattern)
        self._plain = _normal(posixpath.join(cwd.as_posix(), effect.pattern)) if plain else None
        self._folder = None if self._path is None else _named_folder(effect.pattern, cwd)
        self.program = effect.pattern.removeprefix(_PROGRAM) if effect.pattern.startswith(_PROGRAM) else ""

    @property
    def can_be_seen(self) -> bool:
        """Whether an observer of files, rows, requests and programs would have seen it; free words it would not."""
        return (
            self._path is not None
            or bool(self.program)
            or self._text.startswith(_CALL)
            or self._category in (SideEffectCategory.DATA_MUTATION, SideEffectCategory.NETWORK)
        )

    @property
    def is_of_data(self) -> bool:
        """Whether it declares changes of data."""
        return self._category is SideEffectCategory.DATA_MUTATION

    def covers_path(self, path: str) -> bool:
        if self._path is None or ".." in path.split("/"):  # where that leads, its text does not say
            return False
        if self._plain is not None:
            return path == self._plain or path.startswith(self._plain.rstrip("/") + "/")
        return path_matches(self._path, path)

    def names(self, path: str) -> bool:
        """Whether the plan itself names the path, as a directory above what the pattern declares."""
        return self._folder is not None and f"{self._folder}/".startswith(path + "/")

    def covers_rows(self, row: RowChanges) -> bool:
        if self._path is not None and self.covers_path(row.database):
            return True
        if self._category is not SideEffectCategory.DATA_MUTATION:
            return False
        database, table, of_schema = _table_named(self._text)
        if of_schema is not bool(row.definition) and not (row.definition and table == "*"):
            return False
        name = row.table.removeprefix(SCHEMA) if row.definition else row.table
        return name_matches(table, name) and database in ("", row.database, posixpath.basename(row.database))

    def covers_request(self, request: ObservedRequest) -> bool:
        if self._category is not SideEffectCategory.NETWORK:
            return False
        method, space, place = self._text.partition(" ")
        if not space:
            method, place = "", self._text
        if method and method.upper() != request.method.upper():
            return False
        parts = urlsplit(request.url)
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme, 0)
        if "://" in place:
            return url_matches(place, request.url)
        return any(name_matches(place, name) for name in (parts.hostname or "", f"{parts.hostname}:{port}"))

    def covers_connection(self, connection: str) -> bool:
        if self._category is not SideEffectCategory.NETWORK:
            return False
        place = self._text.rpartition(" ")[2]
        if "://" in place:
            parts = urlsplit(place)
            place = parts.netloc or parts.path
        address = connection.partition(" ")[2]
        return name_matches(place, address) or name_matches(place, address.rpartition(":")[0])

    def covers_action(self, action: str) -> bool:
        name, _, rest = action.partition(" ")
        if name == "write" and self.covers_path(rest):
            return True
        return self._category is SideEffectCategory.SYSTEM and self._text == _CALL + name

    def covers_program(self, program: str) -> bool:
        name = program_name(program)
        return bool(self.program) and (
            path_matches(self.program, name) or path_matches(self.program, posixpath.basename(name))
        )


def _table_named(pattern: str) -> tuple[str, str, bool]:
    """Return the database that a pattern of rows names ("": any), the table, and whether its schema is meant."""
    if pattern.startswith(SCHEMA):
        return "", pattern.removeprefix(SCHEMA), True
    database, of_schema, table = pattern.rpartition(f":{SCHEMA}")
    if of_schema:
        return database, table, True
    database, _, table = pattern.rpartition(":")
    return database, table, False


def _named_folder(pattern: str, cwd: Path) -> str | None:
    """Return the folder that all lies in which a pattern declares, as far as it has no wildcards."""
    parts = pattern.split("/")
    fixed = list(takewhile(lambda part: not has_wildcard(part), parts))
    if ".." in parts[len(fixed) :]:
        return None
    rest = ["x"] if len(fixed) < len(parts) else []
    return posixpath.dirname(_normal(posixpath.join(cwd.as_posix(), "/".join(fixed + rest))))


def _is_plain_directory(node: Node | None) -> bool:
    """Whether it is a directory as `mkdir` makes it: ours, with no right that its mode does not show."""
    if node is None or node.type is not NodeType.DIRECTORY or node.mode & _SPECIAL:
        return False
    if any(name.startswith("system.posix_acl_") for name in node.xattrs):
        return False
    if not hasattr(os, "geteuid"):
        return True
    return node.uid == os.geteuid() and node.gid in (os.getegid(), *os.getgroups())
