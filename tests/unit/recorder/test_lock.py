"""Two open files never hold the lock at once."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from hearth.recorder._lock import try_lock

if TYPE_CHECKING:
    from pathlib import Path


def test_the_second_one_is_refused_until_the_first_lets_go(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    first, second = (os.open(path, os.O_RDWR) for _ in range(2))
    try:
        assert try_lock(first)
        assert not try_lock(second)
        os.close(first)
        assert try_lock(second)
    finally:
        os.close(second)


def test_another_file_is_another_lock(tmp_path: Path) -> None:
    descriptors = []
    for name in ("one", "two"):
        descriptors.append(os.open(tmp_path / name, os.O_RDWR | os.O_CREAT))
        assert try_lock(descriptors[-1])
    for descriptor in descriptors:
        os.close(descriptor)
