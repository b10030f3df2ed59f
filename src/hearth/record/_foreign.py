"""Asking objects of which nothing is known: what they answer, and that nothing they raise stops the recorder."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["NO_ANSWER", "answer", "asked", "class_name", "exported", "fields_of", "name_of", "settled_order"]

NO_ANSWER: Any = object()


class _UnreadableError(Exception):
    """Somebody else's code raised what is no Exception."""


def asked(question: Callable[..., Any], *about: Any) -> Any:  # noqa: ANN401
    """Return what somebody else's code answers; what it raises is an Exception, or KeyboardInterrupt.

    The recorder never raises after an action has run, whatever a `__repr__` does.
    """
    try:
        return question(*about)
    except (Exception, KeyboardInterrupt):
        # An interrupt is the operator's, whoever's code it meets, and cannot be told from one that this code raised.
        raise
    except BaseException as error:
        # SystemExit is this code's idea of an end, and not ours: the action has run and is not recorded yet. A task's
        # cancellation is delivered where it awaits, and nothing awaits here: a CancelledError is that of some future
        # that was asked, and the task's own comes at its next await. Only calls of foreign code are looked after in
        # this way, not the walk as a whole: the SystemExit of a signal's handler must end the process.
        raise _UnreadableError from error


def answer(question: Callable[[Any], Any], value: Any) -> Any:  # noqa: ANN401
    """Return what the value answers, or NO_ANSWER where it cannot (arguments are missing, or it is broken)."""
    try:
        return asked(question, value)
    except Exception:  # noqa: BLE001 - there are other questions
        return NO_ANSWER


def exported(value: Any) -> Any:  # noqa: ANN401
    """Return what `to_dict()` gives; NO_ANSWER where there is none."""
    export = getattr(value, "to_dict", None)
    return export() if callable(export) else NO_ANSWER


def fields_of(value: Any) -> Any:  # noqa: ANN401
    """Return a dataclass's fields and their values; NO_ANSWER for any other."""
    if not dataclasses.is_dataclass(value):
        return NO_ANSWER
    return [(field.name, getattr(value, field.name)) for field in dataclasses.fields(value)]


def settled_order(item: Any) -> tuple[str, str]:  # noqa: ANN401
    """Return by what the items of a set are sorted: the name of the type, and the repr where there is one."""
    shown = answer(repr, item)
    return class_name(type(item)), "" if shown is NO_ANSWER else str.__str__(shown)


def name_of(error: Exception) -> str:
    """Return the name of what was raised."""
    return class_name(type(error.__cause__ if isinstance(error, _UnreadableError) else error))


def class_name(kind: type) -> str:
    """Return a class's name, whatever its metaclass does."""
    try:
        return str(type.__getattribute__(kind, "__name__"))
    except Exception:  # noqa: BLE001 - a property of the metaclass stands in the way
        return "object"
