"""The digest changes if, and only if, the rendered plan or a byte of an input does."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hearth.plan import Plan, load_plan, parse_plan
from hearth.record import canonical_bytes
from tests.unit.plan.plan_tasks import TASKS

if TYPE_CHECKING:
    from pathlib import Path

# Texts that a plan may hold and that are no reference: braces and NUL are left out here, they have tests of their own.
texts = st.text(st.characters(exclude_characters="\0{}", exclude_categories=["Cs"]), max_size=12)
numbers = st.integers(1 - 2**53, 2**53 - 1) | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
lines = texts.map(lambda text: text.replace("\n", " ").replace("\r", " ")).filter(bool)
steps = st.fixed_dictionaries(
    {"name": lines, "call": values},
    optional={
        "timeout": st.sampled_from(["1s", "2m", 30]),
        "volatile": st.lists(texts.map(lambda text: f"{text}.log"), max_size=2),
        "env": st.dictionaries(st.from_regex("[A-Z_]{1,4}", fullmatch=True), texts, max_size=2),
        "effects": st.lists(
            st.fixed_dictionaries({"other": texts.filter(bool)}, optional={"reversible": st.booleans()}), max_size=2
        ),
        "rollback": st.fixed_dictionaries({"description": texts.filter(bool)}, optional={"actions": st.lists(texts)}),
        "undo": st.fixed_dictionaries({"call": values}),
    },
)
documents = st.fixed_dictionaries(
    {
        "plan": st.from_regex("[A-Za-z0-9][A-Za-z0-9._-]{0,9}", fullmatch=True),
        "steps": st.lists(steps, min_size=1, max_size=3),
    },
    optional={
        "description": texts,
        "concurrency": st.integers(1, 3),
        "variables": st.dictionaries(st.from_regex("[a-z_]{1,4}", fullmatch=True), texts | st.booleans(), max_size=2),
        "disclosable": st.lists(texts, max_size=2),
    },
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("plans")


def parse(document: dict[str, Any], folder: Path) -> Plan:
    return parse_plan(document, folder=folder, tasks=TASKS)


def to_yaml(value: Any, indent: int = 0) -> str:
    """Write JSON as block YAML, every text in double quotes."""
    pad = "  " * indent
    if isinstance(value, dict) and value:
        return "".join(f"\n{pad}{quoted(key)}: {to_yaml(item, indent + 1)}" for key, item in value.items())
    if isinstance(value, list) and value:
        return "".join(f"\n{pad}- {to_yaml(item, indent + 1)}" for item in value)
    return quoted(value) if isinstance(value, str) else json.dumps(value)


def quoted(text: str) -> str:
    plain = set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 _-.,:#é😀")
    return '"' + "".join(char if char in plain else f"\\U{ord(char):08X}" for char in text) + '"'


@given(documents)
def test_yaml_json_and_python_are_forms_of_one_plan(folder: Path, document: dict[str, Any]) -> None:
    (folder / "plan.yaml").write_text(to_yaml(document), encoding="utf-8")
    (folder / "plan.json").write_text(json.dumps(document), encoding="utf-8")
    (folder / "ascii.json").write_text(json.dumps(document, ensure_ascii=True, indent=3), encoding="utf-8")
    plan = parse(document, folder)
    for name in ("plan.yaml", "plan.json"):
        loaded = load_plan(folder / name, tasks=TASKS)
        assert canonical_bytes(loaded.document) == canonical_bytes(document)
        assert loaded.digest == plan.digest
        assert loaded.steps == plan.steps


@given(documents, documents)
def test_two_plans_have_one_digest_if_and_only_if_they_are_one_document(
    folder: Path, one: dict[str, Any], two: dict[str, Any]
) -> None:
    same = canonical_bytes(one) == canonical_bytes(two)
    assert (parse(one, folder).digest == parse(two, folder).digest) == same


@given(documents, st.data())
def test_a_small_change_is_a_change(folder: Path, document: dict[str, Any], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(document["steps"]) - 1))
    key, value = data.draw(
        st.sampled_from([("name", lines), ("call", values)]).flatmap(lambda kv: st.tuples(st.just(kv[0]), kv[1]))
    )
    changed = json.loads(json.dumps(document))
    changed["steps"][index][key] = value
    same = canonical_bytes(changed) == canonical_bytes(document)
    assert (parse(changed, folder).digest == parse(document, folder).digest) == same


@given(documents)
def test_the_order_of_keys_is_not_content(folder: Path, document: dict[str, Any]) -> None:
    def turned(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: turned(value[key]) for key in reversed(value)}
        return [turned(item) for item in value] if isinstance(value, list) else value

    assert parse(turned(document), folder).digest == parse(document, folder).digest


@given(st.binary(max_size=40), st.binary(max_size=40))
def test_the_digest_follows_the_bytes_of_the_inputs(folder: Path, one: bytes, two: bytes) -> None:
    def digest(data: bytes) -> str:
        (folder / "input.bin").write_bytes(data)
        return parse({"plan": "p", "inputs": ["input.bin"], "steps": [{"name": "a", "call": 1}]}, folder).digest

    assert (digest(one) == digest(two)) == (one == two)


@given(texts, texts, texts)
def test_a_variable_is_inserted_as_it_is(folder: Path, before: str, value: str, after: str) -> None:
    rendered = parse(
        {"plan": "p", "variables": {"v": value}, "steps": [{"name": "a", "call": before + "{{ v }}" + after}]}, folder
    )
    literal = parse(
        {"plan": "p", "variables": {"v": value}, "steps": [{"name": "a", "call": before + value + after}]}, folder
    )
    assert rendered.steps[0].params == before + value + after
    assert rendered.digest == literal.digest


@given(documents, documents)
def test_a_plan_can_be_changed_by_nobody(folder: Path, document: dict[str, Any], other: dict[str, Any]) -> None:
    plan = parse(document, folder)
    before = canonical_bytes(plan.document)
    document.update(other)
    document["steps"].clear()
    assert canonical_bytes(plan.document) == before
    with pytest.raises(TypeError):
        plan.document["plan"] = "other"  # type: ignore[index]
