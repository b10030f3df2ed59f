"""Checking a dossier offline, with this program's own code: nothing in the page is run or believed."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from hearth.errors import EvidenceError, HearthError, SigningError
from hearth.evidence._dossier_approvals import bindings, signatures
from hearth.evidence._dossier_checks import CHECKS, DossierCheck, DossierVerdict, Finding, Finds
from hearth.evidence._dossier_data import SEAL_SCHEMA, SEAL_TYPE, Embedded, embedded_text, signed_words
from hearth.evidence._dossier_keys import DossierKeys, UncheckedError, require, unchecked
from hearth.evidence._dossier_leaves import (
    check_approval_leaf,
    check_more,
    check_opening,
    require_proved_erasures,
)
from hearth.evidence._dossier_log import check_believed, check_checkpoint, check_inclusion, check_leaf, check_witnesses
from hearth.evidence._dossier_page import frame, render_page
from hearth.evidence._dossier_plan import check_guidance, check_manifests, check_plan, started_of
from hearth.evidence._dossier_record import check_chain, check_entries, check_erasures, check_fields, check_hash
from hearth.record import canonical_bytes, strict_loads
from hearth.signing import Envelope, PublicKey

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hearth.evidence._dossier_keys import LogBelieved

__all__ = ["remade_dossier", "verify_dossier"]

_SEAL = {"schema", "sha256", "key", "envelope"}
_LOG_GIVEN = DossierCheck("log.given", "Keys", "The log is the one whose key was given", "")
_GIVEN = DossierCheck("key.given", "Keys", "Each key that was given has signed something in it", "")


def verify_dossier(
    page: bytes,
    trusted: Sequence[str] = (),
    *,
    read: bytes | None = None,
    guidance: Callable[[dict[str, Any]], str] | None = None,
    log: LogBelieved | None = None,
) -> DossierVerdict:
    """Make every check. `trusted` are keys from elsewhere, as text (ed25519:… or a verifier key NAME+ID+KEY).

    `read` is the page that is read in its place, where that is another one (see `remade_dossier`). `guidance` works the
    guidance out anew from the data, and says so in words; EvidenceError where it comes to another. `log` says whose
    checkpoint the proof has to have.
    Keys in the file itself prove only that whoever has them signed; a finding says which of the two it is.
    EvidenceError and SigningError for a trusted key that is none; what is no dossier gives a verdict that says so.
    """
    keys = DossierKeys.of(trusted, log)
    checks = {check.id: check for check in CHECKS}
    finds: list[Finds] = []

    def look(name: str, work: Callable[[], str]) -> None:
        finds.append(_find(checks[name], work))

    try:
        embedded = Embedded.find(page)
    except EvidenceError as error:
        return DossierVerdict((Finds(CHECKS[0], Finding.FAILS, str(error)),))
    look("data.bytes", lambda: _bytes(embedded))
    document: dict[str, Any] = {}
    look("data.canonical", lambda: _read(embedded, document))
    if not document:
        finds += [Finds(check, Finding.FAILS, "the data cannot be read") for check in CHECKS[2:]]
        return DossierVerdict(tuple(finds))
    look("data.signature", lambda: _signature(embedded, document, keys))
    look("page.values", lambda: _values(page if read is None else read, embedded, document))
    record = document["record"]
    look("record.entries", lambda: check_entries(record))
    look("record.chain", lambda: check_chain(record))
    look("record.fields", lambda: check_fields(record))
    look("record.hash", lambda: check_hash(record))
    look("plan.copy", lambda: check_plan(document))
    look("approval.signatures", lambda: signatures(document, keys))
    look("approval.binding", lambda: bindings(document))
    look("manifests", lambda: check_manifests(document))
    look("rollback.plan", lambda: _both(check_guidance(document), guidance, document))
    look("log.leaf", lambda: check_leaf(document))
    look("log.inclusion", lambda: check_inclusion(document, check_more))
    look("log.checkpoint", lambda: check_checkpoint(document, keys))
    look("log.opening", lambda: check_opening(document))
    look("log.approval", lambda: check_approval_leaf(document))
    look("log.witnesses", lambda: check_witnesses(document, keys))
    look("erasures", lambda: check_erasures(document, require_proved_erasures))
    finds += [_find(_GIVEN, lambda text=text: keys.outcome(text)) for text in keys.given]  # type: ignore[misc]
    if log is not None:
        finds.append(_find(_LOG_GIVEN, lambda: check_believed(document, log)))
    said = record if isinstance(record, dict) else {}
    return DossierVerdict(
        tuple(finds),
        execution_id=_text(said.get("execution_id")),
        execution_hash=_text(said.get("execution_hash")),
        emergency=_is_emergency(document),
    )


def remade_dossier(page: bytes) -> bytes:
    """Return a dossier's page made anew from its data, as this version shows them.

    EvidenceError where that cannot be. Whether they hold `verify_dossier` says.
    """
    embedded = Embedded.find(page)
    try:
        return _made(embedded.document(), _seal(embedded))
    except HearthError as error:
        raise EvidenceError(f"no page can be made of these data: {error}") from None


def _find(check: DossierCheck, work: Callable[[], str]) -> Finds:
    try:
        return Finds(check, Finding.HOLDS, work())
    except UncheckedError as why:
        return Finds(check, Finding.UNCHECKED, str(why))
    except HearthError as error:
        return Finds(check, Finding.FAILS, str(error))
    except (LookupError, TypeError, ValueError, AttributeError, RecursionError) as error:
        return Finds(check, Finding.FAILS, f"it has not the form of a dossier ({type(error).__name__}: {error})")


def _both(said: str, again: Callable[[dict[str, Any]], str] | None, document: dict[str, Any]) -> str:
    return "; ".join(filter(None, (said, "" if again is None else again(document))))


def _is_emergency(document: dict[str, Any]) -> bool:
    try:
        return bool(started_of(document)["approval"]["kind"] == "emergency")
    except (EvidenceError, LookupError, TypeError, AttributeError):
        return False


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _seal(embedded: Embedded) -> dict[str, Any]:
    seal = strict_loads(embedded.seal)
    if not isinstance(seal, dict) or seal.keys() != _SEAL or seal["schema"] != SEAL_SCHEMA:
        raise EvidenceError("the seal beside the data has not the form of one")
    require(embedded_text(seal).encode() == embedded.seal, "the seal is not in canonical form")
    return seal


def _bytes(embedded: Embedded) -> str:
    digest = hashlib.sha256(embedded.data).hexdigest()
    require(_seal(embedded)["sha256"] == digest, f"the data have the SHA-256 {digest}, and not the one beside them")
    return f"{len(embedded.data):,} bytes, SHA-256 {digest}"


def _read(embedded: Embedded, document: dict[str, Any]) -> str:
    found = embedded.document()
    require(embedded_text(found).encode() == embedded.data, "the data are not in canonical form")
    document.update(found)
    return "canonical, byte for byte"


def _signature(embedded: Embedded, document: dict[str, Any], keys: DossierKeys) -> str:
    seal = _seal(embedded)
    if seal["envelope"] is None:
        unchecked("the file is not signed: nothing vouches for what stands outside the record but its own SHA-256")
    key = PublicKey.parse(str(seal["key"]))
    envelope = Envelope.parse(canonical_bytes(seal["envelope"]))
    require(envelope.payload_type == SEAL_TYPE, "the envelope is of another kind")
    require(bool(envelope.verified_by({"": key})), "the signature does not verify with the key beside it")
    require(envelope.payload == canonical_bytes(signed_words(seal, document)), "what was signed is another file")
    return f"signed by {keys.said_of(key)}"


def _values(page: bytes, embedded: Embedded, document: dict[str, Any]) -> str:
    """Make the page anew: what it shows has to be what is made of these data."""
    made = _made(document, _seal(embedded))
    if made == page:
        return "the page is, byte for byte, the one that is made of these data"
    if document["page"] != frame():
        raise EvidenceError(
            "the page was made by another version of HEARTH, so what it shows cannot be compared with the data. Have "
            "it made anew from them, and read that: `hearth verify FILE --anew NEW.html`"
        )
    place = next((n for n, (one, other) in enumerate(zip(made, page, strict=False)) if one != other), len(made))
    line = page[:place].count(b"\n") + 1
    raise EvidenceError(f"the page was changed, first in line {line}: it does not show what the data say")


def _made(document: dict[str, Any], seal: dict[str, Any]) -> bytes:
    from jinja2 import TemplateError

    try:
        return render_page(document, seal)
    except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError, RecursionError) as error:
        raise EvidenceError(f"no page can be made of these data: {error}") from None
    except (SigningError, TemplateError) as error:
        raise EvidenceError(f"no page can be made of these data: {error}") from None
