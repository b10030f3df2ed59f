"""What only speaks of a secret stays readable; what may be one does not, whatever it is called."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pytest

from hearth.record import Redactor
from hearth.record._about import is_about

STATUSES = [
    "token: expired",
    "Token: Expired.",
    "login failed, token: missing",
    "Authorization: required",
    "Authorization: Bearer invalid",
    "Cookie: missing\nnext line",
    "tokens: 42",
    "used (tokens: 999)",
    "password: incorrect",
    "password: incorrect\r\n",
    "password: invalid, try again",
    "{password: required, name: required}",
    '{"password": "required", "token": "missing"}',
    "{'password': 'incorrect'}",
    "msg=refused token=expired",
    "api_key: unset; stopping",
    "secret: empty!",
    "sh: 1: cannot create /etc/passwd: Permission denied",
    "rm: cannot remove '/srv/passwd': Operation not permitted\nnext line",
    "cat: /run/secrets/api_token: No such file or directory",
    "open /home/ann/.secret: permission denied, giving up",
    "Error: client_secret: Permission denied (os error 13)",
    "sh: 1: passwd: not found",
    '{"error": "/etc/passwd: Is a directory"}',
]

SECRETS = [
    ("password: incorrect horse battery", "incorrect"),
    ("password: expired1", "expired1"),
    ("password: xexpired", "xexpired"),
    ("PASSWORD=required ./run", "required"),
    ("token=expired&x=1", "expired"),
    ("password: 42", "42"),
    ("token: 123", "123"),
    ("tokens: 1234", "1234"),
    ("tokens: 42 17", "42"),
    ("password: wrong", "wrong"),
    ("Authorization: required hunter2", "hunter2"),
    ("Cookie: missing=hunter2", "hunter2"),
    ("--password required x", "required"),
    ("secret_name=Xk9-mP2_vLq8", "Xk9-mP2_vLq8"),
    ("has_password: hunter2", "hunter2"),
    ("password: permission denied hunter2", "permission"),
    ("password: hunter2: Permission denied", "hunter2"),
    ("PASSWD=permission denied", "permission"),
    ("password_length=123456", "123456"),
]

ABOUT: list[tuple[str, Any]] = [
    ("password_policy", "strict"),
    ("password_policy", {"min_length": 12, "require_upper": True, "alphabet": ["letters", "digits"], "history": None}),
    ("passwordPolicy", "at least-twelve"),
    ("password_length", 16),
    ("password_length", "16"),
    ("secrets_count", 3),
    ("has_password", "yes"),
    ("has_password", 1),
    ("hasApiKey", "False"),
    ("requires_credentials", "no"),
    ("password_changed_at", "2025-09-01T12:00:00Z"),
    ("password_changed_at", "2025-09-01"),
    ("api_key_expires_at", "2025-09-01 12:00:00.123+02:00"),
    ("secret_name", "db-main"),
    ("SECRET_NAME", "prod/db main"),
    ("credential_type", "oauth"),
    ("access_token_type", "Bearer"),
]

NOT_ABOUT: list[tuple[str, Any]] = [
    ("password", "strict"),
    ("password_policy", "Xk9-mP2_vLq8"),
    ("password_policy", {"value": "Xk9-mP2_vLq8"}),
    ("password_policy", {"password": 123456}),
    ("password_policy", "correct horse battery staple and more"),
    ("password_policy", [[[["a"]]]]),
    ("password_length", 123456),
    ("password_length", "hunter"),
    ("password_length", -1),
    ("has_password", "hunter"),
    ("has_password", 1234),
    ("password_changed_at", "hunter"),
    ("password_changed_at", "2025-09-01 hunter2"),
    ("password_changed_at", 1756728000),
    ("password_at", "2025-09-01"),
    ("secret_name", "hunter2"),
    ("secret_name", "AKIAIOSFODNN7EXAMPLE"),
    ("secret_name", "aB3dE5fG7hJ9"),
    ("secret_name", "abcdefghijklmnopqrstuvwxyz"),
    ("secret_name", "kqzjxwvpm"),
    ("secret_name", "a-b-c-d-e-f-g-h-i-j-k-l-m-n-o-p-q"),
    ("secret_name", 123),
    ("credential_type", b"oauth"),
    ("name_secret", "db-main"),
    ("policy_password", "strict"),
]


def ids(items: list[tuple[str, Any]]) -> list[str]:
    return [f"{key}={value}"[:40] for key, value in items]


@pytest.mark.parametrize("text", STATUSES)
def test_the_reason_of_a_failure_stays(text: str) -> None:
    assert Redactor().text(text) == text
    assert Redactor().details({"stderr": text, "lines": [text]})[0] == {"stderr": text, "lines": [text]}


@pytest.mark.parametrize("text, secret", SECRETS)
def test_what_may_be_more_than_a_status_is_taken_out(text: str, secret: str) -> None:
    assert secret not in Redactor().text(text).replace("[redacted:", "[")


@pytest.mark.parametrize("key, value", ABOUT, ids=ids(ABOUT))
def test_what_a_name_and_its_value_say_about_a_secret_stays(key: str, value: Any) -> None:
    redactor = Redactor()
    assert redactor.telling(key), "or else this would test nothing"
    assert redactor.details({"a": {key: value}})[0] == {"a": {key: value}}
    if isinstance(value, str):
        pair = [key, value]
        assert redactor.details({"pair": pair, "tuple": tuple(pair)})[0] == {"pair": pair, "tuple": pair}
    if isinstance(value, str) and " " not in value:
        for text in (f"{key}={value}", f"{key}: {value}", json.dumps({key: value}), f"set --{key} {value}"):
            assert redactor.text(text) == text


@pytest.mark.parametrize("key, value", NOT_ABOUT, ids=ids(NOT_ABOUT))
def test_what_may_be_a_secret_is_taken_out_under_any_name(key: str, value: Any) -> None:
    redactor = Redactor()
    assert set(redactor.details({"a": {key: value}})[0]["a"][key]) == {"$sha256"}
    if " " not in str(value) and isinstance(value, str | int):
        for text in (f"{key}={value}", json.dumps({key: str(value)})):
            assert "[redacted:" in redactor.text(text)


def test_dates_are_recorded_as_dates() -> None:
    plain, _ = Redactor().details({"password_changed_at": dt.datetime(2025, 9, 1, tzinfo=dt.UTC)})
    assert plain["password_changed_at"] == {"$type": "datetime.datetime", "$text": "2025-09-01T00:00:00+00:00"}


def test_what_a_plan_marks_disclosable_is_a_secret_under_any_name() -> None:
    plain, kept = Redactor(disclosable=["secret_name"]).details({"secret_name": "db-main"})
    assert set(plain["secret_name"]) == {"$sha256"}
    assert [item.value for item in kept] == ["db-main"]


def test_a_known_secret_is_taken_out_of_a_status_too() -> None:
    redactor = Redactor()
    redactor.add_secret("expired")
    assert "expired" not in redactor.text("token: expired")


@pytest.mark.parametrize("key", ["", "_", "at", "name", "has", "1", "x" * 1000 + "_name"])
def test_any_text_may_be_a_key(key: str) -> None:
    assert is_about(key, "Xk9-mP2_vLq8") is False
