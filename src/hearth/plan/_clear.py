"""Secrets that stand in a plan in clear: they work, but everybody who reads the file has them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from hearth.record import Redactor, find_secrets, secret_arguments

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from hearth.plan._problems import JsonPath

__all__ = ["secrets_in_clear", "values_in_clear"]

_REFERENCE = re.compile(r"\{[ \t]*secret[ \t]*:[^{}\n]*\}")
_NAMED_ONLY = re.compile(r"\s*|\$\{?\w+\}?|\*+")
_SHORTEST, _SURELY = 4, 8
_SEARCHED = ("description", "variables", "env", "steps")


def secrets_in_clear(document: Mapping[str, Any]) -> Iterator[JsonPath]:
    """Yield the place of each text that holds what looks like a secret, by its own looks or by the key above it."""
    redactor = Redactor()
    for key in _SEARCHED:
        if key in document:
            yield from _search(document[key], (key,), redactor)


def _search(value: Any, path: JsonPath, redactor: Redactor) -> Iterator[JsonPath]:  # noqa: ANN401 - a JSON tree
    if isinstance(value, dict):
        if set(value) == {"secret"}:
            return
        for key, item in value.items():
            yield from [(*path, key)] if _told_by(key, item, redactor) else _search(item, (*path, key), redactor)
    elif isinstance(value, list):
        texts = [_without_references(item) if isinstance(item, str) else "" for item in value]
        shown, _ = redactor.details({"list": texts})  # all of them: `--password` tells of the one behind it
        for index, item in enumerate(value):
            if shown["list"][index] != texts[index]:
                yield (*path, index)
            elif not isinstance(item, str):
                yield from _search(item, (*path, index), redactor)
    elif isinstance(value, str):
        text = _without_references(value)
        if redactor.text(text) != text:
            yield path


def values_in_clear(document: Mapping[str, Any]) -> Iterator[str]:
    """Yield the values that `secrets_in_clear` names the places of, as they may turn up in an output or an effect.

    Of a text that holds one the part behind the telling word; short and plain words are left out, for they would take
    out half of a text.
    """
    for key in _SEARCHED:
        if key in document:
            yield from filter(_worth_looking_for, _values(document[key]))


def _values(value: Any) -> Iterator[str]:  # noqa: ANN401 - a JSON tree
    redactor = Redactor()
    if isinstance(value, dict):
        for key, item in value.items() if set(value) != {"secret"} else ():
            if _told_by(key, item, redactor):
                yield str(item)
            else:
                yield from _values(item)
    elif isinstance(value, list):
        texts = [_without_references(item) if isinstance(item, str) else "" for item in value]
        hidden = secret_arguments(texts)
        for index, item in enumerate(value):
            yield from [texts[index]] if index in hidden else _values(item)
    elif isinstance(value, str):
        text = _without_references(value)
        yield from (text[start:end] for start, end in find_secrets(text))


def _worth_looking_for(value: str) -> bool:
    return len(value) >= _SHORTEST and (len(value) >= _SURELY or not value.isalpha())


def _told_by(key: str, value: object, redactor: Redactor) -> bool:
    if isinstance(value, bool) or not isinstance(value, str | int | float) or not redactor.telling(key):
        return False
    text = str(value)  # with a reference in it, what is beside that is judged by its looks
    return _REFERENCE.search(text) is None and _NAMED_ONLY.fullmatch(text) is None


def _without_references(text: str) -> str:
    return _REFERENCE.sub("***", text)
