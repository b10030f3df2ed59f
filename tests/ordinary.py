"""Running a program as an ordinary user from tests that run as root: under another user, without any capability."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

__all__ = ["NOBODY", "run_as_nobody", "why_not"]

NOBODY = 65534
_NEWNS = 0x20000
_BIND, _REC, _PRIVATE = 4096, 16384, 1 << 18
_DETACH = 2


def run_as_nobody(argv: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a program as nobody; needs root. Where the interpreter's own folder is closed to others, it is opened there.

    That happens in a mount namespace of the program's own: nobody else sees it.
    """
    return subprocess.run(
        [sys.executable, __file__, *argv],
        env={"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1", "LC_ALL": "C.UTF-8", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@cache
def why_not() -> str:
    """Return why that cannot be done here; "" where it can."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "only root can become another user"
    tried = run_as_nobody([sys.executable, "-c", "import os; raise SystemExit(os.geteuid() != 65534)"])
    return "" if tried.returncode == 0 else f"nobody cannot run the interpreter: {tried.stderr.strip()[-200:]}"


def _closed_folder(path: Path) -> Path | None:
    """Return the first folder on the way to `path` that others may not pass."""
    return next((one for one in [*reversed(path.parents), path] if not one.stat().st_mode & 0o001), None)


def _mount(source: str, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    texts = [None if text is None else text.encode() for text in (source, target, kind)]
    if libc.mount(*texts, ctypes.c_ulong(flags), None if data is None else data.encode()) != 0:
        raise OSError(ctypes.get_errno(), f"mount {source} {target}")


def _open_up(interpreter: Path) -> None:
    """Cover the folder that is closed by an empty one that has the interpreter's own folder alone."""
    closed = _closed_folder(interpreter)
    if closed is None:
        return
    _mount("none", "/", None, _REC | _PRIVATE)
    aside = tempfile.mkdtemp()
    _mount(str(interpreter), aside, None, _BIND)
    _mount("none", str(closed), "tmpfs", 0, "mode=755")
    interpreter.mkdir(parents=True)
    _mount(aside, str(interpreter), None, _BIND)
    # A mount below a folder is what keeps an ordinary user from an overlay over it.
    if ctypes.CDLL(None, use_errno=True).umount2(os.fsencode(aside), _DETACH) != 0:
        raise OSError(ctypes.get_errno(), f"umount {aside}")
    Path(aside).rmdir()


def _main() -> None:
    if ctypes.CDLL(None, use_errno=True).unshare(_NEWNS) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    _open_up(Path(sys.base_prefix).resolve())
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)
    os.execvp(sys.argv[1], sys.argv[1:])  # noqa: S606 - the test's own program


if __name__ == "__main__":
    _main()
