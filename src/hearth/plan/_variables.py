"""Variables: `{{ name }}` in the texts of a plan, replaced once, before the digest is taken."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from hearth.plan._limits import MAX_BYTES
from hearth.plan._problems import did_you_mean, short
from hearth.plan._scalars import scalar_fault

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hearth.plan._problems import JsonPath, Problems

__all__ = ["Scalar", "render"]

Scalar = str | int | bool

_REFERENCE = re.compile(r'\{\{(?:[ \t]*(?:(?P<name>[A-Za-z_][A-Za-z0-9_]*)|(?P<brace>"\{\{"))[ \t]*\}\})?')
_NOT_RENDERED = frozenset(("plan", "variables"))  # an id is what lists show; variables do not refer to each other
_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]{0,15})")


def render(tree: dict[str, Any], overrides: Mapping[str, object] | None, problems: Problems) -> dict[str, Any]:
    """Return the plan with its variables fixed and every text below `plan` and `variables` rendered.

    An override takes the place of a variable that the plan declares, as its type: for an integer the digits, for a
    boolean `true` or `false`. What is inserted is not searched again. A text that is nothing but one reference becomes
    the variable's value with its type. Notes unknown variables, malformed references and overrides that do not fit.
    """
    declared = tree.get("variables")
    variables = dict(declared) if isinstance(declared, dict) else {}
    for name, value in variables.items():
        if isinstance(value, str) and "{{" in value:
            problems.add(("variables", name), "a variable cannot refer to another one; write its value out")
    _override(variables, overrides or {}, problems)
    renderer = _Renderer(variables, problems)
    rendered = {key: value if key in _NOT_RENDERED else renderer.value(value, (key,)) for key, value in tree.items()}
    if isinstance(declared, dict):
        rendered["variables"] = variables
    return rendered


def _override(variables: dict[str, Any], overrides: Mapping[str, object], problems: Problems) -> None:
    for name, value in overrides.items():
        if name not in variables:
            guess = did_you_mean(str(name), variables)
            hint = f'; did you mean "{guess}"?' if guess else "; the plan declares no such variable"
            problems.add(("variables",), f"a value was given for the unknown variable {short(str(name))}{hint}")
            continue
        converted = _as_type_of(variables[name], value)
        fault = scalar_fault(converted)
        if fault or (isinstance(converted, str) and len(converted) > MAX_BYTES):
            problems.add(("variables", name), f"the value given cannot be used: {fault or 'it is too long'}")
        elif converted is None:
            kind = "true or false" if isinstance(variables[name], bool) else _kind(variables[name])
            problems.add(("variables", name), f"the value given, {short(value)}, must be {kind} as in the plan")
        else:
            variables[name] = converted


def _kind(value: object) -> str:
    return "an integer" if isinstance(value, int) else "a text"


def _as_type_of(declared: object, value: object) -> Scalar | None:
    if isinstance(declared, bool):
        return value if isinstance(value, bool) else {"true": True, "false": False}.get(str(value))
    if isinstance(declared, int):
        if isinstance(value, bool) or not isinstance(value, str | int):
            return None
        text = str(value) if isinstance(value, str) or abs(value) < 10**16 else ""
        return int(text) if _INTEGER.fullmatch(text) else None
    return value if isinstance(value, str) else None


class _Renderer:
    def __init__(self, variables: Mapping[str, object], problems: Problems) -> None:
        self._variables = {name: value for name, value in variables.items() if isinstance(value, str | int)}
        self._problems = problems
        self._budget = MAX_BYTES

    def value(self, value: Any, path: JsonPath) -> Any:  # noqa: ANN401 - a JSON tree
        if isinstance(value, str):
            return self._text(value, path)
        if isinstance(value, dict):
            return {key: self.value(item, (*path, key)) for key, item in value.items()}
        if isinstance(value, list):
            return [self.value(item, (*path, index)) for index, item in enumerate(value)]
        return value

    def _text(self, text: str, path: JsonPath) -> Scalar:
        if "{{" not in text:
            return text
        whole = _REFERENCE.fullmatch(text)
        if whole and whole["name"] in self._variables:
            value = self._variables[whole["name"]]
            self._spend(len(value) if isinstance(value, str) else 0)
            return value
        parts: list[str] = []
        end = 0
        for match in _REFERENCE.finditer(text):
            replacement = self._replacement(match, path)
            if replacement is None:
                return text
            parts += [text[end : match.start()], replacement]
            self._spend(len(parts[-2]) + len(parts[-1]))
            end = match.end()
        return "".join([*parts, text[end:]])

    def _replacement(self, match: re.Match[str], path: JsonPath) -> str | None:
        """Return what takes the reference's place; None, with a problem noted, where it is malformed."""
        if match["brace"]:
            return "{{"
        name = match["name"]
        if name is None:
            self._problems.add(
                path, 'after {{ the name of a variable and }} must follow; for {{ itself write {{ "{{" }}'
            )
            return None
        if name in self._variables:
            value = self._variables[name]
            return {True: "true", False: "false"}[value] if isinstance(value, bool) else str(value)
        guess = did_you_mean(name, self._variables)
        hint = f'; did you mean "{guess}"?' if guess else "; declare it under variables"
        self._problems.add(path, f"the variable {short(name)} is not defined{hint}")
        return match[0]

    def _spend(self, characters: int) -> None:
        """Bound the rendered text: a large variable in many places grows by more than the file does."""
        self._budget -= characters
        if self._budget < 0:
            self._problems.fatal((), f"more than {MAX_BYTES} characters after the variables are replaced")
