"""The Go project's libraries for logs (golang.org/x/mod/sumdb) read what HEARTH writes, and witness, and are witnessed.

Theirs are the checks of Go's checksum database. The program that asks them lies in `_go/`.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hearth.evidence import COSIGNATURE, NoteKey, Witness
from tests.e2e.command import document, hearth
from tests.witnesses import LOG_KEY, WITNESS, made_log, serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Program = Callable[..., subprocess.CompletedProcess[str]]

# Where Debian's golang-golang-x-mod-dev has it.
LIBRARY = Path("/usr/share/gocode/src/golang.org/x/mod/sumdb/tlog")
PLAN = "plan: tell\nsteps:\n  - name: Tell\n    shell: {argv: [echo, told]}\n"

pytestmark = pytest.mark.skipif(
    shutil.which("go") is None or not LIBRARY.is_dir(), reason="needs Go and golang.org/x/mod"
)


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("go")
    cache = folder.parent.parent / "go-cache"  # of all workers together
    environment = {"GO111MODULE": "off", "GOPATH": str(LIBRARY.parents[5]), "GOCACHE": str(cache)}
    subprocess.run(
        ["go", "build", "-o", str(folder / "program"), "."],
        cwd=Path(__file__).parent / "_go",
        env={**os.environ, **environment, "HOME": str(folder), "GOTOOLCHAIN": "local", "GOPROXY": "off"},
        check=True,
        timeout=300,
    )
    return folder / "program"


@pytest.fixture
def go(built: Path) -> Program:
    def run(*arguments: object, code: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run([built, *map(str, arguments)], capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == code, done.stderr
        return done

    return run


@pytest.mark.parametrize("size", [1, 2, 255, 256, 257, 513, pytest.param(65_793, marks=pytest.mark.soak)])
def test_every_entry_and_every_older_size_is_proven_from_the_tiles(go: Program, tmp_path: Path, size: int) -> None:
    made_log(tmp_path / "log", size)
    assert go("log", tmp_path / "log", LOG_KEY).stdout == f"{size}\n"


def test_what_was_changed_they_refuse(go: Program, tmp_path: Path) -> None:
    made_log(tmp_path / "log", 300)
    bundle = tmp_path / "log/tile/entries/000"
    bundle.write_bytes(bundle.read_bytes().replace(b"entry 77", b"entry 78"))
    assert "entry 77" in go("log", tmp_path / "log", LOG_KEY, code=1).stderr
    other = NoteKey(LOG_KEY.name, WITNESS.public)
    assert go("log", tmp_path / "log", other, code=1).stderr


def test_a_ledgers_published_log_and_its_proofs(go: Program, ledger_folder: Path) -> None:
    (ledger_folder / "plan.yaml").write_text(PLAN)
    hearth("log", "init", "--origin", "example.org/prod", code=0)
    hearth("run", "plan.yaml", "--id", "first", code=0)
    key = document("log", "status")["keys"][-1]
    hearth("log", "publish", "public", code=0)
    shutil.copy("public/checkpoint", "kept")
    hearth("run", "plan.yaml", "--id", "second", code=0)
    hearth("log", "publish", "public", code=0)
    size = document("log", "status")["size"]
    assert go("log", "public", key).stdout == f"{size}\n"
    go("since", "public", key, "kept")

    hearth("prove", "second", code=0)
    index = int(re.findall(r"^index (\d+)$", Path("second.tlog-proof").read_text(), re.MULTILINE)[0])
    leaves = _entries(ledger_folder / f"public/tile/entries/000.p/{size}")
    Path("leaf").write_bytes(leaves[index])
    assert go("proof", "second.tlog-proof", key, "leaf").stdout == f"{index}\n"
    Path("leaf").write_bytes(leaves[index - 1])
    go("proof", "second.tlog-proof", key, "leaf", code=1)


def _entries(path: Path) -> list[bytes]:
    rest, found = path.read_bytes(), []
    while rest:
        end = 2 + int.from_bytes(rest[:2])
        found.append(rest[2:end])
        rest = rest[end:]
    return found


def test_a_log_of_theirs_is_witnessed(go: Program, tmp_path: Path) -> None:
    signer, key = go("key", "go.example/log").stdout.split()
    witness = Witness("w.example/1", WITNESS, {"go.example/log": (NoteKey.parse(key),)}, tmp_path / "kept")
    with serving(witness) as server:
        assert go("ask", f"{server.url}/add-checkpoint", signer, witness.key).stdout == "600\n"


@contextmanager
def _their_witness(built: Path, signer: str, key: str) -> Iterator[tuple[str, str]]:
    with subprocess.Popen([built, "witness", signer, key], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip(), process.stdout.readline().strip()
        finally:
            process.kill()


def test_a_witness_of_theirs_cosigns(go: Program, built: Path, ledger_folder: Path) -> None:
    (ledger_folder / "plan.yaml").write_text(PLAN)
    hearth("log", "init", "--origin", "example.org/prod", code=0)
    key = document("log", "status")["keys"][-1]
    signer, _ = go("key", "go.example/witness").stdout.split()
    with _their_witness(built, signer, key) as (url, witness):
        assert NoteKey.parse(witness).algorithm == COSIGNATURE
        Path("policy").write_text(f"log {key}\nwitness w {witness} {url}\nquorum w\n")
        for name in ("first", "second"):
            hearth("run", "plan.yaml", "--id", name, code=0)
            done = document("log", "cosign", "--policy", "policy")
            assert (done["failed"], done["lacking"]) == ([], "")
    hearth("log", "publish", "public", code=0)
    size = document("log", "status")["size"]
    assert go("cosigned", "public/checkpoint", key, witness).stdout == f"{size}\n"
