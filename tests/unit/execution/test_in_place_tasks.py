"""Requests, transactions and changes of a file in place: held to what is declared before they are made."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from hearth.errors import ArtemisEscalationError, StepFailedError
from hearth.execution import ApprovalExecutor
from hearth.kernel import HearthKernel
from hearth.plan import parse_plan
from hearth.record import ExecutionStatus
from hearth.security import BoundaryState, LiveMode, Policy

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from hearth.record import ExecutionRecord


def execute(folder: Path, step: Mapping[str, Any], **options: Any) -> ExecutionRecord:
    kernel = HearthKernel()
    kernel.arm(LiveMode.LIVE, who="somebody", why="a test")
    plan = parse_plan({"plan": "placed", "steps": [{"name": "step", **step}]}, folder=folder)
    return ApprovalExecutor(kernel, **options).execute(plan, mode=LiveMode.LIVE).execution_record


def stopped(folder: Path, step: Mapping[str, Any], said: str, **options: Any) -> Any:
    """Run it, held; return the details of the step, which the record has, too."""
    with pytest.raises(ArtemisEscalationError, match=said) as raised:
        execute(folder, step, **(options or {"in_place": True}))
    record = raised.value.execution_record
    assert record is not None
    assert record.status is ExecutionStatus.INCOMPLETE
    assert record.security_snapshot_post is not None
    assert record.security_snapshot_post.boundary_state == "ELEVATED"
    assert not record.side_effects_report.unknown_effects
    assert [one["what"] for one in record.side_effects_report.undeclared]
    return record.step_events[-1].details


@pytest.fixture
def server() -> Iterator[tuple[str, list[str]]]:
    """The server's place, and what it was asked."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(f"{self.command} {self.path}")
            moved = self.path == "/moved"
            self.send_response(303 if moved else 200)
            if moved:
                self.send_header("Location", "/there")
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_POST  # noqa: N815 - as above

        def log_message(self, *_: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as listening:
        thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"127.0.0.1:{listening.server_port}", asked
        listening.shutdown()
        thread.join()


def request(place: str, path: str, *effects: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    return {"http": {"method": "POST", "url": f"http://{place}{path}", **more}, "effects": list(effects)}


class TestRequests:
    def test_one_that_is_not_declared_is_not_sent(self, tmp_path: Path, server: tuple[str, list[str]]) -> None:
        place, asked = server
        step = request(place, "/x", {"network": f"GET {place}"})
        details = stopped(tmp_path, step, f"POST http://{place}/x would be sent; nothing was sent")
        assert (details["ran"], details["sent"]) == ("in-place", False)
        assert asked == []

    def test_where_nothing_is_held_it_is_told(self, tmp_path: Path, server: tuple[str, list[str]]) -> None:
        place, asked = server
        report = execute(tmp_path, request(place, "/x", {"network": f"GET {place}"})).side_effects_report
        assert [one["what"] for one in report.undeclared] == [f"POST http://{place}/x was sent"]
        assert [one["pattern"] for one in report.missing] == [f"GET {place}"]
        assert asked == ["POST /x"]

    def test_a_redirect_to_what_is_not_declared_stops_the_run_afterwards(
        self, tmp_path: Path, server: tuple[str, list[str]]
    ) -> None:
        place, asked = server
        step = request(place, "/moved", {"network": f"POST {place}"}, follow_redirects=True)
        with pytest.raises(ArtemisEscalationError, match=r"GET .*/there was sent; it was done in place, and stays"):
            execute(tmp_path, step, in_place=True)
        assert asked == ["POST /moved", "GET /there"]

    def test_what_is_demanded_and_would_not_happen_fails_before(
        self, tmp_path: Path, server: tuple[str, list[str]]
    ) -> None:
        place, asked = server
        step = request(place, "/x", {"network": place}, {"network": "example.org", "must": True})
        with pytest.raises(StepFailedError, match=r"demands of it \(example.org\); nothing was sent"):
            execute(tmp_path, step, in_place=True)
        assert asked == []

    def test_a_declared_one_is_sent(self, tmp_path: Path, server: tuple[str, list[str]]) -> None:
        place, asked = server
        record = execute(tmp_path, request(place, "/x", {"network": f"POST {place}"}), in_place=True)
        assert not record.side_effects_report.missing
        assert asked == ["POST /x"]


def rows(folder: Path, table: str) -> int:
    with closing(sqlite3.connect(folder / "a.db")) as database:
        return int(database.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


class TestTransactions:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        with closing(sqlite3.connect(tmp_path / "a.db")) as database:
            database.executescript("CREATE TABLE t (a); CREATE TABLE u (a)")
        return tmp_path

    def step(self, *effects: Mapping[str, Any]) -> dict[str, Any]:
        return {"sql": {"url": "sqlite:///a.db", "statement": "INSERT INTO u VALUES (1)"}, "effects": list(effects)}

    def test_rows_that_are_not_declared_are_rolled_back(self, folder: Path) -> None:
        said = "rows of u in .*a.db were changed; all of it was rolled back"
        details = stopped(folder, self.step({"data_mutation": "t"}), said)
        assert details["ran"] == "in-place"
        assert rows(folder, "u") == 0

    def test_a_policy_that_says_anything_of_sandboxes_holds_it_too(self, folder: Path) -> None:
        with pytest.raises(ArtemisEscalationError, match="rolled back") as raised:
            execute(folder, self.step(), policy=Policy(undeclared=BoundaryState.COMPROMISED))
        assert raised.value.new_state is BoundaryState.COMPROMISED
        assert rows(folder, "u") == 0

    def test_where_nothing_is_held_they_are_told(self, folder: Path) -> None:
        report = execute(folder, self.step({"data_mutation": "t"})).side_effects_report
        assert [one["what"] for one in report.undeclared] == [f"rows of u in {folder}/a.db were changed"]
        assert [one["pattern"] for one in report.missing] == ["t"]
        assert rows(folder, "u") == 1

    def test_what_is_demanded_and_does_not_happen_is_rolled_back(self, folder: Path) -> None:
        step = self.step({"data_mutation": "u"}, {"data_mutation": "t", "must": True})
        with pytest.raises(StepFailedError, match=r"demands of it \(t\); all of it was rolled back"):
            execute(folder, step, in_place=True)
        assert rows(folder, "u") == 0

    def test_declared_rows_and_a_step_that_declares_nothing_go_through(self, folder: Path) -> None:
        execute(folder, self.step({"data_mutation": "u"}), in_place=True)
        execute(folder, {"sql": self.step()["sql"]}, in_place=True)
        assert rows(folder, "u") == 2


class TestFiles:
    @pytest.mark.parametrize(
        "file, said",
        [
            ({"write": "new", "content": "1"}, "new would be created"),
            ({"append": "old", "content": "1"}, "old would be modified"),
            ({"delete": "old"}, "old would be deleted"),
            ({"move": "old", "to": "there"}, "old would be deleted; .*there would be created"),
            (
                {"write": "a/b/new", "content": "1", "parents": True},
                "a would be .*; .*a/b would be .*; .*new",
            ),
        ],
    )
    def test_a_path_that_is_not_declared_stays_as_it_is(self, tmp_path: Path, file: Any, said: str) -> None:
        (tmp_path / "old").write_text("as it was")
        step = {"file": file, "effects": [{"file_system": "other"}]}
        stopped(tmp_path, step, f"{said}.*; nothing was changed")
        assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("old", "as it was")]

    def test_where_nothing_is_held_it_is_told(self, tmp_path: Path) -> None:
        step = {"file": {"write": "new", "content": "1"}, "effects": [{"file_system": "other"}]}
        report = execute(tmp_path, step).side_effects_report
        assert [one["what"] for one in report.undeclared] == [f"{tmp_path}/new was created"]
        assert [one["pattern"] for one in report.missing] == ["other"]

    def test_a_declared_one_is_changed_with_the_folders_on_the_way(self, tmp_path: Path) -> None:
        step = {
            "file": {"write": "a/b/new", "content": "1", "parents": True},
            "effects": [{"file_system": "a/b/new", "must": True}],
        }
        assert not execute(tmp_path, step, in_place=True).side_effects_report.undeclared
        assert (tmp_path / "a/b/new").read_text() == "1"

    def test_a_move_of_what_is_declared(self, tmp_path: Path) -> None:
        (tmp_path / "old").write_text("1")
        step = {"file": {"move": "old", "to": "new"}, "effects": [{"file_system": "old"}, {"file_system": "new"}]}
        assert not execute(tmp_path, step, in_place=True).side_effects_report.missing
        assert not (tmp_path / "old").exists()
