"""Turning whatever a caller hands over into plain JSON, without losing that it was something else.

What JSON lacks becomes an explicit object, `{"$type": "decimal.Decimal", "$text": "1.10"}`; a caller's own key that
begins with `$` gets one more, so the two are never confused. Nothing here raises: evidence is not lost for want
of a type.
"""

from __future__ import annotations

import dataclasses
import math
from collections import deque
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from datetime import date, datetime, time
from enum import Enum
from typing import TYPE_CHECKING, Any, Protocol

from hearth.record._foreign import NO_ANSWER, answer, asked, class_name, exported, fields_of, name_of, settled_order
from hearth.record._secret import Secret

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["KeepAll", "Policy", "convert", "pointer_to", "printable", "text_of", "to_plain"]

MAX_DEPTH = 64
MAX_INTEGER = 2**53 - 1
_MAX_REPR = 1000
_MAX_VALUES = 250_000
NAMING = frozenset(("name", "key", "Name", "Key"))
"""The keys under which the name of what stands under `value` is written."""
_PAIR = 2


class Policy(Protocol):
    """What a conversion does with texts and with values that tell a secret."""

    def telling(self, key: str) -> bool:
        """Whether the value under this key is a secret."""

    def about(self, key: str, value: Any) -> bool:  # noqa: ANN401 - anything
        """Whether the value under a telling key only says something about the secret."""

    def text(self, text: str, pointer: str) -> str:
        """Return the text as it may be recorded at this JSON pointer (RFC 6901)."""

    def number(self, value: int, pointer: str) -> Any:  # noqa: ANN401 - a JSON tree
        """Return the number as it may be recorded at this JSON pointer."""

    def arguments(self, texts: list[str]) -> set[int]:
        """Return the positions of the texts that are secrets if the list is a command's arguments."""

    def commit(self, value: Any, pointer: str, key: str | None) -> dict[str, Any]:  # noqa: ANN401 - a JSON tree
        """Return the commitment that takes the place of a secret value (plain JSON, or a Secret)."""

    def reveal(self, secret: Secret) -> str:
        """Return the value of a Secret that goes into a commitment with what surrounds it."""


class KeepAll:
    """The policy of someone who redacts nothing; only a Secret stays hidden."""

    def telling(self, key: str) -> bool:  # noqa: ARG002 - fulfils Policy
        """Return False: no key tells a secret."""
        return False

    def about(self, key: str, value: Any) -> bool:  # noqa: ANN401, ARG002 - fulfils Policy
        """Return True: nothing is a secret."""
        return True

    def text(self, text: str, pointer: str) -> str:  # noqa: ARG002 - fulfils Policy
        """Return the text unchanged."""
        return text

    def number(self, value: int, pointer: str) -> Any:  # noqa: ANN401, ARG002 - fulfils Policy
        """Return the number unchanged."""
        return value

    def arguments(self, texts: list[str]) -> set[int]:  # noqa: ARG002 - fulfils Policy
        """Return no positions."""
        return set()

    def commit(self, value: Any, pointer: str, key: str | None) -> dict[str, Any]:  # noqa: ANN401, ARG002
        """Return a placeholder without any trace of the value."""
        return typed(Secret, "hidden")

    def reveal(self, secret: Secret) -> str:  # noqa: ARG002 - fulfils Policy
        """Return a placeholder."""
        return "hidden"


def to_plain(value: Any) -> Any:  # noqa: ANN401 - anything to JSON
    """Return a plain JSON tree for any value; nothing is redacted but `Secret`. Never raises."""
    return convert(value, "", KeepAll())


def pointer_to(base: str, part: str | int) -> str:
    """Return the JSON pointer (RFC 6901, section 3) of a member or item below `base`."""
    return f"{base}/{part}" if isinstance(part, int) else f"{base}/{part.replace('~', '~0').replace('/', '~1')}"


