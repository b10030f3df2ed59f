"""Small tasks of the tests' own: real classes that fulfil TaskSpec, so that the loader is tested without Stage 4."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from hearth.plan import TaskSpec


class Command:
    """Like a shell: a text, or a mapping with either argv or file."""

    name = "shell"
    version = "1"
    schema: dict[str, Any] = {  # noqa: RUF012 - a task's schema is read only
        "anyOf": [
            {"type": "string", "minLength": 1},
            {
                "type": "object",
                "properties": {
                    "argv": {"type": "array", "items": {"$ref": "#/$defs/word"}, "minItems": 1},
                    "file": {"type": "string"},
                    "stdin": {"type": "string"},
                },
                "additionalProperties": False,
                "oneOf": [{"required": ["argv"]}, {"required": ["file"]}],
            },
        ],
        "$defs": {"word": {"type": "string"}},
    }

    def inputs(self, params: Any, folder: Path) -> tuple[str, ...]:
        return (params["file"],) if isinstance(params, dict) and "file" in params else ()

    def targets(self, params: Any) -> tuple[str, ...]:
        return ("host",)

    def summary(self, params: Any) -> str:
        return str(params)


class Request:
    """Like an HTTP request, with words and numbers to get wrong."""

    name = "http"
    version = "1"
    schema: dict[str, Any] = {  # noqa: RUF012 - a task's schema is read only
        "type": "object",
        "properties": {
            "method": {"enum": ["GET", "POST", "PUT"]},
            "url": {"type": "string", "pattern": "^https?://"},
            "expect": {"anyOf": [{"type": "integer"}, {"type": "array", "items": {"type": "integer"}}]},
            "headers": {"type": "object", "additionalProperties": {"type": "string"}},
        },
        "required": ["method", "url"],
        "additionalProperties": False,
    }

    def inputs(self, params: Any, folder: Path) -> tuple[str, ...]:
        return ()

    def targets(self, params: Any) -> tuple[str, ...]:
        return (f"http:{params['url']}",)

    def summary(self, params: Any) -> str:
        return f"{params['method']} {params['url']}"


class Anything:
    """Takes any JSON."""

    name = "call"
    version = "1"
    schema: dict[str, Any] = {}  # noqa: RUF012 - a task's schema is read only

    def inputs(self, params: Any, folder: Path) -> tuple[str, ...]:
        return ()

    def targets(self, params: Any) -> tuple[str, ...]:
        return ()

    def summary(self, params: Any) -> str:
        return "call"


TASKS: dict[str, TaskSpec] = {"call": Anything(), "http": Request(), "shell": Command()}
