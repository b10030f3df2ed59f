"""Dossiers of real runs of every kind: under broken glass and reviewed, with values erased, with very many effects."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from hearth.evidence import verify_dossier
from tests import dossiers
from tests.e2e.command import document, hearth
from tests.e2e.in_browser import in_a_browser
from tests.e2e.sandboxed import needs_sandbox

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.e2e.in_browser import Opened

PLAN = """\
plan: glass
disclosable: [customer]
steps:
  - name: Ask
    python: {call: "ask:customer"}
  - name: Write
    shell: "mkdir out; for n in $(seq 400); do echo $n > out/$n; done"
    effects: [{file_system: out}]
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A ledger with a log, where Ann may break the glass and Bob reviews; `urgent` was run so, and a value erased."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "settings"))
    hearth("init", code=0)
    roles = {"ann": "approver, operator, emergency", "bob": "approver"}
    lines = ["approvals:", "  quorum: 2", "  keys:"]
    for name, held in roles.items():
        public = document("keygen", "--out", f"{name}.pem", name)["public_key"]
        lines.append(f'    {name}: {{key: "{public}", roles: [{held}]}}')
    (tmp_path / ".hearth" / "policy.yaml").write_text("\n".join(lines) + "\n")
    (tmp_path / "ask.py").write_text("def customer():\n    return {'customer': 'ACME Ltd'}\n")
    (tmp_path / "plan.yaml").write_text(PLAN)
    hearth("log", "init", "--origin", "example.org/kinds", code=0)
    live = ("--mode", "live", "--sandbox", "--yes", "--reason", "it burns", "--emergency", "--key", "ann.pem")
    hearth("run", "plan.yaml", *live, "--id", "urgent", code=0)
    hearth("review", "urgent", "--reason", "it did burn", "--key", "bob.pem", code=0)
    hearth("redact", "urgent", "--path", "*customer*", "--reason", "they asked", "--yes", code=0)
    return tmp_path


def written(folder: Path) -> tuple[bytes, dict[str, tuple[str, str]]]:
    """Return the dossier, and what our own code finds of it."""
    hearth("dossier", "urgent", "-o", "urgent.html", "--key", "ann.pem", code=0)
    page = (folder / "urgent.html").read_bytes()
    key = document("log", "status")["keys"][0]
    return page, {one.check.id: (str(one.finding), one.says) for one in verify_dossier(page, [key]).finds}


def data_of(page: bytes) -> dict[str, Any]:
    first, last = dossiers.span(page)
    return dict(json.loads(re.sub(rb"\\u003c", b"<", page[first:last])))


@needs_sandbox
@in_a_browser
def test_all_of_it_holds_in_the_browser_and_by_our_own_code(folder: Path, opened: Callable[..., Opened]) -> None:
    page, ours = written(folder)
    assert {name for name, (finding, _) in ours.items() if finding != "holds"} <= {"log.witnesses"}
    assert ours["erasures"][1] == "1 erased; the log has when, why and by whom; every hash holds"
    assert "review by bob" in ours["approval.signatures"][1]
    data = data_of(page)
    assert data["erasures"][0]["reason"] == "they asked"
    assert "ACME" not in page.decode()
    assert len(data["manifests"]) == 2
    one = opened()
    assert one.show(page) == "partly"  # no witness is known
    theirs = one.findings()
    assert {name: theirs[name][0] for name in ours if name in theirs} == {
        name: finding for name, (finding, _) in ours.items() if name in theirs
    }
    text = " ".join(one.page.inner_text("body").split())
    for words in ("EMERGENCY", "it burns", "it did burn", "they asked", "bob"):
        assert words in text, words
    assert (one.requests, one.said) == ([one.file.as_uri()], [])


@needs_sandbox
@pytest.mark.parametrize(
    "path, value, check",
    [
        # What stands outside the record is vouched for by the dossier's own signature, or by the log.
        (("approval", "reviews"), [], "data.signature"),
        (("erasures",), [], "erasures"),
        (("erasures", 0, "reason"), "nobody knows", "erasures"),
        (("approval", "reviews", 0, "says", "reviewer"), "ann", "approval.signatures"),
        (("manifests", 1, "document", "steps"), [], "manifests"),
        (("manifests",), [], "manifests"),
    ],
)
def test_what_is_changed_of_it_is_seen(folder: Path, path: tuple[str | int, ...], value: Any, check: str) -> None:
    page, _ = written(folder)
    forged = dossiers.resealed(page, dossiers.fold(data_of(page), *path, value=value))
    assert check in {one.check.id for one in verify_dossier(forged).failed}
