"""SecuritySnapshot: what the security kernel said at one moment."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

from hearth.record._plain import printable
from hearth.record._time import format_time, parse_time, utc_now

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

__all__ = ["UNKNOWN", "SecuritySnapshot"]

UNKNOWN = "UNKNOWN"


@dataclass(frozen=True, slots=True)
class SecuritySnapshot:
    """Security state and boundary state (upper-case names, `UNKNOWN` where nobody could tell) at `timestamp` (UTC)."""

    timestamp: datetime
    security_state: str
    boundary_state: str
    context: str = ""

    @classmethod
    def from_kernel(cls, kernel: object | None, context: str = "") -> SecuritySnapshot:
        """Ask any object with `get_security_state()` and `get_boundary_state()` (enums or strings).

        Without a kernel, or when it raises, the state is `UNKNOWN` and the context says why. Never raises.
        """
        if kernel is None:
            return cls(utc_now(), UNKNOWN, UNKNOWN, _joined(context, "no security kernel"))
        security, why_security = _ask(kernel, "get_security_state", "security state")
        boundary, why_boundary = _ask(kernel, "get_boundary_state", "boundary state")
        return cls(utc_now(), security, boundary, _joined(context, why_security, why_boundary))

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "timestamp": format_time(self.timestamp),
            "security_state": self.security_state,
            "boundary_state": self.boundary_state,
            "context": self.context,
        }

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> SecuritySnapshot:
        """Read the JSON form of a snapshot whose structure was checked."""
        return cls(
            parse_time(document["timestamp"]),
            document["security_state"],
            document["boundary_state"],
            document["context"],
        )


def _ask(kernel: object, method: str, name: str) -> tuple[str, str]:
    try:
        question = getattr(kernel, method, None)
        if question is None:
            return UNKNOWN, f"the kernel has no {name}"
        state = question()
        text = state if isinstance(state, str) else getattr(state, "name", None)
        text = getattr(state, "name", text) if isinstance(state, Enum) else text
        if not isinstance(text, str) or not text.strip():
            what = "an empty text" if isinstance(text, str) else f"a {type(state).__name__}"
            return UNKNOWN, f"the kernel's {name} was {what}, neither an enum's member nor a state's name"
    except Exception as error:  # noqa: BLE001 - a broken kernel must not keep the record from being written
        return UNKNOWN, f"the kernel's {name} could not be read: {type(error).__name__}"
    return printable(text).upper(), ""


def _joined(*parts: str) -> str:
    return "; ".join(part for part in parts if part)
