"""What happened: frozen data, canonical JSON, the chain, redaction. Pure; no I/O."""

from __future__ import annotations

from hearth.record._canonical import canonical_bytes, common_bytes, same_json
from hearth.record._chain import ChainCheck, ChainFault
from hearth.record._effect import SideEffect, SideEffectReport
from hearth.record._encoder import TextEncoder, cut_text, make_details_encoder, make_text_encoder
from hearth.record._entry import EVENT_DOMAIN, GENESIS_HASH, SCHEMA, entry_hash, hash_entry_bytes, record_hash
from hearth.record._enums import ExecutionStatus, Origin, SealCause, SideEffectCategory, StepEventType
from hearth.record._erasure import ERASURE_SCHEMA, ErasedValue, Erasure
from hearth.record._event import StepEvent
from hearth.record._filename import percent_decode, percent_encode
from hearth.record._freeze import FrozenDict, FrozenList, freeze, thaw
from hearth.record._leaf import LEAF_SCHEMA, LeafKind, leaf_bytes, named_in_leaf, parse_leaf, sealed_leaf
from hearth.record._patterns import find_secrets, secret_arguments
from hearth.record._plain import MAX_INTEGER, printable, text_of, to_plain
from hearth.record._progress import Progress
from hearth.record._record import ExecutionRecord
from hearth.record._redact import Disclosure, Redactor, commitment
from hearth.record._secret import Secret
from hearth.record._snapshot import SecuritySnapshot
from hearth.record._strict_json import LARGEST_ENTRY, LARGEST_EXPORT, Bulk, refuse_entry, strict_loads
from hearth.record._structure import EntryForms, check_entry
from hearth.record._time import format_time, parse_time, utc_now
from hearth.record._verdict import Verdict
from hearth.record._verify import UNSEALED, verify_document

__all__ = [
    "ERASURE_SCHEMA",
    "EVENT_DOMAIN",
    "GENESIS_HASH",
    "LARGEST_ENTRY",
    "LARGEST_EXPORT",
    "LEAF_SCHEMA",
    "MAX_INTEGER",
    "SCHEMA",
    "UNSEALED",
    "Bulk",
    "ChainCheck",
    "ChainFault",
    "Disclosure",
    "EntryForms",
    "ErasedValue",
    "Erasure",
    "ExecutionRecord",
    "ExecutionStatus",
    "FrozenDict",
    "FrozenList",
    "LeafKind",
    "Origin",
    "Progress",
    "Redactor",
    "SealCause",
    "Secret",
    "SecuritySnapshot",
    "SideEffect",
    "SideEffectCategory",
    "SideEffectReport",
    "StepEvent",
    "StepEventType",
    "TextEncoder",
    "Verdict",
    "canonical_bytes",
    "check_entry",
    "commitment",
    "common_bytes",
    "cut_text",
    "entry_hash",
    "find_secrets",
    "format_time",
    "freeze",
    "hash_entry_bytes",
    "leaf_bytes",
    "make_details_encoder",
    "make_text_encoder",
    "named_in_leaf",
    "parse_leaf",
    "parse_time",
    "percent_decode",
    "percent_encode",
    "printable",
    "record_hash",
    "refuse_entry",
    "same_json",
    "sealed_leaf",
    "secret_arguments",
    "strict_loads",
    "text_of",
    "thaw",
    "to_plain",
    "utc_now",
    "verify_document",
]
