"""Import a CSV file of users into the database.

All good rows go in with one transaction, and every bad row, with its reason, goes to a reject file.

`run` and `undo` are what the plan calls. By hand, in the folder of the database:

    python importer.py undo app.db 2025-09 rejects.csv
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import io
import os
import re
import sqlite3
import sys
from collections import Counter
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

COLUMNS = ["name", "email", "joined", "country"]
COUNTRIES = frozenset({"NO", "SE", "DK", "FI", "DE", "NL", "PL", "FR", "GB", "VN"})
ADDRESS = re.compile(r"[a-z0-9._%+-]+@[a-z0-9-]+(\.[a-z0-9-]+)+")
DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
SCHEMA = "2"


class ImportRefusedError(Exception):
    """The import must not happen, or not like this; nothing has been changed."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the CSV file: `line` counts from 1 and is the last line that the row spans."""

    line: int
    values: tuple[str, ...]


def read_rows(content: bytes) -> Iterator[Row]:
    """Yield the rows below the header.

    Bytes that are not UTF-8 arrive as lone surrogates, so that one bad row does not end the file. Raises
    ImportRefusedError where the header is not the expected one, or the file cannot be read as rows at all.
    """
    reader = csv.reader(io.StringIO(content.decode("utf-8-sig", "surrogateescape"), newline=""))
    header = next(reader, [])
    if header != COLUMNS:
        raise ImportRefusedError(
            f"the first line must be {','.join(COLUMNS)}, not {','.join(header)!r}: is this the right file?"
        )
    try:
        for values in reader:
            if values:
                yield Row(reader.line_num, tuple(values))
    except csv.Error as error:
        raise ImportRefusedError(f"line {reader.line_num}: {error}") from error


def shape_problem(values: Sequence[str]) -> str:
    """Return why these values are no row of the file at all, or an empty string."""
    if any("\udc80" <= letter <= "\udcff" for value in values for letter in value):
        return "not UTF-8"
    if any("\n" in value or "\r" in value for value in values):
        return "line break in a value"  # most often a lost quotation mark: what it swallowed is kept in the reject file
    if len(values) > len(COLUMNS):
        return "too many columns"
    return "too few columns" if len(values) < len(COLUMNS) else ""


def value_problem(values: tuple[str, str, str, str], *, last_day: date, known: set[str], seen: set[str]) -> str:
    """Return why the row's person cannot become a user, or an empty string.

    `known` and `seen` are addresses in small letters: those of the database, and those of this file so far.
    """
    name, address, joined, country = values
    day = parse_day(joined)
    problems = {
        "no name": not name,
        "no e-mail": not address,
        "malformed e-mail": not ADDRESS.fullmatch(address),
        "malformed date": day is None,
        "date in the future": day is not None and day > last_day,
        "unknown country": country not in COUNTRIES,
        "already a user": address in known,
        "duplicate in the file": address in seen,
    }
    return next((problem for problem, found in problems.items() if found), "")


def cleaned(values: Sequence[str]) -> tuple[str, str, str, str]:
    """Return name, address, day and country without the blanks and capitals that people type."""
    name, address, joined, country = (value.strip() for value in values)
    return " ".join(name.split()), address.lower(), joined, country.upper()


def parse_day(text: str) -> date | None:
    """Return the day of a YYYY-MM-DD, or None."""
    try:
        return date.fromisoformat(text) if DAY.fullmatch(text) else None
    except ValueError:
        return None


