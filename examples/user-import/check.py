"""Compare database, configuration and reject file with one another, before the server is told to read them."""

from __future__ import annotations

import configparser
import csv
import sqlite3
from contextlib import closing
from pathlib import Path


class CheckError(Exception):
    """What lies there is not what was imported; the message names every difference."""


def run(*, database: str, config: str, rejects: str, batch: str) -> dict[str, object]:
    """Return the numbers that agree, or raise CheckError with all that do not."""
    with closing(sqlite3.connect(f"{Path(database).resolve().as_uri()}?mode=ro", uri=True)) as connection:
        (users,) = connection.execute("SELECT count(*) FROM users").fetchone()
        (in_batch,) = connection.execute("SELECT count(*) FROM users WHERE batch = ?", (batch,)).fetchone()
        imported, rejected = connection.execute(
            "SELECT imported, rejected FROM import_batches WHERE id = ?", (batch,)
        ).fetchone() or (None, None)
    with Path(rejects).open(encoding="utf-8", newline="") as file:
        reject_rows = sum(1 for _ in csv.DictReader(file))
    parser = configparser.ConfigParser(interpolation=None)
    with Path(config).open(encoding="utf-8") as file:
        parser.read_file(file)
    pairs = {
        "batch in the configuration and batch imported": (parser["users"]["batch"], batch),
        "users of the batch and the batch's own count": (in_batch, imported),
        "rows of the reject file and the batch's own count": (reject_rows, rejected),
    }
    wrong = [f"{what}: {left} and {right}" for what, (left, right) in pairs.items() if left != right]
    if wrong:
        raise CheckError("; ".join(wrong))
    print(f"{users:,} users, {in_batch:,} of them from batch {batch}; {reject_rows:,} rows wait in {rejects}")
    return {"users": users, "batch": batch, "imported": in_batch, "rejected": reject_rows, "agreeing": len(pairs)}
