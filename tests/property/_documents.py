"""Values of every kind, and a valid document of which one place is another than it was."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

__all__ = ["changed", "objects", "places", "trees"]

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
odd_texts = st.sampled_from(
    ("", " ", "*", "0" * 64, "2026-11-22T12:00:00.000000Z", "9999-12-31T23:59:59.999999Z", "LIVE", "approve", "1s",
     "-1s", "9" * 40 + "d", "\ud800", "\x00", "ed25519:", "A" * 20_000)
)  # fmt: skip
trees = st.recursive(
    scalars | odd_texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
)
objects = st.recursive(
    scalars
    | odd_texts
    | st.binary(max_size=4)
    | st.complex_numbers()
    | st.dates()
    | st.sets(st.integers(), max_size=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.integers() | st.text(max_size=4), inner, max_size=3),
)


def places(tree: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the path to every value in a JSON tree, the tree itself first."""
    children = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    return [path, *(place for key, child in children for place in places(child, (*path, key)))]


def changed(data: st.DataObject, document: Any) -> Any:
    """Return the document, which is changed for it, with one value replaced, removed, renamed or added."""
    place = data.draw(st.sampled_from(places(document)[1:]))
    holder = document
    for segment in place[:-1]:
        holder = holder[segment]
    change = data.draw(st.sampled_from(["replace", "remove", "rename", "add"]))
    if change == "remove":
        del holder[place[-1]]
    elif change == "rename" and isinstance(holder, dict):
        holder[data.draw(st.text(max_size=6))] = holder.pop(place[-1])
    elif change == "add" and isinstance(holder, dict):
        holder[data.draw(st.text(max_size=6))] = data.draw(trees)
    else:
        holder[place[-1]] = data.draw(trees)
    return document
