"""The completion summary: the tests that it names exist, every row says what was measured, and none counts too many."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

if TYPE_CHECKING:
    from collections.abc import Mapping

SUMMARY = Path(__file__).resolve().parents[2] / "docs" / "STEP19_COMPLETION_SUMMARY.md"

Counts = Counter[tuple[Path, str]]


class Row(NamedTuple):
    """A row of a table: the tests that it names, the files that it links to, and what was measured."""

    line: int
    names: list[str]
    files: list[Path]
    measured: str

    @property
    def claimed(self) -> int:
        """How many tests the row says that there are."""
        found = re.search(r"\b(\d[\d,]*) tests?\b", self.measured)
        return int(found[1].replace(",", "")) if found else 0

    def collected(self, counts: Mapping[tuple[Path, str], int]) -> int:
        """How many there are: of the names, or in the whole files of a row that names none."""
        return sum(
            count
            for (file, name), count in counts.items()
            if file in self.files and (not self.names or name in self.names)
        )


def read_rows(text: str) -> list[Row]:
    """Return the rows of all tables, without their heads."""
    lines = [(number, line) for number, line in enumerate(text.splitlines(), 1) if line.startswith("|")]
    rules = {number for number, line in lines if re.fullmatch(r"[|: -]+", line)}
    return [
        Row(
            number,
            re.findall(r"`(test_\w+)`", line),
            [
                (SUMMARY.parent / file).resolve()
                for file in re.findall(r"\]\((\.\./(?:tests|benchmarks)/[^)#]+\.py)", line)
            ],
            line.rstrip().removesuffix("|").rpartition("|")[2].strip(),
        )
        for number, line in lines
        if number not in rules and number + 1 not in rules
    ]


def is_in(name: str, path: Path) -> bool:
    return re.search(rf"^\s*(?:async )?def {name}\(", path.read_text("utf-8"), re.MULTILINE) is not None


def lost_in(rows: list[Row]) -> list[str]:
    return [
        f"line {row.line}: {name}" for row in rows for name in row.names if not any(is_in(name, f) for f in row.files)
    ]


def without_figure(rows: list[Row]) -> list[int]:
    return [row.line for row in rows if not re.search(r"\d", re.sub(r"\]\([^)]*\)", "]", row.measured))]


def counting_too_many(rows: list[Row], counts: Counts) -> list[str]:
    """Name the rows that claim more tests than were collected; of those whose files were collected at all."""
    there = {file for file, _ in counts}
    return [
        f"line {row.line}: {row.claimed} tests claimed, {row.collected(counts)} found"
        for row in rows
        if row.files and there.issuperset(row.files) and row.claimed > row.collected(counts)
    ]


def test_the_tests_that_the_summary_names_exist() -> None:
    rows = read_rows(SUMMARY.read_text("utf-8"))
    assert sum(len(row.names) for row in rows) > 100
    assert lost_in(rows) == []


def test_every_row_says_what_was_measured() -> None:
    rows = read_rows(SUMMARY.read_text("utf-8"))
    assert len(rows) > 80
    assert without_figure(rows) == []


def test_no_row_counts_more_tests_than_there_are(request: pytest.FixtureRequest) -> None:
    options = request.config.option
    if options.keyword or options.lf or any("::" in argument for argument in request.config.args):
        pytest.skip("not all tests of a file were collected")
    counts: Counts = Counter(
        (item.path, item.originalname) for item in request.session.items if isinstance(item, pytest.Function)
    )
    assert counting_too_many(read_rows(SUMMARY.read_text("utf-8")), counts) == []


@pytest.mark.parametrize(
    "row, found",
    [
        (
            "| a | b | [here](../tests/e2e/test_summary.py) `test_the_tests_that_the_summary_names_exist` | 1 |",
            True,
        ),
        ("| a | [x](x.py) | [test_summary.py](../tests/e2e/test_summary.py) `test_no_such_thing` | 1 |", False),
        ("| a | [x](x.py) | `test_the_tests_that_the_summary_names_exist` | 1 |", False),
    ],
)
def test_a_test_that_is_not_there_would_be_found(row: str, found: bool) -> None:
    assert (lost_in(read_rows(row)) == []) is found


@pytest.mark.parametrize(
    "measured, found",
    [("12 tests", True), ("no library is loaded", False), ("", False), ("[bench](../benchmarks/1.md)", False)],
)
def test_a_row_without_a_figure_would_be_found(measured: str, found: bool) -> None:
    table = f"| what | shown by | measured |\n|---|---|---|\n| a | [x](../tests/x.py) `test_y` | {measured} |"
    assert (without_figure(read_rows(table)) == []) is found


@pytest.mark.parametrize("claimed, found", [(2, True), (3, True), (4, False)])
@pytest.mark.parametrize("names", ["`test_a` `test_b`", ""])
def test_a_count_that_is_too_high_would_be_found(claimed: int, found: bool, names: str) -> None:
    rows = read_rows(f"| a | [x](../tests/x.py) {names} | {claimed} tests |")
    file = SUMMARY.parents[1] / "tests" / "x.py"
    counts: Counts = Counter({(file, "test_a"): 2, (file, "test_b"): 1, (file.parent / "y.py", "test_a"): 5})
    assert (counting_too_many(rows, counts) == []) is found
    assert counting_too_many(rows, Counter({(file.parent / "y.py", "test_a"): 5})) == []  # it cannot be known
