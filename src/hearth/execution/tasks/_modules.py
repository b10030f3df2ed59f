"""Which files a Python module is made of, found without running any of it."""

from __future__ import annotations

import sys
from importlib.machinery import PathFinder
from pathlib import Path
from typing import TYPE_CHECKING

from hearth.errors import TaskError

if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec

__all__ = ["module_files"]


def module_files(name: str, folder: Path) -> tuple[str, ...]:
    """Return the files of the module `name`: its package's `*.py` relative to `folder`, or where it is installed.

    A module or package in `folder` comes first, as it does when the task runs. A built-in module has no file. TaskError
    when there is no such module.
    """
    top, *rest = name.split(".")
    package = folder / top
    if (package / "__init__.py").is_file() or (package.is_dir() and not package.with_suffix(".py").is_file()):
        files = sorted(path.relative_to(folder) for path in package.rglob("*.py") if _counts(path.relative_to(folder)))
        if files:
            place = package.joinpath(*rest)
            if rest and not place.with_suffix(".py").is_file() and not place.is_dir():
                raise TaskError(f"the module {name!r} is not there: {place.with_suffix('.py')} is missing")
            return tuple(path.as_posix() for path in files)
    if not rest and package.with_suffix(".py").is_file():
        return (f"{top}.py",)
    return _installed(name, folder)


def _counts(path: Path) -> bool:
    return not any(part.startswith(".") or part == "__pycache__" for part in path.parts)


def _installed(name: str, folder: Path) -> tuple[str, ...]:
    spec: ModuleSpec | None = None
    search: list[str] | None = None
    parts = name.split(".")
    for count in range(1, len(parts) + 1):
        spec = _find(".".join(parts[:count]), search)
        if spec is None:
            raise TaskError(f"the module {name!r} is neither in {folder} nor installed for {sys.executable}")
        search = list(spec.submodule_search_locations or ())
    if spec is None or spec.origin is None or not spec.has_location or not Path(spec.origin).is_file():
        return ()  # built in: it changes with the interpreter only
    return (str(Path(spec.origin).absolute()),)


def _find(name: str, search: list[str] | None) -> ModuleSpec | None:
    # PathFinder first: for the frozen parts of the standard library it knows the files too.
    for finder in (PathFinder, *sys.meta_path):
        find = getattr(finder, "find_spec", None)
        spec: ModuleSpec | None = find(name, search) if find is not None else None
        if spec is not None:
            return spec
    return None
