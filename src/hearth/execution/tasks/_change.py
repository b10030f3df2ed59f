"""One change of one file by the file task: what it was, what it is, and what is told of it."""

from __future__ import annotations

import errno
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hearth._directory import sync_directory
from hearth.errors import TaskError
from hearth.execution._task import TaskEffect
from hearth.execution.tasks._clean import clean
from hearth.execution.tasks._describe import size
from hearth.execution.tasks._files import check_unchanged, keep, locate, replace

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hearth.execution._task import TaskContext
    from hearth.execution.tasks._files import FileState

__all__ = ["Change"]

_PIECE = 64 << 10


class Change:
    """One change of one file: what it was, what it is, and what is told of it."""

    def __init__(self, params: Any, context: TaskContext) -> None:  # noqa: ANN401 - a JSON tree
        self._params = params
        self._context = context
        self._follow = params.get("follow", False)
        self._deadline = None if context.timeout is None else time.monotonic() + context.timeout
        self.path = ""
        self.details: dict[str, Any] = {}
        self.effects: list[TaskEffect] = []

    def make(self, action: str) -> None:
        """Make the change that the parameters ask for."""
        params = self._params
        match action:
            case "write":
                self._put(params["write"], iter([params["content"].encode()]))
            case "append":
                self._append(params["append"], params["content"].encode())
            case "template":
                self._put(params["to"], iter([self._rendered().encode()]))
            case "copy":
                self._copy(params["copy"], params["to"])
            case "move":
                self._move(params["move"], params["to"])
            case "delete":
                self._delete(params["delete"])
            case _:
                self._set_mode(params["path"], int(params["mode"], 8))

    # ---- the actions -------------------------------------------------------------------------------------------------

    def _put(self, name: str, pieces: Iterator[bytes], *, verb: str = "wrote", new_mode: int = 0o666) -> None:
        target, before = self._begin(name)
        if before is not None and not self._params.get("overwrite", True):
            raise TaskError(f"{name} is there already, and the plan says `overwrite: false`")
        self._replace(target, pieces, before=before, verb=verb, new_mode=new_mode)

    def _append(self, name: str, content: bytes) -> None:
        target, before = self._begin(name)

        def pieces() -> Iterator[bytes]:
            if before is not None:
                yield from _read_pieces(target)
            yield content

        self._replace(target, pieces(), before=before, verb="appended to", added=len(content))

    def _copy(self, source: str, name: str) -> None:
        origin = self._source(source)
        executable = origin.stat().st_mode & 0o111
        self.details["from"] = self._shown(source)
        self._put(name, _read_pieces(origin), verb=f"copied {source} to", new_mode=0o777 if executable else 0o666)

    def _move(self, source: str, name: str) -> None:
        origin = locate(source, self._context.cwd, follow=self._follow)
        moved = keep(origin, store=None, redactor=self._context.redactor, may_go_on=self._may_go_on)
        if moved is None:
            raise TaskError(f"{source} is not there")
        target, before = self._begin(name)
        if before is not None and not self._params.get("overwrite", True):
            raise TaskError(f"{name} is there already, and the plan says `overwrite: false`")
        if target == origin:
            raise TaskError(f"{source} and {name} are the same file")
        self._may_go_on()
        check_unchanged(origin, moved)
        check_unchanged(target, before)
        what = f"{source} to {name} ({size(moved.size)}{_was(before)})"
        self.details |= {"from": self._shown(source), "after": moved.told(), "changed": True}
        try:
            origin.rename(target)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            self._replace_by(target, _read_pieces(origin), before=before, mode=moved.mode)
            # From here on there are two of them: what is told must hold even if the other one cannot be deleted.
            self._tell(target, f"copied {what}", before, moved.told(), origin=(origin, moved, moved.told()))
            check_unchanged(origin, moved)
            origin.unlink()
            self.effects.pop()
        self._tell(target, f"moved {what}", before, moved.told(), origin=(origin, moved, None))
        sync_directory(target.parent)
        sync_directory(origin.parent)

    def _delete(self, name: str) -> None:
        target, before = self._begin(name)
        if before is None:
            if self._params.get("missing_ok", False):
                self.details |= {"after": None, "changed": False}
                return
            raise TaskError(f"{name} is not there; say `missing_ok: true` if that is all right")
        self._may_go_on()
        check_unchanged(target, before)
        target.unlink()
        self.details |= {"after": None, "changed": True}
        self._tell(target, f"deleted {name} ({size(before.size)})", before, None)
        sync_directory(target.parent)

    def _set_mode(self, name: str, mode: int) -> None:
        target = locate(name, self._context.cwd, follow=self._follow)
        self._point_at(target)
        before = keep(target, store=None, redactor=self._context.redactor, may_go_on=self._may_go_on)
        if before is None:
            raise TaskError(f"{name} is not there")
        self.details |= {"before": before.told(), "after": {**before.told(), "mode": f"{mode:04o}"}}
        self.details["changed"] = before.mode != mode
        if before.mode == mode:
            return
        check_unchanged(target, before)
        target.chmod(mode)
        self._tell(
            target,
            f"set the mode of {name} to {mode:04o} (was {before.mode:04o})",
            before,
            self.details["after"],
            reversible=True,
        )

    # ---- steps that they share ---------------------------------------------------------------------------------------

    def _begin(self, name: str) -> tuple[Path, FileState | None]:
        """Find the file to change, make its folder where asked for, and keep what it is."""
        target = locate(name, self._context.cwd, follow=self._follow)
        self._point_at(target)
        if not target.parent.is_dir():
            self._make_folders(target.parent)
        before = keep(target, store=self._context.store, redactor=self._context.redactor, may_go_on=self._may_go_on)
        self.details["before"] = None if before is None else before.told()
        return target, before

    def _replace(
        self,
        target: Path,
        pieces: Iterator[bytes],
        *,
        before: FileState | None,
        verb: str,
        new_mode: int = 0o666,
        added: int | None = None,
    ) -> None:
        wanted = self._params.get("mode")
        after = self._replace_by(
            target, pieces, before=before, mode=None if wanted is None else int(wanted, 8), new_mode=new_mode
        )
        self.details |= {"after": after.told(), "changed": True}
        if before is not None and before.links > 1:
            self.details["links"] = before.links  # the other names still lead to the old content
        if before is not None and before.sha256 == after.sha256 is not None and before.mode == after.mode:
            self.details["changed"] = False  # the same bytes again: nothing to undo
        else:
            more = "" if added is None else f"{size(added)} more, "
            now = f"{more}{size(after.size)}{_was(before) if added is None else ''}"
            self._tell(target, f"{verb} {self._name_of(target)} ({now})", before, after.told())
        sync_directory(target.parent)

    def _replace_by(
        self,
        target: Path,
        pieces: Iterator[bytes],
        *,
        before: FileState | None,
        mode: int | None,
        new_mode: int = 0o666,
    ) -> FileState:
        return replace(
            target,
            pieces,
            before=before,
            mode=mode,
            new_mode=new_mode,
            redactor=self._context.redactor,
            may_go_on=self._may_go_on,
        )

    def _make_folders(self, folder: Path) -> None:
        if not self._params.get("parents", False):
            raise TaskError(f"there is no folder {folder}; say `parents: true` if it is to be made")
        missing = [folder, *folder.parents]
        missing = missing[: next(index for index, path in enumerate(missing) if path.exists())]
        for path in reversed(missing):
            path.mkdir()
            self.effects.append(
                TaskEffect(
                    _category(path),
                    self._shown(f"created the folder {path}"),
                    reversible=True,
                    details={"path": self._shown(str(path))},
                )
            )
            sync_directory(path.parent)

    def _source(self, name: str) -> Path:
        """Return the file to read: the private copy of an input, else the file itself."""
        inputs = self._context.inputs
        private = inputs.resolve(name) if inputs is not None else name
        origin = Path(private) if private != name else locate(name, self._context.cwd, follow=self._follow)
        if not origin.is_file():
            raise TaskError(f"{name} is not there, or is no regular file")
        return origin

    def _rendered(self) -> str:
        from jinja2 import StrictUndefined, TemplateError
        from jinja2.sandbox import SandboxedEnvironment

        name = self._params["template"]
        inputs = self._context.inputs
        path = self._context.folder / (inputs.resolve(name) if inputs is not None else name)
        environment = SandboxedEnvironment(undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False)
        try:
            text = Path(path).read_text(encoding="utf-8")
            return environment.from_string(text).render(self._params.get("variables", {}))
        except UnicodeDecodeError as error:
            raise TaskError(f"{name} is not UTF-8: {error.reason} at byte {error.start}") from error
        except TemplateError as error:
            line = getattr(error, "lineno", None)
            raise TaskError(f"{name}{f', line {line}' if line else ''}: {error.message}") from error
        except (TypeError, ValueError, ArithmeticError, LookupError, AttributeError, RecursionError) as error:
            raise TaskError(f"{name}: {type(error).__name__}: {error}") from error

    def _may_go_on(self) -> None:
        cancellation = self._context.cancellation
        if cancellation.requested:
            raise TaskError(f"stopped: {cancellation.reason}")
        if self._deadline is not None and time.monotonic() >= self._deadline:
            raise TaskError(f"timed out after {self._context.timeout:g} s")

    # ---- what is told ------------------------------------------------------------------------------------------------

    def _point_at(self, target: Path) -> None:
        self.path = self._shown(str(target))
        self.details["path"] = self.path

    def _name_of(self, target: Path) -> str:
        try:
            return str(target.relative_to(self._context.cwd))
        except ValueError:
            return str(target)

    def _shown(self, text: str) -> str:
        return str(clean(text, self._context.redactor))

    def _tell(
        self,
        target: Path,
        description: str,
        before: FileState | None,
        after: dict[str, Any] | None,
        *,
        reversible: bool | None = None,
        origin: tuple[Path, FileState, dict[str, Any] | None] | None = None,
    ) -> None:
        can_be_undone = before is None or before.kept if reversible is None else reversible
        details: dict[str, Any] = {
            "path": self._shown(str(target)),
            "before": None if before is None else before.told(),
            "after": after,
        }
        if origin is not None:
            place, was, then = origin
            details["from"] = {"path": self._shown(str(place)), "before": was.told(), "after": then}
        self.effects.append(TaskEffect(_category(target), self._shown(description), can_be_undone, details))


def _category(path: Path) -> str:
    return "CONFIGURATION" if path.parts[:2] == ("/", "etc") else "FILE_SYSTEM"


def _was(before: FileState | None) -> str:
    return "" if before is None else f", was {before.size}"


def _read_pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as source:
        while piece := source.read(_PIECE):
            yield piece
