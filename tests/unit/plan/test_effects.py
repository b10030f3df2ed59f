from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hearth.plan import DeclaredEffect, path_matches
from hearth.record import SideEffectCategory

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.plan.conftest import Load, Refuse


@pytest.mark.parametrize(
    "pattern,path",
    [
        ("a.csv", "a.csv"),
        ("./a.csv", "a.csv"),
        ("/srv/a", "/srv/a"),
        ("*.csv", "a.csv"),
        ("*", "a"),
        ("?.csv", "a.csv"),
        ("a*c*e", "abcde"),
        ("*a", "aaaa"),
        ("[ab].csv", "b.csv"),
        ("[a-c].csv", "b.csv"),
        ("[!a-c].csv", "d.csv"),
        ("[]x]", "]"),
        ("[a-]", "-"),
        ("[", "["),
        ("[ab", "[ab"),
        ("a/*/c", "a/b/c"),
        ("a/**/c", "a/c"),
        ("a/**/c", "a/b/d/c"),
        ("**", "a/b"),
        ("**/*.log", "x.log"),
        ("**/*.log", "a/b/x.log"),
        ("a/**", "a"),
        ("a/**", "a/b/c"),
        ("a/", "a/b"),
        ("a/", "a/b/c"),
        ("a/*/", "a/b/c"),
        ("a//b", "a/b"),
        ("a/../b", "b"),
    ],
)
def test_patterns_that_cover_a_path(pattern: str, path: str) -> None:
    assert path_matches(pattern, path)


@pytest.mark.parametrize(
    "pattern,path",
    [
        ("a.csv", "b.csv"),
        ("a.csv", "A.csv"),
        ("a.csv", "d/a.csv"),
        ("*.csv", "d/a.csv"),
        ("*", "a/b"),
        ("?", "ab"),
        ("?", "/"),
        ("[ab]", "c"),
        ("[!ab]", "a"),
        ("[a-c]", "-"),
        ("a", "a/b"),
        ("a/", "a"),
        ("a/b", "a"),
        ("a/*", "a"),
        ("a/**/c", "a/b"),
        ("a.c", "abc"),
        ("**/x", "y"),
    ],
)
def test_patterns_that_do_not_cover_a_path(pattern: str, path: str) -> None:
    assert not path_matches(pattern, path)


def test_a_hostile_pattern_takes_no_time() -> None:
    assert not path_matches("*a" * 2000 + "b", "a" * 4000)
    assert not path_matches("**/a/" * 500 + "b", "a/" * 500 + "c")


def test_an_effect_is_json() -> None:
    effect = DeclaredEffect(SideEffectCategory.DATA_MUTATION, "users", reversible=False)
    assert effect.to_dict() == {
        "category": "data_mutation",
        "pattern": "users",
        "reversible": False,
        "must": False,
    }


@pytest.mark.parametrize("category", list(SideEffectCategory))
def test_every_category_can_be_declared_by_its_lower_case_name(load: Load, category: SideEffectCategory) -> None:
    plan = load(f"plan: p\nsteps:\n  - {{name: a, call: 1, effects: [{{{category.value}: x, reversible: true}}]}}\n")
    assert plan.steps[0].effects == (DeclaredEffect(category, "x", reversible=True),)


PLAN = """\
plan: p
cwd: {cwd}
inputs: [in/users.csv, top.sql]
steps:
  - name: a
    call: 1
    effects:
      - {{{category}: "{pattern}"}}
"""


@pytest.fixture(autouse=True)
def _inputs(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "users.csv").write_text("a\n")
    (tmp_path / "top.sql").write_text("SELECT 1\n")


@pytest.mark.parametrize("category", ["file_system", "configuration"])
@pytest.mark.parametrize(
    "cwd,pattern,name",
    [
        (".", "in/users.csv", "in/users.csv"),
        (".", "./in/../in/users.csv", "in/users.csv"),
        (".", "in/*.csv", "in/users.csv"),
        (".", "**/users.csv", "in/users.csv"),
        (".", "in", "in/users.csv"),
        (".", "in/", "in/users.csv"),
        (".", "*.sql", "top.sql"),
        (".", "plan.yaml", "plan.yaml"),
        (".", "*.yaml", "plan.yaml"),
        (".", ".", ""),
        (".", "/", ""),
        (".", "..", ""),
        (".", "**", ""),
        ("in", "users.csv", "in/users.csv"),
        ("in", "../plan.yaml", "plan.yaml"),
        ("work", "../in/*", "in/users.csv"),
    ],
)
def test_a_plan_that_would_touch_what_it_runs_from_is_refused(
    refuse: Refuse, category: str, cwd: str, pattern: str, name: str
) -> None:
    problems = refuse(PLAN.format(cwd=cwd, pattern=pattern, category=category))
    assert len(problems) == 1
    assert problems[0].startswith(f'plan.yaml:8: steps[0].effects[0]: declares an effect on "{name}')


@pytest.mark.parametrize(
    "cwd,pattern",
    [
        (".", "out/users.csv"),
        (".", "users.csv"),
        (".", "in/*.db"),
        (".", "*.csv"),
        ("work", "in/users.csv"),
        (".", "i"),
    ],
)
def test_a_plan_may_touch_everything_else(load: Load, cwd: str, pattern: str) -> None:
    assert load(PLAN.format(cwd=cwd, pattern=pattern, category="file_system")).steps[0].effects[0].pattern == pattern


def test_an_effect_that_is_no_path_touches_no_input(load: Load) -> None:
    assert load(PLAN.format(cwd=".", pattern="in/users.csv", category="network")).id == "p"


@pytest.mark.parametrize("category, pattern", [("data_mutation", "top.sql"), ("system", "./in/*")])
def test_a_path_of_another_category_is_a_path_too(refuse: Refuse, category: str, pattern: str) -> None:
    assert refuse(PLAN.format(cwd=".", pattern=pattern, category=category))


@pytest.mark.parametrize("folder", ["*", "a[1]", "a?"])
@pytest.mark.parametrize("pattern", ["../in/*.csv", "*.csv"])
def test_wildcards_in_the_name_of_the_plans_folder_hide_nothing_and_find_nothing(
    load: Load, refuse: Refuse, tmp_path: Path, folder: str, pattern: str
) -> None:
    (tmp_path / folder).mkdir()
    text = PLAN.format(cwd=f'"{folder}"', pattern=pattern, category="file_system")
    if pattern == "*.csv":
        load(text)
        (tmp_path / folder / "users.csv").write_text("a\n")
        text = text.replace("in/users.csv", f'"{folder}/users.csv"')
    assert refuse(text)


def test_an_absolute_pattern_and_a_linked_folder_hide_nothing(refuse: Refuse, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("in")
    for pattern in (f"{tmp_path}/top.sql", f"{tmp_path}/*.sql"):
        assert refuse(PLAN.format(cwd=".", pattern=pattern, category="file_system"))
    assert refuse(PLAN.format(cwd="link", pattern="users.csv", category="file_system"))
