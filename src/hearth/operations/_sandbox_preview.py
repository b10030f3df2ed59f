"""Previewing a plan: its steps really run, one above the other, in sandboxes that are thrown away."""

from __future__ import annotations

import os
import platform
import tempfile
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from hearth.errors import ApprovalRefusedError, ArtemisEscalationError, ExecutionError, HearthError, ObservationError
from hearth.evidence import LogPlace, LogSettings
from hearth.execution import ApprovalExecutor, ContentStore, Sandboxing, held_manifest
from hearth.observe import ChangeKind, LowerView, Manifest, NodeType, OwnedFolder, SandboxRoom, Tier, layer_path, probe
from hearth.operations._keys import KEY_VARIABLE, default_key
from hearth.operations._standalone import installed_tasks
from hearth.operations._text_diff import unified_diff
from hearth.record import Redactor
from hearth.security import LiveMode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hearth.execution import RunListener
    from hearth.ledger import LedgerHome
    from hearth.observe import Change, Reconciliation
    from hearth.plan import Plan

__all__ = ["PreviewOutcome", "hidden_in_sandboxes", "preloaded", "preview_in_sandbox", "require_sandbox"]

_LARGEST_SHOWN = 1 << 20
_MOST_NAMED = 10
_DECLARE = "declare it under the step's effects:, or change the step"
_ALWAYS_NEEDED = ("hearth.execution._inside", "hearth.execution.tasks.file")
_NEEDED_BY_SQL = (
    "hearth.execution.tasks.sql",
    "hearth.execution.tasks._transaction",
    "hearth.execution.tasks._database",
    "hearth.observe._sqlite_driver",
    "sqlalchemy.dialects.sqlite.pysqlite",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PreviewOutcome:
    """What a preview gave: the manifest, as far as it came, and what ended it early (None: it came to the plan's end).

    `diffs` has the unified diff of each changed text, by step and path, where they were asked for. `held` has what of
    each step the plan declares, but for those that failed or say nothing of their effects. `hopeless` says, by the
    step's index, why a live run could not commit what was shown here.
    """

    manifest: Manifest
    error: HearthError | None = None
    held: dict[int, Reconciliation] = field(default_factory=dict)
    diffs: dict[tuple[int, str], list[str]] = field(default_factory=dict)
    hopeless: dict[int, str] = field(default_factory=dict)

    @property
    def stops(self) -> str:
        """Why a live run of the plan would be stopped, though nothing failed here; "" where it would not."""
        said = []
        for index, held in self.held.items():
            if held.undeclared:
                more = len(held.undeclared) - _MOST_NAMED
                named = "; ".join(held.undeclared[:_MOST_NAMED]) + (f"; and {more} more" if more > 0 else "")
                said.append(f"step {index} does what it does not declare ({named})")
            elif held.must:
                named = ", ".join(effect.pattern for effect in held.must)
                said.append(f"step {index} does not do what the plan demands of it ({named})")
        said += [f"step {index} cannot do what was shown here: {why}" for index, why in self.hopeless.items()]
        return "; ".join(said)

    def require_declared(self) -> None:
        """Raise ApprovalRefusedError (`preview`) where a live run would be stopped: its approval would be wasted."""
        if self.stops:
            raise ApprovalRefusedError(
                f"a live run would be stopped: {self.stops}; nothing was asked for: "
                f"{'change the step, or run it in place' if self.hopeless else _DECLARE}",
                code="preview",
            )


def preview_in_sandbox(
    plan: Plan, *, home: LedgerHome | None = None, listener: RunListener | None = None, diffs: bool = False
) -> PreviewOutcome:
    """Run a plan's steps in sandboxes, each above what the earlier ones did, and return what each of them did.

    The host is as before. What is large lies meanwhile in the ledger's folder, or without one in the folder for
    temporary files. ObservationError where this machine can make no sandbox; PlanError, TaskError and RefusedErrors as
    for any run. A step that fails, or is undeclared in what it does, is an outcome.
    """
    tier = probe()
    require_sandbox(tier)
    with ExitStack() as stack:
        folder = stack.enter_context(_owned(Path(tempfile.gettempdir()) if home is None else home.sandboxes))
        # Copies of inputs lie where steps may see them; no slot and no journal say that they are needed.
        runs = folder / "runs" if home is None else stack.enter_context(_owned(home.runs))
        with SandboxRoom(
            folder / "layers", stacked=True, hidden=hidden_in_sandboxes(home), preload=preloaded(plan)
        ) as room:
            sandboxing = Sandboxing(room=room, ledger=None if home is None else home.root)
            executor = ApprovalExecutor(
                None,
                tasks=installed_tasks(),
                listener=listener,
                store=ContentStore(folder / "outputs", durable=False),
                runs_folder=runs,
                sandbox=sandboxing,
            )
            error: HearthError | None = None
            try:
                executor.execute(plan, mode=LiveMode.DRY_RUN)
            except (ExecutionError, ArtemisEscalationError) as problem:
                error = problem
            manifest = Manifest(
                plan_id=plan.id,
                plan_digest=plan.digest,
                host=platform.node() or "localhost",
                tier=tier.name,
                steps=tuple(sandboxing.manifests),
                cwd=_told_folder(plan),
            )
            found = dict(_diffs(room, manifest)) if diffs else {}
            held = held_manifest(manifest, plan.document, plan.cwd) or {}
            return PreviewOutcome(
                manifest=manifest, error=error, held=held, diffs=found, hopeless=dict(sandboxing.hopeless)
            )


@contextmanager
def _owned(parent: Path) -> Iterator[Path]:
    """Make a folder that others know to be this process's, and remove it."""
    parent.mkdir(mode=0o700, exist_ok=True)
    with closing(OwnedFolder(parent)) as owned:
        yield owned.path


def preloaded(plan: Plan) -> tuple[str, ...]:
    """Return the modules that work in a plan's sandboxes needs: imported once, where sandboxes are forked."""
    return _ALWAYS_NEEDED + (_NEEDED_BY_SQL if any(step.task_type == "sql" for step in plan.steps) else ())


def hidden_in_sandboxes(home: LedgerHome | None) -> tuple[Path, ...]:
    """Return what no step sees: the ledger but for private copies of inputs, one's own key's folder, the log's key."""
    key = default_key()
    found = [key if KEY_VARIABLE in os.environ else key.parent]
    if home is not None:
        found += [path for path in home.root.iterdir() if path not in (home.runs, home.root / ".gitignore")]
        if (place := LogPlace.of(home)).exists:
            log = LogSettings.load(place)
            found += [log.key_file, log.signed_file]
        found += [home.policy, *(home.database.with_name(home.database.name + end) for end in ("-wal", "-shm"))]
    return tuple(found)


def require_sandbox(tier: Tier) -> None:
    """Raise ObservationError where this machine can make no sandbox; it says what is missing."""
    if tier.name == "fallback":
        by_reason: dict[str, list[str]] = {}
        for name, works, why in tier.capabilities:
            if not works:
                by_reason.setdefault(why, []).append(name)
        missing = "; ".join(f"{', '.join(names)}: {why}" for why, names in by_reason.items())
        raise ObservationError(
            f"this machine can make no sandbox ({missing}), so nothing can be previewed; `hearth doctor` says what it "
            "can see"
        )


def _told_folder(plan: Plan) -> str:
    """Return where the plan's relative paths start, for a manifest; "" where that would tell a secret."""
    redactor = Redactor()
    for value in plan.secret_variables(redactor.telling):
        redactor.add_secret(value)
    folder = str(plan.cwd)
    return folder if redactor.text(folder) == folder else ""


def _diffs(room: SandboxRoom, manifest: Manifest) -> Iterator[tuple[tuple[int, str], list[str]]]:
    redactor = Redactor()
    below: list[str] = []
    for step in manifest.steps:
        layer = str(step.index)
        if not (room.folder / layer).is_dir():
            continue
        with LowerView(state=room.folder, below=tuple(below)) as lower:
            for change in step.changes:
                lines = _diff(change, lower, layer_path(room.folder, layer, change.path), redactor)
                if lines:
                    yield (step.index, change.path), lines
        below.append(layer)


def _diff(change: Change, lower: LowerView, after: Path | None, redactor: Redactor) -> list[str]:
    if change.kind in (ChangeKind.METADATA, ChangeKind.TOUCHED):
        return []
    if any(node is not None and (node.size or 0) > _LARGEST_SHOWN for node in (change.before, change.after)):
        return ["--- before", "+++ after", f"(more than {_LARGEST_SHOWN >> 20} MiB: no difference is shown)"]
    old, new = "", ""
    if change.before is not None and change.before.type is NodeType.FILE:
        with lower.open(change.path) as file:
            text = _text(file.read(_LARGEST_SHOWN + 1))
        if text is None:
            return []
        old = text
    if change.after is not None and change.after.type is NodeType.FILE:
        if after is None:
            return []
        with after.open("rb") as file:
            text = _text(file.read(_LARGEST_SHOWN + 1))
        if text is None:
            return []
        new = text
    lines = list(unified_diff(_lines(old), _lines(new)))
    if not lines:
        return []
    return [
        f"--- before{redactor.text(change.path)}",
        f"+++ after{redactor.text(change.path)}",
        *map(redactor.text, lines),
    ]


def _lines(text: str) -> list[str]:
    """Return a text's lines; where the last one does not end, it says so, as diff(1) does below it."""
    *lines, rest = text.split("\n")
    return [*lines, f"{rest}  (no newline at its end)"] if rest else lines


def _text(content: bytes) -> str | None:
    if len(content) > _LARGEST_SHOWN or b"\0" in content:
        return None
    try:
        return content.decode()
    except UnicodeDecodeError:
        return None
