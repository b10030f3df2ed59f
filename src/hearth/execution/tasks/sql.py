"""The sql task: statements on any database that SQLAlchemy reaches, in one transaction."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from hearth.errors import TaskError
from hearth.execution._task import TaskResult
from hearth.execution.tasks._clean import clean
from hearth.execution.tasks._describe import as_text, input_name, one_line, refuse_secrets
from hearth.execution.tasks._transaction import Transaction
from hearth.execution.tasks._urls import check_fixed_target, safe_url, without_references

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from hearth.execution._task import Task, TaskContext

__all__ = ["SQL", "SqlTask"]

_SOME_TEXT = {"type": "string", "minLength": 1}
_COUNT = {"type": "integer", "minimum": 0}


class SqlTask:
    """Executes statements on one connection and commits once; a failure of any of them rolls all of them back.

    Their effects are told after the commit only: rows by table, as SQLite and PostgreSQL count them before it, with
    what triggers and foreign keys do; for other databases by statement, as the driver says. SQLite's changeset is kept
    for an undo; it holds values of rows, and secrets cannot be taken out of it, so not where the step refers to some.
    A SQLite file that was made for nothing is removed while it is empty, and reported where it stays. With SQLite a
    text may hold several statements; to every other database each text goes as it is.
    """

    name = "sql"
    version = "1"
    schema: Mapping[str, Any] = {
        "description": "A database and exactly one of statement, statements and file",
        "type": "object",
        "properties": {
            "url": {
                **_SOME_TEXT,
                "description": "SQLAlchemy's URL, as sqlite:///app.db or postgresql+psycopg://u@h/db",
            },
            "statement": {**_SOME_TEXT, "description": "SQL; for SQLite also several statements"},
            "statements": {"type": "array", "items": _SOME_TEXT, "minItems": 1, "description": "SQL, in this order"},
            "file": {**_SOME_TEXT, "description": "A file with SQL, an input of the plan"},
            "parameters": {
                "description": "Values for :name; a list of such mappings executes one statement for each",
                "anyOf": [{"type": "object"}, {"type": "array", "items": {"type": "object"}, "minItems": 1}],
            },
            "expect_rows": {
                "description": "How many rows the last statement must change, or return; else all is rolled back",
                "anyOf": [
                    _COUNT,
                    {
                        "type": "object",
                        "properties": {"min": _COUNT, "max": _COUNT},
                        "additionalProperties": False,
                        "minProperties": 1,
                    },
                ],
            },
            "create": {"type": "boolean", "description": "Make a SQLite file that is not there; false by default"},
        },
        "required": ["url"],
        "additionalProperties": False,
        "oneOf": [{"required": ["statement"]}, {"required": ["statements"]}, {"required": ["file"]}],
    }

    def inputs(self, params: Any, folder: Path) -> tuple[str, ...]:  # noqa: ANN401, ARG002 - the port prescribes it
        """Return the file with SQL, where one is named. TaskError for a secret in a statement."""
        advice = "its value would be run as code; pass it by `parameters`, and write :name in the statement"
        refuse_secrets(params, ("statement", "statements"), advice)
        return input_name(params, "file")

    def targets(self, params: Any) -> tuple[str, ...]:  # noqa: ANN401 - as above
        """Return `sql:` and the URL without its password."""
        return (f"sql:{safe_url(as_text(params['url']))}",)

    def acts_on(self, params: Any, cwd: Path) -> tuple[str, ...]:  # noqa: ANN401 - as above
        """Return the targets with SQLite's file as a real, absolute path; TaskError when a secret decides on it."""
        from hearth.execution.tasks._database import real_target

        url = as_text(params["url"])
        check_fixed_target(url, query=False)
        file = real_target(without_references(url), cwd)
        return self.targets(params) if file is None else (file,)

    def summary(self, params: Any) -> str:  # noqa: ANN401 - as above
        """Return the first statement, or the file, and the database."""
        texts = params.get("statements") or [params.get("statement", "")]
        what = f"file {params['file']}" if "file" in params else one_line("\n".join(map(as_text, texts)))
        return f"{what} on {safe_url(as_text(params['url']))}"

    def doubt(self, params: Any) -> str:  # noqa: ANN401 - as above
        """Return why the database could not be reached for certain: its URL is none. "" where nothing is known."""
        from sqlalchemy.engine import make_url
        from sqlalchemy.exc import ArgumentError

        try:
            make_url(without_references(as_text(params["url"])))
        except ArgumentError:
            return "the database URL cannot be read; it is written dialect://user@host/database"
        return ""

    def unseen(self, params: Any) -> str:  # noqa: ANN401 - as above
        """Return what this task cannot see of its own effects."""
        url = as_text(params["url"])
        if url.startswith("sqlite"):
            return ""
        if url.startswith("postgresql+psycopg:"):
            return "what functions do outside of this database (other servers, files, notifications)"
        unseen = "triggers, foreign keys and functions of the database may change more than the row counts say"
        return f"{unseen}, and of several statements in one text, where the driver takes them, the first only is told"

    def run(self, params: Any, context: TaskContext) -> TaskResult:  # noqa: ANN401 - as above
        """Do it; failed when the database refuses a statement, or `expect_rows` is missed, or time is up.

        `details`: `url`, `commit` ("done", "rolled back", "unknown", "not begun"), `duration_us`, `statements`, each
        with `sql`, `rows`, `table`, for a query its `columns` and first `result` rows; `rows` by table; for an undo
        SQLite's `changeset`, or `changeset_not_kept`, why not; `created_and_removed`, a file.
        """
        started = time.monotonic_ns()
        work = Transaction(params, context)
        try:
            error = work.do()
        except TaskError as problem:
            if problem is work.refusal:
                raise
            error = str(problem)
        error = clean(error, context.redactor)
        details = {
            "url": safe_url(params["url"], context.redactor),
            "commit": work.outcome,
            "duration_us": (time.monotonic_ns() - started) // 1000,
            **work.details(),
        }
        return TaskResult(
            failed=bool(error),
            error=error,
            details=details,
            side_effects=tuple(work.effects()),
            unseen=clean(work.unseen, context.redactor),
        )


SQL: Task = SqlTask()
