"""Whatever a policy file holds: a Policy comes out, or a GateRefusedError that names the file, and nothing else."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hearth.errors import GateRefusedError
from hearth.execution import load_policy
from hearth.security import Policy
from tests.property._documents import changed, objects, trees

if TYPE_CHECKING:
    from pathlib import Path

LONGEST_MESSAGE = 5000
KEY = "ed25519:" + "A" * 43 + "="
VALID: dict[str, Any] = {
    "staging": {"targets": ["file:/srv/try/*", "host:build-7:/srv/*"]},
    "approvals": {
        "quorum": 1,
        "self_approval": True,
        "valid_for": "8h",
        "break_glass_for": "1h",
        "keys": {"ann": {"key": KEY, "roles": ["approver", "operator"]}},
    },
    "states": {"DEGRADED": {"modes": ["DRY_RUN"], "tasks": ["file"]}},
    "notify": [{"on": ["failure"], "command": ["/bin/true", "{event}"], "timeout": "5s"}],
    "retention": {"minimum_age": "90d"},
    "sensors": {"refused_approvals": 5},
    "journal": {"free_space_mb": 64},
}
YAML_PIECES = [
    *VALID, "targets", "DEGRADED", "modes", "on", "command", "minimum_age", "90d", ": ", ":", "- ", "\n", "\n  ",
    "\n    ", "[", "]", "{", "}", ", ", "'", '"', "|\n", ">-\n", "&a ", "<<", "? ", "---\n", "...\n",
    "%YAML 1.2\n", "%TAG ! x:\n", "#", "0755", "1e5", ".nan", "9" * 30, "9" * 5000, "true", "null", "~", "x", "p", "\t",
    "\r", "é", "\u2028", "\u202e", "\x00", "\ufeff", "😀", "2001-01-01", "2001-99-99", "1:60", "0b", "0x", "+", "_",
]  # fmt: skip


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("policies") / "policy.yaml"


def outcome(path: Path, data: bytes) -> Policy | str:
    path.write_bytes(data)
    path.chmod(0o600)
    try:
        policy = load_policy(path)
    except GateRefusedError as error:
        said = str(error)
        said.encode()
        assert str(path) in said
        assert len(said) < LONGEST_MESSAGE
        return said
    assert isinstance(policy, Policy)
    return policy


@given(st.binary(max_size=200))
def test_any_bytes(path: Path, data: bytes) -> None:
    outcome(path, data)


@given(st.lists(st.sampled_from(YAML_PIECES), max_size=20).map("".join))
@example("? [a]\n: b")
@example("? {a: b}\n: c")
@example("<<: x")
@example("staging: 2001-99-99")
@example("journal: {free_space_mb: " + "9" * 5000 + "}")
def test_any_arrangement_of_the_pieces_of_yaml(path: Path, text: str) -> None:
    outcome(path, text.encode())


@given(trees)
def test_any_json(path: Path, tree: object) -> None:
    outcome(path, json.dumps(tree, ensure_ascii=False).encode("utf-8", "surrogatepass"))


@given(objects, st.sampled_from(sorted(VALID)))
def test_any_object_from_python(data: object, key: str) -> None:
    for document in (data, {key: data}, {**VALID, key: data}):
        try:
            assert isinstance(Policy.from_mapping(document, "here"), Policy)
        except GateRefusedError as error:
            said = str(error)
        else:
            continue
        assert said.startswith("here")
        said.encode()


@given(st.data())
def test_a_valid_policy_with_one_place_changed(path: Path, data: st.DataObject) -> None:
    document = changed(data, copy.deepcopy(VALID))
    outcome(path, json.dumps(document, ensure_ascii=False).encode("utf-8", "surrogatepass"))


@pytest.mark.parametrize("text", ["a: !!bool x", "a: !!int ''", "a: !!timestamp x", "*a"])
def test_a_value_that_is_none_of_its_tag_is_refused(path: Path, text: str) -> None:
    outcome(path, text.encode())


def test_a_refusal_of_escaped_surrogates_can_be_printed(path: Path) -> None:
    outcome(path, b'{"\\ud800": null}')


def test_the_valid_one_is_valid(path: Path) -> None:
    assert isinstance(outcome(path, json.dumps(VALID).encode()), Policy)
