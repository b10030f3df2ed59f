"""Reading a policy's plain data strictly: whatever is not understood refuses every run."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NoReturn

from hearth.errors import GateRefusedError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Section", "duration"]

_DURATION = re.compile(r"(\d{1,9})\s*(ms|s|m|h|d)", re.ASCII)
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


class Section:
    """A mapping of the policy, with the place where it stands; each `take…` returns one member of it, checked.

    `known` are all keys that it may have. Every error is a GateRefusedError that names the file and the place.
    """

    def __init__(self, value: object, where: str, known: set[str], source: str) -> None:
        self._where = where
        self._source = source
        if value is None:
            value = {}
        if not isinstance(value, dict):
            self.refuse("", "is not a mapping")
        for key in value:
            if key not in known:
                raise GateRefusedError(
                    f"{source}: unknown key {self._name(str(key))} (known here: {', '.join(sorted(known))}); "
                    "nothing is run until it is gone"
                )
        self._values: dict[str, object] = value

    def section(self, key: str, known: set[str]) -> Section:
        """Return the mapping under `key`; an empty one where there is none."""
        return Section(self._values.get(key), self._name(key), known, self._source)

    def mappings(self, key: str, known: set[str]) -> list[Section]:
        """Return the list of mappings under `key`."""
        found = self._values.get(key)
        if found is None:
            return []
        if not isinstance(found, list):
            self.refuse(key, "is not a list")
        return [Section(item, f"{self._name(key)}[{place}]", known, self._source) for place, item in enumerate(found)]

    def named(self, key: str, known: set[str]) -> dict[str, Section]:
        """Return the mappings under the free names of the mapping under `key`."""
        found = self._values.get(key)
        if found is None:
            return {}
        if not isinstance(found, dict) or not all(isinstance(name, str) and name.strip() for name in found):
            self.refuse(key, "is not a mapping of names")
        return {name: Section(item, f"{self._name(key)}.{name}", known, self._source) for name, item in found.items()}

    def has(self, key: str) -> bool:
        """Whether the key is there with a value."""
        return self._values.get(key) is not None

    def text(self, key: str, default: str | None = None) -> str | None:
        """Return the text under `key`, not empty."""
        found = self._values.get(key)
        if found is None:
            return default
        if not isinstance(found, str) or not found.strip():
            self.refuse(key, "is not a text")
        return found

    def texts(self, key: str, *, what: str = "texts") -> tuple[str, ...]:
        """Return the list of texts under `key`, none of them empty."""
        found = self._values.get(key)
        if found is None:
            return ()
        if not isinstance(found, list) or not all(isinstance(text, str) and text for text in found):
            self.refuse(key, f"is not a list of {what}")
        return tuple(found)

    def truth(self, key: str, *, default: bool) -> bool:
        """Return the truth value under `key`."""
        found = self._values.get(key)
        if found is None:
            return default
        if not isinstance(found, bool):
            self.refuse(key, "is neither true nor false")
        return found

    def number(self, key: str, default: int, *, least: int, most: int) -> int:
        """Return the whole number under `key`, within its bounds."""
        found = self._values.get(key)
        if found is None:
            return default
        if type(found) is not int or not least <= found <= most:
            self.refuse(key, f"is not a whole number from {least} to {most}")
        return found

    def seconds(self, key: str, default: float | None) -> float | None:
        """Return the duration under `key` (`90s`, `15m`, `24h`, `30d`) in seconds."""
        return self._read(key, default, duration, "is not a duration such as 90s, 15m, 24h or 30d")

    def one_of(self, key: str, known: tuple[str, ...], default: str) -> str:
        """Return the text under `key`, one of `known` in whatever case it is written."""
        wanted = (self.text(key, default) or "").strip().lower()
        found = next((name for name in known if name.lower() == wanted), None)
        if found is None:
            self.refuse(key, f"is none of {', '.join(known)}")
        return found

    def choices(self, key: str, known: dict[str, str]) -> tuple[str, ...] | None:
        """Return the names listed under `key`, each one of `known` (by its lower-case form); None without the key."""
        if not self.has(key):
            return None
        names = []
        for text in self.texts(key, what="names"):
            name = known.get(text.strip().lower().replace("-", "_"))
            if name is None:
                self.refuse(key, f"holds {text!r}; known are {', '.join(known.values())}")
            names.append(name)
        return tuple(names)

    def refuse(self, key: str, what: str) -> NoReturn:
        """Raise the GateRefusedError for a member of this section."""
        place = self._name(key) if key else self._where or "the policy"
        raise GateRefusedError(f"{self._source}: {place} {what}; nothing is run until it is")

    def _read(
        self, key: str, default: float | None, read: Callable[[object], float | None], otherwise: str
    ) -> float | None:
        found = self._values.get(key)
        if found is None:
            return default
        value = read(found)
        if value is None:
            self.refuse(key, otherwise)
        return value

    def _name(self, key: str) -> str:
        return f"{self._where}.{key}" if self._where else key


def duration(value: object) -> float | None:
    """Return the seconds of a duration such as `90s`, `15m`, `24h`, `30d`; None for anything else, and for zero."""
    match = _DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None or not int(match[1]):
        return None
    return int(match[1]) * _UNITS[match[2]]
