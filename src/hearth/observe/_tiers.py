"""Which tier this machine gives: tried, not guessed from versions."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from hearth.errors import ObservationError

__all__ = ["Tier", "probe", "stackable"]

_TRY = """
import json, sys
sys.dont_write_bytecode = True
sys.path[:] = json.loads(sys.argv[1])
from hearth.observe._tiers_try import main
main(sys.argv[2])
"""
_PATIENCE = 20.0
_ALWAYS = (
    "what a program sends over a network that it was given, and what others do with that",
    "files that were made and removed again while the step ran",
    "what was read",
)
_NOT_SEEN = {
    "full": _ALWAYS,
    "unprivileged": (
        *_ALWAYS,
        "changes to what belongs to other users or groups: they are refused",
        "names that are made beside a mount point, or in the root directory: they are refused",
        "which names of a file with several names are still the same file, once it was changed",
    ),
    "fallback": (
        "what a step would do: nothing can be previewed, and nothing held back",
        "on the host, all but what system calls show, where they can be observed; else all but what a task reports",
    ),
}
_NO_NOTIFICATION = "which programs were started, and which connections made"


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
    folder = Path(tempfile.mkdtemp(prefix="hearth-probe-"))
    try:
        problem, remark = _try_sandbox(folder)
        pieces = _try_pieces(folder)
    finally:
        _remove(folder)
    found = [("sandbox (overlay, namespaces, pivot_root, seccomp)", not problem, problem or remark)]
    found += [(name, not why, why) for name, why in pieces.items()]
    can_stack = stackable()
    found.append(("layers above one another (/dev/shm)", can_stack, "" if can_stack else "there is no /dev/shm"))
    problem_of_strace = _try_strace()
    found.append(("strace", not problem_of_strace, problem_of_strace))
    name = "fallback" if problem else "full" if os.geteuid() == 0 else "unprivileged"
    unseen = _NOT_SEEN[name]
    if name != "fallback" and pieces.get("seccomp notification", ""):
        unseen = (*unseen, _NO_NOTIFICATION)
    return Tier(name=name, capabilities=tuple(found), cannot_see=unseen)


def stackable() -> bool:
    """Whether several layers can lie above one another: they must not lie on a disk that is overlaid itself."""
    return Path("/dev/shm").is_dir() and os.access("/dev/shm", os.W_OK)  # noqa: S108 - it is the kernel's


def _remove(folder: Path) -> None:
    for path, folders, _ in os.walk(folder):
        for name in folders:  # overlayfs closes its work folder to everybody
            with suppress(OSError):
                Path(path, name).chmod(0o700)
    shutil.rmtree(folder, ignore_errors=True)


def _try_sandbox(folder: Path) -> tuple[str, str]:
    """Return why no sandbox can be made ("" where it can), and what is to be said of one that was."""
    from hearth.observe._sandbox import Layout, SandboxServer

    payload = json.dumps({"argv": ["true"], "cwd": "/", "env": {"PATH": os.defpath}, "targets": []}).encode()
    try:
        with SandboxServer() as server:
            layout = Layout(state=folder, layer="0")
            end = server.start(layout, "hearth.observe._command:run_command", payload, linger=0).wait(_PATIENCE)
            problem = end.problem or ("" if end.code == 0 else f"a program in it ended with {end.code}")
            closed = ", ".join(sorted({**end.readonly, **end.failed}))
            return problem, f"cannot be written there: {closed}" if closed else ""
    except (ObservationError, OSError, TimeoutError) as error:
        return str(error) or type(error).__name__, ""


def _try_pieces(folder: Path) -> dict[str, str]:
    """Return what a sandbox is made of, and of each why it does not work here ("" where it does)."""
    paths = json.dumps([path for path in sys.path if path])
    try:
        tried = subprocess.run(
            [sys.executable, "-I", "-S", "-c", _TRY, paths, str(folder)],
            capture_output=True,
            text=True,
            timeout=_PATIENCE,
            check=True,
        )
        return {str(name): str(why) for name, why in json.loads(tried.stdout).items()}
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        return {"the pieces of a sandbox": f"they could not be tried: {error}"}


def _try_strace() -> str:
    """Return why programs cannot be traced here; "" where they can."""
    strace = shutil.which("strace")
    if strace is None:
        return "not installed"
    argv = [strace, "-f", "-o", os.devnull, "-e", "trace=execve", "true"]
    try:
        tried = subprocess.run(argv, capture_output=True, text=True, timeout=_PATIENCE, check=False)
    except (OSError, subprocess.SubprocessError) as error:
        return str(error)
    return "" if tried.returncode == 0 else tried.stderr.strip()[-200:] or f"it ended with {tried.returncode}"
