"""How many names (hard links) files have above a layer, where the layer's own files do not tell that.

overlayfs counts the entry of its index as one more, and what the layer does not hold it does not count.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["Inode", "keep_numbers", "read_numbers", "told_number"]

Inode = tuple[int, int]
"""A device and the number of a file on it."""

_FILE = "names.json"


def told_number(links: int, own: Mapping[str, bytes]) -> int:
    """Return what a program sees of a layer's file with so many links; `own` are overlayfs' attributes of it.

    Source: fs/overlayfs/inode.c (ovl_get_nlink): the difference from the number of the upper file or of the lower one,
    which is not known here: then it is that of the upper one without its entry in the index.
    """
    text = own.get("nlink", b"").decode("ascii", "replace")
    if text[:1] == "U" and text[1:2] in ("+", "-") and text[2:].isdecimal():
        return links + int(text[1:])
    return links - 1 if text else links


def keep_numbers(folder: Path, numbers: Mapping[Inode, int]) -> None:
    """Write down in a layer's folder how many names each file has by now, for who sees the layer below."""
    if not numbers:
        return
    document = [[*inode, number] for inode, number in sorted(numbers.items())]
    (folder / _FILE).write_text(json.dumps(document), encoding="ascii")


def read_numbers(folder: Path) -> dict[Inode, int]:
    """Return what was written down; nothing where nothing was."""
    try:
        document = json.loads((folder / _FILE).read_bytes())
    except FileNotFoundError:
        return {}
    return {(int(device), int(inode)): int(number) for device, inode, number in document}
