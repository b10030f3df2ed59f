"""Compare what the server serves with what the database, the configuration and the reject file hold."""

from __future__ import annotations

import configparser
import csv
import json
import sqlite3
import urllib.request
from contextlib import closing
from pathlib import Path


class CheckError(Exception):
    """What is served is not what was imported; the message names every difference."""


def run(*, database: str, config: str, rejects: str, batch: str, server: str) -> dict[str, object]:
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
    served = ask(f"{server}/status")
    pairs = {
        "users served and users in the database": (served["users"], users),
        "batch served and batch in the configuration": (served["batch"], parser["users"]["batch"]),
        "batch in the configuration and batch imported": (parser["users"]["batch"], batch),
        "users of the batch and the batch's own count": (in_batch, imported),
        "rows of the reject file and the batch's own count": (reject_rows, rejected),
    }
    wrong = [f"{what}: {left} and {right}" for what, (left, right) in pairs.items() if left != right]
    if wrong:
        raise CheckError("; ".join(wrong))
    print(f"{users:,} users served, {in_batch:,} of them from batch {batch}; {reject_rows:,} rows wait in {rejects}")
    return {
        "result": {
            "users": users,
            "batch": batch,
            "imported": in_batch,
            "rejected": reject_rows,
            "agreeing": len(pairs),
        },
        "side_effects": [
            {"category": "NETWORK", "description": f"GET {server}/status", "reversible": True, "details": {}}
        ],
    }


def ask(url: str) -> dict[str, object]:
    """Return the JSON object that the address answers with, without any proxy."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=10) as answer:
        value = json.load(answer)
    if not isinstance(value, dict):
        raise CheckError(f"{url} answered with no JSON object")
    return value
