"""Plans are kept beside their records: without secrets, and believed only as the bytes that entry 0 names."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from typing import TYPE_CHECKING, Any

import pytest

from hearth.errors import LedgerError
from hearth.operations import PlanArchive
from hearth.record import Redactor, canonical_bytes
from hearth.recorder import ExecutionObserver
from tests.unit.operations._steps import WRITE

if TYPE_CHECKING:
    from collections.abc import Callable

    from hearth.ledger import LedgerHome
    from hearth.operations import RunOutcome
    from hearth.plan import Plan
    from hearth.record import ExecutionRecord

LITERAL = "hunter2-correct-horse"


def record_of(plan: Plan, copy: str | None) -> ExecutionRecord:
    """A record whose entry 0 names a plan and the copy that is kept of it."""
    observer = ExecutionObserver("one", plan.id, plan=plan, plan_copy=copy, live_mode="LIVE")
    observer.mark_failed()
    return observer.get_execution_record()


def test_a_plan_comes_back_whole(home: LedgerHome, make_plan: Callable[..., Plan]) -> None:
    plan = make_plan(WRITE)
    archive = PlanArchive(home)
    copy = archive.keep(plan)
    path = archive.path(copy)
    assert path.name == f"{copy}.json"
    assert hashlib.sha256(path.read_bytes()).hexdigest() == copy
    kept = archive.of(record_of(plan, copy))
    assert kept is not None
    assert (kept.digest, kept.copy) == (plan.digest, copy)
    assert kept.document == plan.document
    assert kept.hints == [{"step_index": 0, **WRITE["rollback"]}]
    assert kept.tasks == {"file": "1"}
    if os.name == "posix":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_keeping_it_again_writes_nothing(home: LedgerHome, make_plan: Callable[..., Plan]) -> None:
    archive = PlanArchive(home)
    copy = archive.keep(make_plan(WRITE))
    before = archive.path(copy).stat()
    assert archive.keep(make_plan(WRITE)) == copy
    after = archive.path(copy).stat()
    assert before.st_ino == after.st_ino
    assert before.st_mtime_ns < after.st_mtime_ns, "a purge at the same time has to see that it is wanted"
    assert len(list(archive.folder.iterdir())) == 1


@pytest.mark.parametrize("planted", ["garbage", "folder", "link"])
def test_what_lies_in_its_place_is_moved_aside(
    home: LedgerHome, make_plan: Callable[..., Plan], planted: str, caplog: pytest.LogCaptureFixture
) -> None:
    plan = make_plan(WRITE)
    archive = PlanArchive(home)
    copy = archive.keep(plan)
    path = archive.path(copy)
    elsewhere = home.root / "elsewhere.json"
    path.replace(elsewhere)
    if planted == "garbage":
        path.write_bytes(b"x" * elsewhere.stat().st_size)
    elif planted == "folder":
        path.mkdir()
    else:
        path.symlink_to(elsewhere)
    assert archive.keep(plan) == copy
    assert path.is_file()
    assert not path.is_symlink()
    assert archive.of(record_of(plan, copy)) is not None
    assert len(list(archive.folder.iterdir())) == 2
    assert "was not the plan" in caplog.text


def test_a_record_that_names_no_copy_has_none(home: LedgerHome, make_plan: Callable[..., Plan]) -> None:
    assert PlanArchive(home).of(record_of(make_plan(WRITE), None)) is None


@pytest.mark.parametrize("copy", ["../../etc/passwd", "", "x" * 64, "A" * 64])
def test_what_is_no_digest_names_no_file(home: LedgerHome, make_plan: Callable[..., Plan], copy: str) -> None:
    with pytest.raises(LedgerError, match="no SHA-256"):
        PlanArchive(home).of(record_of(make_plan(WRITE), copy))


def test_a_missing_copy_is_said(home: LedgerHome, make_plan: Callable[..., Plan]) -> None:
    with pytest.raises(LedgerError, match="is missing"):
        PlanArchive(home).of(record_of(make_plan(WRITE), "0" * 64))


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"whole":false,"content":{"plan":{"steps":[{"rollback":5}]}}}'])
def test_a_changed_copy_is_not_the_plan_whatever_it_says(
    home: LedgerHome, make_plan: Callable[..., Plan], text: str
) -> None:
    plan = make_plan(WRITE)
    archive = PlanArchive(home)
    copy = archive.keep(plan)
    record = record_of(plan, copy)
    assert archive.of(record) is not None
    archive.path(copy).write_text(text or archive.path(copy).read_text().replace("rm made.txt", "rm -rf /"))
    with pytest.raises(LedgerError, match=r"was changed after the run"):
        archive.of(record)


@pytest.mark.parametrize(
    "change",
    [
        {"digest": "0" * 64},
        {"digest": 1},
        {"schema": "other"},
        {"plan": None},
        {"plan": []},
        {"plan": {"steps": [{"rollback": 5}]}},
        {"plan": {"steps": ["x"]}},
        {"plan": {}},
        {"inputs": {"a": 1}},
        {"tasks": []},
    ],
)
def test_a_copy_of_another_form_is_an_error_even_where_a_record_names_it(
    home: LedgerHome, make_plan: Callable[..., Plan], change: dict[str, Any]
) -> None:
    plan = make_plan(WRITE)
    archive = PlanArchive(home)
    document = json.loads(archive.path(archive.keep(plan)).read_bytes())
    data = canonical_bytes({**document, **change})
    copy = hashlib.sha256(data).hexdigest()
    archive.path(copy).write_bytes(data)
    with pytest.raises(LedgerError, match="not the one whose digest"):
        archive.of(record_of(plan, copy))


@pytest.mark.parametrize(
    "params",
    [
        {"argv": ["curl", "-H", f"Authorization: Bearer {LITERAL}"]},
        {"argv": ["mysql", f"--password={LITERAL}"]},
        {"argv": ["mysql", "--password", LITERAL]},
        {"argv": ["curl", "-u", f"app:{LITERAL}"]},
        {"argv": ["env"], "env": {"API_TOKEN": LITERAL}},
        {"script": f"psql postgresql://app:{LITERAL}@db/x"},
    ],
)
def test_a_secret_in_clear_is_not_kept(
    home: LedgerHome, make_plan: Callable[..., Plan], params: dict[str, Any]
) -> None:
    plan = make_plan({**WRITE, "name": "Write"}, {"name": "Leak", "shell": params})
    archive = PlanArchive(home)
    copy = archive.keep(plan)
    assert LITERAL not in archive.path(copy).read_text()
    kept = archive.of(record_of(plan, copy))
    assert kept is not None
    assert kept.hints == [{"step_index": 0, **WRITE["rollback"]}]


@pytest.mark.parametrize(
    "hint",
    [
        {"description": "Log in", "actions": [f'curl -H "Authorization: Bearer {LITERAL}" https://a/']},
        {"description": f"use password={LITERAL}"},
        {"description": "Undo", "risks": [f"postgresql://app:{LITERAL}@db/x"]},
    ],
)
def test_a_secret_in_a_hint_is_not_kept_either(
    home: LedgerHome, make_plan: Callable[..., Plan], hint: dict[str, Any]
) -> None:
    plan = make_plan({**WRITE, "rollback": hint})
    archive = PlanArchive(home)
    copy = archive.keep(plan)
    assert LITERAL not in archive.path(copy).read_text()
    kept = archive.of(record_of(plan, copy))
    assert kept is not None
    assert "[redacted:" in json.dumps(kept.hints)


def test_the_value_of_a_telling_variable_is_kept_nowhere(
    run: Callable[..., RunOutcome], home: LedgerHome, make_plan: Callable[..., Plan]
) -> None:
    step = {
        "name": "Say it",
        "shell": "echo {{ api_token }} {{ word }}",
        "rollback": {"description": "{{ api_token }}"},
    }
    outcome = run(step, variables={"api_token": "kestrel-plover", "word": "harmless"}, execution_id="one")
    assert outcome.error is None
    assert "harmless" in json.dumps(outcome.record.to_dict())
    for path in home.root.rglob("*"):
        assert path.is_dir() or b"kestrel-plover" not in path.read_bytes(), path


def test_a_variable_that_is_a_reference_is_no_secret(make_plan: Callable[..., Plan]) -> None:
    plan = make_plan(
        WRITE, variables={"token": "{secret: env:TOKEN}", "password_on": True, "pin": 123456, "secret": "abcdef"}
    )
    assert plan.secret_variables(Redactor().telling) == ("123456", "abcdef")


@pytest.mark.parametrize(
    "params",
    [
        {"argv": ["true"], "env": {"API_TOKEN": {"secret": "env:API_TOKEN"}}},
        {"argv": ["true"], "env": {"API_TOKEN": "{secret: env:API_TOKEN}"}},
        {"script": "psql", "stdin": "password={secret: env:PGPASS}"},
        {"script": "curl -K -", "stdin": "header = X-Reload-Token: {secret: env:RELOAD}"},
        {"script": "curl -K -", "stdin": "url = http://a:{secret: env:B}@b/"},
        {"script": 'curl -H "Authorization: Bearer $TOKEN" http://127.0.0.1/'},
    ],
)
def test_a_reference_is_no_secret(home: LedgerHome, make_plan: Callable[..., Plan], params: dict[str, Any]) -> None:
    plan = make_plan({"name": "Refer", "shell": params})
    archive = PlanArchive(home)
    kept = archive.of(record_of(plan, archive.keep(plan)))
    assert kept is not None
    assert kept.document == plan.document


def test_a_plan_that_cannot_be_kept_is_an_error(home: LedgerHome, make_plan: Callable[..., Plan]) -> None:
    (home.root / "plans").write_text("a file in the way")
    with pytest.raises(LedgerError, match="nothing was started"):
        PlanArchive(home).keep(make_plan(WRITE))
