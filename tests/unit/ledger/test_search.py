from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest

from hearth.errors import LedgerError
from hearth.ledger._search import fold
from hearth.record import ExecutionStatus
from tests.unit.ledger._records import NOON, make_sealed_record

if TYPE_CHECKING:
    from hearth.ledger import Ledger


def ids(ledger: Ledger, **search: Any) -> list[str]:
    found = [summary.execution_id for summary in ledger.list(**search)]
    search = {key: value for key, value in search.items() if key not in {"limit", "offset"}}
    if "limit" not in search and len(found) < 50:
        assert ledger.count(**search) >= len(found)
    return found


@pytest.fixture
def filled(ledger: Ledger) -> Ledger:
    """Six executions, an hour apart, of three plans."""
    for number, (plan, status) in enumerate(
        [
            ("user-import", "completed"),
            ("user-export", "failed"),
            ("user-import", "failed"),
            ("rotate-keys", "incomplete"),
            ("user-import", "completed"),
            ("User-Import", "completed"),
        ]
    ):
        ledger.store(
            make_sealed_record(f"run-{number}", plan=plan, status=status, started=NOON + timedelta(hours=number))
        )
    return ledger


def test_the_newest_comes_first(filled: Ledger) -> None:
    assert ids(filled) == ["run-5", "run-4", "run-3", "run-2", "run-1", "run-0"]
    assert filled.count() == 6


def test_equal_starts_keep_one_order(ledger: Ledger) -> None:
    for name in ("b", "d", "a", "c"):
        ledger.store(make_sealed_record(name))
    assert ids(ledger) == ["c", "a", "d", "b"]
    assert ids(ledger, limit=2) + ids(ledger, limit=2, offset=2) == ids(ledger)


def test_the_start_counts_and_not_the_storing(ledger: Ledger) -> None:
    ledger.store(make_sealed_record("late", started=NOON + timedelta(days=1)))
    ledger.store(make_sealed_record("early", started=NOON))
    assert ids(ledger) == ["late", "early"]


def test_by_plan(filled: Ledger) -> None:
    assert ids(filled, plan="user-import") == ["run-4", "run-2", "run-0"]
    assert ids(filled, plan="user-*") == ["run-4", "run-2", "run-1", "run-0"]
    assert ids(filled, plan="*-import") == ["run-4", "run-2", "run-0"]
    assert ids(filled, plan="*s*r*i*p*") == ["run-4", "run-2", "run-0"]
    assert ids(filled, plan="*") == ids(filled)
    assert ids(filled, plan="import") == []
    assert ids(filled, plan="") == []


@pytest.mark.parametrize(
    "pattern", ["user?import*", "[u]ser-*", "user%", "user_import", "user-import' OR '1'='1", "*]", "^*"]
)
def test_only_the_star_is_a_wildcard(filled: Ledger, pattern: str) -> None:
    assert ids(filled, plan=pattern) == []


def test_plans_with_other_wildcards_in_their_names(ledger: Ledger) -> None:
    for name in ("a[b]c", "a?c", "abc", "a]c", "a%c"):
        ledger.store(make_sealed_record(name, plan=name))
    assert ids(ledger, plan="a[b]*") == ["a[b]c"]
    assert ids(ledger, plan="a?*") == ["a?c"]
    assert ids(ledger, plan="a]*") == ["a]c"]
    assert ids(ledger, plan="a%c") == ["a%c"]
    assert len(ids(ledger, plan="a*c")) == 5


def test_many_stars_cost_no_eternity(ledger: Ledger) -> None:
    ledger.store(make_sealed_record("run", plan="a" * 500))
    assert ids(ledger, plan="a*" * 30 + "b") == []
    assert ids(ledger, plan="*" * 20_000 + "a") == ["run"]


def test_by_status(filled: Ledger) -> None:
    assert ids(filled, status=ExecutionStatus.FAILED) == ["run-2", "run-1"]
    assert ids(filled, status="FAILED") == ids(filled, status="failed") == ["run-2", "run-1"]
    assert ids(filled, status="incomplete") == ["run-3"]
    assert ids(filled, status="started") == []
    with pytest.raises(
        LedgerError, match=r"'broken' is not.*completed, completed_partial, failed, incomplete, started"
    ):
        filled.list(status="broken")
    with pytest.raises(LedgerError):
        filled.count(status=7)  # type: ignore[arg-type]


def test_by_time(filled: Ledger) -> None:
    two, four = NOON + timedelta(hours=2), NOON + timedelta(hours=4)
    assert ids(filled, since=two) == ["run-5", "run-4", "run-3", "run-2"]
    assert ids(filled, until=two) == ["run-1", "run-0"]
    assert ids(filled, since=two, until=four) == ["run-3", "run-2"]
    assert ids(filled, since=four, until=two) == []
    assert ids(filled, since=two + timedelta(microseconds=1)) == ["run-5", "run-4", "run-3"]
    assert ids(filled, since=two.astimezone(timezone(timedelta(hours=-9)))) == ids(filled, since=two)
    assert ids(filled, since=datetime.min.replace(tzinfo=UTC), until=datetime.max.replace(tzinfo=UTC)) == ids(filled)


