"""Timestamps of checkpoints by an authority (RFC 3161): that a log was so far, and when, by another's clock and key.

An operator who has the log's key can sign an old-looking checkpoint at any time; he has no token of that time for it.
What is stamped is the checkpoint with the log's own signatures, without those of witnesses: these come and go.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from hearth.errors import EvidenceError
from hearth.evidence._checkpoint import Checkpoint
from hearth.record import format_time

if TYPE_CHECKING:
    from datetime import datetime

    from hearth.evidence._note import Note

__all__ = ["Timestamp", "request_timestamp", "stamped_bytes", "timestamp_name", "verify_timestamp"]

_LARGEST = 1 << 17
_DEADLINE = 30.0  # seconds, for the whole answer
_QUERY = "application/timestamp-query"
_REPLY = "application/timestamp-reply"
_OK = 200


@dataclass(frozen=True, slots=True)
class Timestamp:
    """What a verified token says: a time (UTC), and the subject of the certificate that signed it (RFC 4514)."""

    time: datetime
    authority: str

    def __str__(self) -> str:
        return f"{format_time(self.time)} by {self.authority}"


def timestamp_name(note: Note) -> str:
    """Return what the file of a checkpoint's timestamp is called: `checkpoint.<size>.tsr`."""
    return f"checkpoint.{Checkpoint.parse(note.text).size}.tsr"


def stamped_bytes(note: Note) -> bytes:
    """Return what of a signed checkpoint is stamped: the note with the signatures that carry the log's own name."""
    origin = Checkpoint.parse(note.text).origin
    own = tuple(one for one in note.signatures if one.name == origin)
    if not own:
        raise EvidenceError(f"the checkpoint of {origin} has no signature of its log: there is nothing to stamp")
    return replace(note, signatures=own).to_bytes()


def request_timestamp(
    note: Note, url: str, *, roots: bytes, signer: bytes | None = None, deadline: float = _DEADLINE
) -> bytes:
    """Have a signed checkpoint stamped by the authority at `url`; return its answer (DER), verified.

    `roots` are the certificates (PEM) that are trusted for the authority; `signer` is its own, where its answers do not
    bring it. EvidenceError for every other answer, and for none within `deadline` seconds.
    """
    client = _library()
    data = stamped_bytes(note)
    query = client.TimestampRequestBuilder(data, client.HashAlgorithm.SHA256).build()
    answer = _posted(url, query.as_bytes(), deadline)
    _verified(answer, data, roots, signer, nonce=query.nonce)
    return answer


def verify_timestamp(answer: bytes, note: Note, *, roots: bytes, signer: bytes | None = None) -> Timestamp:
    """Check an authority's answer (DER) for a signed checkpoint, offline; EvidenceError where it does not hold.

    The certificates have to be valid at the time that the token names, not now. The note's own signatures are checked
    elsewhere (`Note.verified_by`).
    """
    return _verified(answer, stamped_bytes(note), roots, signer, nonce=None)


def _library() -> Any:  # noqa: ANN401 - a module
    try:
        import rfc3161_client
    except ImportError as error:
        raise EvidenceError(
            f"timestamps need the package {error.name}: pip install 'hearth-recorder[timestamps]' brings it"
        ) from None
    return rfc3161_client


def _verified(answer: bytes, data: bytes, roots: bytes, signer: bytes | None, *, nonce: int | None) -> Timestamp:
    client = _library()
    if len(answer) > _LARGEST:
        raise EvidenceError(f"a timestamp of {len(answer)} bytes is refused; the most is {_LARGEST}")
    own = None if signer is None else _certificates(signer, "the authority's own certificate")[0]
    builder = client.VerifierBuilder(
        roots=_certificates(roots, "the trusted certificates"), tsa_certificate=own, nonce=nonce
    )
    try:
        response = client.decode_timestamp_response(answer)
        status = client.PKIStatus(response.status)
    except Exception as error:  # noqa: BLE001 - the library raises whatever its parser does
        raise EvidenceError(f"the timestamp is no answer of an authority (RFC 3161): {error}") from None
    if status != client.PKIStatus.GRANTED:
        said = "; ".join(response.status_string) or "without a reason"
        raise EvidenceError(f"the authority did not stamp: {status.name.lower()} ({said})")
    try:
        builder.build().verify_message(response, data)
        info = response.tst_info
        return Timestamp(info.gen_time, _named(response, own))
    except Exception as error:  # noqa: BLE001 - as above; nothing that it raises is a yes
        raise EvidenceError(
            f"the timestamp does not hold for this checkpoint and these certificates: {error}"
        ) from None


def _named(response: Any, own: Any) -> str:  # noqa: ANN401 - the library's and cryptography's types
    """Return the subject of the certificate that signed, which was verified before."""
    if own is not None:
        return str(own.subject.rfc4514_string())
    from cryptography.x509 import load_der_x509_certificate

    (signed,) = response.signed_data.signer_infos
    for data in response.signed_data.certificates:
        one = load_der_x509_certificate(data)
        if (one.issuer, one.serial_number) == (signed.issuer, signed.serial_number):
            return one.subject.rfc4514_string()
    raise EvidenceError("the token does not bring the certificate that signed it")


def _certificates(pem: bytes, what: str) -> list[Any]:
    from cryptography.x509 import load_pem_x509_certificates

    try:
        return list(dict.fromkeys(load_pem_x509_certificates(pem)))
    except ValueError as error:
        raise EvidenceError(f"{what} cannot be read as PEM: {error}") from None


def _posted(url: str, query: bytes, deadline: float) -> bytes:
    import httpx

    end = time.monotonic() + deadline
    headers = {"Content-Type": _QUERY, "Accept": _REPLY}
    pieces: list[bytes] = []
    try:
        with (
            httpx.Client(timeout=deadline) as client,
            client.stream("POST", url, content=query, headers=headers) as response,
        ):
            if response.status_code != _OK:
                raise EvidenceError(
                    f"the authority {url} answered with status {response.status_code}, and no timestamp"
                )
            for piece in response.iter_bytes():
                pieces.append(piece)
                if sum(map(len, pieces)) > _LARGEST:
                    raise EvidenceError(f"the authority {url} answered with more than {_LARGEST} bytes")
                if time.monotonic() > end:
                    raise EvidenceError(f"the authority {url} did not answer within {deadline:g} seconds")
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        said = str(error) or type(error).__name__
        raise EvidenceError(
            f"the authority {url} cannot be asked: {said}; nothing was stamped, ask again later"
        ) from None
    return b"".join(pieces)
