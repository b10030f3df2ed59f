"""Ends of steps that recovery knows from elsewhere: recorded in place of `its outcome is unknown`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hearth.record import Origin, Redactor, canonical_bytes, cut_text, format_time, hash_entry_bytes, text_of, utc_now

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hearth.recorder._reading import Scan

__all__ = ["KnownEnd", "end_steps"]


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownEnd:
    """How a step ended whose process died before it could record that. `error` is None where it completed.

    `effects` are mappings with `category`, `description`, `reversible` and `details`, all observed; `unseen` says why
    the step may have had others.
    """

    details: Mapping[str, Any]
    error: str | None = None
    effects: tuple[Mapping[str, Any], ...] = ()
    unseen: tuple[str, ...] = field(default=())


def end_steps(
    scan: Scan, known_end: Callable[[str, int], KnownEnd | None]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the entries that end the steps whose ends are known, and what is unknown of these (for the seal).

    The scan goes on with them: its chain has taken them in, and its entries have them.
    """
    added: list[dict[str, Any]] = []
    unseen: list[dict[str, Any]] = []
    redactor = Redactor()
    for index in sorted(scan.chain.progress.open):
        end = known_end(scan.entries[0]["execution_id"], index)
        if end is None:
            continue
        name = next(
            entry["step_name"]
            for entry in reversed(scan.entries)
            if entry["event_type"] == "step_started" and entry["step_index"] == index
        )
        for effect in end.effects:
            more = {
                "category": effect["category"],
                "description": cut_text(redactor.text(text_of(effect["description"]))),
                "reversible": effect["reversible"] is True,
                "origin": str(Origin.OBSERVED),
            }
            details = redactor.details(effect["details"], "/details")[0]
            added.append(_next(scan, "side_effect", index, name, details, **more))
        kind = "step_completed" if end.error is None else "step_failed"
        details = redactor.details({**end.details, "recovered": True}, "/details")[0]
        # How long it took, nobody measured.
        added.append(_next(scan, kind, index, name, details, error_message=end.error, elapsed_us=None))
        unseen += [{"step_index": index, "why": cut_text(redactor.text(text_of(reason)))} for reason in end.unseen]
    return added, unseen


def _next(scan: Scan, kind: str, index: int, name: str, details: Any, **more: Any) -> dict[str, Any]:  # noqa: ANN401
    entry: dict[str, Any] = {
        "execution_id": scan.entries[0]["execution_id"],
        "sequence": len(scan.entries),
        "previous_event_hash": scan.entries[-1]["event_hash"],
        "timestamp": format_time(utc_now()),
        "event_type": kind,
        "step_index": index,
        "step_name": name,
        "error_message": None,
        "details": details,
        **more,
    }
    entry["event_hash"] = hash_entry_bytes(canonical_bytes(entry))
    scan.chain.add(entry)
    scan.entries.append(entry)
    return entry
