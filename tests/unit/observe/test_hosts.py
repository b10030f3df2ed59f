"""Connections are told by the names of the hosts that a plan declares."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hearth.observe import _hosts, named_connections
from hearth.plan import DeclaredEffect
from hearth.record import SideEffectCategory

if TYPE_CHECKING:
    from pathlib import Path

LOOKUP = "udp 192.0.2.53:53"


def declares(*patterns: str) -> list[DeclaredEffect]:
    return [
        DeclaredEffect(category=SideEffectCategory.NETWORK, pattern=pattern, reversible=True) for pattern in patterns
    ]


@pytest.fixture(autouse=True)
def name_servers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "resolv.conf").write_text("# a comment\nnameserver 192.0.2.53\nsearch example\n")
    monkeypatch.setattr(_hosts, "_RESOLVER", tmp_path / "resolv.conf")


@pytest.mark.parametrize("pattern", ["localhost", "localhost:80", "GET http://localhost:80/a", "POST localhost"])
def test_an_address_that_a_declared_name_stands_for_has_that_name(pattern: str) -> None:
    found = ["tcp 127.0.0.1:80", "tcp 127.0.0.1:80", "udp 192.0.2.9:53", LOOKUP, "unix /run/x", "tcp [2001:db8::1]:80"]
    assert named_connections(found, declares(pattern)) == (
        "tcp [2001:db8::1]:80",
        "tcp localhost:80",
        "udp 192.0.2.9:53",
        "unix /run/x",
    )


@pytest.mark.parametrize("pattern", ["127.0.0.1", "*.example", "*", "http://[::1]/"])
def test_without_a_name_that_is_known_addresses_stay(pattern: str) -> None:
    found = ("tcp 127.0.0.1:80", "tcp 192.0.2.7:443")
    assert named_connections(found, declares(pattern)) == found


def test_a_look_up_by_a_step_that_declares_no_name_is_told() -> None:
    assert named_connections([LOOKUP], declares("192.0.2.7")) == (LOOKUP,)
    assert named_connections([LOOKUP], []) == (LOOKUP,)
