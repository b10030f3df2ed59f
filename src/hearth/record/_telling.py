"""Key names that tell a secret: `db_password`, `X-Api-Key`, `githubToken` and their kin."""

from __future__ import annotations

import re
from functools import lru_cache

__all__ = ["is_surely_telling", "is_telling", "words_of"]

_WORD_BREAK = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|[^A-Za-z0-9]+")
_ANYWHERE = (
    "password", "passwd", "passphrase", "secret", "apikey", "privatekey", "accesskey", "authkey", "signingkey",
    "encryptionkey", "sshkey", "sharedkey", "accountkey", "masterkey", "credential", "authorization", "authtoken",
    "accesstoken", "refreshtoken", "idtoken", "sessiontoken", "csrftoken", "bearertoken", "connectionstring",
    "sessionid", "webhookurl", "amzsignature", "amzcredential", "passcode", "hmackey",
)  # fmt: skip
_AS_A_WORD = frozenset(
    (
        "pwd",
        "pass",
        "pw",
        "pin",
        "otp",
        "totp",
        "cvv",
        "cvc",
        "auth",
        "cookie",
        "cookies",
        "cred",
        "creds",
        "jwt",
        "dsn",
        "bearer",
        "sas",
    )
)
_SURE_WORDS = frozenset(("pwd", "cookie", "cookies", "bearer"))
_TOKEN = frozenset(("token", "tokens"))
_COUNTED = frozenset(
    ("max", "min", "count", "total", "num", "number", "limit", "prompt", "completion", "input", "output", "usage",
     "used", "per", "budget", "cached", "reasoning", "remaining", "length", "size", "rate")
)  # fmt: skip
_HARMLESS_END = frozenset(
    ("type", "method", "mode", "provider", "scheme", "url", "uri", "endpoint", "host", "enabled", "required",
     "expires", "expiry")
)  # fmt: skip
_OTHER_WORDS = frozenset(("secretary", "secretaries", "secretariat", "secretarial"))
_WORKING_DIRECTORY = frozenset(("PWD", "OLDPWD"))
_EITHER_END = 130
_DIGITS = "0123456789"


def is_telling(key: str) -> bool:
    """Whether a key of this name holds a secret. Of a very long one its two ends count."""
    return _is_telling(_bounded(key))


def is_surely_telling(key: str) -> bool:
    """Whether a word before a colon in prose is surely a secret's name (`auth: done` is not)."""
    key = _bounded(key)
    if not _is_telling(key):
        return False
    words = _words(key)
    return not words <= _AS_A_WORD or bool(words & _SURE_WORDS)


def words_of(key: str) -> list[str]:
    """Return the words of a key's name, in lower case and without digits around them."""
    return _split(_bounded(key))


def _bounded(key: str) -> str:
    return key if len(key) <= 2 * _EITHER_END else f"{key[:_EITHER_END]} {key[-_EITHER_END:]}"


def _words(key: str) -> set[str]:
    return set(_split(key))


def _split(key: str) -> list[str]:
    words = (word.strip(_DIGITS).lower() for word in _WORD_BREAK.split(key))
    return [word for word in words if word]


@lru_cache(maxsize=4096)
def _is_telling(key: str) -> bool:
    words = _split(key)
    if not words or key in _WORKING_DIRECTORY:
        return False
    words = [word for word in words if word not in _OTHER_WORDS]
    joined = "".join(words)
    if any(part in joined for part in _ANYWHERE):
        return True
    if not words or words[-1] in _HARMLESS_END:
        return False
    found = set(words)
    if found & _TOKEN or joined.endswith("token"):
        return not found & _COUNTED
    return bool(found & _AS_A_WORD) and not found & _COUNTED
