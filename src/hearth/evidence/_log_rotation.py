"""Changing the keys of a ledger's log: another one from the next size on, or one that counts no more.

A change is prepared beside the log, made by writing the settings, and then published: a crash before the settings
leaves nothing of it, one after them is finished by whoever opens the log next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hearth.errors import EvidenceError
from hearth.evidence._key_history import KeyHistory
from hearth.evidence._log_files import LogFiles

if TYPE_CHECKING:
    from pathlib import Path

    from hearth.evidence._ledger_log import LedgerLog
    from hearth.evidence._log_place import LogPlace, LogSettings
    from hearth.evidence._note import NoteKey
    from hearth.signing import SigningKey

__all__ = ["finish_change", "read_history", "revoke_key", "rotate_key"]

_NEXT = "keys.next"
_NAME = "keys"


def read_history(place: LogPlace, settings: LogSettings) -> KeyHistory:
    """Return the history of a log's keys; EvidenceError where it is not that of the settings."""
    try:
        data = (place.log / _NAME).read_bytes()
    except FileNotFoundError:
        history = KeyHistory(settings.keys[0])
    except OSError as error:
        raise EvidenceError(f"{place.log / _NAME} cannot be read: {error.strerror or error}") from None
    else:
        history = KeyHistory.parse(data, settings.keys[0])
    if history.keys != settings.keys:
        raise EvidenceError(
            f"{place.log / _NAME} tells of other keys than the log's settings: one of them was changed or set back; "
            "bring both back from a backup"
        )
    return history


def rotate_key(log: LedgerLog, new: SigningKey, key_file: Path) -> NoteKey:
    """Have another key sign from the next size on; the present one signs that it does. `new` lies in `key_file`."""
    log.update()
    with log.index():
        settings = log.settings
        history = read_history(log.place, settings).rotated(log.signing_key(), new, log.log.checkpoint().size + 1)
        _change(log.place, settings.with_key(history.current, key_file), history)
    log.update()
    return history.current


def revoke_key(log: LedgerLog, key: NoteKey, size: int) -> None:
    """Revoke a key from a size on, signed by the present one; that may be the key itself, which then signs no more."""
    log.update()
    with log.index():
        history = read_history(log.place, log.settings).revoked(key, size, log.signing_key())
        _change(log.place, log.settings, history)
    if history.valid_at(log.log.checkpoint().size + 1):
        log.update()


def finish_change(place: LogPlace, settings: LogSettings) -> None:
    """Publish a change of keys that was made and not published, or drop one that was only prepared."""
    prepared = place.root / _NEXT
    try:
        data = prepared.read_bytes()
    except FileNotFoundError:
        return
    try:
        made = KeyHistory.parse(data, settings.keys[0]).keys == settings.keys
    except EvidenceError:
        made = False
    if made:
        LogFiles(place.log).write([(_NAME, data)])
    prepared.unlink(missing_ok=True)


def _change(place: LogPlace, settings: LogSettings, history: KeyHistory) -> None:
    LogFiles(place.root).write([(_NEXT, history.to_bytes())])
    settings.save(place)
    finish_change(place, settings)
