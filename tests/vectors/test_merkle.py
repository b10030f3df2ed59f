"""Inclusion and consistency proofs, good and bad, where published vectors lie beside the repository."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from hearth.errors import EvidenceError
from hearth.evidence import verify_consistency, verify_inclusion

# Not part of the repository; a clone alone has the constants of tests/unit/evidence/test_merkle.py.
FILES = Path(__file__).resolve().parents[3] / "shared" / "vectors" / "merkle"
INCLUSION = sorted((FILES / "inclusion").rglob("*.json"))
CONSISTENCY = sorted((FILES / "consistency").rglob("*.json"))

pytestmark = pytest.mark.skipif(not FILES.is_dir(), reason="the published vectors do not lie beside the repository")


def name(path: Path) -> str:
    return path.relative_to(FILES).with_suffix("").as_posix()


def hashes(document: dict[str, Any], *names: str) -> list[bytes]:
    return [base64.b64decode(document[one]) for one in names]


def proof(document: dict[str, Any]) -> list[bytes]:
    return [base64.b64decode(one) for one in document["proof"] or []]


@pytest.mark.parametrize("path", INCLUSION, ids=name)
def test_inclusion(path: Path) -> None:
    document = json.loads(path.read_text())
    leaf, root = hashes(document, "leafHash", "root")
    arguments = (document["leafIdx"], document["treeSize"], leaf, proof(document), root)
    if document["wantErr"]:
        with pytest.raises(EvidenceError):
            verify_inclusion(*arguments)
    else:
        verify_inclusion(*arguments)


@pytest.mark.parametrize("path", CONSISTENCY, ids=name)
def test_consistency(path: Path) -> None:
    document = json.loads(path.read_text())
    older, newer = document["size1"], document["size2"]
    arguments = (older, newer, *hashes(document, "root1", "root2"), proof(document))
    if document["wantErr"] or older == 0:  # nothing is shown of a log that had nothing in it
        with pytest.raises(EvidenceError):
            verify_consistency(*arguments)
    else:
        verify_consistency(*arguments)


def test_there_are_some() -> None:
    assert len(INCLUSION) > 50
    assert len(CONSISTENCY) > 50
