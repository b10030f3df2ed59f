"""Checking a log from its entries up: every hash computed anew, whoever wrote the files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hearth.errors import EvidenceError
from hearth.evidence._checkpoint_file import CHECKPOINT, read_checkpoint
from hearth.evidence._growing_tiles import GrowingTiles
from hearth.evidence._tiles import TILE_WIDTH, bundle_path, split_bundle

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hearth.evidence._checkpoint import Checkpoint
    from hearth.evidence._log_files import LogFiles
    from hearth.evidence._note import Note

__all__ = ["LogReport", "check_log"]


@dataclass(frozen=True, slots=True)
class LogReport:
    """What the check of a log found: its checkpoint, and what does not hold (nothing, where it is as it was signed).

    `waiting` is how many events of the ledger came after all that the log has of their kind, and are not in it yet.
    """

    checkpoint: Checkpoint
    problems: tuple[str, ...] = ()
    waiting: int = 0

    @property
    def ok(self) -> bool:
        """Whether all of it holds."""
        return not self.problems


def check_log(
    files: LogFiles,
    verify: Callable[[Note], Checkpoint],
    *,
    since: Note | None = None,
    believe: Callable[[Note], Checkpoint] | None = None,
    entry: Callable[[int, bytes], object] | None = None,
    progress: Callable[[int], None] | None = None,
) -> LogReport:
    """Compute a log's tiles and root from its entries, and hold them against its files and its checkpoint.

    `verify` returns the checkpoint of a note that the log's key signed, and raises EvidenceError for any other; it is
    asked for the present one. `believe` (`verify`, where it is None) is asked for `since`, a checkpoint that was kept
    elsewhere. `entry` is given each entry with its number. Memory is bounded. EvidenceError where there is no
    checkpoint, or one that nobody known signed.
    """
    checkpoint = _present(files, verify)
    older = None if since is None else _older(since, believe or verify)
    problems = _set_back(checkpoint, older)
    tiles = GrowingTiles(0, files.read)
    roots: dict[int, bytes] = {0: tiles.root()}
    wanted = {checkpoint.size} | ({older.size} if older is not None and not problems else set())
    try:
        for number, data in enumerate(_entries(files, checkpoint.size)):
            tiles.append(data)
            if entry is not None:
                entry(number, data)
            if tiles.size in wanted:
                roots[tiles.size] = tiles.root()
            if tiles.size % TILE_WIDTH == 0 or tiles.size == checkpoint.size:
                problems += _differing(files, tiles, last=tiles.size == checkpoint.size)
                if progress is not None:
                    progress(tiles.size)
    except EvidenceError as error:
        return LogReport(checkpoint, (*problems, str(error)))
    if roots[checkpoint.size] != checkpoint.root:
        problems.append(
            f"the entries do not give the root that was signed for {checkpoint.size} of them: one was changed, added, "
            "moved or removed. Compare the folder with a published copy of the log, or with a backup"
        )
    elif older is not None and older.size in roots and roots[older.size] != older.root:
        problems.append(
            f"the log does not continue the checkpoint of {older.size} entries: its first {older.size} are others by "
            "now, and were signed anew. Both checkpoints are signed by the log's key: keep them, they prove it"
        )
    return LogReport(checkpoint, tuple(problems))


def _present(files: LogFiles, verify: Callable[[Note], Checkpoint]) -> Checkpoint:
    try:
        note = read_checkpoint(files)
    except FileNotFoundError:
        raise EvidenceError(f"there is no log in {files.folder}: it has no checkpoint") from None
    try:
        return verify(note)
    except EvidenceError as error:
        if type(error) is not EvidenceError:
            raise  # it says more than that this note does not count
        raise EvidenceError(f"{files.folder / CHECKPOINT}: {error}") from None


def _older(since: Note, verify: Callable[[Note], Checkpoint]) -> Checkpoint:
    try:
        return verify(since)
    except EvidenceError as error:
        raise EvidenceError(f"the checkpoint to compare with: {error}") from None


def _set_back(now: Checkpoint, older: Checkpoint | None) -> list[str]:
    if older is None:
        return []
    if older.origin != now.origin:
        return [f"the checkpoint to compare with is of the log {older.origin}, and this one is {now.origin}"]
    if older.size > now.size:
        what = (
            f"the log was set back: it has {now.size} entries, and {older.size} were signed when the other checkpoint "
            "was kept. What came after was removed, or an old state brought back; restore the newer one"
        )
        return [what]
    return []


def _differing(files: LogFiles, tiles: GrowingTiles, *, last: bool) -> list[str]:
    """Name the tiles that are full by now (or the partial ones of the end) and lie there with another content."""
    wrong = []
    for path, content in tiles.take_files(partial=last):
        try:
            found = files.read(path)
        except FileNotFoundError:
            wrong.append(f"{path} is missing; `hearth log publish` of an intact log writes it anew")
            continue
        if found != content:
            wrong.append(
                f"{path} is not what the entries give: the file was changed; take it away, and `hearth log publish` of "
                "an intact log writes it anew"
            )
    return wrong


def _entries(files: LogFiles, size: int) -> Iterator[bytes]:
    for number in range(-(-size // TILE_WIDTH)):
        width = min(TILE_WIDTH, size - number * TILE_WIDTH)
        path = bundle_path(number, width)
        try:
            yield from split_bundle(files.read(path), width)
        except FileNotFoundError:
            raise EvidenceError(
                f"{path}, a bundle of the log's entries, is missing; bring it back from a copy, or have `hearth log "
                "publish` of an intact log write it anew"
            ) from None
