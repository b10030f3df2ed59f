"""SQL texts: where a statement ends, what it is called, which table it changes."""

from __future__ import annotations

import re
import sqlite3
from dataclasses import dataclass, replace

__all__ = ["Statement", "is_empty", "read_statement", "split_sqlite"]

_COMMENTS = re.compile(r"--[^\n]*|/\*.*?(?:\*/|\Z)", re.DOTALL)
# A literal or a quoted name is kept whole, so that nothing within it looks like SQL.
_TOKENS = re.compile(
    r"(?P<comment>--[^\n]*|/\*.*?(?:\*/|\Z))|(?P<text>'(?:[^']|'')*')|(?P<name>\"(?:[^\"]|\"\")*\"|`[^`]*`|\[[^\]\n]*\])",
    re.DOTALL,
)
_QUOTED = r"\"(?:[^\"]|\"\")*\"|`[^`]*`|\[[^\]\n]*\]"
_SPACE = re.compile(rf"({_QUOTED})|\s+")
_PARENTHESES = re.compile(rf"({_QUOTED}|[()])")
_NAME = rf"(?:{_QUOTED}|[\w$]+)"
_TABLE = rf"(?P<table>{_NAME}(?:\s*\.\s*{_NAME})*)"
_CHANGES = (
    ("insert", re.compile(rf"(?:INSERT|REPLACE)\s+(?:OR\s+\w+\s+)?INTO\s+{_TABLE}", re.IGNORECASE)),
    (
        "update",
        re.compile(
            rf"(?<!FOR )(?<!KEY )(?<!DO )(?<!THEN )UPDATE\s+(?:OR\s+\w+\s+)?(?:ONLY\s+)?{_TABLE}", re.IGNORECASE
        ),
    ),
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
_ROW_CHANGES = _CHANGES[:4]
_EXPLAIN = re.compile(r"EXPLAIN\b\s*(?P<options>\([^()]*\)|(?:(?:ANALY[SZ]E|VERBOSE)\b\s*)*)", re.IGNORECASE)
# SELECT … INTO makes a table, with MySQL a file; MySQL's variables (@name) are nothing that stays.
_INTO = re.compile(
    rf"\bINTO\s+(?!@)(?:(?:OUTFILE|DUMPFILE)\b|(?:(?:TEMP(?:ORARY)?|UNLOGGED)\s+)?(?:TABLE\s+)?{_TABLE})?",
    re.IGNORECASE,
)
_COPY_BY_CLIENT = re.compile(r"COPY\b.*\b(?:FROM\s+STDIN|TO\s+STDOUT)\b", re.IGNORECASE | re.DOTALL)
_READS = frozenset(("SELECT", "VALUES", "EXPLAIN", "SHOW", "DESCRIBE", "TABLE", "WITH", "PRAGMA"))
_OF_TRANSACTIONS = frozenset(("BEGIN", "START", "COMMIT", "END", "ROLLBACK", "ABORT"))
_OF_CONNECTIONS = frozenset(("ATTACH", "DETACH"))


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement: its text, its first word in capitals, what it changes (kind and table, "" where that is unclear).

    `kind` is insert, update, delete, merge, truncate, define, other, or "" for a statement that only reads;
    `refused` says why it cannot be part of a step, or is "". `inner` are changes in the parentheses of a WITH, as
    PostgreSQL has them; no driver counts their rows.
    """

    text: str
    verb: str
    kind: str
    table: str = ""
    refused: str = ""
    inner: tuple[Statement, ...] = ()

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


_PAST = {"CREATE": "created", "ALTER": "altered", "DROP": "dropped", "SELECT": "created", "WITH": "created"}


def read_statement(text: str) -> Statement:
    """Say what a statement is, from its words alone."""
    bare = _bare(text)
    words = re.findall(r"[A-Za-z]+", bare[:200])
    verb = words[0].upper() if words else ""
    refused = _refused(verb, bare)
    if refused:
        return Statement(text, verb, "other", refused=refused)
    if verb == "WITH":
        return _read_with(text, bare)
    for kind, pattern in _CHANGES:
        found = pattern.match(bare)
        if found is not None:
            table = _table(found)
            return Statement(text, verb, kind, f"{found['kind'].lower()} {table}" if kind == "define" else table)
    if verb == "EXPLAIN":
        # With ANALYZE it executes what it explains.
        explain = _EXPLAIN.match(bare)
        if explain is not None and re.search("ANALY[SZ]E", explain["options"], re.IGNORECASE):
            executed = read_statement(bare[explain.end() :])
            return Statement(text, verb, "other" if executed.kind or executed.inner else "", executed.table)
    if verb == "SELECT":
        return _read_into(text, verb, bare)
    if verb in _READS and not (verb == "PRAGMA" and "=" in bare):
        return Statement(text, verb, "")
    return Statement(text, verb, "other")


def is_empty(text: str) -> bool:
    """Whether a text holds nothing but comments and semicolons."""
    return not _bare(text).strip("; \t\r\n\f")


def _bare(text: str) -> str:
    """Return the text with nothing in its literals, without comments, its words one space apart."""
    bare = _TOKENS.sub(lambda token: token["name"] or (" " if token["comment"] else "''"), text)
    return _SPACE.sub(lambda space: space[1] or " ", bare).strip()


def _table(found: re.Match[str]) -> str:
    return re.sub(r"\s*\.\s*", ".", found["table"] or "")


def _refused(verb: str, bare: str) -> str:
    if verb in _OF_TRANSACTIONS or re.match(r"PREPARE TRANSACTION\b", bare, re.IGNORECASE):
        return (
            f"{verb} is not possible here: the statements of a step are one transaction, which HEARTH begins and ends"
        )
    if verb in _OF_CONNECTIONS:
        return f"{verb} is not possible here: give each database a step of its own"
    if _COPY_BY_CLIENT.match(bare):
        return "COPY from STDIN or to STDOUT is not possible here: nobody is there to send or take the rows"
    return ""


def _read_with(text: str, bare: str) -> Statement:
    outer = _outside_parentheses(bare)
    changes = sorted(
        (found.start(), kind, _table(found)) for kind, pattern in _ROW_CHANGES for found in pattern.finditer(bare)
    )
    main = next(
        (
            (kind, _table(found))
            for kind, pattern in _ROW_CHANGES
            for found in [pattern.search(outer)]
            if found is not None
        ),
        None,
    )
    inner = [(kind, table) for _, kind, table in changes]
    if main in inner:
        inner.reverse()  # the statement itself comes last
        inner.remove(main)
        inner.reverse()
    within = tuple(Statement(text, kind.upper(), kind, table) for kind, table in inner)
    if main is not None:
        return Statement(text, "WITH", *main, inner=within)
    return replace(_read_into(text, "WITH", outer), inner=within)


def _read_into(text: str, verb: str, bare: str) -> Statement:
    into = _INTO.search(_outside_parentheses(bare))
    if into is None:
        return Statement(text, verb, "")
    return Statement(text, verb, "define", f"table {_table(into)}") if into["table"] else Statement(text, verb, "other")


def _outside_parentheses(bare: str) -> str:
    depth = 0
    kept = []
    for piece in _PARENTHESES.split(bare):
        if piece == "(":
            depth += 1
        elif piece == ")":
            depth = max(0, depth - 1)
            kept.append(" ")
        elif not depth:
            kept.append(piece)
    return _SPACE.sub(lambda space: space[1] or " ", "".join(kept))


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
