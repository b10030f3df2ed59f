"""Secrets within texts: found in every usual place, with what surrounds them left alone, in linear time."""

from __future__ import annotations

import base64
import itertools
import json
import math
import re
import time
from typing import TYPE_CHECKING

import pytest

from hearth.record import Redactor
from hearth.record._patterns import find_secrets

if TYPE_CHECKING:
    from collections.abc import Callable

COMMITMENT = re.compile(r"\[redacted:[A-Za-z0-9_-]{43}\]")

JWT = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"
PEM_BODY = (
    "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7\nVJTUt9Us8cKjMzEfYyjiWA4R4/M2bS1GB4t7NXp98C3SC6dVMvDu\n"
)
P = "Xk9-mP2_vLq8"

# (text with the secret, the secret, what must still stand in the text)
FOUND = [
    # assignments, in shells and in files
    (f"PASSWORD={P} ./run", P, "PASSWORD= ./run"),
    (f"export DB_PASSWORD='{P}'", P, "export DB_PASSWORD="),
    (f'API_KEY="{P}" make', P, "API_KEY= make"),
    (f'SECRET="two words {P}" x', "two words " + P, "SECRET= x"),
    (f"token={P}&page=2", P, "page=2"),
    (f"env TOKEN={P} PATH=/bin cmd", P, "PATH=/bin"),
    (f"password: {P}", P, "password:"),
    (f"  client_secret:  '{P}'", P, "client_secret:"),
    (f"password : {P}", P, "password"),
    (f'password:"{P}"', P, "password"),
    (f"password:\t{P}", P, "password"),
    (f"password:={P}", P, "password"),
    (f"password => '{P}'", P, "password"),
    (f"db.password={P}", P, "db.password"),
    (f"$env:API_KEY = '{P}'", P, "$env:API_KEY"),
    (f"secretsmanager put --token={P}", P, "--token="),
    ("password=$ecret!9", "$ecret!9", "password="),
    ("password=pa$$w0rd", "pa$$w0rd", "password="),
    # options
    (f"deploy --password {P} --verbose", P, "deploy --password --verbose"),
    (f"deploy --password={P} --verbose", P, "--verbose"),
    (f"deploy --api-key '{P}'", P, "--api-key"),
    (f'deploy --client-secret "{P}"', P, "--client-secret"),
    (f"java -password {P}", P, "java"),
    (f"-password {P}", P, "-password"),
    (f"mysql -u root -p{P} app", P, "mysql -u root -p app"),
    (f"mysqldump -p{P}", P, "mysqldump -p"),
    (f"mysql -u root \\\n  -p{P} app", P, "mysql -u root"),
    (f"sshpass -p {P} ssh host", P, "ssh host"),
    (f"sshpass -p '{P}' ssh host", P, "ssh host"),
    (f"curl -u admin:{P} http://h/", P, "curl -u admin: http://h/"),
    (f"-u admin:{P}", P, "-u admin:"),
    (f"curl --user admin:{P}", P, "--user admin:"),
    (f"curl --proxy-user 'admin:{P}' x", P, "--proxy-user"),
    (f"curl -uadmin:{P} http://h/", P, "curl -uadmin: http://h/"),
    (f"curl -fsSu 'admin:{P}' 'http://h/?a=1&b=2'", P, "http://h/?a=1&b=2"),
    (f"curl 'http://h/?a=1&b=2' -su admin:{P}", P, "-su admin:"),
    (f"docker login -u u -p {P} r.example", P, "docker login -u u -p r.example"),
    (f"docker --config /c login -u u -p{P}", P, "docker --config /c login -u u -p"),
    (f"podman login -p '{P} two' r.example", P + " two", "r.example"),
    (f"helm registry login r.example \\\n  -p {P} -u u", P, "-u u"),
    (f"redis-cli -h cache -a {P} ping", P, "redis-cli -h cache -a ping"),
    (f"redis-cli -a '{P}' ping", P, "ping"),
    (f"openssl rsa -in k.pem -passin pass:{P} -out o.pem", P, "-passin pass: -out o.pem"),
    (f"openssl rsa -passout 'pass:{P} two' -out o.pem", P + " two", "-out o.pem"),
    (f"openssl enc -pass pass:{P}", P, "openssl enc -pass"),
    (f"smbclient //h/s -U ann%{P} -c ls", P, "smbclient //h/s -U ann% -c ls"),
    (f"smbclient //h/s --user=ann%{P}", P, "--user=ann%"),
    # headers
    (f"curl -H 'Authorization: Bearer {P}' http://h/", P, "http://h/"),
    (f'curl -H "Authorization: Basic {P}=="', P, "Authorization:"),
    (f'curl -H "authorization: {P}"', P, "authorization:"),
    (f'curl -H "X-Api-Key: {P}"', P, "X-Api-Key:"),
    (f'curl -H "Cookie: session={P}; a=b"', P, "Cookie:"),
    (f"Set-Cookie: sid={P}; Path=/", P, "Set-Cookie:"),
    (f"sent bearer {P}", P, "sent bearer"),
    # URLs
    (f"postgresql://app:{P}@db:5432/x", P, "postgresql://app:@db:5432/x"),
    (f"git clone https://ann:{P}@git.example/r.git", P, "@git.example/r.git"),
    (f"redis://:{P}@cache", P, "redis://:@cache"),
    (f"amqp+ssl://u:{P}@mq/%2f", P, "@mq/%2f"),
    ("mongodb://u:p@ss@host/db", "p@ss", "@host/db"),
    (f"http://h/?access_token={P}&x=1", P, "x=1"),
    (f"https://a.blob.example/c/b?sv=2024&sig={P}%3D&se=2025", P, "&se=2025"),
    (f"GET /c/b?sig={P} failed", P, "GET /c/b?sig= failed"),
    (
        "posted to https://hooks.slack.com/services/T024BE7LD/B01ABCD2EFG/abcdefGHIJKLmnop01234567 twice",
        "abcdefGHIJKLmnop01234567",
        "posted to https://hooks.slack.com/services/ twice",
    ),
    (f"sessionid={P}; path", P, "sessionid="),
    (f"session_id: {P}", P, "session_id:"),
    (f"bearer: {P}", P, "bearer:"),
    # JSON within a text, also escaped
    (json.dumps({"user": "ann", "password": P}), P, '"user": "ann"'),
    (json.dumps({"password": P}, separators=(",", ":")), P, '{"password":'),
    (f'{{"password" : "{P}"}}', P, '"password"'),
    (json.dumps({"a": {"apiKey": P, "n": 1}}, indent=2), P, '"n": 1'),
    (json.dumps({"body": json.dumps({"password": P})}), P, "body"),
    (f'curl -d "{{\\"password\\":\\"{P}\\"}}" http://h/', P, "http://h/"),
    (json.dumps({"password": f'quo"te {P}'}), P, "password"),
    (repr({"user": "ann", "password": P}), P, "'user': 'ann'"),
    (f"{{user: ann, password: {P}}}", P, "user: ann"),
    # keys of known makers
    ("uses AKIAIOSFODNN7EXAMPLE here", "AKIAIOSFODNN7EXAMPLE", "uses here"),
    ("ghp_16C7e42F292c6912E7710c838347Ae178B4a", "ghp_16C7e42F292c6912E7710c838347Ae178B4a", ""),
    (
        "x github_pat_11ABCDEFG0aBcDeFgHiJkLmN_0123456789abcdef y",
        "github_pat_11ABCDEFG0aBcDeFgHiJkLmN_0123456789abcdef",
        "x y",
    ),
    ("glpat-abcDEF123456ghiJKL78", "glpat-abcDEF123456ghiJKL78", ""),
    ("glrt-abcDEF123456ghiJKL78", "glrt-abcDEF123456ghiJKL78", ""),
    ("runner glrt-abc-EF12345_ghi-KL78-x", "glrt-abc-EF12345_ghi-KL78-x", "runner"),
    ("dckr_pat_aB1-cD2_eF3-gH4iJ5-kL6mN7o", "dckr_pat_aB1-cD2_eF3-gH4iJ5-kL6mN7o", ""),
    ("shpat_0123456789abcdef0123456789abcdef", "shpat_0123456789abcdef0123456789abcdef", ""),
    ("shpca_0123456789abcdef0123456789abcdef", "shpca_0123456789abcdef0123456789abcdef", ""),
    ("shppa_0123456789abcdef0123456789abcdef", "shppa_0123456789abcdef0123456789abcdef", ""),
    ("shpss_0123456789abcdef0123456789abcdef", "shpss_0123456789abcdef0123456789abcdef", ""),
    ("npm_abcdefghijABCDEFGHIJ0123456789abcdef", "npm_abcdefghijABCDEFGHIJ0123456789abcdef", ""),
    ("xoxb-123456789012-1234567890123-AbCdEfGhIjKlMnOpQrStUvWx", "AbCdEfGhIjKlMnOpQrStUvWx", ""),
    ("hf_AbCdEfGhIjKlMnOpQrStUvWxYz01234567", "hf_AbCdEfGhIjKlMnOpQrStUvWxYz01234567", ""),
    ("AIzaSyA1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6Q", "AIzaSyA1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6Q", ""),
    ("AIzaSyA1b-C2d3E4_f5G6h7I8-j9K0l1M2_n3O4p5", "AIzaSyA1b-C2d3E4_f5G6h7I8-j9K0l1M2_n3O4p5", ""),
    ("sk_live_4eC39HqLyjWDarjtT1zdp7dc", "sk_live_4eC39HqLyjWDarjtT1zdp7dc", ""),
    ("sk-proj-abcdefghijklmnopqrstuvwxyz012345", "sk-proj-abcdefghijklmnopqrstuvwxyz012345", ""),
    ("ya29.a0AfH6SMBx1234567890abcdefghij", "ya29.a0AfH6SMBx1234567890abcdefghij", ""),
    (f"jwt {JWT} end", JWT, "jwt end"),
    (f"(see {JWT})", JWT, "(see )"),
    # PEM
    (f"a\n-----BEGIN PRIVATE KEY-----\n{PEM_BODY}-----END PRIVATE KEY-----\nb", PEM_BODY, "a\n\nb"),
    (f"-----BEGIN RSA PRIVATE KEY-----\n{PEM_BODY}-----END RSA PRIVATE KEY-----", PEM_BODY, ""),
    (f"-----BEGIN OPENSSH PRIVATE KEY-----\n{PEM_BODY}", PEM_BODY, ""),
    (f"-----BEGIN PGP PRIVATE KEY BLOCK-----\n{PEM_BODY}-----END PGP PRIVATE KEY BLOCK-----", PEM_BODY, ""),
]


