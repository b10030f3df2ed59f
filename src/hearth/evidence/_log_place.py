"""Where a ledger's log lies, and what it is called: the folder `transparency/` of the ledger, and its settings."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

from hearth.errors import EvidenceError, EvidenceUsageError, RecordError
from hearth.evidence._log_files import LogFiles
from hearth.evidence._log_lock import locked
from hearth.evidence._note import NoteKey
from hearth.record import strict_loads

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

    from hearth.ledger import LedgerHome

__all__ = ["LogPlace", "LogSettings"]

_SCHEMA = "hearth.log-settings/1"
_MEMBERS = {"schema", "origin", "ledger_id", "keys", "key_file", "signed_file", "created"}


@dataclass(frozen=True, slots=True)
class LogPlace:
    """The paths of one ledger's log. Making this touches no file."""

    root: Path

    @classmethod
    def of(cls, home: LedgerHome) -> Self:
        """Return the place of a ledger's log, whether there is one or not."""
        return cls(home.root / "transparency")

    @property
    def log(self) -> Path:
        """The log itself, as it is published: checkpoint, tiles, bundles of entries, and the history of its keys."""
        return self.root / "log"

    @property
    def settings(self) -> Path:
        """The settings; where this file is, the ledger has a log."""
        return self.root / "settings.json"

    @property
    def index(self) -> Path:
        """The index of leaves, which is derived."""
        return self.root / "index.db"

    @property
    def key(self) -> Path:
        """Where the log's private key lies, unless the settings name another file."""
        return self.root / "key.pem"

    @property
    def signed(self) -> Path:
        """Where it stands how far the log was signed, unless the settings name another file."""
        return self.root / "signed.json"

    @property
    def exists(self) -> bool:
        """Whether the ledger has a log."""
        return self.settings.exists()

    def locked(self) -> AbstractContextManager[None]:
        """Keep others from adding to the log; EvidenceBusyError where one has been at it for a minute."""
        return locked(self.root)

    def publishing(self) -> AbstractContextManager[None]:
        """Keep others from publishing the log: a folder never goes back to an older state. EvidenceError as above."""
        return locked(self.root, ".publishing")


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSettings:
    """What a log is called, its keys from the first on, and where its private key and what it signed last are kept."""

    origin: str
    ledger_id: str
    keys: tuple[NoteKey, ...]
    key_file: Path
    signed_file: Path
    created: str

    @property
    def key(self) -> NoteKey:
        """The key that signs now."""
        return self.keys[-1]

    @classmethod
    def load(cls, place: LogPlace) -> Self:
        """Read them; EvidenceError where there is no log, or its settings cannot be read."""
        try:
            document = _document(place.settings)
            keys = tuple(NoteKey.parse(str(one)) for one in document["keys"])
            return cls(
                origin=str(document["origin"]),
                ledger_id=str(document["ledger_id"]),
                keys=keys,
                key_file=place.root / str(document["key_file"]),
                signed_file=place.root / str(document["signed_file"]),
                created=str(document["created"]),
            )
        except FileNotFoundError:
            raise EvidenceUsageError(
                "this ledger has no transparency log; `hearth log init` makes one, with a key of its own"
            ) from None
        except (OSError, RecordError, ValueError, LookupError, TypeError) as error:
            raise EvidenceError(f"{place.settings}, the log's settings, cannot be read: {error}") from None

    def save(self, place: LogPlace) -> None:
        """Write them, whole or not at all, durably. Files within the log's own folder are named from there."""
        document = {
            "schema": _SCHEMA,
            "origin": self.origin,
            "ledger_id": self.ledger_id,
            "keys": [str(key) for key in self.keys],
            "key_file": _named(self.key_file, place.root),
            "signed_file": _named(self.signed_file, place.root),
            "created": self.created,
        }
        LogFiles(place.root).write([(place.settings.name, json.dumps(document, indent=2).encode() + b"\n")])

    def with_key(self, key: NoteKey, key_file: Path) -> Self:
        """Return the settings with a key more, which signs from now on."""
        return replace(self, keys=(*self.keys, key), key_file=key_file)


def _document(path: Path) -> dict[str, Any]:
    document = strict_loads(path.read_bytes())
    if not isinstance(document, dict) or set(document) != _MEMBERS or document["schema"] != _SCHEMA:
        raise ValueError(f"it is not of the schema {_SCHEMA}")
    if not document["keys"] or any(not str(key).startswith(f"{document['origin']}+") for key in document["keys"]):
        raise ValueError("its keys are not those of its origin")
    return document


def _named(path: Path, root: Path) -> str:
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)
