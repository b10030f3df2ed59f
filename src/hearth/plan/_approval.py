"""What is signed for a run: the request, and the decision on it (docs/approvals.md)."""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass, fields
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar, Self

from hearth.errors import RecordError, SigningError
from hearth.record import canonical_bytes, format_time, parse_time, strict_loads
from hearth.security import BoundaryState, LiveMode, Posture, SecurityState
from hearth.signing import Envelope

if TYPE_CHECKING:
    from hearth.signing import SigningKey

__all__ = ["DECISION_TYPE", "REQUEST_TYPE", "ApprovalDecision", "ApprovalRequest"]

REQUEST_TYPE = "application/vnd.hearth.approval-request.v1+json"
DECISION_TYPE = "application/vnd.hearth.approval.v1+json"
_DIGEST = re.compile(r"[0-9a-f]{64}", re.ASCII)
_LONGEST = 10_000
_MOST_HOSTS = 100
_VERDICTS = ("approve", "deny")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Signed:
    """What a request and a decision have in common. Times are aware UTC; `hosts` are host names, `*` is any."""

    payload_type: ClassVar[str]

    request_id: str
    ledger_id: str
    plan_id: str
    plan_digest: str
    preview_digest: str | None
    mode: LiveMode
    hosts: tuple[str, ...]
    not_before: datetime
    expires: datetime
    worst_posture: Posture
    reason: str
    created: datetime

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form, which is what is signed (as canonical bytes)."""
        return {field.name: _plain(getattr(self, field.name)) for field in fields(self)}

    @property
    def digest(self) -> str:
        """The SHA-256 (hex) of the canonical bytes of `to_dict()`."""
        return hashlib.sha256(canonical_bytes(self.to_dict())).hexdigest()

    def sign(self, key: SigningKey) -> Envelope:
        """Return the envelope with the signature of `key`."""
        return Envelope.sign(canonical_bytes(self.to_dict()), self.payload_type, key)

    @classmethod
    def read(cls, envelope: Envelope) -> Self:
        """Read an envelope's payload strictly; whether anybody signed it is not looked at here.

        SigningError for another payload type, missing or unknown members, and values that are none.
        """
        if envelope.payload_type != cls.payload_type:
            raise SigningError(f"the envelope holds {envelope.payload_type[:80]!r}, not {cls.payload_type!r}")
        try:
            document = strict_loads(envelope.payload)
            names = {field.name for field in fields(cls)}
            if not isinstance(document, dict) or set(document) != names:
                raise SigningError(f"{cls.__name__}: the payload does not have just the members {sorted(names)}")
            return cls(**{name: _read(name, document[name]) for name in names})
        except (RecordError, ValueError, TypeError) as error:
            raise SigningError(f"{cls.__name__}: {error}") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalRequest(_Signed):
    """Somebody asks that a plan may run once. `requester` is a name; who it was, the signature's key says.

    `plan_copy` is the SHA-256 (hex) of the kept plan, `emergency` says that the glass is broken.
    """

    payload_type = REQUEST_TYPE

    requester: str
    plan_copy: str
    emergency: bool

    @staticmethod
    def new_id() -> str:
        """Return a fresh request id (16 hex digits)."""
        return secrets.token_hex(8)


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalDecision(_Signed):
    """An approver's word on a request: `approve` or `deny`. It may be narrower than the request, never wider.

    `request_digest` binds it to every word of the request, `nonce` makes it one of its kind.
    """

    payload_type = DECISION_TYPE

    request_digest: str
    approver: str
    verdict: str
    nonce: str

    @classmethod
    def on(cls, request: ApprovalRequest, *, approver: str, verdict: str, reason: str, now: datetime) -> Self:
        """Return the decision on a request as it was asked for."""
        shared = {field.name: getattr(request, field.name) for field in fields(_Signed)}
        return cls(
            **{**shared, "reason": reason, "created": now},
            request_digest=request.digest,
            approver=approver,
            verdict=verdict,
            nonce=secrets.token_hex(16),
        )


def _plain(value: Any) -> Any:  # noqa: ANN401 - one of the members' types
    if isinstance(value, datetime):
        return format_time(value)
    if isinstance(value, Posture):
        return {"security": str(value.security), "boundary": str(value.boundary)}
    if isinstance(value, tuple):
        return list(value)
    return str(value) if isinstance(value, LiveMode) else value


def _read(name: str, value: Any) -> Any:  # noqa: ANN401, C901, PLR0912 - one case for each member
    match name:
        case "not_before" | "expires" | "created":
            return parse_time(_text(name, value))
        case "worst_posture":
            if not isinstance(value, dict) or set(value) != {"security", "boundary"}:
                raise ValueError("worst_posture is not an object with security and boundary")
            return Posture(SecurityState(value["security"]), BoundaryState(value["boundary"]))
        case "mode":
            return LiveMode(value)
        case "hosts":
            if not isinstance(value, list) or not 0 < len(value) <= _MOST_HOSTS:
                raise ValueError(f"hosts is not a list of 1 to {_MOST_HOSTS} names")
            return tuple(_text(name, host) for host in value)
        case "emergency":
            if not isinstance(value, bool):
                raise TypeError("emergency is neither true nor false")
            return value
        case "verdict":
            if value not in _VERDICTS:
                raise ValueError(f"verdict is none of {', '.join(_VERDICTS)}")
            return value
        case "preview_digest" if value is None:
            return None
        case "plan_digest" | "preview_digest" | "plan_copy" | "request_digest":
            if not _DIGEST.fullmatch(_text(name, value)):
                raise ValueError(f"{name} is no SHA-256 in hex")
            return value
        case "reason":
            if not isinstance(value, str) or len(value) > _LONGEST:
                raise ValueError(f"reason is no text of at most {_LONGEST} characters")
            return value
        case _:
            return _text(name, value)


def _text(name: str, value: Any) -> str:  # noqa: ANN401 - a JSON tree
    if not isinstance(value, str) or not value.strip() or len(value) > _LONGEST:
        raise ValueError(f"{name} is no text of 1 to {_LONGEST} characters")
    return value
