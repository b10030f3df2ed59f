"""Who stands behind it: Ed25519 keys and DSSE envelopes. Names load when they are first used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hearth._lazy import lazy_names

if TYPE_CHECKING:
    from hearth.signing._envelope import Envelope, Signature, pae
    from hearth.signing._key import PublicKey, SigningKey

__all__ = ["Envelope", "PublicKey", "Signature", "SigningKey", "pae"]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "Envelope": "_envelope",
        "PublicKey": "_key",
        "Signature": "_envelope",
        "SigningKey": "_key",
        "pae": "_envelope",
    },
)
