from __future__ import annotations

import base64
import hashlib
import os
import re
import tracemalloc
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hearth.errors import RecorderError
from hearth.execution import ContentStore
from hearth.execution._output import LONGEST_LINE, TAIL, LineRedactor, OutputKeeper, Tail, holds_secret
from hearth.record import Redactor

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "correct-horse-battery"
KEY_TYPES = ["RSA PRIVATE KEY", "PRIVATE KEY", "OPENSSH PRIVATE KEY", "ENCRYPTED PRIVATE KEY", "PGP PRIVATE KEY BLOCK"]


def key(kind: str = "RSA PRIVATE KEY", lines: int = 25, end: str = "\n") -> tuple[bytes, list[bytes]]:
    body = [base64.b64encode(hashlib.sha384(f"{kind} {number}".encode()).digest()) for number in range(lines)]
    text = end.join([f"-----BEGIN {kind}-----", *(line.decode() for line in body), f"-----END {kind}-----", ""])
    return text.encode(), body


@pytest.fixture
def redactor() -> Redactor:
    redactor = Redactor()
    redactor.add_secret(SECRET)
    return redactor


def through(redactor: Redactor, content: bytes, sizes: list[int] | int = 4096) -> bytes:
    lines = LineRedactor(redactor)
    result = []
    position = turn = 0
    while position < len(content):
        step = sizes if isinstance(sizes, int) else sizes[turn % len(sizes)]
        result.append(lines.feed(content[position : position + step]))
        position += step
        turn += 1
    result.append(lines.finish())
    return b"".join(result)


