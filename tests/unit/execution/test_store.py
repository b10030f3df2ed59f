from __future__ import annotations

import hashlib
import os
import stat
import threading
from typing import TYPE_CHECKING

import pytest

from hearth.errors import LedgerError
from hearth.execution import EMPTY_DIGEST, ContentStore

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def store(tmp_path: Path) -> ContentStore:
    return ContentStore(tmp_path / "store")


def files(store: ContentStore) -> list[str]:
    return sorted(path.relative_to(store.folder).as_posix() for path in store.folder.rglob("*") if path.is_file())


def test_content_lies_under_its_digest(store: ContentStore) -> None:
    digest = store.put(b"hello")
    assert digest == hashlib.sha256(b"hello").hexdigest()
    assert files(store) == [f"{digest[:2]}/{digest[2:]}"]
    assert store.path(digest).read_bytes() == store.read(digest) == b"hello"


def test_the_empty_content_is_kept_too(store: ContentStore) -> None:
    assert store.put(b"") == EMPTY_DIGEST
    assert store.read(EMPTY_DIGEST) == b""


def test_the_same_content_is_kept_once(store: ContentStore) -> None:
    first = store.put(b"x" * 1_000_000)
    inode = store.path(first).stat().st_ino
    assert store.put(b"x" * 1_000_000) == first
    assert store.path(first).stat().st_ino == inode
    assert len(files(store)) == 1


@pytest.mark.parametrize("size", [0, 1, 262_144, 262_145, 3_000_000])
def test_a_stream_is_kept_whole(store: ContentStore, size: int) -> None:
    content = os.urandom(size)
    writer = store.put_stream()
    for start in range(0, size, 70_001):
        writer.write(content[start : start + 70_001])
    assert writer.size == size
    digest = writer.close()
    assert digest == writer.close() == hashlib.sha256(content).hexdigest()
    assert store.read(digest) == content


@pytest.mark.skipif(os.name != "posix", reason="permission bits are POSIX")
def test_only_the_owner_can_read_it(store: ContentStore) -> None:
    before = os.umask(0)
    try:
        digest = store.put(b"private")
    finally:
        os.umask(before)
    for path in (store.folder, store.path(digest).parent, store.folder / "tmp"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
    assert stat.S_IMODE(store.path(digest).stat().st_mode) == 0o600


def test_a_writer_that_is_left_leaves_nothing(store: ContentStore) -> None:
    with store.put_stream() as writer:
        writer.write(b"x" * 1_000_000)
        assert len(files(store)) == 1
    assert files(store) == []


def test_content_that_is_not_there_says_so(store: ContentStore) -> None:
    with pytest.raises(LedgerError, match="nothing is kept here under the digest"):
        store.read("0" * 64)
    assert not store.has("0" * 64)


def test_changed_content_is_refused(store: ContentStore) -> None:
    digest = store.put(b"hello")
    store.path(digest).write_bytes(b"hullo")
    with pytest.raises(LedgerError, match="not what its digest says"):
        store.read(digest)


def test_content_of_another_size_under_the_name_is_replaced(store: ContentStore) -> None:
    digest = store.put(b"hello")
    store.path(digest).write_bytes(b"hel")
    store.put(b"hello")
    assert store.read(digest) == b"hello"


@pytest.mark.parametrize("digest", ["", "../../etc/passwd", "A" * 64, "0" * 63, "0" * 65, "0" * 64 + "\n"])
def test_what_is_no_digest_leads_nowhere(store: ContentStore, digest: str) -> None:
    with pytest.raises(ValueError, match="is not a SHA-256 digest"):
        store.path(digest)


def test_many_threads_keep_the_same_and_different_contents(store: ContentStore) -> None:
    contents = [b"same"] * 20 + [f"other {number}".encode() for number in range(20)]
    digests: list[str] = []
    threads = [
        threading.Thread(target=lambda content=content: digests.append(store.put(content))) for content in contents
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(digests)) == 21
    assert len(files(store)) == 21


def test_what_is_returned_is_durable(store: ContentStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """The order of system calls: content synced before it has its name, the folder after."""
    calls: list[str] = []
    fsync, replace = os.fsync, os.replace

    def spy_fsync(descriptor: int) -> None:
        calls.append("sync folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "sync file")
        fsync(descriptor)

    def spy_replace(*args: object, **kwargs: object) -> None:
        replace(*args, **kwargs)  # type: ignore[arg-type]
        calls.append("rename")

    store.put(b"make the folders")
    monkeypatch.setattr(os, "fsync", spy_fsync)
    monkeypatch.setattr(os, "replace", spy_replace)
    digest = hashlib.sha256(b"content").hexdigest()
    (store.folder / digest[:2]).mkdir(exist_ok=True)
    assert store.put(b"content") == digest
    assert calls == ["sync file", "rename", "sync folder"]
    calls.clear()
    ContentStore(store.folder, durable=False).put(b"not durable")
    assert "sync file" not in calls
    assert "sync folder" not in calls
