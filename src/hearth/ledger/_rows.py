"""What the ledger keeps of a record: its exact bytes, and the columns and texts that are derived from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hearth.errors import LedgerError, RecordError
from hearth.ledger._search import fold
from hearth.record import SideEffect, StepEventType, canonical_bytes, format_time, strict_loads

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from hearth.record import Disclosure, ExecutionRecord

__all__ = ["Rows", "derived_columns", "derived_texts", "disclosed_value", "rows_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """One record as rows: for `executions`, and, without their foreign key, for `execution_texts` and `disclosures`."""

    execution: dict[str, Any]
    texts: list[dict[str, Any]]
    disclosures: list[dict[str, Any]]


def rows_of(record: ExecutionRecord, disclosures: Iterable[Disclosure] = ()) -> Rows:
    """Return the rows of a sealed record that verifies; any other raises LedgerError, as does a false disclosure.

    Disclosures come from the record and from `disclosures`; they are kept beside the record's bytes, never in them.
    """
    bare = record.with_disclosures(())
    if not bare.is_sealed:
        message = (
            f"execution {record.execution_id!r} is not sealed, and the ledger holds sealed records only; "
            "mark it, or run `hearth recover` on its journal"
        )
        raise LedgerError(message)
    opened = {(item.sequence, item.pointer, item.digest): item for item in (*record.disclosures, *disclosures)}
    _require_true(bare.with_disclosures(opened.values()))
    return Rows(
        execution={**derived_columns(bare), "record": canonical_bytes(bare.to_dict())},
        texts=derived_texts(bare),
        disclosures=[_disclosure_row(item) for item in opened.values()],
    )


def derived_columns(record: ExecutionRecord) -> dict[str, Any]:
    """Return the columns of `executions` that follow from a sealed record."""
    if record.timestamp_end is None or record.cause is None:
        message = f"execution {record.execution_id!r} is not sealed"
        raise LedgerError(message)
    total = record.started.get("number_of_steps")
    effects = len(record.side_effects_report.side_effects_observed)
    return {
        "execution_id": record.execution_id,
        "plan_id": record.plan_id,
        "status": record.status.value,
        "cause": record.cause.value,
        "live_mode": record.live_mode_state,
        "started": format_time(record.timestamp_start),
        "ended": format_time(record.timestamp_end),
        "steps_completed": sum(event.event_type is StepEventType.STEP_COMPLETED for event in record.step_events),
        "steps_total": total if type(total) is int else None,
        "entries": len(record.marks) + len(record.step_events) + effects,
        "effects": effects,
        "execution_hash": record.get_execution_hash(),
    }


def derived_texts(record: ExecutionRecord) -> list[dict[str, Any]]:
    """Return the rows of `execution_texts`: each text once per kind and step, folded for search, in their order."""
    rows = dict.fromkeys((kind, step_index, fold(text)) for kind, step_index, text in _texts(record) if text)
    return [{"kind": kind, "step_index": step_index, "text": text} for kind, step_index, text in rows]


def disclosed_value(text: object, execution_id: str) -> Any:  # noqa: ANN401 - a JSON tree
    """Return a value from the form in which `disclosures` keeps it."""
    try:
        return strict_loads(text if isinstance(text, str) else "")
    except RecordError as error:
        message = f"execution {execution_id!r}: a disclosed value in the ledger is damaged ({error})"
        raise LedgerError(message) from error


def _texts(record: ExecutionRecord) -> Iterator[tuple[str, int | None, str]]:
    for entry in record.entries:
        if entry.step_name:
            yield "step", entry.step_index, entry.step_name
        if entry.error_message:
            yield "error", entry.step_index, entry.error_message
        if isinstance(entry, SideEffect):
            yield "effect", entry.step_index, entry.description
    yield "reason", None, record.completion_reason


def _require_true(record: ExecutionRecord) -> None:
    try:
        verdict = record.verify()
    except RecordError as error:
        message = f"execution {record.execution_id!r} is not stored: {error}"
        raise LedgerError(message) from error
    if not verdict:
        message = (
            f"execution {record.execution_id!r} is not stored, for its record does not verify: {verdict.why}. "
            "Keep the journal and find out who changed it"
        )
        raise LedgerError(message)


def _disclosure_row(item: Disclosure) -> dict[str, Any]:
    return {
        "sequence": item.sequence,
        "pointer": item.pointer,
        "digest": item.digest,
        "salt": item.salt,
        "value": canonical_bytes(item.value).decode(),
    }
