"""What the sql task does between BEGIN and COMMIT, and what it tells of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hearth.errors import HearthError, TaskError
from hearth.execution._task import TaskEffect
from hearth.execution.tasks._clean import clean
from hearth.execution.tasks._describe import one_line
from hearth.execution.tasks._new_file import NewFile
from hearth.execution.tasks._postgresql_reach import done_elsewhere, host_refusal
from hearth.execution.tasks._statements import is_empty, read_statement, split_sqlite
from hearth.execution.tasks._table_rows import SeenRows, TableRows, row_effect
from hearth.execution.tasks._urls import safe_url
from hearth.plan import Secrets

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import Connection
    from sqlalchemy.engine import CursorResult

    from hearth.execution._task import TaskContext
    from hearth.execution.tasks._database import Limits
    from hearth.execution.tasks._statements import Statement
    from hearth.record import Redactor

__all__ = ["Transaction"]

_MOST_ROWS = 100
_MOST_BYTES = 16 << 10
_LONGEST_VALUE = 500
_LONGEST_ERROR = 1000
_LONGEST_SEARCHED = 64 << 10  # of a value, for secrets
_LONGEST_SQL = 200
_MOST_STATEMENTS = 50  # told one by one; more are told by what they do to which table
_PIECE = 1000
_ALWAYS = "what functions do outside"  # the task says that of itself


class Transaction:
    """One run of the task: the statements, what each of them did, and how the transaction ended."""

    def __init__(self, params: Any, context: TaskContext) -> None:  # noqa: ANN401 - a JSON tree
        self._params = params
        self._context = context
        self._done: list[tuple[Statement, int | None, dict[str, Any]]] = []
        self._new: NewFile | None = None
        self._database = ""
        self._seen: SeenRows | None = None
        self._changeset: dict[str, Any] = {}
        given = params.get("parameters", {})
        self._unused = set(given) if isinstance(given, dict) else set().union(*given)
        self.outcome = "not begun"
        self.refusal: BaseException | None = None

    def do(self) -> str:
        """Do everything; return why it failed, or "". What `before_commit` raises is passed on, and is `refusal`."""
        try:
            error = self._connected()
        finally:
            stays = self._take_file_away()
        if self.outcome == "rolled back":
            return f"{error}; {stays or 'nothing was changed'} (rolled back)"
        return f"{error}; {stays}" if stays else error

    def _take_file_away(self) -> str:
        """Remove a file that was made for nothing; return what is to be said where it stays."""
        new = self._new
        if new is None or self.outcome in ("done", "unknown"):
            return ""
        new.take_away()
        return f"the database file {new.path} was made, and stays; nothing else was changed" if new.there else ""

    def _connected(self) -> str:
        from sqlalchemy.engine import make_url
        from sqlalchemy.exc import ArgumentError, SQLAlchemyError

        from hearth.execution.tasks._database import Limits, connect, is_sqlite, locate_sqlite, sqlite_name

        limits = Limits(self._context.timeout, self._context.cancellation)
        try:
            url = make_url(self._params["url"])
        except ArgumentError as error:
            raise TaskError("the database URL cannot be read; it is written dialect://user@host/database") from error
        new: NewFile | None = None
        statements = self._statements(split=url.get_backend_name() == "sqlite")
        if is_sqlite(url):
            url, file = locate_sqlite(url, self._context.cwd, create=self._params.get("create", False))
            self._database = sqlite_name(file)
            if file is not None and not file.exists():
                new = NewFile(file)
        engine = connect(url, limits, self._database)
        try:
            if new is not None:
                self._new = new
                if url.database == str(new.path):  # not a `file:` name, which may say otherwise
                    new.make()
            with engine.connect() as connection:
                reads = all(not statement.kind for statement in statements)
                connection = connection.execution_options(hearth_reads=reads)  # noqa: PLW2901 - the same one, told more
                return self._in_transaction(connection, statements, limits)
        except SQLAlchemyError as error:
            if error is self.refusal:
                raise
            return limits.over() or f"{'cannot connect: ' if self.outcome == 'not begun' else ''}{self._said(error)}"
        finally:
            engine.dispose()

    def _in_transaction(self, connection: Connection, statements: Sequence[Statement], limits: Limits) -> str:
        from sqlalchemy.exc import SQLAlchemyError

        from hearth.execution.tasks._database import commit

        driver: Any = connection.connection.dbapi_connection
        cancel = None if hasattr(driver, "set_progress_handler") else getattr(driver, "cancel", None)
        error = ""
        with limits.interrupting(cancel):
            texts = [statement.text for statement in statements]
            if self._context.holds_back:  # what is compared before its commit must not have acted then
                error = host_refusal(connection, texts)
            elsewhere = "" if error else done_elsewhere(connection, texts)
            rows = TableRows(connection, self._database, elsewhere=elsewhere, values=self._context.holds_back)
            for number, statement in enumerate(statements, 1):
                error = error or limits.over()
                if error:
                    break
                try:
                    rows.begin()
                    self._execute(connection, statement)
                except (SQLAlchemyError, TypeError, ValueError, OverflowError) as problem:
                    which = f"statement {number} of {len(statements)}: " if len(statements) > 1 else ""
                    error = limits.over() or f"{which}{self._said(problem)}"
                    break
            error = error or limits.over() or self._missed() or self._look(connection, rows, limits)
        error = error or self._asked(connection) or limits.over()
        if error:
            self._roll_back(connection)
            return error
        self.outcome, refusal = commit(connection)
        why = self._said(refusal) if refusal is not None else ""
        if self.outcome == "unknown":
            return f"{why}; whether the database has committed is unknown: look at it before anything else is done"
        return why

    def _roll_back(self, connection: Connection) -> None:
        from sqlalchemy.exc import SQLAlchemyError

        self.outcome = "rolled back"
        try:
            connection.rollback()
        except SQLAlchemyError:
            connection.invalidate()  # closes it; what was not committed is gone with it

    def _look(self, connection: Connection, rows: TableRows, limits: Limits) -> str:
        """Take note of what the transaction has done; return why that cannot be told, or ""."""
        module: Any = connection.dialect.loaded_dbapi
        try:
            seen = rows.seen((statement, number) for statement, number, _ in self._done)
        except (module.Error, HearthError) as problem:
            return limits.over() or self._said(problem)
        redactor = self._context.redactor
        self._seen = replace(
            seen,
            rows=tuple(replace(row, table=redactor.text(row.table)) for row in seen.rows),
            unseen=tuple(map(redactor.text, seen.unseen)),
        )
        return ""

    def _asked(self, connection: Connection) -> str:
        """Ask `before_commit`, and keep what an undo needs; return why that cannot be kept, or ""."""
        if self._seen is None:
            return ""
        if self._context.before_commit is not None:
            try:
                self._context.before_commit(self._seen.rows, self._seen.unseen)
            except BaseException as refusal:
                self.refusal = refusal
                self._roll_back(connection)
                raise
        step = self._context.step
        if not self._seen.changeset:
            return ""
        known = [secret.encode("utf-8", "surrogatepass") for secret in self._context.redactor.known]
        if (
            Secrets.references(step.params)
            or Secrets.references(step.env)
            or any(secret in self._seen.changeset for secret in known)
        ):
            # It holds values as the database has them, and a secret cannot be taken out of it.
            self._changeset = {"changeset_not_kept": "secrets stand in it, or may: the step refers to some"}
            return ""
        try:
            digest = self._context.store.put(self._seen.changeset)
        except (OSError, HearthError) as problem:
            return f"what an undo needs cannot be kept: {problem}"
        self._changeset = {"changeset": {"sha256": digest, "bytes": len(self._seen.changeset)}}
        return ""

    def _execute(self, connection: Connection, statement: Statement) -> None:
        from sqlalchemy import text

        parameters = self._params.get("parameters")
        if parameters is None:
            result = connection.exec_driver_sql(statement.text, execution_options={"no_parameters": True})
        else:
            clause = text(statement.text)
            names = clause.compile(dialect=connection.dialect).params
            self._unused -= set(names)
            many = isinstance(parameters, list | tuple)
            result = connection.execute(clause, (parameters if many else dict(parameters)) if names else None)
        told: dict[str, Any] = {"sql": self._shown(statement)}
        if statement.table:
            told["table"] = clean(statement.table, self._context.redactor)
        if result.returns_rows:
            rows: int | None = self._fetch(result, told)
        else:
            rows = _changed_rows(connection, result, statement)
        told["rows"] = rows
        self._done.append((statement, rows, told))

    def _fetch(self, result: CursorResult[Any], told: dict[str, Any]) -> int:
        columns = list(result.keys())
        kept: list[dict[str, Any]] = []
        count = used = 0
        while rows := result.fetchmany(_PIECE):
            for row in rows:
                count += 1
                if len(kept) < _MOST_ROWS and used < _MOST_BYTES:
                    values = [_value(value, self._context.redactor) for value in row]
                    used += sum(len(str(value)) for value in values) + sum(map(len, columns))
                    kept.append(clean(dict(_named(columns, values)), self._context.redactor))
        told["columns"] = columns
        told["result"] = kept
        if count > len(kept):
            told["result_truncated"] = True
        return count

    def _statements(self, *, split: bool) -> list[Statement]:
        params = self._params
        if "file" in params:
            texts = [self._read_file(params["file"])]
        else:
            texts = list(params.get("statements") or [params["statement"]])
        try:
            if split:
                texts = [statement for text in texts for statement in split_sqlite(text)]
        except ValueError as error:
            raise TaskError(f"the SQL cannot be split into statements: {error}") from error
        statements = [read_statement(text) for text in texts if not is_empty(text)]
        for number, statement in enumerate(statements, 1):
            if statement.refused:
                raise TaskError(f"statement {number} of {len(statements)}: {statement.refused}")
        if not statements:
            raise TaskError("there is no statement in the SQL")
        if isinstance(params.get("parameters"), list | tuple) and len(statements) != 1:
            raise TaskError(f"a list of parameters needs exactly one statement; there are {len(statements)}")
        return statements

    def _read_file(self, name: str) -> str:
        inputs = self._context.inputs
        path = self._context.folder / (inputs.resolve(name) if inputs is not None else name)
        try:
            return Path(path).read_text(encoding="utf-8-sig")
        except UnicodeDecodeError as error:
            raise TaskError(f"{name} is not UTF-8: {error.reason} at byte {error.start}") from error
        except OSError as error:
            raise TaskError(f"{name} cannot be read: {error.strerror}") from error

    def _missed(self) -> str:
        if self._unused:
            return f"no statement has the parameter :{', :'.join(sorted(self._unused))}"
        expected = self._params.get("expect_rows")
        if expected is None:
            return ""
        rows = self._done[-1][1]
        least, most = (
            (expected, expected) if isinstance(expected, int) else (expected.get("min", 0), expected.get("max"))
        )
        if rows is not None and rows >= least and (most is None or rows <= most):
            return ""
        wanted = f"{least}" if least == most else f"{least} to {most}" if most is not None else f"at least {least}"
        return f"the last statement touched {'an unknown number of' if rows is None else rows} rows, expected {wanted}"

    def _said(self, error: BaseException) -> str:
        from hearth.execution.tasks._database import message

        return _cut(clean(message(error), self._context.redactor), _LONGEST_ERROR)

    def _shown(self, statement: Statement) -> str:
        return one_line(clean(" ".join(statement.text.split()), self._context.redactor), _LONGEST_SQL)

    # ---- what is told ------------------------------------------------------------------------------------------------

    def details(self) -> dict[str, Any]:
        """Return the statements' part of the details."""
        told = [details for _, _, details in self._done]
        file = {} if self._new is None else self._new.details()
        if self._seen is not None and self.outcome in ("done", "unknown"):
            rows = [row.counts() for row in self._seen.rows]
            more = {"rows_of_more_tables": len(rows) - _MOST_ROWS} if len(rows) > _MOST_ROWS else {}
            file |= {"rows": rows[:_MOST_ROWS], **more, **self._changeset}
        if len(told) > _MOST_STATEMENTS:
            return {
                "statements": told[-_MOST_STATEMENTS:],
                "statements_before": len(told) - _MOST_STATEMENTS,
                **file,
            }
        return {"statements": told, **file}

    def effects(self) -> Iterator[TaskEffect]:
        """Yield a file that was made and, after the commit, what the statements did: many by kind and table."""
        url = safe_url(self._params["url"], self._context.redactor)
        if self._new is not None and self._new.there:
            path = str(self._new.path)
            yield TaskEffect("FILE_SYSTEM", f"created the database {path}", details={"path": path})
        if self.outcome != "done":
            return
        yield from self._of_statements(url)
        if self._seen is not None and self._seen.exact:
            for row in self._seen.rows:
                if row.total and not row.definition:  # the schema's changes are told by their statements
                    yield row_effect(row, url, self._context.redactor)

    def _of_statements(self, url: str) -> Iterator[TaskEffect]:
        """Yield what statements did that no counts of rows tell."""
        changes: list[tuple[Statement, int | None]] = []
        for statement, rows, _ in self._done:
            changes += [(inner, None) for inner in statement.inner if not self._is_counted(inner)]
            if statement.kind and rows != 0 and not self._is_counted(statement):
                changes.append((statement, rows))
        if len(changes) <= _MOST_STATEMENTS:
            for statement, rows in changes:
                yield self._effect(
                    statement.did(rows), statement, rows, {"database": url, "sql": self._shown(statement)}
                )
        else:
            groups: dict[tuple[str, str, str], list[tuple[Statement, int | None]]] = {}
            for statement, rows in changes:
                groups.setdefault((statement.kind, statement.verb, statement.table), []).append((statement, rows))
            for group in groups.values():
                counted = [rows for _, rows in group]
                total = None if None in counted else sum(rows or 0 for rows in counted)
                told = group[0][0].did(total)
                many = f"{told} by {len(group)} statements" if len(group) > 1 else told
                yield self._effect(many, group[0][0], total, {"database": url, "statements": len(group)})

    @property
    def unseen(self) -> str:
        """Why it may have done more than is told; changes of the schema are told by their statements."""
        if self.outcome == "unknown":
            return "whether the database has committed is unknown"
        if self._seen is None or not self._seen.exact or self.outcome != "done":
            return ""
        return "; ".join(one for one in self._seen.unseen if not one.startswith(("the schema: ", _ALWAYS)))

    def _is_counted(self, statement: Statement) -> bool:
        return self._seen is not None and self._seen.has(statement)

    def _effect(self, description: str, statement: Statement, rows: int | None, more: dict[str, Any]) -> TaskEffect:
        details = {**more, "verb": statement.verb, "table": statement.table, "rows": rows}
        return TaskEffect("DATA_MUTATION", clean(description, self._context.redactor), details=details)


def _changed_rows(connection: Connection, result: CursorResult[Any], statement: Statement) -> int | None:
    if statement.kind not in ("insert", "update", "delete", "merge"):
        return None
    if result.rowcount < 0 and connection.dialect.name == "sqlite":
        # Python's driver counts only where the first word says that rows change; WITH does not.
        return int(connection.exec_driver_sql("SELECT changes()").scalar_one())
    return result.rowcount if result.rowcount >= 0 else None


def _value(value: object, redactor: Redactor) -> object:
    """Return a value of a row as it stands in the record: short, and cut only after secrets are out."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, bytes | bytearray | memoryview):
        return f"<{len(value)} bytes>"
    return _cut(redactor.text(str(value)[:_LONGEST_SEARCHED]), _LONGEST_VALUE)


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[:longest] + " …"


def _named(columns: list[str], values: list[object]) -> Iterator[tuple[str, object]]:
    seen: dict[str, int] = {}
    for column, value in zip(columns, values, strict=True):
        seen[column] = seen.get(column, 0) + 1
        yield (column if seen[column] == 1 else f"{column} ({seen[column]})"), value
