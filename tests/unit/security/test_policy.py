"""The policy: only what it lists is acted on in STAGING."""

from __future__ import annotations

import re

import pytest

from hearth.errors import GateRefusedError
from hearth.security import BoundaryState, Policy


def policy(*patterns: str) -> Policy:
    return Policy.from_mapping({"staging": {"targets": list(patterns)}}, "policy.yaml")


def test_the_default_lists_nothing_and_permits_nothing() -> None:
    for empty in (Policy(), Policy.from_mapping(None, "policy.yaml"), Policy.from_mapping({"staging": None}, "x")):
        assert empty.staging_targets == ()
        with pytest.raises(GateRefusedError):
            empty.check_staging([("step 0 (a)", "host:box:/srv")])
        empty.check_staging([])


@pytest.mark.parametrize(
    "pattern,target,listed",
    [
        ("host:box:/srv/try/*", "host:box:/srv/try/a/b", True),
        ("host:box:/srv/try/*", "host:box:/srv/other", False),
        ("host:box:/srv", "host:box:/srv/", False),
        ("http:*.test:*", "http:a.test:80", True),
        ("http:*.test:*", "http:A.TEST:80", False),
        ("http:[[]::1]:80", "http:[::1]:80", True),
    ],
)
def test_targets_match_by_glob_and_case(pattern: str, target: str, listed: bool) -> None:
    if listed:
        policy(pattern).check_staging([("step 0 (a)", target)])
    else:
        with pytest.raises(GateRefusedError):
            policy(pattern).check_staging([("step 0 (a)", target)])


def test_one_target_that_is_not_listed_refuses_all() -> None:
    with pytest.raises(
        GateRefusedError, match=re.escape("step 2 (Tell) acts on http:x:80, which policy.yaml does not list")
    ):
        policy("host:*").check_staging([("step 0 (a)", "host:b:/"), ("step 2 (Tell)", "http:x:80")])


@pytest.mark.parametrize("target", ["http:[::1]:80", 'host:box:/srv/"quoted"', "sql:sqlite:///a*b?.db"])
def test_the_line_that_the_refusal_suggests_lists_just_that_target(target: str) -> None:
    import yaml

    with pytest.raises(GateRefusedError) as caught:
        Policy().check_staging([("step 0 (a)", target)])
    (line,) = re.findall(r"add `(- .*)` under", str(caught.value))
    patterns = yaml.safe_load(line)
    policy(*patterns).check_staging([("step 0 (a)", target)])
    with pytest.raises(GateRefusedError):
        policy(*patterns).check_staging([("step 0 (a)", target.replace("[::1]", ":").replace("*", "x") + "y")])


@pytest.mark.parametrize(
    "document,what",
    [
        (
            {"stagin": {}},
            "unknown key stagin (known here: approvals, journal, notify, retention, sandbox, sensors, staging, states)",
        ),
        ({"staging": {"target": []}}, "unknown key staging.target (known here: targets)"),
        ({"staging": []}, "staging is not a mapping"),
        ([], "the policy is not a mapping"),
        ("staging", "the policy is not a mapping"),
        ({"staging": {"targets": "host:*"}}, "staging.targets is not a list of patterns"),
        ({"staging": {"targets": [1]}}, "staging.targets is not a list of patterns"),
        ({"staging": {"targets": [""]}}, "staging.targets is not a list of patterns"),
        ({3: 4}, "unknown key 3"),
        ({"approvals": {"valid_for": "361d"}}, "approvals.valid_for is longer than a year"),
        ({"approvals": {"break_glass_for": "361d"}}, "approvals.break_glass_for is longer than a year"),
    ],
)
def test_what_it_does_not_know_is_refused(document: object, what: str) -> None:
    with pytest.raises(GateRefusedError, match=re.escape(f"p.yaml: {what}")):
        Policy.from_mapping(document, "p.yaml")


def test_what_a_live_run_needs_of_the_machine() -> None:
    policy = Policy.from_mapping({"sandbox": {"require": "Full", "undeclared": "lockdown"}}, "p.yaml")
    assert (policy.sandbox_tier, policy.undeclared) == ("full", BoundaryState.LOCKDOWN)
    policy.require_tier("full")
    for tier in ("unprivileged", "fallback", "whatever"):
        with pytest.raises(GateRefusedError, match="demands the tier full"):
            policy.require_tier(tier)
    Policy().require_tier("fallback")
    for wrong in ({"require": "best"}, {"undeclared": "NOMINAL"}, {"require": 1}, {"more": 1}):
        with pytest.raises(GateRefusedError):
            Policy.from_mapping({"sandbox": wrong}, "p.yaml")
