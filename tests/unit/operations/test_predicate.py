"""The predicate as it is documented: real exports are what the schema says, and outside tools read and verify them."""

from __future__ import annotations

import copy
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import sigstore.dsse
from google.protobuf import json_format  # type: ignore[import-untyped]
from in_toto_attestation.v1 import statement_pb2  # type: ignore[import-untyped]
from in_toto_attestation.v1.statement import Statement as ReferenceStatement  # type: ignore[import-untyped]
from jsonschema import Draft202012Validator
from securesystemslib.dsse import Envelope as OutsideEnvelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import SSlibKey  # type: ignore[attr-defined]  # public, but not in an __all__

from hearth.evidence import PREDICATE_TYPE
from hearth.operations import Records, export_envelope, export_record, recover, run_plan
from hearth.plan import parse_plan
from hearth.recorder import ExecutionObserver
from hearth.security import LiveMode
from hearth.signing import Envelope, SigningKey
from tests.unit.operations._ledgers import furnish

if TYPE_CHECKING:
    from collections.abc import Iterator

REPOSITORY = Path(__file__).resolve().parents[3]
PAGE = REPOSITORY / "docs" / "execution-record-predicate.md"
SCHEMA = json.loads(PAGE.with_name("execution-record-predicate.schema.json").read_text("utf-8"))
VALIDATOR = Draft202012Validator(SCHEMA)
KEY = SigningKey.generate()
# What a reader finds in them: how the run went, and what let it run.
KINDS = {
    "run-1": ("completed", "completed", "approval"),
    "urgent-1": ("completed", "completed", "emergency"),
    "dry": ("completed", "completed", None),
    "failed": ("failed", "failed", None),
    "killed": ("incomplete", "recovered", None),
    "escalated": ("incomplete", "escalation", None),
    "in-memory": ("completed_partial", "completed", None),
}


@dataclass(frozen=True, slots=True)
class Exports:
    """Signed exports of several kinds of runs, with the record in them and without; and the plain ones."""

    whole: dict[str, bytes]
    detached: dict[str, bytes]
    plain: dict[str, bytes]

    def statement(self, name: str, *, detached: bool = False) -> Any:
        return json.loads(Envelope.parse((self.detached if detached else self.whole)[name]).payload)


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exports]:
    """Run, kill and recover, and export."""
    folder = tmp_path_factory.mktemp("exports")
    home = furnish(folder)
    plan = parse_plan({"plan": "dry", "steps": [{"name": "Say", "shell": "echo said"}]}, folder=folder / "work")
    run_plan(plan, home=home, mode=LiveMode.DRY_RUN, execution_id="dry")
    failing = {
        "plan": "bad",
        "steps": [{"name": "Delete", "file": {"delete": "no.txt"}}, {"name": "Say", "shell": "true"}],
    }
    run_plan(parse_plan(failing, folder=folder / "work"), home=home, mode=LiveMode.DRY_RUN, execution_id="failed")
    with Records(home) as records:
        recover(records)
        records.ledger.store(_observed("escalated"), ())
        records.ledger.store(_observed("in-memory"), ())
        found = {name: records.find(name) for name in KINDS}
        yield Exports(
            whole={name: export_envelope(records, one, KEY) for name, one in found.items()},
            detached={name: export_envelope(records, one, KEY, detached=True) for name, one in found.items()},
            plain={name: export_record(records, one) for name, one in found.items()},
        )


def _observed(execution_id: str) -> Any:
    """A record by code that brings no plan, no ledger and no kernel."""
    observer = ExecutionObserver(execution_id, "by hand")
    observer.record_step_started(0, "first", {"amount": 3, "ratio": 0.25, "note": "</script>"})
    observer.record_side_effect("NETWORK", "a call", step_index=0)
    if execution_id == "escalated":
        observer.mark_incomplete_security_escalation("COMPROMISED")
    else:
        observer.record_step_failed(0, "first", "no")
        observer.mark_completed("all the same")
    return observer.get_execution_record("STAGING")


# --- the schema ------------------------------------------------------------------------------------------------------


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["properties"]["predicateType"]["const"] == PREDICATE_TYPE


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("detached", [False, True])
def test_real_exports_are_what_the_schema_says(exports: Exports, name: str, detached: bool) -> None:
    statement = exports.statement(name, detached=detached)
    VALIDATOR.validate(statement)
    said = statement["predicate"]
    approval = said["approval"] and said["approval"]["kind"]
    assert (said["status"], said["cause"], approval) == KINDS[name]


@pytest.mark.parametrize("name", ["run-1", "in-memory"])
def test_what_was_mutated_is_not(exports: Exports, name: str) -> None:
    """Every member of the statement, the predicate and the record in it: left out, of another type, or one too many."""
    good = exports.statement(name)
    places = [path for path in _objects(good) if not _free(path)]
    assert len(places) > 15
    for place in places:
        for member in _at(good, place):
            for change in ("leave out", "another type"):
                bad = copy.deepcopy(good)
                holder = _at(bad, place)
                if change == "leave out" and not (member == "elapsed_us" or member in _OF_EFFECTS):
                    del holder[member]
                elif change == "another type":
                    holder[member] = ["of", "another", 7]
                else:
                    continue
                assert not VALIDATOR.is_valid(bad), (change, *place, member)
        if place not in {(), ("subject", 0), ("subject", 0, "digest"), ("predicate", "record", "digest")}:
            bad = copy.deepcopy(good)
            _at(bad, place)["one_too_many"] = 1
            assert not VALIDATOR.is_valid(bad), ("one too many", *place)


