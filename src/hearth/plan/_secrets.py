"""Secrets: plans and digests hold references, `{secret: env:NAME}` or `{secret: file:PATH}`; a run looks them up."""

from __future__ import annotations

import os
import re
import stat
from collections import Counter
from itertools import islice
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from hearth.errors import TaskError
from hearth.plan._problems import short

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from hearth.plan._problems import JsonPath, Problems

__all__ = ["Secrets", "check_secrets", "without_secrets"]

_KEY = "secret"
_TARGET = re.compile(r"(?P<kind>env|file):(?P<name>[^{}\n]+)")
_OPENING = re.compile(r"\{[ \t]*secret[ \t]*:")
_INSIDE = re.compile(_OPENING.pattern + r"(?P<target>[^{}\n]*)\}")
_URL_START = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s/?#]*(?P<path>/[^\s?#]*)?(?P<query>[?#]\S*)?")
_ENVIRONMENT_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_MAX_FILE = 64 * 1024
_MAX_IN_TEXT = 100
_SHOWN = 60
_SHORTEST_LINE = 6
_SHORTEST = 4  # what a redactor looks for in texts
_HELP = "a secret is written {secret: env:NAME} or {secret: file:PATH}"


class Secrets:
    """Looks references up; values live in memory for the step that needs them, and never enter a record."""

    __slots__ = ()

    @staticmethod
    def resolve(value: Any, *, folder: Path, register: Callable[[str], None]) -> Any:  # noqa: ANN401 - a JSON tree
        """Return a copy of `value` in which every reference is replaced by its secret, unchanged parts as they are.

        A mapping `{secret: env:NAME}` becomes the text; inside a text, `{secret: env:NAME}` is replaced in place, and
        percent-encoded where the text before it is a URL (RFC 3986, section 2.1). A file's secret is its content
        without the last line break; its path starts at `folder`. Each secret, its encoded form and the lines of a
        secret of several lines are passed to `register` before this returns. Raises TaskError, which names the
        reference, for what is missing, shorter than four characters, not UTF-8 or larger than 64 KiB.
        """
        return _Resolver(folder, register).value(value)

    @staticmethod
    def references(value: Any) -> tuple[str, ...]:  # noqa: ANN401 - a JSON tree
        """Return the well-formed references in `value`, such as `env:NAME`, sorted and each once."""
        found = {target for _, target in _walk(value, ()) if _TARGET.fullmatch(target)}
        return tuple(sorted(found))


def check_secrets(value: Any, path: JsonPath, problems: Problems) -> None:  # noqa: ANN401 - a JSON tree
    """Note every reference below `value` that is not well formed."""
    count: Counter[JsonPath] = Counter()
    for place, target in _walk(value, path):
        count[place] += 1
        if count[place] > _MAX_IN_TEXT:
            problems.add(place, f"more than {_MAX_IN_TEXT} secrets in one text")
        match = _TARGET.fullmatch(target)
        if match is None:
            problems.add(place, f"{short(target)} refers to no secret; {_HELP}")
        elif match["kind"] == "env" and not _ENVIRONMENT_NAME.fullmatch(match["name"]):
            problems.add(place, f"{short(match['name'])} is not the name of an environment variable")


def without_secrets(value: Any) -> Any:  # noqa: ANN401 - a JSON tree
    """Return a copy in which each reference is a text, as its secret will be: what a task's schema describes."""
    if _is_reference(value):
        return f"{{secret: {value[_KEY]}}}"
    if isinstance(value, dict):
        return {key: without_secrets(item) for key, item in value.items()}
    if isinstance(value, list):
        return [without_secrets(item) for item in value]
    return value


def _is_reference(value: object) -> bool:
    return isinstance(value, dict) and len(value) == 1 and isinstance(value.get(_KEY), str)


def _walk(value: Any, path: JsonPath) -> Iterator[tuple[JsonPath, str]]:  # noqa: ANN401 - a JSON tree
    if isinstance(value, str):
        for opening in islice(_OPENING.finditer(value), _MAX_IN_TEXT + 1):
            match = _INSIDE.match(value, opening.start())
            yield path, match["target"].strip() if match else value[opening.start() : opening.start() + _SHOWN]
    elif _is_reference(value):
        yield path, value[_KEY].strip()
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _walk(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _walk(item, (*path, index))


class _Resolver:
    def __init__(self, folder: Path, register: Callable[[str], None]) -> None:
        self._folder = folder
        self._register = register
        self._environment: Mapping[str, str] = os.environ

    def value(self, value: Any) -> Any:  # noqa: ANN401 - a JSON tree
        if isinstance(value, str):
            return self._text(value) if _KEY in value else value
        if _is_reference(value):
            return self._reveal(value[_KEY].strip())
        if isinstance(value, dict):
            return {key: self.value(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.value(item) for item in value]
        return value

    def _text(self, text: str) -> str:
        parts: list[str] = []
        end = 0
        for match in _INSIDE.finditer(text):
            secret = self._reveal(match["target"].strip())
            # A reference before this one may hold what a URL cannot: it stands for a text that is encoded.
            encoded = _encoded(secret, _INSIDE.sub("x", text[: match.start()]))
            if encoded != secret:
                self._register(encoded)
            parts += [text[end : match.start()], encoded]
            end = match.end()
        return "".join([*parts, text[end:]])

    def _reveal(self, target: str) -> str:
        match = _TARGET.fullmatch(target)
        if match is None:
            raise TaskError(f"{short(target)} refers to no secret; {_HELP}")
        secret = self._from_environment(match["name"]) if match["kind"] == "env" else self._from_file(match["name"])
        if not secret:
            raise TaskError(f"the secret {target} is empty")
        if len(secret.strip()) < _SHORTEST:
            raise TaskError(
                f"the secret {target} is too short to be kept out of the record: it has fewer than {_SHORTEST} "
                "characters; use a longer one"
            )
        self._register(secret)
        for line in secret.splitlines() if "\n" in secret else ():
            if len(line.strip()) >= _SHORTEST_LINE:  # outputs are redacted line by line
                self._register(line.strip())
        return secret

    def _from_environment(self, name: str) -> str:
        try:
            return self._environment[name]
        except KeyError:
            raise TaskError(f"the secret env:{name} is missing: set the environment variable {name}") from None

    def _from_file(self, name: str) -> str:
        path = self._folder / name
        try:
            descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
            with os.fdopen(descriptor, "rb") as file:
                if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                    raise TaskError(f"the secret file:{name} is not a regular file: {path}")
                data = file.read(_MAX_FILE + 1)
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or error
            raise TaskError(f"the secret file:{name} cannot be read: {path}: {why}") from error
        if len(data) > _MAX_FILE:
            raise TaskError(f"the secret file:{name} is larger than {_MAX_FILE} bytes: {path}")
        try:
            text = data.decode()
        except UnicodeDecodeError as error:
            raise TaskError(f"the secret file:{name} is not UTF-8: {path}") from error.with_traceback(None)
        return text.removesuffix("\n").removesuffix("\r")


def _encoded(secret: str, before: str) -> str:
    """Percent-encode a secret that stands inside a URL, so that it cannot end the part it stands in."""
    url = _URL_START.fullmatch(before)
    if url is None:
        return secret
    return quote(secret, safe="/" if url["path"] and url["query"] is None else "")
