"""`hearth timestamp` from end to end: asking an authority on loopback, and checking its stamp without it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hearth.cli._timestamp import AUTHORITY_VARIABLE
from hearth.evidence import Checkpoint, Note, NoteKey, leaf_hash
from hearth.signing import SigningKey
from tests.e2e.command import document, hearth
from tests.unit.evidence.authority import Authority

if TYPE_CHECKING:
    from collections.abc import Iterator

KEY = SigningKey.generate()
ORIGIN = "example.org/ledger"
VKEY = str(NoteKey(ORIGIN, KEY.public))
NOTE = Note(Checkpoint(ORIGIN, 7, leaf_hash(b"a root")).text()).signed(ORIGIN, KEY)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Authority]:
    """An authority, running."""
    with Authority.make(tmp_path_factory.mktemp("authority") / "one") as made:
        yield made


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, authority: Authority) -> None:
    """The current folder, with a checkpoint and the authority's root; there is no ledger."""
    monkeypatch.chdir(tmp_path)
    Path("checkpoint").write_bytes(NOTE.to_bytes())
    Path("root.pem").write_bytes(authority.root)


def test_a_checkpoint_is_stamped_and_the_stamp_checked_offline(authority: Authority) -> None:
    result = hearth("timestamp", "checkpoint", "--url", authority.url, "--root", "root.pem", code=0)
    assert "example.org/ledger, size 7  stamped" in result.stdout
    assert "by CN=a test's authority" in result.stdout
    assert "the log's own signature was not checked" in result.stdout
    asked = len(authority.asked)
    check = ("timestamp", "checkpoint", "--verify", "checkpoint.7.tsr", "--root", "root.pem", "--log", VKEY)
    assert "not checked" not in hearth(*check, code=0).stdout
    told = document(*check)
    assert (told["origin"], told["size"], told["log_signature_checked"]) == (ORIGIN, 7, True)
    assert told["time"].endswith("Z")
    assert len(authority.asked) == asked


def test_the_variable_names_the_authority_and_nothing_is_overwritten(authority: Authority) -> None:
    ask = ("timestamp", "checkpoint", "--root", "root.pem", "-o", "mine.tsr")
    assert AUTHORITY_VARIABLE in hearth(*ask, code=2).stderr
    hearth(*ask, code=0, **{AUTHORITY_VARIABLE: authority.url})
    assert "--force" in hearth(*ask, "--url", authority.url, code=2).stderr
    hearth(*ask, "--url", authority.url, "--force", code=0)


def test_what_does_not_hold_ends_with_5(authority: Authority) -> None:
    hearth("timestamp", "checkpoint", "--url", authority.url, "--root", "root.pem", "-o", "a.tsr", code=0)
    other = str(NoteKey(ORIGIN, SigningKey.generate().public))
    check = ("timestamp", "checkpoint", "--verify", "a.tsr", "--root", "root.pem")
    assert "not signed by" in hearth(*check, "--log", other, code=5).stderr
    Path("checkpoint").write_bytes(Note(NOTE.text).signed(ORIGIN, SigningKey.generate()).to_bytes())
    assert "does not hold for this checkpoint" in hearth(*check, code=5).stderr
    Path("checkpoint").write_bytes(b"no note")
    hearth(*check, code=5)


def test_nothing_is_written_where_nothing_was_stamped(authority: Authority) -> None:
    hearth("timestamp", "checkpoint", "--url", "http://127.0.0.1:9/", "--root", "root.pem", code=5)
    Path("wrong.pem").write_bytes((authority.folder / "other.pem").read_bytes())
    hearth("timestamp", "checkpoint", "--url", authority.url, "--root", "wrong.pem", code=5)
    assert not Path("checkpoint.7.tsr").exists()


@pytest.mark.parametrize(
    "options", [["--verify", "x", "-o", "y"], ["--verify", "x", "--force"], ["--url", "http://127.0.0.1:9/", "extra"]]
)
def test_options_that_make_no_sense_together(options: list[str]) -> None:
    hearth("timestamp", "checkpoint", "--root", "root.pem", *options, code=2)
    hearth("timestamp", "checkpoint", "--url", "http://127.0.0.1:9/", code=2)


def test_a_file_that_is_not_there() -> None:
    hearth("timestamp", "none", "--verify", "x", "--root", "root.pem", code=1)
    hearth("timestamp", "checkpoint", "--verify", "none", "--root", "root.pem", code=1)
