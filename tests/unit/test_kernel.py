"""HearthKernel: posture, gate and subscribers in one process, from any thread."""

from __future__ import annotations

import logging
import re
import threading
from typing import TYPE_CHECKING

import pytest

from hearth.errors import (
    ConcurrencyRefusedError,
    DuplicateExecutionError,
    GateRefusedError,
    LedgerError,
    LedgerNotFoundError,
    RecordError,
    StepFailedError,
)
from hearth.execution import ContentStore, TaskResult
from hearth.kernel import HearthKernel, _InMemory
from hearth.ledger import Ledger, LedgerHome
from hearth.recorder import recover_journal
from hearth.security import BoundaryState, KeptPosture, LiveMode, Posture, SecurityState
from tests.unit.execution.executor_support import Note, handoff_plan, make_plan, notes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def test_a_new_kernel_is_well_in_dry_run_and_in_memory() -> None:
    kernel = HearthKernel()
    assert kernel.get_security_state() is SecurityState.OPERATIONAL
    assert kernel.get_boundary_state() is BoundaryState.NOMINAL
    assert kernel.posture == Posture()
    assert kernel.live_mode is LiveMode.DRY_RUN
    assert kernel.home is None
    with pytest.raises(LedgerNotFoundError, match=r"use HearthKernel\.open"):
        assert kernel.ledger


def test_escalating_worsens_tells_subscribers_and_disarms() -> None:
    kernel = HearthKernel()
    told: list[tuple[Posture, str]] = []
    end = kernel.subscribe(lambda posture, reason: told.append((posture, reason)))
    kernel.arm("LIVE", who="Ada", why="change 17")
    assert str(kernel.live_mode) == "LIVE"
    now = kernel.escalate("COMPROMISED", "an unknown key")
    assert now == kernel.posture == Posture(SecurityState.COMPROMISED)
    assert str(kernel.live_mode) == "DRY_RUN"
    assert told == [(now, "an unknown key")]
    assert kernel.escalate(SecurityState.DEGRADED, "nothing new") == now
    assert len(told) == 1, "what does not worsen is told to nobody"
    end()
    kernel.report_boundary(BoundaryState.ELEVATED, "a write outside")
    assert kernel.get_boundary_state() is BoundaryState.ELEVATED
    assert len(told) == 1
    end()


def test_a_subscriber_that_raises_keeps_nobody_else_from_knowing(caplog: pytest.LogCaptureFixture) -> None:
    kernel = HearthKernel()
    told: list[Posture] = []

    def broken(_posture: Posture, _reason: str) -> None:
        raise RuntimeError("no")

    kernel.subscribe(broken)
    kernel.subscribe(lambda posture, _: told.append(posture))
    with caplog.at_level(logging.ERROR):
        kernel.escalate("LOCKDOWN", "stop")
    assert told == [Posture(SecurityState.LOCKDOWN)]
    assert "a subscriber to the posture raised" in caplog.text


def test_a_subscriber_may_ask_the_kernel_from_another_thread() -> None:
    """Callbacks run outside the kernel's lock: waiting for a thread that uses the kernel must not hang."""
    kernel = HearthKernel()
    seen: list[Posture] = []

    def ask(_posture: Posture, _reason: str) -> None:
        thread = threading.Thread(target=lambda: seen.append(kernel.escalate("DEGRADED", "again")))
        thread.start()
        thread.join(5)

    kernel.subscribe(ask)
    kernel.escalate("LOCKDOWN", "stop")
    assert seen == [Posture(SecurityState.LOCKDOWN)]


def test_unknown_states_and_modes_are_errors_that_name_the_known_ones() -> None:
    kernel = HearthKernel()
    with pytest.raises(ValueError, match="'SUNNY' is no SecurityState; use one of OPERATIONAL"):
        kernel.escalate("SUNNY", "x")
    with pytest.raises(ValueError, match="'ELEVATED' is no SecurityState"):
        kernel.escalate("ELEVATED", "a boundary state")
    with pytest.raises(ValueError, match="'WARM' is no LiveMode"):
        kernel.arm("WARM", who="a", why="b")
    assert kernel.posture == Posture()


