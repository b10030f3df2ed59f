"""What a record names by digest and the ledger's folder keeps beside it: is it there, and is it still the same?"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hearth.errors import LedgerError
from hearth.execution import ContentStore
from hearth.operations._plans import PlanArchive
from hearth.record import strict_loads

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from hearth.ledger import LedgerHome
    from hearth.record import ExecutionRecord

__all__ = ["check_kept", "contents_in_manifests", "has_digest", "named_contents"]

_DIGEST = re.compile(r"[0-9a-f]{64}")
_CHUNK = 1 << 20
_KEPT = frozenset({"stdout", "stderr", "body", "result_kept", "before"})
"""Under these keys of the details stands what a task has kept; elsewhere a digest may be of what was not."""


def check_kept(home: LedgerHome, record: ExecutionRecord) -> tuple[str, tuple[str, ...]]:
    """Return what was changed since it was kept ("" for nothing), and notes on what is missing.

    Looked at are the outputs and pre-images in the record's details and the kept copy of the plan.
    """
    notes = []
    try:
        PlanArchive(home).of(record)
    except LedgerError as error:
        if "is missing" not in str(error):
            return str(error), ()
        notes.append(str(error))
    store = ContentStore(home.outputs)
    missing = 0
    wanted: dict[str, bool] = {}
    for entry in record.entries:
        for digest, kept in _digests(entry.details, None):
            wanted[digest] = wanted.get(digest, False) or kept
    for digest, kept in wanted.items():
        path = store.path(digest)
        try:
            if not has_digest(path, digest):
                return f"{path}: what was kept is not what the record says: it was changed, or the disk is bad", ()
        except FileNotFoundError:
            missing += kept
        except OSError as error:
            return f"{path}: what was kept cannot be read: {error.strerror}", ()
    if missing:
        what = "one output or earlier content" if missing == 1 else f"{missing} outputs or earlier contents"
        notes.append(f"{what} that the record names cannot be found in {home.outputs}")
    return "", tuple(notes)


def named_contents(record: ExecutionRecord) -> tuple[str, ...]:
    """Return the SHA-256 of every content that a record names, each once, in the record's order."""
    return tuple(dict.fromkeys(digest for entry in record.entries for digest, _ in _digests(entry.details, None)))


def contents_in_manifests(home: LedgerHome, record: ExecutionRecord) -> tuple[str, ...]:
    """Return the SHA-256 of every earlier content that is kept and that only the steps' manifests name.

    Of many paths the record has a summary. LedgerError where a manifest is not what its digest says, or is gone.
    """
    store = ContentStore(home.outputs)
    found: dict[str, None] = {}
    for event in record.step_events:
        manifest = event.details.get("manifest")
        if not isinstance(manifest, Mapping) or not isinstance(manifest.get("sha256"), str):
            continue
        document = strict_loads(store.read(manifest["sha256"]))
        for digest, _ in _digests(document, None):
            if store.has(digest):
                found[digest] = None
    return tuple(found)


def has_digest(path: Path, digest: str) -> bool:
    """Whether a file's content has this SHA-256 (hex); OSError when it cannot be read. Bounded memory."""
    found = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            found.update(chunk)
    return found.hexdigest() == digest


def _digests(value: Any, key: str | None) -> Iterator[tuple[str, bool]]:  # noqa: ANN401 - a JSON tree
    """Yield each SHA-256 in details, and whether what has it is kept for sure."""
    if isinstance(value, dict):
        digest = value.get("sha256")
        if isinstance(digest, str) and _DIGEST.fullmatch(digest):
            yield digest, key in _KEPT and "withheld" not in value
        same = _same_content(value.get("before"), value.get("after"))  # nothing had to be kept
        for name, item in value.items():
            yield from _digests(item, None if same else name)
    elif isinstance(value, list):
        for item in value:
            yield from _digests(item, None)


def _same_content(before: object, after: object) -> bool:
    return isinstance(before, dict) and isinstance(after, dict) and before.get("sha256") == after.get("sha256")
