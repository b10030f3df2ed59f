"""Legal holds: what must not be purged, until it is released."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from hearth.errors import ExecutionPurgedError, GateRefusedError
from hearth.ledger import Ledger
from hearth.operations._people import person
from hearth.record import Redactor

if TYPE_CHECKING:
    from hearth.ledger import Hold, LedgerHome

__all__ = ["add_hold", "list_holds", "release_hold"]

Kind = Literal["execution", "plan"]


def add_hold(home: LedgerHome, kind: Kind, name: str, *, reason: str) -> Hold:
    """Hold an execution (an id, or the beginning of one) or a plan, also one of which there is no record yet."""
    if not reason.strip():
        raise GateRefusedError("a hold needs a reason: give --reason TEXT")
    with Ledger.open(home) as ledger:
        full = ledger.find_id(name) if kind == "execution" else name
        return ledger.retention.hold(kind, full, **_by(reason))


def release_hold(home: LedgerHome, kind: Kind, name: str, *, reason: str) -> str:
    """End a hold, and return the name of what was held."""
    if not reason.strip():
        raise GateRefusedError("releasing a hold needs a reason: give --reason TEXT")
    with Ledger.open(home) as ledger:
        try:
            full = ledger.find_id(name) if kind == "execution" else name
        except ExecutionPurgedError:
            full = name
        ledger.retention.release(kind, full, **_by(reason))
        return full


def list_holds(home: LedgerHome, *, released: bool = False) -> tuple[Hold, ...]:
    """Return the holds that stand, oldest first; with `released`, also those that ended."""
    with Ledger.open(home) as ledger:
        return ledger.retention.holds(released=released)


def _by(reason: str) -> dict[str, str]:
    """Return who does it and why, without secrets: what is kept of a hold is kept for good."""
    redactor = Redactor()
    return {"who": redactor.text(person()), "why": redactor.text(reason.strip())}
