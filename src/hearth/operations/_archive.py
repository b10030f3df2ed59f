"""Reading a backup: nothing in the file is believed before it was checked, and nothing in it can name another place.

A backup is an uncompressed tar file (POSIX.1-2001, pax) of regular files under names that a ledger's folder has, each
once; the last one, `manifest.json`, has the SHA-256 and the size of every other.
"""

from __future__ import annotations

import hashlib
import re
import tarfile
from typing import TYPE_CHECKING, Any, BinaryIO

from hearth.errors import LedgerError, RecordError
from hearth.operations._backup_log import LOG_NAMES
from hearth.record import strict_loads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["MANIFEST", "SCHEMA", "read_archive"]

SCHEMA = "hearth/backup/v1"
MANIFEST = "manifest.json"

_NAMES = re.compile(
    r"ledger\.db|policy\.yaml|manifest\.json|(outputs|inputs)/[0-9a-f]{2}/[0-9a-f]{62}"
    r"|plans/[0-9a-f]{64}\.json(\.changed-[0-9a-f]{8})?|(journals|quarantine|commits)/(?!\.)[A-Za-z0-9%._~-]{1,250}"
    rf"|{LOG_NAMES}"
)
_BLOCK = 512
_CHUNK = 1 << 20
_LARGEST_HEADER = 1 << 14
_LARGEST_MANIFEST = 1 << 27
_PLAIN = (b"0", b"\0")
_EXTENDED = (b"x", b"g")


def read_archive(
    file: BinaryIO, write: Callable[[str, Iterator[bytes]], None] | None = None
) -> Iterator[tuple[str, str]]:
    """Yield name and SHA-256 of each member but the manifest, as it is read; `write` is given its content in pieces.

    When this ends, every member was what the manifest says, and none was missing: before that nothing may be used.
    LedgerError for anything else: other kinds of members, other names, a name that stands twice, a size beyond the
    file's, another hash.
    """
    _check_headers(file)
    file.seek(0)
    found: dict[str, dict[str, Any]] = {}
    manifest: Any = None
    try:
        with tarfile.open(fileobj=file, mode="r:") as archive:
            for member in archive:
                if manifest is not None:
                    raise LedgerError(f"not a backup: {member.name!r} stands behind the manifest")
                _check_member(member, found)
                source = archive.extractfile(member)
                if source is None:
                    raise LedgerError(f"not a backup: {member.name!r} is no file")
                if member.name == MANIFEST:
                    manifest = strict_loads(source.read(_LARGEST_MANIFEST))
                    continue
                state = hashlib.sha256()
                pieces = _pieces(source, state)  # type: ignore[arg-type]
                if write is None:
                    for _ in pieces:
                        pass
                else:
                    write(member.name, pieces)
                found[member.name] = {"sha256": state.hexdigest(), "size": member.size}
                yield member.name, state.hexdigest()
    except (tarfile.TarError, RecordError, EOFError) as error:
        raise LedgerError(f"not a backup, or a damaged one: {error}") from error
    _check_manifest(manifest, found)


def _check_headers(file: BinaryIO) -> None:
    """Walk over the headers by hand: kinds and sizes, before a library makes anything of them."""
    file.seek(0, 2)
    end = file.tell()
    place = 0
    while place + _BLOCK <= end:
        file.seek(place)
        header = file.read(_BLOCK)
        if header == bytes(_BLOCK):
            return
        kind, field = header[156:157], header[124:136].strip(b"\0 ")
        if kind not in (*_PLAIN, *_EXTENDED):
            raise LedgerError(f"not a backup: a member at byte {place} is no regular file (type {kind!r})")
        if not re.fullmatch(rb"[0-7]{1,12}", field):
            # Sizes from 8 GiB are written in another way, as a pax header says.
            if kind in _EXTENDED or not header[124] & 0x80:
                raise LedgerError(f"not a backup: the size of a member at byte {place} is {field!r}")
            size = int.from_bytes(header[125:136], "big")
        else:
            size = int(field, 8)
        if kind in _EXTENDED and size > _LARGEST_HEADER:
            raise LedgerError(f"not a backup: a header of {size} bytes at byte {place}")
        if size > end - place - _BLOCK:
            raise LedgerError(f"a damaged backup: a member at byte {place} is larger than what is left of the file")
        place += _BLOCK + (size + _BLOCK - 1) // _BLOCK * _BLOCK
    raise LedgerError("a damaged backup: its end is missing")


def _check_member(member: tarfile.TarInfo, found: dict[str, dict[str, Any]]) -> None:
    if not _NAMES.fullmatch(member.name):
        raise LedgerError(f"not a backup: it holds {member.name!r}, which no ledger's folder has")
    if member.name in found:
        raise LedgerError(f"not a backup: {member.name!r} stands in it twice")
    if not member.isreg() or member.issparse() or member.size < 0:
        raise LedgerError(f"not a backup: {member.name!r} is no plain file")
    if member.name == MANIFEST and member.size > _LARGEST_MANIFEST:
        raise LedgerError(f"not a backup: a manifest of {member.size} bytes")


def _pieces(source: BinaryIO, state: Any) -> Iterator[bytes]:  # noqa: ANN401 - hashlib has no public type
    while piece := source.read(_CHUNK):
        state.update(piece)
        yield piece


def _check_manifest(manifest: Any, found: dict[str, dict[str, Any]]) -> None:  # noqa: ANN401 - a JSON tree
    if not isinstance(manifest, dict) or manifest.get("schema") != SCHEMA:
        raise LedgerError("not a backup of a ledger: its manifest is missing or of another schema")
    told = manifest.get("members")
    if not isinstance(told, dict) or "ledger.db" not in found:
        raise LedgerError("a damaged backup: the manifest names no members, or the database is missing")
    for name in sorted(told.keys() | found.keys()):
        if told.get(name) != found.get(name):
            what = "is missing" if name not in found else "is not what the manifest says"
            raise LedgerError(f"a damaged backup: {name} {what}; nothing was restored")
