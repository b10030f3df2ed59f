"""`hearth witness`: a service that cosigns the checkpoints of logs, as long as they only grow."""

from __future__ import annotations

import json
import signal
import threading
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hearth._visible import visible
from hearth.cli._errors import Exit
from hearth.cli._keygen import ask_passphrase
from hearth.cli._late_signals import ENDING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hearth.evidence import NoteKey, WitnessRequest, WitnessServer

__all__ = ["witness"]

_PORT = 8947
_MOST_PORTS = 1 << 16
_OK = 200
_CONFLICTS = (409, 422)


@click.command()
@click.option("--name", required=True, help="The witness's name: an address without https://, with no space or plus.")
@click.option("--key", metavar="FILE", required=True, help="The key that cosigns (hearth keygen --out FILE).")
@click.option("--log", "log_keys", metavar="VKEY", multiple=True, help="A log's verifier key; repeatable.")
@click.option("--logs", metavar="FILE", help="A file of such keys: one a line, or `log VKEY`; # begins a comment.")
@click.option("--folder", metavar="DIR", required=True, help="Where the witness remembers what it cosigned.")
@click.option("--listen", metavar="HOST:PORT", default=f"127.0.0.1:{_PORT}", show_default=True, help="Port 0: any.")
@click.option("--prefix", metavar="PATH", default="", help="What stands before /add-checkpoint, as /witness.")
@click.option("--json", "as_json", is_flag=True, help="Print each line as a JSON document.")
def witness(
    *,
    name: str,
    key: str,
    log_keys: tuple[str, ...],
    logs: str | None,
    folder: str,
    listen: str,
    prefix: str,
    as_json: bool,
) -> int:
    """Cosign the checkpoints of logs, over HTTP (C2SP tlog-witness), until Ctrl-C or SIGTERM.

    A checkpoint is cosigned when a known key of its log signed it and it continues the one cosigned before. Two
    histories of one log are never cosigned; what shows that there are two is kept in the folder. Losing the folder
    means to forget: keep it on a disk of its own, and never bring an old copy back.

    The service speaks plain HTTP: beyond this machine, put a proxy with TLS in front of it.
    """
    from hearth.operations import load_key

    known = _known_logs(log_keys, logs)
    host, port = _address(listen)
    server_type = _server_type()
    from hearth.errors import EvidenceError
    from hearth.evidence import Witness

    signer = load_key(None, key, passphrase=ask_passphrase).key
    try:
        service = Witness(name, signer, known, Path(folder))
        server = server_type(
            service, host, port, prefix=prefix.rstrip("/"), told=lambda request: _tell(_told(request), as_json=as_json)
        )
    except EvidenceError as error:  # the name or the prefix
        raise click.UsageError(str(error)) from None
    except OSError as error:
        raise click.UsageError(f"--listen {listen}: nobody can listen there: {error.strerror or error}") from None
    _tell(
        {
            "witness": str(service.key),
            "logs": sorted(known),
            "folder": folder,
            "listens": f"{server.url}/add-checkpoint",
        },
        as_json=as_json,
    )
    with _stopped_by_signals(server.stop):
        server.serve()
    return Exit.DONE


def _server_type() -> type[WitnessServer]:
    try:
        from hearth.evidence import WitnessServer
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in {"anyio", "h11", "starlette", "uvicorn"}:
            raise
        raise click.UsageError(
            f"hearth witness needs the package {error.name}: pip install 'hearth-recorder[web]' brings it"
        ) from None
    return WitnessServer


def _known_logs(texts: tuple[str, ...], path: str | None) -> dict[str, list[NoteKey]]:
    """Return the logs' keys by origin, which is the name of a log's key."""
    from hearth.errors import EvidenceError
    from hearth.evidence import ED25519, NoteKey

    named = [("--log", text) for text in texts]
    if path is not None:
        named += _listed(path)
    known: dict[str, list[NoteKey]] = {}
    for place, text in named:
        try:
            key = NoteKey.parse(text)
        except EvidenceError as error:
            raise click.UsageError(f"{place}: {error}") from None
        if key.algorithm != ED25519:
            raise click.UsageError(f"{place}: {key.name} is the key of a witness, not of a log")
        keys = known.setdefault(key.name, [])
        if key not in keys:
            keys.append(key)
    if not known:
        raise click.UsageError("a witness knows at least one log: --log VKEY, or --logs FILE")
    return known


def _listed(path: str) -> Iterator[tuple[str, str]]:
    """Yield the keys in a file, each with its place."""
    try:
        lines = Path(path).read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise click.UsageError(f"--logs {path}: {getattr(error, 'strerror', None) or error}") from None
    for number, line in enumerate(lines, 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if words[0] == "log" and len(words) > 1:
            yield f"{path}:{number}", words[1]
        elif len(words) == 1:
            yield f"{path}:{number}", words[0]
        else:
            raise click.UsageError(f"{path}:{number}: {line[:100]!r} is neither a verifier key nor `log VKEY`")


def _address(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    host = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not colon or not host or not port.isdecimal() or int(port[:6]) >= _MOST_PORTS:
        raise click.UsageError(f"--listen {text}: that is not HOST:PORT (127.0.0.1:{_PORT}, or [::1]:{_PORT})")
    return host, int(port)


def _told(request: WitnessRequest) -> dict[str, object]:
    answer = request.answer
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        "client": request.client,
        "status": answer.status,
        "origin": answer.origin,
        "size": answer.size,
        "why": answer.why,
    }


def _tell(told: dict[str, object], *, as_json: bool) -> None:
    """Print a line. A reader that went away is no reason to end a service."""
    if as_json:
        text = json.dumps(told)
    elif "witness" in told:
        text = f"witness {told['witness']}\nlistens at {told['listens']} for {', '.join(map(str, told['logs']))}"  # type: ignore[call-overload]
    else:
        what = "cosigned" if told["status"] == _OK else told["why"]
        of = f" {told['origin']} {told['size']}" if told["origin"] else ""
        text = f"{told['at']} {told['client']} {told['status']}{of} {what}"
    with suppress(OSError, ValueError):
        click.echo("\n".join(map(visible, text.split("\n"))))


@contextmanager
def _stopped_by_signals(stop: Callable[[], None]) -> Iterator[None]:
    """Have the signals that end a process call `stop`; a second one of a kind ends it at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(number: int, _: object) -> None:
        signal.signal(number, signal.SIG_DFL)
        stop()

    previous = {number: signal.signal(number, handle) for number in ENDING if signal.getsignal(number) is not None}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
