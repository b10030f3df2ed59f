"""SandboxRoom: what the sandboxes of one run share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Self

from hearth.observe._layer import layer_path, read_layer
from hearth.observe._owned_folder import OwnedFolder, clear_dead
from hearth.observe._remove_tree import remove_tree
from hearth.observe._sandbox import Layout, SandboxServer
from hearth.observe._tiers import stackable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from types import TracebackType

    from hearth.observe._layer import LayerChanges

__all__ = ["SandboxRoom", "clear_dead_sandboxes"]

_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - what is made there is locked, and of a random name


def clear_dead_sandboxes(*folders: Path) -> None:
    """Remove what killed runs and previews of this user left in `folders`, and where stacked layers lie. POSIX."""
    for one in (*folders, _SHARED_MEMORY):
        clear_dead(one)


class SandboxRoom:
    """The server of one run's sandboxes, and the folder that holds their layers; a context manager that clears it.

    With `stacked` each step sees what the earlier ones did (a preview); else each sees the host alone (what earlier
    steps did is committed by then). Stacked layers lie in /dev/shm: overlayfs takes no lower layer from within another
    one (ELOOP), and every disk is one. What a killed HEARTH left there, the next one clears. `preload` are modules that
    work in a sandbox needs, imported once.
    """

    def __init__(
        self, folder: Path, *, stacked: bool, hidden: tuple[Path, ...] = (), preload: Sequence[str] = ()
    ) -> None:
        self.folder = folder
        self._stacked = stacked
        self._hidden = hidden
        self._preload = preload
        self._server: SandboxServer | None = None
        self._owned: OwnedFolder | None = None
        self._layers: list[str] = []
        self._first_readonly: frozenset[str] | None = None

    def __enter__(self) -> Self:
        if self._stacked and stackable():
            self._owned = OwnedFolder(_SHARED_MEMORY)
            self.folder = self._owned.path
        else:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def server(self) -> SandboxServer:
        """The process that forks sandboxes; started when it is first asked for."""
        if self._server is None:
            self._server = SandboxServer(preload=self._preload)
        return self._server

    def layout(self, layer: str, *, network: bool = False) -> Layout:
        """Return the layout of the next step's sandbox; where layers are stacked, above the earlier ones."""
        below = tuple(self._layers) if self._stacked else ()
        return Layout(state=self.folder, layer=layer, below=below, network=network, hidden=self._hidden)

    def read(
        self,
        layout: Layout,
        *,
        ignore: Sequence[str] = (),
        search: Sequence[str] = (),
        stop: Callable[[], str] | None = None,
    ) -> LayerChanges:
        """Return what was changed in a sandbox that has ended; from now on it lies below the next ones.

        Other names of a file that was written are looked for beside its known ones, and in the folders `search`.

        ObservationError where `stop` says why to end ("": go on).
        """
        changes = read_layer(self.folder, layout.layer, layout.below, ignore=ignore, search=search, stop=stop)
        if self._stacked:
            self._layers.append(layout.layer)
        return changes

    def newly_readonly(self, paths: Iterable[str]) -> list[str]:
        """Return which of a sandbox's paths that take no change took some in the first one of this room, sorted."""
        found = frozenset(paths)
        if self._first_readonly is None:
            self._first_readonly = found
        return sorted(found - self._first_readonly)

    def content(self, layout: Layout) -> Callable[[str], Path]:
        """Return where the new content of a path lies."""

        def find(path: str) -> Path:
            found = layer_path(self.folder, layout.layer, path)
            if found is None:
                raise FileNotFoundError(path)
            return found

        return find

    def drop(self, layout: Layout) -> None:
        """Throw a layer away."""
        remove_tree(self.folder / layout.layer)

    def close(self) -> None:
        """End every sandbox, and remove the folder."""
        if self._server is not None:
            self._server.close()
            self._server = None
        if self._owned is not None:
            self._owned.close()
        else:
            remove_tree(self.folder)
