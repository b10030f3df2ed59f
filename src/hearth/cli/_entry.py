"""Where a process starts: the command line is loaded, and run. A Ctrl-C while it is being loaded ends it quietly."""

from __future__ import annotations

import sys
from importlib import import_module

__all__ = ["main", "stage4"]

_INTERRUPTED = 130  # as Exit.INTERRUPTED, which would have to be loaded


def main() -> None:
    """Run `hearth`; ends the process with an exit code."""
    _run("_main")


def stage4() -> None:
    """Run the handoff's script `stage4_cli.py`; ends the process with `hearth`'s exit codes."""
    _run("_stage4")


def _run(module: str) -> None:
    """Load a module of this package and call its `main`. It answers for what it does; this, for the time around it."""
    try:
        import_module(f"hearth.cli.{module}").main()
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)
