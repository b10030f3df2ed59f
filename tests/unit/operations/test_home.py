"""Finding and making a ledger's folder."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest

from hearth.errors import LedgerError, LedgerNotFoundError
from hearth.operations import find_home, initialise

if TYPE_CHECKING:
    from pathlib import Path


def test_a_ledger_is_made_once(tmp_path: Path) -> None:
    first = initialise(tmp_path / ".hearth")
    second = initialise(tmp_path / ".hearth")
    assert (first.created, second.created) == (True, False)
    assert first.ledger_id == second.ledger_id
    assert first.home.root == tmp_path / ".hearth"


@pytest.mark.skipif(os.name != "posix", reason="modes")
def test_a_ledger_is_readable_by_its_owner_alone(tmp_path: Path) -> None:
    home = initialise(tmp_path / ".hearth").home
    assert stat.S_IMODE(home.root.stat().st_mode) == 0o700
    assert stat.S_IMODE(home.database.stat().st_mode) == 0o600


def test_records_stay_out_of_version_control(tmp_path: Path) -> None:
    home = initialise(tmp_path / ".hearth").home
    assert "*" in (home.root / ".gitignore").read_text().splitlines()


def test_where_a_ledger_was_none_is_begun(tmp_path: Path) -> None:
    home = initialise(tmp_path / ".hearth").home
    home.database.unlink()
    assert initialise(home.root).created, "nothing was kept there yet: as after an init that was cut short"
    home.database.unlink()
    (home.outputs / "aa").mkdir()
    (home.root / "plans").mkdir()
    (home.root / "plans" / "1.json").touch()
    with pytest.raises(LedgerError, match=r"still has outputs, plans.*restore the last backup"):
        initialise(home.root)
    assert not home.database.exists()


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    other = tmp_path / "photos"
    other.mkdir(mode=0o755)
    (other / "cat.jpg").write_bytes(b"cat")
    with pytest.raises(LedgerError, match="is not empty and holds no ledger"):
        initialise(other)
    assert [path.name for path in other.iterdir()] == ["cat.jpg"]
    assert stat.S_IMODE(other.stat().st_mode) == 0o755


def test_a_file_is_no_place_for_a_ledger(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(LedgerError, match="is a file"):
        initialise(tmp_path / "file")


def test_a_named_home_goes_before_the_search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    near = initialise(tmp_path / "near" / ".hearth").home
    far = initialise(tmp_path / "far").home
    monkeypatch.chdir(tmp_path / "near")
    assert find_home() == near
    assert find_home(far.root) == far


def test_a_named_home_that_is_not_there_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(LedgerNotFoundError, match=r"hearth --home .*nowhere init"):
        find_home(tmp_path / "nowhere")


def test_naming_the_folder_above_says_which_one_is_meant(tmp_path: Path) -> None:
    initialise(tmp_path / ".hearth")
    with pytest.raises(LedgerNotFoundError, match=r"--home .*\.hearth"):
        find_home(tmp_path)


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX modes")
def test_all_of_it_is_private_whatever_the_umask_is(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        root = initialise(tmp_path / ".hearth").home.root
    finally:
        os.umask(before)
    assert {path.name for path in (root, *root.rglob("*")) if path.stat().st_mode & 0o077} == set()
