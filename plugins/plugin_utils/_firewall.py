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

# ufw allow from 198.51.100.21 to any port 5432 proto tcp comment 'pg_replication ship_algeciras,ship_oslo'
_ADDED = re.compile(r"ufw allow from (\S+) to any port (\d+) proto tcp(?: comment '([^']*)')?")
_NAME = re.compile(r"[A-Za-z0-9_.-]+")
_NAMES = re.compile(r"[A-Za-z0-9_.-]+(,[A-Za-z0-9_.-]+)*")


class FirewallError(ValueError):
    """What is wrong with the list, one sentence a problem."""


class Door(NamedTuple):
    """One address that may connect to one port: for ufw one rule, whoever is behind the address."""

    address: str
    port: int

    def rule(self, names: str) -> dict[str, Any]:
        return {"name": names, "address": self.address, "port": self.port}


def changes(peers: Iterable[Mapping[str, Any]], added: Iterable[str]) -> dict[str, Any]:
    """The rules to allow and to delete; peers behind one address share a rule, which names them all.

    :param added: the lines of `ufw show added`.
    """
    entries = list(peers)
    problems = [problem for peer in entries for problem in _problems(peer)]
    if problems:
        raise FirewallError("firewall_peers: " + " ".join(problems))
    names = {peer["name"] for peer in entries}
    wanted = _wanted(entries)
    found = _found(added)
    allow, delete = [], []
    for door in sorted(wanted.keys() | found.keys()):
        present = found.get(door, "")
        if present is None:
            continue
        others = {name for name in present.split(",") if name} - names
        kept = ",".join(sorted(others | wanted.get(door, set())))
        if kept and kept != present:
            allow.append(door.rule(kept))
        elif not kept:
            delete.append(door.rule(present))
    return {"allow": allow, "delete": delete}


def admitted(added: Iterable[str], names: Iterable[str]) -> list[dict[str, Any]]:
    """The peers of these names, as the rules of another host have them; in the words of changes().

    :param added: the lines of `ufw show added` there.
    """
    wanted = set(names)
    return [
        {"name": name, "addresses": [door.address], "ports": [door.port]}
        for door, present in sorted(_found(added).items())
        for name in (present or "").split(",")
        if name in wanted
    ]


def _wanted(peers: Iterable[Mapping[str, Any]]) -> dict[Door, set[str]]:
    wanted: dict[Door, set[str]] = {}
    for peer in peers:
        if peer.get("state", "present") == "present":
            for address in peer.get("addresses") or []:
                for port in peer.get("ports") or []:
                    wanted.setdefault(Door(_shown(address), int(port)), set()).add(peer["name"])
    return wanted


def _found(added: Iterable[str]) -> dict[Door, str | None]:
    """The names that each rule bears; None where it is somebody else's, who keeps that door open."""
    found: dict[Door, str | None] = {}
    for line in added:
        match = _ADDED.fullmatch(line.strip())
        if match:
            comment = match[3] or ""
            ours = comment.startswith(MARK) and _NAMES.fullmatch(comment[len(MARK) :])
            found[Door(match[1], int(match[2]))] = comment[len(MARK) :] if ours else None
    return found


def _problems(peer: Mapping[str, Any]) -> list[str]:
    name = str(peer.get("name"))
    if not _NAME.fullmatch(name):
        return [f"{name!r} is no name: letters, digits, '_', '.' and '-' only."]
    bad = [str(text) for text in peer.get("addresses") or [] if not is_network(text)]
    return [f"{name}: {text!r} is no address or network; ufw knows no names." for text in bad]


def is_network(text: Any) -> bool:
    """Whether ufw takes it: no name, and no network with bits of a host."""
    try:
        ipaddress.ip_network(text)
    except ValueError:
        return False
    return True


def _shown(text: Any) -> str:
    """An address as ufw shows it: a single host without its mask."""
    network = ipaddress.ip_network(text)
    return str(network.network_address if network.num_addresses == 1 else network)
