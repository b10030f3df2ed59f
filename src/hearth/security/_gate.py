"""The live-mode gate: how much a run may do at all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hearth.errors import GateRefusedError
from hearth.security._artemis import Artemis
from hearth.security._states import LiveMode

if TYPE_CHECKING:
    from hearth.security._posture import Posture

__all__ = ["LiveModeGate"]


@dataclass(frozen=True, slots=True)
class LiveModeGate:
    """The mode that is armed, by whom and why; pure, every change returns a new gate.

    1. The gate starts in DRY_RUN.
    2. STAGING and LIVE are armed explicitly, by a named person with a reason, in a posture that permits them.
       DRY_RUN is always accepted: that is how a gate is disarmed.
    3. When the posture worsens, the gate falls back to DRY_RUN, whatever was armed. A posture that gets
       better arms nothing.
    4. A run is let through, before every step, while the armed mode is at least its own. Whether the posture
       permits it is Artemis' business.
    """

    mode: LiveMode = LiveMode.DRY_RUN
    who: str = ""
    why: str = ""

    @classmethod
    def of(cls, kernel: object) -> LiveModeGate:
        """Return the gate of `kernel`; one that has only a `live_mode`, or none, has a gate that stands there.

        What is no known live mode is DRY_RUN, the mode that acts on nothing.
        """
        gate = getattr(kernel, "gate", None)
        if isinstance(gate, LiveModeGate):
            return gate
        return cls(LiveMode.parse(getattr(kernel, "live_mode", None)) or LiveMode.DRY_RUN)

    def arm(self, mode: LiveMode, *, who: str, why: str, posture: Posture) -> LiveModeGate:
        """Return the gate with `mode` armed, or raise GateRefusedError (rule 2)."""
        if mode is not LiveMode.DRY_RUN:
            if not who.strip() or not why.strip():
                raise GateRefusedError(f"arming {mode} needs who does it and why; give both")
            if not Artemis.permits(posture, mode):
                raise GateRefusedError(f"the posture {posture} does not permit {mode}; restore it first")
        return LiveModeGate(mode, who, why)

    def after(self, before: Posture, now: Posture) -> LiveModeGate:
        """Return the gate as it stands once the posture has gone from `before` to `now` (rule 3)."""
        if self.mode is LiveMode.DRY_RUN or not now.worse_than(before):
            return self
        return LiveModeGate(why=f"fell back from {self.mode}: the posture worsened from {before} to {now}")

    def passed(self, mode: LiveMode | None) -> LiveMode:
        """Return the mode of a run that asks for `mode`, or for whatever is armed; GateRefusedError for more."""
        if mode is None:
            return self.mode
        self.check(mode)
        return mode

    def check(self, mode: LiveMode) -> None:
        """Raise GateRefusedError unless a run in `mode` is let through (rule 4)."""
        if mode > self.mode:
            fallen = f" ({self.why})" if self.mode is LiveMode.DRY_RUN and self.why else ""
            raise GateRefusedError(f"{mode} is not armed, the gate stands at {self.mode}{fallen}; arm it first")
