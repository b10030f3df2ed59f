"""Which tier this machine gives: tried, not guessed from versions."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from hearth.errors import ObservationError

__all__ = ["Tier", "probe"]

_TRY = """
import json, os, sys
sys.path[:] = json.loads(sys.argv[1])
from hearth.observe import _linux as linux
def tried(what):
    pid = os.fork()
    if pid == 0:
        try:
            what()
        except OSError as error:
            os.write(1, f"{error.filename or ''}: {error.strerror}".strip(": ").encode())
            os._exit(1)
        os._exit(0)
    return os.waitpid(pid, 0)[1] == 0
flags = getattr(linux, sys.argv[2])
sys.exit(0 if tried(lambda: linux.unshare(flags)) else 1)
"""
_NAMESPACES = (
    ("user namespaces", "CLONE_NEWUSER"),
    ("mount namespaces without a user namespace", "CLONE_NEWNS"),
    ("network namespaces without a user namespace", "CLONE_NEWNET"),
)
_ALWAYS = (
    "what a program sends over a network that it was given, and what others do with that",
    "files that were made and removed again while the step ran",
    "what was read",
)
_NOT_SEEN = {
    "full": _ALWAYS,
    "unprivileged": (
        *_ALWAYS,
        "changes to files of other users: they are refused",
        "changes below a mount point within a top-level directory: all of that directory is shown read-only",
    ),
    "fallback": ("anything but what a task reports itself: steps run on the host, and each has `unknown_effects`",),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Tier:
    """What this machine can see: `name` is full (root), unprivileged, or fallback (no sandbox can be made).

    `capabilities` are (what, whether it works, why not, or a remark); `cannot_see` says what stays unseen.
    """

    name: str
    capabilities: tuple[tuple[str, bool, str], ...]
    cannot_see: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "tier": self.name,
            "capabilities": [{"name": name, "works": works, "why": why} for name, works, why in self.capabilities],
            "cannot_see": list(self.cannot_see),
        }


@cache
def probe() -> Tier:
    """Make a sandbox and throw it away, and try what it is made of; once in a process. Raises nothing."""
    if sys.platform != "linux":
        why = "only Linux has what a sandbox is made of"
        return Tier(name="fallback", capabilities=(("sandbox", False, why),), cannot_see=_NOT_SEEN["fallback"])
    why = _why_no_sandbox()
    root = os.geteuid() == 0
    found = [("sandbox (overlay, namespaces, pivot_root, seccomp)", not why, why)]
    for what, flag in _NAMESPACES:
        problem = _why_not(flag)
        found.append((what, not problem, problem))
    found.append(("layers above one another (/dev/shm)", stackable(), "" if stackable() else "there is no /dev/shm"))
    strace = shutil.which("strace")
    found.append(("strace", strace is not None, strace or "not installed"))
    name = "fallback" if why else "full" if root else "unprivileged"
    return Tier(name=name, capabilities=tuple(found), cannot_see=_NOT_SEEN[name])


def stackable() -> bool:
    """Whether several layers can lie above one another: they must not lie on a disk that is overlaid itself."""
    return Path("/dev/shm").is_dir() and os.access("/dev/shm", os.W_OK)  # noqa: S108 - it is the kernel's


def _why_no_sandbox() -> str:
    from hearth.observe._sandbox import Layout, SandboxServer

    folder = Path(tempfile.mkdtemp(prefix="hearth-probe-"))
    payload = json.dumps({"argv": ["true"], "cwd": "/", "env": {"PATH": os.defpath}, "targets": []}).encode()
    try:
        with SandboxServer() as server:
            process = server.start(
                Layout(state=folder, layer="0"), "hearth.observe._command:run_command", payload, linger=0
            )
            end = process.wait(10)
            return end.problem or ("" if end.code == 0 else f"a program in it ended with {end.code}")
    except (ObservationError, OSError, TimeoutError) as error:
        return str(error) or type(error).__name__
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _why_not(flag: str) -> str:
    arguments = [sys.executable, "-I", "-S", "-c", _TRY, json.dumps([path for path in sys.path if path]), flag]
    try:
        tried = subprocess.run(arguments, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.SubprocessError) as error:
        return str(error)
    return "" if tried.returncode == 0 else tried.stdout.strip() or tried.stderr.strip()[-200:] or "refused"
