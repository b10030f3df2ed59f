"""DSSE: a payload with its type and signatures over both (secure-systems-lab/dsse, protocol and envelope, v1.0)."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from hearth.errors import RecordError, SigningError
from hearth.record import canonical_bytes, strict_loads

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hearth.signing._key import PublicKey, SigningKey

__all__ = ["Envelope", "Signature", "pae"]

_LARGEST = 1 << 22
_MOST_SIGNATURES = 64
_MEMBERS = {"payload", "payloadType", "signatures"}


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature; `key_id` is the signer's hint at the key, and proves nothing."""

    key_id: str
    value: bytes


@dataclass(frozen=True, slots=True)
class Envelope:
    """A signed payload. Nothing in it may be believed before `verified_by` has named a key that is trusted."""

    payload: bytes
    payload_type: str
    signatures: tuple[Signature, ...]

    @classmethod
    def sign(cls, payload: bytes, payload_type: str, key: SigningKey) -> Self:
        """Return an envelope with one signature."""
        value = key.sign(pae(payload_type, payload))
        return cls(payload, payload_type, (Signature(key.public.key_id, value),))

    @classmethod
    def parse(cls, data: bytes, *, largest: int = _LARGEST) -> Self:
        """Read the JSON form, strictly; SigningError for anything else, and for more than `largest` bytes."""
        if len(data) > largest:
            raise SigningError(f"an envelope of {len(data)} bytes is refused; the most is {largest}")
        try:
            document = strict_loads(data)
        except RecordError as error:
            raise SigningError(f"the envelope is {error}") from None
        if not isinstance(document, dict) or set(document) != _MEMBERS:
            raise SigningError(f"an envelope is an object with {', '.join(sorted(_MEMBERS))}, and nothing else")
        payload_type, signatures = document["payloadType"], document["signatures"]
        if not isinstance(payload_type, str) or not payload_type:
            raise SigningError("the envelope's payloadType is not a text")
        if not isinstance(signatures, list) or not 0 < len(signatures) <= _MOST_SIGNATURES:
            raise SigningError(f"the envelope's signatures are not a list of 1 to {_MOST_SIGNATURES}")
        return cls(_decoded(document["payload"], "payload"), payload_type, tuple(map(_signature, signatures)))

    def to_json(self) -> bytes:
        """Return the JSON form, in canonical bytes."""
        return canonical_bytes(
            {
                "payload": base64.b64encode(self.payload).decode(),
                "payloadType": self.payload_type,
                "signatures": [
                    {"keyid": signature.key_id, "sig": base64.b64encode(signature.value).decode()}
                    for signature in self.signatures
                ],
            }
        )

    def verified_by(self, keys: Mapping[str, PublicKey]) -> tuple[str, ...]:
        """Return the names of the keys that signed this payload with this type, each once, in the mapping's order."""
        signed = pae(self.payload_type, self.payload)
        known = {key.key_id for key in keys.values()}
        return tuple(
            name
            for name, key in keys.items()
            if any(
                key.verify(signature.value, signed)
                for signature in self.signatures
                # The hint saves work where it names one of these keys; other tools name keys in other ways.
                if signature.key_id == key.key_id or signature.key_id not in known
            )
        )


def pae(payload_type: str, payload: bytes) -> bytes:
    """Return the pre-authentication encoding, which is what is signed (DSSE, section "Signature Definition")."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def _signature(value: Any) -> Signature:  # noqa: ANN401 - a JSON tree
    if not isinstance(value, dict) or not {"sig"} <= set(value) <= {"sig", "keyid"}:
        raise SigningError("a signature of the envelope is not an object with sig and keyid")
    key_id = value.get("keyid", "")
    if not isinstance(key_id, str):
        raise SigningError("a keyid of the envelope is not a text")
    return Signature(key_id, _decoded(value["sig"], "sig"))


def _decoded(value: object, name: str) -> bytes:
    """Decode base64, standard or URL-safe, as the specification asks of a reader; stray bits at its end are refused."""
    if not isinstance(value, str):
        raise SigningError(f"the envelope's {name} is not a text")
    standard = value.replace("-", "+").replace("_", "/")
    try:
        data = base64.b64decode(standard, validate=True)
    except (binascii.Error, ValueError) as error:
        raise SigningError(f"the envelope's {name} is not base64: {error}") from None
    if base64.b64encode(data).decode() != standard:
        raise SigningError(f"the envelope's {name} is not written as base64 is (stray bits at its end)")
    return data
