"""Ed25519 keys (RFC 8032): private ones in PKCS #8 PEM files for their owner alone, public ones as one line."""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import secrets
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from cryptography.exceptions import InternalError, InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from hearth._directory import sync_directory
from hearth.errors import SigningError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["PublicKey", "SigningKey"]

_PREFIX = "ed25519:"
_RAW = 32
_LARGEST_FILE = 1 << 14
_LONGEST_PASSPHRASE = 1023  # what OpenSSL takes
_OTHERS = 0o077
# The points whose order divides 8, in each of their encodings, without the sign of x (RFC 8032, section 5.1.7, leaves
# them in; libsodium's crypto_sign refuses the same).
_LOW_ORDER = frozenset(
    bytes.fromhex(one)
    for one in (
        "00" * 32,
        "01" + "00" * 31,
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "ec" + "ff" * 30 + "7f",
        "ed" + "ff" * 30 + "7f",
        "ee" + "ff" * 30 + "7f",
    )
)


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A public key: 32 bytes; as text `ed25519:` and their base64 (RFC 4648, section 4)."""

    raw: bytes

    def __post_init__(self) -> None:
        if len(self.raw) != _RAW:
            raise SigningError(f"a public key has {_RAW} bytes, not {len(self.raw)}")
        if self.raw[:-1] + bytes([self.raw[-1] & 0x7F]) in _LOW_ORDER:
            raise SigningError("a public key of low order is refused: anybody could sign anything with it")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the text form; SigningError for anything else."""
        if not text.startswith(_PREFIX):
            raise SigningError(f"{text[:40]!r} is no public key; it begins with {_PREFIX} (`hearth keygen` prints it)")
        try:
            raw = base64.b64decode(text[len(_PREFIX) :], validate=True)
        except (binascii.Error, ValueError) as error:
            raise SigningError(f"{text[:80]!r} is no public key: {error}") from None
        key = cls(raw)
        if str(key) != text:
            raise SigningError(f"{text[:80]!r} is not written as base64 is (stray bits at its end)")
        return key

    @property
    def key_id(self) -> str:
        """The SHA-256 of the 32 bytes, hex: what an envelope names a key by. It is a hint, never proof."""
        return hashlib.sha256(self.raw).hexdigest()

    def verify(self, signature: bytes, data: bytes) -> bool:
        """Tell whether this key signed `data`."""
        try:
            Ed25519PublicKey.from_public_bytes(self.raw).verify(signature, data)
        except (InvalidSignature, ValueError):
            return False
        return True

    def __str__(self) -> str:
        return _PREFIX + base64.b64encode(self.raw).decode()


class SigningKey:
    """A private key in memory. `repr` and errors never show it."""

    __slots__ = ("_key", "public")

    public: PublicKey

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.public = PublicKey(
            key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        )

    @classmethod
    def generate(cls) -> Self:
        """Make a new key from the system's random source."""
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def load(cls, path: Path | str, passphrase: Callable[[], str] | None = None) -> Self:
        """Read a PKCS #8 PEM file; `passphrase` is asked only when the file is encrypted.

        SigningError for a file that others can read or that is not the present user's, that is no Ed25519 key, or
        whose passphrase is wrong or missing.
        """
        path = Path(path)
        data = _read_private(path)
        try:
            key = serialization.load_pem_private_key(data, password=None)
        except TypeError:  # encrypted
            if passphrase is None:
                raise SigningError(f"{path}: the key has a passphrase; give it") from None
            try:
                key = serialization.load_pem_private_key(data, password=passphrase().encode())
            except (ValueError, TypeError, InternalError):
                raise SigningError(f"{path}: the passphrase is not that of this key") from None
        except (ValueError, UnsupportedAlgorithm, InternalError):  # OpenSSL has errors that its own callers do not know
            raise SigningError(f"{path} is no private key in PEM form; make one with `hearth keygen`") from None
        if not isinstance(key, Ed25519PrivateKey):
            raise SigningError(f"{path} holds a key of another kind; only Ed25519 is used (`hearth keygen`)")
        return cls(key)

    def save(self, path: Path | str, passphrase: str | None = None) -> None:
        """Write a new PKCS #8 PEM file, 0600, durable, whole or not at all; one that exists is never overwritten."""
        path = Path(path)
        if passphrase is not None and not 0 < len(passphrase.encode()) <= _LONGEST_PASSPHRASE:
            raise SigningError(f"a passphrase has 1 to {_LONGEST_PASSPHRASE} bytes")
        encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
        if passphrase is not None:
            encryption = serialization.BestAvailableEncryption(passphrase.encode())
        data = self._key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
        try:
            _write_new(path, data)
        except FileExistsError:
            raise SigningError(
                f"{path} is there already; a key is never overwritten: `hearth keygen --trust` trusts that one in a "
                "ledger, `hearth keygen --out FILE` makes another"
            ) from None
        except OSError as error:
            raise SigningError(f"{path}: the key cannot be written: {error.strerror}") from error

    def sign(self, data: bytes) -> bytes:
        """Return the signature (64 bytes)."""
        return self._key.sign(data)

    def __repr__(self) -> str:
        return f"SigningKey({self.public})"

    def __reduce__(self) -> str:
        raise TypeError("a private key is not pickled")


def _write_new(path: Path, data: bytes) -> None:
    """Write it under another name first: half a key, as a crash leaves it, would be in the way of every later one."""
    draft = path.with_name(f".key.{secrets.token_hex(4)}.new")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0), 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(descriptor)
        try:
            os.link(draft, path, follow_symlinks=False)
        except FileExistsError:
            raise
        except (OSError, NotImplementedError):  # a file system without hard links: take the name, then fill it
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0), 0o600))
            draft.replace(path)
        sync_directory(path.parent)
    finally:
        draft.unlink(missing_ok=True)


def _read_private(path: Path) -> bytes:
    try:
        # Not to block on a named pipe.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except FileNotFoundError:
        raise SigningError(f"there is no key {path}; make one with `hearth keygen`") from None
    except OSError as error:
        raise SigningError(f"{path}: the key cannot be read: {error.strerror}") from error
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        raise SigningError(f"{path} is not a regular file")
    with os.fdopen(descriptor, "rb") as file:
        if os.name == "posix" and status.st_mode & _OTHERS:
            raise SigningError(f"{path}: others than its owner can use this key; chmod 600 it, and think of a new one")
        if os.name == "posix" and status.st_uid not in {os.geteuid(), 0}:
            raise SigningError(f"{path} belongs to another user (uid {status.st_uid}); a key is its owner's alone")
        data = file.read(_LARGEST_FILE + 1)
    if len(data) > _LARGEST_FILE:
        raise SigningError(f"{path} is larger than any key; it is none")
    return data
