"""Connections by the names of hosts: what was seen has addresses, what is declared has names."""

from __future__ import annotations

import ipaddress
import re
import socket
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from hearth.plan import has_wildcard
from hearth.record import SideEffectCategory

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from hearth.plan import DeclaredEffect

__all__ = ["named_connections"]

_CONNECTION = re.compile(r"(?P<kind>tcp|udp|ip|raw) (?:\[(?P<six>[^\]]+)\]|(?P<four>[^:]+)):(?P<port>\d+)")
_RESOLVER = Path("/etc/resolv.conf")
_DOMAIN = "53"


def named_connections(connections: Iterable[str], declared: Sequence[DeclaredEffect]) -> tuple[str, ...]:
    """Return connections with the declared hosts' names in the place of their addresses, sorted.

    `tcp 192.0.2.7:443` becomes `tcp example.org:443` where an effect declares example.org and it resolves to that
    address now; an address that it had only while the step ran stays. What a step that declares a name asks this
    machine's name servers (resolv.conf(5)) is left out: without it the name could not be used.
    """
    found = sorted(set(connections))
    names = sorted(set(_names(declared)))
    if not names or not any(map(_CONNECTION.fullmatch, found)):
        return tuple(found)
    hosts = {address: name for name in names for address in _addresses(name)}
    servers = _name_servers()
    told = set()
    for connection in found:
        parts = _CONNECTION.fullmatch(connection)
        address = None if parts is None else parts["six"] or parts["four"]
        if parts is None or (parts["port"] == _DOMAIN and address in servers):
            told |= {connection} if parts is None else set()
        elif address in hosts:
            told.add(f"{parts['kind']} {hosts[address]}:{parts['port']}")
        else:
            told.add(connection)
    return tuple(sorted(told))


def _names(declared: Sequence[DeclaredEffect]) -> Iterator[str]:
    """Yield the hosts that are declared by name, without those that are addresses or patterns."""
    for effect in declared:
        if effect.category is not SideEffectCategory.NETWORK:
            continue
        place = effect.pattern.rpartition(" ")[2]
        try:
            name = urlsplit(place if "://" in place else f"//{place}").hostname or ""
        except ValueError:
            continue
        if name and not has_wildcard(name) and not _is_address(name):
            yield name


def _addresses(name: str) -> set[str]:
    try:
        return {str(one[4][0]) for one in socket.getaddrinfo(name, None, proto=socket.IPPROTO_TCP)}
    except (OSError, UnicodeError):
        return set()


def _name_servers() -> set[str]:
    try:
        lines = _RESOLVER.read_text("utf-8", "replace").splitlines()
    except OSError:
        return {"127.0.0.1", "::1"}  # resolv.conf(5): without any it is the one of this machine
    return {words[1] for line in lines if (words := line.split())[:1] == ["nameserver"] and len(words) > 1}


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
