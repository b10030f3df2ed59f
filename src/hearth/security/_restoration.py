"""The signed act by which an operator restores the posture."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime  # noqa: TC003 - a field's type
from typing import TYPE_CHECKING, Self

from hearth.errors import GateRefusedError, RecordError, SigningError
from hearth.record import canonical_bytes, format_time, parse_time, strict_loads
from hearth.security._posture import Posture
from hearth.security._states import BoundaryState, SecurityState

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hearth.security._approval_policy import TrustedKey
    from hearth.security._posture import KeptPosture
    from hearth.signing import SigningKey

__all__ = ["RESTORATION_TYPE", "Restoration"]

RESTORATION_TYPE = "application/vnd.hearth.restoration.v1+json"
_MEMBERS = {"ledger_id", "from_version", "security", "boundary", "who", "why", "created"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Restoration:
    """An operator's statement: this ledger's posture, as it stands in this version, is restored to that one.

    It names the version, so that one act restores once, and never a posture that its signer has not seen.
    `who` is the name of the signer's key in the policy.
    """

    ledger_id: str
    from_version: int
    to: Posture
    who: str
    why: str
    created: datetime

    def sign(self, key: SigningKey) -> bytes:
        """Return the statement in an envelope with the signature of `key`, as bytes."""
        from hearth.signing import Envelope

        return Envelope.sign(canonical_bytes(self._document()), RESTORATION_TYPE, key).to_json()

    @classmethod
    def verified(cls, envelope: bytes, operators: Mapping[str, TrustedKey]) -> Self:
        """Return the statement, if the key of `who` is one of `operators` and signed it; else SigningError."""
        from hearth.signing import Envelope, PublicKey

        parsed = Envelope.parse(envelope)
        if parsed.payload_type != RESTORATION_TYPE:
            raise SigningError(f"the envelope holds {parsed.payload_type!r}, not {RESTORATION_TYPE!r}")
        keys = {name: PublicKey.parse(trusted.key) for name, trusted in operators.items()}
        signers = parsed.verified_by(keys)
        statement = cls._read(parsed.payload)
        if statement.who not in signers:
            raise SigningError(
                f"the restoration by {statement.who} is not signed by a key that the policy trusts under this name "
                "as an operator's"
            )
        return statement

    @classmethod
    def of(cls, kept: KeptPosture, *, ledger_id: str, operators: Mapping[str, TrustedKey]) -> Self:
        """Return the act by which one of `operators` made the posture what `kept` says, in this version and ledger.

        SigningError where none of them signed it, GateRefusedError where what was signed is another change.
        """
        if kept.envelope is None:
            raise SigningError(f"version {kept.version} of the posture is not signed")
        statement = cls.verified(kept.envelope, operators)
        statement.check(ledger_id=ledger_id, version=kept.version - 1, to=kept.posture, who=kept.who, why=kept.why)
        return statement

    def check(self, *, ledger_id: str, version: int, to: Posture, who: str, why: str) -> None:
        """Raise GateRefusedError unless this statement is for just this change."""
        if self.ledger_id != ledger_id:
            raise GateRefusedError(f"the restoration was signed for the ledger {self.ledger_id}, not for {ledger_id}")
        if self.from_version != version:
            raise GateRefusedError(
                f"the posture has changed since this was signed (version {self.from_version}, now {version}); "
                "look at it with `hearth state`, then restore it again"
            )
        if (self.to, self.who, self.why) != (to, who, why):
            raise GateRefusedError("the restoration that was signed is another one than the one asked for")

    def _document(self) -> dict[str, object]:
        return {
            "ledger_id": self.ledger_id,
            "from_version": self.from_version,
            "security": str(self.to.security),
            "boundary": str(self.to.boundary),
            "who": self.who,
            "why": self.why,
            "created": format_time(self.created),
        }

    @classmethod
    def _read(cls, payload: bytes) -> Self:
        try:
            document = strict_loads(payload)
            if not isinstance(document, dict) or set(document) != _MEMBERS:
                raise SigningError(f"a restoration has just the members {', '.join(sorted(_MEMBERS))}")
            version = document["from_version"]
            texts = [document[name] for name in ("ledger_id", "who", "why")]
            if type(version) is not int or not all(isinstance(text, str) for text in texts):
                raise SigningError("a member of the restoration is of the wrong type")
            return cls(
                ledger_id=texts[0],
                from_version=version,
                to=Posture(SecurityState(document["security"]), BoundaryState(document["boundary"])),
                who=texts[1],
                why=texts[2],
                created=parse_time(document["created"]),
            )
        except (RecordError, ValueError) as error:
            raise SigningError(f"the restoration is not readable: {error}") from None
