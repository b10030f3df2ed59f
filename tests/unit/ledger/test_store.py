from __future__ import annotations

import json
import sqlite3
from typing import TYPE_CHECKING, Any

import pytest

from hearth.errors import DuplicateExecutionError, ExecutionNotFoundError, LedgerError, RecordError
from hearth.ledger import Ledger
from hearth.record import (
    Disclosure,
    ExecutionRecord,
    ExecutionStatus,
    Redactor,
    SealCause,
    Secret,
    SideEffectCategory,
    canonical_bytes,
    commitment,
)
from hearth.recorder import ExecutionObserver
from tests.unit.ledger._records import make_sealed_record

if TYPE_CHECKING:
    from hearth.ledger import LedgerHome


def rows(home: LedgerHome, query: str) -> list[tuple[Any, ...]]:
    connection = sqlite3.connect(home.database)
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


def edit(home: LedgerHome, statement: str, *values: object) -> None:
    connection = sqlite3.connect(home.database)
    with connection:
        connection.execute(statement, values)
    connection.close()


def observed(execution_id: str = "run-1") -> ExecutionRecord:
    observer = ExecutionObserver(execution_id, "user-import", live_mode="LIVE")
    observer.record_step_started(0, "Back up")
    observer.record_side_effect(SideEffectCategory.FILE_SYSTEM, "cp app.db backup.db", reversible=True, step_index=0)
    observer.record_step_completed(0, "Back up", {"deep": [{"er": [1, 2.5, None, "ü"]}]})
    observer.record_step_started(1, "Import")
    observer.record_step_failed(1, "Import", "row 17: no name")
    observer.mark_failed("step 1 failed")
    return observer.get_execution_record()


# --- store and get ----------------------------------------------------------------------------------------------------


def test_a_record_comes_back_equal_and_verified(ledger: Ledger) -> None:
    record = observed()
    assert ledger.store(record) is True
    again = ledger.get("run-1")
    assert again == record
    assert again.to_dict() == record.to_dict()
    assert again.verify()


def test_the_stored_bytes_are_the_canonical_export(ledger: Ledger) -> None:
    record = observed()
    ledger.store(record)
    raw = ledger.get_bytes("run-1")
    assert raw == canonical_bytes(record.to_dict())
    assert json.loads(raw)["execution_hash"] == record.get_execution_hash()


def test_it_is_there_for_another_connection_and_after_reopening(home: LedgerHome) -> None:
    with Ledger.open(home, create=True) as writer, Ledger.open(home) as reader:
        assert reader.count() == 0
        writer.store(observed())
        assert reader.get("run-1").verify()
    with Ledger.open(home) as later:
        assert later.count() == 1


def test_storing_it_again_changes_nothing(ledger: Ledger, home: LedgerHome) -> None:
    record = observed()
    ledger.store(record)
    before = rows(home, "SELECT * FROM executions"), rows(home, "SELECT * FROM execution_texts")
    assert ledger.store(record) is False
    assert ledger.store(ExecutionRecord.from_dict(record.to_dict())) is False
    assert (rows(home, "SELECT * FROM executions"), rows(home, "SELECT * FROM execution_texts")) == before


def test_another_record_under_the_same_id_is_refused(ledger: Ledger) -> None:
    first = observed()
    ledger.store(first)
    with pytest.raises(DuplicateExecutionError, match=r"another record of execution 'run-1'.*another execution id"):
        ledger.store(make_sealed_record("run-1"))
    assert ledger.get("run-1") == first
    assert ledger.count() == 1


def test_an_unsealed_record_is_refused(ledger: Ledger) -> None:
    observer = ExecutionObserver("run-1", "user-import")
    observer.record_step_started(0, "Import")
    with pytest.raises(LedgerError, match=r"is not sealed.*`hearth recover`"):
        ledger.store(observer.get_execution_record("LIVE"))
    with pytest.raises(LedgerError, match="is not sealed"):
        ledger.store(make_sealed_record(sealed=False))
    assert ledger.count() == 0


