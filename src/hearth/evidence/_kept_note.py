"""The checkpoint in a file that somebody kept: a signed note, a proof, or a dossier."""

from __future__ import annotations

from hearth.errors import EvidenceError
from hearth.evidence._dossier_data import Embedded, is_dossier
from hearth.evidence._note import Note
from hearth.evidence._proof import PROOF_BEGINS, LogProof

__all__ = ["kept_note"]


def kept_note(data: bytes) -> Note:
    """Return the signed checkpoint that a file's content is, or has in it; EvidenceError where there is none.

    So whoever has a proof or a dossier of one run can hold it against the log that is published to all. Nothing is
    verified here.
    """
    if is_dossier(data):
        proof = Embedded.find(data).document()["proof"]
        if not isinstance(proof, dict) or not isinstance(proof.get("proof"), str):
            raise EvidenceError("the dossier has no proof that a log has its record")
        data = str(proof["proof"]).encode()
    return LogProof.parse(data).note if data.startswith(PROOF_BEGINS) else Note.parse(data)
