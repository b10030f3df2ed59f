"""May it go on: Artemis' states and rules, the live-mode gate, the policy. Pure."""

from __future__ import annotations

from hearth.errors import ArtemisEscalationError
from hearth.security._approval_policy import ApprovalPolicy, TrustedKey
from hearth.security._artemis import Artemis
from hearth.security._finding import Finding
from hearth.security._gate import LiveModeGate
from hearth.security._notify_policy import EVENTS, Hook
from hearth.security._policy import Policy
from hearth.security._policy_reading import duration
from hearth.security._posture import KeptPosture, Posture, PostureStore
from hearth.security._reading import PostureReading
from hearth.security._restoration import RESTORATION_TYPE, Restoration
from hearth.security._state_rules import StateRules
from hearth.security._states import BoundaryState, LiveMode, SecurityState

__all__ = [
    "EVENTS",
    "RESTORATION_TYPE",
    "ApprovalPolicy",
    "Artemis",
    "ArtemisEscalationError",
    "BoundaryState",
    "Finding",
    "Hook",
    "KeptPosture",
    "LiveMode",
    "LiveModeGate",
    "Policy",
    "Posture",
    "PostureReading",
    "PostureStore",
    "Restoration",
    "SecurityState",
    "StateRules",
    "TrustedKey",
    "duration",
]
