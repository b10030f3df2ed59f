"""Commands that leave processes behind in every way there is, and a look at which of them still live."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

__all__ = ["KINDS", "SCRIPT", "end", "in_a_namespace", "is_still", "living", "new_mark", "script", "wait_until"]

# Told its kind and a mark, by which its processes are found; each says a word on stdout once it has got away.
SCRIPT = """
import os, subprocess, sys, time
kind, mark = sys.argv[1:3]
seconds = 40
me = [sys.executable, "-I", "-S", sys.argv[0]]

def away():
    os.write(1, b"away\\n")

def stay():
    away()
    time.sleep(seconds)
    os._exit(0)

def daemon():
    if os.fork():
        return False
    os.setsid()
    if os.fork():
        os._exit(0)
    os.chdir("/")
    return True

if kind == "sleep":
    stay()
elif kind == "child":
    if os.fork() == 0:
        stay()
elif kind == "session":
    if os.fork() == 0:
        os.setsid()
        stay()
elif kind == "group":
    if os.fork() == 0:
        os.setpgid(0, 0)
        stay()
elif kind == "daemon":
    if daemon():
        stay()
elif kind == "silent":
    if daemon():
        away()
        for stream in range(3):
            os.close(stream)
        time.sleep(seconds)
elif kind == "bare":
    if daemon():
        os.execve(sys.executable, [*me, "sleep", mark], {})
elif kind == "nohup":
    subprocess.Popen(["nohup", *me, "sleep", mark], stdin=subprocess.DEVNULL)
elif kind == "deaf":
    if daemon():
        import signal
        for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:
            signal.signal(number, signal.SIG_IGN)
        stay()
elif kind == "stopped":
    if daemon():
        import signal
        away()
        os.kill(os.getpid(), signal.SIGSTOP)
        time.sleep(seconds)
elif kind == "subreaper":
    import ctypes
    if os.fork() == 0:
        os.setsid()
        ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)
        if daemon():
            stay()
        time.sleep(seconds)
elif kind == "threads":  # its first thread ends, so that it looks dead from outside
    if daemon():
        import _thread, ctypes
        _thread.start_new_thread(stay, ())
        ctypes.CDLL(None).pthread_exit(None)
elif kind == "bomb":  # generations, each in sessions of its own, until fifty were born
    if daemon():
        bucket, fill = os.pipe()
        os.write(fill, b"x" * 50)
        os.set_blocking(bucket, False)
        away()
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                os.read(bucket, 1)
            except BlockingIOError:
                time.sleep(0.5)
                continue
            if os.fork() == 0:
                os.setsid()
            time.sleep(0.004)
elif kind == "hopping":  # never more than a few at a time, none older than some milliseconds
    if daemon():
        beat = os.open(os.path.join(os.path.dirname(sys.argv[0]), mark), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        end = time.monotonic() + 15
        while time.monotonic() < end:
            if os.fork():
                os._exit(0)
            os.setsid()
            if os.write(beat, b".") and os.fstat(beat).st_size == 5:
                away()
            time.sleep(0.002)
elif kind == "namespace":
    subprocess.Popen(["unshare", "-Urpf", *me, "init", mark])
elif kind == "init":
    if daemon():
        stay()
    time.sleep(seconds)
"""
KINDS = (
    "child", "session", "group", "daemon", "silent", "bare", "nohup", "deaf", "stopped", "subreaper", "threads", "bomb",
)  # fmt: skip


def new_mark() -> str:
    """Return a word that stands in no other process' arguments."""
    return f"mark-{secrets.token_hex(8)}"


def script(folder: Path) -> str:
    """Write SCRIPT there; return the command that runs it, for a shell, without its two arguments."""
    path = folder / "stray.py"
    path.write_text(SCRIPT)
    return f"{sys.executable} -I -S {path}"


def living(mark: str) -> list[int]:
    """Return the processes that live and have the mark among their arguments."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            status = folder.joinpath("stat").read_text().rpartition(")")[2].split()
            dead = status[0] in "ZX" and int(status[17]) <= 1
            # A process whose first thread has ended shows no arguments there, but its threads do.
            lines = [path.read_bytes() for path in (folder / "task").glob("*/cmdline")]
            if not dead and any(mark.encode() in line.split(b"\0") for line in lines):
                found.append(int(folder.name))
    return found


def is_still(path: Path) -> bool:
    """Whether the file, that a process of the kind `hopping` writes to all the time, has stopped growing."""
    size = path.stat().st_size
    time.sleep(0.2)
    return size > 0 and path.stat().st_size == size


def wait_until(condition: object, seconds: float = 5) -> bool:
    """Wait for it, at most so long; return whether it came true."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():  # type: ignore[operator]
            return True
        time.sleep(0.005)
    return False


def end(mark: str) -> None:
    """Kill what a failed test would leave; these processes were started by it, as their mark says."""
    deadline = time.monotonic() + 5
    while (left := living(mark)) and time.monotonic() < deadline:
        for pid in left:
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)


def in_a_namespace() -> bool:
    """Whether one may make a namespace of users and of processes here."""
    try:
        return (
            subprocess.run(["unshare", "-Urpf", "true"], capture_output=True, check=False, timeout=10).returncode == 0
        )
    except OSError:
        return False