def typed(kind: type, text: str) -> dict[str, Any]:
    """Return the explicit object for a value of a type that JSON lacks."""
    # Not `kind.__module__`: a hostile metaclass could raise there.
    try:
        module = type.__getattribute__(kind, "__module__")
        name = type.__getattribute__(kind, "__qualname__")
    except Exception:  # noqa: BLE001 - a property of the metaclass stands in the way
        module, name = "builtins", "object"
    return {"$type": printable(str(name) if module == "builtins" else f"{module}.{name}"), "$text": text}


def printable(text: str) -> str:
    """Return the text with lone surrogates written as escapes, so that it has a UTF-8 form."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace").decode()
    return text


def convert(value: Any, pointer: str, policy: Policy) -> Any:  # noqa: ANN401 - anything to JSON
    """Return `value`, which stands at `pointer` within the entry, as plain JSON under a policy. Never raises."""
    return _Conversion(policy).convert(value, pointer, 0)


@dataclasses.dataclass(frozen=True, slots=True)
class _Named:
    """A value whose name stands beside it."""

    name: str
    value: Any


class _Conversion:
    """One walk through one value; it knows the containers that it is inside of."""

    __slots__ = ("_inside", "_policy", "_values")

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._inside: set[int] = set()
        self._values = 0

    def convert(self, value: Any, pointer: str, depth: int) -> Any:  # noqa: ANN401
        kind = type(value)
        if value is None or kind is bool:
            return value
        if kind is str:
            return self._string(value, pointer)
        if kind is int and -MAX_INTEGER <= value <= MAX_INTEGER:
            return self._policy.number(value, pointer)
        if depth > MAX_DEPTH:
            return typed(kind, f"nested deeper than {MAX_DEPTH} levels")
        # A few lists that hold one another twice are a tree of billions.
        self._values += 1
        if self._values > _MAX_VALUES:
            return typed(kind, f"left out: more than {_MAX_VALUES:,} values")
        try:
            return self._other(value, pointer, depth)
        except Exception as error:  # noqa: BLE001 - a hostile or broken object must not stop the recorder
            return typed(kind, f"could not be read: {name_of(error)}")

    def _string(self, text: str, pointer: str) -> Any:  # noqa: ANN401
        safe = printable(text)
        recorded = self._policy.text(safe, pointer if safe is text else pointer + "/$text")
        return recorded if safe is text else typed(str, recorded)

    def _other(self, value: Any, pointer: str, depth: int) -> Any:  # noqa: ANN401
        if issubclass(type(value), Secret):
            return self._policy.commit(value, pointer, None)
        return asked(self._way_of, value)(value, pointer, depth)

    def _way_of(self, value: Any) -> Callable[[Any, str, int], Any]:  # noqa: ANN401 - one case a type
        """Return what converts a value of this type; it may ask the value, so it is called through `asked`."""
        if isinstance(value, Enum):
            return self._enum
        if isinstance(value, str):
            return self._text
        if isinstance(value, int):
            return self._integer
        if isinstance(value, float):
            return self._float
        if isinstance(value, Mapping):
            return self._mapping
        if isinstance(value, list | tuple | deque):
            return self._items
        if isinstance(value, AbstractSet):
            return self._set
        if isinstance(value, bytes | bytearray | memoryview):
            return self._bytes
        if isinstance(value, datetime | date | time):
            return self._moment
        return self._unknown if isinstance(value, type) else self._object

    def _enum(self, value: Any, pointer: str, depth: int) -> Any:  # noqa: ANN401, ARG002 - as every way
        return self._typed(type(value), asked(lambda: str(value.name)), pointer)

    def _text(self, value: Any, pointer: str, depth: int) -> Any:  # noqa: ANN401, ARG002 - as every way
        return self._string(str.__str__(value), pointer)

    def _float(self, value: Any, pointer: str, depth: int) -> Any:  # noqa: ANN401, ARG002 - as every way
        return _float(asked(float, value))

    def _bytes(self, value: Any, pointer: str, depth: int) -> Any:  # noqa: ANN401, ARG002 - as every way
        return self._typed(type(value), repr(asked(bytes, value))[2:-1], pointer)

    def _moment(self, value: Any, pointer: str, depth: int) -> Any:  # noqa: ANN401, ARG002 - as every way
        return self._typed(type(value), asked(value.isoformat), pointer)

    def _object(self, value: Any, pointer: str, depth: int) -> Any:  # noqa: ANN401
        """Return an object by its `to_dict()`, else its fields, else its repr: the first that it really gives."""
        told = answer(exported, value)
        if told is not NO_ANSWER:
            return self._guarded(value, lambda: self.convert(told, pointer, depth + 1))
        fields = answer(fields_of, value)
        if fields is not NO_ANSWER:
            return self._guarded(value, lambda: self._members(fields, pointer, depth))
        return self._unknown(value, pointer, depth)

    def _integer(self, value: Any, pointer: str, depth: int) -> Any:  # noqa: ANN401, ARG002 - as every way
        number = asked(int, value)
        if -MAX_INTEGER <= number <= MAX_INTEGER:
            return self._policy.number(number, pointer)
        return self._typed(int, _integer_text(number), pointer)

    def _typed(self, kind: type, text: str, pointer: str) -> dict[str, Any]:
        return typed(kind, self._policy.text(printable(text), pointer + "/$text"))

    def _guarded(self, value: Any, walk: Callable[[], Any]) -> Any:  # noqa: ANN401
        identity = id(value)
        if identity in self._inside:
            return typed(type(value), "contains itself")
        self._inside.add(identity)
        try:
            return walk()
        finally:
            self._inside.discard(identity)

    def _unknown(self, value: Any, pointer: str, depth: int) -> Any:  # noqa: ANN401, ARG002 - as every way
        # Redacted before it is cut: a cut secret would no longer be recognised.
        recorded = self._typed(type(value), asked(_text_of, value), pointer)
        text = recorded["$text"]
        if len(text) > _MAX_REPR:
            recorded["$text"] = text[:_MAX_REPR] + "…"
        return recorded

    def _items(self, value: Any, pointer: str, depth: int) -> Any:  # noqa: ANN401
        items = asked(list, value)
        names = asked(getattr, value, "_fields", None) if isinstance(value, tuple) else None
        return self._guarded(value, lambda: self._listed(items, names, pointer, depth))

    def _set(self, value: Any, pointer: str, depth: int) -> Any:  # noqa: ANN401
        items = sorted(asked(list, value), key=settled_order)
        return self._guarded(value, lambda: self._listed(items, None, pointer, depth))

    def _listed(self, items: list[Any], names: object, pointer: str, depth: int) -> list[Any]:
        if isinstance(names, tuple) and len(names) == len(items):
            # A named tuple is a list like any other, but its names may tell what is a secret.
            places = [pointer_to(pointer, position) for position in range(len(items))]
            return [
                self._member(asked(str, n), item, at, depth) for n, item, at in zip(names, items, places, strict=True)
            ]
        if len(items) > 1 and all(type(item) is str for item in items):
            return self._texts([printable(item) for item in items], pointer)
        if len(items) == _PAIR and type(items[0]) is str:
            # `("X-Api-Key", …)`: headers and parameters are often lists of pairs.
            name, item = items
            second = pointer_to(pointer, 1)
            return [self._string(name, pointer_to(pointer, 0)), self._member(name, item, second, depth)]
        return [self.convert(item, pointer_to(pointer, position), depth + 1) for position, item in enumerate(items)]

    def _texts(self, texts: list[str], pointer: str) -> list[Any]:
        """Return a list of texts, which may be a command's arguments: what one tells may stand in the next."""
        hidden = self._policy.arguments(texts)
        plain: list[Any] = []
        for position, text in enumerate(texts):
            at = pointer_to(pointer, position)
            plain.append(self._policy.commit(text, at, None) if position in hidden else self._string(text, at))
        return plain

    def _mapping(self, value: Any, pointer: str, depth: int) -> Any:  # noqa: ANN401
        members = asked(lambda: [(key, item) for key, item in value.items()])
        return self._guarded(value, lambda: self._members(members, pointer, depth))

    def _members(self, members: list[tuple[Any, Any]], pointer: str, depth: int) -> dict[str, Any]:
        told = self._told_beside(members)
        if told is not None:
            # `{"name": "DB_PASSWORD", "value": …}`: as a member of that name.
            members = [(key, _Named(told, item) if key == "value" else item) for key, item in members]
        if _are_names([key for key, _ in members]):
            return {
                (name := self._key(key, pointer)): self._member(key, item, pointer_to(pointer, name), depth)
                for key, item in members
            }
        pairs = []
        for position, (key, item) in enumerate(members):
            at = f"{pointer}/$items/{position}"
            # An object, a list and a pair: three levels of JSON for one of the caller's.
            plain_key = self.convert(key, f"{at}/0", depth + 3)
            name = plain_key.get("$text", "") if isinstance(plain_key, dict) else str(plain_key)
            pairs.append([plain_key, self._member(str(name), item, f"{at}/1", depth + 2)])
        return {"$type": "dict", "$items": pairs}

    def _key(self, key: str, pointer: str) -> str:
        name = self._policy.text(str.__str__(key), pointer)
        return f"${name}" if name.startswith("$") else name

    def _told_beside(self, members: list[tuple[Any, Any]]) -> str | None:
        """Return the telling name that stands beside a value, as environments are written in many formats."""
        if not any(type(key) is str and key == "value" for key, _ in members):
            return None
        return next(
            (
                item
                for key, item in members
                if type(key) is str and key in NAMING and type(item) is str and self._policy.telling(item)
            ),
            None,
        )

    def _member(self, key: str, value: Any, pointer: str, depth: int) -> Any:  # noqa: ANN401
        if type(value) is _Named:
            return self._member(value.name, value.value, pointer, depth)
        if value is None or type(value) is bool or not self._policy.telling(key) or self._policy.about(key, value):
            return self.convert(value, pointer, depth + 1)
        if type(value) is Secret:
            return self._policy.commit(value, pointer, key)
        revealed = _Conversion(_Reveal(self._policy)).convert(value, "", depth + 1)
        return self._policy.commit(revealed, pointer, key)


