"""One notice: what happened, as the JSON that every hook gets."""

from __future__ import annotations

import json
import platform
import re
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from hearth._version import __version__
from hearth.record import Redactor, format_time, utc_now

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Notice"]

_SCHEMA = "hearth/notice/v1"
_LONGEST_TEXT = 2000
_PLACEHOLDER = re.compile(r"\{(event|execution_id|plan_id|status)\}")
_OWN = ("schema", "id", "event", "time", "host", "recorder_version")


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """What a hook is told; `id` is the same however often a notice is delivered, `body` is UTF-8 JSON."""

    event: str
    id: str
    body: bytes
    values: Mapping[str, str]

    @classmethod
    def make(cls, event: str, payload: Mapping[str, Any]) -> Self:
        """Return the notice of `event` with `payload`, any mapping: ids, states, a reason.

        Secrets known by their form or by their key are taken out, texts are cut at 2000 characters, and what JSON
        lacks is written as a record would. The notice's own fields cannot be replaced.
        """
        plain, _ = Redactor().details(dict(payload), "/notice")
        told = {key: _cut(value) for key, value in plain.items() if key not in _OWN}
        own = {
            "schema": _SCHEMA,
            "id": secrets.token_hex(16),
            "event": event,
            "time": format_time(utc_now()),
            "host": platform.node(),
            "recorder_version": __version__,
        }
        values = {name: told[name] for name in ("execution_id", "plan_id", "status") if isinstance(told.get(name), str)}
        body = json.dumps({**own, **told}, ensure_ascii=False, separators=(",", ":")).encode(
            "utf-8", "backslashreplace"
        )
        return cls(event=event, id=own["id"], body=body, values={**values, "event": event})

    def fill(self, words: tuple[str, ...]) -> tuple[str, ...]:
        """Return a command's words with `{event}`, `{execution_id}`, `{plan_id}` and `{status}` replaced, nothing else.

        A value that this notice lacks is empty; what a value holds is not looked at again.
        """
        return tuple(_PLACEHOLDER.sub(lambda match: self.values.get(match[1], ""), word) for word in words)


def _cut(value: Any) -> Any:  # noqa: ANN401 - a JSON tree
    if isinstance(value, str) and len(value) > _LONGEST_TEXT:
        return value[: _LONGEST_TEXT - 2] + " …"
    return value