def test_a_record_that_does_not_verify_is_refused(ledger: Ledger) -> None:
    document = observed().to_dict()
    document["step_events"][1]["details"]["deep"][0]["er"][0] = 7
    with pytest.raises(LedgerError, match="does not verify: entry 3 was changed"):
        ledger.store(ExecutionRecord.from_dict(document))
    document = observed().to_dict()
    document["execution_hash"] = "0" * 64
    with pytest.raises(LedgerError, match="does not verify"):
        ledger.store(ExecutionRecord.from_dict(document))
    assert ledger.count() == 0


def test_an_unknown_id_is_named(ledger: Ledger) -> None:
    for name in ("run-1", "", "'; DROP TABLE executions; --", "\udcff", "x" * 10_000, "\x00"):
        with pytest.raises(ExecutionNotFoundError, match="`hearth list`"):
            ledger.get(name)


@pytest.mark.parametrize(
    "execution_id",
    ["", "a/b", "../..", "ünïcode ☃ 🔥", "two\nlines", "nul\x00inside", "'; DROP TABLE executions; --", "x" * 5000],
)
def test_any_id_will_do(ledger: Ledger, execution_id: str) -> None:
    record = observed(execution_id)
    ledger.store(record)
    assert ledger.get(execution_id) == record
    assert [summary.execution_id for summary in ledger.list()] == [execution_id]
    assert list(ledger.iterate_ids()) == [execution_id]


def test_an_id_with_a_lone_surrogate_is_found_as_it_was_recorded(ledger: Ledger) -> None:
    ledger.store(observed("from argv \udcff"))
    assert ledger.get("from argv \udcff").execution_id == "from argv \\udcff"
    assert ledger.find_id("from argv \udcff") == "from argv \\udcff"


def test_large_records_and_strange_texts_survive(ledger: Ledger) -> None:
    observer = ExecutionObserver("big", "plan")
    for index in range(300):
        observer.record_step_started(index, "Step \u2028 \x1b[31m ' \" % _ \\ " + "ß" * 100)
        observer.record_side_effect("OTHER", "word " * 400, step_index=index)
        observer.record_step_failed(index, "Step", "\x00")
    observer.mark_failed()
    record = observer.get_execution_record("LIVE")
    ledger.store(record)
    assert ledger.get("big") == record
    assert ledger.get("big").verify()


# --- what is derived --------------------------------------------------------------------------------------------------


def test_the_summary_says_what_the_record_says(ledger: Ledger) -> None:
    record = observed()
    ledger.store(record)
    (summary,) = ledger.list()
    assert summary.execution_id == "run-1"
    assert summary.plan_id == "user-import"
    assert summary.status is ExecutionStatus.FAILED
    assert summary.cause is SealCause.FAILED
    assert summary.live_mode == "LIVE"
    assert summary.started == record.timestamp_start
    assert summary.ended == record.timestamp_end
    assert summary.steps_completed == 1
    assert summary.steps_total is None
    assert summary.effects == 1
    assert summary.execution_hash == record.get_execution_hash()
    assert json.loads(json.dumps(summary.to_dict()))["started"] == record.to_dict()["timestamp_start"]


def test_the_plans_number_of_steps_is_known_where_there_was_a_plan(ledger: Ledger) -> None:
    ledger.store(make_sealed_record())
    assert ledger.list()[0].steps_total == 3


def test_each_text_is_kept_once_for_its_kind_and_step(ledger: Ledger, home: LedgerHome) -> None:
    ledger.store(observed())
    texts = rows(home, "SELECT kind, step_index, text FROM execution_texts ORDER BY id")
    assert texts == [
        ("step", 0, "back up"),
        ("effect", 0, "cp app.db backup.db"),
        ("step", 1, "import"),
        ("error", 1, "row 17: no name"),
        ("reason", None, "step 1 failed"),
    ]


