"""Statements on records: what they say, what a verifier makes of them, and every way in which they can be untrue."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from hearth.errors import EvidenceError, RecordError
from hearth.evidence import PREDICATE_TYPE, STATEMENT_TYPE, ExecutionStatement, sign_statement, statement_of
from hearth.evidence import _statement as module
from hearth.record import ExecutionRecord, Redactor, canonical_bytes
from hearth.recorder import ExecutionObserver
from hearth.signing import Envelope, SigningKey
from tests.unit.ledger._records import make_sealed_record

if TYPE_CHECKING:
    from collections.abc import Callable

KEY = SigningKey.generate()
IN_TOTO = "application/vnd.in-toto+json"


def enveloped(statement: Any, kind: str = IN_TOTO) -> Envelope:
    """An envelope over whatever the test makes of a statement, signed by a good key: form is not authority."""
    return Envelope.sign(canonical_bytes(statement), kind, KEY)


def changed(change: Callable[[dict[str, Any]], object], **more: Any) -> ExecutionStatement:
    """Read a statement on a good record after a change."""
    statement = statement_of(make_sealed_record(), **more)
    change(statement)
    return ExecutionStatement.read(enveloped(statement))


def test_a_statement_says_what_the_record_says() -> None:
    record = make_sealed_record("run-1", reason="row 17")
    statement = statement_of(record, log_origin="example.org/log")
    assert statement["_type"] == STATEMENT_TYPE == "https://in-toto.io/Statement/v1"
    assert statement["predicateType"] == PREDICATE_TYPE == "urn:hearth:execution-record:v1"
    assert statement["subject"] == [{"name": "run-1", "digest": {"sha256": record.get_execution_hash()}}]
    said = statement["predicate"]
    assert (said["plan"], said["status"], said["cause"], said["entries"], said["reason"]) == (
        {"id": "user-import", "digest": None, "copy": None, "steps": 3},
        "failed",
        "failed",
        5,
        "row 17",
    )
    assert (said["started"], said["ended"]) == ("2025-09-01T12:00:00.000000Z", "2025-09-01T12:00:00.004000Z")
    assert said["log"] == {"origin": "example.org/log"}
    assert said["record"]["document"] == record.to_dict()


def test_the_digest_is_that_of_the_exported_file() -> None:
    record = make_sealed_record()
    exported = canonical_bytes(record.to_dict()) + b"\n"
    digest = statement_of(record, detached=True)["predicate"]["record"]["digest"]
    assert digest == {"sha256": hashlib.sha256(exported).hexdigest()}


def test_a_signed_statement_holds() -> None:
    record = make_sealed_record()
    envelope = sign_statement(record, KEY)
    assert envelope.payload_type == IN_TOTO
    assert envelope.verified_by({"ann": KEY.public}) == ("ann",)
    read = ExecutionStatement.read(Envelope.parse(envelope.to_json()))
    assert (read.execution_id, read.execution_hash) == ("run-1", record.get_execution_hash())
    assert read.check()
    assert read.check(record.to_dict())


def test_a_detached_statement_holds_with_its_record_alone() -> None:
    record = make_sealed_record()
    read = ExecutionStatement.read(sign_statement(record, KEY, detached=True))
    assert read.document is None
    assert "--record" in read.check().why
    assert not read.check()
    assert read.check(record.to_dict())
    assert "another record" in read.check(make_sealed_record("run-2").to_dict()).why


def test_disclosed_values_and_signatures_are_not_signed_over() -> None:
    observer = ExecutionObserver("one", "p", live_mode="LIVE", redactor=Redactor(disclosable=("customer",)))
    observer.record_step_started(0, "first", {"customer": "Ada Lovelace"})
    observer.record_step_completed(0, "first")
    observer.mark_completed()
    bare = observer.get_execution_record()
    document = bare.with_disclosures(observer.disclosures).to_dict()
    document["signatures"] = [{"keyid": "somebody", "sig": "c2ln"}]
    full = ExecutionRecord.from_dict(document)
    assert statement_of(full) == statement_of(bare)
    assert b"Ada" not in canonical_bytes(statement_of(full))
    assert ExecutionStatement.read(sign_statement(bare, KEY, detached=True)).check(full.to_dict())


def test_only_a_sealed_record_that_holds_is_signed() -> None:
    with pytest.raises(EvidenceError, match="not sealed"):
        statement_of(make_sealed_record(sealed=False))
    record = make_sealed_record()
    with pytest.raises(EvidenceError, match="does not verify"):
        sign_statement(replace(record, completion_reason="another", stated_hash=""), KEY)


def test_a_record_that_is_too_large_is_signed_detached(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LARGEST_STATEMENT", 2_000)
    with pytest.raises(EvidenceError, match="--detached"):
        sign_statement(make_sealed_record(), KEY)
    assert ExecutionStatement.read(sign_statement(make_sealed_record(), KEY, detached=True)).document is None


@pytest.mark.parametrize("member", sorted(statement_of(make_sealed_record())["predicate"]))
def test_no_member_of_the_predicate_can_be_changed_or_left_out(member: str) -> None:
    record = make_sealed_record()
    good = statement_of(record, log_origin="example.org/log")["predicate"][member]
    for wrong in ("another", {"another": 1}, 7, [good], None, not good):
        if member == "log" and wrong is None:
            continue  # a record does not know in which log it is
        read = changed(lambda one, wrong=wrong: one["predicate"].update({member: wrong}), log_origin="example.org/log")  # type: ignore[misc]
        if canonical_bytes(wrong) != canonical_bytes(good):
            assert not read.check(record.to_dict()), (member, wrong)
    read = changed(lambda one: one["predicate"].pop(member))
    assert not read.check(record.to_dict())
    if member != "record":
        assert f"does not say {member}" in read.check().why


@pytest.mark.parametrize(
    "change, why",
    [
        (lambda one: one["predicate"].update(extra=1), "'extra', which this version does not know"),
        (lambda one: one["predicate"].update(status="completed"), "status is not what the record says"),
        (lambda one: one["predicate"]["plan"].update(digest="0" * 64), "plan is not what the record says"),
        (lambda one: one["predicate"]["log"].update(size=7), "log is not what the record says"),
        (lambda one: one["predicate"]["record"]["digest"].update(sha256="0" * 64), "record is not"),
        (lambda one: one["predicate"]["record"]["document"].update(plan_id="other"), "plan_id is not what entry 0"),
        (lambda one: one["predicate"]["record"]["document"].update(execution_hash="0" * 64), "execution_hash"),
        (lambda one: one["predicate"]["record"]["document"].update(extra="0" * 64), "unknown key 'extra'"),
        (lambda one: one["predicate"]["record"]["document"].pop("marks"), "marks missing"),
        (lambda one: one["subject"][0].update(name="run-2"), "the execution 'run-1'"),
        (lambda one: one["subject"][0]["digest"].update(sha256="0" * 64), "about another record"),
        (
            lambda one: one["predicate"]["record"]["document"]["signatures"].append({"keyid": "k", "sig": "c2ln"}),
            "record is not what the record says",
        ),
    ],
)
def test_what_is_not_true_is_named(change: Callable[[dict[str, Any]], object], why: str) -> None:
    verdict = changed(change, log_origin="example.org/log").check()
    assert not verdict
    assert why in verdict.why


@pytest.mark.parametrize(
    "change, why",
    [
        (
            lambda one: one.update(_type="https://in-toto.io/Statement/v0.1"),
            "_type is 'https://in-toto.io/Statement/v0",
        ),
        (lambda one: one.update(predicateType="urn:hearth:execution-record:v2"), "predicateType is"),
        (lambda one: one.update(predicateType=None), "predicateType is"),
        (lambda one: one.pop("predicate"), "no statement"),
        (lambda one: one.update(predicate=[]), "predicate is no object"),
        (lambda one: one["predicate"]["record"].update(document="x"), "record in the statement is no object"),
        (lambda one: one.update(subject=[]), "subject"),
        (lambda one: one.update(subject={}), "subject"),
        (lambda one: one["subject"].append(one["subject"][0]), "subject"),
        (lambda one: one["subject"][0].pop("name"), "subject"),
        (lambda one: one["subject"][0].update(digest={"sha512": "00"}), "subject"),
    ],
)
def test_what_is_no_statement_of_ours_is_refused(change: Callable[[dict[str, Any]], object], why: str) -> None:
    with pytest.raises(EvidenceError, match=why):
        changed(change)


def test_another_payload_is_refused() -> None:
    statement = statement_of(make_sealed_record())
    with pytest.raises(EvidenceError, match=r"approval\.v1"):
        ExecutionStatement.read(enveloped(statement, "application/vnd.hearth.approval.v1+json"))
    for payload, why in (
        (b"[]", "no statement"),
        (b"{", "not JSON"),
        (b'{"_type":1,"_type":2}', "stands twice"),
        (b"[" * 700_000, "refused"),
        (b"\xff", "not JSON"),
    ):
        with pytest.raises(EvidenceError, match=why):
            ExecutionStatement.read(Envelope.sign(payload, IN_TOTO, KEY))


def test_a_member_beside_the_statement_is_passed_over_and_said() -> None:
    verdict = changed(lambda one: one.update(later="something")).check()
    assert verdict
    assert any("'later'" in note for note in verdict.notes)


def test_a_live_mode_that_nothing_anchors_is_said() -> None:
    observer = ExecutionObserver("one", "p")
    observer.mark_completed()
    record = observer.get_execution_record("LIVE")
    said = statement_of(record)["predicate"]
    assert (said["live_mode"], said["live_mode_anchored"]) == ("LIVE", False)
    verdict = ExecutionStatement.read(sign_statement(record, KEY)).check()
    assert verdict
    assert verdict.notes == ("live mode not anchored",)


def test_what_stands_in_it_is_an_exported_record_again() -> None:
    payload = json.loads(sign_statement(make_sealed_record(), KEY).payload)
    assert ExecutionRecord.from_dict(payload["predicate"]["record"]["document"]).verify()


def test_a_record_with_extremes_keeps_its_bytes() -> None:
    observer = ExecutionObserver("𝄞 \u2028 </script>", "p", live_mode="LIVE")
    observer.record_step_started(0, "s", {"n": 2**53 - 1, "f": 0.1, "e": 1e21, "big": 2**64, "nan": float("nan")})
    observer.record_step_completed(0, "s")
    observer.mark_completed()
    envelope = sign_statement(observer.get_execution_record(), KEY)
    assert ExecutionStatement.read(Envelope.parse(envelope.to_json())).check()


def test_a_record_beside_that_is_none_is_an_untrue_one() -> None:
    read = ExecutionStatement.read(sign_statement(make_sealed_record(), KEY, detached=True))
    for beside in ({}, {"schema": "x"}, {"payload": "x"}):
        verdict = read.check(beside)
        assert not verdict
        assert "not an execution record" in verdict.why
    with pytest.raises(RecordError):
        ExecutionRecord.from_dict({})
