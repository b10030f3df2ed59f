"""`python -m hearth` is the command `hearth`."""

from __future__ import annotations

from hearth.cli import main

if __name__ == "__main__":
    main()
