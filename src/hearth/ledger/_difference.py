"""In which column or text the ledger says something else of a record than the record itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select, type_coerce
from sqlalchemy.types import NullType

from hearth.ledger._tables import execution_texts, executions

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from hearth.ledger._rows import Rows

__all__ = ["difference"]


def difference(connection: Connection, rows: Rows) -> str:
    """Return the first difference, "" for none."""
    # NullType: a damaged row may hold anything, and a conversion would fail in its own way.
    columns = [type_coerce(executions.c[name], NullType()).label(name) for name in rows.execution]
    query = select(executions.c.id.label("row"), *columns)
    found = (
        connection.execute(query.where(executions.c.execution_id == rows.execution["execution_id"]))
        .mappings()
        .one_or_none()
    )
    if found is None:
        return "it is not there"
    for name, value in rows.execution.items():
        if type(found[name]) is not type(value) or found[name] != value:
            told = "the record differs" if name == "record" else f"{name} is {found[name]!r}, not {value!r}"
            return f"in its row, {told}"
    wanted = {(text["kind"], text["step_index"], text["text"]) for text in rows.texts}
    table = execution_texts
    kept = connection.execute(
        select(table.c.kind, table.c.step_index, type_coerce(table.c.text, NullType())).where(
            table.c.execution == found["row"]
        )
    ).all()
    if len(kept) != len(wanted) or {tuple(row) for row in kept} != wanted:
        return "its texts for the search differ"
    return ""
