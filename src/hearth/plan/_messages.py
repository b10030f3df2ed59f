"""One sentence for each way in which a value can differ from its schema."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from hearth.plan._problems import did_you_mean, short

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from jsonschema.exceptions import ValidationError

__all__ = ["describe", "unknown_keys"]

_KINDS = {
    "string": "a text",
    "integer": "an integer",
    "number": "a number",
    "boolean": "true or false",
    "object": "a mapping",
    "array": "a list",
    "null": "empty (null)",
}
_BOUNDS = {
    "minimum": "must be at least {}, is {}",
    "maximum": "must be at most {}, is {}",
    "exclusiveMinimum": "must be more than {}, is {}",
    "exclusiveMaximum": "must be less than {}, is {}",
    "multipleOf": "must be a multiple of {}, is {}",
}
_SIZES = {
    "minLength": ("at least", "characters"),
    "maxLength": ("at most", "characters"),
    "minItems": ("at least", "items"),
    "maxItems": ("at most", "items"),
    "minProperties": ("at least", "keys"),
    "maxProperties": ("at most", "keys"),
}
_YAML_1_1 = frozenset(("yes", "no", "on", "off", "y", "n"))
_NUMERIC = re.compile(r"-?[0-9]{1,15}(?:\.[0-9]{1,15})?")
_LONGEST = 300


def describe(error: ValidationError) -> str:
    """Return what is wrong and, where that can be known, what to write instead; never longer than a line or two."""
    expected: Any = error.validator_value
    value: Any = error.instance
    keyword = str(error.validator)
    if error.validator is None:  # the schema `false`
        return "is not allowed here, beside the other keys"
    if keyword in _BOUNDS:
        return _BOUNDS[keyword].format(short(expected), short(value))
    if keyword in _SIZES:
        bound, unit = _SIZES[keyword]
        return f"must have {bound} {expected} {unit if expected != 1 else unit[:-1]}, has {len(value)}"
    if keyword in _WORDING:
        return _WORDING[keyword](expected, value)
    if keyword == "pattern":
        form = error.schema.get("description") if isinstance(error.schema, dict) else None
        return f"{short(value)} is not valid here; expected: {form or f'the form {expected}'}"
    if keyword in ("anyOf", "oneOf"):
        return _choice(error)
    message = re.sub(r"\s+", " ", error.message[:_LONGEST])
    return message + ("…" if len(error.message) > _LONGEST else "")


def unknown_keys(error: ValidationError) -> tuple[list[str], list[str]]:
    """Return the keys that an `additionalProperties` error is about, and those known there in the schema's order."""
    schema = error.schema if isinstance(error.schema, dict) else {}
    known = list(schema.get("properties", {}))
    patterns = list(schema.get("patternProperties", {}))
    instance: Any = error.instance
    unknown = [key for key in instance if key not in known and not any(re.search(p, key) for p in patterns)]
    if error.validator == "unevaluatedProperties":  # what other subschemas have taken stands in the message alone
        unknown = [key for key in unknown if repr(key) in error.message]
    return unknown, known


def _type(expected: list[str], value: object) -> str:
    kinds = [_KINDS.get(kind, kind) for kind in expected]
    wanted = " or ".join(part for part in (", ".join(kinds[:-1]), kinds[-1]) if part)
    if "string" in expected and isinstance(value, bool | int | float):
        return f'must be {wanted}, is {short(value)}; write "{short(value)}" in quotes'
    if expected == ["boolean"] and isinstance(value, str) and value.lower() in _YAML_1_1:
        return f"must be true or false; {short(value)} is a text in YAML 1.2"
    if {"integer", "number"} & set(expected) and isinstance(value, str) and _NUMERIC.fullmatch(value):
        return f"must be {wanted}, is the text {short(value)}; write {value} without quotes"
    if "array" in expected and isinstance(value, str):
        return f"must be {wanted}, is {short(value)}; write it as [{short(value)}]"
    return f"must be {wanted}, is {'empty' if value is None else short(value)}"


def _enum(expected: Iterable[Any], value: object) -> str:
    words = list(expected)
    shown = ", ".join(short(word) for word in words[:20])
    wanted = f"one of {shown}" if len(words) > 1 else shown
    guess = did_you_mean(value, [word for word in words if isinstance(word, str)]) if isinstance(value, str) else None
    return f"must be {wanted}, is {short(value)}" + (f'; did you mean "{guess}"?' if guess else "")


def _choice(error: ValidationError) -> str:
    """Say which alternatives there are, or which of them exclude each other."""
    alternatives: Any = error.validator_value
    branches = [branch for branch in alternatives if isinstance(branch, dict)]
    keys = [key for branch in branches for key in branch.get("required", ())]
    if keys and isinstance(error.instance, dict):
        present = [key for key in keys if key in error.instance]
        if present and error.validator == "oneOf":
            return f"{_quoted(present)} exclude each other; keep one"
        return f"needs exactly one of: {', '.join(dict.fromkeys(keys))}"
    kinds = [kind for branch in branches for kind in _list(branch.get("type"))]
    if kinds and not error.context:
        return "fits several forms that exclude each other; give the keys of one"
    if kinds and _is_of_another_kind(error):
        return _type(list(dict.fromkeys(kinds)), error.instance)
    words = [word for branch in branches for word in branch.get("enum", [branch["const"]] if "const" in branch else [])]
    return _enum(words, error.instance) if words else f"{short(error.instance)} fits none of the forms allowed here"


def _is_of_another_kind(error: ValidationError) -> bool:
    return any(child.validator == "type" and not child.relative_path for child in error.context or ())


def _excluded(expected: object, value: object) -> str:
    """`not: {required: [...]}` is how a schema says that keys exclude each other."""
    keys = expected.get("required") if isinstance(expected, dict) else None
    if keys and isinstance(value, dict):
        several = len(keys) > 1
        return f"{_quoted(keys)} exclude each other; leave one out" if several else f'"{keys[0]}" is not allowed here'
    return f"{short(value)} is not allowed here"


def _together(expected: Mapping[str, list[str]], value: Mapping[str, object]) -> str:
    missing = [key for name, keys in expected.items() if name in value for key in keys if key not in value]
    return f"{_quoted(missing)} must be given as well"


def _list(kinds: object) -> list[str]:
    return [kinds] if isinstance(kinds, str) else list(kinds) if isinstance(kinds, list) else []


def _quoted(keys: Iterable[str]) -> str:
    names = [f'"{key}"' for key in keys]
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)


_WORDING: dict[str, Callable[[Any, Any], str]] = {
    "const": lambda expected, value: _enum([expected], value),
    "dependentRequired": _together,
    "enum": _enum,
    "not": _excluded,
    "type": lambda expected, value: _type([expected] if isinstance(expected, str) else list(expected), value),
    "uniqueItems": lambda _, __: "the same item stands here twice",
}
