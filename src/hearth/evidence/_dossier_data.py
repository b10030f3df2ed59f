r"""What a dossier holds: one JSON object in canonical bytes, embedded in a page, and the seal beside it.

The data (schema hearth.dossier/1): when and by which version it was made; `record`; `plan`, as it was kept before the
run, and `plan_missing`, why it is not there; `approval`, the request, the decisions and their envelopes; `policy`, the
keys that the ledger trusted; `manifests`, by digest; `rollback`, the scaffold; `proof` of the log, and
`proof_missing`, why there is none; `witnesses`; `erasures`, what was erased of the record's disclosed values;
`page`, the SHA-256 of all that the page was made with.

In the page `<`, `>`, `&`, U+2028 and U+2029 stand as `\uXXXX`: no text of a record can end the element or begin
another. They occur in texts alone, so the canonical form has one spelling in a page, byte for byte.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from hearth.errors import EvidenceError, RecordError
from hearth.record import LARGEST_EXPORT, canonical_bytes, strict_loads
from hearth.signing import Envelope

if TYPE_CHECKING:
    from hearth.signing import SigningKey

__all__ = ["DOSSIER_SCHEMA", "SEAL_SCHEMA", "SEAL_TYPE", "Embedded", "embedded_text", "is_dossier", "make_seal"]

DOSSIER_SCHEMA = "hearth.dossier/1"
SEAL_SCHEMA = "hearth.dossier-seal/1"
SEAL_TYPE = "application/vnd.hearth.dossier-seal.v1+json"
MEMBERS = frozenset(
    ("schema", "made_at", "made_by", "record", "plan", "plan_missing", "approval", "policy", "manifests", "rollback",
     "proof", "proof_missing", "witnesses", "erasures", "page")
)  # fmt: skip
_ESCAPED = re.compile("[<>&\u2028\u2029]")
_OPEN = b'<script type="application/json" id="dossier-%b">'
_CLOSE = b"</script>"
_START = b"<!doctype html>\n<!-- hearth dossier -->\n"


def embedded_text(document: Any) -> str:  # noqa: ANN401 - a JSON tree
    """Return a document's canonical form as it stands in a page."""
    return _ESCAPED.sub(lambda found: f"\\u{ord(found[0]):04x}", canonical_bytes(document).decode())


def is_dossier(start: bytes) -> bool:
    """Whether a file that begins so is a dossier."""
    return start.startswith(_START)


def make_seal(data: str, document: dict[str, Any], key: SigningKey | None) -> dict[str, Any]:
    """Return what stands beside the data: their SHA-256, and a signature over it."""
    digest = hashlib.sha256(data.encode()).hexdigest()
    seal: dict[str, Any] = {"schema": SEAL_SCHEMA, "sha256": digest, "key": None, "envelope": None}
    if key is not None:
        seal["key"] = str(key.public)
        seal["envelope"] = strict_loads(
            Envelope.sign(canonical_bytes(signed_words(seal, document)), SEAL_TYPE, key).to_json()
        )
    return seal


def signed_words(seal: dict[str, Any], document: dict[str, Any]) -> dict[str, Any]:
    """Return what a signature of a dossier says."""
    return {
        "schema": SEAL_SCHEMA,
        "sha256": seal["sha256"],
        "execution_id": document["record"]["execution_id"],
        "execution_hash": document["record"]["execution_hash"],
        "made_at": document["made_at"],
    }


@dataclass(frozen=True, slots=True)
class Embedded:
    """The two texts that a dossier has inside: `data`, and `seal`."""

    data: bytes
    seal: bytes

    @classmethod
    def find(cls, page: bytes) -> Self:
        """Find them in a page; EvidenceError where it is no dossier, or has either twice."""
        if not is_dossier(page):
            raise EvidenceError("this is no dossier: it does not begin as one")
        if len(page) > 2 * LARGEST_EXPORT:
            raise EvidenceError(f"a dossier of {len(page):,} bytes is refused")
        return cls(_element(page, b"data"), _element(page, b"seal"))

    def document(self) -> dict[str, Any]:
        """Return the data; RecordError where they are not JSON that has one reading."""
        document = strict_loads(self.data)
        if not isinstance(document, dict) or document.get("schema") != DOSSIER_SCHEMA:
            raise RecordError(f"the data do not say that they are a dossier's (schema {DOSSIER_SCHEMA})")
        if document.keys() != MEMBERS:
            raise RecordError("the data do not have just the members that a dossier has")
        return document


def _element(page: bytes, name: bytes) -> bytes:
    opening = _OPEN % name
    _, found, rest = page.partition(opening)
    text, ended, after = rest.partition(_CLOSE)
    if not found or not ended or opening in after:
        raise EvidenceError(f"the dossier does not have its {name.decode()} once")
    return text
