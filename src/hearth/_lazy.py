"""Rooms load their names when they are first used (PEP 562), so that a plain import stays light."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def lazy_names(package: str, names: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return `(__getattr__, __dir__)` for `package`, whose public `names` map to the modules that define them.

    A module is named relative to the package (`"_event"`). A name is resolved once and kept in the
    package's namespace. An unknown name raises AttributeError, as for any module.
    """

    def __getattr__(name: str) -> Any:  # noqa: ANN401, N807 - PEP 562 prescribes both
        module = names.get(name)
        if module is None:
            message = f"module {package!r} has no attribute {name!r}"
            raise AttributeError(message)
        value = getattr(
            importlib.import_module(f"{package}.{module}" if not module.startswith("hearth") else module), name
        )
        vars(importlib.import_module(package))[name] = value
        return value

    def __dir__() -> list[str]:  # noqa: N807 - PEP 562 prescribes it
        return sorted(names)

    return __getattr__, __dir__
