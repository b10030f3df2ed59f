"""File names for ids that are the caller's strings."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from hearth.record import percent_decode, percent_encode

if TYPE_CHECKING:
    from pathlib import Path

IDS = [
    "exec-001",
    "user-import-20250901T120000Z-0a1b2c3d",
    "",
    ".",
    "..",
    "...",
    "../../etc/passwd",
    "/",
    "a/b",
    "a\\b",
    "C:evil",
    "nul\x00byte",
    "new\nline",
    "ünï",
    "\U0001f525",
    "lone \ud800",
    "%",
    "%2F",
    "a%b",
    "~",
    "a~b",
    "a b",
    " a ",
    "a.",
    ".hidden",
    "quote\"'<>|?*:",
    "x" * 180,
    "x" * 181,
    "x" * 5000,
    "é" * 100,
    "." * 300,
]


@pytest.mark.parametrize("execution_id", IDS, ids=lambda value: repr(value[:20]))
def test_the_name_is_one_harmless_component(execution_id: str, tmp_path: Path) -> None:
    name = percent_encode(execution_id)
    assert re.fullmatch(r"[A-Za-z0-9_%~-]([A-Za-z0-9_%~.-]*[A-Za-z0-9_%~-])?", name)
    assert len(name) <= 180
    path = tmp_path / f"{name}.journal"
    path.touch()
    assert [entry.name for entry in tmp_path.iterdir()] == [f"{name}.journal"]


def test_different_ids_have_different_names() -> None:
    many = [*IDS, *("y" * length for length in range(170, 400)), *("z" * 400 + str(number) for number in range(50))]
    assert len({percent_encode(execution_id) for execution_id in many}) == len(set(many))


@pytest.mark.parametrize("execution_id", [one for one in IDS if len(percent_encode(one)) < 180])
def test_a_name_that_was_not_shortened_gives_the_id_back(execution_id: str) -> None:
    assert percent_decode(percent_encode(execution_id)) == execution_id


def test_an_ordinary_id_is_its_own_name() -> None:
    assert percent_encode("user-import_20250901T120000Z-0a1b.2") == "user-import_20250901T120000Z-0a1b.2"