def test_arming_needs_who_why_and_a_posture() -> None:
    kernel = HearthKernel()
    with pytest.raises(GateRefusedError):
        kernel.arm("STAGING", who="", why="b")
    kernel.escalate("LOCKDOWN", "stop")
    with pytest.raises(GateRefusedError):
        kernel.arm("STAGING", who="a", why="b")
    assert kernel.live_mode is LiveMode.DRY_RUN


def test_restoring_is_explicit_arms_nothing_and_waits_for_runs() -> None:
    kernel = HearthKernel()
    kernel.arm("LIVE", who="Ada", why="x")
    end_run = kernel.begin_run()
    kernel.escalate("DEGRADED", "noise")
    with pytest.raises(GateRefusedError, match="during a run"):
        kernel.restore(who="Ada", why="it was noise")
    end_run()
    end_run()  # ends once
    with pytest.raises(GateRefusedError, match="needs who"):
        kernel.restore(who="", why="it was noise")
    assert kernel.restore(who="Ada", why="it was noise") == Posture()
    assert kernel.live_mode is LiveMode.DRY_RUN
    with pytest.raises(GateRefusedError, match="worse than the present posture"):
        kernel.restore(Posture(SecurityState.DEGRADED), who="Ada", why="x")


class ContestedStore:
    """Every first write meets a change that somebody else made meanwhile."""

    def __init__(self) -> None:
        self.kept = KeptPosture()
        self.contested = 0

    def load(self) -> KeptPosture:
        return self.kept

    def compare_and_set(self, expected: int, new: KeptPosture) -> bool:
        if not self.contested:
            self.contested += 1
            self.kept = KeptPosture(Posture(boundary=BoundaryState.COMPROMISED), self.kept.version + 1, "", "elsewhere")
        if expected != self.kept.version:
            return False
        self.kept = new
        return True


def test_a_change_by_somebody_else_is_never_overwritten() -> None:
    store = ContestedStore()
    kernel = HearthKernel(posture_store=store)
    kernel.escalate("DEGRADED", "here")
    assert kernel.posture == Posture(SecurityState.DEGRADED, BoundaryState.COMPROMISED)
    assert (store.kept.version, store.kept.why) == (2, "here")


def test_the_store_in_memory_refuses_what_was_decided_on_an_older_version() -> None:
    store = _InMemory()
    assert store.compare_and_set(0, KeptPosture(Posture(SecurityState.DEGRADED), 1, "", "first"))
    assert not store.compare_and_set(0, KeptPosture(Posture(), 1, "", "late"))
    assert store.load().why == "first"


def test_reports_from_many_threads_all_count() -> None:
    kernel = HearthKernel()
    told: list[Posture] = []
    kernel.subscribe(lambda posture, _: told.append(posture))
    states: list[SecurityState | BoundaryState] = [*SecurityState, *BoundaryState] * 8
    start = threading.Barrier(len(states))

    def report(state: SecurityState | BoundaryState) -> None:
        start.wait()
        if isinstance(state, SecurityState):
            kernel.escalate(state, str(state))
        else:
            kernel.report_boundary(state, str(state))

    threads = [threading.Thread(target=report, args=(state,)) for state in states]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert kernel.posture == Posture(SecurityState.LOCKDOWN, BoundaryState.LOCKDOWN)
    assert Posture(SecurityState.LOCKDOWN, BoundaryState.LOCKDOWN) in told
    assert len(set(told)) == len(told), "each worsening is told once"


def test_opening_where_no_ledger_is_says_what_to_do(tmp_path: object) -> None:
    with pytest.raises(LedgerNotFoundError, match="run `hearth init`"):
        HearthKernel.open(f"{tmp_path}/nowhere")


