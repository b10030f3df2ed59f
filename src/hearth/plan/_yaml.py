"""YAML with line marks, by the strict subset that plans are written in.

PyYAML's events are composed here, not by its constructors: what a plan does not need (anchors, aliases, merge keys,
tags, several documents, other keys than texts) is refused where it stands, and every bound is kept while reading. With
no aliases, a tree is never larger than its file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

from hearth.plan._limits import MAX_DEPTH, MAX_NODES
from hearth.plan._marks import Marks
from hearth.plan._problems import short
from hearth.plan._scalars import ScalarError, resolve_plain

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hearth.plan._problems import JsonPath, Problems

__all__ = ["compose_yaml"]

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml where PyYAML was built with it


def compose_yaml(text: str, problems: Problems) -> tuple[object, Marks]:
    """Return the tree of one YAML document and its marks; syntax errors raise PlanError, lesser ones are noted."""
    composer = _Composer(problems)
    try:
        composer.feed(yaml.parse(text, Loader=_LOADER))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        context = f" ({error.context})" if error.context else ""
        line = mark.line + 1 if mark else None
        problems.fatal(composer.path(), f"not YAML: {error.problem or 'cannot be parsed'}{context}", line=line)
    except yaml.YAMLError as error:
        problems.fatal((), f"not YAML: {str(error).splitlines()[0]}")
    if composer.marks is None:
        problems.fatal((), "the file is empty; a plan needs plan: and steps:")
    return composer.root, composer.marks


class _Frame:
    """A mapping or list that is being read. `key` is the key whose value comes next."""

    __slots__ = ("discard", "key", "keyed", "marks", "segment", "value")

    def __init__(self, value: dict[str, Any] | list[Any], marks: Marks, segment: str | int) -> None:
        self.value = value
        self.marks = marks
        self.segment = segment
        self.key = ""
        self.keyed = False
        self.discard = False


class _Composer:
    def __init__(self, problems: Problems) -> None:
        self.root: object = None
        self.marks: Marks | None = None
        self._problems = problems
        self._stack: list[_Frame] = []
        self._nodes = 0
        self._documents = 0

    def path(self) -> JsonPath:
        """Where the reader stands: the innermost open mapping or list, and the key just read."""
        path = tuple(frame.segment for frame in self._stack[1:])
        frame = self._stack[-1] if self._stack else None
        return (*path, frame.key) if frame is not None and frame.keyed else path

    def feed(self, events: Iterable[Any]) -> None:
        for event in events:
            line = event.start_mark.line + 1
            match event:
                case yaml.ScalarEvent():
                    self._refuse_properties(event, line)
                    self._scalar(event, line)
                case yaml.MappingStartEvent():
                    self._refuse_properties(event, line)
                    self._open({}, line)
                case yaml.SequenceStartEvent():
                    self._refuse_properties(event, line)
                    self._open([], line)
                case yaml.CollectionEndEvent():
                    self._stack.pop()
                case yaml.AliasEvent():
                    self._note(f"the alias *{event.anchor} is not allowed in a plan; write the value out", line)
                    if self._expects_key():
                        self._key(f"*{event.anchor}", line)
                    else:
                        self._attach(None, line)
                case yaml.DocumentStartEvent():
                    self._document(event, line)
                case _:
                    pass

    def _document(self, event: Any, line: int) -> None:  # noqa: ANN401 - PyYAML's events have no types
        self._documents += 1
        if self._documents > 1:
            self._problems.fatal((), "a second document begins; a plan file holds one", line=line)
        if event.tags:
            self._problems.add((), "a %TAG directive is not allowed in a plan", line=line)
        if event.version not in (None, (1, 2)):
            self._problems.add((), "plans are YAML 1.2; remove the %YAML directive", line=line)

    def _refuse_properties(self, event: Any, line: int) -> None:  # noqa: ANN401 - PyYAML's events have no types
        if event.anchor is not None:
            self._note(f"the anchor &{event.anchor} is not allowed in a plan; write the value out", line)
        if event.tag is not None:
            tag = event.tag.replace("tag:yaml.org,2002:", "!!")
            self._note(f"the tag {short(tag)} is not allowed in a plan; quotes make a text of a value", line)

    def _note(self, what: str, line: int) -> None:
        self._problems.add(self.path(), what, line=line)

    def _expects_key(self) -> bool:
        return bool(self._stack) and isinstance(self._stack[-1].value, dict) and not self._stack[-1].keyed

    def _scalar(self, event: Any, line: int) -> None:  # noqa: ANN401 - PyYAML's events have no types
        plain = not event.style and event.tag is None
        if self._expects_key():
            self._key(event.value, line, plain=plain)
            return
        value: object = event.value
        if plain:
            try:
                value = resolve_plain(event.value)
            except ScalarError as error:
                self._note_value(str(error), line)
        self._attach(value, line)

    def _note_value(self, what: str, line: int) -> None:
        """Note a problem of the value that is about to be attached, also within a list."""
        frame = self._stack[-1] if self._stack else None
        path = self.path()
        if frame is not None and isinstance(frame.value, list):
            path = (*path, len(frame.value))
        self._problems.add(path, what, line=line)

    def _key(self, text: str, line: int, *, plain: bool = False) -> None:
        frame = self._stack[-1]
        if plain and text == "<<":
            self._note("the merge key << is not allowed in a plan; write the keys out", line)
        elif plain:
            try:
                resolved = resolve_plain(text)
            except ScalarError:
                resolved = None
            if not isinstance(resolved, str):
                self._note(f"the key {text or '(empty)'} is not a text; put it in quotes", line)
        frame.discard = text in frame.value
        if frame.discard:
            first = frame.marks.children[text].line
            what = f"the key {short(text)} stands here a second time (first on line {first})"
            self._problems.add((*self.path(), text), what, line=line)
        else:
            frame.marks.children[text] = Marks(line)
        frame.key, frame.keyed = text, True

    def _open(self, value: dict[str, Any] | list[Any], line: int) -> None:
        if self._expects_key():
            what = "a key must be a text, not a mapping or a list; a text that begins with { or [ stands in quotes"
            self._problems.fatal(self.path(), what, line=line)
        if len(self._stack) >= MAX_DEPTH:
            self._problems.fatal((), f"nested deeper than {MAX_DEPTH} levels", line=line)
        marks, segment = self._attach(value, line)
        self._stack.append(_Frame(value, marks, segment))

    def _attach(self, value: object, line: int) -> tuple[Marks, str | int]:
        """Put a value where it belongs; return its marks and its key or index there."""
        self._nodes += 1
        if self._nodes > MAX_NODES:
            self._problems.fatal(
                (), f"more than {MAX_NODES} values; put large data into a file and list it under inputs", line=line
            )
        if not self._stack:
            self.root, self.marks = value, Marks(line)
            return self.marks, ""
        frame = self._stack[-1]
        if isinstance(frame.value, list):
            index = len(frame.value)
            marks = frame.marks.children[index] = Marks(line)
            frame.value.append(value)
            return marks, index
        frame.keyed = False
        if frame.discard:
            return Marks(line), frame.key
        frame.value[frame.key] = value
        return frame.marks.children[frame.key], frame.key
