"""The JSON Schema (draft 2020-12) of a plan file, composed from the schemas of the tasks."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

from hearth.plan._limits import MAX_STEPS, MAX_TIMEOUT
from hearth.record import SideEffectCategory

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hearth.plan._ports import TaskSpec

__all__ = ["STEP_KEYS", "plan_schema"]

# `$` alone lets Python's `re` accept a line break at the end; in ECMA 262, JSON Schema's dialect, the rest is idle.
_END = r"$(?!\n)"
_ENVIRONMENT_NAME = f"^[A-Za-z_][A-Za-z0-9_]*{_END}"
_DURATION = rf"^[0-9]{{1,12}}(\.[0-9]{{1,6}})?(ms|s|m|h){_END}"

_TEXT = {"type": "string"}
_TEXTS = {"type": "array", "items": _TEXT}
_LINE = {
    "type": "string",
    "pattern": r"^[^\n\r]{1,200}$(?!\n)",
    "description": "one line of 1 to 200 characters",
    "title": "What the step does",
}
_ENVIRONMENT = {
    "description": "Environment variables. Values are texts, or {secret: env:NAME}, {secret: file:PATH}",
    "type": "object",
    "propertyNames": {"pattern": _ENVIRONMENT_NAME, "description": "the name of an environment variable"},
    "additionalProperties": _TEXT,
}
_EFFECTS = {
    "description": "What the step changes, as far as it is known beforehand",
    "type": "array",
    "items": {
        "type": "object",
        "properties": {
            **{
                category.value: {"type": "string", "minLength": 1, "maxLength": 4096} for category in SideEffectCategory
            },
            "reversible": {"type": "boolean", "description": "It can be taken back; false by default"},
            "must": {"type": "boolean", "description": "Its absence is a deviation; false by default"},
        },
        "additionalProperties": False,
        "oneOf": [{"required": [category.value]} for category in SideEffectCategory],
    },
}
_ROLLBACK = {
    "description": "Guidance for the person who undoes the step, kept verbatim",
    "type": "object",
    "properties": {
        "description": {"type": "string", "minLength": 1},
        "actions": _TEXTS,
        "required_inputs": _TEXTS,
        "risks": _TEXTS,
        "estimated_duration": _TEXT,
    },
    "required": ["description"],
    "additionalProperties": False,
}
_TIMEOUT = {
    "description": "How long the step may take: 500ms, 30s, 2m, 1h, or a number of seconds",
    "anyOf": [
        {
            "type": "string",
            "pattern": _DURATION,
            "description": 'a duration such as "500ms", "30s", "2m" or "1h", or a number of seconds',
        },
        {"type": "number", "exclusiveMinimum": 0, "maximum": MAX_TIMEOUT},
    ],
}
_STEP: dict[str, Any] = {
    "name": _LINE,
    "effects": _EFFECTS,
    "rollback": _ROLLBACK,
    "timeout": _TIMEOUT,
    "volatile": {
        **_TEXTS,
        "description": "Paths whose content and new names may differ from the preview, such as *.log, "
        "and rows whose values may, as app.db:users.updated_at",
    },
    "env": _ENVIRONMENT,
}
_UNDO = "undo"
STEP_KEYS = frozenset((*_STEP, _UNDO))
"""Keys of a step that cannot be the name of a task."""

_PLAN: dict[str, Any] = {
    "plan": {
        "description": "an id of 1 to 100 letters, digits, dots, dashes and underscores, the first a letter or digit",
        "type": "string",
        "pattern": f"^[A-Za-z0-9][A-Za-z0-9._-]{{0,99}}{_END}",
    },
    "description": {"type": "string", "description": "What the plan is for"},
    "variables": {
        "description": "Values for {{ name }} in the texts of the plan, fixed before the digest is taken",
        "type": "object",
        "propertyNames": {
            "pattern": f"^[A-Za-z_][A-Za-z0-9_]*{_END}",
            "description": "the name of a variable: letters, digits and underscores",
        },
        "additionalProperties": {"type": ["string", "integer", "boolean"]},
    },
    "cwd": {
        "type": "string",
        "minLength": 1,
        "description": "Where the steps run; relative to the plan file's folder, which is the default",
    },
    "env": _ENVIRONMENT,
    "concurrency": {
        "type": "integer",
        "minimum": 1,
        "maximum": 1000,
        "description": "Runs of this plan at a time; 1 by default",
    },
    "inputs": {
        "type": "array",
        "items": {"type": "string", "minLength": 1, "maxLength": 4096},
        "description": "Files and folders whose content the digest covers; a folder is every file below it",
    },
    "disclosable": {
        **_TEXTS,
        "description": "Names of keys whose secret values are kept beside the record, for export with --disclose",
    },
}


def plan_schema(tasks: Mapping[str, TaskSpec] | None = None) -> dict[str, Any]:
    """Return the JSON Schema of a plan file; `tasks` are the installed ones by default.

    It describes plans after `{{ name }}` is replaced, with `{secret: …}` where it says a text. Raises PlanError when an
    installed task is broken.
    """
    if tasks is None:
        from hearth.plan._tasks import load_tasks

        tasks = load_tasks()
    own = {name: {**tasks[name].schema, "$id": f"urn:hearth:task:{name}"} for name in sorted(tasks)}
    places = {name: {"$ref": f"urn:hearth:task:{name}"} for name in sorted(tasks)}
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "HEARTH plan",
        "description": "What is to be done on a live system, step by step",
        "type": "object",
        "properties": {
            **_PLAN,
            "steps": {
                "description": "Run in this order, once, without retries",
                "type": "array",
                "minItems": 1,
                "maxItems": MAX_STEPS,
                "items": {"$ref": "#/$defs/step"},
            },
        },
        "required": ["plan", "steps"],
        "additionalProperties": False,
        "$defs": {
            "step": {
                "type": "object",
                "properties": {
                    **_STEP,
                    _UNDO: {
                        "description": "A task that takes the step back, rehearsed before it is trusted",
                        "type": "object",
                        "properties": places,
                        "additionalProperties": False,
                        "oneOf": [{"required": [name]} for name in places],
                    },
                    **places,
                },
                "required": ["name"],
                "additionalProperties": False,
                "oneOf": [{"required": [name]} for name in places],
            },
            # A resource of its own, so that a task's references `#/$defs/…` stay within its schema.
            **{f"task-{name}": own[name] for name in own},
        },
    }
    return deepcopy(schema)  # a caller may change what it gets, and shared parts are no longer shared
