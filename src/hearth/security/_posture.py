"""The posture: the security state and the boundary state, taken together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from hearth.security._states import BoundaryState, SecurityState

if TYPE_CHECKING:
    from datetime import datetime

__all__ = ["KeptPosture", "Posture", "PostureStore"]


@dataclass(frozen=True, slots=True)
class Posture:
    """A security state and a boundary state; one posture is worse than another when either part is."""

    security: SecurityState = SecurityState.OPERATIONAL
    boundary: BoundaryState = BoundaryState.NOMINAL

    def worse_than(self, other: Posture) -> bool:
        """Tell whether the security state or the boundary state is more severe than in `other`."""
        return self.security > other.security or self.boundary > other.boundary

    @property
    def severity(self) -> int:
        """Return the place of the more severe part in its order, 0 (all is well) to 3 (lockdown)."""
        return max(self.security.severity, self.boundary.severity)

    def __str__(self) -> str:
        return f"{self.security}/{self.boundary}"


@dataclass(frozen=True, slots=True)
class KeptPosture:
    """What a PostureStore holds: the posture, how often it was changed, and who changed it last and why.

    `source` is what reported the change (a sensor, a detector, a command), `created` when it was kept (aware UTC),
    `envelope` the signed act by which an operator restored it, as bytes.
    """

    posture: Posture = Posture()
    version: int = 0
    who: str = ""
    why: str = ""
    source: str = ""
    created: datetime | None = None
    envelope: bytes | None = None

    @property
    def reason(self) -> str:
        """Why, and by whom: one text for a record or a message."""
        return f"{self.why} (by {self.who})" if self.who else self.why


class PostureStore(Protocol):
    """Where the posture is kept; several kernels, also of several processes, may share one."""

    def load(self) -> KeptPosture:
        """Return the newest posture that any `compare_and_set` has accepted.

        What cannot be read raises a HearthError: an unknown posture is never reported as a good one.
        """

    def compare_and_set(self, expected: int, new: KeptPosture) -> bool:
        """Replace the kept posture by `new` if its version is still `expected`, in one atomic step.

        True means that `new` is what every later `load` of every process returns, and (for a store with a
        medium) that it survives a crash from now on. False means that nothing was changed because another
        version stands there; the caller loads again and decides anew. An error raised leaves it open
        whether the change happened.
        """
