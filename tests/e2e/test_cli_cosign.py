"""`hearth log cosign` against real witnesses, and what becomes of it in `hearth log`."""

from __future__ import annotations

import shutil
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from hearth.evidence import Note, NoteKey, Witness
from hearth.signing import SigningKey
from tests.e2e.command import document, hearth
from tests.witnesses import serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Place:
    """A ledger with a log, and two witnesses that know it."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        self.home = folder / "home" / ".hearth"
        hearth("init", str(self.home.parent), code=0)
        self.key = self("log", "init", "--origin", "example.com/log")["keys"][0]
        logs = {"example.com/log": [NoteKey.parse(self.key)]}
        self.witnesses = [Witness(f"w/{one}", SigningKey.generate(), logs, folder / f"w{one}") for one in (0, 1)]
        self.urls = [stack.enter_context(serving(one)).url for one in self.witnesses]
        (folder / "policy").write_text(
            f"log {self.key}\n"
            + "".join(
                f"witness w{number} {one.key} {url}\n"
                for number, (one, url) in enumerate(zip(self.witnesses, self.urls, strict=True))
            )
            + "group both all w0 w1\nquorum both\n"
        )
        self.policy = ("--policy", str(folder / "policy"))

    def __call__(self, *arguments: str, code: int = 0) -> Any:
        return document("--home", str(self.home), *arguments, code=code)

    def told(self, *arguments: str, code: int = 0) -> str:
        return hearth("--home", str(self.home), "log", "cosign", *arguments, code=code).output


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with ExitStack() as stack:
        yield Place(tmp_path, stack)


def test_a_policy_s_witnesses_cosign_and_it_is_published(place: Place) -> None:
    done = place("log", "cosign", *place.policy)
    assert [one["witness"] for one in done["cosigned_by"]] == [str(one.key) for one in place.witnesses]
    assert (done["failed"], done["alarm"], done["lacking"]) == ([], False, "")
    assert place("log", "status")["cosigned_by"] == ["w/0", "w/1"]
    place("log", "publish", str(place.folder / "site"))
    note = Note.parse((place.folder / "site" / "checkpoint").read_bytes())
    keys = [NoteKey.parse(place.key), *(one.key for one in place.witnesses)]
    assert set(note.verified_by(keys)) == set(keys)
    witness = str(place.witnesses[1].key)
    verified = place("log", "verify", str(place.folder / "site"), "--key", place.key, "--witness", witness)
    assert verified["ok"] is True
    hearth("--home", str(place.home), "fsck", code=0)


def test_some_of_them(place: Place) -> None:
    said = place.told(place.urls[0], *place.policy, code=1)
    assert "cosigned by w/0 (http://127.0.0.1:" in said
    assert "too few cosignatures: the policy asks for both (2 of w0, w1), and it has w0" in " ".join(said.split())
    assert "cosigned by w/1" in place.told(f"{place.urls[1]}/", *place.policy)
    assert place("log", "status")["cosigned_by"] == ["w/0", "w/1"]
    assert "✓ cosigned by w/0" in place.told("--witness", str(place.witnesses[0].key), place.urls[0])


def test_a_policy_says_what_verifiers_need(place: Place) -> None:
    """The same file serves who asks for cosignatures and who checks them, of the log and of a proof."""
    run = "one"
    hearth("--home", str(place.home), "exec", "--id", run, "--mode", "dry-run", "--", "true", code=0)
    site, proof = str(place.folder / "site"), str(place.folder / "proof")
    place.told(place.urls[0], *place.policy, code=1)
    place("log", "publish", site)
    said = hearth("--home", str(place.home), "log", "verify", site, *place.policy, code=5).output
    assert "the policy asks for both (2 of w0, w1), and it has w0" in " ".join(said.split())
    place.told(place.urls[1], *place.policy)
    place("log", "publish", site)
    assert place("log", "verify", site, *place.policy)["ok"] is True
    hearth("--home", str(place.home), "prove", run, "-o", proof, code=0)
    checked = place("verify", run, "--proof", proof, *place.policy)
    assert "cosigned by 2" in checked["notes"][-1]
    both = ("--witness", str(place.witnesses[0].key))
    assert "not both" in hearth("--home", str(place.home), "log", "verify", site, *both, *place.policy).output


def test_what_was_kept_before_there_were_witnesses_is_still_compared(place: Place) -> None:
    site = place.folder / "site"
    place("log", "publish", str(site))
    shutil.copy(site / "checkpoint", place.folder / "kept")
    hearth("--home", str(place.home), "exec", "--mode", "dry-run", "--", "true", code=0)
    place.told(*place.policy)
    place("log", "publish", str(site))
    verify = ("log", "verify", str(site), *place.policy, "--since")
    assert place(*verify, str(place.folder / "kept"))["ok"] is True
    other = Note.parse((place.folder / "kept").read_bytes())
    forged = Note(other.text).signed("example.com/log", SigningKey.generate())
    (place.folder / "kept").write_bytes(forged.to_bytes())
    said = hearth("--home", str(place.home), *verify, str(place.folder / "kept"), code=5).output
    assert "the checkpoint to compare with" in " ".join(said.split())


def test_another_history_ends_with_5_and_is_kept(place: Place) -> None:
    shutil.copytree(place.home, place.folder / "before")
    hearth("--home", str(place.home), "exec", "--mode", "dry-run", "--", "true", code=0)
    place.told(*place.policy)
    shutil.rmtree(place.home)
    shutil.copytree(place.folder / "before", place.home)
    done = place("log", "cosign", *place.policy, code=5)
    assert done["alarm"] is True
    assert {one["alarm"] for one in done["failed"]} == {True}
    said = " ".join(place.told(*place.policy, code=5).split())
    assert "✗ ALARM: the witness w/0" in said
    assert "the log was set back, or somebody else signs with its key" in said


def test_whose_key_an_address_has_is_said_by_a_person(place: Place) -> None:
    assert "nobody has said which key that witness has" in place.told(place.urls[0], code=2)
    assert "there is no witness to ask" in place.told(code=2)
    assert "is not the key of a witness" in place.told("--witness", place.key, place.urls[0], code=2)
    assert "is no address of a witness" in place.told("--witness", str(place.witnesses[0].key), "w.example", code=2)
    (place.folder / "policy").write_text("quorum nobody\n")
    assert "line 1 of the policy: the quorum nobody is not" in place.told(*place.policy, code=2)
    assert "cannot be read" in place.told("--policy", str(place.folder / "none"), code=2)
