"""Plans are kept beside their records: whole, found by digest, without secrets."""

from __future__ import annotations

import json
import os
import stat
from typing import TYPE_CHECKING, Any

import pytest

from hearth.errors import LedgerError
from hearth.operations import PlanArchive
from tests.unit.operations._steps import WRITE

if TYPE_CHECKING:
    from collections.abc import Callable

    from hearth.ledger import LedgerHome
    from hearth.plan import Plan

LITERAL = "hunter2-correct-horse"


def test_a_plan_comes_back_whole(home: LedgerHome, make_plan: Callable[..., Plan]) -> None:
    plan = make_plan(WRITE)
    archive = PlanArchive(home)
    path = archive.keep(plan)
    kept = archive.find(plan.digest)
    assert kept is not None
    assert kept.whole
    assert kept.document == plan.document
    assert kept.hints == [{"step_index": 0, **WRITE["rollback"]}]
    assert kept.tasks == {"file": "1"}
    if os.name == "posix":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_keeping_it_again_changes_nothing(home: LedgerHome, make_plan: Callable[..., Plan]) -> None:
    archive = PlanArchive(home)
    before = archive.keep(make_plan(WRITE)).stat()
    after = archive.keep(make_plan(WRITE)).stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
    assert len(list(archive.folder.iterdir())) == 1


@pytest.mark.parametrize("digest", [None, "0" * 64, "../../etc/passwd", "", "x" * 64])
def test_a_digest_that_is_not_kept_finds_nothing(home: LedgerHome, digest: str | None) -> None:
    assert PlanArchive(home).find(digest) is None


def test_a_changed_copy_is_not_the_plan(home: LedgerHome, make_plan: Callable[..., Plan]) -> None:
    plan = make_plan(WRITE)
    archive = PlanArchive(home)
    path = archive.keep(plan)
    path.write_text(path.read_text().replace("rm made.txt", "rm -rf /"))
    with pytest.raises(LedgerError, match="its digest is another one"):
        archive.find(plan.digest)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"content": 1}', '{"content": {"plan": {}}}'])
def test_a_damaged_copy_is_an_error_that_names_the_file(
    home: LedgerHome, make_plan: Callable[..., Plan], text: str
) -> None:
    plan = make_plan(WRITE)
    archive = PlanArchive(home)
    path = archive.keep(plan)
    path.write_text(text)
    with pytest.raises(LedgerError, match=path.name):
        archive.find(plan.digest)


@pytest.mark.parametrize(
    "params",
    [
        {"argv": ["curl", "-H", f"Authorization: Bearer {LITERAL}"]},
        {"argv": ["mysql", f"--password={LITERAL}"]},
        {"argv": ["env"], "env": {"API_TOKEN": LITERAL}},
        {"script": f"psql postgresql://app:{LITERAL}@db/x"},
    ],
)
def test_a_secret_in_clear_is_not_kept(
    home: LedgerHome, make_plan: Callable[..., Plan], params: dict[str, Any]
) -> None:
    plan = make_plan({**WRITE, "name": "Write"}, {"name": "Leak", "shell": params})
    archive = PlanArchive(home)
    assert LITERAL not in archive.keep(plan).read_text()
    kept = archive.find(plan.digest)
    assert kept is not None
    assert not kept.whole
    assert kept.hints == [{"step_index": 0, **WRITE["rollback"]}]


@pytest.mark.parametrize(
    "params",
    [
        {"argv": ["true"], "env": {"API_TOKEN": {"secret": "env:API_TOKEN"}}},
        {"argv": ["true"], "env": {"API_TOKEN": "{secret: env:API_TOKEN}"}},
        {"script": "psql postgresql://app:{secret: env:PGPASS}@db/x"},
        {"script": "curl -H 'X-Reload-Token: {secret: env:RELOAD}' http://127.0.0.1/"},
        {"script": 'curl -H "Authorization: Bearer $TOKEN" http://127.0.0.1/'},
    ],
)
def test_a_reference_is_no_secret(home: LedgerHome, make_plan: Callable[..., Plan], params: dict[str, Any]) -> None:
    plan = make_plan({"name": "Refer", "shell": params})
    archive = PlanArchive(home)
    archive.keep(plan)
    kept = archive.find(plan.digest)
    assert kept is not None
    assert kept.whole, json.dumps(kept.document)


def test_a_plan_that_cannot_be_kept_is_an_error(home: LedgerHome, make_plan: Callable[..., Plan]) -> None:
    (home.root / "plans").write_text("a file in the way")
    with pytest.raises(LedgerError, match="nothing was started"):
        PlanArchive(home).keep(make_plan(WRITE))
