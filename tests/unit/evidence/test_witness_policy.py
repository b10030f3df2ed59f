"""The policy: read to the letter of tlog-policy, and held against checkpoints."""

from __future__ import annotations

from contextlib import suppress
from itertools import combinations
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hearth.errors import EvidenceError
from hearth.evidence import COSIGNATURE, Checkpoint, Note, NoteKey, PolicyGroup, PolicyWitness, WitnessPolicy
from hearth.signing import SigningKey
from tests.witnesses import LOG, LOG_KEY, ORIGIN

if TYPE_CHECKING:
    from collections.abc import Iterable

SIGNERS = [SigningKey.generate() for _ in range(6)]
KEYS = [NoteKey(f"w.example/{number}", one.public, COSIGNATURE) for number, one in enumerate(SIGNERS)]
NAMES = ("X1", "X2", "X3", "Y1", "Y2", "Y3")
CHECKPOINT = Checkpoint(ORIGIN, 5, bytes(32))
# The example of the specification.
EXAMPLE = f"""
log {LOG_KEY}

witness X1 {KEYS[0]}
witness X2 {KEYS[1]}
witness X3 {KEYS[2]}
group X-witnesses 2 X1 X2 X3

witness Y1 {KEYS[3]}
witness Y2 {KEYS[4]}
witness Y3 {KEYS[5]}
group Y-witnesses any Y1 Y2 Y3

group X-and-Y all X-witnesses Y-witnesses
quorum X-and-Y
""".encode()


def note(who: Iterable[int], log: SigningKey = LOG, checkpoint: Checkpoint = CHECKPOINT) -> Note:
    made = Note(checkpoint.text()).signed(checkpoint.origin, log)
    for one in who:
        made = made.cosigned(KEYS[one].name, SIGNERS[one], 1_700_000_000)
    return made


def holds(policy: WitnessPolicy, made: Note) -> bool:
    try:
        return policy.check(made) == CHECKPOINT
    except EvidenceError:
        return False


def test_the_example_of_the_specification() -> None:
    policy = WitnessPolicy.parse(EXAMPLE)
    assert policy.logs == (LOG_KEY,)
    assert [one.name for one in policy.witnesses] == list(NAMES)
    assert policy.addresses == ()
    for number in range(7):
        for who in combinations(range(6), number):
            asked = sum(one < 3 for one in who) >= 2 and any(one >= 3 for one in who)
            assert holds(policy, note(who)) == asked


def test_what_is_missing_is_said() -> None:
    policy = WitnessPolicy.parse(EXAMPLE)
    with pytest.raises(EvidenceError) as error:
        policy.check(note([0, 4]))
    assert str(error.value) == (
        "the checkpoint of example.com/log with 5 entries has too few cosignatures: the policy asks for X-and-Y "
        "(2 of X-witnesses, Y-witnesses), and it has X1, Y2"
    )
    with pytest.raises(EvidenceError, match="asks for X1, and it has none"):
        WitnessPolicy(witnesses=(PolicyWitness("X1", KEYS[0]),), quorum="X1").check(note([]))


def test_who_signed() -> None:
    policy = WitnessPolicy.parse(EXAMPLE)
    with pytest.raises(EvidenceError, match="no key that the policy has for the log"):
        policy.check(note([0, 1, 3], SigningKey.generate()))
    with pytest.raises(EvidenceError, match="which is not in the policy"):
        policy.check(note([0, 1, 3], checkpoint=Checkpoint("another", 5, bytes(32))))
    good = note([0, 1, 3])
    broken = good.signatures[1]
    other = Note(Checkpoint(ORIGIN, 6, bytes(32)).text()).cosigned(KEYS[2].name, SIGNERS[2], 1).signatures
    with pytest.raises(EvidenceError, match="does not verify"):
        policy.check(Note(good.text, (*good.signatures, *other)))
    twice = Note(good.text, (good.signatures[0], broken, broken, good.signatures[3]))
    assert not holds(policy, twice), "the same witness twice is one"
    as_log = note([3]).signed(KEYS[0].name, SIGNERS[0]).signed(KEYS[1].name, SIGNERS[1])
    assert not holds(policy, as_log), "a signature of another kind is no cosignature"


def test_no_witness_is_asked_for() -> None:
    policy = WitnessPolicy.parse(f"log {LOG_KEY}\nquorum none".encode())
    assert policy.check(note([])) == CHECKPOINT
    assert WitnessPolicy.parse(b"quorum none\n").check(note([], SigningKey.generate())) == CHECKPOINT
    with pytest.raises(EvidenceError, match="no key that the policy has"):
        policy.check(note([], SigningKey.generate()))


def test_any_so_many() -> None:
    for quorum in range(4):
        policy = WitnessPolicy.of(KEYS[:3], quorum, logs=[LOG_KEY])
        for number in range(4):
            assert holds(policy, note(range(number))) == (number >= quorum)
    with pytest.raises(EvidenceError, match="has 3 members, and asks for 4"):
        WitnessPolicy.of(KEYS[:3], 4)
    with pytest.raises(EvidenceError, match="would count as two"):
        WitnessPolicy.of([KEYS[0], NoteKey("other", SIGNERS[0].public, COSIGNATURE)], 2)


