"""One form for every plan, from a file or from Python: plain, bounded JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hearth.plan._limits import MAX_BYTES, MAX_DEPTH, MAX_NODES
from hearth.plan._problems import short
from hearth.plan._scalars import scalar_fault

if TYPE_CHECKING:
    from hearth.plan._problems import JsonPath, Problems

__all__ = ["plain_tree"]


def plain_tree(data: object, problems: Problems) -> Any:  # noqa: ANN401 - a JSON tree
    """Return a plain copy of `data` (dict, list, str, int, float, bool, None); notes what JSON cannot hold exactly.

    Mappings become dicts, tuples lists. Raises PlanError beyond a bound, so cycles end as well.
    """
    return _Copier(problems).copy(data, (), 0)


class _Copier:
    def __init__(self, problems: Problems) -> None:
        self._problems = problems
        self._nodes = 0
        self._characters = 0

    def copy(self, value: object, path: JsonPath, depth: int) -> Any:  # noqa: ANN401 - a JSON tree
        self._nodes += 1
        if self._nodes > MAX_NODES:
            what = f"more than {MAX_NODES} values; put large data into a file and list it under inputs"
            self._problems.fatal((), what)
        if isinstance(value, str):
            return self._text(value, path)
        if value is None or isinstance(value, bool | int | float):
            fault = scalar_fault(value)
            if fault:
                self._problems.add(path, fault)
                return None
            return value
        if depth >= MAX_DEPTH and isinstance(value, Mapping | list | tuple):
            self._problems.fatal((), f"nested deeper than {MAX_DEPTH} levels")
        if isinstance(value, Mapping):
            return self._mapping(value, path, depth + 1)
        if isinstance(value, list | tuple):
            return [self.copy(item, (*path, index), depth + 1) for index, item in enumerate(value)]
        what = f"a {type(value).__name__} is not JSON; give texts, numbers, booleans, lists or mappings"
        self._problems.add(path, what)
        return None

    def _mapping(self, value: Mapping[Any, object], path: JsonPath, depth: int) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key, item in value.items():
            if not isinstance(key, str):
                self._problems.add(path, f"the key {short(key)} is not a text")
                continue
            name = self._text(key, path)
            result[name] = self.copy(item, (*path, name), depth)
        return result

    def _text(self, value: str, path: JsonPath) -> str:
        self._characters += len(value)
        if self._characters > MAX_BYTES:
            self._problems.fatal(
                (), f"more than {MAX_BYTES} characters; put large data into a file and list it under inputs"
            )
        fault = scalar_fault(value)
        if fault:
            self._problems.add(path, fault)
            return ""
        return str(value)  # an enum or another subclass becomes its text
