"""Where sealed records live: `LedgerHome` (the folder), `Ledger` (the SQL store) and its search.

Names load when they are first used: `LedgerHome` needs no SQLAlchemy, `Ledger` does (docs/architecture.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hearth._lazy import lazy_names

if TYPE_CHECKING:
    from hearth.ledger._approval_rows import ApprovalRow, ApprovalUse
    from hearth.ledger._approvals import LedgerApprovals
    from hearth.ledger._erasures import LedgerErasures
    from hearth.ledger._events import LEAVES_OF_ROWS, LedgerEvent, LedgerEvents
    from hearth.ledger._home import HOME_NAME, HOME_VARIABLE, LedgerHome
    from hearth.ledger._kept import POSTURE_LOST
    from hearth.ledger._ledger import Ledger
    from hearth.ledger._logs import LedgerLogs
    from hearth.ledger._postures import LedgerPostures
    from hearth.ledger._retention import Hold
    from hearth.ledger._summary import ExecutionSummary
    from hearth.ledger._worsening import postures_alone, require_kept

__all__ = [
    "HOME_NAME",
    "HOME_VARIABLE",
    "LEAVES_OF_ROWS",
    "POSTURE_LOST",
    "ApprovalRow",
    "ApprovalUse",
    "ExecutionSummary",
    "Hold",
    "Ledger",
    "LedgerApprovals",
    "LedgerErasures",
    "LedgerEvent",
    "LedgerEvents",
    "LedgerHome",
    "LedgerLogs",
    "LedgerPostures",
    "postures_alone",
    "require_kept",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "HOME_NAME": "_home",
        "HOME_VARIABLE": "_home",
        "LEAVES_OF_ROWS": "_events",
        "LedgerErasures": "_erasures",
        "LedgerEvent": "_events",
        "LedgerEvents": "_events",
        "POSTURE_LOST": "_kept",
        "ApprovalRow": "_approval_rows",
        "ApprovalUse": "_approval_rows",
        "LedgerApprovals": "_approvals",
        "ExecutionSummary": "_summary",
        "Hold": "_retention",
        "Ledger": "_ledger",
        "LedgerHome": "_home",
        "LedgerLogs": "_logs",
        "LedgerPostures": "_postures",
        "postures_alone": "_worsening",
        "require_kept": "_worsening",
    },
)
