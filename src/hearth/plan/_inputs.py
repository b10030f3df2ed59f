"""Inputs: the files whose content a plan's digest covers."""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from hearth.plan._limits import MAX_INPUT_FILES
from hearth.plan._paths import absolute, lies_within
from hearth.plan._problems import short

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from io import BufferedReader

__all__ = ["InputError", "InputFiles", "changed_inputs", "input_name", "open_input"]

_LEFT_OUT = frozenset((".hearth", "__pycache__"))  # the ledger, and what Python writes beside modules


class InputError(ValueError):
    """An input cannot be read or is not allowed; the message says why. The loader adds the line."""


def input_name(name: str, folder: Path) -> str:
    """Return the one name of an input: POSIX, relative to the plan's folder; absolute only if it was and lies outside.

    `./a`, `b/../a` and an absolute path within the folder are all `a`; a relative path that leads outside stays `../x`.
    """
    root, target = absolute(folder), absolute(folder / name)
    if Path(name).is_absolute() and not lies_within(str(target), str(root)):
        return target.as_posix()
    return Path(os.path.relpath(target, root)).as_posix()


def open_input(path: Path) -> BufferedReader:
    """Open a regular file for reading; InputError for everything else. A named pipe does not block."""
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except (OSError, ValueError) as error:
        raise InputError(_why(error)) from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise InputError("is not a regular file")
    return os.fdopen(descriptor, "rb")


@dataclass(slots=True)
class InputFiles:
    """Collects inputs and their hashes. `files` maps names to SHA-256 (hex), `folders` are the folders that were named.

    Symbolic links are followed within the plan's folder (or within the input folder itself, where that lies outside);
    links that lead out of it are refused, for what they name may change without any listed file changing.
    """

    folder: Path
    files: dict[str, str] = field(default_factory=dict)
    folders: set[str] = field(default_factory=set)

    def add(self, name: str) -> None:
        """Add a file, or every file below a folder. Raises InputError, which names what cannot be taken."""
        key = input_name(name, self.folder)
        if key in self.files or key in self.folders:
            return
        path = self.folder / key
        try:
            is_folder = stat.S_ISDIR(path.stat().st_mode)
        except (OSError, ValueError) as error:
            raise InputError(f"the input {short(name)} {_why(error)}") from error
        if not is_folder:
            self._add_file(key, self._boundary(key, path.parent))
            return
        boundary = self._boundary(key, path)
        self._within(key, path, boundary)
        for found in sorted(_walk(self.folder, key, boundary)):
            self._add_file(found, boundary)
        self.folders.add(key)

    def _boundary(self, key: str, otherwise: Path) -> str:
        outside = Path(key).is_absolute() or key.split("/", 1)[0] == ".."
        return os.path.realpath(otherwise if outside else self.folder)

    def _within(self, key: str, path: Path, boundary: str) -> None:
        real = os.path.realpath(path)
        if not lies_within(real, boundary):
            raise InputError(f"the input {short(key)} is a symbolic link that leads out of {boundary}; copy it there")

    def _add_file(self, key: str, boundary: str) -> None:
        if key in self.files:
            return
        if len(self.files) >= MAX_INPUT_FILES:
            raise InputError(f"more than {MAX_INPUT_FILES} input files; pack them into an archive")
        path = self.folder / key
        self._within(key, path, boundary)
        try:
            key.encode()
            with open_input(path) as file:
                self.files[key] = hashlib.file_digest(file, "sha256").hexdigest()
        except UnicodeEncodeError as error:
            raise InputError(f"the input {short(ascii(key))} has a name that is not UTF-8; rename it") from error
        except InputError as error:
            raise InputError(f"the input {short(key)} {error}") from error
        except OSError as error:
            raise InputError(f"the input {short(key)} {_why(error)}") from error


def changed_inputs(folder: Path, files: Mapping[str, str], folders: tuple[str, ...]) -> Iterator[str]:
    """Yield what is different from the approved inputs, one sentence each, the first first."""
    for name, approved in files.items():
        fresh = InputFiles(folder)
        try:
            fresh.add(name)
        except InputError as error:
            yield str(error)
            continue
        actual = fresh.files.get(name)
        if actual != approved:
            now = f"its SHA-256 is {actual}" if actual else "it is a folder now"
            yield f"the input {short(name)} is not what was approved: {now}, was {approved}"
    for name in folders:
        try:
            for found in sorted(_walk(folder, name, os.path.realpath(folder / name))):
                if found not in files:
                    yield f"the input folder {short(name)} holds a file that was not approved: {short(found)}"
        except InputError as error:
            yield str(error)


def _walk(folder: Path, key: str, boundary: str) -> Iterator[str]:
    """Yield the names of all files below a folder; what is neither file nor folder is refused."""
    pending: list[tuple[str, frozenset[str]]] = [(key, frozenset())]
    count = 0
    while pending:
        name, above = pending.pop()
        real = os.path.realpath(folder / name)
        if real in above:
            raise InputError(f"the input folder {short(name)} is a symbolic link to a folder above it")
        try:
            with os.scandir(folder / name) as entries:
                found = list(entries)
        except OSError as error:
            raise InputError(f"the input folder {short(name)} {_why(error)}") from error
        for entry in found:
            count += 1
            if count > 2 * MAX_INPUT_FILES:
                raise InputError(
                    f"the input folder {short(key)} holds more than {MAX_INPUT_FILES} files; pack them into an archive"
                )
            if entry.name in _LEFT_OUT:
                continue
            child = entry.name if name == "." else f"{name.rstrip('/')}/{entry.name}"
            if entry.is_dir():
                if not lies_within(os.path.realpath(folder / child), boundary):
                    raise InputError(f"the input {short(child)} is a symbolic link that leads out of {boundary}")
                pending.append((child, above | {real}))
            else:
                yield child


def _why(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "is not there"
    return f"cannot be read: {getattr(error, 'strerror', None) or error}"
