"""The states of the security kernel and the live modes, each ordered by severity.

A state compares with `<`, `<=`, `>` and `>=` by severity, not by spelling; a plain string that names a
state of the same kind is accepted beside one (a foreign kernel may speak in strings). Comparing states
of two kinds, or with an unknown name, raises TypeError.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Self

__all__ = ["BoundaryState", "LiveMode", "SecurityState", "state_name"]


class _Severity(StrEnum):
    """Members stand from the least to the most severe."""

    @property
    def severity(self) -> int:
        """Return the place in the order, 0 for the least severe."""
        return list(type(self)).index(self)

    @classmethod
    def parse(cls, value: object) -> Self | None:
        """Return the member that `value` (a member, another enum, or a name in any case) stands for, or None."""
        return cls.__members__.get(state_name(value))

    def _other(self, other: str) -> int:
        kind = type(self)
        if isinstance(other, _Severity) and not isinstance(other, kind):
            raise TypeError(f"a {kind.__name__} does not compare with a {type(other).__name__}")
        member = kind.parse(other) if isinstance(other, str) else None
        if member is None:
            raise TypeError(f"{other!r} is not a {kind.__name__}; use one of {', '.join(kind.__members__)}")
        return member.severity

    def __lt__(self, other: str) -> bool:
        return self.severity < self._other(other)

    def __le__(self, other: str) -> bool:
        return self.severity <= self._other(other)

    def __gt__(self, other: str) -> bool:
        return self.severity > self._other(other)

    def __ge__(self, other: str) -> bool:
        return self.severity >= self._other(other)


class SecurityState(_Severity):
    """How far this system can be trusted."""

    OPERATIONAL = "OPERATIONAL"
    DEGRADED = "DEGRADED"
    COMPROMISED = "COMPROMISED"
    LOCKDOWN = "LOCKDOWN"


class BoundaryState(_Severity):
    """How far what runs keeps within what it may touch."""

    NOMINAL = "NOMINAL"
    ELEVATED = "ELEVATED"
    COMPROMISED = "COMPROMISED"
    LOCKDOWN = "LOCKDOWN"


class LiveMode(_Severity):
    """How much a run may do: nothing, act on the policy's targets, act on anything that was approved."""

    DRY_RUN = "DRY_RUN"
    STAGING = "STAGING"
    LIVE = "LIVE"


def state_name(value: object) -> str:
    """Return the upper-case name of an enum member or of a string that names one."""
    return str(getattr(value, "name", value)).upper()