class _Reveal(KeepAll):
    """Below a telling key everything goes into one commitment, so a Secret in there counts by its value."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy

    def commit(self, value: Any, pointer: str, key: str | None) -> Any:  # noqa: ANN401, ARG002
        return self._policy.reveal(value) if isinstance(value, Secret) else value


def _are_names(keys: list[Any]) -> bool:
    """Whether these can be the names of a JSON object: texts, and none of them twice."""
    # By type, as an object may lie about its class. `items()` of headers and forms may well repeat a name.
    names = [str.__str__(key) for key in keys if issubclass(type(key), str) and not issubclass(type(key), Enum)]
    return len(names) == len(keys) == len(set(names)) and all(printable(name) is name for name in names)


def _integer_text(number: int) -> str:
    # Decimal conversion of huge integers is quadratic and limited (PEP 674's sibling, CVE-2020-10735): use hex there.
    return str(number) if number.bit_length() <= 10_000 else hex(number)  # noqa: PLR2004 - below the 4300 digits


def _float(number: float) -> Any:  # noqa: ANN401
    if math.isfinite(number) and not (number.is_integer() and abs(number) > MAX_INTEGER):
        return number
    return typed(float, repr(number))


def text_of(value: object) -> str:
    """Return the text of anything that is used as one; never raises."""
    try:
        return printable(str.__str__(value) if issubclass(type(value), str) else asked(str, value))
    except Exception as error:  # noqa: BLE001 - evidence is not lost for want of a text
        return f"<{class_name(type(value))} without a text: {name_of(error)}>"


def _text_of(value: object) -> str:
    """Return what names a value best: its text for values, its repr for everything unknown."""
    module = type(value).__module__.partition(".")[0]
    if module in {"decimal", "fractions", "uuid", "pathlib", "ipaddress", "datetime"}:
        return str(value)
    return repr(value)
