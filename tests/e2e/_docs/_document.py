"""A whole page: its blocks in order, in one folder, one shell and one namespace."""

from __future__ import annotations

import doctest
import json
import os
import shutil
import sys
import tomllib
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import yaml

from ._blocks import Block, DocumentError, read_blocks
from ._console import Shell, run_console

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

_NOT_RUN = {"", "text"}
_LEFT_OUT = shutil.ignore_patterns("__pycache__", ".hearth", "*.pyc")


@dataclass(slots=True)
class Outcome:
    """What was done with the blocks of a page."""

    run: list[Block] = field(default_factory=list)
    skipped: list[Block] = field(default_factory=list)
    pictures: list[Block] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Reader:
    """The place where a page is read: its folder, shell and namespace."""

    folder: Path
    shell: Shell
    module: ModuleType


def run_document(path: Path, *, repository: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch) -> Outcome:
    """Run the page's blocks below `scratch`, with copies of the repository's `examples/` and root scripts at hand.

    The first block that does not hold is a DocumentError with the file and line of what failed.
    """
    name = path.relative_to(repository).as_posix() if path.is_relative_to(repository) else path.name
    folder, home, private = (scratch / part for part in ("work", "home", "private"))
    for created in (folder, home, private):
        created.mkdir()
    if (repository / "examples").is_dir():
        shutil.copytree(repository / "examples", folder / "examples", ignore=_LEFT_OUT)
    for script in repository.glob("*.py"):
        shutil.copy(script, folder)

    for key, value in _environment(home).items():
        monkeypatch.setenv(key, value)
    monkeypatch.chdir(folder)
    module = ModuleType("document")
    monkeypatch.setitem(sys.modules, module.__name__, module)

    outcome = Outcome()
    with Shell(folder=folder, scratch=private, environment=os.environ) as shell:
        reader = _Reader(folder, shell, module)
        for block in read_blocks(path, name):
            if block.skip:
                outcome.skipped.append(block)
            elif block.language in _NOT_RUN and not block.file:
                _check_picture(block)
                outcome.pictures.append(block)
            else:
                _run_block(block, reader)
                outcome.run.append(block)
    return outcome


def _environment(home: Path) -> dict[str, str]:
    """A person with an empty home, a wide terminal and `hearth` on PATH; output without colours."""
    programs = Path(sys.executable).parent
    return {
        "COLUMNS": "120",
        "HOME": str(home),
        "XDG_CONFIG_HOME": str(home / ".config"),
        "LC_ALL": "C.UTF-8",
        "NO_COLOR": "1",
        "PATH": os.pathsep.join([str(programs), os.environ.get("PATH", os.defpath)]),
        "PYTHONDONTWRITEBYTECODE": "1",
        "TERM": "dumb",
        "TZ": "UTC",
    }


def _check_picture(block: Block) -> None:
    typed = [line for line in block.text.splitlines() if line.startswith(("$ ", ">>> "))]
    if typed:
        raise DocumentError(
            block.name, block.line, f"this looks like something to type: make it console or python: {typed[0]!r}"
        )


def _run_block(block: Block, reader: _Reader) -> None:
    if block.file:
        target = reader.folder / block.file
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(block.text, "utf-8")
    if block.language == "console":
        run_console(block, reader.shell)
    elif block.language == "python":
        _run_python(block, reader)
    elif block.language in _PARSERS:
        _run_data(block, reader)
    elif not block.file:
        known = ", ".join(["console", "python", *_PARSERS, "text"])
        raise DocumentError(block.name, block.line, f"unknown language {block.language!r}: use one of {known}")


def _run_python(block: Block, reader: _Reader) -> None:
    if any(line.startswith(">>> ") for line in block.text.splitlines()) and not block.file:
        _run_doctest(block, vars(reader.module))
        return
    try:
        # Blank lines in front make a traceback show the page's own line numbers.
        code = compile("\n" * (block.line - 1) + block.text, block.name, "exec", dont_inherit=True)
        if not block.file:
            exec(code, vars(reader.module))  # noqa: S102 - this is what the page tells its reader to run
    except Exception as problem:
        lines = [frame.lineno for frame in traceback.extract_tb(problem.__traceback__) if frame.filename == block.name]
        line = lines[-1] if lines else getattr(problem, "lineno", None)
        what = "".join(traceback.format_exception_only(problem)).strip()
        raise DocumentError(block.name, line or block.line, what) from problem


def _run_doctest(block: Block, namespace: dict[str, Any]) -> None:
    report: list[str] = []
    test = doctest.DocTestParser().get_doctest(block.text, namespace, block.name, block.name, block.line - 1)
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.FAIL_FAST, verbose=False)
    results = runner.run(test, out=report.append, clear_globs=False)
    namespace.update(test.globs)
    if results.failed:
        raise DocumentError(block.name, block.line, "the doctest fails\n" + "".join(report).strip())


def _run_data(block: Block, reader: _Reader) -> None:
    try:
        data = _PARSERS[block.language](block.text)
    except (ValueError, yaml.YAMLError) as problem:
        raise DocumentError(block.name, block.line, f"not {block.language}: {problem}") from problem
    if isinstance(data, dict) and "plan" in data:
        _check_plan(block, reader.folder)


def _check_plan(block: Block, folder: Path) -> None:
    from hearth.errors import PlanError
    from hearth.plan import load_plan

    path = folder / (block.file or f"block-{block.line}.{block.language}")
    path.write_text(block.text, "utf-8")
    try:
        load_plan(path)
    except PlanError as problem:
        raise DocumentError(block.name, block.line, f"not a valid plan:\n{problem}") from problem
    finally:
        if not block.file:
            path.unlink()


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        message = f"a key stands twice among {[key for key, _ in pairs]}"
        raise ValueError(message)
    return found


def _parse_json(text: str) -> object:
    return json.loads(text, object_pairs_hook=_unique_keys)


_PARSERS: dict[str, Callable[[str], object]] = {"json": _parse_json, "toml": tomllib.loads, "yaml": yaml.safe_load}
