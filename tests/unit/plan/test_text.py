from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from hearth.plan import parse_plan, plan_text, yaml_text

if TYPE_CHECKING:
    from pathlib import Path

DOCUMENT = """\
plan: import
description: Import the users
variables:
  db: app.db
env:
  LANG: C
concurrency: 2
steps:
- name: Back up
  shell: |-
    set -e
    cp app.db backup.db
  effects:
  - file_system: backup.db
  rollback:
    description: Remove it
    actions:
    - rm backup.db
  undo:
    file:
      delete: backup.db
  timeout: 30s
"""


def test_a_plan_reads_as_one_writes_it_whatever_its_order() -> None:
    sorted_again = json.loads(json.dumps(yaml.safe_load(DOCUMENT), sort_keys=True))
    sorted_again["variables"] = {"db": "app.db"}
    text = plan_text(sorted_again)
    assert yaml.safe_load(text) == yaml.safe_load(DOCUMENT)
    order = [line for line in text.splitlines() if not line.startswith("  -")]
    assert order == [line for line in DOCUMENT.splitlines() if not line.startswith("  -")]


def test_what_is_not_known_is_shown_too() -> None:
    assert plan_text({"odd": 1, "steps": [{"new": 2, "undo": 3, "name": "a"}, 4], "plan": "p"}) == (
        "plan: p\nodd: 1\nsteps:\n- name: a\n  new: 2\n  undo: 3\n- 4\n"
    )


def test_shared_parts_are_written_out() -> None:
    shared = ["a"]
    assert yaml_text({"one": shared, "two": shared}) == "one:\n- a\ntwo:\n- a\n"


@pytest.mark.parametrize("text", ["a\x1b[2Jb\n", "a\u202eb", "x \n y", "\n", " a\n b", "---\na", "# a\n", "a\r\nb"])
def test_nothing_acts_on_the_terminal_and_all_is_read_again(text: str) -> None:
    shown = yaml_text({"script": text})
    assert "\x1b" not in shown
    assert yaml.safe_load(shown) == {"script": text}


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_what_is_shown_is_what_is_there(value: object) -> None:
    assert yaml.safe_load(yaml_text(value)) == value


def test_a_plan_that_was_loaded_is_shown_whole(tmp_path: Path) -> None:
    document = yaml.safe_load(DOCUMENT)
    plan = parse_plan(document, folder=tmp_path)
    assert parse_plan(yaml.safe_load(plan_text(plan.document)), folder=tmp_path).digest == plan.digest
