"""Where the new content of a path comes from: a layer, or a store of pre-images."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hearth._visible import visible
from hearth.errors import ObservationError
from hearth.observe._commit_state import look, open_file
from hearth.observe._node import NodeType

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from hearth.observe._change import Change
    from hearth.observe._commit_calls import Folders
    from hearth.observe._commit_state import Remembered
    from hearth.observe._preimage import ContentKeeper, Extents

__all__ = ["Source", "from_layer", "from_store", "open_source"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What a node does not say of a new thing: the values of its attributes, and where a file's content lies.

    `packed` are the extents of a sparse file that is kept without its holes; `inode` is equal for two names of one
    file; `link` is another path by which the file is known already; `room` is how many bytes it takes.
    """

    xattrs: Mapping[str, bytes] = field(default_factory=dict)
    path: str | None = None
    packed: Extents | None = None
    atime_ns: int | None = None
    inode: tuple[int, int] | None = None
    link: str | None = None
    room: int = 0


def from_layer(change: Change, content: Callable[[str], Path], folders: Folders, *, whole: bool) -> Source:
    """Return what lies in a layer, a file's content where it is wanted `whole`.

    ObservationError where it is not what was observed.
    """
    after = change.after
    assert after is not None  # noqa: S101 - only what is to be there has a source
    if not after.xattrs and not (whole and after.type is not NodeType.DIRECTORY):
        return Source()
    try:
        path = os.fspath(content(change.path))
        folder, name = folders.at(os.path.abspath(path))  # noqa: PTH100 - a text of any bytes
        found = look(folder, name, content=False)
        if (
            found is not None
            and after.type is NodeType.FILE
            and not os.access(f"/proc/self/fd/{folder}/{name}", os.R_OK)
        ):
            os.chmod(f"/proc/self/fd/{folder}/{name}", 0o600)  # noqa: PTH101 - the layer is ours to read
    except OSError as error:
        raise ObservationError(f"{visible(change.path)}: its new content cannot be had ({error.strerror})") from error
    values = {} if found is None else found.rest.xattrs
    digests = {key: hashlib.sha256(value).hexdigest() for key, value in values.items()}
    if found is None or found.node.type is not after.type or digests != after.xattrs:
        raise ObservationError(f"{visible(change.path)}: its layer holds something other than what was observed")
    linked = found.status.st_nlink > 1 and after.links > 1 and after.type is not NodeType.DIRECTORY
    return Source(
        xattrs=values,
        path=path,
        atime_ns=found.rest.atime_ns,
        inode=found.rest.inode if linked else None,
        room=min(found.status.st_blocks * 512, found.status.st_size),
    )


def from_store(change: Change, rest: Remembered | None, store: ContentKeeper, *, whole: bool) -> Source:
    """Return what a journal and a store remember of a thing. ObservationError where that is not enough."""
    after = change.after
    assert after is not None  # noqa: S101 - as above
    if rest is None:
        raise ObservationError(f"{visible(change.path)}: nothing is remembered of it")
    path = None
    if after.type is NodeType.FILE and whole:
        if rest.stored is None:
            raise ObservationError(f"{visible(change.path)}: its content was not kept")
        path = os.fspath(store.path(rest.stored))
        if not os.path.isfile(path):  # noqa: PTH113 - a text
            raise ObservationError(f"{visible(change.path)}: its content is kept no more ({rest.stored})")
    size = after.size or 0
    return Source(
        xattrs=rest.xattrs,
        path=path,
        packed=rest.extents,
        atime_ns=rest.atime_ns,
        link=rest.link,
        room=size if rest.extents is None else sum(length for _, length in rest.extents),
    )


def open_source(source: Source, folders: Folders) -> int:
    """Open a file's new content for reading."""
    assert source.path is not None  # noqa: S101 - asked for files alone
    folder, name = folders.at(os.path.abspath(source.path))  # noqa: PTH100 - a text of any bytes
    return open_file(folder, name)
