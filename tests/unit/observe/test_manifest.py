"""Manifests: nothing is lost in JSON, the digest covers all of it, and every deviation is named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hearth.errors import RecordError
from hearth.observe import Change, Manifest, Node, NodeType, ObservedRequest, RowChanges, StepManifest, Way, deviations

FILE = Node(type=NodeType.FILE, mode=0o644, uid=0, gid=0, size=1, sha256="a" * 64, xattrs={"user.x": "b" * 64})
OTHER = replace(FILE, sha256="c" * 64)


def change(path: str, before: Node | None, after: Node | None) -> Change:
    found = Change.between(path, before, after)
    assert found is not None
    return found


STEP = StepManifest(
    index=0,
    name="Write",
    way=Way.SANDBOX,
    changes=(change("/a", None, FILE), change("/b", FILE, OTHER), change("/c\udcff", FILE, None)),
    rows=(RowChanges(database="/app.db", table="users", inserted=1, updated=2, deleted=3),),
    requests=(ObservedRequest(method="POST", url="http://h/x", body_sha256="d" * 64),),
    programs=("/bin/sh -c x",),
    connections=("tcp 10.0.0.1:80",),
    unseen=("why",),
)
WHOLE = Manifest(plan_id="p", plan_digest="e" * 64, host="h", tier="full", steps=(STEP,))


def test_a_manifest_goes_through_its_bytes() -> None:
    again = Manifest.from_bytes(WHOLE.to_bytes())
    assert again == WHOLE
    assert again.digest == WHOLE.digest
    assert again.step(0) == STEP
    assert again.step(1) is None


@pytest.mark.parametrize(
    "data", [b"{}", b"[]", b"x", b'{"schema":"hearth-manifest-v1"}', WHOLE.to_bytes().replace(b'"0644"', b'"x"')]
)
def test_what_is_no_manifest_is_refused(data: bytes) -> None:
    with pytest.raises(RecordError):
        Manifest.from_bytes(data)


def test_a_run_like_its_preview_has_no_deviation() -> None:
    touched = replace(STEP, changes=tuple(replace(one, after=_later(one.after)) for one in STEP.changes))
    assert deviations(STEP, touched) == ()


def _later(node: Node | None) -> Node | None:
    return None if node is None else replace(node, mtime_ns=7)


@pytest.mark.parametrize(
    "changed, words",
    [
        ({"changes": STEP.changes[1:]}, "/a was not created"),
        ({"changes": (*STEP.changes, change("/d", None, FILE))}, "/d was created"),
        ({"changes": (change("/a", None, OTHER), *STEP.changes[1:])}, "step: content"),
        (
            {"changes": (change("/a", None, replace(FILE, mode=0o600)), *STEP.changes[1:])},
            "step: permissions",
        ),
        (
            {"changes": (change("/a", None, replace(FILE, xattrs={})), *STEP.changes[1:])},
            "after the step: extended",
        ),
        (
            {"changes": (STEP.changes[0], change("/b", replace(FILE, mode=0o600), OTHER), STEP.changes[2])},
            "/b was not what it was in the preview before the step already: permissions",
        ),
        (
            {
                "changes": (
                    STEP.changes[0],
                    change("/b", replace(FILE, mode=0o600), replace(OTHER, mode=0o600, uid=7)),
                    STEP.changes[2],
                )
            },
            "/b was not what it was in the preview before the step already: permissions; after it also: owner",
        ),
        (
            {"changes": (STEP.changes[0], change("/b", replace(FILE, links=2), OTHER), STEP.changes[2])},
            "/b was not what it was in the preview before the step already: number of names",
        ),
        (
            {"changes": (change("/a", None, replace(FILE, links=2)), *STEP.changes[1:])},
            "/a is not what it was in the preview after the step: number of names",
        ),
        ({"rows": ()}, "the rows of users"),
        ({"requests": ()}, "was not sent"),
        ({"requests": (*STEP.requests, ObservedRequest(method="PUT", url="http://h/y"))}, "PUT http://h/y was sent"),
        ({"error": "exit code 1"}, "it failed"),
    ],
)
def test_every_deviation_is_named(changed: dict[str, Any], words: str) -> None:
    found = deviations(STEP, replace(STEP, **changed))
    assert len(found) == 1
    assert words in found[0]


def test_volatile_paths_are_compared_by_presence() -> None:
    approved = replace(STEP, changes=(change("/w/a.log", None, FILE), change("/w/x/__pycache__/m.pyc", None, FILE)))
    other = replace(STEP, changes=(change("/w/a.log", None, OTHER), change("/w/x/__pycache__/m.pyc", None, OTHER)))
    assert deviations(approved, other, volatile=["*.log"]) == ()
    assert len(deviations(approved, other)) == 1
    gone = replace(STEP, changes=approved.changes[1:])
    assert "*.log was changed in the preview alone" in deviations(approved, gone, volatile=["*.log"])[0]
    renamed = replace(STEP, changes=(change("/w/tmp.k3", None, FILE), *approved.changes))
    random = replace(STEP, changes=(change("/w/tmp.Zq", None, OTHER), *approved.changes))
    assert deviations(renamed, random, volatile=["tmp.*"], cwd=Path("/w")) == ()
    assert deviations(renamed, random, volatile=["./tmp.*"], cwd=Path("/w")) == ()


def test_actions_stand_in_a_manifest_where_there_are_any() -> None:
    """So the digests of all others are what they were."""
    quiet = StepManifest(index=0, name="s", way=Way.IN_PLACE)
    assert "actions" not in quiet.to_dict()
    loud = replace(quiet, actions=("mount /mnt",))
    assert StepManifest.from_dict(loud.to_dict()) == loud


def test_a_manifest_tells_where_relative_paths_start() -> None:
    there = replace(WHOLE, cwd="/w/\udcff")
    assert Manifest.from_bytes(there.to_bytes()) == there
    assert there.digest != WHOLE.digest
    assert b"cwd" not in WHOLE.to_bytes()
    with pytest.raises(RecordError):
        Manifest.from_bytes(replace(WHOLE, cwd="w").to_bytes())
