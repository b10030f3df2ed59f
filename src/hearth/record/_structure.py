"""Whether a JSON document has the form of an execution record; not yet whether it is true.

Everything here is about form: keys, types, known words. A difference between two statements is for the verifier.
"""

from __future__ import annotations

import reprlib
from base64 import b64decode
from typing import TYPE_CHECKING, Any, NoReturn

from hearth.errors import RecordError
from hearth.record._entry import SCHEMA
from hearth.record._enums import ExecutionStatus, Origin, SideEffectCategory, StepEventType
from hearth.record._erasure import Erasure
from hearth.record._redact import Disclosure
from hearth.record._time import parse_time

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["EntryForms", "check_entry", "check_snapshot", "check_structure"]

_RECORD = frozenset(
    ("schema", "execution_id", "plan_id", "live_mode_state", "status", "security_snapshot_pre",
     "security_snapshot_post", "timestamp_start", "timestamp_end", "completion_reason", "step_events",
     "side_effects_report", "marks", "execution_hash", "signatures")
)  # fmt: skip
_REPORT = frozenset(("side_effects_declared", "side_effects_observed", "unknown_effects", "unknown_effects_why"))
_SNAPSHOT = frozenset(("timestamp", "security_state", "boundary_state", "context"))
_BASE = frozenset(
    ("execution_id", "sequence", "previous_event_hash", "timestamp", "event_type", "step_index", "step_name",
     "error_message", "details", "event_hash")
)  # fmt: skip
_TIMED = _BASE | {"elapsed_us"}
_EFFECT = _BASE | {"category", "description", "reversible", "origin"}
_DECLARING = _BASE | {"declared_effects"}
_KEYS: dict[str, tuple[frozenset[str], ...]] = {
    "execution_started": (_BASE,),
    "execution_sealed": (_BASE,),
    "step_started": (_BASE, _DECLARING),
    "step_completed": (_TIMED,),
    "step_failed": (_TIMED,),
    "side_effect": (_EFFECT,),
}
_CATEGORIES = frozenset(str(category) for category in SideEffectCategory)
_ORIGINS = frozenset(str(origin) for origin in Origin)
_STATUSES = frozenset(str(status) for status in ExecutionStatus)
# Plain texts: to compare a text with an enum's member costs more, and this is done for every entry.
_STEP_TYPES = frozenset(map(str, (StepEventType.STEP_STARTED, StepEventType.STEP_COMPLETED, StepEventType.STEP_FAILED)))
_MARK_TYPES = frozenset(map(str, (StepEventType.EXECUTION_STARTED, StepEventType.EXECUTION_SEALED)))
_EFFECT_TYPES = frozenset(map(str, (StepEventType.SIDE_EFFECT,)))
_HEX = frozenset("0123456789abcdef")
_HASH_LENGTH = 64
_TIME_LENGTH = 27
_MOST_FORMS = 8


def check_structure(document: Any) -> None:  # noqa: ANN401 - anything that was parsed
    """Raise RecordError, naming the place, unless the document has the form of an execution record."""
    _object(document, "the record")
    if document.get("schema") != SCHEMA:
        _refuse(f"its schema is {reprlib.repr(document.get('schema'))}, not {SCHEMA!r}")
    _keys(document, _RECORD, "the record", optional=("disclosures", "erasures"))
    for key in ("execution_id", "plan_id", "live_mode_state", "completion_reason"):
        _text(document[key], key)
    if not _is_word(document["status"], _STATUSES):
        _refuse(f"status: {reprlib.repr(document['status'])} is none of {', '.join(sorted(_STATUSES))}")
    _hash(document["execution_hash"], "execution_hash")
    check_snapshot(document["security_snapshot_pre"], "security_snapshot_pre")
    if document["security_snapshot_post"] is not None:
        check_snapshot(document["security_snapshot_post"], "security_snapshot_post")
    _moment(document["timestamp_start"], "timestamp_start")
    if document["timestamp_end"] is not None:
        _moment(document["timestamp_end"], "timestamp_end")
    forms = EntryForms()
    try:
        _report(document["side_effects_report"], forms)
        _entries(document["step_events"], "step_events", _STEP_TYPES, forms)
        _entries(document["marks"], "marks", _MARK_TYPES, forms)
    except _UnnumberedError as error:
        raise RecordError(str(error), first_bad=_first_missing(document)) from None
    _signatures(document["signatures"])
    for disclosure in _list(document.get("disclosures", []), "disclosures"):
        Disclosure.from_dict(disclosure)
    for erasure in _list(document.get("erasures", []), "erasures"):
        Erasure.from_dict(erasure)


