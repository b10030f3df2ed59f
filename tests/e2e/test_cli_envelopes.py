"""Signed exports on the command line: what a user types to sign a record, and an outsider to check it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from hearth.record import ExecutionRecord
from hearth.signing import Envelope, SigningKey
from tests.e2e.command import document, hearth

PLAN = "plan: tidy\nsteps:\n  - name: Write the report\n    file: {write: report.txt, content: hello}\n"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a ledger, a key that it does not know, and a record."""
    monkeypatch.chdir(tmp_path)
    Path("plan.yaml").write_text(PLAN)
    hearth("init", code=0)
    hearth("keygen", "--out", "exports.pem", code=0)
    hearth("run", "plan.yaml", "--id", "one", code=0)
    return tmp_path


def public(name: str = "exports.pem") -> str:
    return str(SigningKey.load(name).public)


def test_what_is_signed_is_verified_without_a_ledger(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = hearth("export", "one", "--dsse", "--key", "exports.pem", "-o", "one.dsse", code=0)
    assert result.stdout.startswith("✓ one → one.dsse")
    assert f"signed by {public()}" in result.stdout
    key, data = public(), Path("one.dsse").read_bytes()
    if os.name == "posix":
        assert Path("one.dsse").stat().st_mode & 0o077 == 0
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    Path("sent").write_bytes(data)
    result = hearth("verify", "sent", "--key", key, code=0)
    assert "sent  verified" in result.stdout
    assert f"signed by {key}" in result.stdout
    assert "execution one" in result.stdout
    told = document("verify", "sent", "--key", key)
    assert (told["kind"], told["execution_id"], told["signed_by"]) == ("envelope", "one", [key])
    result = hearth("verify", "sent", code=5)
    assert "NOT VERIFIED: no key that is trusted here signed it" in result.stdout
    assert "there is no ledger here" in result.stdout
    other = public_of(SigningKey.generate())
    assert "NOT VERIFIED" in hearth("verify", "sent", "--key", other, code=5).stdout
    hearth("verify", "sent", "--key", other, "--key", key, code=0)
    hearth("verify", "sent", "--key", "no-such-file", code=2)
    hearth("verify", "sent", "sent", "--key", key, code=0)
    hearth("--home", "nowhere", "verify", "sent", "--key", key, code=0)


def public_of(key: SigningKey) -> str:
    return str(key.public)


def test_the_ledgers_policy_names_whose_signature_counts() -> None:
    data = hearth("export", "one", "--dsse", code=0, HEARTH_KEY="exports.pem").stdout
    Path("one.dsse").write_text(data)
    assert "policy.yaml names none" in hearth("verify", "one.dsse", code=5).stdout
    hearth("keygen", "exports", "--trust", "--key", "exports.pem", "--role", "requester", code=0)
    assert "signed by exports" in hearth("verify", "one.dsse", code=0).stdout
    assert "signed by exports" not in hearth("verify", "one.dsse", "--quiet", code=0).stdout
    result = hearth("export", "one", "--dsse", "--key", "exports.pem", "-o", "one.dsse", "--force", code=0)
    assert "exports in this ledger's policy" in result.stdout
    Path(".hearth/policy.yaml").write_text("approvals: [")
    assert "policy" in hearth("verify", "one.dsse", code=5).stdout
    hearth("verify", "one.dsse", "--key", public(), code=0)


def test_a_detached_envelope_needs_its_record() -> None:
    hearth("export", "one", "--dsse", "--detached", "--key", "exports.pem", "-o", "one.dsse", code=0)
    hearth("export", "one", "-o", "one.json", code=0)
    assert "Write the report" not in Envelope.parse(Path("one.dsse").read_bytes()).payload.decode()
    key = public()
    assert "give it with --record FILE" in hearth("verify", "one.dsse", "--key", key, code=5).stdout
    hearth("verify", "one.dsse", "--key", key, "--record", "one.json", code=0)
    hearth("run", "plan.yaml", "--id", "two", code=0)
    hearth("export", "two", "-o", "two.json", code=0)
    assert "another record" in hearth("verify", "one.dsse", "--key", key, "--record", "two.json", code=5).stdout
    Path("bad.json").write_text("{")
    hearth("verify", "one.dsse", "--key", key, "--record", "bad.json", code=5)
    hearth("verify", "one.dsse", "--key", key, "--record", "none.json", code=1)
    hearth("verify", "one.dsse", "one.dsse", "--key", key, "--record", "one.json", code=2)


def test_a_plain_record_in_the_place_of_a_signed_one_is_not_verified() -> None:
    hearth("export", "one", "-o", "one.dsse", code=0)
    hearth("verify", "one.dsse", code=0)
    result = hearth("verify", "one.dsse", "--key", public(), code=5)
    assert "signed by nobody" in result.stdout
    hearth("verify", "one", "--key", public(), code=5)
    hearth("verify", "one.dsse", "--record", "one.dsse", code=5)


def test_a_changed_record_in_an_envelope_is_named(folder: Path) -> None:
    text = hearth("export", "one", "--dsse", "--key", "exports.pem", code=0).stdout
    envelope = Envelope.parse(text.encode())
    payload = envelope.payload.replace(b"Write the report", b"Wrote the report")
    (folder / "one.dsse").write_bytes(
        Envelope.sign(payload, envelope.payload_type, SigningKey.load("exports.pem")).to_json()
    )
    result = hearth("verify", "one.dsse", "--key", public(), code=5)
    assert "first bad entry: 1" in result.stdout
    assert document("verify", "one.dsse", "--key", public(), code=5)["first_bad"] == 1
    (folder / "one.dsse").write_text(text[:-50])
    hearth("verify", "one.dsse", "--key", public(), code=5)


def test_what_stands_in_the_envelope_is_the_record() -> None:
    payload = json.loads(
        Envelope.parse(hearth("export", "one", "--dsse", "--key", "exports.pem", code=0).stdout.encode()).payload
    )
    assert payload["predicate"]["record"]["document"] == json.loads(hearth("export", "one", code=0).stdout)
    assert ExecutionRecord.from_dict(payload["predicate"]["record"]["document"]).verify()


@pytest.mark.parametrize(
    "options",
    [["--key", "exports.pem"], ["--detached"], ["--dsse", "--indent"], ["--dsse", "--disclose"]],
)
def test_options_that_make_no_sense_together(options: list[str]) -> None:
    hearth("export", "one", *options, code=2)


def test_without_a_key_nothing_is_signed() -> None:
    result = hearth("export", "one", "--dsse", "-o", "one.dsse", code=2)
    assert "hearth keygen" in result.stderr
    hearth("export", "one", "--dsse", "--key", "no.pem", "-o", "one.dsse", code=2)
    assert not Path("one.dsse").exists()
    hearth("verify", "one.dsse", code=2)


def test_a_passphrase_comes_from_the_variable() -> None:
    secret = {"HEARTH_KEY_PASSPHRASE": "correct horse"}
    hearth("keygen", "--out", "other.pem", "--passphrase", code=0, **secret)
    hearth("export", "one", "--dsse", "--key", "other.pem", code=2)
    hearth("export", "one", "--dsse", "--key", "other.pem", "-o", "one.dsse", code=0, **secret)
