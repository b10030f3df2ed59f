"""Which approval lets a run go on: each thing that may stand against it, alone, with its own code and words."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from hearth.errors import ApprovalRefusedError, SigningError
from hearth.plan import ApprovalDecision, ApprovalRequest, Circumstances, grant
from hearth.record import canonical_bytes
from hearth.security import ApprovalPolicy, BoundaryState, LiveMode, Posture, SecurityState, TrustedKey
from hearth.signing import Envelope, SigningKey

if TYPE_CHECKING:
    from hearth.plan import Grant

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
KEYS = {name: SigningKey.generate() for name in ("ann", "bob", "eve", "fire", "bot")}
ROLES = {"ann": ("approver", "operator"), "bob": ("approver",), "fire": ("emergency",), "bot": ("requester",)}
STRANGER = SigningKey.generate()


def policy(**more: Any) -> ApprovalPolicy:
    keys = {name: TrustedKey(name, str(KEYS[name].public), roles) for name, roles in ROLES.items()}
    return ApprovalPolicy(keys=keys, **more)


def asked(**more: Any) -> ApprovalRequest:
    return ApprovalRequest(
        **{
            "request_id": "r1",
            "ledger_id": "L",
            "plan_id": "tidy",
            "plan_digest": "a" * 64,
            "preview_digest": None,
            "mode": LiveMode.LIVE,
            "hosts": ("box",),
            "not_before": NOW - timedelta(hours=1),
            "expires": NOW + timedelta(hours=1),
            "worst_posture": Posture(),
            "reason": "why",
            "created": NOW - timedelta(hours=1),
            "requester": "bot",
            "plan_copy": "b" * 64,
            "emergency": False,
            **more,
        }
    )


def word(
    request: ApprovalRequest, who: str, verdict: str = "approve", *, key: SigningKey | None = None, **more: Any
) -> Envelope:
    decision = ApprovalDecision.on(request, approver=who, verdict=verdict, reason="because", now=NOW)
    return replace(decision, **more).sign(key or KEYS[who])


def decide(
    request: ApprovalRequest, *words: Envelope, rules: ApprovalPolicy | None = None, signer: str = "bot", **here: Any
) -> Grant:
    circumstances = Circumstances(
        **{
            "ledger_id": "L",
            "plan_digest": "a" * 64,
            "preview_digest": None,
            "mode": LiveMode.LIVE,
            "host": "box",
            "posture": Posture(),
            "now": NOW,
            **here,
        }
    )
    return grant(request.sign(KEYS[signer]), words, policy=rules or policy(), circumstances=circumstances)


def refused(code: str, request: ApprovalRequest, *words: Envelope, **more: Any) -> str:
    with pytest.raises(ApprovalRefusedError) as caught:
        decide(request, *words, **more)
    assert caught.value.code == code, caught.value
    return str(caught.value)


def test_an_approval_that_holds() -> None:
    found = decide(asked(), word(asked(), "ann"))
    assert found.approvers == ("ann",)
    assert found.to_dict()["kind"] == "approval"
    assert found.to_dict()["request_id"] == "r1"


def test_each_refusal_has_its_own_code_and_words() -> None:
    request = asked()
    yes = word(request, "ann")
    said = {
        refused("waiting", request),
        refused("denied", request, yes, word(request, "bob", "deny")),
        refused("expired", request, yes, now=request.expires),
        refused("not_yet", request, yes, now=request.not_before - timedelta(seconds=1)),
        refused("host", request, yes, host="other"),
        refused("posture", request, yes, posture=Posture(SecurityState.DEGRADED)),
        refused("plan", request, yes, plan_digest="c" * 64),
        refused("ledger", request, yes, ledger_id="M"),
        refused("mode", request, yes, mode=LiveMode.STAGING),
        refused("preview", request, yes, preview_digest="d" * 64),
        refused("preview", request, yes, rules=policy(require_preview=True)),
        refused("untrusted", request, yes, signer="eve"),
    }
    assert len(said) == 12, "no two say the same"


def test_a_quorum_counts_different_keys() -> None:
    request, two = asked(), policy(quorum=2)
    refused("waiting", request, word(request, "ann"), rules=two)
    refused("waiting", request, word(request, "ann"), word(request, "ann"), rules=two)
    assert decide(request, word(request, "ann"), word(request, "bob"), rules=two).approvers == ("ann", "bob")


@pytest.mark.parametrize("who", ["fire", "bot"])
def test_a_key_without_the_role_approves_nothing(who: str) -> None:
    refused("untrusted", asked(), word(asked(), who))


def test_a_key_that_nobody_trusts_approves_and_denies_nothing() -> None:
    request = asked()
    refused("untrusted", request, word(request, "ann", key=STRANGER))
    assert decide(request, word(request, "ann"), word(request, "bob", "deny", key=STRANGER))


def test_ones_own_approval_counts_only_where_the_policy_says_so() -> None:
    request = asked(requester="ann")
    assert "own does not count" in refused("waiting", request, word(request, "ann"), signer="ann")
    assert decide(request, word(request, "ann"), signer="ann", rules=policy(self_approval=True))
    assert decide(request, word(request, "ann"), word(request, "bob"), signer="ann").approvers == ("bob",)


def test_a_name_in_the_request_is_not_believed() -> None:
    """Whoever calls themselves by another name is still who signed."""
    request = asked(requester="somebody else")
    refused("waiting", request, word(request, "ann"), signer="ann")


def test_a_decision_belongs_to_one_request_word_for_word() -> None:
    yes = word(asked(), "ann")
    for changed in (
        asked(request_id="r2"),
        asked(emergency=True),
        asked(hosts=("box", "db")),
        asked(expires=NOW + timedelta(hours=2)),
        asked(reason="another"),
        asked(worst_posture=Posture(SecurityState.COMPROMISED)),
        asked(plan_copy="e" * 64),
    ):
        refused("untrusted", changed, yes, rules=policy(self_approval=True, break_glass_for=86400.0))


def test_the_narrowest_of_all_words_counts() -> None:
    request = asked(hosts=("*",), worst_posture=Posture(SecurityState.DEGRADED, BoundaryState.ELEVATED))
    one = word(request, "ann", hosts=("box", "db"), expires=NOW + timedelta(minutes=5))
    two = word(
        request, "bob", hosts=("box", "web"), worst_posture=Posture(SecurityState.OPERATIONAL, BoundaryState.ELEVATED)
    )
    found = decide(request, one, two, rules=policy(quorum=2))
    assert found.hosts == {"box"}
    assert found.expires == NOW + timedelta(minutes=5)
    assert found.worst_security == Posture(SecurityState.OPERATIONAL, BoundaryState.ELEVATED)
    refused("host", request, one, word(request, "bob", hosts=("web",)), rules=policy(quorum=2))


def test_the_policys_longest_time_binds_whatever_was_signed() -> None:
    request = asked(expires=NOW + timedelta(days=300))
    refused("expired", request, word(request, "ann"), rules=policy(valid_for=60.0))


def test_what_no_further_approval_could_mend_is_said_before_that_some_are_wanting() -> None:
    request, two = asked(), policy(quorum=2)
    late = request.expires
    assert "expired" in refused("expired", request, now=late)
    refused("expired", request, word(request, "ann"), rules=two, now=late)
    refused("expired", request, word(request, "ann", key=STRANGER), now=late)
    refused("expired", asked(expires=NOW + timedelta(days=9)), rules=policy(valid_for=60.0))
    refused("denied", request, word(request, "ann", "deny"), now=late)
    refused("waiting", asked(not_before=NOW + timedelta(minutes=1)))


def test_a_request_from_the_future_stretches_nothing() -> None:
    """Else its date would add to the policy's `valid_for`, for it counts from there."""
    for ahead, holds in ((timedelta(minutes=4), True), (timedelta(minutes=6), False), (timedelta(days=300), False)):
        request = asked(created=NOW + ahead, expires=NOW + timedelta(days=301))
        if holds:
            assert decide(request, word(request, "ann"))
        else:
            assert "set the clock" in refused("not_yet", request, word(request, "ann"))


