"""The transparency log from the command line: made, grown by runs, checked, published, proven, its key changed."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from tests.e2e.command import document, hearth

if TYPE_CHECKING:
    from pathlib import Path

PLAN = """\
plan: tell
disclosable: [customer]
steps:
  - name: Tell
    python: {call: "told:run"}
"""
TOLD = "def run():\n    return {'customer': 'AC' + 'ME'}\n"
LIVE = ("--mode", "live", "--yes", "--reason", "a test")


@pytest.fixture
def folder(ledger_folder: Path) -> Path:
    """A ledger with a log, and one live run before it and one after."""
    (ledger_folder / "plan.yaml").write_text(PLAN)
    (ledger_folder / "told.py").write_text(TOLD)
    hearth("run", "plan.yaml", *LIVE, "--id", "before", code=0)
    hearth("log", "init", "--origin", "example.org/prod", code=0)
    hearth("run", "plan.yaml", *LIVE, "--id", "after", code=0)
    return ledger_folder


def key() -> str:
    return str(document("log", "status", "--json")["keys"][-1])


def test_without_a_log_nothing_is_different_and_the_next_step_is_said(ledger_folder: Path) -> None:
    assert "`hearth log init` makes one" in hearth("log", "status", code=2).stderr
    assert not (ledger_folder / ".hearth/transparency").exists()


def test_runs_and_approvals_are_in_the_log(folder: Path) -> None:
    found = document("log", "status", "--json")
    # Its creation; the first run's approval and record; the second one's approval, opening and record.
    assert (found["size"], found["waiting"], found["problems"]) == (6, 0, [])
    checked = document("log", "verify", "--json")
    assert checked["ok"]
    assert checked["compared_with_ledger"]
    assert "Keep the key elsewhere" in hearth("log", "verify", code=0).stdout
    hearth("lockdown", "--reason", "drill", code=0)
    assert document("log", "status", "--json")["size"] == 7
    assert hearth("fsck", code=0)
    assert folder


def test_a_proof_needs_the_record_and_the_key_alone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    vkey = key()
    hearth("prove", "after", code=0)
    hearth("export", "after", "-o", "after.json", code=0)
    hearth("export", "before", "-o", "before.json", code=0)
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    for name in ("after.tlog-proof", "after.json", "before.json"):
        shutil.copy(folder / name, elsewhere)
    shutil.rmtree(folder / ".hearth")
    monkeypatch.chdir(elsewhere)
    proof = ("--proof", "after.tlog-proof", "--log-key", vkey)
    assert "in the log example.org/prod" in hearth("verify", "after.json", *proof, code=0).stdout
    told = hearth("verify", "before.json", *proof, code=5)
    assert "does not have this record" in told.stdout
    other = vkey.replace("example.org", "example.net")
    assert "no verifier key" in hearth("verify", "after.json", "--proof", "after.tlog-proof", "--log-key", other).stderr
    assert "--log-key" in hearth("verify", "after.json", "--proof", "after.tlog-proof", code=2).stderr


def test_a_published_log_is_checked_without_the_ledger(folder: Path) -> None:
    vkey = key()
    hearth("log", "publish", "public", code=0)
    shutil.copy(folder / "public/checkpoint", folder / "kept")
    hearth("run", "plan.yaml", code=0)
    hearth("log", "publish", "public", code=0)
    checked = document("log", "verify", "public", "--key", vkey, "--since", "kept", "--json")
    assert checked["ok"]
    assert not checked["compared_with_ledger"]
    assert "only a key tells" in hearth("log", "verify", "public", code=2).stderr
    bundle = next((folder / "public/tile/entries").rglob("0*/*"))
    bundle.write_bytes(bundle.read_bytes().replace(b"completed", b"failed!!!", 1))
    for path in (folder / "public/tile/entries").rglob("*"):
        if path.is_file() and path != bundle:
            path.unlink()
    assert not document("log", "verify", "public", "--key", vkey, "--json", code=5)["ok"]


def test_what_is_published_has_a_folder_of_its_own(folder: Path) -> None:
    """A web server shows all that is in a folder: neither the ledger nor a private key may be there."""
    inside, key_file = folder / ".hearth/transparency", folder / "keys/log.pem"
    before = {path: path.stat().st_mode for path in (folder / ".hearth").rglob("*")}
    for place in (folder, folder / ".hearth", inside, inside / "log", inside / "log/public"):
        told = hearth("log", "publish", str(place), code=2).stderr
        assert "name a folder for the log alone" in " ".join(told.split())
    assert {path: path.stat().st_mode for path in (folder / ".hearth").rglob("*")} == before
    key_file.parent.mkdir()
    hearth("log", "rotate", "--key", str(key_file), code=0)
    assert "the log's private key in it" in " ".join(hearth("log", "publish", "keys", code=2).stderr.split())
    hearth("log", "publish", "public", code=0)
    told = hearth("verify", "public", code=2).stderr
    assert "`hearth log verify public --key VKEY`" in " ".join(told.split())


def test_a_proof_and_a_dossier_are_held_against_the_published_log(folder: Path) -> None:
    """Each holds by itself in a second history, too; that it is of the one that all see only this tells."""
    vkey = key()
    shutil.copytree(folder / ".hearth", folder / "other" / ".hearth")
    for home, name in ((folder / ".hearth", "one"), (folder / "other" / ".hearth", "two")):
        at = ("--home", str(home))
        hearth(*at, "run", "plan.yaml", "--id", name, code=0)
        hearth(*at, "prove", name, "-o", f"{name}.tlog-proof", code=0)
        hearth(*at, "dossier", name, "-o", f"{name}.html", code=0)
    hearth("log", "publish", "public", code=0)
    verify = ("log", "verify", "public", "--key", vkey, "--since")
    for kind in ("tlog-proof", "html"):
        hearth(*verify, f"one.{kind}", code=0)
        assert "does not continue the checkpoint" in " ".join(hearth(*verify, f"two.{kind}", code=5).stdout.split())
    assert "no checkpoint that can be read" in hearth(*verify, "plan.yaml", code=5).stderr
    assert "cannot be read" in hearth(*verify, "nothing", code=2).stderr


def test_a_log_that_was_set_back_stops_the_next_run_before_its_first_step(folder: Path) -> None:
    log = folder / ".hearth/transparency/log"
    shutil.copytree(log, folder / "old")
    hearth("run", "plan.yaml", code=0)
    shutil.rmtree(log)
    shutil.copytree(folder / "old", log)
    told = hearth("run", "plan.yaml", *LIVE, "--id", "stopped")
    assert told.exit_code != 0
    assert "set back" in told.stderr + told.stdout
    record = document("show", "stopped", "--json")
    assert "recorder_failure" in json.dumps(record)
    assert "step_completed" not in json.dumps(record)


def test_a_record_removed_from_the_database_is_missed(folder: Path) -> None:
    with closing(sqlite3.connect(folder / ".hearth/ledger.db", isolation_level=None)) as connection:
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("DELETE FROM executions WHERE execution_id = 'after'")
    told = hearth("log", "verify", code=5).stdout
    assert "execution after was sealed" in told


def test_the_key_is_changed_and_the_old_one_revoked(folder: Path) -> None:
    first = key()
    hearth("log", "rotate", code=0)
    assert key() != first
    hearth("run", "plan.yaml", code=0)
    hearth("log", "publish", "public", code=0)
    assert document("log", "verify", "public", "--key", first, "--json")["ok"]
    size = document("log", "status", "--json")["size"]
    hearth("log", "revoke", first, "--from", "6", code=0)
    assert document("log", "verify", "--key", first, "--json")["ok"]
    assert size
    assert folder


def test_erased_values_are_gone_and_every_hash_holds(folder: Path) -> None:
    assert '"ACME"' in hearth("export", "after", "--disclose", code=0).stdout
    told = hearth("redact", "after", "--path", "*customer*", "--dry-run", code=0).stdout
    assert "would erase" in told
    before = hearth("export", "after", code=0).stdout
    assert "needs a reason" in hearth("redact", "after", "--path", "*customer*", "--yes", code=3).stderr
    hearth("redact", "after", "--path", "*customer*", "--reason", "they asked", "--yes", code=0)
    after = json.loads(hearth("export", "after", "--disclose", code=0).stdout)
    assert "ACME" not in json.dumps(after)
    (erasure,) = after.pop("erasures")
    assert erasure["reason"] == "they asked"
    assert erasure["erased"]
    assert after == json.loads(before)
    (folder / "after.json").write_text(hearth("export", "after", code=0).stdout)
    checked = hearth("verify", "after.json", code=0).stdout
    assert "erased at" in checked
    assert "they asked" in checked
    assert document("log", "verify", "--json")["ok"]
    hearth("fsck", code=0)
    hearth("redact", "before", "--path", "/details/result/*", "--reason", "both", "--yes", code=0)
    for path in (folder / ".hearth").glob("ledger.db*"):
        assert b'"ACME"' not in path.read_bytes()
    assert "erased already" in hearth("redact", "after", "--path", "*customer*", "--reason", "again", "--yes").stderr


def test_a_held_record_keeps_its_values(folder: Path) -> None:
    hearth("hold", "add", "after", "--reason", "court", code=0)
    told = hearth("redact", "after", "--path", "*customer*", "--reason", "they asked", "--yes")
    assert told.exit_code != 0
    assert "on hold" in told.stderr
    assert '"ACME"' in hearth("export", "after", "--disclose", code=0).stdout
    assert folder


def test_no_step_sees_the_logs_key_wherever_it_lies(folder: Path) -> None:
    from hearth.observe import probe

    if probe().name == "fallback":
        pytest.skip("this machine can make no sandbox")
    hearth("log", "rotate", "--key", str(folder / "secret/log.pem"), code=0)
    (folder / "steal.yaml").write_text("plan: steal\nsteps:\n  - name: Steal\n    shell: cat secret/log.pem\n")
    told = hearth("preview", "steal.yaml")
    assert "PRIVATE KEY" not in told.output
    assert (folder / "secret/log.pem").read_bytes().startswith(b"-----BEGIN PRIVATE KEY")


def test_the_status_says_when_nothing_can_be_signed(folder: Path) -> None:
    """And not only the next run does."""
    file = folder / ".hearth/transparency/key.pem"
    assert document("log", "status", "--json")["cannot_sign"] == ""
    for damage, words in ((None, "the log's private key is not there"), (b"nothing", "no private key")):
        whole = file.read_bytes()
        file.unlink()
        if damage is not None:
            file.write_bytes(damage)
            file.chmod(0o600)
        told = " ".join(hearth("log", "status", code=0).stdout.split())
        assert "no run starts: " in told
        assert words in told
        refused = hearth("run", "plan.yaml", *LIVE, "--id", "none", code=3)
        assert words in " ".join(refused.stderr.split())
        file.write_bytes(whole)
    file.chmod(0o600)
    assert "no run starts" not in hearth("log", "status", code=0).stdout


def test_an_id_that_is_a_secret_is_refused(folder: Path) -> None:
    """It would be shown everywhere, and published for ever."""
    refused = hearth("run", "plan.yaml", "--id", "ghp_" + "a1B2" * 9, code=3)
    assert "looks like a secret" in " ".join(refused.stderr.split())
    assert not list((folder / ".hearth/journals").iterdir())


def test_what_belongs_to_a_log_is_told_from_a_record(folder: Path) -> None:
    hearth("prove", "after", code=0)
    hearth("log", "rotate", code=0)
    hearth("log", "publish", "public", code=0)
    for name, advice in {
        "after.tlog-proof": "hearth verify RECORD --proof FILE",
        "public/checkpoint": "hearth log verify DIR --key VKEY",
        "public/keys": "hearth log verify DIR --key FILE",
    }.items():
        assert advice in " ".join(hearth("verify", name, code=5).stdout.split())
    hearth("log", "verify", "public", "--key", "public/keys", code=0)
    assert folder


def test_a_run_past_the_log_is_named_by_everything(folder: Path) -> None:
    """Somebody takes the log away for a run, and brings it back: a record that nobody was told of before it acted."""
    log, aside = folder / ".hearth/transparency", folder / "aside"
    log.rename(aside)
    with closing(sqlite3.connect(folder / ".hearth/ledger.db")) as database, database:
        noted = database.execute("SELECT * FROM logs").fetchall()
        database.execute("DELETE FROM logs")
    hearth("run", "plan.yaml", *LIVE, "--id", "ghost", code=0)
    aside.rename(log)
    with closing(sqlite3.connect(folder / ".hearth/ledger.db")) as database, database:
        database.executemany("INSERT INTO logs VALUES (?, ?, ?)", noted)
    words = "the log was not told of it before the first of them"
    assert words in " ".join(document("log", "status", "--json")["problems"])
    updated = hearth("log", "update", "--json")
    assert words in " ".join(json.loads(updated.stdout)["problems"])
    told = hearth("log", "verify", code=5)
    assert words in " ".join(told.stdout.split())
    assert "the log was not told of it" in " ".join(hearth("fsck", code=5).stdout.split())
    hearth("lockdown", "--reason", "somebody was here", code=0)  # a later event of the log
    assert words in " ".join(hearth("log", "verify", code=5).stdout.split())
    assert "does not have the record" in json.dumps(document("dossier", "ghost", "-o", "ghost.html", "--json"))
