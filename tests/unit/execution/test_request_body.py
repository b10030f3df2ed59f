"""The digest of a request's body is that of the bytes that are sent."""

from __future__ import annotations

import hashlib
from typing import Any

import httpx
import pytest

from hearth.execution.tasks._request_body import body_sha256


@pytest.mark.parametrize(
    "params, sent",
    [
        ({"json": {"b": [1, "é"], "a": None}}, {"content": '{"b":[1,"é"],"a":null}'}),
        ({"json": "text"}, {"content": '"text"'}),
        ({"body": "a=é\n"}, {"content": "a=é\n"}),
        ({"form": {"a": "é &", "b": ""}}, {"data": {"a": "é &", "b": ""}}),
    ],
)
def test_it_is_of_what_is_sent(params: dict[str, Any], sent: dict[str, Any]) -> None:
    content = httpx.Request("POST", "http://127.0.0.1/", **sent).read()
    assert body_sha256(params) == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"method": "GET"},
        {"json": {"token": {"secret": "env:TOKEN"}}},
        {"json": ["x", "a {secret: env:TOKEN} b"]},
        {"body": "{secret: env:TOKEN}"},
        {"form": {"a": {"secret": "env:TOKEN"}}},
    ],
)
def test_none_and_one_with_secrets_have_none(params: dict[str, Any]) -> None:
    assert body_sha256(params) is None
