"""A process that has loaded all of HEARTH and forks its commands, with a fault in them where one is asked for.

Requests are lines of JSON on its standard input, answers lines of JSON on its standard output. A forked command is as
good as a new process, and takes milliseconds. The fault comes from strace, or from functions that fail in its place.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import mmap
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import traceback
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from types import TracebackType

REPOSITORY = Path(__file__).resolve().parents[2]
_LONGEST_SECONDS = 180.0  # without any lock a run takes a minute to give up
# A lock that cannot be given back keeps the ledger busy for good; a command need not wait the usual minute for it.
_BUSY_SECONDS = 3.0
_READY, _GO = 1, 2
_PR_SET_CHILD_SUBREAPER = 36


@cache
def strace() -> str | None:
    """Where strace is, if it is installed and can inject faults into a process of the same user."""
    path = shutil.which("strace")
    if path is None:
        return None
    tried = [path, "-qq", "-e", "trace=getcwd", "-e", "inject=getcwd:error=EIO", "pwd", "-P"]
    done = subprocess.run(tried, capture_output=True, text=True, check=False)
    return path if "(INJECTED)" in done.stderr else None


class Nursery:
    """The process, from the side of a test."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.fault._nursery"],
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(30)
        self._process.stdout.close()

    def hearth(self, home: Path, *words: str, fault: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run a command in the folder that has this ledger; return its code, output, errors, and strace's lines."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"home": str(home), "words": words, "fault": fault}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, "the nursery died"
        return dict(json.loads(line))


def _learn(modules: Path) -> None:
    """Load what a command that ended well had loaded, so that the next one finds it there."""
    for name in modules.read_text().split() if modules.exists() else ():
        with suppress(ImportError):
            importlib.import_module(name)
    modules.unlink(missing_ok=True)


def _child(request: dict[str, Any], said: list[Path], gate: mmap.mmap) -> None:
    from hearth.cli import main

    home, fault = Path(request["home"]), request.get("fault") or {}
    os.chdir(home.parent)
    for stream, path in enumerate(said, 1):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(descriptor, stream)
        os.close(descriptor)
    sys.argv = ["hearth", "--home", str(home), *request["words"]]
    # A gate of memory: nothing of ours may be among the calls that are counted from here on, or fail.
    gate[0] = _READY
    while gate[0] != _GO:
        time.sleep(0.0005)
    if "port" in fault:
        from tests.fault._port import install

        install(home, **fault["port"])
    try:
        main()
    finally:
        if not fault:
            said[0].with_name(".modules").write_text("\n".join(sys.modules))


def _traced(child: int, options: list[str]) -> subprocess.Popen[str]:
    """Attach strace; it ends when the child and all that came of it have ended."""
    tracer = subprocess.Popen(
        [str(strace()), "-f", "-qq", "-y", "--decode-pids=comm", "-e", "signal=none", *options, "-p", str(child)],
        stderr=subprocess.PIPE,
        text=True,
    )
    until = time.monotonic() + _LONGEST_SECONDS
    while re.search(r"^TracerPid:\t0$", Path(f"/proc/{child}/status").read_text(), re.MULTILINE):
        if tracer.poll() is not None or time.monotonic() > until:
            message = f"strace could not attach: {tracer.stderr.read() if tracer.stderr else ''}"
            raise RuntimeError(message)
        time.sleep(0.001)
    return tracer


def adopt_orphans() -> None:
    """Become the parent of what a killed command leaves behind, such as a shell in the middle of its step."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _outlive() -> None:
    """Wait until nothing of a command runs any more: only then is what it did all that it did."""
    with suppress(ChildProcessError):
        while True:
            os.wait()


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """Run one command, in the folder of its ledger; what it says is caught in files of the folder `here`."""
    home, fault = Path(request["home"]), request.get("fault") or {}
    here = Path(request.get("here") or home.parent)
    said = [here / ".out", here / ".err"]
    gate = mmap.mmap(-1, 1)
    child = os.fork()
    if child == 0:
        try:
            _child(request, said, gate)
        except SystemExit as end:
            os._exit(end.code if isinstance(end.code, int) else 0)
        finally:
            traceback.print_exc()
            os._exit(99)
    signal.setitimer(signal.ITIMER_REAL, _LONGEST_SECONDS)
    hung = False

    def give_up(*_: object) -> None:
        nonlocal hung
        hung = True
        os.kill(child, signal.SIGKILL)

    signal.signal(signal.SIGALRM, give_up)
    lines: list[str] = []
    try:
        while gate[0] != _READY and not hung:
            time.sleep(0.0005)
        tracer = _traced(child, fault["strace"]) if "strace" in fault else None
        gate[0] = _GO
        if tracer is not None:
            assert tracer.stderr is not None
            for line in tracer.stderr:
                lines.append(line.rstrip("\n"))
                if "(DELAYED)" in line:  # the call has been made, and its caller has not come back yet
                    os.kill(child, signal.SIGKILL)
                    tracer.kill()  # else it would wait for the delay's end
            tracer.wait()
        _, status = os.waitpid(child, 0)
        _outlive()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    out, err = (path.read_text(errors="replace") if path.exists() else "" for path in said)
    code = os.waitstatus_to_exitcode(status)
    _learn(here / ".modules")
    return {"code": code, "out": out, "err": err, "trace": lines, "hung": hung, "pid": child}


def main() -> None:
    """Answer until nothing more is asked."""
    from hearth.ledger import Ledger
    from hearth.plan import load_tasks

    load_tasks()
    Ledger.open.__func__.__kwdefaults__["busy_seconds"] = _BUSY_SECONDS  # type: ignore[attr-defined]
    adopt_orphans()
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), flush=True)  # noqa: T201 - the protocol


if __name__ == "__main__":
    main()
