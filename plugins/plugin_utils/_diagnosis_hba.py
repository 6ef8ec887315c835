# SPDX-FileCopyrightText: HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Private to this collection: it may change in any release.

"""Which line of pg_hba.conf a connection meets, and which line was meant for it.

PostgreSQL: The pg_hba.conf File; pg_hba_file_rules.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Facts = Mapping[str, Any]
_NO_BITS = ("0.0.0.0", "::")  # noqa: S104 - a netmask
# Methods that a ship with a password gets through.
BY_PASSWORD = ("scram-sha-256", "md5", "password", "trust")


@dataclass(frozen=True)
class Client:
    """A connection as the server sees it. database None: a physical replication connection."""

    user: str
    database: str | None
    address: str
    tls: bool = True


def first_match(rules: Sequence[Facts], client: Client) -> Facts | None:
    """The line that decides: the first that fits in all."""
    return next((rule for rule in rules if not rule["error"] and not misfits(rule, client)), None)


def misfits(rule: Facts, client: Client) -> list[str]:
    """In what a line does not fit; the keys are those of pg_hba.conf's columns."""
    checks = {
        "type": _type_fits(rule, client),
        "database": _database_fits(rule, client),
        "user": _user_fits(rule, client),
        "address": _address_fits(rule, client.address),
    }
    return [column for column, fits in checks.items() if not fits]


def meant_for(
    rules: Iterable[Facts], client: Client, block: str, others: Iterable[str]
) -> tuple[Facts, list[str]] | None:
    """The line that comes nearest to admitting the client, if one was made for it.

    A line for everybody, or for another ship, was not.

    :param block: the name of the block of lines that this collection keeps for the ship.
    :param others: the roles of other ships.
    """
    strangers = set(others) - {client.user}
    found: list[tuple[int, Facts, list[str]]] = []
    for rule in rules:
        if rule["auth_method"] == "reject" or rule["type"] == "local" or rule["error"]:
            continue
        users = rule["user_name"] or []
        named = client.user in users or rule.get("block") == block
        near = (
            not strangers & set(users)
            and users != ["all"]
            and not _anywhere(rule)
            and _address_fits(rule, client.address)
            and _database_fits(rule, client)
        )
        if not named and not near:
            continue
        wrong = misfits(rule, client)
        if rule["auth_method"] not in BY_PASSWORD:
            wrong.append("method")
        found.append((len(wrong), rule, wrong))
    if not found:
        return None
    _count, rule, wrong = min(found, key=lambda one: one[0])
    return rule, wrong


def written(rule: Facts) -> str:
    """The line, as the file has it."""
    address = rule["address"] or ""
    if rule["netmask"] and address:
        address = str(_network(address, rule["netmask"]))
    parts = [
        rule["type"],
        ",".join(rule["database"] or []),
        ",".join(rule["user_name"] or []),
        address,
        rule["auth_method"],
        *(rule["options"] or []),
    ]
    return " ".join(part for part in parts if part)


def _type_fits(rule: Facts, client: Client) -> bool:
    kinds = {"host": True, "hostssl": client.tls, "hostnossl": not client.tls, "hostnogssenc": True}
    return kinds.get(rule["type"], False)


def _database_fits(rule: Facts, client: Client) -> bool:
    words = rule["database"] or []
    if client.database is None:
        return "replication" in words
    return any(_word_fits(word, client.database) for word in words) or (
        "sameuser" in words and client.database == client.user
    )


def _user_fits(rule: Facts, client: Client) -> bool:
    # Whether a role is a member of another is not known here: it is taken to be.
    return any(_word_fits(word, client.user) or word[:1] == "+" for word in rule["user_name"] or [])


def _word_fits(word: str, name: str) -> bool:
    if word.startswith("/"):
        try:
            return re.search(word[1:], name) is not None
        except re.error:
            return False
    return word in ("all", name)


def _anywhere(rule: Facts) -> bool:
    """Whether it is for every address, or for those of the server's own network."""
    place: str | None = rule["address"]
    return place in ("all", "samehost", "samenet", None) or str(rule["netmask"]) in _NO_BITS


def _address_fits(rule: Facts, address: str) -> bool:
    place: str | None = rule["address"]
    if place is None or place in ("all", "samenet", "samehost"):
        return place == "all"
    try:
        return ipaddress.ip_address(address) in _network(place, rule["netmask"])
    except ValueError:
        # A name: only the server can tell what it resolves to.
        return True


def _network(place: str, netmask: str | None) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    """Python reads a mask written as an address for IPv4 only."""
    if netmask is None:
        return ipaddress.ip_network(place)
    bits = bin(int(ipaddress.ip_address(netmask))).count("1")
    return ipaddress.ip_network(f"{place}/{bits}", strict=False)
