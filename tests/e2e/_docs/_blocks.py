"""The code blocks and links of a Markdown page, each with its line."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from markdown_it import MarkdownIt

if TYPE_CHECKING:
    from pathlib import Path

_COMMENT = re.compile(r"<!--\s*docs:\s*(.*?)\s*-->", re.DOTALL)
_DIRECTIVE = re.compile(
    r"(?P<skip>skip because .+)|exit (?P<status>\d+)|file (?P<file>[\w.-]+(?:/[\w.-]+)*)", re.DOTALL
)


class DocumentError(AssertionError):
    """A block does not do what the page says; the message begins with `file:line`."""

    def __init__(self, name: str, line: int, what: str) -> None:
        super().__init__(f"{name}:{line}: {what}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One code block: `line` is that of its first line of content, from 1."""

    name: str
    line: int
    language: str
    text: str
    skip: str | None = None
    status: int = 0
    file: str | None = None

    @property
    def first(self) -> str:
        """The first line of content, by which a list of exceptions names the block."""
        return self.text.split("\n", 1)[0]


@dataclass(frozen=True, slots=True)
class Link:
    """Where a page points to, as written."""

    line: int
    target: str


def read_blocks(path: Path, name: str | None = None) -> list[Block]:
    """Return the blocks of the page in order; `name` stands for the path in messages.

    A directive that is unknown, or that no block follows at once, is a DocumentError.
    """
    name = name or str(path)
    blocks: list[Block] = []
    waiting: tuple[int, list[str]] | None = None
    for token in MarkdownIt("commonmark").parse(path.read_text("utf-8")):
        line = (token.map or [0])[0] + 1
        if token.type == "html_block" and (directives := _COMMENT.findall(token.content)):
            if waiting:
                raise DocumentError(name, waiting[0], "no code block follows this docs comment")
            waiting = (line, directives)
        elif token.type in {"fence", "code_block"}:
            fenced = token.type == "fence"
            blocks.append(_block(name, line + fenced, token.info if fenced else "", token.content, waiting))
            waiting = None
        elif waiting:
            raise DocumentError(name, waiting[0], "no code block follows this docs comment")
    if waiting:
        raise DocumentError(name, waiting[0], "no code block follows this docs comment")
    return blocks


def _block(name: str, line: int, info: str, text: str, waiting: tuple[int, list[str]] | None) -> Block:
    skip: str | None = None
    status = 0
    file: str | None = None
    for directive in waiting[1] if waiting else ():
        match = _DIRECTIVE.fullmatch(directive)
        if match is None:
            raise DocumentError(name, line, f"unknown docs comment: {directive!r}")
        skip = match["skip"] or skip
        status = int(match["status"] or status)
        file = match["file"] or file
    language = info.lower().partition(" ")[0]
    return Block(name=name, line=line, language=language, text=text, skip=skip, status=status, file=file)


def read_links(path: Path) -> list[Link]:
    """Return every link and picture of the page."""
    links = []
    for token in MarkdownIt("commonmark").enable("table").parse(path.read_text("utf-8")):
        line = (token.map or [0])[0] + 1
        for child in token.children or ():
            target = (
                child.attrGet("href")
                if child.type == "link_open"
                else child.attrGet("src")
                if child.type == "image"
                else None
            )
            if isinstance(target, str):
                links.append(Link(line, target))
    return links
