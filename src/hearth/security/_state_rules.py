"""What a policy allows in each state: it may tighten Artemis' own rule, never loosen it."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

from hearth.errors import GateRefusedError
from hearth.security._states import BoundaryState, LiveMode, SecurityState

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hearth.security._policy_reading import Section
    from hearth.security._posture import Posture

__all__ = ["StateRule", "StateRules"]

NAMES = {name.lower(): name for name in (*SecurityState.__members__, *BoundaryState.__members__)}
_MODES = {mode.lower(): str(mode) for mode in LiveMode.__members__}


@dataclass(frozen=True, slots=True)
class StateRule:
    """The live modes and the tasks that one state allows; None: no rule of its own."""

    modes: tuple[str, ...] | None = None
    tasks: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class StateRules:
    """The section `states` of a policy: rules by the name of a security or boundary state."""

    rules: Mapping[str, StateRule] = field(default_factory=lambda: MappingProxyType({}))
    source: str = "policy.yaml"

    @classmethod
    def read(cls, sections: dict[str, Section], source: str) -> StateRules:
        """Read the section.

        states:
          DEGRADED: {modes: [DRY_RUN, STAGING], tasks: [shell, file]}
        """
        rules = {}
        for name, section in sections.items():
            known = NAMES.get(name.strip().lower())
            if known is None:
                section.refuse("", f"is no state; known are {', '.join(NAMES.values())}")
            tasks = section.texts("tasks", what="tasks") if section.has("tasks") else None
            rules[known] = StateRule(section.choices("modes", _MODES), tasks)
        return cls(MappingProxyType(rules), source)

    def check(self, posture: Posture, mode: LiveMode, task: str | None = None) -> None:
        """Raise GateRefusedError where a rule for one of the posture's two states forbids this."""
        for state in (posture.security, posture.boundary):
            rule = self.rules.get(str(state))
            if rule is None:
                continue
            if rule.modes is not None and str(mode) not in rule.modes:
                raise GateRefusedError(
                    f"{self.source} does not allow {mode} in the state {state} "
                    f"(allowed: {', '.join(rule.modes) or 'nothing'}); restore the posture first"
                )
            if task is not None and rule.tasks is not None and task not in rule.tasks:
                raise GateRefusedError(
                    f"{self.source} does not allow the task {task} in the state {state} "
                    f"(allowed: {', '.join(rule.tasks) or 'none'}); restore the posture first"
                )
