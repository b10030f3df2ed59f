"""The private key of a ledger's log, as a run that nobody attends gets at it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from hearth.errors import SigningError

if TYPE_CHECKING:
    from pathlib import Path

    from hearth.signing import SigningKey

__all__ = ["LOG_PASSPHRASE_VARIABLE", "load_log_key"]

LOG_PASSPHRASE_VARIABLE = "HEARTH_LOG_PASSPHRASE"  # noqa: S105 - the name of a variable


def load_log_key(path: Path) -> SigningKey:
    """Read a log's private key; a passphrase comes from `HEARTH_LOG_PASSPHRASE`. SigningError."""
    from hearth.signing import SigningKey

    def passphrase() -> str:
        if LOG_PASSPHRASE_VARIABLE not in os.environ:
            raise SigningError(f"{path}: the log's key has a passphrase; set {LOG_PASSPHRASE_VARIABLE}")
        return os.environ[LOG_PASSPHRASE_VARIABLE]

    if not path.exists():
        raise SigningError(
            f"the log's private key is not there ({path}): bring your copy of it back. A backup has no keys, and "
            "another key cannot go on with this log (`hearth log status` names the one that signs)"
        )
    return SigningKey.load(path, passphrase)