@pytest.mark.parametrize("text, secret, left", FOUND, ids=[text[:40] for text, _, _ in FOUND])
def test_a_secret_in_a_text_is_taken_out_and_the_rest_stays(text: str, secret: str, left: str) -> None:
    assert secret in text or json.dumps(secret)[1:-1] in text
    redacted = Redactor().text(text)
    assert secret not in redacted
    assert COMMITMENT.search(redacted)
    if "\n" in secret:
        assert not any(line in redacted for line in secret.split("\n") if line)
    rest = " ".join(COMMITMENT.sub("", redacted).replace("''", "").replace('""', "").split())
    assert " ".join(left.split()) in rest


@pytest.mark.parametrize("text, secret, left", FOUND, ids=[text[:40] for text, _, _ in FOUND])
@pytest.mark.parametrize("wrap", ["value", "list", "deep", "escaped", "key"])
def test_the_same_within_details(text: str, secret: str, left: str, wrap: str) -> None:
    details = {
        "value": {"command": text},
        "list": {"argv": ["sh", "-c", text]},
        "deep": {"a": [{"b": ({"c": text},)}]},
        "escaped": {"body": json.dumps({"inner": text})},
        "key": {text: 1},
    }[wrap]
    plain, _ = Redactor().details(details)
    encoded = json.dumps(plain, ensure_ascii=False)
    pieces = secret.split("\n") if "\n" in secret else [secret]
    for piece in filter(None, pieces):
        assert piece not in encoded
        assert json.dumps(piece)[1:-1] not in encoded