def test_a_request_of_the_last_day_there_is_is_one_of_the_future() -> None:
    last = datetime.max.replace(tzinfo=UTC)
    for emergency in (False, True):
        request = asked(created=last, not_before=last, expires=last, emergency=emergency)
        assert "set the clock" in refused("not_yet", request, word(request, "ann"))


def test_an_approval_that_counts_for_nothing_is_told_from_one_that_is_awaited() -> None:
    request, two = asked(), policy(quorum=2)
    forged = word(request, "bob", key=STRANGER)
    assert "no key that the policy trusts" in refused("untrusted", request, word(request, "ann"), forged, rules=two)
    refused("waiting", request, word(request, "ann"), rules=two)
    refused("waiting", request, word(request, "bob", "deny", key=STRANGER))
    assert decide(request, word(request, "ann"), forged)


def test_an_emergency_needs_its_own_role_and_no_quorum() -> None:
    request = asked(emergency=True, created=NOW - timedelta(minutes=30))
    refused("untrusted", request, word(request, "ann"), rules=policy(quorum=2))
    found = decide(request, word(request, "fire"), signer="fire", rules=policy(quorum=2))
    assert found.to_dict()["kind"] == "emergency"
    refused("denied", request, word(request, "fire"), word(request, "ann", "deny"), signer="fire")
    refused("expired", request, word(request, "fire"), signer="fire", now=NOW + timedelta(minutes=30))


def test_any_host() -> None:
    request = asked(hosts=("*",))
    assert decide(request, word(request, "ann"), host="anywhere")


@pytest.mark.parametrize(
    "change",
    [
        {"hosts": []}, {"hosts": "box"}, {"hosts": [1]}, {"mode": "live"}, {"mode": None}, {"emergency": 1},
        {"plan_digest": "x"}, {"plan_digest": "A" * 64}, {"expires": "tomorrow"}, {"expires": 1}, {"worst_posture": {}},
        {"reason": "x" * 10_001}, {"worst_posture": {"security": "FINE", "boundary": "NOMINAL"}}, {"requester": " "},
        {"more": 1}, {"request_id": None},
    ],
)  # fmt: skip
def test_a_malformed_request_is_refused(change: dict[str, Any]) -> None:
    payload = canonical_bytes({**asked().to_dict(), **change})
    with pytest.raises(SigningError):
        ApprovalRequest.read(Envelope.sign(payload, "application/vnd.hearth.approval-request.v1+json", KEYS["bot"]))


def test_round_trip_and_no_confusion_of_types() -> None:
    request = asked()
    assert ApprovalRequest.read(request.sign(KEYS["bot"])) == request
    decision = ApprovalDecision.on(request, approver="ann", verdict="deny", reason="", now=NOW)
    assert ApprovalDecision.read(decision.sign(KEYS["ann"])) == decision
    with pytest.raises(SigningError):
        ApprovalDecision.read(request.sign(KEYS["bot"]))
    with pytest.raises(SigningError):
        ApprovalRequest.read(decision.sign(KEYS["ann"]))