def check_entry(entry: Any, place: str) -> None:  # noqa: ANN401 - anything that was parsed
    """Raise RecordError, naming `place`, unless the object (with its `event_hash`) has the form of an entry."""
    kind = entry.get("event_type") if type(entry) is dict or isinstance(entry, dict) else None
    allowed = _KEYS.get(kind) if type(kind) is str else None
    if allowed is None:
        _refuse(f"{place}: event_type {reprlib.repr(kind)} is not known", entry)
    if entry.keys() not in allowed:
        _keys(entry, allowed[0], place, optional=allowed[-1] - allowed[0])
    sequence = entry["sequence"]
    if type(sequence) is not int or sequence < 0:
        _refuse(f"{place}: sequence {reprlib.repr(sequence)} is not a whole number from 0", entry)
    index = entry["step_index"]
    if (
        type(entry["execution_id"]) is not str
        or type(entry["timestamp"]) is not str
        or not (index is None or type(index) is int)
        or not (entry["step_name"] is None or type(entry["step_name"]) is str)
        or not (entry["error_message"] is None or type(entry["error_message"]) is str)
        or not isinstance(entry["details"], dict)
    ):
        _refuse(f"{place} (sequence {sequence}): a value has the wrong type", entry)
    _hash(entry["previous_event_hash"], f"{place} (sequence {sequence}): previous_event_hash", entry)
    _hash(entry["event_hash"], f"{place} (sequence {sequence}): event_hash", entry)
    if allowed[0] is not _BASE or "declared_effects" in entry:
        _check_extra(entry, f"{place} (sequence {sequence})")


class EntryForms:
    """Checks the form of many entries: what has the keys and types of one that passed is not looked at again.

    Hashes are not looked at either where the chain proves them: entry n's `previous_event_hash` must equal the hash of
    entry n-1, and its `event_hash` the one computed from its content.
    """

    __slots__ = ("_passed", "_seconds")

    def __init__(self) -> None:
        # By event type, each as keys and types: lists, for to compare with a few is cheaper than to hash one.
        self._passed: dict[str, list[list[object]]] = {}
        self._seconds: set[str] = set()

    def check(self, entry: Mapping[str, Any], place: str, position: int) -> None:
        """Raise RecordError, naming `place[position]`, unless the entry (with its `event_hash`) has the form of one."""
        form = [*entry, *map(type, entry.values())]
        try:
            kind = entry["event_type"]
            known = (
                form in self._passed[kind]
                and len(entry["event_hash"]) == _HASH_LENGTH == len(entry["previous_event_hash"])
                and entry["sequence"] >= 0
                and (kind != "side_effect" or (entry["category"] in _CATEGORIES and entry["origin"] in _ORIGINS))
            )
        except (KeyError, TypeError):  # the first of its type; or something is missing, or of another type
            known = False
        if not known:
            check_entry(entry, f"{place}[{position}]")
            passed = self._passed.setdefault(entry["event_type"], [])
            # A record of ours has one or two; what has its keys in ever another order must not make a long list.
            if len(passed) < _MOST_FORMS and "declared_effects" not in entry:
                passed.append(form)
        time = entry["timestamp"]
        second = time[:20]
        digits = time[20:26]
        if not (
            second in self._seconds
            and len(time) == _TIME_LENGTH
            and digits.isdigit()
            and digits.isascii()
            and time[26] == "Z"
        ):
            _moment(time, f"{place}[{position}]: timestamp", entry)
            self._seconds.add(second)


def _check_extra(entry: Mapping[str, Any], place: str) -> None:
    if entry["event_type"] == "side_effect":
        if not (_is_word(entry["category"], _CATEGORIES) and _is_word(entry["origin"], _ORIGINS)):
            words = f"category {reprlib.repr(entry['category'])} or origin {reprlib.repr(entry['origin'])}"
            _refuse(f"{place}: {words} is not known", entry)
        if type(entry["description"]) is not str or type(entry["reversible"]) is not bool:
            _refuse(f"{place}: description must be a text, reversible true or false", entry)
    elif "elapsed_us" in entry:
        if not (entry["elapsed_us"] is None or type(entry["elapsed_us"]) is int):
            _refuse(f"{place}: elapsed_us {reprlib.repr(entry['elapsed_us'])} is not a whole number", entry)
    else:
        effects = entry["declared_effects"]
        if not isinstance(effects, list) or not all(isinstance(effect, dict) for effect in effects):
            _refuse(f"{place}: declared_effects is not a list of objects", entry)


def _entries(entries: Any, place: str, types: frozenset[str], forms: EntryForms) -> None:  # noqa: ANN401
    for position, entry in enumerate(_list(entries, place)):
        try:
            if type(entry) is not dict:
                _object(entry, f"{place}[{position}]")
            forms.check(entry, place, position)
        except RecordError as error:
            if error.first_bad is None:
                raise _UnnumberedError(str(error)) from None
            raise
        if entry["event_type"] not in types:
            _refuse(f"{place}[{position}] holds a {entry['event_type']}, which belongs elsewhere", entry)


