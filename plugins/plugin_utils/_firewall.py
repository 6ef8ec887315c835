# SPDX-FileCopyrightText: HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Private to this collection: it may change in any release.

"""Rules of ufw for named peers: what is there, what is wanted, and the difference."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

MARK = "pg_replication "

# ufw allow from 198.51.100.21 to any port 5432 proto tcp comment 'pg_replication ship_algeciras'
_ADDED = re.compile(
    r"ufw allow from (\S+) to any port (\d+) proto tcp comment '" + MARK + r"([^']+)'"
)
_NAME = re.compile(r"[A-Za-z0-9_.-]+")


class FirewallError(ValueError):
    """What is wrong with the list, one sentence a problem."""


class Rule(NamedTuple):
    """One address that may connect to one port."""

    name: str
    address: str
    port: int


def changes(peers: Iterable[Mapping[str, Any]], added: Iterable[str]) -> dict[str, Any]:
    """The rules to allow and to delete.

    :param added: the lines of `ufw show added`.
    """
    entries = list(peers)
    problems = [problem for peer in entries for problem in _problems(peer)]
    if problems:
        raise FirewallError("firewall_peers: " + " ".join(problems))
    names = {peer["name"] for peer in entries}
    wanted = {
        Rule(peer["name"], _shown(address), int(port))
        for peer in entries
        if peer.get("state", "present") == "present"
        for address in peer.get("addresses") or []
        for port in peer.get("ports") or []
    }
    found = {
        Rule(match[3], match[1], int(match[2]))
        for line in added
        if (match := _ADDED.fullmatch(line.strip())) and match[3] in names
    }
    return {
        "allow": [rule._asdict() for rule in sorted(wanted - found)],
        "delete": [rule._asdict() for rule in sorted(found - wanted)],
    }


def _problems(peer: Mapping[str, Any]) -> list[str]:
    name = str(peer.get("name"))
    if not _NAME.fullmatch(name):
        return [f"{name!r} is no name: letters, digits, '_', '.' and '-' only."]
    bad = [str(text) for text in peer.get("addresses") or [] if not _is_network(text)]
    return [f"{name}: {text!r} is no address or network; ufw knows no names." for text in bad]


def _is_network(text: Any) -> bool:
    try:
        ipaddress.ip_network(text)
    except ValueError:
        return False
    return True


def _shown(text: Any) -> str:
    """An address as ufw shows it: a single host without its mask."""
    network = ipaddress.ip_network(text)
    return str(network.network_address if network.num_addresses == 1 else network)
