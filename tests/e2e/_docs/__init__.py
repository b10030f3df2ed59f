"""Runs the code blocks of a document: what a reader would type, in the order of the page, in one empty folder.

| block | what happens |
|---|---|
| `console` | `$ ` begins a command for the page's one bash; the rest is its output, where `...` is anything |
| `python` | executed, or as a doctest where it has `>>>`; one namespace for the whole document |
| `json`, `yaml`, `toml` | parsed; a mapping with the key `plan` must load as a plan |
| `text` or none | a picture or a layout; not run, and must not look like something to type |

A comment right before a block changes that: `<!-- docs: skip because REASON -->`, `<!-- docs: exit 1 -->` (the
status of the last command), `<!-- docs: file NAME -->` (the block is the content of that file, for what comes later).
"""

from __future__ import annotations

from ._blocks import Block, DocumentError, Link, read_blocks, read_links
from ._console import Command, parse_console, same_output
from ._document import Outcome, run_document

__all__ = [
    "Block",
    "Command",
    "DocumentError",
    "Link",
    "Outcome",
    "parse_console",
    "read_blocks",
    "read_links",
    "run_document",
    "same_output",
]
