"""Check that recording works here: eight checks, one line each, exit code 0 when all pass and 1 otherwise.

The checks are in `hearth.operations`; nothing is written anywhere.
"""

from __future__ import annotations

import importlib
import logging
import sys
from pathlib import Path

try:
    import hearth  # noqa: F401 - only to see whether it is installed
except ModuleNotFoundError:
    sys.path.insert(0, str(Path(__file__).resolve().parent / "src"))


def main() -> int:
    """Run the checks and print their outcome."""
    from hearth.operations import checks

    logging.getLogger("hearth").addHandler(logging.NullHandler())  # what they provoke on purpose is no news
    found = checks(importlib.import_module)
    passed = 0
    for number, check in enumerate(found, 1):
        try:
            outcome = f"PASSED  {check.name}: {check.run()}"
            passed += 1
        except Exception as error:  # noqa: BLE001 - whatever is broken, the other checks still run
            outcome = f"FAILED  {check.name}: {error or type(error).__name__}"
        print(f"[{number}/{len(found)}] {outcome}")
    print(f"{passed}/{len(found)} PASSED")
    return 0 if passed == len(found) else 1


if __name__ == "__main__":
    sys.exit(main())
