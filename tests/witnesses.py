"""Logs, and witnesses over real HTTP, for the tests."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from hearth.evidence import NoteKey, TransparencyLog, Witness, WitnessServer
from hearth.signing import SigningKey

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from hearth.evidence import WitnessRequest

ORIGIN = "example.com/log"
LOG, WITNESS = SigningKey.generate(), SigningKey.generate()
LOG_KEY = NoteKey(ORIGIN, LOG.public)


def made_log(folder: Path, number: int, entry: bytes = b"entry %d", key: SigningKey = LOG) -> TransparencyLog:
    """Make a log with so many entries; two with another entry are two histories."""
    log = TransparencyLog.create(folder, folder.with_suffix(".json"), key, origin=ORIGIN)
    log.append(entry % one if b"%" in entry else entry for one in range(number))
    return log


def grown(log: TransparencyLog, size: int, entry: bytes = b"more") -> TransparencyLog:
    """Add entries until there are so many."""
    log.append(entry for _ in range(size - log.checkpoint().size))
    return log


@contextmanager
def serving(
    witness: Witness, *, prefix: str = "", told: Callable[[WitnessRequest], None] | None = None
) -> Iterator[WitnessServer]:
    """Run the service in a thread, on any port of the loopback."""
    server = WitnessServer(witness, "127.0.0.1", 0, prefix=prefix, told=told)
    thread = threading.Thread(target=server.serve)
    thread.start()
    try:
        yield server
    finally:
        server.stop()
        thread.join(30)
        assert not thread.is_alive()


def witness_in(folder: Path, name: str = "w.example/1", key: SigningKey = WITNESS) -> Witness:
    """Return a witness that knows the log."""
    return Witness(name, key, {ORIGIN: (LOG_KEY,)}, folder)
