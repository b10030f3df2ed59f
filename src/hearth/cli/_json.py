"""`--json`: exactly one JSON document on stdout."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["json_option", "print_bytes", "print_json"]

_Function = TypeVar("_Function", bound="Callable[..., Any]")


def print_json(document: object) -> None:
    """Print a document, indented; what no encoding can hold is escaped."""
    text = json.dumps(document, indent=2, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:
        text = json.dumps(document, indent=2)
    print_bytes(text.encode() + b"\n")


def print_bytes(data: bytes) -> None:
    """Write to stdout as it is, past its encoding and its line ends.

    Whoever went away without reading it changes nothing of what the command did: its own exit code stands.
    """
    try:
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is still buffered goes there


def json_option(function: _Function) -> _Function:
    """Give a command the option --json; it sets `Settings.json`."""
    return click.option(
        "--json", "as_json", is_flag=True, help="Print one JSON document.", callback=_note_json, expose_value=True
    )(function)


def _note_json(context: click.Context, _: click.Parameter, value: bool) -> bool:
    from hearth.cli._settings import Settings

    if value:
        context.ensure_object(Settings).json = True
    return value
