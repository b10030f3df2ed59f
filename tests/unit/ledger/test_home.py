from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from hearth.errors import HearthError, LedgerError, LedgerNotFoundError
from hearth.ledger import HOME_VARIABLE, LedgerHome

posix_only = pytest.mark.skipif(os.name != "posix", reason="modes and owners are POSIX's")


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_paths_stand_in_the_folder(tmp_path: Path) -> None:
    home = LedgerHome(tmp_path / "h")
    inside = (home.database, home.journals, home.outputs, home.runs, home.quarantine, home.locks, home.policy)
    assert [path.parent for path in inside] == [home.root] * 7
    assert [path.name for path in inside] == [
        "ledger.db",
        "journals",
        "outputs",
        "runs",
        "quarantine",
        "locks",
        "policy.yaml",
    ]
    assert not home.root.exists()


def test_a_relative_folder_becomes_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    home = LedgerHome(Path("h"))
    monkeypatch.chdir("/")
    assert home.root == tmp_path / "h"


@posix_only
@pytest.mark.parametrize("umask", [0o000, 0o022, 0o277])
def test_folders_are_private_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        home = LedgerHome.create(tmp_path / ".hearth")
    finally:
        os.umask(before)
    folders = [home.root, home.journals, home.outputs, home.runs, home.quarantine, home.locks]
    assert [mode_of(path) for path in folders] == [0o700] * 6


@posix_only
def test_create_closes_what_stood_open_and_keeps_the_rest(tmp_path: Path) -> None:
    (tmp_path / ".hearth/journals").mkdir(parents=True, mode=0o755)
    (tmp_path / ".hearth/journals/a.journal").write_text("kept")
    home = LedgerHome.create(tmp_path / ".hearth")
    assert mode_of(home.root) == mode_of(home.journals) == 0o700
    assert home.journals.joinpath("a.journal").read_text() == "kept"


def test_create_names_what_is_in_its_way(tmp_path: Path) -> None:
    (tmp_path / ".hearth").write_text("")
    with pytest.raises(LedgerError, match="cannot be made and kept private"):
        LedgerHome.create(tmp_path / ".hearth")


def test_find_goes_upward(tmp_path: Path) -> None:
    LedgerHome.create(tmp_path / ".hearth")
    deep = tmp_path / "a/b/c"
    deep.mkdir(parents=True)
    assert LedgerHome.find(deep, environ={}).root == tmp_path / ".hearth"


def test_find_takes_the_nearest(tmp_path: Path) -> None:
    LedgerHome.create(tmp_path / ".hearth")
    LedgerHome.create(tmp_path / "a/.hearth")
    assert LedgerHome.find(tmp_path / "a", environ={}).root == tmp_path / "a/.hearth"


def test_find_starts_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    LedgerHome.create(tmp_path / ".hearth")
    monkeypatch.chdir(tmp_path)
    assert LedgerHome.find().root == tmp_path / ".hearth"


def test_the_variable_goes_first(tmp_path: Path) -> None:
    LedgerHome.create(tmp_path / ".hearth")
    other = LedgerHome.create(tmp_path / "other")
    assert LedgerHome.find(tmp_path, environ={HOME_VARIABLE: str(other.root)}) == other
    assert LedgerHome.find(tmp_path, environ={HOME_VARIABLE: ""}).root == tmp_path / ".hearth"


def test_find_without_a_ledger_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(LedgerNotFoundError, match="run `hearth init`"):
        LedgerHome.find(tmp_path, environ={})
    with pytest.raises(LedgerNotFoundError, match=r"HEARTH_HOME names .*nowhere.*`hearth init`"):
        LedgerHome.find(tmp_path, environ={HOME_VARIABLE: str(tmp_path / "nowhere")})


@posix_only
def test_somebody_elses_folder_is_not_taken_silently(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    LedgerHome.create(tmp_path / ".hearth")
    monkeypatch.setattr(os, "geteuid", lambda: tmp_path.stat().st_uid + 1)
    with pytest.raises(LedgerError, match="belongs to another user"):
        LedgerHome.find(tmp_path, environ={})
    assert LedgerHome.find(tmp_path, environ={HOME_VARIABLE: str(tmp_path / ".hearth")}).root == tmp_path / ".hearth"


@pytest.mark.parametrize(
    "execution_id", ["../../etc/passwd", "..", "", "a/b", "x" * 5000, "näïve ☃", "\x00", ".hidden"]
)
def test_a_journal_stands_in_its_folder_whatever_the_id(tmp_path: Path, execution_id: str) -> None:
    home = LedgerHome.create(tmp_path / ".hearth")
    path = home.journal_path(execution_id)
    assert path.parent == home.journals
    assert path.name.endswith(".journal")
    path.write_text("a name that the file system takes")


def test_no_database_library_is_loaded_for_a_home(tmp_path: Path) -> None:
    code = (
        "import sys; from hearth.ledger import LedgerHome, ExecutionSummary\n"
        f"LedgerHome.create({str(tmp_path / '.hearth')!r}); LedgerHome.find({str(tmp_path)!r}, environ={{}})\n"
        "print([name for name in ('sqlalchemy', 'alembic', 'sqlite3') if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"


def test_all_errors_are_of_the_house() -> None:
    assert issubclass(LedgerNotFoundError, LedgerError)
    assert issubclass(LedgerError, HearthError)
