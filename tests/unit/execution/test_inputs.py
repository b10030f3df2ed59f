"""PlanGuard: the plan's inputs and their copies are looked at again, and cheaply."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

import pytest

from hearth.errors import PlanChangedError
from hearth.execution import _inputs
from hearth.execution._inputs import PlanGuard
from hearth.plan import InputCopies, Plan
from tests.unit.execution.executor_support import make_plan


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    (tmp_path / "data.csv").write_text("a,b\n")
    (tmp_path / "more.csv").write_text("c,d\n")
    return make_plan(tmp_path, [{"text": "x"}, {"text": "y"}], inputs=["data.csv", "more.csv"])


@pytest.fixture
def copies(plan: Plan, tmp_path: Path) -> InputCopies:
    return InputCopies.create(plan, tmp_path / "run")


def guard_of(plan: Plan, copies: InputCopies) -> PlanGuard:
    guard = PlanGuard(plan)
    guard.add_copies(plan, copies)
    return guard


def test_what_did_not_change_passes_every_time(plan: Plan, copies: InputCopies) -> None:
    guard = guard_of(plan, copies)
    for _ in range(3):
        for step in plan.steps:
            guard.check(step)


def test_a_changed_input_is_named(plan: Plan, copies: InputCopies) -> None:
    guard = guard_of(plan, copies)
    guard.check(plan.steps[0])
    (plan.folder / "more.csv").write_text("c,e\n")
    with pytest.raises(PlanChangedError, match=r"the input more.csv is not the approved one any more: its SHA-256 is"):
        guard.check(plan.steps[1])


def test_a_changed_private_copy_is_named(plan: Plan, copies: InputCopies) -> None:
    guard = guard_of(plan, copies)
    Path(copies.resolve("data.csv")).write_text("a,c\n")
    with pytest.raises(PlanChangedError, match=r"the private copy of the input data.csv"):
        guard.check(plan.steps[0])


def test_a_removed_input_is_named(plan: Plan, copies: InputCopies) -> None:
    guard = guard_of(plan, copies)
    (plan.folder / "data.csv").unlink()
    with pytest.raises(PlanChangedError, match=r"the input data.csv cannot be read any more"):
        guard.check(plan.steps[0])


def test_a_change_that_restores_size_and_time_of_modification_is_seen(plan: Plan, copies: InputCopies) -> None:
    settle(plan, copies)
    guard = guard_of(plan, copies)
    path = plan.folder / "data.csv"
    before = path.stat()
    path.write_text("b,a\n")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (path.stat().st_mtime_ns, path.stat().st_size) == (before.st_mtime_ns, before.st_size)
    settle(plan, copies)
    with pytest.raises(PlanChangedError):
        guard.check(plan.steps[0])


def test_a_change_within_the_system_s_tick_is_seen(plan: Plan, copies: InputCopies) -> None:
    """Two writes in one tick leave the same times; a file that is so young is hashed whatever they say."""
    guard = guard_of(plan, copies)
    for round_ in range(20):
        path = plan.folder / "data.csv"
        path.write_text("b,a\n")
        with pytest.raises(PlanChangedError):
            guard.check(plan.steps[0])
        path.write_text("a,b\n")
        guard.check(plan.steps[round_ % 2])


def test_the_times_of_a_young_file_are_not_trusted(plan: Plan, copies: InputCopies) -> None:
    settle(plan, copies)
    path = plan.folder / "data.csv"
    assert _inputs._fingerprint(path) == _inputs._fingerprint(path) is not None
    path.write_text("a,b\n")
    assert _inputs._fingerprint(path) is None
    assert _inputs._fingerprint(plan.folder / "nothing") is None


def test_settled_files_are_not_read_again(plan: Plan, copies: InputCopies, monkeypatch: pytest.MonkeyPatch) -> None:
    settle(plan, copies)
    guard = guard_of(plan, copies)

    def refuse(*_: object) -> None:
        raise AssertionError("hashed")

    monkeypatch.setattr(hashlib, "file_digest", refuse)
    guard.check(plan.steps[0])
    (plan.folder / "data.csv").write_text("a,b\n")
    with pytest.raises(AssertionError, match="hashed"):
        guard.check(plan.steps[0])


def test_parameters_that_were_tampered_with_are_refused(plan: Plan, copies: InputCopies) -> None:
    guard = guard_of(plan, copies)
    params = plan.steps[1].params
    with pytest.raises(TypeError):
        params["text"] = "something else"
    dict.__setitem__(params, "text", "something else")
    guard.check(plan.steps[0])
    with pytest.raises(PlanChangedError, match="its parameters are not what they were"):
        guard.check(plan.steps[1])


def settle(plan: Plan, copies: InputCopies) -> None:
    """Make all files old enough for their times to be trusted."""
    newest = max(path.stat().st_ctime_ns for path in (*plan.folder.glob("*.csv"), *copies.folder.rglob("*")))
    while time.time_ns() - newest < 2 * _inputs._SETTLED_NS:
        time.sleep(0.01)


def test_a_working_folder_that_is_another_one_is_found(plan: Plan, tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    (tmp_path / "here").symlink_to("one")
    moved = make_plan(tmp_path, [{"text": "x"}], cwd="here")
    guard = PlanGuard(moved)
    guard.check(moved.steps[0])
    (tmp_path / "here").unlink()
    (tmp_path / "here").symlink_to("two")
    with pytest.raises(PlanChangedError, match="its working folder"):
        guard.check(moved.steps[0])
    (tmp_path / "here").unlink()
    with pytest.raises(PlanChangedError, match="its working folder"):
        guard.check(moved.steps[0])


@pytest.mark.parametrize(
    "what, value", [("timeout", 1.0), ("name", "other"), ("params", {"text": "z"}), ("env", {"A": "b"})]
)
def test_a_step_that_was_changed_since_is_found(plan: Plan, what: str, value: object) -> None:
    guard = PlanGuard(plan)
    guard.check(plan.steps[1])
    object.__setattr__(plan.steps[1], what, value)
    with pytest.raises(PlanChangedError, match="not what they were"):
        guard.check(plan.steps[1])


@pytest.mark.parametrize("what, value", [("env", {"A": "b"}), ("cwd", Path("/")), ("folder", Path("/"))])
def test_a_plan_that_was_changed_since_is_found(plan: Plan, what: str, value: object) -> None:
    guard = PlanGuard(plan)
    object.__setattr__(plan, what, value)
    with pytest.raises(PlanChangedError, match="not what they were"):
        guard.check(plan.steps[0])
