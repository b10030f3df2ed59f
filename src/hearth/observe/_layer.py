"""Reading a step's layer: what became of each path between what the step found and what it left."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from hearth.observe._change import Change, ChangeKind
from hearth.observe._layer_acl import lists_lost
from hearth.observe._layer_flags import flags_not_kept
from hearth.observe._layer_links import HardLinks
from hearth.observe._layer_merged import Merged, Part, Upper
from hearth.observe._layer_mounts import LayerMounts, deepest, is_below
from hearth.observe._layer_names import keep_numbers, told_number
from hearth.observe._layer_refused import refused_by_host
from hearth.observe._layer_view import LowerView

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from hearth.observe._layer_merged import Found
    from hearth.observe._node import Node

__all__ = ["LayerChanges", "LowerView", "layer_path", "read_layer"]

_ELSEWHERE = "elsewhere.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerChanges:
    """What a step changed, sorted by the paths' bytes, and why something of it may have gone unseen.

    `groups` are the paths of the layer that are one file afterwards (hard links). `parted` are the paths where another
    file took the name of one that lives on under other names: writing into the old file would change those. `unread`
    are files too long to be read: what became of them is not known, so this is not to be committed. `stale` are paths
    that a layer below has written through another name of the file: here they were as before. `refused` says of changes
    that the host would refuse them, or that they lack what a sandbox cannot give, also under `unseen`: this is not to
    be committed. `unfound` are files that were written and have more names than were found: what is written to them
    changes paths that nobody was shown.
    """

    changes: tuple[Change, ...]
    unseen: tuple[str, ...] = ()
    groups: tuple[tuple[str, ...], ...] = ()
    parted: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()
    stale: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    unfound: tuple[str, ...] = ()


def read_layer(
    state: Path,
    layer: str,
    below: tuple[str, ...] = (),
    *,
    host: Path = Path("/"),
    ignore: Sequence[str] = (),
    search: Sequence[str] = (),
    search_limit: int = 100_000,
    stop: Callable[[], str] | None = None,
) -> LayerChanges:
    """Return what became of each path in a layer whose sandbox has ended.

    What the step found are the layers `below` (oldest first) over `host`. `ignore` are paths that do not count, with
    all below them. Other names of a file that was written are looked for beside its known ones, and in the folders
    `search`, up to `search_limit` entries. ObservationError where the layer is malformed, and where `stop` says why to
    end ("": go on).
    """
    mounts = LayerMounts.read(state, layer)
    with LowerView(state=state, below=below, host=host, stop=stop) as view:
        view.add_points(mounts.mounts)
        reading = _Reading(view, mounts, ignore)
        for point in sorted(mounts.mounts):
            reading.walk(point)
        reading.links.settle(reading.changes, search, search_limit)
        _keep_elsewhere(state / layer / _ELSEWHERE, reading.links.elsewhere)
        keep_numbers(state / layer, reading.links.numbers)
        stale = {name: None for earlier in below for name in _elsewhere(state, earlier)}
        for name in stale:
            view.reader.miss(
                f"{name} was changed by an earlier step through another name; this step found it as it was before"
            )
        found = (one for path, one in reading.changes.items() if not reading.ignores(path))
        changes = sorted(found, key=lambda change: os.fsencode(change.path))
        refused = tuple(refused_by_host(changes, mounts.foreign))
        if not mounts.root:
            refused += tuple(
                lists_lost(changes, mounts.lacking, view, lambda path: _in_layer(mounts, reading.links.elsewhere, path))
            )
        for reason in refused:
            view.reader.miss(reason)
        return LayerChanges(
            changes=tuple(changes),
            unseen=view.unseen,
            groups=reading.links.groups,
            parted=reading.links.parted,
            unread=tuple(sorted(view.reader.unread & reading.changes.keys(), key=os.fsencode)),
            stale=tuple(stale),
            unfound=tuple(sorted(reading.links.unfound, key=os.fsencode)),
            refused=refused,
        )


def _in_layer(mounts: LayerMounts, elsewhere: Mapping[str, str], path: str) -> Path | None:
    if path in elsewhere:
        return mounts.state / mounts.layer / elsewhere[path]
    point = deepest(mounts.mounts, path)
    return None if point is None else mounts.upper(point) / path[len(point) :].lstrip("/")


def layer_path(state: Path, layer: str, path: str) -> Path | None:
    """Return where a layer holds a path's new content; None where it holds none.

    Another name of a file that was written is led to the name by which that was done, once the layer has been read.
    """
    mounts = LayerMounts.read(state, layer)
    with LowerView(state=state, below=(layer,), host=state / layer / "nothing") as view:
        where = _elsewhere(state, layer).get(path)
        if where is not None:  # this comes first: the layer may hold an old copy under that name
            return state / layer / where
        point = deepest(mounts.mounts, path)
        if point is None or (path != point and view.find(path) is None):
            return None
        return _in_layer(mounts, {}, path)


@dataclass(slots=True)
class _Visit:
    """A directory to compare: what the layer has of it, and what lies below; one of them may be missing."""

    path: str
    upper: Part | None
    below: Merged | None
    opaque: bool = False


class _Reading:
    """One reading of one layer."""

    def __init__(self, view: LowerView, mounts: LayerMounts, ignore: Sequence[str]) -> None:
        self.view = view
        self.mounts = mounts
        self.links = HardLinks(view)
        self.changes: dict[str, Change] = {}
        self._ignore = tuple(ignore)
        self._top: Part
        self._indexed = False
        self._base = ""
        self._skip = 0

    def ignores(self, path: str) -> bool:
        """Whether a path does not count."""
        return any(is_below(path, one) for one in self._ignore)

    def walk(self, point: str) -> None:
        """Compare all that lies at and below a mount point."""
        # Where its files lie, relative to the layer's folder.
        self._base = self._relative(self.mounts.upper(point)) + "/"
        self._skip = len(point.rstrip("/")) + 1
        self._indexed = self.mounts.is_indexed(point)
        if self._indexed:
            index = self.mounts.index(point)
            self.links.add_index(self.view.directories.root(index), self._relative(index))
        upper = Part(self.view.directories.root(self.mounts.upper(point)), self.mounts.prefix)
        self._top = upper
        below = self.view.merged(point)
        self._compare_point(point, upper, below)
        waiting = [_Visit(point, upper, below)]
        while waiting:
            visit = waiting.pop()
            for name, path in self._names(visit):
                waiting.extend(self._entry(visit, name, path))

    def _relative(self, path: Path) -> str:
        return path.relative_to(self.mounts.state / self.mounts.layer).as_posix()

    def _names(self, visit: _Visit) -> Iterator[tuple[str, str]]:
        reader = self.view.reader
        names: set[str] = set()
        if visit.upper is not None:
            names.update(reader.names(visit.upper.directory, visit.path))
        if visit.below is not None and (visit.upper is None or visit.opaque):
            names.update(visit.below.names(visit.path, reader))
        for name in names:
            path = f"{visit.path.rstrip('/')}/{name}"
            # What a layer holds at a deeper mount point is covered by that, and not seen by anybody.
            if path not in self.mounts.mounts and not self.ignores(path):
                yield name, path

    def _entry(self, visit: _Visit, name: str, path: str) -> Iterable[_Visit]:
        """Compare one name; return the directories below that are to be compared."""
        view = self.view
        below = None if visit.below is None else visit.below.find(name, path, view.reader)
        before = None if below is None else view.found_node(below, path)
        upper = None if visit.upper is None else Upper.read(visit.upper, name, path, view.reader)
        if upper is None and visit.upper is not None and not visit.opaque:
            return ()  # it vanished
        if below is not None and before is not None:
            self.links.covered(path, below, before, indexed=self._indexed)
            self._check_mount(visit, below, path)
        after = None
        if upper is not None and not upper.whiteout:
            after = self._after(upper, path)
            if after is not None:
                self._check_flags(upper, below, path)
                self.links.written(path, upper, after, below, self._base + path[self._skip :], indexed=self._indexed)
        change = Change.between(path, before, after)
        if path in view.reader.unread and before is not None and after is not None and before.type is after.type:
            change = Change(path=path, kind=ChangeKind.MODIFIED, before=before, after=after)
        if change is not None:
            self.changes[path] = change
        lower = None if below is None else below.merged
        if upper is not None and upper.is_directory and after is not None:
            if "redirect" in upper.own:
                return ()
            child = Part(upper.part.directory.child(name), upper.part.prefix)
            return (_Visit(path, child, lower, upper.is_opaque),)
        return () if lower is None else (_Visit(path, None, lower),)

    def _after(self, upper: Upper, path: str) -> Node | None:
        reader = self.view.reader
        metacopy = "metacopy" in upper.own
        if metacopy:
            reader.miss(f"the content of {path} does not lie in the layer (metacopy)")
        if "redirect" in upper.own:
            reader.miss(f"what lies in {path} was moved there from elsewhere, and was not read (redirect)")
        self._check_attributes(upper.attributes, path)
        node = reader.node(
            upper.part.directory,
            upper.name,
            path,
            content=not metacopy,
            attributes=upper.attributes,
            status=upper.status,
        )
        return (
            node
            if node is None or "nlink" not in upper.own
            else replace(node, links=told_number(node.links, upper.own))
        )

    def _check_attributes(self, attributes: Mapping[str, bytes], path: str) -> None:
        """Say where the program used names that are overlayfs' own elsewhere: they are not compared."""
        foreign = "user.overlay." if self.mounts.root else "user.overlay.overlay."
        if any(name.startswith(foreign) for name in attributes):
            self.view.reader.miss(f"the extended attributes {foreign}* of {path} are not compared")

    def _check_flags(self, upper: Upper, below: Found | None, path: str) -> None:
        """Say where flags of an inode were changed: they are not compared, and not committed."""
        if letters := flags_not_kept(upper, below, self._top):
            self.view.reader.miss(f"the flags (chattr) of {path} were changed, which is not kept: {letters}")

    def _check_mount(self, visit: _Visit, below: Found, path: str) -> None:
        """Say where another file system lies within a directory that the layer hides."""
        if visit.upper is not None or visit.below is None or below.merged is None:
            return
        parent = visit.below.parts[-1]
        lowest = below.merged.parts[-1]
        if parent.prefix or lowest.prefix:
            return
        here = parent.directory.status(".")
        if here is not None and here.st_dev != below.status.st_dev:
            self.view.reader.miss(f"{path} is another file system than the directory that holds it")

    def _compare_point(self, point: str, upper: Part, below: Merged | None) -> None:
        """Compare a mount point's own directory."""
        reader = self.view.reader
        before = None if below is None else self.view.own_node(below, point)
        read = Upper.read(upper, ".", point, reader)
        after = None if read is None else self._after(read, point)
        if after is None:
            reader.miss(f"{point} cannot be read: its layer is gone")
            return
        if before is not None and not self.mounts.root:
            foreign = self.mounts.foreign.get(point)
            if foreign is not None and before.uid != after.uid:  # the layer's is a stand-in for what the host has
                after = replace(after, uid=before.uid, mode=before.mode if after.mode == foreign.mode else after.mode)
            after = replace(after, gid=before.gid)  # one group alone has a number there, which may be another
        if before is not None:
            lacking = self.mounts.lacking.get(point, frozenset()) - after.xattrs.keys()
            before = replace(before, xattrs={key: value for key, value in before.xattrs.items() if key not in lacking})
        change = Change.between(point, before, after)
        if change is not None and not self.ignores(point):
            self.changes[point] = change


def _keep_elsewhere(path: Path, elsewhere: Mapping[str, str]) -> None:
    """Write down where the content of names lies that the layer does not hold, for `layer_path`."""
    if elsewhere:
        path.write_text(json.dumps(elsewhere, sort_keys=True), encoding="ascii")
    else:
        path.unlink(missing_ok=True)


def _elsewhere(state: Path, layer: str) -> dict[str, str]:
    try:
        document = json.loads((state / layer / _ELSEWHERE).read_bytes())
    except FileNotFoundError:
        return {}
    return {str(path): str(source) for path, source in document.items()}
