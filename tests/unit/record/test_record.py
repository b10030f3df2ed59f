"""ExecutionRecord as data: what it says, its JSON form and back, what is refused."""

from __future__ import annotations

import copy
import json
import pickle
from typing import Any

import pytest

from hearth.errors import RecordError
from hearth.record import (
    SCHEMA,
    Disclosure,
    ExecutionRecord,
    ExecutionStatus,
    SealCause,
    StepEventType,
    canonical_bytes,
    strict_loads,
)
from hearth.recorder import ExecutionObserver
from tests.unit.recorder._support import Json, document_of, entries_of, full_record, observed

RECORD = full_record()


@pytest.fixture
def document() -> Json:
    """The JSON form of a record with every kind of entry, to be changed."""
    return document_of(RECORD)


def refused(document: Any) -> str:
    """The message with which a document is refused."""
    with pytest.raises(RecordError) as raised:
        ExecutionRecord.from_dict(document)
    return str(raised.value)


# --- what it says -----------------------------------------------------------------------------------------------------


def test_a_record_of_everything_verifies() -> None:
    assert RECORD.verify(), RECORD.verify()
    assert str(RECORD.verify()) == "verified"
    assert {entry.event_type for entry in RECORD.entries} == set(StepEventType)
    assert (RECORD.status, RECORD.cause) == (ExecutionStatus.FAILED, SealCause.FAILED)
    assert RECORD.is_sealed
    assert RECORD.started["plan_digest"] == "5d" * 32


def test_declared_effects_stand_in_the_entries_and_in_the_report() -> None:
    declared = {
        event.sequence: event.declared_effects for event in RECORD.step_events if event.declared_effects is not None
    }
    assert [len(effects) for effects in declared.values()] == [2, 2, 1, 0]
    assert [(item["step_index"], item["pattern"]) for item in RECORD.side_effects_report.side_effects_declared] == [
        (0, "backup.db"),
        (0, "*.log"),
        (0, "backup.db"),
        (0, "*.log"),
        (1, "app.db"),
    ]
    with pytest.raises(TypeError):
        RECORD.side_effects_report.side_effects_declared[0]["pattern"] = "x"


def test_an_unsealed_record_has_no_cause() -> None:
    record = observed().get_execution_record()
    assert record.cause is None
    assert not record.is_sealed


def test_an_unsealed_record_with_a_step_does_not_say_that_everything_was_seen() -> None:
    observer = observed()
    assert not observer.get_execution_record("LIVE").side_effects_report.unknown_effects
    observer.record_step_started(0, "a")
    observer.set_unknown_effects([])  # not yet in the chain: the seal will say it
    unsealed = observer.get_execution_record("LIVE")
    (why,) = unsealed.side_effects_report.unknown_effects_why
    assert unsealed.side_effects_report.unknown_effects is True
    assert why["step_index"] is None
    assert "not sealed" in why["why"]
    back = ExecutionRecord.from_dict(json.loads(json.dumps(unsealed.to_dict())))
    assert back == unsealed
    assert back.verify().why == unsealed.verify().why == "unsealed"
    observer.mark_completed()
    sealed = observer.get_execution_record("LIVE")
    assert not sealed.side_effects_report.unknown_effects
    assert sealed.verify()


# --- JSON and back ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "write",
    [
        json.dumps,
        lambda document: json.dumps(document, indent=2),
        lambda document: json.dumps(document, indent="\t", sort_keys=True, ensure_ascii=False),
        lambda document: canonical_bytes(document).decode(),
        lambda document: json.dumps(dict(reversed(document.items()))),
    ],
    ids=["compact", "indent 2", "tabs, sorted", "canonical", "reversed"],
)
@pytest.mark.parametrize("sealed", [True, False])
def test_a_record_comes_back_equal(write: Any, sealed: bool) -> None:
    record = RECORD if sealed else observed().get_execution_record()
    for read in (json.loads, strict_loads):
        back = ExecutionRecord.from_dict(read(write(record.to_dict())))
        assert back == record
        assert back.to_dict() == record.to_dict()
        assert back.entries == record.entries
        assert back.verify() == record.verify()
        assert canonical_bytes(back.to_dict()) == canonical_bytes(record.to_dict())


def test_numbers_that_json_readers_write_differently_do_not_matter() -> None:
    """2.5 stays 2.5, and an int that comes back as 1.0 has the same canonical form."""
    observer = ExecutionObserver("e", "p")
    observer.record_step_started(0, "a", {"rate": 2.5, "small": 1e-7, "half": 0.5, "one": 1.0, "zero": -0.0})
    observer.mark_completed()
    record = observer.get_execution_record("LIVE")
    back = ExecutionRecord.from_dict(json.loads(json.dumps(record.to_dict(), indent=2)))
    assert back.verify()
    assert back == record


def test_a_record_can_be_copied_and_pickled() -> None:
    for twin in (copy.copy(RECORD), copy.deepcopy(RECORD), pickle.loads(pickle.dumps(RECORD))):  # noqa: S301 - its own
        assert twin == RECORD
        assert twin.verify()
        assert twin.to_dict() == RECORD.to_dict()


def test_the_given_document_may_be_changed_afterwards(document: Json) -> None:
    record = ExecutionRecord.from_dict(document)
    document["step_events"][2]["details"].clear()
    document["side_effects_report"]["side_effects_declared"].clear()
    document["disclosures"].clear()
    document["signatures"].append({"keyid": "a", "sig": "b"})
    assert record == RECORD
    assert record.to_dict() == RECORD.to_dict()


