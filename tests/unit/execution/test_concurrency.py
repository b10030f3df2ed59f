"""Slots of a plan: as many as it allows, given back however a run ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from hearth.errors import ConcurrencyRefusedError
from hearth.execution._concurrency import plan_slot

if TYPE_CHECKING:
    from pathlib import Path

HOLD = """
import sys
from pathlib import Path
from hearth.execution._concurrency import plan_slot
with plan_slot(Path(sys.argv[1]), "user-import", 1, "run-of-the-child"):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_as_many_as_the_plan_allows(tmp_path: Path) -> None:
    with ExitStack() as stack:
        stack.enter_context(plan_slot(tmp_path, "p", 2, "run-a"))
        stack.enter_context(plan_slot(tmp_path, "p", 2, "run-b"))
        with pytest.raises(ConcurrencyRefusedError, match="allows 2 runs at a time, and there is run-a, run-b;"):
            stack.enter_context(plan_slot(tmp_path, "p", 2, "run-c"))
        stack.enter_context(plan_slot(tmp_path, "another/plan", 1, "run-d"))
    with plan_slot(tmp_path, "p", 1, "run-e"):
        pass


def test_a_run_that_fails_gives_its_slot_back(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), plan_slot(tmp_path, "p", 1, "run-a"):
        raise RuntimeError
    with plan_slot(tmp_path, "p", 1, "run-b"):
        pass


def test_the_refusal_names_the_present_holder_not_an_earlier_one(tmp_path: Path) -> None:
    with plan_slot(tmp_path, "p", 1, "a-run-with-a-long-name"):
        pass
    with plan_slot(tmp_path, "p", 1, "run-b"), pytest.raises(ConcurrencyRefusedError, match="there is run-b;"):
        plan_slot(tmp_path, "p", 1, "run-c").__enter__()


def test_plans_with_odd_names_do_not_meet(tmp_path: Path) -> None:
    with ExitStack() as stack:
        for name in ("a", "a.0", "a/0", "../a", "", ".", "ä", "x" * 400):
            stack.enter_context(plan_slot(tmp_path / "locks", name, 1, f"run of {name}"))
    assert [path.name for path in tmp_path.iterdir()] == ["locks"]


def test_another_process_counts_and_its_death_frees_the_slot(tmp_path: Path) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with child:
        assert child.stdout is not None
        assert child.stdout.readline() == "held\n"
        with pytest.raises(ConcurrencyRefusedError, match="there is run-of-the-child; wait for its end"):
            plan_slot(tmp_path, "user-import", 1, "mine").__enter__()
        child.send_signal(getattr(signal, "SIGKILL", signal.SIGTERM))
        child.wait()
    with plan_slot(tmp_path, "user-import", 1, "mine"):
        pass


def test_a_folder_that_cannot_be_used_refuses_the_run(tmp_path: Path) -> None:
    (tmp_path / "locks").write_text("in the way")
    with pytest.raises(ConcurrencyRefusedError, match=r"cannot be counted.*nothing was started"):
        plan_slot(tmp_path / "locks", "p", 1, "run").__enter__()


@pytest.mark.skipif(os.name != "posix", reason="symbolic links as on POSIX")
def test_a_link_in_place_of_a_slot_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("precious")
    (tmp_path / "p.0.lock").symlink_to(tmp_path / "victim")
    with pytest.raises(ConcurrencyRefusedError):
        plan_slot(tmp_path, "p", 1, "run").__enter__()
    assert (tmp_path / "victim").read_text() == "precious"
