"""What a transaction changed of PostgreSQL's schema: the relations by name, and the rows of the system catalogs."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from hearth.observe._rows import schema_change

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import psycopg

    from hearth.observe._rows import RowChanges

__all__ = ["changed_catalogs", "changed_relations"]

# They only go with what is told anyhow, or are what the planner counts.
_BESIDE = frozenset(("pg_depend", "pg_shdepend", "pg_statistic", "pg_statistic_ext_data"))
_NUMBER = re.compile(r"(?<![0-9])[0-9]+(?![0-9])")
# What differs from one transaction to the next with the same statements, and the salted digests of passwords.
_BY_CHANCE = frozenset(
    ("relfilenode", "relpages", "reltuples", "relallvisible", "relallfrozen", "relfrozenxid", "relminmxid")
)
_SECRET = frozenset(("rolpassword", "subconninfo", "umoptions", "srvoptions"))
# The transaction and what of it stands between savepoints have the numbers from its own on; a row of an older one that
# is far enough back for its number to seem newer was seen to have ended.
_OWN = (
    "CASE WHEN (c.xmin::text::bigint - {0} + 4294967296) % 4294967296 < 1048576"
    " THEN pg_xact_status((({1} + (c.xmin::text::bigint - {0} + 4294967296) % 4294967296)::text)::xid8) = 'in progress'"
    " ELSE false END"
)


def changed_relations(
    database: str, before: Mapping[int, tuple[str, int, str]], after: Mapping[int, tuple[str, int, str]]
) -> list[RowChanges]:
    """Return the relations that were made, dropped or given another name; both maps are name, file and kind by oid."""
    changed: dict[str, list[list[str | None]]] = {}
    for oid in sorted(before.keys() | after.keys()):
        was, now = before.get(oid), after.get(oid)
        if was is None or now is None or was[0] != now[0]:
            names = [one and one[0] for one in (was, now)]
            kind = (now or was or ("", 0, ""))[2]
            for name in dict.fromkeys(filter(None, names)):
                changed.setdefault(name, []).append([kind, *names])
    return [schema_change(database, name, sorted(changed[name], key=str)) for name in sorted(changed)]


def changed_catalogs(
    connection: psycopg.Connection[Any], database: str, counted: Sequence[tuple[str, tuple[int, int, int]]]
) -> list[RowChanges]:
    """Return the system catalogs whose rows were changed, with their counts and a digest of what stands there now.

    What a role may not read (pg_authid, pg_largeobject) is counted only, and so is what was dropped.
    """
    counted = [(name, counts) for name, counts in counted if name not in _BESIDE]
    if not counted:
        return []
    found = connection.execute("SELECT pg_current_xact_id()::text").fetchone()
    top = int(found[0]) if found is not None else 0
    own = _OWN.format(top % (1 << 32), top)
    rows: dict[str, list[dict[str, Any]] | None] = {}
    for name, _ in counted:
        allowed = connection.execute(
            "SELECT has_table_privilege(('pg_catalog.' || %s)::regclass, 'SELECT')", (name,)
        ).fetchone()
        if allowed is None or not allowed[0]:
            rows[name] = None
            continue
        query = f"SELECT to_jsonb(c)::text FROM pg_catalog.{name} c WHERE {own}"  # noqa: S608 - a catalog's name
        rows[name] = [json.loads(row[0]) for row in connection.execute(query.encode()).fetchall()]
    # What was made has another number in each transaction; what was there before keeps its own.
    new = {int(row["oid"]) for listed in rows.values() for row in listed or () if str(row.get("oid", "")).isdecimal()}
    return [schema_change(database, name, _told(rows[name], new), counts) for name, counts in sorted(counted)]


def _told(rows: list[dict[str, Any]] | None, new: set[int]) -> Any:  # noqa: ANN401 - a JSON tree
    """Return rows as they are compared: without what differs by chance, and with no number of anything new."""
    if rows is None:
        return None
    texts = (
        json.dumps({name: one for name, one in row.items() if name not in _BY_CHANCE | _SECRET}, sort_keys=True)
        for row in rows
    )
    return sorted(_NUMBER.sub(lambda found: "new" if int(found[0]) in new else found[0], text) for text in texts)
