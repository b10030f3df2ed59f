"""Artemis, the state machine of the security posture."""

from __future__ import annotations

from hearth.errors import GateRefusedError
from hearth.security._posture import Posture
from hearth.security._states import BoundaryState, LiveMode, SecurityState

__all__ = ["Artemis"]

# By the posture's severity: the most that may be done.
_MOST = (LiveMode.LIVE, LiveMode.STAGING, LiveMode.DRY_RUN, None)


class Artemis:
    """The rules by which a posture changes and what it permits; pure, nothing is kept here.

    1. A system begins OPERATIONAL/NOMINAL.
    2. `escalate` only worsens: a report of the present state, or of a better one, changes nothing.
       The security state and the boundary state worsen independently of each other.
    3. Any state may be entered from any better one; none has to be passed through.
    4. `restore` is the only way back. It is an explicit act of an operator, with a name and a reason, to
       a posture that is nowhere worse than the present one, and never while a run is under way.
    5. The more severe part decides what may run. All well: everything. DEGRADED or ELEVATED: DRY_RUN and
       STAGING. COMPROMISED: DRY_RUN, which acts on nothing. LOCKDOWN: nothing.
    """

    @staticmethod
    def escalate(posture: Posture, to: SecurityState | BoundaryState) -> Posture:
        """Return `posture` with the part that `to` belongs to at least as severe as `to`."""
        if isinstance(to, SecurityState):
            return Posture(max(posture.security, to), posture.boundary)
        return Posture(posture.security, max(posture.boundary, to))

    @staticmethod
    def restore(posture: Posture, to: Posture, *, who: str, why: str, runs_under_way: int = 0) -> Posture:
        """Return `to`, or raise GateRefusedError where rule 4 forbids it."""
        if not who.strip() or not why.strip():
            raise GateRefusedError(f"restoring the posture {to} needs who does it and why; give both")
        if to.worse_than(posture):
            raise GateRefusedError(f"{to} is worse than the present posture {posture}; report it as an escalation")
        if runs_under_way:
            raise GateRefusedError(
                f"the posture {posture} is not restored during a run ({runs_under_way} under way); wait for its end"
            )
        return to

    @staticmethod
    def permits(posture: Posture, mode: LiveMode) -> bool:
        """Tell whether a run in `mode` may start, or go on, in `posture`."""
        most = _MOST[posture.severity]
        return most is not None and mode <= most
