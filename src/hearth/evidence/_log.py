"""A transparency log on disk: entries are added at its end, and each state of it is signed (C2SP tlog-tiles)."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING, Self

from hearth.errors import EvidenceError, HearthError
from hearth.evidence._checkpoint import Checkpoint
from hearth.evidence._checkpoint_file import CHECKPOINT, read_checkpoint
from hearth.evidence._growing_tiles import GrowingTiles
from hearth.evidence._log_files import LogFiles
from hearth.evidence._log_lock import locked
from hearth.evidence._merkle import EMPTY_ROOT, consistency_proof, inclusion_proof, leaf_hash, verify_inclusion
from hearth.evidence._note import Note, NoteKey
from hearth.evidence._proof import LogProof
from hearth.evidence._tiles import TILE_WIDTH, TileHashes, bundle_path, split_bundle, tile_path, tile_sizes
from hearth.record import strict_loads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from hearth.signing import PublicKey, SigningKey

__all__ = ["TransparencyLog"]


class TransparencyLog:
    """A log in a folder. `signed` is a file elsewhere that holds what was signed last: no less is ever signed again.

    `key` gives the private key, and is asked only where something is signed; the present checkpoint has to be signed by
    one of the `publics`, of which the first is that of `key`.

    Entries are durable, and the state that has them signed, when `append` returns. A crash in between leaves tiles that
    no checkpoint tells of; they are written anew. One process at a time appends; any number read.
    """

    def __init__(self, folder: Path, signed: Path, key: Callable[[], SigningKey], publics: Sequence[PublicKey]) -> None:
        self.files = LogFiles(folder)
        self._signed = signed
        self._key = key
        self._publics = tuple(publics)

    @classmethod
    def create(cls, folder: Path, signed: Path, key: SigningKey, *, origin: str) -> Self:
        """Make an empty log; EvidenceError where there is one, or where one of this name was signed before."""
        log = cls(folder, signed, lambda: key, (key.public,))
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with locked(folder):
            if (folder / CHECKPOINT).exists():
                raise EvidenceError(f"there is a log in {folder} already")
            last = log._last_signed()
            if last is not None and last.size:
                raise EvidenceError(
                    f"a log of {last.size} entries was signed with this name before ({signed}): a new one would deny it"
                )
            log._sign(Checkpoint(origin, 0, EMPTY_ROOT))
        return log

    @property
    def exists(self) -> bool:
        """Whether there is a log in the folder."""
        return (self.files.folder / CHECKPOINT).exists()

    def checkpoint(self) -> Checkpoint:
        """Return the present state; EvidenceError where it is not signed by the log's key, or older than one signed."""
        while True:
            note = self._read_note()
            try:
                return self._verified(note)
            except EvidenceError:
                if self._read_note() == note:
                    raise  # otherwise others have added to it between one look and the next

    def note(self) -> bytes:
        """Return the signed checkpoint, as it is published."""
        return self._read_note().to_bytes()

    def is_signed(self, note: Note) -> bool:
        """Whether a note is signed by one of the log's keys, in the name of the log that it is a checkpoint of."""
        origin = Checkpoint.parse(note.text).origin
        try:
            return bool(note.verified_by([NoteKey(origin, public) for public in self._publics]))
        except EvidenceError:  # a signature that says to be of one of them is not
            return False

    def append(self, entries: Iterable[bytes]) -> range:
        """Add entries; return their indexes. EvidenceError adds none, OSError all or none."""
        with locked(self.files.folder):
            note = self._read_note()
            before = self._verified(note)
            tiles = GrowingTiles(before.size, self.files.read)
            if tiles.root() != before.root:
                raise EvidenceError(
                    f"the tiles in {self.files.folder} do not give the root that was signed: a file of them was changed"
                )
            for entry in entries:
                tiles.append(entry)
            added = range(before.size, tiles.size)
            if added:
                self.files.write(tiles.take_files())
                self._sign(Checkpoint(before.origin, tiles.size, tiles.root()))
                with suppress(OSError):  # the log is what was signed; a partial tile too many is in nobody's way
                    self.files.remove(_superseded(before.size, tiles.size))
            elif note.text != before.text():
                self._sign(before)
            return added

    def entry(self, index: int) -> bytes:
        """Return an entry; whether it is what was signed a proof tells."""
        size = self.checkpoint().size
        if not 0 <= index < size:
            raise EvidenceError(f"a log of {size} entries has no entry {index}")
        number, offset = divmod(index, TILE_WIDTH)
        return self._bundle(number, size)[offset]

    def proof(self, index: int) -> tuple[bytes, LogProof]:
        """Return an entry, and the proof that the log as it is now has it, which holds; nobody may add meanwhile.

        What was signed and then not published, as a crash leaves it, is published first. EvidenceError where the tiles
        do not give the root that was signed.
        """
        state = self.checkpoint()
        note = self._read_note()
        if note.text != state.text():
            self.append(())
            note = self._read_note()
        entry = self.entry(index)
        hashes = self.inclusion(index, state.size)
        try:
            verify_inclusion(index, state.size, leaf_hash(entry), hashes, state.root)
        except EvidenceError as error:
            raise EvidenceError(
                f"the files in {self.files.folder} do not prove leaf {index} ({error}): one of them was changed; see "
                "`hearth log verify`"
            ) from None
        return entry, LogProof(index, tuple(hashes), note)

    def entries(self, start: int = 0) -> Iterator[bytes]:
        """Yield every entry from number `start` on, in order."""
        size = self.checkpoint().size
        for number in range(start // TILE_WIDTH, -(-size // TILE_WIDTH)):
            yield from self._bundle(number, size)[max(start - number * TILE_WIDTH, 0) :]

    def inclusion(self, index: int, size: int | None = None) -> list[bytes]:
        """Return the proof that an entry is in the log of `size` entries (that of now by default)."""
        return self._hashes_of(lambda hashes, now: inclusion_proof(index, now, hashes), size)

    def consistency(self, older: int, newer: int | None = None) -> list[bytes]:
        """Return the proof that the log of `newer` entries (that of now by default) continues that of `older`."""
        return self._hashes_of(lambda hashes, now: consistency_proof(older, now, hashes), newer)

    def _hashes_of(self, prove: Callable[[TileHashes, int], list[bytes]], size: int | None) -> list[bytes]:
        while True:
            now = self.checkpoint().size
            if size is not None and size > now:
                raise EvidenceError(f"the log has {now} entries, and not {size}")
            try:
                return prove(TileHashes(now, self.files.read), now if size is None else size)
            except EvidenceError:
                if self.checkpoint().size == now:
                    raise  # otherwise it has grown since, and its partial tiles of then are gone

    def _bundle(self, number: int, size: int) -> Sequence[bytes]:
        width = wanted = min(TILE_WIDTH, size - number * TILE_WIDTH)
        while True:
            path = bundle_path(number, width)
            try:
                return split_bundle(self.files.read(path), width)[:wanted]
            except FileNotFoundError:
                wider = min(TILE_WIDTH, self.checkpoint().size - number * TILE_WIDTH)
                if wider <= width:
                    raise EvidenceError(f"the log's bundle of entries {path} is missing") from None
                width = wider  # it has grown since

    # --- what is signed

    def _read_note(self) -> Note:
        try:
            return read_checkpoint(self.files)
        except FileNotFoundError:
            raise EvidenceError(f"there is no log in {self.files.folder}; make one with `hearth log init`") from None

    def _verified(self, note: Note) -> Checkpoint:
        found = Checkpoint.parse(note.text)
        if not self.is_signed(note):
            raise EvidenceError(
                f"the checkpoint in {self.files.folder} is not signed by the log's key: it was changed. Bring it back "
                "from a copy of the log"
            )
        last = self._last_signed()
        if last is None:
            raise EvidenceError(
                f"{self._signed} is gone, which says how far the log was signed: without it nobody can tell whether it "
                "was set back; bring it back from a backup"
            )
        if last.origin != found.origin or last.size < found.size:
            raise EvidenceError(f"{self._signed} tells of another log, or of an older one: it was changed or set back")
        if last == found:
            return found
        if last.size == found.size:
            raise EvidenceError(f"of {found.size} entries another state was signed before ({self._signed})")
        return self._resume(found, last)

    def _resume(self, found: Checkpoint, last: Checkpoint) -> Checkpoint:
        """Return what was signed and then not published, as a crash leaves it; refuse a log that was set back."""
        try:
            whole = GrowingTiles(last.size, self.files.read).root() == last.root
        except EvidenceError:
            whole = False
        if not whole:
            raise EvidenceError(
                f"the log in {self.files.folder} was set back: it has {found.size} entries, and {last.size} were "
                f"signed before ({self._signed}). Nothing is added to it; bring the newer one back"
            )
        return last

    def _last_signed(self) -> Checkpoint | None:
        try:
            document = strict_loads(self._signed.read_bytes())
            # By its own words: a size that is no whole number is none of a checkpoint's.
            size = document["size"] if type(document["size"]) is int else -1
            return Checkpoint(str(document["origin"]), size, bytes.fromhex(document["root"]))
        except FileNotFoundError:
            return None
        except (OSError, HearthError, ValueError, LookupError, TypeError) as error:
            raise EvidenceError(
                f"{self._signed}, which says how far the log was signed, cannot be read: {error}"
            ) from None

    def _sign(self, checkpoint: Checkpoint) -> None:
        """Sign a state and publish it. That it was signed is durable before anybody can see it."""
        note = Note(checkpoint.text()).signed(checkpoint.origin, self._key())
        told = {"origin": checkpoint.origin, "size": checkpoint.size, "root": checkpoint.root.hex()}
        self._signed.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        LogFiles(self._signed.parent).write([(self._signed.name, json.dumps(told).encode())])
        self.files.write([(CHECKPOINT, note.to_bytes())])

    def publish_note(self, note: Note) -> None:
        """Add the cosignatures of a note to the published checkpoint; one of the same witness takes the other's place.

        EvidenceError where the note is not of the present state: the log has grown meanwhile. Whose the cosignatures
        are whoever asked for them has verified; the log's own signature stays as it is.
        """
        with locked(self.files.folder):
            present = self._read_note()
            checkpoint = self._verified(present)
            state = checkpoint.text()
            if note.text != state or present.text != state:
                raise EvidenceError(
                    "the log is not what was cosigned any more: it has grown; ask for cosignatures anew"
                )
            signed = {(one.name, one.key_id): one for one in present.signatures}
            # What bears the log's own name is its signature, which nobody else's line may take the place of.
            signed |= {(one.name, one.key_id): one for one in note.signatures if one.name != checkpoint.origin}
            data = Note(state, tuple(signed.values())).to_bytes()
            self._verified(Note.parse(data))  # it has to be readable, too: there is a limit to signatures
            self.files.write([(CHECKPOINT, data)])


def _superseded(before: int, after: int) -> Iterator[str]:
    """Yield the partial tiles and bundles of a state for which that of now has wider ones."""
    now = dict(tile_sizes(after))
    for level, count in tile_sizes(before):
        if count % TILE_WIDTH and count != now[level]:
            yield tile_path(level, count // TILE_WIDTH, count % TILE_WIDTH)
    if before % TILE_WIDTH:
        yield bundle_path(before // TILE_WIDTH, before % TILE_WIDTH)