def test_blanks_comments_bytes_and_addresses() -> None:
    data = (
        b"# \xff\xfe a comment in no encoding\n \t# another\n\t \n"
        + f"\twitness  K {KEYS[0]}\thttps://w.example/x \nwitness \u212a {KEYS[1]}\n".encode()
        + b"witness \xc3\x28 %b\n" % str(KEYS[2]).encode()
        + f"log {LOG_KEY} https://log.example\n".encode()
        + b"group g all K \xc3\x28\nquorum g"
    )
    policy = WitnessPolicy.parse(data)
    assert [one.endpoint for one in policy.addresses] == ["https://w.example/x/add-checkpoint"]
    assert holds(policy, note([0, 2]))
    assert not holds(policy, note([0, 1])), "a Kelvin sign is no K"


W = [f"witness {name} {key}" for name, key in zip(NAMES, KEYS, strict=True)]


@pytest.mark.parametrize(
    "lines, said",
    [
        ([], "has no line `quorum NAME`"),
        ([W[0]], "has no line `quorum NAME`"),
        (["quorum X1", W[0]], "line 1 of the policy: the quorum X1 is not the name"),
        ([W[0], "quorum X1", "quorum X1"], "line 3 of the policy: there is one quorum"),
        ([W[0], "quorum none", "quorum X1"], "line 3 of the policy: there is one quorum"),
        ([W[0], "quorum x1"], "not the name"),
        ([W[0], "quorum"], "line 2 of the policy: not of the form `quorum NAME`"),
        ([W[0], "quorum X1 X1"], "not of the form"),
        ([W[0], W[0]], "stands twice"),
        ([W[0], f"witness X9 {NoteKey('else', SIGNERS[0].public, COSIGNATURE)}"], "would count as two"),
        ([W[0], f"witness X1 {KEYS[1]}"], "the name X1 is taken"),
        ([f"witness none {KEYS[1]}"], "the name none is taken already, or is none"),
        ([f"witness X1 {LOG_KEY}"], "is the key of a log"),
        ([f"witness X1 {KEYS[0]} ftp://x"], "is no address"),
        ([f"witness X1 {KEYS[0]} http://x y"], "not of the form `witness NAME VKEY"),
        (["witness X1 nonsense"], "is no verifier key"),
        (["witness X1"], "not of the form"),
        ([f"log {LOG_KEY}", f"log {LOG_KEY}"], "stands twice"),
        ([f"log {LOG_KEY}", f"log {NoteKey('else', LOG.public)}"], "stands twice"),
        ([f"log {KEYS[0]}"], "is the key of a witness"),
        (["log"], "not of the form"),
        ([W[0], "group g 2 X1"], "has 1 members, and asks for 2"),
        ([W[0], "group g 0 X1"], "neither all, any nor a number"),
        ([W[0], "group g 01 X1"], "neither all, any nor a number"),
        ([W[0], "group g ALL X1"], "neither all, any nor a number"),
        ([W[0], "group g \u0661 X1"], "neither all, any nor a number"),
        ([W[0], "group g any"], "not of the form"),
        ([W[0], "group g any X1 X1"], "can count only once"),
        ([W[0], "group g any X1", "group h any X1"], "can count only once"),
        ([W[0], "group g any g"], "is not the name of a witness or a group above"),
        ([W[0], "group g any X1 X2", W[1]], "X2 is not the name of a witness or a group above"),
        ([W[0], "group g any none"], "is not the name of a witness or a group above"),
        ([W[0], "group X1 any X1"], "the name X1 is taken"),
        (["Witness X1"], "it begins with none of log, witness, group, quorum"),
        (["quorum none\r"], "a control character"),
        (["# \x00", "quorum none"], "line 1 of the policy: it has a control character"),
        (["quorum\u00a0none"], "begins with none of"),
    ],
)
def test_what_is_no_policy(lines: list[str], said: str) -> None:
    with pytest.raises(EvidenceError) as error:
        WitnessPolicy.parse("".join(f"{line}\n" for line in lines).encode())
    assert said in str(error.value)


def test_a_policy_made_by_code_is_held_to_the_same() -> None:
    x1 = PolicyWitness("X1", KEYS[0])
    with pytest.raises(EvidenceError, match="not the name"):
        WitnessPolicy(witnesses=(x1,), quorum="X2")
    with pytest.raises(EvidenceError, match="only once"):
        WitnessPolicy(witnesses=(x1,), groups=(PolicyGroup("g", 2, ("X1", "X1")),), quorum="g")
    with pytest.raises(EvidenceError, match="is no verifier key"):
        WitnessPolicy.parse(b"log \xff+00+AA==\nquorum none\n")
    with pytest.raises(EvidenceError, match="is refused"):
        WitnessPolicy.parse(b"#" * ((1 << 20) + 1))


@given(st.lists(st.sampled_from(EXAMPLE.split(b"\n")) | st.binary(max_size=30)).map(b"\n".join))
def test_any_file_is_a_policy_or_an_error_in_words(data: bytes) -> None:
    with suppress(EvidenceError):
        assert WitnessPolicy.parse(data).quorum
