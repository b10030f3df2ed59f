"""The import path `core.kernel` of the integration handoff; the code lives in `hearth`."""

from __future__ import annotations

from hearth.kernel import HearthKernel
from hearth.security import ArtemisEscalationError, BoundaryState, LiveMode, SecurityState

__all__ = ["ArtemisEscalationError", "BoundaryState", "HearthKernel", "LiveMode", "SecurityState"]
