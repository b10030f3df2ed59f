"""What an approver is shown: the plan that the digest covers and its inputs, and how they differ from the last ones."""

from __future__ import annotations

import codecs
import difflib
import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hearth.errors import ApprovalRefusedError, LedgerError
from hearth.execution import ContentStore
from hearth.plan import plan_digest, plan_text
from hearth.record import Redactor, thaw

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

    from hearth.ledger import LedgerHome
    from hearth.operations._plans import KeptPlan
    from hearth.plan import ApprovalRequest, Plan

__all__ = ["InputText", "Material", "keep_inputs", "material_of"]

_LARGEST_KEPT = 1 << 20
_CHUNK = 1 << 20
# How files of these kinds begin; `ustar` stands behind the first member's name.
_KINDS = (
    (b"\x7fELF", "an ELF program or library"),
    (b"MZ", "a Windows program or library"),
    (b"\xca\xfe\xba\xbe", "a Java class or a macOS program"),
    (b"\xcf\xfa\xed\xfe", "a macOS program"),
    (b"\x00asm", "a WebAssembly module"),
    (b"\x89PNG\r\n\x1a\n", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"%PDF-", "a PDF document"),
    (b"PK\x03\x04", "a ZIP archive (also: JAR, wheel, office document)"),
    (b"\x1f\x8b", "gzip-compressed"),
    (b"BZh", "bzip2-compressed"),
    (b"\xfd7zXZ\x00", "xz-compressed"),
    (b"\x28\xb5\x2f\xfd", "Zstandard-compressed"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (b"!<arch>\n", "an ar archive (also: a Debian package)"),
    (b"\xed\xab\xee\xdb", "an RPM package"),
    (b"SQLite format 3\x00", "an SQLite database"),
)
_TAR_PLACE = 257


@dataclass(frozen=True, slots=True)
class InputText:
    """An input: its SHA-256, and its content where that is text and at hand.

    `missing` says why nothing can be shown, and what to do. `binary` describes one that is no text (how many bytes, of
    what kind): it was read and has this SHA-256, and a person can only take it or leave it.
    """

    digest: str
    text: str | None
    missing: str = ""
    binary: str = ""


@dataclass(frozen=True, slots=True)
class Material:
    """A plan's rendered document and its inputs, by name. What stands here has the digest that is to be approved."""

    document: dict[str, Any]
    inputs: dict[str, InputText] = field(default_factory=dict)

    def diff(self, before: Material) -> Iterator[str]:
        r"""Yield the lines of a unified diff from an earlier version to this one; none where nothing differs.

        Lines end at LF alone, and every other difference shows: a last line without an end is followed by
        `\ No newline at end of file`, and a CR stays in its line, for whoever prints it to make visible.
        """
        yield from _diff("plan", plan_text(_sorted(before.document)), plan_text(_sorted(self.document)))
        for name in sorted({*before.inputs, *self.inputs}):
            old, new = before.inputs.get(name), self.inputs.get(name)
            if old is not None and new is not None and old.digest == new.digest:
                continue
            yield from _diff(name, _text(old), _text(new))

    def unseen(self, accepted: Collection[str] = ()) -> dict[str, InputText]:
        """Return the binary inputs whose SHA-256 is not in `accepted`; a part of one is not enough.

        ApprovalRefusedError (`plan`) where an input cannot be shown at all: no acknowledgement makes up for that.
        """
        for name, known in self.inputs.items():
            if known.missing:
                raise ApprovalRefusedError(
                    f"the input {name} cannot be shown: {known.missing}; what was not shown is not approved",
                    code="plan",
                )
        taken = {digest.strip().lower() for digest in accepted}
        return {name: known for name, known in self.inputs.items() if known.binary and known.digest not in taken}


def keep_inputs(home: LedgerHome, plan: Plan) -> None:
    """Keep the inputs that are texts without secrets beside the plan, so that approvers elsewhere can read them.

    What looks as if it held a secret is not kept: an approver reads it where it lies.
    """
    store = ContentStore(home.root / "inputs")
    redactor = Redactor()
    for value in plan.secret_variables(redactor.telling):
        redactor.add_secret(value)
    for name, digest in plan.inputs.items():
        path = plan.folder / name
        try:
            if path.stat().st_size > _LARGEST_KEPT:
                continue
            data = path.read_bytes()
            text = data.decode("utf-8")
        except (OSError, UnicodeDecodeError):
            continue
        if hashlib.sha256(data).hexdigest() == digest and redactor.text(text) == text and not store.has(digest):
            try:
                store.put(data)
            except OSError as error:
                raise LedgerError(f"{store.path(digest)}: the input cannot be kept: {error.strerror}") from error


def material_of(
    home: LedgerHome, request: ApprovalRequest, kept: KeptPlan | None, plan: Plan | None = None
) -> Material:
    """Return what the request's digest covers, from the plan file where it is given, else from what was kept.

    ApprovalRefusedError (`plan`) where neither has that digest: what cannot be shown cannot be approved.
    """
    if plan is not None:
        if plan.digest != request.plan_digest:
            raise ApprovalRefusedError(
                f"{plan.path or plan.id} has the digest {plan.digest}, and the request {request.request_id} is for "
                f"{request.plan_digest}; this is not the plan that was asked for",
                code="plan",
            )
        document, inputs = thaw(plan.document), dict(plan.inputs)
    else:
        if kept is None or plan_digest(kept.document, kept.inputs, kept.tasks) != request.plan_digest:
            raise ApprovalRefusedError(
                f"what was kept of the plan {request.plan_id} does not have the digest that is to be approved (a plan "
                "that holds secrets in clear is kept without them); name the plan's file with --plan",
                code="plan",
            )
        document, inputs = kept.document, kept.inputs
    store = ContentStore(home.root / "inputs")
    return Material(document, {name: _input(store, name, digest, plan) for name, digest in inputs.items()})


def _input(store: ContentStore, name: str, digest: str, plan: Plan | None) -> InputText:
    path = store.path(digest) if plan is None else plan.folder / name
    try:
        found, text, kind, size = _read(path)
    except OSError as error:
        if plan is None:
            why = (
                "it is not kept with the request (larger than 1 MiB, no text, or holding what looks like a secret); "
                "give --plan FILE to read it where it lies"
            )
        else:
            why = f"{path}: {error.strerror or error}"
        return InputText(digest, None, why)
    if found != digest:
        return InputText(digest, None, f"{path} has the SHA-256 {found}, and the input that was asked for has {digest}")
    if text is None:
        return InputText(digest, None, binary=f"{size} bytes that are no text" + (f": {kind}" if kind else ""))
    return InputText(digest, text)


def _read(path: Path) -> tuple[str, str | None, str, int]:
    """Return a file's SHA-256, its text (None where it is no UTF-8), its kind by its first bytes, and its size.

    What is no text is not held in memory, however large it is.
    """
    digest = hashlib.sha256()
    decoder = codecs.getincrementaldecoder("utf-8")()
    pieces: list[str] | None = []
    kind, size = "", 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            kind = kind if size else _kind(chunk)
            size += len(chunk)
            digest.update(chunk)
            if pieces is not None:
                try:
                    pieces.append(decoder.decode(chunk))
                except UnicodeDecodeError:
                    pieces = None
    if pieces is not None:
        try:
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            pieces = None
    return digest.hexdigest(), None if pieces is None else "".join(pieces), kind, size


def _kind(beginning: bytes) -> str:
    if beginning[_TAR_PLACE:].startswith(b"ustar"):
        return "a tar archive"
    return next((kind for magic, kind in _KINDS if beginning.startswith(magic)), "")


def _text(known: InputText | None) -> str:
    if known is None:
        return ""
    return known.text if known.text is not None else f"(not shown: sha256 {known.digest})\n"


def _sorted(value: Any) -> Any:  # noqa: ANN401 - a JSON tree
    """Return a document with its keys in one order: a plan file has its author's, a kept plan that of RFC 8785."""
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return [_sorted(one) for one in value] if isinstance(value, list) else value


def _diff(name: str, before: str, after: str) -> Iterator[str]:
    heads = f"{name} (approved last)", f"{name} (now)"
    for number, line in enumerate(difflib.unified_diff(_lines(before), _lines(after), *heads, lineterm="")):
        yield line.removesuffix("\n")
        # The first two lines are the heads; of the others only those of the hunks end as the text's own lines do.
        if number > 1 and line[:1] in {" ", "+", "-"} and not line.endswith("\n"):
            yield "\\ No newline at end of file"


def _lines(text: str) -> list[str]:
    *lines, last = text.split("\n")
    return [*(f"{line}\n" for line in lines), *([last] if last else [])]