@pytest.mark.parametrize(
    "change",
    [
        {"status": "started"},
        {"status": "COMPLETED"},
        {"cause": "whim"},
        {"started": "2025-09-01"},
        {"ended": None},
        {"entries": 1},
        {"entries": 4.5},
        {"live_mode_anchored": 1},
        {"log": {}},
        {"log": {"origin": ""}},
        {"plan": {"id": "x"}},
        {"record": {"digest": {"sha256": "00"}, "document": None}},
        {"record": {"digest": {"sha512": "0" * 64}, "document": None}},
    ],
)
def test_values_that_no_record_has_are_not(exports: Exports, change: dict[str, Any]) -> None:
    statement = exports.statement("run-1", detached=True)
    statement["predicate"].update(change)
    assert not VALIDATOR.is_valid(statement)


_OF_EFFECTS = {"category", "description", "reversible", "origin", "declared_effects"}


def _objects(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if isinstance(value, dict):
        yield path
        for name, inner in value.items():
            yield from _objects(inner, (*path, name))
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            yield from _objects(inner, (*path, place))


def _free(path: tuple[Any, ...]) -> bool:
    """Whether a caller, a task or a later recorder decides what stands there."""
    return bool({"details", "approval", "declared_effects", "side_effects_declared", "unknown_effects_why"} & set(path))


def _at(value: Any, path: tuple[Any, ...]) -> Any:
    for part in path:
        value = value[part]
    return value


def test_the_page_names_every_member() -> None:
    text = PAGE.read_text("utf-8")
    rows = re.findall(r"^\| `([a-z_.]+)` \|", text, re.MULTILINE)
    predicate = SCHEMA["$defs"]["predicate"]["properties"]
    inner = {f"{name}.{member}" for name in ("plan", "record") for member in predicate[name]["properties"]}
    assert set(rows) == (set(predicate) - {"plan", "record", "log"}) | inner | {"log.origin"}
    assert PREDICATE_TYPE in text


# --- tools that others wrote -----------------------------------------------------------------------------------------


def _outside_key(key: SigningKey) -> SSlibKey:
    return SSlibKey(key.public.key_id, "ed25519", "ed25519", {"public": key.public.raw.hex()})


@pytest.mark.parametrize("name", KINDS)
def test_securesystemslib_reads_and_verifies_the_envelope(exports: Exports, name: str) -> None:
    outside = OutsideEnvelope.from_dict(json.loads(exports.whole[name]))
    ours = Envelope.parse(exports.whole[name])
    assert (outside.payload, outside.payload_type) == (ours.payload, "application/vnd.in-toto+json")
    assert list(outside.verify([_outside_key(KEY)], 1)) == [KEY.public.key_id]
    with pytest.raises(VerificationError):
        outside.verify([_outside_key(SigningKey.generate())], 1)
    outside.payload = outside.payload.replace(b'"completed"', b'"failed"') + b" "
    with pytest.raises(VerificationError):
        outside.verify([_outside_key(KEY)], 1)


@pytest.mark.parametrize("name", KINDS)
def test_sigstores_parser_reads_the_envelope_and_the_statement(exports: Exports, name: str) -> None:
    outside = sigstore.dsse.Envelope._from_json(exports.whole[name])
    ours = Envelope.parse(exports.whole[name])
    assert outside.signature == ours.signatures[0].value
    assert KEY.public.verify(outside.signature, outside.pae())
    statement = sigstore.dsse.Statement(ours.payload)
    assert statement._inner.predicate_type == PREDICATE_TYPE
    said = json.loads(exports.plain[name])
    assert statement._inner.subjects[0].digest.root == {"sha256": said["execution_hash"]}


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("detached", [False, True])
def test_in_totos_own_bindings_validate_the_statement(exports: Exports, name: str, detached: bool) -> None:
    statement = exports.statement(name, detached=detached)
    parsed = ReferenceStatement.copy_from_pb(json_format.ParseDict(statement, statement_pb2.Statement()))
    parsed.validate()
    assert parsed.pb.predicate_type == PREDICATE_TYPE
    assert parsed.pb.subject[0].name == name
    assert json_format.MessageToDict(parsed.pb.predicate) == statement["predicate"]
    del statement["subject"][0]["digest"]
    with pytest.raises(ValueError, match="digest"):
        ReferenceStatement.copy_from_pb(json_format.ParseDict(statement, statement_pb2.Statement())).validate()


def test_the_record_in_an_envelope_is_the_exported_one(exports: Exports) -> None:
    for name in KINDS:
        assert exports.statement(name)["predicate"]["record"]["document"] == json.loads(exports.plain[name])
