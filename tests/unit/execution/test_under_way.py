"""RunsUnderWay: runs of all processes are counted, and none begins while that is looked at."""

from __future__ import annotations

import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from hearth.errors import ConcurrencyRefusedError, GateRefusedError
from hearth.execution import RunsUnderWay

if TYPE_CHECKING:
    from pathlib import Path

CHILD = """
import sys
from pathlib import Path
from hearth.execution import RunsUnderWay
end = RunsUnderWay(Path(sys.argv[1])).begin()
print("begun", flush=True)
sys.stdin.read()
"""


def test_nothing_that_must_not_happen_during_a_run_does(tmp_path: Path) -> None:
    runs = RunsUnderWay(tmp_path / "locks")
    with runs.none("it is not restored"):
        pass
    ends = [runs.begin(), RunsUnderWay(tmp_path / "locks").begin()]
    with (
        pytest.raises(GateRefusedError, match=r"^it is not restored during a run \(2 under way\)"),
        runs.none("it is not restored"),
    ):
        pytest.fail("a run is under way")
    for end in ends:
        end()
        end()
    with runs.none("it is not restored"):
        pass


def test_a_run_of_another_process_counts_until_that_is_gone(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"begun\n"
        with pytest.raises(GateRefusedError, match="1 under way"), RunsUnderWay(tmp_path).none("no"):
            pytest.fail("a run is under way")
        child.kill()
    with RunsUnderWay(tmp_path).none("no"):
        pass


def test_no_run_begins_while_something_is_done(tmp_path: Path) -> None:
    begun = threading.Event()
    runs = RunsUnderWay(tmp_path)

    def begin() -> None:
        end = runs.begin()
        begun.set()
        end()

    with runs.none("no"):
        thread = threading.Thread(target=begin)
        thread.start()
        assert not begun.wait(0.2)
    thread.join(10)
    assert begun.is_set()


def test_a_folder_that_cannot_be_used_refuses(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConcurrencyRefusedError, match="nothing was started"):
        RunsUnderWay(tmp_path / "file").begin()
    with pytest.raises(GateRefusedError, match="cannot be found out"), RunsUnderWay(tmp_path / "file").none("no"):
        pytest.fail("nobody knows")
