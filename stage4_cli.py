"""Run a plan through Stage 4 and save its record as `executions/<id>.json`, without a ledger.

    python stage4_cli.py --test-observation      a small real plan, in a temporary folder
    python stage4_cli.py PLAN_FILE               a dry run; --mode live --yes --reason TEXT acts

The code is in `hearth.cli` and `hearth.operations`; `hearth run` does the same with a ledger.
"""

from __future__ import annotations

import sys
from pathlib import Path

try:
    import hearth  # noqa: F401 - only to see whether it is installed
except ModuleNotFoundError:
    sys.path.insert(0, str(Path(__file__).resolve().parent / "src"))

if __name__ == "__main__":
    from hearth.cli import stage4

    stage4()