def test_a_time_without_zone_or_beyond_the_calendar_is_refused(ledger: Ledger) -> None:
    with pytest.raises(LedgerError, match="since has no time zone"):
        ledger.list(since=datetime(2025, 9, 1))  # noqa: DTZ001 - that is what is refused
    with pytest.raises(LedgerError, match="until has no time zone"):
        ledger.count(until=datetime(2025, 9, 1))  # noqa: DTZ001 - that is what is refused
    with pytest.raises(LedgerError, match="out of the calendar"):
        ledger.list(until=datetime.max.replace(tzinfo=timezone(timedelta(hours=-9))))


def test_conditions_add_up(filled: Ledger) -> None:
    assert ids(filled, plan="user-*", status="failed", since=NOON + timedelta(hours=2), text="row 17") == ["run-2"]
    assert filled.count(plan="user-*", status="failed") == 2


def test_limit_and_offset(filled: Ledger) -> None:
    assert ids(filled, limit=2) == ["run-5", "run-4"]
    assert ids(filled, limit=2, offset=5) == ["run-0"]
    assert ids(filled, limit=0) == []
    assert ids(filled, limit=None, offset=4) == ["run-1", "run-0"]
    assert ids(filled, offset=99) == []
    assert filled.count() == 6
    for wrong in (-1, 2**63, 1.5, True, "2"):
        with pytest.raises(LedgerError, match="limit must be"):
            filled.list(limit=wrong)  # type: ignore[arg-type]
        with pytest.raises(LedgerError, match="offset must be"):
            filled.list(offset=wrong)  # type: ignore[arg-type]


def test_fifty_by_default(ledger: Ledger) -> None:
    for number in range(55):
        ledger.store(make_sealed_record(f"run-{number:02}", started=NOON + timedelta(seconds=number)))
    assert len(ledger.list()) == 50
    assert len(ledger.list(limit=None)) == 55
    assert ledger.list()[0].execution_id == "run-54"


# --- text -------------------------------------------------------------------------------------------------------------


def test_text_is_found_in_names_errors_effects_and_reasons(ledger: Ledger) -> None:
    ledger.store(make_sealed_record("a", step="Rotate the KEYS"))
    ledger.store(make_sealed_record("b", error="Connection Refused"))
    ledger.store(make_sealed_record("c", effect="POST http://host/reload"))
    ledger.store(make_sealed_record("d", reason="disk trouble"))
    assert ids(ledger, text="the keys") == ["a"]
    assert ids(ledger, text="connection refused") == ["b"]
    assert ids(ledger, text="/RELOAD") == ["c"]
    assert ids(ledger, text="trouble") == ["d"]
    assert ids(ledger, text="nowhere") == []
    assert ids(ledger, text="") == ids(ledger, text=None) == ["d", "c", "b", "a"]
    assert ledger.count(text="row 17") == 3


def test_an_execution_is_listed_once_however_often_it_matches(ledger: Ledger) -> None:
    ledger.store(make_sealed_record(step="same", error="same", effect="same", reason="same"))
    assert ids(ledger, text="same") == ["run-1"]
    assert ledger.count(text="same") == 1


HOSTILE = [
    "100%",
    "a_b",
    "%",
    "_",
    "'",
    '"',
    "''",
    "\\",
    "%_%",
    "\\%",
    "'; DROP TABLE executions; --",
    "*",
    "[x]",
    "?",
    "\x00",
    "\n",
    "😀",
    "(",
    "x" * 60_000,
]


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_text_is_found_literally(ledger: Ledger, text: str) -> None:
    ledger.store(make_sealed_record("plain", step="p", error="p", effect="p"))
    ledger.store(make_sealed_record("with", step="p", error=f"before {text} after", effect="p"))
    assert ids(ledger, text=text) == ["with"]
    assert ids(ledger, text=text + "!") == []
    assert ledger.count() == 2


def test_case_and_composition_do_not_count(ledger: Ledger) -> None:
    ledger.store(make_sealed_record(error="Größe ΣΊΣΥΦΟΣ cafe\u0301"))
    for text in ("GRÖSSE", "größe", "σίσυφος", "CAFÉ", "caf\u00e9"):
        assert ids(ledger, text=text) == ["run-1"], text
    assert fold("STRASSE") == fold("straße")


def test_a_lone_surrogate_in_a_search_is_an_error_of_the_house_or_finds_nothing(ledger: Ledger) -> None:
    ledger.store(make_sealed_record())
    for search in ({"text": "\udcff"}, {"plan": "\udcff"}, {"plan": "\udcff*"}):
        with pytest.raises(LedgerError, match="surrogate"):
            ledger.list(**search)  # type: ignore[arg-type]
