"""Signed documents (DSSE): read, and held against the keys of the policy."""

from __future__ import annotations

import hashlib
from base64 import b64decode
from typing import TYPE_CHECKING, Any

from hearth.operations._fsck._canonical import canonical, load

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Keys", "Signed", "key_id_of", "read_envelope"]

_LARGEST = 1 << 22


class Signed:
    """An envelope's payload, and its signatures by key id."""

    def __init__(
        self, kind: str, payload: bytes, document: dict[str, Any], signatures: list[tuple[str, bytes]]
    ) -> None:
        self.kind = kind
        self.payload = payload
        self.document = document
        self.signatures = signatures

    @property
    def digest(self) -> str:
        """The SHA-256 of the payload."""
        return hashlib.sha256(self.payload).hexdigest()


def read_envelope(data: object) -> Signed:
    """Read an envelope whose payload is a canonical JSON object; ValueError says what is wrong."""
    if not isinstance(data, bytes):
        raise ValueError("it is no longer bytes")  # noqa: TRY004 - a finding about data
    if len(data) > _LARGEST:
        raise ValueError(f"it has {len(data):,} bytes, and none of ours has more than {_LARGEST:,}")
    envelope = load(data)
    if not isinstance(envelope, dict) or envelope.keys() != {"payload", "payloadType", "signatures"}:
        raise ValueError("it is no envelope")
    if canonical(envelope) != data:
        raise ValueError("its bytes are not the canonical ones")
    try:
        payload = b64decode(envelope["payload"], validate=True)
        signatures = [(item.get("keyid", ""), b64decode(item["sig"], validate=True)) for item in envelope["signatures"]]
        kind = str(envelope["payloadType"])
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"its payload or a signature is malformed: {error}") from None
    if not signatures:
        raise ValueError("nobody signed it")
    document = load(payload)
    if not isinstance(document, dict) or canonical(document) != payload:
        raise ValueError("its payload is no canonical object")
    return Signed(kind, payload, document, signatures)


def key_id_of(key: object) -> str:
    """Return the key id (SHA-256 of the 32 bytes, hex) of a public key as text, "" for what is none."""
    try:
        return hashlib.sha256(_raw(key)).hexdigest()
    except ValueError:
        return ""


def _raw(key: object) -> bytes:
    return b64decode(str(key).removeprefix("ed25519:"), validate=True)


class Keys:
    """The public keys that a policy names, by key id; empty where there is no policy, or none that can be read."""

    def __init__(self, policy: Path) -> None:
        self._keys: dict[str, bytes] = {}
        try:
            import yaml

            document = yaml.safe_load(policy.read_bytes())
            entries = document["approvals"]["keys"].values()
            for entry in entries:
                raw = _raw(entry["key"])
                self._keys[hashlib.sha256(raw).hexdigest()] = raw
        except (OSError, ValueError, TypeError, KeyError, AttributeError, yaml.YAMLError):
            return

    def judge(self, signed: Signed) -> str:
        """Return `true` when a key that the policy names signed it, `false` when such a key did not, else `unknown`."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        kind = signed.kind.encode()
        said = b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(signed.payload), signed.payload)
        found = "unknown"
        for key_id, signature in signed.signatures:
            if key_id in self._keys:
                try:
                    Ed25519PublicKey.from_public_bytes(self._keys[key_id]).verify(signature, said)
                except (InvalidSignature, ValueError):
                    found = "false"
                else:
                    return "true"
        return found
