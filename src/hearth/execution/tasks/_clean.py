"""Details without secrets, before they leave a task."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hearth.record import Redactor

__all__ = ["clean"]


def clean(value: Any, redactor: Redactor) -> Any:  # noqa: ANN401 - a JSON tree
    """Return the tree with the secrets in its texts, keys too, taken out.

    What stands under a telling key is left to the recorder, which replaces it by a commitment.
    """
    if isinstance(value, str):
        return redactor.text(value)
    if isinstance(value, dict):
        return {redactor.text(str(key)): clean(item, redactor) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [clean(item, redactor) for item in value]
    return value
