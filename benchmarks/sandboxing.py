"""What a sandbox costs: its start, programs that compile, and many small files; beside the same without one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import time
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks._report import Line, budget_line, figure_line, peer_line
from benchmarks._timing import Samples, compare, ratio
from hearth.observe import probe
from hearth.observe._remove_tree import remove_tree
from hearth.observe._sandbox import Layout, SandboxServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["sandbox_compiling", "sandbox_files", "sandbox_starts"]

_ROUNDS = 9
_STARTS = 20
_FILES = 2000
_SOURCES = 8
_WRITE = f"i=0; while [ $i -lt {_FILES} ]; do echo $i > f$i; i=$((i+1)); done"
_SOURCE = "#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n" + "".join(
    f'int f%(n)d_{number}(int a) {{ char b[64]; snprintf(b, sizeof b, "%%d", a); return (int)strlen(b) + {number}; }}\n'
    for number in range(60)
)


def say_when(_payload: bytes, descriptors: list[int]) -> int:
    """Write the time: the first line of the work in a sandbox."""
    os.write(descriptors[0], str(time.perf_counter_ns()).encode())
    return 0


def sandbox_starts() -> list[Line]:
    """From the request for a sandbox to the first line of the work in it, and to its end."""
    with _place() as (run, server, state):
        if server is None:
            return [_cannot("a sandbox's start")]
        names = count()
        first = []
        for _ in range(_STARTS + 1):
            reading, writing = os.pipe()
            start = time.perf_counter_ns()
            layout = Layout(state=state, layer=f"start-{next(names)}")
            process = server.start(layout, f"{__name__}:say_when", descriptors=[writing])
            os.close(writing)
            with os.fdopen(reading, "rb") as answer:
                first.append((int(answer.read()) - start) / 1e6)
            process.wait()
        samples = Samples(tuple(first[1:]))
        budget = figure_line("", samples.median, 60, "ms")
        line = peer_line("sandbox: to the first line of its work", samples, "ms")
        taken = compare(run("true"), rounds=_STARTS)
        lines = [Line(line.what, line.figure, line.spread, budget.budget, budget.kept)]
        return lines + [_in_ms(f"sandbox, `true` from start to end: {who}", one) for who, one in taken.items()]


def sandbox_compiling() -> list[Line]:
    """Compile some files with gcc, and link them."""
    if shutil.which("gcc") is None:
        return [Line("sandbox: compiling", "there is no gcc")]
    with _place() as (run, server, state):
        if server is None:
            return [_cannot("compiling")]
        for number in range(_SOURCES):
            (state.parent / "work" / f"s{number}.c").write_text(_SOURCE % {"n": number}, encoding="utf-8")
        (state.parent / "work" / "main.c").write_text("int main(void) { return 0; }\n", encoding="utf-8")
        return _beside("compiling", run("for s in *.c; do gcc -O1 -c $s || exit 1; done; gcc -o program *.o"), 1.3)


def sandbox_files() -> list[Line]:
    """Write many small files by a shell."""
    with _place() as (run, server, _):
        if server is None:
            return [_cannot("files")]
        return _beside(f"{_FILES} small files", run(_WRITE), 3)


@contextmanager
def _place() -> Iterator[tuple[Callable[[str], dict[str, Callable[[], int]]], SandboxServer | None, Path]]:
    """Give a maker of contenders that run a script: in a sandbox, bare, under strace and bubblewrap where installed."""
    if probe().name == "fallback":
        yield lambda _: {}, None, Path()
        return
    folder = Path(tempfile.mkdtemp(dir=Path.cwd(), prefix="bench-"))
    state, work = folder / "state", folder / "work"
    for one in (state, work):
        one.mkdir()
    names = count()
    null = os.open(os.devnull, os.O_RDWR)

    def bare(*argv: str) -> int:
        here = folder / f"run-{next(names)}"
        shutil.copytree(work, here)
        subprocess.run(argv, cwd=here, check=True, capture_output=True)
        return 1

    def sandboxed(server: SandboxServer, *argv: str) -> int:
        here = folder / f"run-{next(names)}"
        shutil.copytree(work, here)
        request = {"argv": argv, "cwd": str(here), "env": {"PATH": os.environ["PATH"]}, "targets": [0, 1, 2]}
        layout = Layout(state=state, layer=str(next(names)))
        work_of = "hearth.observe._command:run_command"
        process = server.start(layout, work_of, json.dumps(request).encode(), descriptors=[null, null, null])
        end = process.wait()
        if end.code != 0 or end.problem:
            raise RuntimeError(end.problem or f"it ended with {end.code}")
        return 1

    try:
        with SandboxServer(preload=["hearth.observe._command", __name__]) as server:

            def contenders(script: str) -> dict[str, Callable[[], int]]:
                argv = ("sh", "-c", script)
                found = {"HEARTH": lambda: sandboxed(server, *argv), "bare": lambda: bare(*argv)}
                if shutil.which("strace"):
                    traced = ("strace", "-f", "--seccomp-bpf", "-e", "trace=%file", "-o", os.devnull, *argv)
                    found["strace --seccomp-bpf, files"] = lambda: bare(*traced)
                if shutil.which("bwrap"):
                    walls = ("bwrap", "--bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "--unshare-all")
                    found["bubblewrap (writes to the host)"] = lambda: bare(*walls, "--die-with-parent", *argv)
                return found

            yield contenders, server, state
    finally:
        os.close(null)
        remove_tree(folder)


def _beside(what: str, contenders: dict[str, Callable[[], int]], most: float) -> list[Line]:
    taken = compare(contenders, rounds=_ROUNDS)
    lines = [_in_ms(f"sandbox, {what}: {who}", samples) for who, samples in taken.items()]
    against = ratio(taken["HEARTH"], taken["bare"])
    return [*lines, budget_line(f"sandbox, {what}: HEARTH ÷ bare", against, most, f"≤ {most:g}")]


def _in_ms(what: str, samples: Samples) -> Line:
    return peer_line(what, Samples(tuple(value / 1000 for value in samples.values)), "ms")


def _cannot(what: str) -> Line:
    return Line(f"sandbox: {what}", "this machine can make none")
