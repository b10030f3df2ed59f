"""Which executions a list shows: the conditions of a search as SQL."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING

from sqlalchemy import ColumnElement, exists, func

from hearth.errors import LedgerError
from hearth.ledger._tables import execution_texts, executions
from hearth.record import ExecutionStatus, format_time

if TYPE_CHECKING:
    from datetime import datetime

__all__ = ["conditions", "fold", "require_range"]

_LARGEST = 2**63 - 1


def fold(text: str) -> str:
    """Return the form in which texts are stored for search and searched for: case and composition do not count."""
    return unicodedata.normalize("NFC", text).casefold()


def conditions(
    *,
    plan: str | None = None,
    status: ExecutionStatus | str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    text: str | None = None,
) -> list[ColumnElement[bool]]:
    """Return what `Ledger.list` and `Ledger.count` filter by; a condition that makes no sense raises LedgerError."""
    found: list[ColumnElement[bool]] = []
    if plan is not None:
        found.append(_plan(plan))
    if status is not None:
        found.append(executions.c.status == _status(status).value)
    if since is not None:
        found.append(executions.c.started >= _moment("since", since))
    if until is not None:
        found.append(executions.c.started < _moment("until", until))
    if text:
        found.append(
            exists().where(
                execution_texts.c.execution == executions.c.id,
                # Not LIKE: a search text has no wildcards, no escapes and no longest length.
                func.instr(execution_texts.c.text, fold(text)) > 0,
            )
        )
    return found


def require_range(limit: int | None, offset: int) -> None:
    """Refuse a limit below 0 or an offset that SQL cannot count to."""
    for name, number in (("limit", limit), ("offset", offset)):
        if number is not None and not (type(number) is int and 0 <= number <= _LARGEST):
            message = f"{name} must be a whole number from 0 up, not {number!r}"
            raise LedgerError(message)


def _plan(plan: str) -> ColumnElement[bool]:
    if "*" not in plan:
        return executions.c.plan_id == plan
    # `*` is the only wildcard; GLOB's others stand for themselves. Runs of stars only cost time.
    pattern = re.sub(r"[?\[]", r"[\g<0>]", re.sub(r"\*+", "*", plan))
    return executions.c.plan_id.op("GLOB", is_comparison=True)(pattern)


def _status(status: ExecutionStatus | str) -> ExecutionStatus:
    try:
        return ExecutionStatus(status.lower())
    except (ValueError, AttributeError) as error:
        known = ", ".join(sorted(ExecutionStatus))
        message = f"{status!r} is not an execution's status; it is one of {known}"
        raise LedgerError(message) from error


def _moment(name: str, moment: datetime) -> str:
    if moment.tzinfo is None:
        message = f"{name} has no time zone; pass an aware datetime, for instance datetime.now(UTC)"
        raise LedgerError(message)
    try:
        return format_time(moment)
    except OverflowError as error:
        message = f"{name} is out of the calendar's range: {moment}"
        raise LedgerError(message) from error
