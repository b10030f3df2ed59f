"""Strict validation against the plan's schema, with messages that a person can act on.

jsonschema finds what is wrong; its messages repeat whole values and schemas, so they are written anew here.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

from jsonschema import Draft202012Validator
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from hearth.plan._limits import MAX_PROBLEMS
from hearth.plan._messages import describe, unknown_keys
from hearth.plan._problems import did_you_mean
from hearth.plan._schema import plan_schema
from hearth.plan._secrets import Secrets

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from jsonschema.exceptions import ValidationError

    from hearth.plan._ports import TaskSpec
    from hearth.plan._problems import JsonPath, Problems

__all__ = ["validate"]

_LOOKS = ("pattern", "format", "minLength", "maxLength")
_CHOICES = ("anyOf", "oneOf")
_MAX_ERRORS = 4 * MAX_PROBLEMS


def validate(instance: object, tasks: Mapping[str, TaskSpec], problems: Problems) -> None:
    """Note every difference of `instance` from the schema; what is known to be wrong already is not repeated.

    Raises PlanError when a task's schema cannot be used.
    """
    try:
        errors = list(islice(_validator(tasks).iter_errors(instance), _MAX_ERRORS))
    except Exception as error:  # noqa: BLE001 - a third-party schema may fail in any way (re.error, Unresolvable …)
        what = f"the schema of a task cannot be used: {_broken(tasks)}{type(error).__name__}: {error}"
        problems.fatal((), what[:500])
    _Report(problems, instance).add(errors)
    if len(errors) == _MAX_ERRORS:
        raise problems.error()  # the rest is not known, so nothing can be built on it


def _validator(tasks: Mapping[str, TaskSpec]) -> Draft202012Validator:
    """Return a validator that finds the tasks' schemas without searching the whole schema for them each time."""
    schema = plan_schema(tasks)
    resources = [DRAFT202012.create_resource(part) for part in schema["$defs"].values() if "$id" in part]
    registry: Registry[Any] = Registry().with_resources([(resource.id() or "", resource) for resource in resources])
    return Draft202012Validator(schema, registry=registry)


def _broken(tasks: Mapping[str, TaskSpec]) -> str:
    """Return the name of the first task whose schema is not a schema, for the message."""
    from jsonschema import SchemaError

    for name, task in tasks.items():
        try:
            Draft202012Validator.check_schema(dict(task.schema))
        except SchemaError:
            return f"{name}: "
    return ""


class _Report:
    def __init__(self, problems: Problems, instance: object) -> None:
        self._problems = problems
        self._instance = instance
        self._known = problems.places()  # what the loader has found there explains what the schema finds
        self._typos: dict[JsonPath, set[str]] = {}  # per mapping: what its unknown keys were probably to be
        self._guesses = 0

    def add(self, errors: Iterable[ValidationError]) -> None:
        """Report unknown keys first: a misspelt key explains why another one is missing."""
        flat = [leaf for error in errors for leaf in _leaves(error) if not _is_about_a_secret(leaf)]
        for error in flat:
            if error.validator in ("additionalProperties", "unevaluatedProperties"):
                self._unknown(error)
        for error in flat:
            if error.validator not in ("additionalProperties", "unevaluatedProperties"):
                self._other(error)

    def _unknown(self, error: ValidationError) -> None:
        path = tuple(error.absolute_path)
        unknown, known = unknown_keys(error)
        for key in unknown:
            place = (*path, key)
            self._guesses += 1
            guess = did_you_mean(key, known) if self._guesses <= MAX_PROBLEMS else None
            self._typos.setdefault(path, set()).add(guess or "")
            if guess:
                self._problems.add(place, f'unknown key; did you mean "{guess}"?')
            else:
                known_here = f"; known here: {', '.join(known)}" if known else ""
                self._problems.add(place, f"unknown key{known_here}")

    def _other(self, error: ValidationError) -> None:
        path = tuple(error.absolute_path)
        typos = self._typos.get(path, set())
        if _is_choice_of_keys(error) and (typos or not isinstance(error.instance, dict)):
            return  # the choice is made, but misspelt or unknown; or this is no mapping, which is said already
        if error.validator == "required":
            required: Any = error.validator_value
            for name in required:
                if name not in typos and isinstance(error.instance, dict) and name not in error.instance:
                    self._problems.add(path, f'the key "{name}" is missing')
            return
        if isinstance(error.instance, str) and "propertyNames" in error.absolute_schema_path:
            path = (*path, error.instance)
        if error.validator is None:
            path = self._forbidden(path, error.instance)
        if path not in self._known or _is_choice_of_keys(error):
            self._problems.add(path, describe(error))

    def _forbidden(self, path: JsonPath, value: object) -> JsonPath:
        """Return where a value stands that the schema `false` forbids: jsonschema tells only what holds it."""
        holder: Any = self._instance
        for segment in path:
            holder = holder[segment]
        items = holder.items() if isinstance(holder, dict) else ()
        return next(((*path, key) for key, item in items if item is value), path)


def _is_about_a_secret(error: ValidationError) -> bool:
    """Whether a text was judged that will be another one: what it looks like is known when the step runs."""
    value = error.instance
    return error.validator in _LOOKS and isinstance(value, str) and bool(Secrets.references(value))


def _is_choice_of_keys(error: ValidationError) -> bool:
    """Whether the alternatives are only which key is there (`oneOf` of `required`)."""
    branches: Any = error.validator_value
    return error.validator in _CHOICES and all(
        isinstance(branch, dict) and set(branch) == {"required"} for branch in branches
    )


def _leaves(error: ValidationError) -> list[ValidationError]:
    """Return the errors within an alternative that say most: those of the form that the author chose."""
    if error.validator not in _CHOICES or not error.context or _is_choice_of_keys(error):
        return [error]
    branches: dict[int, list[ValidationError]] = {}
    for child in error.context:
        branches.setdefault(int(child.relative_schema_path[0]), []).append(child)
    fitting = [
        children
        for children in branches.values()
        if not any(child.validator in ("type", "const", "enum") and not child.relative_path for child in children)
    ]
    if not fitting:
        texts = [child for children in branches.values() for child in children]
        # All alternatives are words or numbers of one kind: the first real complaint is that of the kind itself.
        return [error] if len(texts) != 1 else _leaves(texts[0])
    best = min(fitting, key=_weight)
    return [leaf for child in best for leaf in _leaves(child)]


def _weight(errors: list[ValidationError]) -> int:
    """How far an alternative is from what stands there; a key that is missing, or another word, weighs most."""
    weight = 0
    for error in errors:
        if error.validator in ("required", "const", "enum"):
            weight += 10
        elif error.validator in ("additionalProperties", "unevaluatedProperties"):
            weight += 3 * len(unknown_keys(error)[0])
        else:
            weight += 1
    return weight
