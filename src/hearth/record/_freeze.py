"""Deep-frozen mappings and lists: what stands in a record cannot be changed by a later call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["FrozenDict", "FrozenList", "freeze", "thaw"]

_set_attribute = object.__setattr__


def _refuse(self: object, *_: object, **__: object) -> NoReturn:
    message = f"{type(self).__name__} belongs to a record and cannot be changed; copy it with thaw() first"
    raise TypeError(message)


class FrozenDict(dict[str, Any]):
    """A dict whose every mutating method, and assignment, raises TypeError; it still is JSON to every encoder."""

    __slots__ = ("_built",)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if hasattr(self, "_built"):  # called again, it would change what is there
            _refuse(self)
        super().__init__(*args, **kwargs)
        _set_attribute(self, "_built", True)  # noqa: FBT003 - not by `self._built = …`, which is refused

    __setattr__ = __delattr__ = _refuse
    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse

    def __copy__(self) -> FrozenDict:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> FrozenDict:
        return self

    def __reduce__(self) -> tuple[type[FrozenDict], tuple[dict[str, Any]]]:
        return FrozenDict, (dict(self),)

    def copy(self) -> dict[str, Any]:
        """Return a plain, shallow dict."""
        return dict(self)


class FrozenList(list[Any]):
    """A list whose every mutating method, and assignment, raises TypeError; it still is JSON to every encoder."""

    __slots__ = ("_built",)

    def __init__(self, items: Iterable[Any] = ()) -> None:
        if hasattr(self, "_built"):  # called again, it would change what is there
            _refuse(self)
        super().__init__(items)
        _set_attribute(self, "_built", True)  # noqa: FBT003 - not by `self._built = …`, which is refused

    __setattr__ = __delattr__ = _refuse
    __setitem__ = __delitem__ = __iadd__ = __imul__ = _refuse
    append = clear = extend = insert = pop = remove = reverse = sort = _refuse

    def __copy__(self) -> FrozenList:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> FrozenList:
        return self

    def __reduce__(self) -> tuple[type[FrozenList], tuple[list[Any]]]:
        return FrozenList, (list(self),)

    def copy(self) -> list[Any]:
        """Return a plain, shallow list."""
        return list(self)


def freeze(tree: Any) -> Any:  # noqa: ANN401 - a JSON tree
    """Return a deep-frozen copy of a JSON tree: dicts become FrozenDict, lists and tuples FrozenList."""
    if isinstance(tree, FrozenDict | FrozenList):
        return tree
    if isinstance(tree, dict):
        return FrozenDict((key, freeze(value)) for key, value in tree.items())
    if isinstance(tree, list | tuple):
        return FrozenList(freeze(value) for value in tree)
    return tree


def thaw(tree: Any) -> Any:  # noqa: ANN401 - a JSON tree
    """Return a deep copy of a JSON tree in plain dicts and lists, free to be changed."""
    if isinstance(tree, dict):
        return {key: thaw(value) for key, value in tree.items()}
    if isinstance(tree, list):
        return [thaw(value) for value in tree]
    return tree