HARMLESS = [
    "",
    "a",
    "copied 5000 rows in 12:30:05",
    "2025-09-01T12:00:00.000000Z",
    "http://127.0.0.1:8080/reload",
    "https://example.org/path?page=2&sort=name",
    "ann@example.org",
    "git clone git@github.com:org/repo.git",
    "cp -u a b && mysql -uroot -e 'select 1'",
    "mkdir -p a/b && docker run -p 8080:80 web",
    "docker ps && ssh -p 22 login.example",
    "docker login -u u --password-stdin",
    "redis-cli -h cache ping; ls -a b",
    "openssl rsa -passin env:KEY_PASS -passout file:out.txt",
    "smbclient -U ann -N //h/s",
    "date -u +%H:%M",
    "redis-cli -a $REDIS_PASS ping",
    "https://h/?design=1&signal=2",
    "see https://hooks.slack.com/docs",
    "curl -o out.txt -T up.txt http://h/",
    "ls --author=ann --color=auto",
    "max_tokens=100 token_count: 7",
    "auth: done",
    "the password was changed",
    "token expired; get a new one",
    "PASSWORD=$PASSWORD ./run",
    "PASSWORD=${DB_PASSWORD} ./run",
    'PASSWORD="$(pass show db)" ./run',
    "--password $PASS",
    "password: ***",
    "password = None",
    "Authorization: Bearer $TOKEN",
    "postgresql://app@db/x",
    "password={{ secret }}",
    "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "commit 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b",
    "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
    "-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----",
    "PWD=/home/ann",
    "task-force risk-free disk-based",
    "x" * 1000,
    "Traceback (most recent call last):\n  File \"a.py\", line 1, in <module>\nKeyError: 'name'",
]


