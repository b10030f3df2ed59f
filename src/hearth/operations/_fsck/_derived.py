"""What follows from a record: the columns that lists show, the texts that searches read, the digests it refers to."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING, Any

from hearth.operations._fsck._canonical import is_digest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hearth.operations._fsck._chain import Chain

__all__ = ["columns", "entries_of", "kept_digests", "texts"]

_KEPT = frozenset({"stdout", "stderr", "body", "result_kept", "before", "manifest", "changeset"})


def columns(document: dict[str, Any], chain: Chain) -> dict[str, Any]:
    """Return the derived columns of `executions`."""
    assert chain.seal is not None  # noqa: S101 - a stored record is sealed
    return {
        "execution_id": document["execution_id"],
        "plan_id": document["plan_id"],
        "status": document["status"],
        "cause": chain.seal["details"]["cause"],
        "live_mode": document["live_mode_state"],
        "started": document["timestamp_start"],
        "ended": document["timestamp_end"],
        "steps_completed": chain.completed,
        "steps_total": chain.start["details"].get("number_of_steps"),
        "entries": chain.length,
        "effects": len(document["side_effects_report"]["side_effects_observed"]),
        "execution_hash": document["execution_hash"],
    }


def texts(document: dict[str, Any]) -> dict[tuple[str, int | None, str], None]:
    """Return the rows (kind, step, text) of `execution_texts`, each once, in the order of the chain."""
    found: dict[tuple[str, int | None, str], None] = {}
    for entry in entries_of(document):
        index = entry["step_index"]
        pairs = [("step", entry["step_name"]), ("error", entry["error_message"])]
        if entry["event_type"] == "side_effect":
            pairs.append(("effect", entry["description"]))
        for kind, text in pairs:
            if text:
                found[kind, index, _folded(text)] = None
    if document["completion_reason"]:
        found["reason", None, _folded(document["completion_reason"])] = None
    return found


def entries_of(document: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the chain's entries in order."""
    lists = (document["marks"], document["step_events"], document["side_effects_report"]["side_effects_observed"])
    return sorted((entry for entries in lists for entry in entries), key=lambda entry: int(entry["sequence"]))


def kept_digests(document: dict[str, Any]) -> set[str]:
    """Return the digests of what the steps kept for sure: outputs, and files as they were before."""
    return {digest for entry in entries_of(document) for digest in _kept(entry["details"], "")}


def _kept(value: Any, key: str) -> Iterator[str]:  # noqa: ANN401 - a JSON tree
    if isinstance(value, dict):
        digest = value.get("sha256")
        if key in _KEPT and is_digest(digest) and "withheld" not in value:
            yield str(digest)
        before, after = value.get("before"), value.get("after")
        # What did not change did not have to be kept.
        same = isinstance(before, dict) and isinstance(after, dict) and before.get("sha256") == after.get("sha256")
        for name, item in value.items():
            yield from _kept(item, "" if same else name)
    elif isinstance(value, list):
        for item in value:
            yield from _kept(item, "")


def _folded(text: str) -> str:
    return unicodedata.normalize("NFC", text).casefold()
