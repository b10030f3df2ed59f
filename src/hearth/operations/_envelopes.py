"""Checking an envelope over a record that somebody sent.

It is verified only by a key that was trusted before: one that was named, or one of the ledger's policy.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hearth.errors import EvidenceError, GateRefusedError, LedgerNotFoundError, SigningError
from hearth.evidence import LARGEST_ENVELOPE, ExecutionStatement
from hearth.execution import load_policy
from hearth.operations._home import find_home
from hearth.record import Verdict
from hearth.signing import Envelope, PublicKey

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["TrustedKeys", "check_envelope", "read_public_key", "trusted_keys"]

_LARGEST_KEY = 1 << 14
_SHOWN = 12
_PEM = b"-----BEGIN PUBLIC KEY-----"


@dataclass(frozen=True, slots=True)
class TrustedKeys:
    """Public keys whose envelopes count, by name; `why` says, where there is none, what was looked at."""

    keys: Mapping[str, PublicKey] = field(default_factory=dict)
    why: str = "no key was given"


def trusted_keys(given: Sequence[str] = (), home: Path | str | None = None) -> TrustedKeys:
    """Return the keys that were given (as text, or in files), else those of the policy of a ledger that is found.

    SigningError for what was given and is no public key.
    """
    if given:
        return TrustedKeys({text: read_public_key(text) for text in given})
    try:
        policy = find_home(home).policy
        keys = {name: PublicKey.parse(one.key) for name, one in load_policy(policy).approvals.keys.items()}
    except LedgerNotFoundError:
        return TrustedKeys(why="no key was given, and there is no ledger here whose policy names any")
    except (GateRefusedError, SigningError) as error:
        return TrustedKeys(why=f"no key was given, and {error}")
    return TrustedKeys(keys, "" if keys else f"no key was given, and {policy} names none")


def read_public_key(text: str) -> PublicKey:
    """Read a public key: `ed25519:` and its base64, or a file that holds just that, or a PEM file; SigningError."""
    if text.startswith("ed25519:"):
        return PublicKey.parse(text)
    try:
        with Path(text).open("rb") as file:
            data = file.read(_LARGEST_KEY).strip()
    except OSError as error:
        raise SigningError(
            f"{text[:200]!r} is neither a public key (ed25519:…, as `hearth keygen` prints it) nor a file that can be "
            f"read: {error.strerror or error}"
        ) from None
    if data.startswith(_PEM):
        return _from_pem(text, data)
    if b"PRIVATE KEY" in data:
        raise SigningError(f"{text} holds a private key, which nobody needs to verify; give the public one (ed25519:…)")
    try:
        return PublicKey.parse(data.decode("ascii"))
    except UnicodeDecodeError:
        raise SigningError(f"{text} holds no public key: neither ed25519:… nor PEM") from None
    except SigningError as error:
        raise SigningError(f"{text}: {error}") from None


def check_envelope(
    data: bytes, trusted: TrustedKeys, *, record: Mapping[str, Any] | None = None
) -> tuple[Verdict, ExecutionStatement | None, tuple[str, ...]]:
    """Check an envelope over a record: what it says first, then who signed it.

    Returns the verdict, what it says (None where it cannot be read), and the names of the trusted keys that signed. A
    signature by a key that is not trusted proves nothing: then the verdict is not ok, whatever else holds. `record` is
    the one that was kept beside a detached statement.
    """
    try:
        envelope = Envelope.parse(data, largest=LARGEST_ENVELOPE)
        statement = ExecutionStatement.read(envelope)
    except (SigningError, EvidenceError) as error:
        return Verdict(ok=False, why=str(error)), None, ()
    signers = envelope.verified_by(trusted.keys)
    strange = [
        one.key_id for one in envelope.signatures if not replace(envelope, signatures=(one,)).verified_by(trusted.keys)
    ]
    notes = tuple(
        f"a signature by {_named(one)} does not count: no key that is trusted here made it" for one in strange
    )
    verdict = statement.check(record)
    if not verdict:
        return verdict, statement, signers
    if signers:
        return Verdict(ok=True, notes=(*verdict.notes, *notes)), statement, signers
    claimed = ", ".join(_named(one.key_id) for one in envelope.signatures)
    if not trusted.keys:
        reason = f"{trusted.why}; give the signer's with --key"
    elif any(one.key_id == key.key_id for one in envelope.signatures for key in trusted.keys.values()):
        reason = "the envelope was changed after it was signed, or the signature was"
    else:
        reason = f"trusted {'is' if len(trusted.keys) == 1 else 'are'} {', '.join(map(_called, trusted.keys.items()))}"
    why = f"no key that is trusted here signed it (it names {claimed}): {reason}; the record in it is whole"
    return Verdict(ok=False, why=why, notes=verdict.notes), statement, ()


def _named(key_id: str) -> str:
    return f"key {key_id[:_SHOWN]}…" if len(key_id) > _SHOWN else f"key {key_id}" if key_id else "a key without a name"


def _called(item: tuple[str, PublicKey]) -> str:
    name, key = item
    return _named(key.key_id) if name.startswith("ed25519:") else f"{name} ({_named(key.key_id)})"


def _from_pem(name: str, data: bytes) -> PublicKey:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(data)
    except (ValueError, UnsupportedAlgorithm):
        raise SigningError(f"{name} is no public key in PEM form") from None
    if not isinstance(key, Ed25519PublicKey):
        raise SigningError(f"{name} holds a key of another kind; only Ed25519 is used")
    return PublicKey(key.public_bytes_raw())