@pytest.mark.parametrize("text", HARMLESS, ids=lambda text: text[:30])
def test_a_harmless_text_stays_as_it_is(text: str) -> None:
    """A record that is redacted too much is no evidence either."""
    assert Redactor().text(text) == text
    plain, _ = Redactor().details({"a": text, "b": [text]})
    assert plain == {"a": text, "b": [text]}


def test_redacting_twice_changes_nothing_more() -> None:
    redactor = Redactor()
    for text, _, _ in FOUND:
        once = redactor.text(text)
        assert redactor.text(once) == once


def test_spans_are_in_order_and_do_not_overlap() -> None:
    for text, _, _ in FOUND:
        spans = find_secrets(text + " " + text)
        assert spans == sorted(spans)
        assert all(end <= start for (_, end), (start, _) in itertools.pairwise(spans))
        assert all(0 <= start < end for start, end in spans)


def texts(size: int) -> dict[str, str]:
    """What a careless pattern would search again and again, each about `size` characters."""
    return {
        "letters": "a" * size,
        "digits": "1" * size,
        "base64": base64.b64encode(bytes(range(256)) * (size // 340)).decode(),
        "words": "abcdef " * (size // 7),
        "blanks": "a" + " " * size,
        "dots": "a." * (size // 2),
        "dashes": "-a" * (size // 2),
        "hyphens": "-" * size,
        "equals": "a=" * (size // 2),
        "colons": "a:" * (size // 2),
        "quotes": '"' * size,
        "escapes": "\\" * size,
        "escaped quotes": 'a\\"' * (size // 3) + "=x",
        "urls": "a://b:" * (size // 6),
        "url": "a://" + ":" * size,
        "url with at": "a://b:" + "c" * size + "@",
        "urls with at": "a://b:c@" * (size // 8),
        "keyed": "password=" * (size // 9),
        "open quote": 'password="' + "a" * size,
        "open quotes": 'password="a ' * (size // 12),
        "open escaped quote": 'password=\\"' + "a" * size,
        "open escaped quotes": 'password=\\"a ' * (size // 13),
        "substitutions": "password=$(" * (size // 11),
        "mysql": "mysql " * (size // 6),
        "mysql -p": "mysql -p" * (size // 8),
        "begin": "-----BEGIN PRIVATE KEY-----" * (size // 27),
        "end": "-----END PRIVATE KEY-----" * (size // 25),
        "jwt": "eyJaaaaaa.aaaaaa" * (size // 16),
        "jwts": "eyJaaaaaa." * (size // 10),
        "sk": "sk-" * (size // 3),
        "sg": "SG." + "a" * size,
        "hf": "hf_" * (size // 3),
        "bearer": "bearer " * (size // 7),
        "bearer long": "bearer " + "a" * size,
        "authorization": "authorization:" * (size // 14),
        "cookies": "cookie: a\n" * (size // 10),
        "user": "-u a" * (size // 4),
        "user long": "-u " + "a" * size,
        "options": "--password " * (size // 11),
        "sshpass": "sshpass -p " * (size // 11),
        "curl": "curl " * (size // 5),
        "curl -u": "curl -u" * (size // 7),
        "curl long": "curl -u" + "a" * size,
        "docker": "docker " * (size // 7),
        "docker login": "docker login " * (size // 13),
        "docker login -p": "docker login -p" * (size // 15),
        "redis": "redis-cli -a" * (size // 12),
        "openssl": "-passin " * (size // 8),
        "openssl long": "-" + "pass" * (size // 4),
        "smb": "-U a" * (size // 4),
        "smb long": "-U " + "a" * size,
        "signature": "?sig=" * (size // 5),
        "slack": "hooks.slack.com/services/" * (size // 25),
        "slack long": "hooks.slack.com/services/" + "a/" * (size // 2),
        "json": json.dumps([{"name": "x", "value": number} for number in range(size // 30)]),
        "not ascii": "é" * size,
        "telling not ascii": "é" * size + "password=x",
    }


SMALL, LARGE = 5_000, 20_000
SMALL_TEXTS, LARGE_TEXTS = texts(SMALL), texts(LARGE)
LINEAR, QUADRATIC = LARGE / SMALL, (LARGE / SMALL) ** 2
BOUND = (LINEAR * QUADRATIC) ** 0.5  # in the middle between the two, as factors


def growth(work: Callable[[str], object], small: str, large: str) -> float:
    """How many times as long the large text takes, the best of some tries: whatever disturbs makes one longer."""
    least = dict.fromkeys((small, large), math.inf)
    for attempt in range(5):
        for text in (small, large):
            began = time.thread_time()
            work(text)
            least[text] = min(least[text], time.thread_time() - began)
        if attempt and least[large] < BOUND * least[small]:
            break
    return least[large] / least[small]


def search(text: str) -> None:
    redactor = Redactor()
    redactor.text(text)
    redactor.details({"stdout": text})
    redactor.suspicious(text.encode())


@pytest.mark.parametrize("name", LARGE_TEXTS)
def test_search_time_grows_linearly(name: str) -> None:
    assert growth(search, SMALL_TEXTS[name], LARGE_TEXTS[name]) < BOUND


def test_growth_tells_quadratic_from_linear() -> None:
    small, large = "a" * 2_000, "a" * 8_000
    assert growth(re.compile("a*b").search, small, large) > BOUND
    assert growth(re.compile("a?b").search, small, large) < BOUND
