"""SQL texts: where a statement ends, what it is called, which table it changes."""

from __future__ import annotations

import re
import sqlite3
from dataclasses import dataclass

__all__ = ["Statement", "read_statement", "split_sqlite"]

_COMMENTS = re.compile(r"--[^\n]*|/\*.*?(?:\*/|\Z)", re.DOTALL)
# A literal or a quoted name is kept whole, so that nothing within it looks like SQL.
_TOKENS = re.compile(
    r"(?P<comment>--[^\n]*|/\*.*?(?:\*/|\Z))|(?P<text>'(?:[^']|'')*')|(?P<name>\"(?:[^\"]|\"\")*\"|`[^`]*`|\[[^\]\n]*\])",
    re.DOTALL,
)
_NAME = r"(?:\"(?:[^\"]|\"\")*\"|`[^`]*`|\[[^\]]*\]|[\w$]+)"
_TABLE = rf"(?P<table>{_NAME}(?:\s*\.\s*{_NAME})*)"
_CHANGES = (
    ("insert", re.compile(rf"(?:INSERT|REPLACE)\s+(?:OR\s+\w+\s+)?INTO\s+{_TABLE}", re.IGNORECASE)),
    ("update", re.compile(rf"(?<!FOR )(?<!DO )UPDATE\s+(?:OR\s+\w+\s+)?(?:ONLY\s+)?{_TABLE}", re.IGNORECASE)),
    ("delete", re.compile(rf"DELETE\s+FROM\s+(?:ONLY\s+)?{_TABLE}", re.IGNORECASE)),
    ("merge", re.compile(rf"MERGE\s+INTO\s+{_TABLE}", re.IGNORECASE)),
    ("truncate", re.compile(rf"TRUNCATE\s+(?:TABLE\s+)?(?:ONLY\s+)?{_TABLE}", re.IGNORECASE)),
    (
        "define",
        re.compile(
            r"(?:CREATE|ALTER|DROP)\s+(?:OR\s+REPLACE\s+)?(?:TEMP(?:ORARY)?\s+|UNIQUE\s+|VIRTUAL\s+|MATERIALIZED\s+)*"
            rf"(?P<kind>\w+)\s+(?:CONCURRENTLY\s+)?(?:IF\s+(?:NOT\s+)?EXISTS\s+)?{_TABLE}",
            re.IGNORECASE,
        ),
    ),
)
_READS = frozenset(("SELECT", "VALUES", "EXPLAIN", "SHOW", "DESCRIBE", "TABLE", "WITH", "PRAGMA"))
_OF_TRANSACTIONS = frozenset(("BEGIN", "START", "COMMIT", "END", "ROLLBACK", "ABORT"))
_OF_CONNECTIONS = frozenset(("ATTACH", "DETACH"))


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement: its text, its first word in capitals, what it changes (kind and table, "" where that is unclear).

    `kind` is insert, update, delete, merge, truncate, define, other, or "" for a statement that only reads;
    `refused` says why it cannot be part of a step, or is "".
    """

    text: str
    verb: str
    kind: str
    table: str = ""
    refused: str = ""

    def did(self, rows: int | None) -> str:
        """Return what the statement did, as an operator reads it; `rows` None is an unknown number."""
        count = "an unknown number of rows" if rows is None else f"{rows} row{'' if rows == 1 else 's'}"
        table = self.table or "a table"
        match self.kind:
            case "insert":
                return f"inserted {count} into {table}"
            case "update":
                return f"updated {count} in {table}"
            case "delete":
                return f"deleted {count} from {table}"
            case "merge":
                return f"merged {count} into {table}"
            case "truncate":
                return f"truncated {table}"
            case "define":
                return f"{_PAST[self.verb]} {self.table}"
        return f"ran {self.verb}"


_PAST = {"CREATE": "created", "ALTER": "altered", "DROP": "dropped"}


def read_statement(text: str) -> Statement:
    """Say what a statement is, from its words alone."""
    bare = _TOKENS.sub(lambda token: token["name"] or (" " if token["comment"] else "''"), text).strip()
    words = re.findall(r"[A-Za-z]+", bare[:200])
    verb = words[0].upper() if words else ""
    if verb in _OF_TRANSACTIONS:
        why = f"{verb} is not possible here: the statements of a step are one transaction, which HEARTH begins and ends"
        return Statement(text, verb, "other", refused=why)
    if verb in _OF_CONNECTIONS:
        return Statement(
            text, verb, "other", refused=f"{verb} is not possible here: give each database a step of its own"
        )
    for kind, pattern in _CHANGES:
        found = pattern.search(bare) if verb == "WITH" else pattern.match(bare)
        if found is not None:
            table = re.sub(r"\s*\.\s*", ".", found["table"])
            what = f"{found['kind'].lower()} {table}" if kind == "define" else table
            return Statement(text, verb, kind, what)
    if verb in _READS and not (verb == "PRAGMA" and "=" in bare):
        return Statement(text, verb, "")
    return Statement(text, verb, "other")


def split_sqlite(text: str) -> list[str]:
    """Split a text into the statements that SQLite sees in it (a trigger's body stays whole), without empty ones.

    ValueError when it holds a NUL character.
    """
    statements = []
    start = position = 0
    while (position := text.find(";", position)) >= 0:
        position += 1
        if sqlite3.complete_statement(text[start:position]):
            statements.append(text[start:position])
            start = position
    statements.append(text[start:])
    return [statement.strip() for statement in statements if _COMMENTS.sub("", statement).strip(" \t\r\n\f;")]
