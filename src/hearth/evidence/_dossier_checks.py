"""The checks of a dossier, one for each thing that can be wrong; the page and `hearth verify` make the same."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["CHECKS", "DossierCheck", "DossierVerdict", "Finding", "Finds"]


class Finding(StrEnum):
    """What came out of a check; UNCHECKED is never a success."""

    HOLDS = "holds"
    FAILS = "fails"
    UNCHECKED = "unchecked"


@dataclass(frozen=True, slots=True)
class DossierCheck:
    """One check: its name, under which heading it stands, what it asks, and what an answer is worth."""

    id: str
    group: str
    title: str
    worth: str


CHECKS = (
    DossierCheck(
        "data.bytes",
        "This file",
        "The data are those that were written here",
        "Their SHA-256 stands beside them: this sees accidents and careless edits. Whoever changes the data on purpose "
        "can write a new one.",
    ),
    DossierCheck(
        "data.canonical",
        "This file",
        "They can be read in one way only",
        "They are canonical JSON (RFC 8785), byte for byte: no key stands twice, and no two programs read them "
        "differently.",
    ),
    DossierCheck(
        "data.signature",
        "This file",
        "Whoever made the file signed it",
        "Covers everything in it, also what no other check here does: when it was made, what is said of keys, which "
        "guidance is given. "
        "It is worth as much as you know of the key: compare it with one that you have from elsewhere.",
    ),
    DossierCheck(
        "page.values",
        "This file",
        "What is shown is what the data say",
        "Each value on the page is compared with the data, and no entry is left out. The words around the values are "
        "compared by `hearth verify` alone.",
    ),
    DossierCheck(
        "record.entries",
        "The record",
        "No entry was changed",
        "Each entry gives its SHA-256 (HEARTH-event-v1).",
    ),
    DossierCheck(
        "record.chain",
        "The record",
        "None is missing, added or moved",
        "Each entry names the hash of the one before; the seal counts them, and its status fits what the steps did.",
    ),
    DossierCheck(
        "record.fields",
        "The record",
        "It says nothing but what its entries say",
        "Status, times, live mode, states and declared effects are those of the entries.",
    ),
    DossierCheck(
        "record.hash",
        "The record",
        "It has the execution hash that it states",
        "One SHA-256 over all of it (HEARTH-record-v1). Whoever makes up a whole record can compute it, too: a log or "
        "a signature ties it to what others have seen.",
    ),
    DossierCheck(
        "plan.copy",
        "Plan and approval",
        "The plan is the one that was run",
        "Its bytes have the SHA-256 that entry 0 named before the first step; where nothing in it was withheld, also "
        "the plan's digest.",
    ),
    DossierCheck(
        "approval.signatures",
        "Plan and approval",
        "The request and the decisions are signed",
        "Ed25519 over each envelope (DSSE), by keys that the ledger's policy trusted when this file was made. The keys "
        "stand in this file: compare them with those that you know.",
    ),
    DossierCheck(
        "approval.binding",
        "Plan and approval",
        "What was approved is what ran",
        "The decisions are on this request, the request is for this plan, preview and ledger, and this run used it.",
    ),
    DossierCheck(
        "manifests",
        "Plan and approval",
        "Previews and observations are the recorded ones",
        "Each has the SHA-256 that the record names.",
    ),
    DossierCheck(
        "rollback.plan",
        "Plan and approval",
        "The guidance is the plan's own, word for word",
        "Which of it is given, in which order and with which warnings, was worked out when this file was made, and "
        "`hearth verify` works it out anew.",
    ),
    DossierCheck(
        "log.leaf",
        "The log",
        "The leaf of the log is that of this record",
        "It is made anew from the record: its hash, its number of entries, its status and its end.",
    ),
    DossierCheck(
        "log.inclusion",
        "The log",
        "The log has this leaf",
        "The path of hashes leads from the leaf to the root of the checkpoint (RFC 6962).",
    ),
    DossierCheck(
        "log.checkpoint",
        "The log",
        "The checkpoint is signed by the log",
        "Ed25519, by the log's key in this file: compare it with the one that the log's owner publishes.",
    ),
    DossierCheck(
        "log.opening",
        "The log",
        "The log knew of the run before it acted",
        "The leaf of its opening comes before that of its record: no run that went badly was left out, and another one "
        "put under its name.",
    ),
    DossierCheck(
        "log.approval",
        "The log",
        "The log has what was approved",
        "The hashes of the request and of each decision went into the log when the run used them: nobody made them up, "
        "or left one away, since.",
    ),
    DossierCheck(
        "log.witnesses",
        "The log",
        "Enough witnesses have seen the checkpoint",
        "Each cosignature says that the log only grew until then: the log's owner cannot show others another history.",
    ),
    DossierCheck(
        "erasures",
        "The log",
        "What was erased is said",
        "Erased values leave their salted commitments in the record, so every hash still holds.",
    ),
)


@dataclass(frozen=True, slots=True)
class Finds:
    """What came out of one check, in words."""

    check: DossierCheck
    finding: Finding
    says: str

    def to_dict(self) -> dict[str, str]:
        """Return the JSON form."""
        return {"check": self.check.id, "title": self.check.title, "finding": str(self.finding), "says": self.says}


@dataclass(frozen=True, slots=True)
class DossierVerdict:
    """What came out of all checks of a dossier; true where none fails. `emergency`: the glass was broken."""

    finds: tuple[Finds, ...]
    execution_id: str | None = None
    execution_hash: str | None = None
    emergency: bool = False

    @property
    def failed(self) -> tuple[Finds, ...]:
        """The checks that fail."""
        return tuple(one for one in self.finds if one.finding is Finding.FAILS)

    def __bool__(self) -> bool:
        return bool(self.finds) and not self.failed

    def to_dict(self) -> dict[str, object]:
        """Return the JSON form."""
        return {
            "ok": bool(self),
            "execution_id": self.execution_id,
            "execution_hash": self.execution_hash,
            "checks": [one.to_dict() for one in self.finds],
        }