# --- with a ledger ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> LedgerHome:
    home = LedgerHome.create(tmp_path_factory.mktemp("ledger") / ".hearth")
    Ledger.open(home, create=True).close()
    return home


@pytest.fixture
def kernel(home: LedgerHome) -> Iterator[HearthKernel]:
    # STAGING on whatever a test acts on: approvals have tests of their own.
    home.policy.write_text('staging: {targets: ["*"]}\n')
    with HearthKernel.open(home) as kernel:
        kernel.arm("STAGING", who="Ada", why="a test")
        yield kernel
    with pytest.raises(LedgerNotFoundError):
        assert kernel.ledger
    kernel.close()  # a second time does nothing


def test_it_opens_by_the_folder_too(home: LedgerHome) -> None:
    with HearthKernel.open(home.root) as by_path, HearthKernel.open(str(home.root)) as by_name:
        assert by_path.home == by_name.home == home
        assert by_path.ledger.ledger_id == by_name.ledger.ledger_id
        assert (by_path.posture, by_path.live_mode) == (Posture(), LiveMode.DRY_RUN)


def test_a_folder_without_a_database_is_no_ledger_and_stays_as_it_is(tmp_path: Path) -> None:
    empty = LedgerHome.create(tmp_path / ".hearth")
    with pytest.raises(LedgerError):
        HearthKernel.open(empty)
    assert not empty.database.exists()


def test_records_of_all_ends_are_stored_and_then_their_journals_go(kernel: HearthKernel, tmp_path: Path) -> None:
    home = kernel.home
    assert home is not None
    journals: list[bool] = []
    task = Note(hooks={"look": lambda _: journals.append(home.journal_path("run/1").exists())})
    plan = make_plan(tmp_path, [{"call": "look"}, {"text": "two"}], task=task)
    executor = kernel.executor(tasks={"note": task}, initiator="ada")
    result = executor.execute(plan, execution_id="run/1")
    assert journals == [True]
    stored = kernel.ledger.get("run/1")
    assert stored == result.execution_record
    assert stored.verify()
    assert (stored.started["ledger_id"], stored.started["initiator"]) == (kernel.ledger.ledger_id, "ada")
    failing = make_plan(tmp_path, [{"fail": "no"}], task=task)
    with pytest.raises(StepFailedError) as caught:
        executor.execute(failing, execution_id="run/2")
    assert kernel.ledger.get("run/2") == caught.value.execution_record
    assert list(home.journals.iterdir()) == list(home.runs.iterdir()) == []


def test_disclosable_values_reach_the_ledger_beside_the_record_and_nobody_else(
    kernel: HearthKernel, tmp_path: Path
) -> None:
    def sell(_: object) -> TaskResult:
        return TaskResult(details={"customer": "Ada Lovelace"})

    task = Note(hooks={"sell": sell})
    plan = make_plan(tmp_path, [{"call": "sell"}], task=task, disclosable=["customer"])
    record = kernel.executor(tasks={"note": task}).execute(plan).execution_record
    assert "Lovelace" not in str(record.to_dict())
    (kept,) = kernel.ledger.disclosures(record.execution_id)
    assert kept.value == "Ada Lovelace"
    assert kept.opens()


def test_outputs_are_kept_in_the_ledger_s_store(kernel: HearthKernel, tmp_path: Path) -> None:
    assert kernel.home is not None
    digests: list[str] = []
    task = Note(hooks={"keep": lambda context: digests.append(context.store.put(b"whole"))})
    kernel.executor(tasks={"note": task}).execute(make_plan(tmp_path, [{"call": "keep"}], task=task))
    assert ContentStore(kernel.home.outputs).read(digests[0]) == b"whole"


def test_an_execution_id_that_the_ledger_holds_is_refused_before_anything_acts(
    kernel: HearthKernel, tmp_path: Path
) -> None:
    task = Note()
    executor = kernel.executor(tasks={"note": task})
    plan = make_plan(tmp_path, [{"text": "one"}], task=task)
    executor.execute(plan, execution_id="twice")
    with pytest.raises(DuplicateExecutionError, match="already holds an execution twice; choose another id"):
        executor.execute(plan, execution_id="twice")
    assert notes(tmp_path) == ["one"]


