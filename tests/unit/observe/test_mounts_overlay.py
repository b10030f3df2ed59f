"""Overlays above a layer that the kernel still holds for the earlier step: they wait for it, and keep their index."""

from __future__ import annotations

import errno
import os
import sys
from typing import TYPE_CHECKING

import pytest

from hearth.observe import _mounts_overlay
from hearth.observe._mounts_overlay import Overlays

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="overlayfs is Linux's own")


@pytest.mark.parametrize("below, indexed", [(("0",), True), ((), False)])
def test_a_layer_that_is_still_in_use_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, below: tuple[str, ...], indexed: bool
) -> None:
    """Without an index the names of one file part: then two equal previews would differ."""
    busy, mounted = [1, 2, 3], []

    def mount(source: str, target: str, kind: str, flags: int, options: str) -> None:
        if busy and options.endswith("index=on"):
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), busy.pop())
        mounted.append(options)

    monkeypatch.setattr(_mounts_overlay, "mount", mount)
    monkeypatch.chdir(tmp_path)
    overlays = Overlays(state=str(tmp_path), layer="1", below=below, root=True)
    overlays._mount_here("there", 0, "lowerdir=0", ",upperdir=up,workdir=work")
    (options,) = mounted
    assert options.endswith("index=on") is indexed
