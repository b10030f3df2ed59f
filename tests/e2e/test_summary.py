"""Every test that the completion summary names is in a file that its row links to."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

SUMMARY = Path(__file__).resolve().parents[2] / "docs" / "STEP19_COMPLETION_SUMMARY.md"


def named_tests(text: str) -> list[tuple[int, str, list[str]]]:
    """Return line, name and linked test files of each test that a row of a table names."""
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.startswith("|"):
            continue
        files = re.findall(r"\]\((\.\./(?:tests|benchmarks)/[^)#]+\.py)", line)
        found += [(number, name, files) for name in re.findall(r"`(test_\w+)`", line)]
    return found


def is_in(name: str, path: Path) -> bool:
    return re.search(rf"^\s*(?:async )?def {name}\(", path.read_text("utf-8"), re.MULTILINE) is not None


def test_the_tests_that_the_summary_names_exist() -> None:
    named = named_tests(SUMMARY.read_text("utf-8"))
    assert len(named) > 100
    lost = [
        f"line {number}: {name}"
        for number, name, files in named
        if not any(is_in(name, SUMMARY.parent / file) for file in files)
    ]
    assert lost == []


@pytest.mark.parametrize(
    "row, found",
    [
        (
            "| a | [x](x.py) | [here](../tests/e2e/test_summary.py) `test_the_tests_that_the_summary_names_exist` |",
            True,
        ),
        ("| a | [x](x.py) | [test_summary.py](../tests/e2e/test_summary.py) `test_no_such_thing` |", False),
        ("| a | [x](x.py) | `test_the_tests_that_the_summary_names_exist` |", False),
    ],
)
def test_a_test_that_is_not_there_would_be_found(row: str, found: bool) -> None:
    ((_, name, files),) = named_tests(row)
    assert any(is_in(name, SUMMARY.parent / file) for file in files) is found