def test_the_id_of_a_damaged_record_is_taken_as_well(
    kernel: HearthKernel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def damaged(_self: Ledger, _execution_id: str) -> None:
        raise RecordError("not a record")

    task = Note()
    executor = kernel.executor(tasks={"note": task})
    plan = make_plan(tmp_path, [{"text": "one"}], task=task)
    executor.execute(plan, execution_id="to be damaged")
    monkeypatch.setattr(Ledger, "get", damaged)
    with pytest.raises(DuplicateExecutionError):
        executor.execute(plan, execution_id="to be damaged")


def test_a_record_that_the_ledger_cannot_store_keeps_its_journal(
    kernel: HearthKernel, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The ledger is closed while the run is under way: a real failure of the store."""
    assert kernel.home is not None
    task = Note(hooks={"close": lambda _: kernel.close()})
    executor = kernel.executor(tasks={"note": task})
    with caplog.at_level(logging.ERROR), pytest.raises(LedgerError, match="`hearth recover` stores it"):
        executor.execute(make_plan(tmp_path, [{"call": "close"}], task=task), execution_id="unstored")
    journal = kernel.home.journal_path("unstored")
    assert recover_journal(journal).outcome == "sealed"
    with HearthKernel.open(kernel.home) as again:
        recovered = recover_journal(journal).record
        assert recovered is not None
        assert again.ledger.store(recovered)
    journal.unlink()


def test_runs_of_a_plan_are_counted_over_all_kernels_of_a_ledger(kernel: HearthKernel, tmp_path: Path) -> None:
    assert kernel.home is not None
    refusals: list[str] = []

    def run_again(_: object) -> None:
        with HearthKernel.open(kernel.home or "") as other:
            other.arm("STAGING", who="Bob", why="at the same time")
            try:
                other.executor(tasks={"note": task}).execute(plan)
            except ConcurrencyRefusedError as refusal:
                refusals.append(str(refusal))

    task = Note(hooks={"again": run_again})
    plan = make_plan(tmp_path, [{"call": "again"}], task=task)
    kernel.executor(tasks={"note": task}).execute(plan, execution_id="the-first")
    assert len(refusals) == 1
    assert "the-first" in refusals[0]


def test_staging_follows_the_policy_file_and_an_unreadable_one_stops_everything(
    kernel: HearthKernel, tmp_path: Path
) -> None:
    assert kernel.home is not None
    task = Note()
    plan = make_plan(tmp_path, [{"text": "one"}], task=task)
    kernel.home.policy.unlink()
    with pytest.raises(GateRefusedError, match=r"policy\.yaml does not list for STAGING; .* add `- ") as caught:
        kernel.executor(tasks={"note": task}).execute(plan)
    (line,) = re.findall(r"add `(- .*)` under", str(caught.value))
    kernel.home.policy.write_text(f"staging:\n  targets:\n    {line}\n")
    try:
        assert kernel.executor(tasks={"note": task}).execute(plan).execution_record.live_mode_state == "STAGING"
        kernel.home.policy.write_text("stagin: {}\n")
        with pytest.raises(GateRefusedError, match="unknown key stagin"):
            kernel.executor(tasks={"note": task})
    finally:
        kernel.home.policy.unlink()
    assert notes(tmp_path) == ["one"]


def test_a_function_s_plan_is_recorded_in_the_ledger_too(kernel: HearthKernel) -> None:
    kernel.arm("DRY_RUN", who="", why="")
    result = kernel.executor(lambda _: None).execute(handoff_plan("a", "b"))
    assert kernel.ledger.get(result.execution_record.execution_id) == result.execution_record


def test_in_memory_an_executor_needs_no_ledger() -> None:
    assert HearthKernel().executor(lambda _: None).execute(handoff_plan("a")).steps_completed == 1