# --- damage -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"garbage",
        b"[]",
        b"{}",
        b'{"schema": "hearth/execution-record/v1"}',
        b"\xff\xfe",
        "text instead of bytes",
        17,
        3.5,
    ],
)
def test_a_damaged_record_is_named(ledger: Ledger, home: LedgerHome, damage: object) -> None:
    ledger.store(observed())
    edit(home, "UPDATE executions SET record = ?", damage)
    with pytest.raises(RecordError, match=r"execution 'run-1': its record in .*ledger\.db is damaged"):
        ledger.get("run-1")
    assert ledger.store(observed("run-2"))


def test_a_record_cut_anywhere_is_named(ledger: Ledger, home: LedgerHome) -> None:
    ledger.store(make_sealed_record())
    raw = ledger.get_bytes("run-1")
    for length in range(0, len(raw), 97):
        edit(home, "UPDATE executions SET record = ?", raw[:length])
        with pytest.raises(RecordError, match="execution 'run-1'"):
            ledger.get("run-1")


def test_a_record_under_another_ones_id_is_named(ledger: Ledger, home: LedgerHome) -> None:
    ledger.store(observed("run-1"))
    edit(home, "UPDATE executions SET execution_id = 'run-2'")
    with pytest.raises(RecordError, match=r"'run-2'.*holds the record of 'run-1'"):
        ledger.get("run-2")


def test_an_edited_record_is_read_and_does_not_verify(ledger: Ledger, home: LedgerHome) -> None:
    ledger.store(observed())
    edit(home, "UPDATE executions SET record = ?", ledger.get_bytes("run-1").replace(b"row 17", b"row 18"))
    verdict = ledger.get("run-1").verify()
    assert not verdict
    assert verdict.first_bad == 5


@pytest.mark.parametrize(
    "column, value", [("status", "splendid"), ("cause", ""), ("started", "yesterday"), ("ended", b"\x00")]
)
def test_a_damaged_row_is_named(ledger: Ledger, home: LedgerHome, column: str, value: object) -> None:
    ledger.store(observed())
    edit(home, f"UPDATE executions SET {column} = ?", value)
    with pytest.raises(LedgerError, match="execution 'run-1': its row"):
        ledger.list()
    assert ledger.get("run-1").verify()


# --- disclosures ------------------------------------------------------------------------------------------------------


def disclosing(execution_id: str = "run-1") -> tuple[ExecutionRecord, tuple[Disclosure, ...]]:
    observer = ExecutionObserver(execution_id, "plan", redactor=Redactor(disclosable=["customer"]))
    observer.record_step_started(0, "Import", {"customer": {"name": "Ada", "id": 7}, "rows": 3})
    observer.record_step_completed(0, "Import", {"list": [{"customer": "Grace"}]})
    observer.mark_completed()
    kept = observer.disclosures
    return observer.get_execution_record("LIVE").with_disclosures(kept), kept


def test_disclosures_stand_beside_the_record(ledger: Ledger) -> None:
    record, kept = disclosing()
    assert len(kept) == 2
    ledger.store(record)
    assert b"Ada" not in ledger.get_bytes("run-1")
    assert b"disclosures" not in ledger.get_bytes("run-1")
    stored = ledger.get("run-1")
    assert stored.disclosures == ()
    assert stored == record
    assert ledger.disclosures("run-1") == kept
    assert stored.with_disclosures(ledger.disclosures("run-1")).verify()


def test_disclosures_may_come_beside_the_record_too(ledger: Ledger) -> None:
    record, kept = disclosing()
    ledger.store(record.with_disclosures(()), iter(kept))
    assert ledger.disclosures("run-1") == kept
    record, kept = disclosing("run-2")
    ledger.store(record, kept)
    assert ledger.disclosures("run-2") == kept


def test_several_commitments_in_one_text_are_kept_apart(ledger: Ledger) -> None:
    record, _ = disclosing()
    raw = json.dumps(record.with_disclosures(()).to_dict())
    pointer = "/details/customer"
    both = [
        Disclosure(sequence=1, pointer=pointer, salt=salt, value="v", digest=commitment(salt, pointer, "v"))
        for salt in ("a", "b")
    ]
    assert not any(item.digest in raw for item in both)
    with pytest.raises(LedgerError, match="has no commitment there"):
        ledger.store(record.with_disclosures(()), both)


