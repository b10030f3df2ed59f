"""The history of the posture: no version missing, no bettering that nobody signed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hearth.operations._fsck._approvals import check_signed
from hearth.operations._fsck._canonical import is_time
from hearth.operations._fsck._database import rows

if TYPE_CHECKING:
    import sqlite3

    from hearth.operations._fsck._envelope import Keys
    from hearth.operations._fsck._report import Findings

__all__ = ["check_postures"]

_SECURITY = ("OPERATIONAL", "DEGRADED", "COMPROMISED", "LOCKDOWN")
_BOUNDARY = ("NOMINAL", "ELEVATED", "COMPROMISED", "LOCKDOWN")
_WORST = (len(_SECURITY) - 1, len(_BOUNDARY) - 1)


def check_postures(connection: sqlite3.Connection, findings: Findings, keys: Keys) -> None:
    """Check every posture there was against the one before it."""
    before = (0, 0)
    for row in rows(connection, findings, "postures", order="version"):
        findings.count("postures")
        where = f"postures, version {row['version']}"
        if row["security"] not in _SECURITY or row["boundary"] not in _BOUNDARY:
            what = f"{row['security']!r}/{row['boundary']!r} is no posture"
            findings.damage("column", what, where=where)
            continue
        now = _SECURITY.index(row["security"]), _BOUNDARY.index(row["boundary"])
        if not is_time(row["created"]):
            findings.damage("column", f"created is {row['created']!r}, which is no time", where=where)
        for name in ("who", "why", "source"):
            if not isinstance(row[name], str):
                findings.damage("column", f"{name} is {row[name]!r}, which is no text", where=where)
        if row["envelope"] is not None:
            _restored(findings, keys, row, where)
        elif now[0] < before[0] or now[1] < before[1]:
            findings.damage("posture", "it is better than the one before, and nobody signed that", where=where)
        elif now == before and now != _WORST:  # a lockdown may be said once more
            findings.damage("posture", "it changes nothing, so it was something else once", where=where)
        before = now


def _restored(findings: Findings, keys: Keys, row: dict[str, Any], where: str) -> None:
    names = ("security", "boundary", "who", "why")  # `created` is when it was signed, and when it was kept
    signed = check_signed(findings, keys, row["envelope"], row, names, where=where, record=f"posture {row['version']}")
    if signed is None:
        return
    if signed.document.get("from_version") != row["version"] - 1:
        what = f"what was signed restores version {signed.document.get('from_version')!r}, not the one before"
        findings.damage("column", what, where=where)
