"""Where the layers of a state folder lie, and which mount point each of their parts belongs to."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from hearth.errors import ObservationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

__all__ = ["Foreign", "LayerMounts", "deepest", "is_below"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreign:
    """Another user's directory, for which one of the user's own stood in the sandbox, with this `mode`.

    `writable`: this user may make names in it on the host; `sticky`: but change those of its own things alone.
    """

    mode: int
    writable: bool
    sticky: bool


@dataclass(frozen=True, slots=True)
class LayerMounts:
    """One layer's `mounts.json`, as the sandbox wrote it; `mounts` is turned round: mount point to key.

    `lacking` maps mount points to the extended attributes of their own directories that the layer could not be given,
    `foreign` those of other users, where an ordinary one ran the sandbox, to what they were when they were mounted.
    """

    state: Path
    layer: str
    root: bool
    mounts: Mapping[str, str]
    lacking: Mapping[str, frozenset[str]] = field(default_factory=dict)
    foreign: Mapping[str, Foreign] = field(default_factory=dict)

    @classmethod
    def read(cls, state: Path, layer: str) -> Self:
        """Read it; ObservationError where it is missing or malformed."""
        path = state / layer / "mounts.json"
        try:
            document = json.loads(path.read_bytes())
            mounts = {str(point): str(key) for key, point in document["mounts"].items()}
            root = document["root"]
            lacking = {
                str(document["mounts"][key]): frozenset(map(str, names))
                for key, names in document.get("lacking", {}).items()
            }
            foreign = {
                str(document["mounts"][key]): Foreign(
                    mode=int(one["mode"]), writable=bool(one["writable"]), sticky=bool(one["sticky"])
                )
                for key, one in document.get("foreign", {}).items()
            }
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ObservationError(f"the layer {layer} cannot be read: {path}: {error}") from error
        if not isinstance(root, bool) or not all(point.startswith("/") for point in mounts):
            raise ObservationError(f"the layer {layer} cannot be read: {path} does not say what was mounted where")
        return cls(state=state, layer=layer, root=root, mounts=mounts, lacking=lacking, foreign=foreign)

    @property
    def prefix(self) -> str:
        """What the names of overlayfs' own extended attributes begin with: mount option `userxattr` or not."""
        return "trusted.overlay." if self.root else "user.overlay."

    def upper(self, point: str) -> Path:
        """Return the upper directory of the overlay at a mount point."""
        return self.state / self.layer / self.mounts[point] / "up"

    def is_indexed(self, point: str) -> bool:
        """Whether hard links held together there (mount option `index=on` keeps a folder for that)."""
        return os.path.lexists(self.index(point))

    def index(self, point: str) -> Path:
        """Return the folder in which overlayfs keeps the files with several names that were copied up."""
        return self.state / self.layer / self.mounts[point] / "work" / "index"


def is_below(path: str, folder: str) -> bool:
    """Whether `path` is `folder` or lies in it."""
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def deepest(points: Iterable[str], path: str) -> str | None:
    """Return the mount point that counts for a path: the deepest one that holds it; None where there is none."""
    return max((point for point in points if is_below(path, point)), key=len, default=None)
