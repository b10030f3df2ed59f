"""From what a caller hands over to the canonical, redacted bytes of an entry's variable parts.

The usual event, flat details of texts and numbers without a secret, goes straight through orjson: its key names are
looked up as one tuple, its value types as one set, and its encoded bytes are searched for anything suspicious.
Whatever is not plainly harmless takes the slow, exact way. Both ways give the same bytes.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from hearth.record._canonical import OPTIONS, canonical_bytes, common_float
from hearth.record._plain import MAX_INTEGER, NAMING, printable, text_of
from hearth.record._secret import Secret
from hearth.record._strict_json import count_values
from hearth.record._suspicion import CLASSES, LONG_RUN, suspicious

if TYPE_CHECKING:
    from collections.abc import Callable

    from hearth.record._redact import Disclosure, Redactor

__all__ = ["TextEncoder", "cut_text", "make_details_encoder", "make_text_encoder"]

_SIMPLE = frozenset((str, int, bool, type(None)))
_CONTAINERS = frozenset((dict, list, tuple))
_CACHED = 1024
_PAIR = 2
_LONGEST_CACHED = 200
_DEEPEST = 16
_MOST_VALUES = 10_000
# With these, and what HEARTH itself says of a step, an entry stays within what readers take.
_LARGEST_DETAILS = 8 << 20
_MOST_VALUES_OF_DETAILS = 300_000
_LONGEST_TEXT = 1 << 16


def make_details_encoder(  # noqa: C901, PLR0915 - closures: look-ups of attributes would be paid for with every event
    redactor: Redactor,
) -> Callable[[Any], tuple[str, list[Disclosure] | None]]:
    """Return a function from `details` (anything) to the canonical JSON of an object, and what is kept beside.

    The function never raises for what it is given; it is safe to call from several threads.
    """
    plain_keys: dict[tuple[Any, ...], bool] = {}
    known = plain_keys.get
    dumps = orjson.dumps
    needles = redactor.needles
    simple = _SIMPLE.issuperset

    def learn(keys: tuple[Any, ...]) -> bool:
        plain = all(
            type(key) is str and key.isascii() and not key.startswith("$") and not redactor.telling(key) for key in keys
        ) and not ("value" in keys and NAMING.intersection(keys))  # `{"name": "DB_PASSWORD", "value": …}`
        if all(type(key) is str and len(key) <= _LONGEST_CACHED for key in keys):
            if len(plain_keys) >= _CACHED:
                plain_keys.clear()
            plain_keys[keys] = plain
        return plain

    def harmless(container: Any, depth: int, budget: list[int]) -> bool:  # noqa: ANN401 - a dict, list or tuple
        budget[0] -= len(container)
        if budget[0] < 0:
            return False  # lists that hold one another are a tree of billions; the slow way cuts it
        if type(container) is dict:
            keys = tuple(container)
            plain = known(keys)
            if not (learn(keys) if plain is None else plain):
                return False
            items = container.values()
        else:
            if len(container) == _PAIR and type(container[0]) is str and redactor.telling(container[0]):
                return False  # `("X-Api-Key", …)`
            items = container
        for item in items:
            kind = type(item)
            if kind in _SIMPLE:
                continue
            if kind is float:
                # From 2^53 on, where every float is integral, it is recorded as an explicit object.
                if not (common_float(item) and -MAX_INTEGER <= item <= MAX_INTEGER):
                    return False
            elif kind not in _CONTAINERS or depth == 0 or not harmless(item, depth - 1, budget):
                return False
        return True

    def slowly(details: Any) -> tuple[str, list[Disclosure] | None]:  # noqa: ANN401
        plain, kept = redactor.details(details)
        if not isinstance(plain, dict):
            plain, kept = redactor.details(details, "/details/value")
            plain = {"value": plain}
        raw = canonical_bytes(plain)
        if len(raw) > _MOST_VALUES_OF_DETAILS and _beyond(raw):
            return _left_out(raw), None
        return raw.decode(), kept or None

    def encode(details: Any) -> tuple[str, list[Disclosure] | None]:  # noqa: ANN401
        if type(details) is dict:
            try:
                if (known(keys := tuple(details)) and simple(map(type, details.values()))) or harmless(
                    details, _DEEPEST, [_MOST_VALUES]
                ):
                    raw = dumps(details, None, OPTIONS)
                    if len(raw) > _MOST_VALUES_OF_DETAILS and _beyond(raw):
                        return slowly(details)
                    text = raw.decode()
                    shape = raw.translate(CLASSES).decode("latin-1")
                    if needles:
                        harmful = redactor.suspicious(raw)
                    elif (
                        "!" in shape or "-" in shape or LONG_RUN in shape or "earer " in text
                        # As many colons as keys: none stands within a text, and there is no need to look behind what.
                        or (shape.count(":") != len(keys) and ("a:" in shape or " :" in shape))
                    ):  # fmt: skip
                        harmful = suspicious(raw, text, shape)
                    else:
                        return text, None
                    if not harmful:
                        return text, None
            except Exception:  # noqa: BLE001, S110 - the slow way says what it is
                # An integer or text that orjson refuses, a dict that another thread changes, a key that raises.
                pass
        elif details is None:
            return "{}", None
        return slowly(details)

    return encode


def _beyond(raw: bytes) -> bool:
    return len(raw) > _LARGEST_DETAILS or count_values(raw) > _MOST_VALUES_OF_DETAILS


def _left_out(raw: bytes) -> str:
    """Return what stands for details that are too large; their digest still says which they were, redacted."""
    said = (
        f"left out: {len(raw):,} bytes with up to {count_values(raw):,} values, more than the {_LARGEST_DETAILS:,} "
        f"bytes or {_MOST_VALUES_OF_DETAILS:,} values that an entry takes; SHA-256 {hashlib.sha256(raw).hexdigest()}"
    )
    return canonical_bytes({"$type": "dict", "$text": said}).decode()


def cut_text(redacted: str) -> str:
    """Return a redacted text as an entry takes it: one that is too long is cut, and says so."""
    if len(redacted) <= _LONGEST_TEXT:
        return redacted
    digest = hashlib.sha256(redacted.encode()).hexdigest()
    return f"{redacted[:_LONGEST_TEXT]}… (cut: {len(redacted):,} characters, SHA-256 {digest})"


class TextEncoder(NamedTuple):
    """How a text is written into an entry.

    `encode` goes from a text (or anything with a `str()`) to its redacted JSON form; None gives `null`. `known` gives
    what it remembers of a text, mostly a step's name; valid while the redactor's `needles` are empty.
    """

    encode: Callable[[Any], str]
    known: Callable[[str], str | None]


def make_text_encoder(redactor: Redactor, pointer: str) -> TextEncoder:
    """Return the encoder for the member of an entry at this JSON pointer; it is safe to use from several threads."""
    remembered: dict[str, str] = {}
    needles = redactor.needles
    dumps = orjson.dumps

    def encode(value: Any) -> str:  # noqa: ANN401
        if value is None:
            return "null"
        if isinstance(value, Secret):
            return dumps(redactor.hide(value, pointer)).decode()
        text = value if type(value) is str else text_of(value)
        known = remembered.get(text)
        if known is not None and not needles:
            return known
        recorded = cut_text(redactor.text(printable(text), pointer))
        raw = dumps(recorded).decode()
        if len(text) <= _LONGEST_CACHED and recorded == text and not needles:
            if len(remembered) >= _CACHED:
                remembered.clear()
            remembered[text] = raw
        return raw

    return TextEncoder(encode, remembered.get)