def test_a_false_disclosure_is_refused(ledger: Ledger) -> None:
    record, kept = disclosing()
    lie = Disclosure(
        sequence=kept[0].sequence,
        pointer=kept[0].pointer,
        salt=kept[0].salt,
        value={"name": "Eve", "id": 7},
        digest=kept[0].digest,
    )
    with pytest.raises(LedgerError, match="does not give its commitment"):
        ledger.store(record.with_disclosures(()), [lie])
    assert ledger.count() == 0


def test_storing_again_brings_no_erased_disclosure_back(ledger: Ledger, home: LedgerHome) -> None:
    record, _ = disclosing()
    ledger.store(record)
    edit(home, "DELETE FROM disclosures")
    assert ledger.store(record) is False
    assert ledger.disclosures("run-1") == ()


def test_a_damaged_disclosure_is_named(ledger: Ledger, home: LedgerHome) -> None:
    ledger.store(disclosing()[0])
    edit(home, "UPDATE disclosures SET value = '{'")
    with pytest.raises(LedgerError, match=r"'run-1'.*disclosed value.*damaged"):
        ledger.disclosures("run-1")


# --- secrets ----------------------------------------------------------------------------------------------------------


def test_no_secret_reaches_the_files(ledger: Ledger, home: LedgerHome) -> None:
    secret = "correct-horse-battery-staple"
    redactor = Redactor()
    redactor.add_secret(secret)
    observer = ExecutionObserver("run-1", "plan", redactor=redactor)
    observer.record_step_started(0, f"Use {secret}", {"password": secret, "other": Secret(secret)})
    observer.record_side_effect("NETWORK", f"GET http://u:{secret}@h/", step_index=0)
    observer.record_step_failed(0, f"Use {secret}", f"refused {secret}")
    observer.mark_failed(f"with {secret}")
    ledger.store(observer.get_execution_record("LIVE"))
    files = [path for path in home.root.rglob("*") if path.is_file()]
    assert len(files) == 3
    assert not [path for path in files if secret.encode() in path.read_bytes()]


def test_an_error_shows_no_value_that_was_being_stored(ledger: Ledger, home: LedgerHome) -> None:
    edit(home, "CREATE TRIGGER refuse BEFORE INSERT ON disclosures BEGIN SELECT RAISE(ABORT, 'refused'); END")
    record, _ = disclosing()
    with pytest.raises(LedgerError, match="refused") as caught:
        ledger.store(record)
    error: BaseException | None = caught.value
    while error is not None:
        assert "Ada" not in str(error)
        error = error.__cause__
    assert ledger.count() == 0


@pytest.mark.parametrize(
    "what",
    [
        "UPDATE executions SET record = x'7b7d' WHERE id = new.id",
        "UPDATE executions SET status = 'completed' WHERE id = new.id",
        "DELETE FROM executions WHERE id = new.id",
    ],
)
def test_what_does_not_come_back_as_it_was_is_not_stored(ledger: Ledger, what: str) -> None:
    """The journal goes once a record is stored, so the database must hold it, whoever writes into it."""
    with sqlite3.connect(ledger.home.database) as connection:
        connection.execute(f"CREATE TRIGGER evil AFTER INSERT ON executions BEGIN {what}; END")
    connection.close()
    with pytest.raises(LedgerError):
        ledger.store(make_sealed_record("one"))
    with sqlite3.connect(ledger.home.database) as connection:
        connection.execute("DROP TRIGGER evil")
    connection.close()
    assert ledger.count() == 0
    assert ledger.store(make_sealed_record("one"))


def test_texts_that_do_not_come_back_are_not_stored(ledger: Ledger) -> None:
    with sqlite3.connect(ledger.home.database) as connection:
        connection.execute(
            "CREATE TRIGGER evil AFTER INSERT ON execution_texts BEGIN "
            "UPDATE execution_texts SET text = 'x' WHERE id = new.id; END"
        )
    connection.close()
    with pytest.raises(LedgerError, match="texts for the search differ"):
        ledger.store(make_sealed_record("one"))
    assert ledger.count() == 0
