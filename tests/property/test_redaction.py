"""Redaction holds whatever surrounds a secret: the quick look never rules out what the search would find."""

from __future__ import annotations

import itertools
import json
import random
import string
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hearth.record import Redactor, canonical_bytes
from hearth.record._patterns import find_secrets
from hearth.recorder import ExecutionObserver, Journal
from tests.property._examples import examples

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TEXTS = 30_000
KEYS: tuple[str, ...] = (
    *("password", "PASSWORD", "db_password", "passwd1", "pwd", "secret", "client.secret", "token", "GITHUB_TOKEN"),
    *("apiKey", "X-Api-Key", "Authorization", "cookie", "private_key", "auth", "pin", "credentials", "accessToken"),
    *("jwt", "bearer", "sessionid", "webhook_url", "sas"),
)
AROUND = (
    *string.ascii_letters,
    *string.digits,
    *" \t\n\r\v\f_-.,:;=@/\\'\"`|&<>()[]{}$%#!?*+~^",
    "é",
    "\x00",
    "\x1f",
    "\x7f",
    "\x85",
    "\u2028",
    "\U0001f600",
)
PUNCTUATION = ("", "_", ".", "-", "1", "é", "x")


class Shapes:
    """Texts that hold something which looks like a secret, in every spelling that the search knows."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)  # noqa: S311 - repeatable, not secret

    def one_of(self, *choices: str) -> str:
        return self.random.choice(choices)

    def blank(self, least: int = 0) -> str:
        return "".join(self.random.choices(" \t\n\r", weights=(8, 1, 1, 1), k=self.random.randint(least, 3)))

    def word(self, low: int = 1, high: int = 24, letters: str = string.ascii_letters + string.digits) -> str:
        return "".join(self.random.choices(letters, k=self.random.randint(low, high)))

    def value(self) -> str:
        return self.word(1, 30, string.ascii_letters + string.digits + "-_.$!#/+=")

    def around(self, most: int = 6) -> str:
        return "".join(self.random.choices(AROUND, k=self.random.randint(0, most)))

    def keyed(self) -> str:
        quote = self.one_of("", "", '"', "'", '\\"', '\\\\"')
        key = self.one_of(*PUNCTUATION) + self.one_of(*KEYS) + self.one_of(*PUNCTUATION)
        inner = self.one_of("", '"', "'", '\\"')
        operator = self.blank() + self.one_of(":", "=", "=>", ":=") + self.blank()
        return f"{quote}{key}{quote}{operator}{inner}{self.value()}{inner}"

    def option(self) -> str:
        key = self.one_of("password", "token", "api-key", "client-secret", "auth-token", "pass")
        return f"{self.one_of('-', '--')}{key}{self.one_of('=', self.blank(1))}{self.value()}"

    def command(self) -> str:
        return self.one_of(
            f"-u{self.one_of(' ', '=', self.blank(1))}{self.word()}:{self.value()}",
            f"--user{self.one_of(' ', '=')}{self.word()}:{self.value()}",
            f"--proxy-user {self.word()}:{self.value()}",
            f"mysql{self.one_of('', 'dump')} {self.around(8)}{self.blank(1)}-p{self.value()}",
            f"mariadb{self.blank(1)}-p{self.value()}",
            f"sshpass{self.blank(1)}-p{self.blank()}{self.value()}",
            f"curl{self.blank(1)}-{self.one_of('', 's', 'fsS')}u{self.blank()}{self.word()}:{self.value()}",
            f"docker {self.one_of('', '-D ')}login{self.blank(1)}-p{self.blank()}{self.value()}",
            f"redis-cli {self.around(8)}{self.blank(1)}-a{self.blank(1)}{self.value()}",
            f"-{self.one_of('pass', 'passin', 'passout')}{self.blank(1)}pass:{self.value()}",
            f"-U{self.blank()}{self.word()}%{self.value()}",
        )

    def header(self) -> str:
        name = self.one_of(
            "Authorization", "authorization", "Cookie", "Set-Cookie", "X-Rate-Cookie", "Proxy-Authorization"
        )
        kind = self.one_of("", "Bearer ", "Basic ", "token ", "Digest\t")
        return f"{name}{self.blank()}:{self.blank()}{kind}{self.value()}"

    def maker(self) -> str:
        long = self.word(16, 40)
        loose = self.word(16, 40, string.ascii_letters + string.digits + "-_")
        return self.one_of(
            "AKIA" + self.word(16, 16, string.ascii_uppercase + string.digits),
            f"gh{self.one_of(*'pousr')}_{long}",
            f"github_pat_{loose}",
            f"glpat-{loose}",
            f"npm_{self.word(20, 40)}",
            f"pypi-{loose}",
            f"xox{self.one_of(*'bpas')}-{loose}",
            f"hf_{self.word(20, 40)}",
            f"hvs.{loose}",
            f"AIza{self.word(30, 40, string.ascii_letters + string.digits + '-_')}",
            f"ya29.{loose}",
            f"sk_live_{self.word(10, 30)}",
            f"sk-{loose}",
            f"SG.{loose}.{loose}",
            f"glrt-{loose}",
            f"dckr_pat_{loose}",
            f"shpat_{long}",
            f"https://hooks.slack.com/services/{self.word(9, 11)}/{self.word(9, 11)}/{self.word(24, 24)}",
            f"{self.one_of('?', '&')}sig={self.value()}",
            f"eyJ{loose}.{loose}.{loose}",
        )

    def other(self) -> str:
        return self.one_of(
            f"{self.one_of('Bearer', 'bearer')}{self.one_of(' ', self.blank(1))}{self.value()}",
            f"{self.word()}://{self.word(0, 5)}:{self.value()}@{self.word()}",
            f"postgresql://app:{self.value()}@db",
            f"-----BEGIN {self.one_of('', 'RSA ', 'OPENSSH ')}PRIVATE KEY-----{self.blank()}{self.word(4, 60)}",
        )

    def text(self) -> str:
        shape = self.random.choice(
            (self.keyed, self.keyed, self.option, self.command, self.header, self.maker, self.other)
        )
        middle = self.around() + shape() + self.around()
        if self.random.random() < 0.1:
            middle = json.dumps({self.word(): middle}, separators=self.random.choice(((",", ":"), (", ", ": "))))
        if self.random.random() < 0.02:
            middle = self.word(200, 400) + middle
        return middle


def is_ruled_out(text: str) -> bool:
    """Whether some way of recording a text would leave it as it is."""
    redactor = Redactor()
    encoded = (
        orjson.dumps({"a": text}),
        orjson.dumps({"a": 1, "list": ["x", text, "y"]}),
        orjson.dumps({text: 1}),
        orjson.dumps([{"b": {"c": text}}]),
    )
    return redactor.text(text) == text or not all(map(redactor.suspicious, encoded))


def test_the_quick_look_never_rules_out_what_the_search_finds() -> None:
    shapes = Shapes(7)
    found = 0
    missed = []
    for _ in range(TEXTS):
        text = shapes.text()
        if find_secrets(text):
            found += 1
            if is_ruled_out(text):
                missed.append(text)
    assert not missed, (len(missed), sorted(missed, key=len)[:10])
    assert found > TEXTS * 0.6, "the texts hold what they are to hold"


@pytest.mark.soak
def test_it_never_does_in_a_million_texts() -> None:
    shapes = Shapes(1_000_003)
    missed = [text for text in (shapes.text() for _ in range(1_000_000)) if find_secrets(text) and is_ruled_out(text)]
    assert not missed, (len(missed), sorted(missed, key=len)[:10])


@examples(400)
@given(
    before=st.text(st.sampled_from(AROUND), max_size=8),
    key=st.sampled_from(
        (*KEYS, "--password", "-token", "-u", "sshpass -p", "bearer", "-----BEGIN PRIVATE KEY-----", "x://")
    ),
    between=st.text(st.sampled_from(" \t\n:=>\"'\\.-_é"), max_size=5),
    value=st.text(st.sampled_from(AROUND), min_size=1, max_size=20),
)
@example("(", "-u", " ", "a:b")
@example("", "password", ".: ", "x")
@example("x", "-----BEGIN PRIVATE KEY-----", "", "abc")
@example("", "password", " : ", "hunter2")
@example("", "password", ':"', 'hunter2"')
@example("#1", "pwd", ":", "Wg8MgjF")
@example("\\", "token", ".\r\r => ", "Z2Z#y")
def test_nor_in_texts_made_of_its_signs(before: str, key: str, between: str, value: str) -> None:
    text = before + key + between + value
    if find_secrets(text):
        assert not is_ruled_out(text)


@examples(300)
@given(
    st.lists(
        st.sampled_from((*AROUND, "password", "token=", "--secret ", "Bearer ", "://", "@", "-p", "mysql ")),
        max_size=30,
    ).map("".join)
)
def test_spans_lie_within_the_text_in_order(text: str) -> None:
    spans = find_secrets(text)
    assert all(0 <= start < end <= len(text) for start, end in spans)
    assert all(first[1] <= second[0] for first, second in itertools.pairwise(spans))
    once = Redactor().text(text)
    for start, end in spans:
        if end - start > 8 and text.count(text[start:end]) == 1:
            assert text[start:end] not in once


@examples(200)
@given(
    secret=st.text(min_size=4, max_size=20).filter(lambda text: len(text.strip()) >= 4),
    before=st.text(max_size=10),
    after=st.text(max_size=10),
)
def test_a_known_secret_is_found_in_any_surroundings(secret: str, before: str, after: str) -> None:
    redactor = Redactor()
    redactor.add_secret(secret)
    text = before + secret + after
    for shown in (
        redactor.text(text),
        redactor.text(json.dumps({"x": text})),
        redactor.text(json.dumps(text, ensure_ascii=False)),
    ):
        left = shown.replace("[redacted:", "")
        assert secret not in left or secret in before + after or len(set(secret)) < 4
    plain, _ = redactor.details({"a": text, "b": [{"c": text}], text: 1})
    assert redactor.text(canonical_bytes(plain).decode()).count("[redacted:") >= 3


# --- two hundred planted secrets --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Planted:
    """A secret, and how it comes into an execution: arguments for one recording call."""

    secret: str
    act: str
    arguments: tuple[Any, ...]


def plant(count: int) -> Iterator[Planted]:
    """Secrets of the usual alphabets, each in one of the ways in which secrets come into an execution."""
    chance = random.Random(200)  # noqa: S311 - repeatable, not secret
    letters = string.ascii_letters + string.digits
    for number in range(count):
        secret = "".join(chance.choices(letters, k=20)) + chance.choice(("", "!", "#x", "+/=", "%40", ".", "~"))
        details: tuple[Any, ...] = (
            {"password": secret},
            {"nested": [{"deep": {"apiKey": [secret, {"x": secret}]}}]},
            {"env": {"GITHUB_TOKEN": secret, "PATH": "/bin"}},
            {"argv": ["deploy", "--password", secret, "--now"]},
            {"argv": ["deploy", f"--client-secret={secret}"]},
            {"command": f"curl -H 'Authorization: Bearer {secret}' http://h/"},
            {"command": f"PGPASSWORD={secret} psql -c 'select 1'"},
            {"headers": {"X-Api-Key": secret, "Accept": "*/*"}},
            {"body": json.dumps({"user": "ann", "password": secret})},
            {"body": json.dumps({"inner": json.dumps({"token": secret})})},
            {"log": f"connecting to postgresql://app:{secret.replace('/', '')}@db:5432/x"},
            {"object": {1: {"client_secret": secret}}},
            {"raw": f"token={secret}".encode()},
            {"unknown": ValueError(f"login failed, password={secret}")},
            {"pem": f"-----BEGIN PRIVATE KEY-----\n{secret}\n-----END PRIVATE KEY-----"},
        )
        way = number % (len(details) + 5)
        if way < len(details):
            act = chance.choice(("record_step_started", "record_step_completed"))
            yield Planted(secret, act, (number, "a step", details[way]))
        elif way == len(details):
            yield Planted(secret, "record_step_started", (number, f"deploy --token {secret}"))
        elif way == len(details) + 1:
            yield Planted(secret, "record_step_failed", (number, "a step", f"refused: password={secret}"))
        elif way == len(details) + 2:
            yield Planted(secret, "record_side_effect", ("NETWORK", f"GET http://h/?access_token={secret}"))
        elif way == len(details) + 3:
            yield Planted(secret, "record_side_effect", ("OTHER", "x", False, None, {"credentials": {"pw": secret}}))
        else:
            yield Planted(secret, "record_step_failed", (number, "a step", "x", {"stderr": f"secret: {secret}"}))


PLANTED = list(plant(200))


def core(secret: str) -> str:
    """What must not be seen anywhere: the letters and digits, whatever becomes of the rest."""
    return secret[:20]


@pytest.mark.parametrize("with_journal", [False, True])
def test_nothing_of_two_hundred_secrets_is_left(tmp_path: Path, with_journal: bool) -> None:
    journal = Journal.create(tmp_path / "run.journal") if with_journal else None
    observer = ExecutionObserver("run-1", "plan", journal=journal)
    for planted in PLANTED:
        getattr(observer, planted.act)(*planted.arguments)
    observer.mark_failed(f"stopped: token={PLANTED[0].secret}")
    record = observer.get_execution_record("LIVE")
    if journal:
        journal.close()
    shown = {
        "memory": b"".join(map(bytes, getattr(observer, "_memory", []))).decode(),
        "journal": (tmp_path / "run.journal").read_text("utf-8") if journal else "",
        "to_dict": json.dumps(record.to_dict(), ensure_ascii=False),
        "repr": repr(record),
    }
    leaks = [(planted, where) for planted in PLANTED for where, text in shown.items() if core(planted.secret) in text]
    assert not leaks, leaks[:5]
    assert shown["memory"] or shown["journal"]
    assert record.verify()
    assert len(record.entries) == len(PLANTED) + 2


def test_planting_without_redaction_would_show_them_all() -> None:
    """Or else the test above could not fail."""
    for planted in PLANTED:
        assert core(planted.secret) in repr(planted.arguments)
