"""Erasure: what was erased of the values disclosed beside a record, when, by whom and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from hearth.errors import RecordError
from hearth.record._time import parse_time

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ERASURE_SCHEMA", "ErasedValue", "Erasure"]

ERASURE_SCHEMA = "hearth/erasure/v1"
_TEXTS = ("ledger_id", "previous", "execution_id", "execution_hash", "erased_at", "by", "reason")


@dataclass(frozen=True, slots=True)
class ErasedValue:
    """Where the value stood: the entry, the pointer within it (RFC 6901), and the commitment that stays there."""

    sequence: int
    pointer: str
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Erasure:
    """One act of erasing, as the ledger keeps it; its SHA-256 (of the canonical bytes) is in the ledger's log."""

    ledger_id: str
    previous: str
    execution_id: str
    execution_hash: str
    erased: tuple[ErasedValue, ...]
    erased_at: str
    by: str
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        places = [{"sequence": one.sequence, "pointer": one.pointer, "digest": one.digest} for one in self.erased]
        return {"schema": ERASURE_SCHEMA, "erased": places, **{name: getattr(self, name) for name in _TEXTS}}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Self:
        """Read the JSON form; RecordError when it is malformed."""
        if (
            not isinstance(document, dict)
            or document.keys() != {"schema", "erased", *_TEXTS}
            or document["schema"] != ERASURE_SCHEMA
            or not all(type(document[name]) is str for name in _TEXTS)
            or not isinstance(document["erased"], list)
            or not document["erased"]
        ):
            raise RecordError(f"what says that values were erased has not the form of {ERASURE_SCHEMA}")
        parse_time(document["erased_at"])
        return cls(erased=tuple(map(_value, document["erased"])), **{name: document[name] for name in _TEXTS})


def _value(item: Any) -> ErasedValue:  # noqa: ANN401 - a JSON tree
    if (
        not isinstance(item, dict)
        or item.keys() != {"sequence", "pointer", "digest"}
        or type(item["sequence"]) is not int
        or not all(type(item[name]) is str for name in ("pointer", "digest"))
    ):
        raise RecordError("an erased value has a sequence (a whole number), a pointer and a digest (texts)")
    return ErasedValue(**item)
