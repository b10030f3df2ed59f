"""Where a person's signing key lies, and how a ledger's policy comes to trust one."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hearth.errors import SigningError
from hearth.execution import load_policy
from hearth.signing import SigningKey

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hearth.ledger import LedgerHome
    from hearth.security import Policy

__all__ = [
    "KEY_VARIABLE",
    "PASSPHRASE_VARIABLE",
    "TrustedAs",
    "default_key",
    "keygen",
    "load_key",
    "trust_key",
    "untrusted_key",
]

KEY_VARIABLE = "HEARTH_KEY"
PASSPHRASE_VARIABLE = "HEARTH_KEY_PASSPHRASE"  # noqa: S105 - the name of a variable
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}", re.ASCII)


@dataclass(frozen=True, slots=True)
class TrustedAs:
    """A key that is there: its file, its public half, and the name that a policy knows it by (None: it does not)."""

    path: Path
    key: SigningKey
    name: str | None
    roles: tuple[str, ...]


def default_key() -> Path:
    """Return the key file that is used when none is named: `HEARTH_KEY`, else the user's `hearth/key.pem`."""
    named = os.environ.get(KEY_VARIABLE, "")
    if named:
        return Path(named)
    settings = os.environ.get("XDG_CONFIG_HOME", "")
    return (Path(settings) if settings else Path.home() / ".config") / "hearth" / "key.pem"


def keygen(path: Path, passphrase: str | None = None) -> SigningKey:
    """Make a key and write it (0600, in a folder that is made 0700); an existing one is never overwritten."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise SigningError(f"{path.parent}: the folder for the key cannot be made: {error.strerror}") from error
    key = SigningKey.generate()
    key.save(path, passphrase)
    return key


def load_key(
    home: LedgerHome | None, path: Path | str | None = None, *, passphrase: Callable[[], str] | None = None
) -> TrustedAs:
    """Read a key (the default one where none is named) and find out what the ledger's policy knows of it.

    A passphrase comes from `HEARTH_KEY_PASSPHRASE` where that is set, else from `passphrase`. SigningError.
    """
    place = default_key() if path is None else Path(path)
    spoken = os.environ.get(PASSPHRASE_VARIABLE)
    key = SigningKey.load(place, passphrase if spoken is None else lambda: spoken)
    name, roles = (None, ()) if home is None else known_as(load_policy(home.policy), key)
    return TrustedAs(place, key, name, roles)


def untrusted_key(home: LedgerHome, path: Path | str | None = None) -> TrustedAs | None:
    """Return the key that would sign (`path`, else the default one) where a ledger's policy does not know it.

    None where it is known, and where nothing can be said of it: there is none, it cannot be read, or only with a
    passphrase that would have to be asked for. GateRefusedError for a policy that cannot be read.
    """
    place = default_key() if path is None else Path(path)
    try:
        found = load_key(home, place) if place.exists() else None
    except (SigningError, OSError):
        return None
    return found if found is not None and found.name is None else None


def known_as(policy: Policy, key: SigningKey) -> tuple[str | None, tuple[str, ...]]:
    """Return the name and the roles that a policy gives to a key."""
    for name, trusted in policy.approvals.keys.items():
        if trusted.key == str(key.public):
            return name, trusted.roles
    return None, ()


def trust_key(home: LedgerHome, name: str, key: SigningKey, roles: Sequence[str]) -> str:
    """Write a key into the policy of a ledger that trusts nobody yet, and return the lines that were added.

    With one key only, its own approval has to count, so the quorum is 1 and `self_approval` is true. A policy that
    has a section `approvals` already is changed by hand: SigningError says with what. GateRefusedError for a policy
    that cannot be read.
    """
    if not _NAME.fullmatch(name):
        raise SigningError(f"{name!r} is no name for a key; use letters, digits and . _ @ + - (at most 64)")
    entry = f'    {name}: {{key: "{key.public}", roles: [{", ".join(roles)}]}}\n'
    policy = load_policy(home.policy)  # also: an unreadable policy is not written to
    if policy.approvals.keys or _has_section(home.policy):
        raise SigningError(
            f"{home.policy} has a section `approvals` already; to trust this key too, add under its `keys:`\n{entry}"
        )
    lines = (
        f"approvals:\n  quorum: 1\n  self_approval: true   # one person: their own approval counts\n  keys:\n{entry}"
    )
    try:
        before = home.policy.read_text(encoding="utf-8") if home.policy.exists() else ""
        draft = home.policy.with_name(".policy.yaml.new")
        draft.unlink(missing_ok=True)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(before + ("" if not before or before.endswith("\n") else "\n") + lines)
            file.flush()
            os.fsync(descriptor)
        load_policy(draft)  # what nobody could read is not put in place
        draft.replace(home.policy)
    except OSError as error:
        raise SigningError(f"{home.policy}: the policy cannot be written: {error.strerror}") from error
    return lines


def _has_section(policy: Path) -> bool:
    try:
        return any(line.startswith("approvals:") for line in policy.read_text(encoding="utf-8").splitlines())
    except FileNotFoundError:
        return False
    except (OSError, UnicodeDecodeError) as error:
        raise SigningError(f"{policy}: the policy cannot be read: {error}") from error
