"""Volatile paths: their content and the names of new ones may differ from the preview, and nothing else of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hearth.observe import Change, Node, NodeType, StepManifest, Way, deviations

CWD = Path("/w")
LOG = Node(type=NodeType.FILE, mode=0o644, uid=0, gid=0, size=1, sha256="a" * 64)
OTHER = replace(LOG, size=9, sha256="c" * 64)
FOLDER = Node(type=NodeType.DIRECTORY, mode=0o755, uid=0, gid=0)
LINK = Node(type=NodeType.SYMLINK, mode=0o777, uid=0, gid=0, target="x")


def step(*changes: tuple[str, Node | None, Node | None]) -> StepManifest:
    found = tuple(Change.between(*one) for one in changes)
    return StepManifest(index=0, name="s", way=Way.SANDBOX, changes=tuple(one for one in found if one is not None))


def differ(approved: StepManifest, seen: StepManifest, *patterns: str, cwd: Path = CWD) -> tuple[str, ...]:
    return deviations(approved, seen, volatile=patterns or ("*.log",), cwd=cwd)


@pytest.mark.parametrize(
    "approved, seen",
    [
        (step(("/w/x.log", None, LOG)), step(("/w/x.log", None, OTHER))),
        (step(("/w/x.log", None, LOG)), step(("/w/y.log", None, OTHER))),
        (step(("/w/x.log", LOG, OTHER)), step(("/w/x.log", OTHER, LOG))),
        (step(("/w/x.log", LOG, OTHER)), step(("/w/x.log", replace(LOG, mtime_ns=1), replace(LOG, mtime_ns=2)))),
        (step(("/w/x.log", LOG, None)), step(("/w/x.log", OTHER, None))),
        (step(("/w/l.log", None, LINK)), step(("/w/m.log", None, LINK))),
        (step(("/w/a.log", None, LOG), ("/w/b.log", None, LOG)), step(("/w/c.log", None, LOG))),
    ],
    ids=["content", "name", "written", "touched", "deleted", "link", "fewer"],
)
def test_content_and_new_names_may_differ(approved: StepManifest, seen: StepManifest) -> None:
    assert differ(approved, seen) == ()


NEW, WRITTEN = step(("/w/x.log", None, LOG)), step(("/w/x.log", LOG, OTHER))


@pytest.mark.parametrize(
    "approved, seen, words",
    [
        (NEW, step(("/w/x.log", None, LOG), ("/w/deep/auth.log", LOG, None)), "/w/deep/auth.log was deleted"),
        (NEW, step(("/w/x.log", None, LOG), ("/w/y.log", None, LOG)), "/w/y.log was created"),
        (NEW, step(("/w/deep/x.log", None, LOG)), "/w/deep/x.log was created"),
        (NEW, step(("/w/x.log", None, replace(LOG, mode=0o666))), "/w/x.log was created"),
        (NEW, step(("/w/x.log", None, replace(LOG, uid=7))), "/w/x.log was created"),
        (NEW, step(("/w/x.log", None, replace(LOG, xattrs={"user.x": "b" * 64}))), "/w/x.log was created"),
        (NEW, step(("/w/x.log", None, FOLDER)), "/w/x.log was created"),
        (NEW, step(("/w/x.log", LOG, OTHER)), "/w/x.log was modified"),
        (WRITTEN, step(("/w/x.log", LOG, None)), "/w/x.log was deleted"),
        (WRITTEN, step(("/w/x.log", LOG, LINK)), "/w/x.log was replaced"),
        (WRITTEN, step(("/w/x.log", LOG, replace(OTHER, mode=0o600))), "after the step: permissions"),
        (WRITTEN, step(("/w/x.log", LOG, replace(LOG, mode=0o600))), "after the step: permissions"),
        (WRITTEN, step(("/w/x.log", LOG, replace(OTHER, gid=7))), "after the step: group"),
        (
            WRITTEN,
            step(("/w/x.log", replace(LOG, mode=0o600), replace(OTHER, mode=0o644))),
            "before the step already: permissions",
        ),
        (WRITTEN, step(("/w/y.log", LOG, OTHER)), "/w/y.log was modified"),
        (step(("/w/l.log", LINK, replace(LINK, target="y"))), step(("/w/l.log", LINK, replace(LINK, target="z"))), ""),
    ],
)
def test_everything_else_of_it_is_held(approved: StepManifest, seen: StepManifest, words: str) -> None:
    assert words in "; ".join(differ(approved, seen))
    assert differ(approved, seen)


@pytest.mark.parametrize(
    "node",
    [
        replace(LOG, mode=0o4755),
        replace(LOG, mode=0o2755),
        replace(LOG, xattrs={"security.capability": "b" * 64}),
        replace(LOG, links=2),
        replace(LINK, target="/etc/shadow"),
        replace(LINK, target="a/../../etc/shadow"),
        Node(type=NodeType.BLOCK, mode=0o644, uid=0, gid=0, device=(8, 0)),
        Node(type=NodeType.CHARACTER, mode=0o644, uid=0, gid=0, device=(1, 3)),
    ],
)
def test_what_may_give_rights_is_never_volatile(node: Node) -> None:
    approved, seen = step(("/w/x.log", None, node)), step(("/w/y.log", None, node))
    assert differ(approved, approved) == ()
    assert len(differ(approved, seen)) == 2
    became = step(("/w/x.log", LOG, node))
    assert differ(became, became) == ()
    if node.type is NodeType.FILE:
        assert differ(became, step(("/w/x.log", LOG, replace(node, sha256="d" * 64)))) != ()


def test_a_new_folder_with_a_random_name_has_its_counterpart_with_all_that_is_in_it() -> None:
    def made(name: str, **more: Any) -> StepManifest:
        inner = replace(LOG, **more)
        return step(
            (f"/w/tmp.{name}", None, FOLDER), (f"/w/tmp.{name}/in", None, FOLDER), (f"/w/tmp.{name}/in/f", None, inner)
        )

    assert differ(made("a"), made("b"), "tmp.*/") != ()  # the folder itself does not match that
    assert differ(made("a"), made("b", sha256="e" * 64), "tmp.*", "tmp.*/**") == ()
    assert len(differ(made("a"), made("b", mode=0o666), "tmp.*", "tmp.*/**")) == 1
    moved = step(("/w/tmp.b", None, FOLDER), ("/w/tmp.b/in", None, FOLDER), ("/w/tmp.b/f", None, LOG))
    assert differ(made("a"), moved, "tmp.*", "tmp.*/**") == (
        "/w/tmp.b/f was created, and the preview showed nothing of its kind there",
    )


def test_a_folder_that_came_meanwhile_does_not_matter_to_what_is_made_in_it() -> None:
    file = ("/w/__pycache__/m.pyc", None, LOG)
    assert differ(step(("/w/__pycache__", None, FOLDER), file), step(file)) == ()


def test_a_very_deep_tree_is_compared() -> None:
    names = ["/w/__pycache__" + "/d" * depth for depth in range(1000)]
    deep = step(*((name, None, FOLDER) for name in names))
    assert differ(deep, deep) == ()


@pytest.mark.parametrize("pattern", ["./x.*", "sub/../x.*"])
@pytest.mark.parametrize("folder", ["*", "a[1]", "?"])
def test_wildcards_in_the_name_of_the_plans_folder_are_none(folder: str, pattern: str) -> None:
    cwd = Path("/srv") / folder
    within = step((f"{cwd}/x.log", None, LOG)), step((f"{cwd}/x.log", None, OTHER))
    assert differ(*within, pattern, cwd=cwd) == ()
    for name in ("b", "a1"):
        beside = step((f"/srv/{name}/x.log", None, LOG)), step((f"/srv/{name}/x.log", None, OTHER))
        assert differ(*beside, pattern, cwd=cwd) != ()
