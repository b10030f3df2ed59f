"""Run six examples of recording and print what there is to learn from them.

Their code, to read and to copy, is in `hearth.operations` (`src/hearth/operations/_examples.py`). Exit code 0 when all
came out as they say, 1 otherwise.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path

try:
    import hearth  # noqa: F401 - only to see whether it is installed
except ModuleNotFoundError:
    sys.path.insert(0, str(Path(__file__).resolve().parent / "src"))


def main() -> int:
    """Run the examples and print their lines."""
    from hearth.operations import EXAMPLES

    logging.getLogger("hearth").addHandler(logging.NullHandler())  # what they provoke on purpose is no news
    passed = 0
    for number, example in enumerate(EXAMPLES, 1):
        print(f"--- {number}. {example.name}: {(example.run.__doc__ or '').strip()}")
        try:
            for line in example.run():
                say(line)
            passed += 1
        except Exception as error:  # noqa: BLE001 - whatever is broken, the other examples still run
            say(f"FAILED: {error or type(error).__name__}")
        print()
    print(f"{passed}/{len(EXAMPLES)} PASSED")
    return 0 if passed == len(EXAMPLES) else 1


def say(line: str) -> None:
    """Print a line on a terminal of any encoding."""
    encoding = sys.stdout.encoding or "ascii"
    print(line.encode(encoding, "replace").decode(encoding))


if __name__ == "__main__":
    sys.exit(main())
