"""Reading the posture of any kernel, also of one that has its own states or that fails."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from hearth.errors import GateRefusedError
from hearth.record import SecuritySnapshot
from hearth.security._artemis import Artemis
from hearth.security._posture import Posture
from hearth.security._states import BoundaryState, LiveMode, SecurityState

__all__ = ["PostureReading"]

_UNKNOWN: Final = "UNKNOWN"


@dataclass(frozen=True, slots=True)
class PostureReading:
    """The names of the two states as a kernel gave them at one moment (upper case).

    Both are `UNKNOWN` without a kernel. One that a kernel could not tell is too; then `failure` says why.
    """

    security: str = _UNKNOWN
    boundary: str = _UNKNOWN
    failure: str = ""

    @classmethod
    def of(cls, kernel: object) -> PostureReading:
        """Ask `kernel` (any object with `get_security_state` and `get_boundary_state`, or None); never raises."""
        if kernel is None:
            return cls()
        snapshot = SecuritySnapshot.from_kernel(kernel)
        security, boundary = snapshot.security_state, snapshot.boundary_state
        told = _UNKNOWN not in (security, boundary)
        return cls(security, boundary, "" if told else snapshot.context or "the kernel does not know its state")

    @property
    def known(self) -> Posture | None:
        """The posture, where both states are of known severity."""
        security, boundary = SecurityState.parse(self.security), BoundaryState.parse(self.boundary)
        return None if security is None or boundary is None else Posture(security, boundary)

    def worsened_since(self, start: PostureReading) -> SecurityState | BoundaryState | str | None:
        """Return the worse state (its name, if it is none of ours), or None when nothing worsened since `start`.

        In doubt it is worse: a change from or to a name that has no known severity counts, unless it leads to
        OPERATIONAL or NOMINAL.
        """
        return _worsened(start.security, self.security, SecurityState) or _worsened(
            start.boundary, self.boundary, BoundaryState
        )

    def refuse(self, mode: LiveMode, *, acts: bool) -> None:
        """Raise GateRefusedError unless a run in `mode` may start in this posture (Artemis' rule 5).

        `acts` is True for code that acts even in DRY_RUN: it needs a posture that permits STAGING. States of
        unknown severity permit no more than DRY_RUN, and no code that acts; a kernel that cannot tell its state permits
        nothing. Without a kernel there is no posture, and a function's own caller answers for what it does.
        """
        if self.failure:
            raise GateRefusedError(f"{self.failure}; nothing is run in an unknown posture")
        security, boundary = SecurityState.parse(self.security), BoundaryState.parse(self.boundary)
        unknown = security is None or boundary is None
        told = (self.security, self.boundary) != (_UNKNOWN, _UNKNOWN)  # else there is no kernel to ask
        if unknown and (mode is not LiveMode.DRY_RUN or (acts and told)):
            refused = "code that acts" if mode is LiveMode.DRY_RUN else str(mode)
            raise GateRefusedError(f"the posture {self} has no known severity, so it does not permit {refused}")
        known = Posture(security or SecurityState.OPERATIONAL, boundary or BoundaryState.NOMINAL)
        needed = LiveMode.STAGING if acts and mode is LiveMode.DRY_RUN else mode
        if not Artemis.permits(known, needed):
            what = "code that acts" if acts else f"a run in {mode}"
            raise GateRefusedError(f"the posture {self} does not permit {what}; restore it first")

    def __str__(self) -> str:
        return f"{self.security}/{self.boundary}"


def _worsened(
    before: str, now: str, kind: type[SecurityState | BoundaryState]
) -> SecurityState | BoundaryState | str | None:
    if before == now:
        return None
    known, was = kind.parse(now), kind.parse(before)
    if known is None:
        return now
    if was is None:
        return known if known.severity else None
    return known if known > was else None
