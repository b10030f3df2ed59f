"""Erasing disclosed values: salt and value go, the record and every hash stay, and what was erased is said."""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hearth.errors import GateRefusedError, LedgerError
from hearth.ledger import Ledger
from hearth.operations._emptying import emptying, is_emptying_due
from hearth.operations._log_follows import log_follows
from hearth.operations._people import person
from hearth.operations._upkeep import upkeep
from hearth.record import ErasedValue, Redactor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hearth.ledger import LedgerHome
    from hearth.record import Disclosure, Erasure

__all__ = ["Redacted", "path_of", "redact"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Redacted:
    """What was erased, or would be (`erasure` is None), and whether its bytes are gone from the database's files."""

    execution_id: str
    erased: tuple[ErasedValue, ...]
    left: tuple[ErasedValue, ...]
    erasure: Erasure | None
    emptied: bool

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "execution_id": self.execution_id,
            "erased": [path_of(one) for one in self.erased],
            "left": [path_of(one) for one in self.left],
            "erasure": None if self.erasure is None else self.erasure.to_dict(),
            "emptied": self.emptied,
        }


@log_follows
def redact(
    home: LedgerHome, execution_id: str, paths: Sequence[str], *, reason: str, dry_run: bool = False
) -> Redacted:
    """Erase the disclosed values of a record at these paths, durably; `dry_run` only tells which.

    A path is a JSON pointer within an entry (`/details/customer`), or one with the entry's number before it
    (`3/details/customer`); `*` and `?` stand for any characters. Copies that were exported, and backups, are not
    reached. LedgerError where nothing is there to erase, or the record is on hold; GateRefusedError without a reason.
    """
    if not reason.strip() and not dry_run:
        raise GateRefusedError("an erasure needs a reason: give --reason TEXT")
    with upkeep(home.root, "redact"), Ledger.open(home) as ledger:
        full = ledger.find_id(execution_id)
        there = [_place(one) for one in ledger.disclosures(full)]
        chosen = tuple(one for one in there if any(_matches(one, path) for path in paths))
        left = tuple(one for one in there if one not in chosen)
        if not chosen:
            raise LedgerError(_nothing(full, there, len(ledger.erasures.of(full)), due=is_emptying_due(home)))
        if dry_run:
            return Redacted(execution_id=full, erased=chosen, left=left, erasure=None, emptied=False)
        places = [(one.sequence, one.pointer, one.digest) for one in chosen]
        with emptying(home, ledger) as files:
            erasure = ledger.erasures.erase(full, places, by=person(), reason=Redactor().text(reason.strip()))
            emptied = files.finish()
    return Redacted(execution_id=full, erased=chosen, left=left, erasure=erasure, emptied=emptied)


def path_of(one: ErasedValue) -> str:
    """Return what a pattern is compared with: the entry's number, and the pointer."""
    return f"{one.sequence}{one.pointer}"


def _place(one: Disclosure) -> ErasedValue:
    return ErasedValue(one.sequence, one.pointer, one.digest)


def _matches(one: ErasedValue, path: str) -> bool:
    return any(fnmatch.fnmatchcase(name, path) for name in (path_of(one), one.pointer))


def _nothing(execution_id: str, there: list[ErasedValue], before: int, *, due: bool) -> str:
    if there:
        named = ", ".join(path_of(one) for one in there[:8])
        return f"no disclosed value of {execution_id} stands at such a path; there are: {named}"
    again = "; what there was is erased already" if before else ""
    again += ", and bytes of it may be in the database's files until `hearth fsck --repair`" if before and due else ""
    return f"the ledger holds no disclosed value of {execution_id}{again}"