@contextmanager
def transaction(database: str) -> Iterator[sqlite3.Connection]:
    """Open an existing database and hold one write transaction: committed at the end, rolled back on any error."""
    address = (
        f"{Path(database).resolve().as_uri()}?mode=rw"  # rw: a mistyped name is an error, not a new empty database
    )
    with closing(sqlite3.connect(address, uri=True, isolation_level=None, timeout=10)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")


def check_target(connection: sqlite3.Connection, batch: str) -> None:
    """Raise ImportRefusedError unless the schema is the expected one and the batch is new."""
    (version,) = connection.execute("SELECT value FROM meta WHERE key = 'schema_version'").fetchone()
    if version != SCHEMA:
        raise ImportRefusedError(
            f"the database has schema version {version}, and this import needs {SCHEMA}: run the migration first"
        )
    if connection.execute("SELECT 1 FROM import_batches WHERE id = ?", (batch,)).fetchone():
        raise ImportRefusedError(f"batch {batch} is already in the database: undo it before you import it again")


def check_share(bad: Sequence[tuple[Row, str]], read: int, percent: float) -> None:
    """Raise ImportRefusedError where more rows are bad than expected: then it is probably the file that is wrong."""
    if 100 * len(bad) > percent * read:
        found = f"{len(bad)} of {read} rows are bad, more than {percent:g} %"
        raise ImportRefusedError(f"{found}: is this the right file? {summary(bad)}")


def write_rejects(path: Path, rejects: Sequence[tuple[Row, str]]) -> None:
    """Write line, reason and row for each reject, undecodable bytes in hexadecimal; flushed to the disk."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["line", "reason", *COLUMNS])
        for row, reason in rejects:
            shown = (
                value.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace") for value in row.values
            )
            writer.writerow([row.line, reason, *shown])
        file.flush()
        os.fsync(file.fileno())


def run(
    *, source: str, database: str, rejects: str, batch: str, last_day: str, max_rejected_percent: float = 5.0
) -> dict[str, object]:
    """Import the file as one batch and return what was done: counts, reasons, the digest of the source, side effects.

    Rows joined after `last_day` (YYYY-MM-DD) are rejected. Raises ImportRefusedError, with nothing changed, where more
    rows are bad than `max_rejected_percent`, the schema or the header is not the expected one, the batch is not new, or
    the reject file exists.
    """
    content = Path(source).read_bytes()
    digest, limit_day = hashlib.sha256(content).hexdigest(), date.fromisoformat(last_day)
    target = Path(rejects)
    if target.exists():
        raise ImportRefusedError(f"{target} is already there: move it away, it belongs to another import")
    draft, placed = target.with_name(f"{target.name}.new"), False
    try:
        with transaction(database) as connection:
            check_target(connection, batch)
            known = {address for (address,) in connection.execute("SELECT lower(email) FROM users")}
            good, bad = sort_out(content, last_day=limit_day, known=known)
            read = len(good) + len(bad)
            check_share(bad, read, max_rejected_percent)
            connection.execute(
                "INSERT INTO import_batches (id, source, source_sha256, rows_read, imported, rejected)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                (batch, Path(source).name, digest, read, len(good), len(bad)),
            )
            rows = ((*values, batch) for values in good)
            connection.executemany(
                "INSERT INTO users (name, email, joined, country, batch) VALUES (?, ?, ?, ?, ?)", rows
            )
            connection.execute("UPDATE meta SET value = (SELECT count(*) FROM users) WHERE key = 'users'")
            # Before the commit: a reject file without its import does no harm, an import without its reject file does.
            write_rejects(draft, bad)
            draft.replace(target)
            placed = True
    except BaseException:
        draft.unlink(missing_ok=True)
        if placed:
            target.unlink()
        raise
    print(f"{read:,} rows read, {len(good):,} imported, {len(bad):,} rejected: {summary(bad)}")
    reasons = dict(sorted(Counter(reason for _, reason in bad).items()))
    return {
        "result": {
            "batch": batch,
            "read": read,
            "imported": len(good),
            "rejected": len(bad),
            "reasons": reasons,
            "source_sha256": digest,
        },
        "side_effects": [
            effect(
                "DATA_MUTATION", f"inserted {len(good):,} rows into users of {database}", rows=len(good), table="users"
            ),
            effect(
                "DATA_MUTATION",
                f"inserted batch {batch} into import_batches of {database}",
                rows=1,
                table="import_batches",
            ),
            effect("FILE_SYSTEM", f"created {rejects} with {len(bad):,} rejected rows", rows=len(bad), path=rejects),
        ],
    }


def sort_out(
    content: bytes, *, last_day: date, known: set[str]
) -> tuple[list[tuple[str, str, str, str]], list[tuple[Row, str]]]:
    """Return the good rows, cleaned, and the bad ones with their reasons."""
    good: list[tuple[str, str, str, str]] = []
    bad: list[tuple[Row, str]] = []
    seen: set[str] = set()
    for row in read_rows(content):
        reason = shape_problem(row.values)
        if not reason:
            values = cleaned(row.values)
            reason = value_problem(values, last_day=last_day, known=known, seen=seen)
        if reason:
            bad.append((row, reason))
        else:
            good.append(values)
            seen.add(values[1])
    return good, bad


def summary(bad: Sequence[tuple[Row, str]]) -> str:
    """Return the three most frequent reasons in one line."""
    counts = Counter(reason for _, reason in bad).most_common()
    named = ", ".join(f"{count} {reason}" for reason, count in counts[:3])
    rest = sum(count for _, count in counts[3:])
    return f"{named}, {rest} others" if rest else named


def undo(*, database: str, batch: str, rejects: str) -> dict[str, object]:
    """Take one batch out of the database again and remove its reject file; the users of before stay as they are."""
    with transaction(database) as connection:
        deleted = connection.execute("DELETE FROM users WHERE batch = ?", (batch,)).rowcount
        if not connection.execute("DELETE FROM import_batches WHERE id = ?", (batch,)).rowcount:
            raise ImportRefusedError(f"there is no batch {batch} in {database}: nothing to take out")
        connection.execute("UPDATE meta SET value = (SELECT count(*) FROM users) WHERE key = 'users'")
    Path(rejects).unlink(missing_ok=True)
    print(f"batch {batch} taken out: {deleted:,} users deleted")
    return {
        "result": {"batch": batch, "deleted": deleted},
        "side_effects": [
            effect("DATA_MUTATION", f"deleted {deleted:,} rows from users of {database}", rows=deleted, table="users"),
            effect("FILE_SYSTEM", f"deleted {rejects}", path=rejects),
        ],
    }


def effect(category: str, description: str, **details: object) -> dict[str, object]:
    """Return a side effect as the recorder takes it; with `undo` and the source file, each can be taken back."""
    return {"category": category, "description": description, "reversible": True, "details": details}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run as a program: only `undo`, which an operator may need by hand."""
    parser = argparse.ArgumentParser(description="Take an imported batch out of the database again.")
    parser.add_argument("command", choices=["undo"])
    parser.add_argument("database", help="the SQLite database, such as app.db")
    parser.add_argument("batch", help="the batch's id, such as 2025-09")
    parser.add_argument("rejects", help="the batch's reject file, removed with it")
    options = parser.parse_args(arguments)
    try:
        undo(database=options.database, batch=options.batch, rejects=options.rejects)
    except (ImportRefusedError, sqlite3.Error) as error:
        print(f"importer: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
