"""Any single change of any record is found."""

from __future__ import annotations

import copy
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from hearth.errors import RecordError
from hearth.record import ExecutionRecord, canonical_bytes, record_hash, strict_loads, verify_document
from tests.property._examples import examples
from tests.unit.recorder._support import Json, document_of, full_record

DOCUMENT = document_of(full_record().with_disclosures(()))
CANONICAL = canonical_bytes(DOCUMENT)

LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8)
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2)
)


def containers(tree: Any) -> list[Any]:
    """Every object and list, at every depth."""
    found = []
    if isinstance(tree, dict | list):
        found.append(tree)
        for item in tree.values() if isinstance(tree, dict) else tree:
            found += containers(item)
    return found


def is_found(document: Json) -> bool:
    """By the verifier, and by the way through ExecutionRecord; they must agree."""
    try:
        verdict = verify_document(document)
    except RecordError:
        verdict = None
    try:
        second = ExecutionRecord.from_dict(document).verify()
    except RecordError:
        second = None
    assert verdict == second
    return not verdict


def canonical(document: Any) -> bytes:
    """The canonical bytes, or b"" where there are none: in any case not the true ones."""
    try:
        return canonical_bytes(document)
    except RecordError:
        return b""


@examples(500)
@given(data=st.data(), fitting=st.booleans())
def test_a_change_anywhere_to_anything_is_found(data: st.DataObject, fitting: bool) -> None:
    document = copy.deepcopy(DOCUMENT)
    places = [place for place in containers(document) if place is not document["signatures"]]
    place = places[data.draw(st.integers(0, len(places) - 1))]
    if isinstance(place, dict):
        keys = st.text(max_size=4) | st.sampled_from(sorted(place)) if place else st.text(max_size=4)
        # Outside every hash, by design; they have tests of their own.
        key = data.draw(keys.filter(lambda key: place is not document or key not in {"signatures", "disclosures"}))
        if key in place and data.draw(st.booleans()):
            del place[key]
        else:
            place[key] = data.draw(VALUES)
    else:
        act = data.draw(st.sampled_from(("insert", "delete", "replace") if place else ("insert",)))
        position = data.draw(st.integers(0, max(0, len(place) - 1)))
        if act == "delete":
            del place[position]
        elif act == "replace":
            place[position] = data.draw(VALUES | st.sampled_from(place))
        else:
            place.insert(position, data.draw(VALUES | (st.sampled_from(place) if place else st.none())))
    if fitting and "execution_hash" in document and canonical(document):
        document["execution_hash"] = record_hash(document)
    if canonical(document) != CANONICAL:
        assert is_found(document)


@examples(300)
@given(position=st.integers(0, len(CANONICAL) - 1), replacement=st.binary(max_size=6), length=st.integers(0, 6))
def test_a_change_of_the_files_bytes_is_found(position: int, replacement: bytes, length: int) -> None:
    raw = CANONICAL[:position] + replacement + CANONICAL[position + length :]
    try:
        document = strict_loads(raw)
        if canonical_bytes(document) == CANONICAL:
            return
    except RecordError:
        return
    assert is_found(document)


@given(VALUES)
def test_what_is_no_record_is_refused_by_an_error_of_ours(document: Any) -> None:
    assert is_found(document)


@examples(200)
@given(st.data())
def test_any_shape_under_any_key_raises_nothing_but_our_error(data: st.DataObject) -> None:
    document = copy.deepcopy(DOCUMENT)
    for _ in range(data.draw(st.integers(1, 4))):
        places = [place for place in containers(document) if place]
        place = places[data.draw(st.integers(0, len(places) - 1))]
        key = data.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
        place[key] = data.draw(VALUES)
    is_found(json.loads(json.dumps(document)))
