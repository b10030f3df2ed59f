"""Keys, requests, approvals and broken glass on the command line: what each party types, and is told."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from hearth.cli import cli

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result

PLAN = """\
plan: tidy
inputs: [words.txt]
steps:
  - name: Read
    shell: cat words.txt
"""
LIVE = ("--mode", "live", "--yes", "--reason", "a test")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a ledger, a plan and its input; no key yet."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "settings"))
    hearth("init", code=0)
    (tmp_path / "plan.yaml").write_text(PLAN)
    (tmp_path / "words.txt").write_text("hello\n")
    return tmp_path


def hearth(*arguments: str, code: int | None = None, **environment: str) -> Result:
    """Run `hearth`; with `code`, expect that exit code."""
    result = CliRunner(env=environment).invoke(cli, list(arguments))
    if code is not None:
        assert result.exit_code == code, f"{result.output}\n{result.exception!r}"
    assert "Traceback" not in result.output
    return result


def document(*arguments: str, code: int = 0) -> Any:
    """Run `hearth` with --json; return the one document on stdout."""
    return json.loads(hearth(*arguments, "--json", code=code).stdout)


# Keys


def test_a_key_made_for_one_ledger_is_trusted_by_the_next(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hearth("keygen", "--trust", "ann", code=0)
    key = folder / "settings" / "hearth" / "key.pem"
    before = key.read_bytes()
    second = folder / "second"
    second.mkdir()
    monkeypatch.chdir(second)
    hearth("init", code=0)
    (second / "plan.yaml").write_text("plan: other\nsteps:\n  - name: Say\n    shell: echo hello\n")
    refused = hearth("run", "plan.yaml", *LIVE, code=3)
    assert "`hearth keygen --trust` trusts your key there" in refused.stderr
    told = hearth("keygen", "--trust", "ann", code=0)
    assert "took the key that is there" in told.stdout
    assert "trusts it now" in told.stdout
    assert key.read_bytes() == before
    hearth("run", "plan.yaml", *LIVE, code=0)


def test_trusting_a_key_again_changes_nothing(folder: Path) -> None:
    first = document("keygen", "--trust", "ann")
    policy = (folder / ".hearth" / "policy.yaml").read_bytes()
    again = document("keygen", "--trust", "bob")
    assert (first["made"], again["made"]) == (True, False)
    assert (again["public_key"], again["name"]) == (first["public_key"], "ann")
    assert "already, as ann" in hearth("keygen", "--trust", code=0).stdout
    assert (folder / ".hearth" / "policy.yaml").read_bytes() == policy


def test_a_key_that_is_named_is_trusted_and_none_is_made(folder: Path) -> None:
    made = document("keygen", "--out", "other.pem")
    trusted = document("keygen", "--trust", "--key", "other.pem", "ann")
    assert (trusted["public_key"], trusted["made"]) == (made["public_key"], False)
    assert made["public_key"] in (folder / ".hearth" / "policy.yaml").read_text()
    assert not (folder / "settings").exists()
    hearth("run", "plan.yaml", *LIVE, "--key", "other.pem", code=0)


def test_an_existing_key_is_never_overwritten_and_the_way_on_is_said(folder: Path) -> None:
    hearth("keygen", code=0)
    key = folder / "settings" / "hearth" / "key.pem"
    before = key.read_bytes()
    refused = hearth("keygen", code=2).stderr
    assert "--out FILE" in refused
    assert "--trust" in refused
    hearth("keygen", "--trust", "--out", str(key), code=2)
    hearth("keygen", "--trust", "--passphrase", code=2)
    hearth("keygen", "--key", str(key), code=2)
    hearth("keygen", "--trust", "--key", "nowhere.pem", code=2)
    assert key.read_bytes() == before
    assert (
        not (folder / ".hearth" / "policy.yaml").exists()
        or "keys" not in (folder / ".hearth" / "policy.yaml").read_text()
    )


@pytest.mark.parametrize("alone", [True, False])
def test_a_run_says_that_the_callers_key_is_not_trusted_here(folder: Path, alone: bool) -> None:
    mine = document("keygen")
    hearth("keygen", "--out", "other.pem", code=0)
    hearth("keygen", "--trust", "--key", "other.pem", "bob", code=0)
    policy = folder / ".hearth" / "policy.yaml"
    if not alone:
        policy.write_text(policy.read_text().replace("self_approval: true", "self_approval: false"))
    said = hearth("run", "plan.yaml", *LIVE, code=3).stderr
    assert "is not trusted by" in said
    assert mine["public_key"] in said