class TestWithoutSecrets:
    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"\n",
            b"one\ntwo\r\nthree\rfour",
            b"no end",
            "Grüße, 世界\n".encode(),
            b"\xff\xfe not UTF-8 \x80\n\x00\x01",
            bytes(range(256)) * 10,
            b"10 %\r20 %\r30 %\rdone\n",
        ],
    )
    @pytest.mark.parametrize("size", [1, 3, 4096])
    def test_every_byte_passes(self, redactor: Redactor, content: bytes, size: int) -> None:
        assert through(redactor, content, size) == content

    def test_random_bytes_pass(self, redactor: Redactor) -> None:
        content = b"".join(hashlib.sha512(b"%d" % number).digest() for number in range(3000))
        if redactor.text(content.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape") == content:
            assert through(redactor, content) == content

    def test_a_long_line_passes_whole(self, redactor: Redactor) -> None:
        content = b"words and words " * 20_000 + b"\nend\n"
        assert through(redactor, content, 60_000) == content

    def test_nothing_counts_as_changed(self, redactor: Redactor) -> None:
        assert not holds_secret(b"plain\n" * 50_000, redactor)


class TestLines:
    def test_a_line_passes_when_it_is_complete(self, redactor: Redactor) -> None:
        lines = LineRedactor(redactor)
        assert lines.feed(b"one\ntw") == b"one\n"
        assert lines.feed(b"o") == b""
        assert lines.feed(b"\n") == b"two\n"
        assert lines.feed(b"50 %\r") == b"50 %\r"
        assert lines.feed(b"> prompt") == b""
        assert lines.finish() == b"> prompt"

    @pytest.mark.parametrize("size", [1, 2, 5, 64, 4096])
    def test_a_known_secret_is_found_however_the_bytes_arrive(self, redactor: Redactor, size: int) -> None:
        content = f"user app\npass {SECRET} ok\nlast {SECRET}".encode()
        clean = through(redactor, content, size)
        assert SECRET.encode() not in clean
        assert clean.startswith(b"user app\npass [redacted:")
        assert clean.count(b"[redacted:") == 2

    @pytest.mark.parametrize("size", [1, 7, 4096])
    def test_patterns_are_found_however_the_bytes_arrive(self, redactor: Redactor, size: int) -> None:
        content = b"GITHUB_TOKEN=abc123def456\nAuthorization: Bearer abc.def-ghi123\nhttp://u:hunter2@h/\nAKIAIOSFODNN7EXAMPLE\n"
        clean = through(redactor, content, size)
        for secret in (b"abc123def456", b"abc.def-ghi123", b"hunter2", b"AKIAIOSFODNN7EXAMPLE"):
            assert secret not in clean
        assert clean.count(b"\n") == 4

    def test_only_lines_with_secrets_change(self, redactor: Redactor) -> None:
        content = b"".join(b"line %d is plain: yes\n" % number for number in range(1000)) + f"{SECRET}\n".encode()
        clean = through(redactor, content, 50_000)
        assert clean.startswith(content[: -len(SECRET) - 1])
        assert SECRET.encode() not in clean

    def test_a_secret_beside_bytes_that_are_not_utf8(self, redactor: Redactor) -> None:
        clean = through(redactor, b"\xff\xfe" + SECRET.encode() + b"\x80\xff\n")
        assert SECRET.encode() not in clean
        assert clean.startswith(b"\xff\xfe[redacted:")
        assert clean.endswith(b"]\x80\xff\n")


class TestLongLines:
    @pytest.mark.parametrize("offset", [-30, -21, -20, -10, -1, 0, 1, 10])
    @pytest.mark.parametrize("boundary", [LONGEST_LINE // 2, LONGEST_LINE, LONGEST_LINE + LONGEST_LINE // 2])
    def test_a_secret_across_a_boundary_is_found(self, redactor: Redactor, boundary: int, offset: int) -> None:
        start = boundary + offset
        content = (b"word " * 40_000)[:start] + SECRET.encode() + b" word" * 20_000
        clean = through(redactor, content, 65_536)
        assert SECRET.encode() not in clean
        before, marker, after = clean.partition(b"[redacted:")
        assert before == content[:start]
        assert marker
        assert after.partition(b"]")[2] == content[start + len(SECRET) :]

    def test_secrets_everywhere_in_a_long_line(self, redactor: Redactor) -> None:
        content = (
            b"".join(b'{"id": %d, "token": "tk-%d-abcdef", "say": "hello"}, ' % (n, n) for n in range(6000)) + b"\n"
        )
        clean = through(redactor, content, 10_000)
        assert b"abcdef" not in clean
        assert clean.count(b'"say": "hello"') == 6000

    def test_a_secret_without_end_drops_the_rest_of_the_line_only(self, redactor: Redactor) -> None:
        content = b"before\npassword=" + b"Ab1+" * 100_000 + b"\nafter\n"
        clean = through(redactor, content, 30_000)
        assert b"Ab1+" not in clean
        assert clean.startswith(b"before\n")
        assert b"continues a secret" in clean
        assert clean.endswith(b"\nafter\n")

    def test_memory_is_bounded(self, redactor: Redactor) -> None:
        lines = LineRedactor(redactor)
        piece = b"word " * 13_000
        tracemalloc.start()
        try:
            for _ in range(100):
                lines.feed(piece)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 2_000_000


class TestPrivateKeys:
    @pytest.mark.parametrize("kind", KEY_TYPES)
    @pytest.mark.parametrize("size", [1, 50, 4096])
    def test_a_key_of_many_lines_is_taken_out_as_one(self, redactor: Redactor, kind: str, size: int) -> None:
        text, body = key(kind)
        clean = through(redactor, b"before\n" + text + b"after\n", size)
        assert not [line for line in body if line in clean]
        assert clean.startswith(b"before\n[redacted:")
        assert clean.endswith(b"]\nafter\n")
        assert clean.count(b"[redacted:") == 1

    def test_a_key_with_crlf_and_indentation(self, redactor: Redactor) -> None:
        text, body = key(end="\r\n    ")
        clean = through(redactor, b"key: |\r\n    " + text + b"\r\nafter\r\n", 10)
        assert not [line for line in body if line in clean]
        assert clean.endswith(b"after\r\n")

    def test_a_key_without_end_is_left_out_at_the_streams_end(self, redactor: Redactor) -> None:
        text, body = key()
        clean = through(redactor, b"before\n" + text[:-60], 100)
        assert not [line for line in body if line[:40] in clean]
        assert clean.startswith(b"before\n[redacted:")

    def test_a_very_large_key_is_left_out_whole(self, redactor: Redactor) -> None:
        text, body = key("PGP PRIVATE KEY BLOCK", lines=3000)
        clean = through(redactor, text + b"after\nand more\n", 9000)
        assert not [line for line in body if line in clean]
        assert clean.endswith(b"after\nand more\n")

    def test_what_comes_before_a_key_is_not_held_back(self, redactor: Redactor) -> None:
        text, _ = key()
        lines = LineRedactor(redactor)
        assert lines.feed(b"shown\n" + text[:200]) == b"shown\n"
        assert lines.feed(text[200:]).startswith(b"[redacted:")

    def test_two_keys(self, redactor: Redactor) -> None:
        (first, one), (second, two) = key(), key("EC PRIVATE KEY", lines=4)
        clean = through(redactor, first + b"between\n" + second, 33)
        assert not [line for line in (*one, *two) if line in clean]
        assert b"between\n" in clean

    def test_certificates_stay(self, redactor: Redactor) -> None:
        content = b"-----BEGIN CERTIFICATE-----\nMIIB plain text\n-----END CERTIFICATE-----\n"
        assert through(redactor, content, 11) == content


class TestTail:
    @pytest.mark.parametrize(
        "chunks, text",
        [
            ([], ""),
            ([b"abc", b"def"], "abcdef"),
            ([b"0123456789"], "0123456789"),
            ([b"0123456789x"], "123456789x"),
            ([b"ab\ncd\nefghij"], "cd\nefghij"),
            ([b"first line\n", b"second\n"], "second\n"),
            ([("ä" * 8).encode()], "äääää"),
            ([b"x" + ("ä" * 8).encode()], "äääää"),
            ([b"a", ("ä" * 5).encode()], "äääää"),
        ],
    )
    def test_the_end_is_kept_from_the_start_of_a_line_or_character(self, chunks: list[bytes], text: str) -> None:
        tail = Tail(10)
        for chunk in chunks:
            tail.feed(chunk)
        assert tail.text() == text

    @pytest.mark.parametrize("content", [b"\xff" * 10_000, os.urandom(10_000), b"\xe4\xb8\x96" * 3000, b"\x80" * 5000])
    def test_it_is_always_short_valid_text(self, content: bytes) -> None:
        tail = Tail()
        tail.feed(content)
        assert len(tail.text().encode("utf-8")) <= TAIL

    def test_fed_byte_by_byte_it_is_the_same(self) -> None:
        content = b"".join(b"line %d\n" % number for number in range(2000))
        whole, single = Tail(), Tail()
        whole.feed(content)
        for position in range(len(content)):
            single.feed(content[position : position + 1])
        assert whole.text() == single.text() != ""


class TestKeeper:
    def test_what_is_shown_is_what_is_kept_and_holds_no_secret(self, redactor: Redactor, tmp_path: Path) -> None:
        store = ContentStore(tmp_path)
        shown: list[bytes] = []
        keeper = OutputKeeper("stdout", redactor=redactor, store=store, show=lambda _, chunk: shown.append(chunk))
        for number in range(1000):
            keeper.feed(f"line {number}: {SECRET}\n".encode())
        details = keeper.close()
        kept = store.read(details["sha256"])
        assert kept == b"".join(shown)
        assert len(kept) == details["bytes"]
        assert details["redacted"] is True
        assert kept.endswith(details["tail"].encode())
        assert SECRET.encode() not in kept
        assert len(details["tail"].encode()) <= TAIL

    def test_no_secret_is_on_disk_while_it_runs_either(self, redactor: Redactor, tmp_path: Path) -> None:
        keeper = OutputKeeper("stdout", redactor=redactor, store=ContentStore(tmp_path), show=lambda _, __: None)
        for _ in range(10_000):
            keeper.feed(f"so it is that {SECRET} was said\n".encode())
        on_disk = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
        assert len(on_disk) > 100_000
        assert SECRET.encode() not in on_disk
        keeper.discard()
        assert not [path for path in tmp_path.rglob("*") if path.is_file()]

    def test_output_that_cannot_be_kept_is_the_recorders_failure(self, redactor: Redactor, tmp_path: Path) -> None:
        (tmp_path / "store").write_text("a file where the store should be")
        keeper = OutputKeeper(
            "stderr", redactor=redactor, store=ContentStore(tmp_path / "store"), show=lambda _, __: None
        )
        keeper.feed(b"x\n")
        with pytest.raises(RecorderError, match="stderr cannot be kept"):
            keeper.close()


def normalised(content: bytes) -> bytes:
    return re.sub(rb"\[redacted:[\w-]{43}\]", b"[redacted]", content)


PIECES = st.lists(
    st.one_of(
        st.sampled_from(
            [SECRET.encode(), b"password=", b"token: ", b"\n", b"\r\n", b"\r", b" ", b'{"api_key": "abc123"}', b"=",
             b'"', b"ghp_", b"A" * 40, b"-----BEGIN RSA PRIVATE KEY-----\n", b"-----END RSA PRIVATE KEY-----\n",
             "ä€".encode(), b"\xff", b"\0"]
        ),
        st.binary(max_size=12),
        st.text(max_size=12).map(str.encode),
    ),
    max_size=30,
)  # fmt: skip


@given(pieces=PIECES, sizes=st.lists(st.integers(1, 20), min_size=1, max_size=5))
def test_the_result_does_not_depend_on_how_the_bytes_arrive(pieces: list[bytes], sizes: list[int]) -> None:
    redactor = Redactor()
    redactor.add_secret(SECRET)
    content = b"".join(pieces)
    at_once = through(redactor, content, len(content) or 1)
    assert normalised(through(redactor, content, sizes)) == normalised(at_once)
    assert SECRET.encode() not in at_once
