"""Random histories of a log's keys: a checkpoint counts exactly where a simple model says so."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from hearth.errors import EquivocationError, EvidenceError
from hearth.evidence import Checkpoint, KeyHistory, Note, NoteKey
from hearth.evidence._merkle import EMPTY_ROOT
from hearth.signing import SigningKey

ORIGIN = "example.com/log"
SIZES = range(24)
KEYS = [SigningKey.generate() for _ in range(6)]
NAMED = [NoteKey(ORIGIN, one.public) for one in KEYS]
CHECKPOINTS = {
    (number, size): Note(Checkpoint(ORIGIN, size, bytes(32) if size else EMPTY_ROOT).text()).signed(ORIGIN, key)
    for number, key in enumerate(KEYS)
    for size in SIZES
}


@dataclass
class Model:
    """For each key of the history, in order, the sizes that it signs."""

    order: list[int] = field(default_factory=lambda: [0])
    counts: dict[int, set[int]] = field(default_factory=lambda: {0: set(SIZES)})
    interval: dict[int, set[int]] = field(default_factory=lambda: {0: set(SIZES)})
    revoked: dict[int, int] = field(default_factory=dict)

    def rotates(self, old: int, new: int, size: int) -> bool:
        if old != self.order[-1] or old in self.revoked or new in self.order or size <= min(self.interval[old]):
            return False
        for sizes in (self.counts[old], self.interval[old]):
            sizes.difference_update(range(size, len(SIZES)))
        self.order.append(new)
        self.counts[new] = set(range(size, len(SIZES)))
        self.interval[new] = set(self.counts[new])
        return True

    def revokes(self, key: int, size: int, by: int) -> bool:
        if key not in self.order or by not in self.order[self.order.index(key) :] or by in self.revoked:
            return False
        if size not in self.interval[key] or size >= self.revoked.get(key, len(SIZES)):
            return False
        self.revoked[key] = size
        self.counts[key].difference_update(range(size, len(SIZES)))
        return True


KEY = st.integers(0, len(KEYS) - 1)
SIZE = st.integers(0, len(SIZES) - 2)
STEP = st.tuples(st.sampled_from(["rotate", "rotate", "revoke"]), KEY, KEY, SIZE)


@settings(max_examples=60, deadline=None)
@given(st.lists(STEP, max_size=14), st.booleans())
def test_a_checkpoint_counts_where_the_model_says_so(steps: list[tuple[str, int, int, int]], forward: bool) -> None:
    history, model = KeyHistory(NAMED[0]), Model()
    for what, one, other, at in steps:
        # Half of the time from the key that signs now to a new one: else most histories would stay short.
        old = model.order[-1] if forward else one
        size = max(at, min(model.interval[old], default=0) + 1) if forward and old in model.interval else at
        size = min(size, len(SIZES) - 2)
        before = history
        try:
            if what == "rotate":
                history = history.rotated(KEYS[old], KEYS[other], size)
            else:
                history = history.revoked(NAMED[one], at, KEYS[other])
            done = True
        except EvidenceError as error:
            done = False
            said = error
        expected = model.rotates(old, other, size) if what == "rotate" else model.revokes(one, at, other)
        assert done == expected
        if done:
            history.require_continues(before)
        elif isinstance(said, EquivocationError):
            assert what == "rotate"
            assert said.notes[0] in [note.to_bytes() for note in before.statements]
            assert Note.parse(said.notes[1]).verified_by([NAMED[old]]) == (NAMED[old],)
    assert history.keys == tuple(NAMED[one] for one in model.order)
    assert KeyHistory.parse(history.to_bytes(), NAMED[0]) == history
    for size in SIZES:
        assert history.valid_at(size) == tuple(NAMED[one] for one in model.order if size in model.counts[one])
        for number in range(len(KEYS)):
            try:
                counts = history.check(CHECKPOINTS[number, size]).size == size
            except EvidenceError:
                counts = False
            assert counts == (size in model.counts.get(number, ()))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_no_changed_byte_of_a_file_goes_unseen(data: st.DataObject) -> None:
    whole = FILE.to_bytes()
    place = data.draw(st.integers(0, len(whole) - 1))
    value = data.draw(st.integers(0, 255).filter(lambda one: one != whole[place]))
    changed = whole[:place] + bytes([value]) + whole[place + 1 :]
    try:
        history = KeyHistory.parse(changed, NAMED[0])
    except EvidenceError:
        return
    raise AssertionError(history)


FILE = KeyHistory(NAMED[0]).rotated(KEYS[0], KEYS[1], 5).rotated(KEYS[1], KEYS[2], 9).revoked(NAMED[1], 7, KEYS[2])
