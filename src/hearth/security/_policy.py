"""The policy: what may be done without an approval, who may approve, and what each state allows."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from glob import escape
from typing import TYPE_CHECKING

from hearth.errors import GateRefusedError
from hearth.security import _approval_policy, _notify_policy
from hearth.security._approval_policy import ApprovalPolicy
from hearth.security._notify_policy import Hook
from hearth.security._policy_reading import Section
from hearth.security._state_rules import StateRules
from hearth.security._states import BoundaryState

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Policy"]

_KNOWN = {"staging", "approvals", "states", "notify", "retention", "sensors", "journal", "sandbox"}
_WORSE = tuple(state.name for state in BoundaryState if state is not BoundaryState.NOMINAL)
_TIERS = ("none", "unprivileged", "full")


@dataclass(frozen=True, slots=True)
class Policy:
    """What a policy says; the default lists nothing, and so permits nothing.

    `staging_targets` are glob patterns, compared with case; `*` also matches `/` and `:`. A target is
    `sql:<URL without password>` (of SQLite `sql:sqlite:///<path>`), `http:<host>:<port>`, `file:<path>`, or
    `host:<hostname>:<folder>` for code that acts on a host, in the plan's working folder. Paths are absolute and real.
    `minimum_age` is how old, in seconds, a record must be before it may be purged. `refused_approvals` is the number of
    refused runs within an hour that worsens the posture. `free_space` is what must be free, in bytes, where the journal
    lies. `sandbox_tier` is what a LIVE run needs: `none` (it may run on the host), `unprivileged` or `full`;
    `undeclared` is the boundary state that an undeclared effect leads to. `source` is the file, for messages.
    """

    staging_targets: tuple[str, ...] = ()
    source: str = "policy.yaml"
    approvals: ApprovalPolicy = field(default_factory=ApprovalPolicy)
    states: StateRules = field(default_factory=StateRules)
    hooks: tuple[Hook, ...] = ()
    minimum_age: float = 30 * 86400.0
    refused_approvals: int = 5
    free_space: int = 16 << 20
    sandbox_tier: str = "none"
    undeclared: BoundaryState = BoundaryState.ELEVATED

    @classmethod
    def from_mapping(cls, document: object, source: str) -> Policy:
        """Read the policy's content, plain data; None is the default policy.

            staging:
              targets: ["host:build-7:/srv/try/*", "file:/srv/try/*", "sql:sqlite:////srv/try/*"]
            approvals: {…}              # see ApprovalPolicy
            states: {…}                 # see StateRules
            notify: […]                 # see Hook
            retention: {minimum_age: 90d}
            sensors: {refused_approvals: 5}
            journal: {free_space_mb: 64}
            sandbox: {require: full, undeclared: COMPROMISED}

        Anything else raises GateRefusedError: what the policy would have forbidden is not known then.
        """
        top = Section(document, "", _KNOWN, source)
        sandbox = top.section("sandbox", {"require", "undeclared"})
        return cls(
            staging_targets=top.section("staging", {"targets"}).texts("targets", what="patterns"),
            source=source,
            approvals=ApprovalPolicy.read(top.section("approvals", _approval_policy.KNOWN)),
            states=StateRules.read(top.named("states", {"modes", "tasks"}), source),
            hooks=tuple(Hook.read(section) for section in top.mappings("notify", _notify_policy.KNOWN)),
            minimum_age=top.section("retention", {"minimum_age"}).seconds("minimum_age", None) or 30 * 86400.0,
            refused_approvals=top.section("sensors", {"refused_approvals"}).number(
                "refused_approvals", 5, least=1, most=1000
            ),
            free_space=top.section("journal", {"free_space_mb"}).number("free_space_mb", 16, least=0, most=1 << 20)
            << 20,
            sandbox_tier=sandbox.one_of("require", _TIERS, "none"),
            undeclared=BoundaryState[sandbox.one_of("undeclared", _WORSE, BoundaryState.ELEVATED.name)],
        )

    def require_tier(self, tier: str) -> None:
        """Raise GateRefusedError where a LIVE run needs a better tier than this machine's."""
        rank = {"fallback": 0, "none": 0, "unprivileged": 1, "full": 2}
        if rank.get(tier, 0) < rank[self.sandbox_tier]:
            raise GateRefusedError(
                f"{self.source} demands the tier {self.sandbox_tier} for a LIVE run (`sandbox: require:`), and this "
                f"machine gives {tier}; `hearth doctor` says what is missing"
            )

    def check_staging(self, targets: Iterable[tuple[str, str]]) -> None:
        """Raise GateRefusedError for the first of `(step, target)` that no pattern matches."""
        for step, target in targets:
            if not any(fnmatchcase(target, pattern) for pattern in self.staging_targets):
                line = json.dumps(escape(target), ensure_ascii=False)
                raise GateRefusedError(
                    f"{step} acts on {target}, which {self.source} does not list for STAGING; "
                    f"if it may be acted on without an approval, add `- {line}` under `staging: targets:`"
                )
