"""What a sensor found that worsens the posture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hearth.security._states import BoundaryState, SecurityState

__all__ = ["Finding"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The states that the posture is worsened to (None: that part stays), why, which sensor says so, and for whom.

    `lasting` marks what is found again at every look, such as a damaged record: once an operator has restored the
    posture in the knowledge of it, the same finding of the same source changes nothing any more.
    """

    reason: str
    source: str
    security: SecurityState | None = None
    boundary: BoundaryState | None = None
    who: str = ""
    lasting: bool = False

    @property
    def states(self) -> tuple[SecurityState | BoundaryState, ...]:
        """The states that are reported."""
        return tuple(state for state in (self.security, self.boundary) if state is not None)
