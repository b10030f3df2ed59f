"""What a policy says of approvals: who may give them, how many are needed, and for how long they hold."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hearth.security._policy_reading import Section

__all__ = ["ApprovalPolicy", "Role", "TrustedKey"]

_HOUR = 3600.0
_DAY = 24 * _HOUR
_LONGEST = 360 * _DAY
_ROLES = {role: role for role in ("approver", "operator", "emergency", "requester")}

Role = str
"""`approver` gives and denies approvals, `operator` restores the posture and reviews emergencies, `emergency` breaks
the glass, `requester` only signs requests (every other role may, too)."""


@dataclass(frozen=True, slots=True)
class TrustedKey:
    """A person (or a service) whose signatures count: the public key, `ed25519:<base64>`, and what it may do."""

    name: str
    key: str
    roles: tuple[Role, ...] = ("approver",)


@dataclass(frozen=True, slots=True)
class ApprovalPolicy:
    """The section `approvals` of a policy; the default trusts nobody, so nothing runs LIVE.

    `quorum` is the number of different keys that must approve. `self_approval` says whether the requester's own
    approval counts. `valid_for` is the longest time, in seconds, that an approval may be used after the request.
    `break_glass_for` is the longest validity of an emergency's own approval.
    """

    quorum: int = 1
    self_approval: bool = False
    valid_for: float = _DAY
    break_glass_for: float = _HOUR
    require_preview: bool = False
    keys: Mapping[str, TrustedKey] = field(default_factory=lambda: MappingProxyType({}))

    def with_role(self, role: Role) -> dict[str, TrustedKey]:
        """Return the trusted keys that have a role, by name."""
        return {name: trusted for name, trusted in self.keys.items() if role in trusted.roles}

    @classmethod
    def read(cls, section: Section) -> ApprovalPolicy:
        """Read the section; GateRefusedError for what it does not understand.

        approvals:
          quorum: 2
          self_approval: false
          valid_for: 24h
          keys:
            ann: {key: "ed25519:…", roles: [approver, operator]}
        """
        keys = {}
        by_key: dict[str, str] = {}
        for name, entry in section.named("keys", {"key", "roles"}).items():
            key = entry.text("key")
            if key is None or not key.startswith("ed25519:"):
                entry.refuse("key", "is not a public key, ed25519:<base64> (`hearth keygen` prints it)")
            if key in by_key:
                # One person under two names would be a quorum of its own.
                entry.refuse("key", f"is the key of {by_key[key]} too")
            by_key[key] = name
            keys[name] = TrustedKey(name, key, entry.choices("roles", _ROLES) or ("approver",))
        quorum = section.number("quorum", 1, least=1, most=99)
        valid_for = _span(section, "valid_for", _DAY)
        return cls(
            quorum=quorum,
            self_approval=section.truth("self_approval", default=False),
            valid_for=valid_for,
            break_glass_for=_span(section, "break_glass_for", _HOUR),
            require_preview=section.truth("require_preview", default=False),
            keys=MappingProxyType(keys),
        )


def _span(section: Section, name: str, default: float) -> float:
    """Read how long an approval may be used; no time at all means the default, and more than a year is refused."""
    seconds = section.seconds(name, default) or default
    if seconds > _LONGEST:
        section.refuse(name, "is longer than a year")
    return seconds


KNOWN = {"quorum", "self_approval", "valid_for", "break_glass_for", "require_preview", "keys"}
