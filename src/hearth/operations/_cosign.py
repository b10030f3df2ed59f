"""Having a ledger's log cosigned by witnesses, and publishing what came."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hearth.errors import EvidenceError
from hearth.evidence import Checkpoint, WitnessAddress, WitnessPolicy, cosign
from hearth.operations._log import opened_log

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hearth.evidence import CosignResult
    from hearth.ledger import LedgerHome

__all__ = ["LogCosigned", "cosign_log", "witnesses_to_ask"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LogCosigned:
    """Which witnesses cosigned which state, which did not, and what a policy still lacks (`lacking`, else "")."""

    checkpoint: Checkpoint
    result: CosignResult
    lacking: str = ""

    @property
    def alarm(self) -> bool:
        """Whether a witness knows another history of the log."""
        return any(one.alarm for one in self.result.failed)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "origin": self.checkpoint.origin,
            "size": self.checkpoint.size,
            "root": self.checkpoint.root.hex(),
            "cosigned_by": [{"witness": str(one.key), "url": one.url} for one in self.result.got],
            "failed": [
                {
                    "witness": str(one.witness.key),
                    "url": one.witness.url,
                    "why": one.why,
                    "alarm": one.alarm,
                    "kept": None if one.kept is None else str(one.kept),
                }
                for one in self.result.failed
            ],
            "alarm": self.alarm,
            "lacking": self.lacking,
        }


def witnesses_to_ask(
    urls: Sequence[str], policy: WitnessPolicy | None, others: Sequence[WitnessAddress] = ()
) -> tuple[WitnessAddress, ...]:
    """Return the policy's witnesses that have an address (of them those in `urls`, where any is named), and the others.

    EvidenceError for an address of which nobody said whose it is: a witness's key is never learned from itself.
    """
    known = {one.url.rstrip("/"): one for one in (*(policy.addresses if policy is not None else ()), *others)}
    unknown = [url for url in urls if url.rstrip("/") not in known]
    if unknown:
        raise EvidenceError(
            f"{unknown[0]}: nobody has said which key that witness has; give both with --witness VKEY URL, or a policy "
            "with the line `witness NAME VKEY URL`"
        )
    chosen = [known[url.rstrip("/")] for url in urls] if urls else list(known.values())
    return tuple(dict.fromkeys((*chosen, *others)))


def cosign_log(
    home: LedgerHome, witnesses: Sequence[WitnessAddress], *, policy: WitnessPolicy | None = None, timeout: float = 10.0
) -> LogCosigned:
    """Bring the log up to date, ask the witnesses, and publish the cosignatures that came with the log's checkpoint.

    EvidenceError where there is no log, or it grew while the witnesses were asked.
    """
    with opened_log(home) as log:
        log.update()
        result = cosign(log.log, witnesses, folder=log.place.root / "witnesses", timeout=timeout)
        if result.got:
            log.log.publish_note(result.note)
    lacking = ""
    if policy is not None:
        try:
            policy.check(result.note)
        except EvidenceError as error:
            lacking = str(error)
    return LogCosigned(checkpoint=Checkpoint.parse(result.note.text), result=result, lacking=lacking)