def _report(report: Any, forms: EntryForms) -> None:  # noqa: ANN401
    _object(report, "side_effects_report")
    _keys(report, _REPORT, "side_effects_report")
    observed = report["side_effects_observed"]
    _entries(observed, "side_effects_report.side_effects_observed", _EFFECT_TYPES, forms)
    for declared in _list(report["side_effects_declared"], "side_effects_report.side_effects_declared"):
        _object(declared, "side_effects_report.side_effects_declared")
    if type(report["unknown_effects"]) is not bool:
        _refuse(
            f"side_effects_report.unknown_effects: {reprlib.repr(report['unknown_effects'])} is neither true nor false"
        )
    for why in _list(report["unknown_effects_why"], "side_effects_report.unknown_effects_why"):
        _object(why, "side_effects_report.unknown_effects_why")


def check_snapshot(snapshot: Any, place: str) -> None:  # noqa: ANN401
    """Raise RecordError, naming `place`, unless the object has the form of a security snapshot."""
    _object(snapshot, place)
    _keys(snapshot, _SNAPSHOT, place)
    _moment(snapshot["timestamp"], f"{place}.timestamp")
    for key in ("security_state", "boundary_state", "context"):
        _text(snapshot[key], f"{place}.{key}")


def _signatures(signatures: Any) -> None:  # noqa: ANN401
    for position, signature in enumerate(_list(signatures, "signatures")):
        place = f"signatures[{position}]"
        _object(signature, place)
        _keys(signature, frozenset(("keyid", "sig")), place)
        _text(signature["keyid"], f"{place}.keyid")
        _text(signature["sig"], f"{place}.sig")
        try:
            whole = bool(signature["keyid"] and b64decode(signature["sig"], validate=True))
        except ValueError:
            whole = False
        if not whole:
            _refuse(f"{place} needs a key id and a signature in base64 (RFC 4648, section 4)")


def _keys(mapping: Mapping[str, Any], wanted: frozenset[str], place: str, optional: Iterable[str] = ()) -> None:
    missing = wanted - mapping.keys()
    unknown = mapping.keys() - wanted - set(optional)
    if missing:
        _refuse(f"{place}: {', '.join(sorted(missing))} missing", mapping)
    if unknown:
        _refuse(f"{place}: unknown key {', '.join(sorted(map(repr, unknown)))}", mapping)


def _object(value: Any, place: str) -> None:  # noqa: ANN401
    if not isinstance(value, dict):
        _refuse(f"{place} is a {type(value).__name__}, not an object")


def _list(value: Any, place: str) -> list[Any]:  # noqa: ANN401
    if not isinstance(value, list):
        _refuse(f"{place} is a {type(value).__name__}, not a list")
    return value


def _is_word(value: Any, words: frozenset[str]) -> bool:  # noqa: ANN401
    return type(value) is str and value in words


def _text(value: Any, place: str) -> None:  # noqa: ANN401
    if type(value) is not str:
        _refuse(f"{place}: {reprlib.repr(value)} is not a text")


def _hash(value: Any, place: str, entry: Mapping[str, Any] | None = None) -> None:  # noqa: ANN401
    if type(value) is not str or len(value) != _HASH_LENGTH or not _HEX.issuperset(value):
        _refuse(f"{place}: {reprlib.repr(value)} is not a SHA-256 in lower-case hex", entry)


def _moment(value: Any, place: str, entry: Mapping[str, Any] | None = None) -> None:  # noqa: ANN401
    try:
        parse_time(value)
    except RecordError as error:
        _refuse(f"{place}: {error}", entry)


def _refuse(message: str, entry: Any = None) -> NoReturn:  # noqa: ANN401
    sequence = entry.get("sequence") if isinstance(entry, dict) else None
    named = type(sequence) is int and sequence >= 0
    raise RecordError(f"not an execution record: {message}", first_bad=sequence if named else None)


class _UnnumberedError(RecordError):
    """An entry is refused that does not say by itself which one it is."""


def _first_missing(document: Mapping[str, Any]) -> int | None:
    """Return the least sequence that no entry has: where one entry has lost its own, that is the one."""
    report = document["side_effects_report"]
    lists = (document["marks"], document["step_events"], report.get("side_effects_observed") if report else None)
    entries = [entry for some in lists if isinstance(some, list) for entry in some]
    numbers = (entry.get("sequence") for entry in entries if isinstance(entry, dict))
    there = {number for number in numbers if type(number) is int}
    return next((number for number in range(len(entries)) if number not in there), None)