def test_equality_is_by_execution_hash() -> None:
    assert RECORD.with_disclosures(()) == RECORD
    assert hash(RECORD.with_disclosures(())) == hash(RECORD)
    assert full_record() != RECORD
    assert (RECORD == 1) is False


# --- disclosures ------------------------------------------------------------------------------------------------------


def test_disclosures_go_with_the_record_and_hold(document: Json) -> None:
    assert [(item["pointer"], item["value"]) for item in document["disclosures"]] == [
        ("/details/card", "4111-1111"),
        ("/details/list/0/card", {"number": 12, "of": ["ann"]}),
        ("/details/card", "5500-0000"),
    ]
    for item in document["disclosures"]:
        assert Disclosure.from_dict(item).opens()
        assert item["digest"] in json.dumps(entries_of(document)[item["sequence"]])
    assert ExecutionRecord.from_dict(document).verify()


def test_every_hash_holds_after_they_are_erased(document: Json) -> None:
    del document["disclosures"]
    assert "4111-1111" not in json.dumps(document)
    erased = ExecutionRecord.from_dict(document)
    assert erased.verify()
    assert erased == RECORD
    assert "disclosures" not in erased.to_dict()


def test_one_of_them_may_be_erased_alone(document: Json) -> None:
    del document["disclosures"][1]
    assert ExecutionRecord.from_dict(document).verify()


@pytest.mark.parametrize("position", range(3))
@pytest.mark.parametrize(
    "key, value",
    [
        ("value", "4111-1112"),
        ("value", None),
        ("salt", "AAAAAAAAAAAAAAAAAAAAAA"),
        ("pointer", "/details"),
        ("pointer", "/details/other"),
        ("pointer", ""),
        ("digest", "A" * 43),
        ("sequence", 3),
        ("sequence", -1),
        ("sequence", 999),
    ],
)
def test_a_tampered_disclosure_is_found(document: Json, position: int, key: str, value: Any) -> None:
    document["disclosures"][position][key] = value
    verdict = ExecutionRecord.from_dict(document).verify()
    assert not verdict
    assert "disclosed" in verdict.why


def test_disclosures_of_two_places_cannot_be_exchanged(document: Json) -> None:
    first, _, last = document["disclosures"]
    first["value"], last["value"] = last["value"], first["value"]
    first["salt"], last["salt"] = last["salt"], first["salt"]
    assert not ExecutionRecord.from_dict(document).verify()


@pytest.mark.parametrize("details", [["card"], ("x", "y")])
def test_details_that_are_no_mapping_disclose_at_the_right_place(details: Any) -> None:
    from hearth.record import Secret

    observer = ExecutionObserver("e", "p")
    observer.record_step_started(0, "a", [*details, Secret("4111-1111", disclosable=True)])
    observer.mark_completed()
    record = observer.get_execution_record("LIVE").with_disclosures(observer.disclosures)
    assert len(record.disclosures) == 1
    assert record.verify(), record.verify()


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "document", [None, [], "", 1, {}, {"schema": SCHEMA}, {"schema": "other/v1"}, [{"schema": SCHEMA}]]
)
def test_what_is_no_record_is_refused(document: Any) -> None:
    assert "not an execution record" in refused(document)


def test_another_schema_is_refused_by_name(document: Json) -> None:
    document["schema"] = "hearth/execution-record/v2"
    assert "v2" in refused(document)


@pytest.mark.parametrize("key", sorted(document_of(RECORD).keys() - {"disclosures"}))
def test_a_missing_key_is_refused_by_name(document: Json, key: str) -> None:
    del document[key]
    assert key in refused(document)


@pytest.mark.parametrize("key", ["extra", "", "Status", "execution_id ", "$type"])
def test_an_unknown_key_is_refused_by_name(document: Json, key: str) -> None:
    document[key] = None
    assert repr(key) in refused(document)


@pytest.mark.parametrize(
    "signatures",
    [
        None,
        {},
        "x",
        [None],
        ["x"],
        [{}],
        [{"keyid": "a"}],
        [{"keyid": "a", "sig": 1}],
        [{"keyid": 1, "sig": "b"}],
        [{"keyid": "a", "sig": "b", "alg": "none"}],
    ],
)
def test_a_malformed_signature_is_refused(document: Json, signatures: Any) -> None:
    document["signatures"] = signatures
    assert "signatures" in refused(document)


def test_a_signature_without_a_known_key_is_a_note(document: Json) -> None:
    document["signatures"] = [{"keyid": "who", "sig": "c2ln"}]
    record = ExecutionRecord.from_dict(document)
    assert record.verify()
    assert any("who" in note for note in record.verify().notes)
    assert record == RECORD, "signatures are outside the hash"
    assert record.to_dict()["signatures"] == [{"keyid": "who", "sig": "c2ln"}]


def test_the_message_names_place_and_entry(document: Json) -> None:
    document["step_events"][3]["details"] = None
    sequence = document["step_events"][3]["sequence"]
    with pytest.raises(RecordError, match=rf"step_events\[3\].*{sequence}") as raised:
        ExecutionRecord.from_dict(document)
    assert raised.value.first_bad == sequence


def test_an_entry_in_the_wrong_list_is_refused(document: Json) -> None:
    document["marks"].insert(1, document["step_events"].pop(0))
    assert "belongs elsewhere" in refused(document)
