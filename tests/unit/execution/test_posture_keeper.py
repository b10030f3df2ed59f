"""PostureKeeper: what another process changes is noticed once; what cannot be read during a run is doubt."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

from hearth.errors import GateRefusedError, LedgerError
from hearth.execution import PostureKeeper
from hearth.security import Artemis, KeptPosture, LiveMode, LiveModeGate, Posture, SecurityState

if TYPE_CHECKING:
    from collections.abc import Callable

LOCKED = Posture(SecurityState.LOCKDOWN)


class Store:
    """A store that several keepers share, and that can be broken."""

    def __init__(self) -> None:
        self.kept = KeptPosture()
        self.broken = self.closed = ""

    def load(self) -> KeptPosture:
        if self.broken:
            raise LedgerError(self.broken)
        return self.kept

    def compare_and_set(self, expected: int, new: KeptPosture) -> bool:
        if self.closed:
            raise LedgerError(self.closed)
        if self.kept.version != expected:
            return False
        self.kept = new
        return True

    def elsewhere(self, posture: Posture, why: str = "elsewhere") -> None:
        self.kept = KeptPosture(posture, self.kept.version + 1, "Bob", why, "test")


def keeper_of(store: Store, sense: Callable[[], object] = lambda: None) -> PostureKeeper:
    return PostureKeeper(store, shared=True, sense=sense)


def armed(keeper: PostureKeeper) -> PostureKeeper:
    keeper.arm(lambda gate, posture: gate.arm(LiveMode.STAGING, who="Ada", why="x", posture=posture))
    return keeper


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.005)


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "hearth-posture"]


def test_a_look_notices_what_another_process_changed_once() -> None:
    store = Store()
    keeper = armed(keeper_of(store))
    told: list[tuple[Posture, str]] = []
    keeper.subscribe(lambda posture, reason: told.append((posture, reason)))
    assert keeper.gate.mode is LiveMode.STAGING
    store.elsewhere(LOCKED)
    assert keeper.gate == LiveModeGate(
        why="fell back from STAGING: the posture worsened from OPERATIONAL/NOMINAL to LOCKDOWN/NOMINAL"
    )
    keeper.load()
    assert told == [(LOCKED, "elsewhere (by Bob)")]
    store.elsewhere(Posture())
    assert keeper.load().posture == Posture()
    assert str(keeper.gate.mode) == "DRY_RUN", "a better posture arms nothing"
    assert len(told) == 1


def test_the_watch_looks_only_while_a_run_is_under_way() -> None:
    store = Store()
    sensed: list[int] = []
    keeper = keeper_of(store, lambda: sensed.append(1))
    told: list[Posture] = []
    keeper.subscribe(lambda posture, _: told.append(posture))
    ends = [keeper.begin_run(), keeper.begin_run()]
    assert len(threads()) == 1
    store.elsewhere(LOCKED)
    wait_for(lambda: told == [LOCKED])
    wait_for(lambda: bool(sensed))
    ends[0]()
    ends[0]()
    assert len(threads()) == 1
    ends[1]()
    wait_for(lambda: not threads())


def test_a_store_that_cannot_be_read_during_a_run_stops_it() -> None:
    store = Store()
    keeper = armed(keeper_of(store))
    told: list[tuple[Posture, str]] = []
    keeper.subscribe(lambda posture, reason: told.append((posture, reason)))
    end = keeper.begin_run()
    store.broken = "ledger.db: a bad disk"
    wait_for(lambda: bool(told))
    (posture, reason) = told[0]
    assert posture.security is SecurityState.LOCKDOWN
    assert reason == "the posture cannot be read, so it may be LOCKDOWN: ledger.db: a bad disk"
    store.broken = ""
    assert keeper.gate.mode is LiveMode.DRY_RUN
    with pytest.raises(LedgerError, match="may be LOCKDOWN"):
        keeper.load()
    end()
    assert keeper.load().posture == Posture(), "after the run one may look again"
    assert len(told) == 1


def test_a_sensor_that_dies_is_doubt_which_the_others_get_to_know() -> None:
    store = Store()

    def die() -> None:
        raise ZeroDivisionError

    keeper = keeper_of(store, die)
    told: list[str] = []
    keeper.subscribe(lambda _, reason: told.append(reason))
    end = keeper.begin_run()
    wait_for(lambda: bool(told) and store.kept.version == 1)
    end()
    assert "ZeroDivisionError" in told[0]
    assert (store.kept.posture, store.kept.source) == (Posture(SecurityState.DEGRADED), "watch")


def test_what_cannot_be_kept_stops_this_process_all_the_same() -> None:
    store = Store()
    keeper = armed(keeper_of(store))
    told: list[str] = []
    keeper.subscribe(lambda _, reason: told.append(reason))
    end = keeper.begin_run()
    store.closed = "the disk is full"
    with pytest.raises(LedgerError, match="the disk is full"):
        keeper.worsen(SecurityState.DEGRADED, who="", why="noise", source="test")
    assert "to worsen to DEGRADED (noise), which could not be kept" in told[0]
    assert keeper.gate.mode is LiveMode.DRY_RUN
    end()


def test_restoring_waits_for_no_run_and_counts_own_ones() -> None:
    store = Store()
    keeper = keeper_of(store)
    keeper.worsen(SecurityState.DEGRADED, who="", why="noise", source="test")

    def rule(kept: KeptPosture, runs: int) -> KeptPosture:
        posture = Artemis.restore(kept.posture, Posture(), who="Ada", why="noise", runs_under_way=runs)
        return KeptPosture(posture, kept.version + 1, "Ada", "noise")

    end = keeper.begin_run()
    with pytest.raises(GateRefusedError, match="during a run"):
        keeper.restore(rule)
    end()
    assert keeper.restore(rule) == Posture()


def test_in_doubt_nothing_is_armed_or_started_but_it_can_worsen_and_be_answered_for() -> None:
    store = Store()
    store.broken = "nobody signed that"
    keeper = PostureKeeper(store, shared=True, present=lambda: store.kept)
    for refused in (keeper.begin_run, lambda: armed(keeper)):
        with pytest.raises(GateRefusedError, match="the posture is not known: nobody signed that"):
            refused()
    assert threads() == []
    assert keeper.worsen(SecurityState.DEGRADED, who="", why="noise", source="edr") == Posture(SecurityState.DEGRADED)
    same = keeper.restore(
        lambda kept, _: KeptPosture(kept.posture, kept.version + 1, "Ada", "x", "operator", None, b"s")
    )
    assert same == Posture(SecurityState.DEGRADED)
    assert store.kept.envelope == b"s", "a signed act counts also where it changes nothing"


def test_what_worsens_is_kept_without_secrets() -> None:
    store = Store()
    secret = "ghp_" + "0123456789abcdefghij" * 2
    keeper_of(store).worsen(SecurityState.DEGRADED, who=secret, why=f"pushed with {secret}", source=secret)
    assert "[redacted:" in store.kept.why
    assert secret not in str(store.kept)
