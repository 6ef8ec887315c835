# SPDX-FileCopyrightText: HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Private to this collection: it may change in any release.

"""What a shore keeps for its ships, as the modules want it: one list per module."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from ansible_collections.hmm.pg_replication.plugins.plugin_utils._scram import salt_of, verifier

_NAME = re.compile(r"[a-z0-9_]{1,63}")
_KEY = re.compile(r"(ssh|ecdsa|sk-ssh|sk-ecdsa)-\S+ [A-Za-z0-9+/=]+( .*)?")
_HOST = re.compile(r"(?=.*[A-Za-z])[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?")
_KEYS = {
    "name",
    "mode",
    "password",
    "addresses",
    "public_key",
    "settings",
    "database",
    "publication",
    "slot",
    "lost_slot",
    "seed",
    "state",
}
# A logical ship that is seeded as a standby: whether that still is one, or a subscriber already.
_SEEDS = ("none", "pending", "done")
# What belongs to such a ship beside what bears its name: the slot of its standby, and the role and the publication of
# pg_createsubscriber. A name that would be too long was never made.
_SEED_SLOT = "{}_seed"
_CONVERSION = "{}_convert"
# Sessions of one ship, those included that the shore has not yet noticed to be gone.
_CONNECTIONS = {"physical": 6, "logical": 10}


class ReplicaError(ValueError):
    """What is wrong with the list, one sentence a problem."""


def replica_objects(
    replicas: Iterable[Mapping[str, Any]], database: str, directory: str
) -> dict[str, Any]:
    """Everything that a shore keeps for these ships.

    :param database: the database of a replica that names none.
    :param directory: the folder that ships may read by rsync.
    """
    entries = list(replicas)
    problems = [problem for entry in entries for problem in _problems(entry)]
    names = [str(entry.get("name")) for entry in entries]
    problems += [f"{name} is there twice." for name in sorted(set(names)) if names.count(name) > 1]
    if problems:
        raise ReplicaError("primary_replicas: " + " ".join(problems))
    present = [entry for entry in entries if entry.get("state", "present") == "present"]
    absent = [entry for entry in entries if entry.get("state", "present") == "absent"]
    return {
        "blocks": [
            *(block(entry, database) for entry in present),
            *({"name": entry["name"], "state": "absent"} for entry in absent),
            *({"name": name, "state": "absent"} for name in _conversions(entries)),
        ],
        "databases": _unique(entry.get("database") or database for entry in entries),
        "roles": _by_database(entries, database, _role),
        "publications": _publications(present, absent, database),
        "slots": _slots(
            [
                *(entry for entry in present if _mode(entry) == "physical"),
                *({**entry, "slot": name} for entry in present for name in _seed_slots(entry)),
            ]
        ),
        "slots_absent": [
            *(_slot(entry) for entry in absent),
            *_own(_SEED_SLOT, absent),
            *_own(_SEED_SLOT, (entry for entry in present if _seed(entry) == "done")),
        ],
        "keys": [_key_line(entry, directory) for entry in present if entry.get("public_key")],
        "conversions": _conversions(entries),
        "names": names,
    }


def _problems(entry: Mapping[str, Any]) -> list[str]:
    name = entry.get("name")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        advice = "lower-case letters, digits and underscores, 63 at most, as a slot's."
        return [f"{name!r} is no name of a replica: {advice}"]
    told = [f"there is no {key}." for key in sorted(set(entry) - _KEYS)]
    if not _NAME.fullmatch(_slot(entry)):
        told.append(f"slot {entry['slot']!r} is no name of a slot.")
    if entry.get("state", "present") != "absent":
        told += _missing(entry)
    return [f"{name}: {problem}" for problem in told]


def _missing(entry: Mapping[str, Any]) -> Iterator[str]:
    if _mode(entry) not in _CONNECTIONS:
        yield "mode is physical or logical."
    if not entry.get("password"):
        yield "it needs a password."
    if not entry.get("addresses"):
        yield "addresses: from where does it connect?"
    for address in entry.get("addresses") or []:
        if _network(address) is None and not _HOST.fullmatch(str(address)):
            yield f"addresses: {address!r} is no address, network or name."
    if entry.get("public_key") and not _KEY.fullmatch(entry["public_key"].strip()):
        yield "public_key is no line of an OpenSSH public key."
    if _mode(entry) == "logical" and not (entry.get("publication") or {}).get("name"):
        yield "a logical replica needs publication, with name and tables."
    if _seed(entry) != "none":
        yield from _seed_problems(entry)


def _seed_problems(entry: Mapping[str, Any]) -> Iterator[str]:
    if _seed(entry) not in _SEEDS:
        yield f"seed is {', '.join(_SEEDS[:-1])} or {_SEEDS[-1]}."
    if _mode(entry) != "logical":
        yield "seed is for a logical replica."
    if not _own(_CONVERSION, [entry]):
        yield f"the name is too long to have {_CONVERSION.format('')} behind it."


def _network(text: Any) -> str | None:
    try:
        return str(ipaddress.ip_network(text))
    except ValueError:
        return None


def block(entry: Mapping[str, Any], database: str) -> dict[str, Any]:
    """What pg_hba.conf has for a ship."""
    name = entry["name"]
    physical = _mode(entry) == "physical"
    return {
        "name": name,
        "rules": [
            {
                "type": "hostssl",
                "databases": [
                    *([] if physical else [entry.get("database") or database]),
                    *(["replication"] if physical or _seed(entry) == "pending" else []),
                ],
                "users": [name],
                "addresses": list(entry["addresses"]),
                "method": "scram-sha-256",
            },
            # Whatever the lines below admit, a ship comes by the line above or not at all.
            {
                "type": "host",
                "databases": ["all", "replication"],
                "users": [name],
                "addresses": ["all"],
                "method": "reject",
            },
            {
                "type": "local",
                "databases": ["all", "replication"],
                "users": [name],
                "method": "reject",
            },
        ],
    }


def _role(entry: Mapping[str, Any]) -> dict[str, Any]:
    name = entry["name"]
    if entry.get("state", "present") == "absent":
        return {"name": name, "state": "absent"}
    logical = _mode(entry) == "logical"
    return {
        "name": name,
        "verifier": verifier(str(entry["password"]), salt_of(name)),
        "connection_limit": _CONNECTIONS[_mode(entry)],
        "settings": dict(entry.get("settings") or {}),
        "connects": logical,
        "tables": list(entry["publication"].get("tables") or []) if logical else [],
    }


def _by_database(
    entries: Iterable[Mapping[str, Any]], database: str, make: Any
) -> dict[str, list[dict[str, Any]]]:
    made: dict[str, list[dict[str, Any]]] = {}
    for entry in entries:
        made.setdefault(entry.get("database") or database, []).append(make(entry))
    return made


def _publications(
    present: Sequence[Mapping[str, Any]], absent: Sequence[Mapping[str, Any]], database: str
) -> list[dict[str, Any]]:
    made: dict[tuple[str, str], dict[str, Any]] = {}
    for entry in present:
        if _mode(entry) == "logical":
            where = entry.get("database") or database
            publication = entry["publication"]
            wanted = {
                "name": publication["name"],
                "database": where,
                "tables": list(publication.get("tables") or []),
                "state": "present",
            }
            key = (where, publication["name"])
            if made.setdefault(key, wanted) != wanted:
                raise ReplicaError(
                    f"primary_replicas: publication {publication['name']} has other tables for"
                    f" {entry['name']} than for another replica: give it a publication of its own."
                )
    # Its own publication bears its name; one that it shared stays.
    gone = [(entry, entry["name"]) for entry in absent]
    gone += [(entry, name) for entry in (*present, *absent) for name in _conversions([entry])]
    for entry, name in gone:
        where = entry.get("database") or database
        made.setdefault((where, name), {"name": name, "database": where, "state": "absent"})
    return list(made.values())


def _slots(entries: Iterable[Mapping[str, Any]]) -> dict[str, list[str]]:
    """The slots by what to do where one is lost; empty where nothing is said."""
    made: dict[str, list[str]] = {}
    for entry in entries:
        made.setdefault(str(entry.get("lost_slot") or ""), []).append(_slot(entry))
    return made


def _key_line(entry: Mapping[str, Any], directory: str) -> str:
    kind, key = entry["public_key"].split()[:2]
    # By default sshd looks no names up, so that only addresses can be held against it.
    networks = [_network(address) for address in entry["addresses"]]
    known = [network for network in networks if network is not None]
    sources = f',from="{",".join(known)}"' if len(known) == len(networks) else ""
    return (
        f'restrict{sources},command="/usr/bin/rrsync -ro {directory}" {kind} {key} {entry["name"]}'
    )


def _mode(entry: Mapping[str, Any]) -> str:
    return str(entry.get("mode") or "physical")


def _seed(entry: Mapping[str, Any]) -> str:
    return str(entry.get("seed") or "none")


def _slot(entry: Mapping[str, Any]) -> str:
    return str(entry.get("slot") or entry["name"])


def _seed_slots(entry: Mapping[str, Any]) -> list[str]:
    return _own(_SEED_SLOT, [entry] if _seed(entry) == "pending" else [])


def _conversions(entries: Iterable[Mapping[str, Any]]) -> list[str]:
    """Names of the role and the publication that a conversion makes for the time, which is over."""
    return _own(
        _CONVERSION,
        (entry for entry in entries if _seed(entry) != "none" or entry.get("state") == "absent"),
    )


def _own(pattern: str, entries: Iterable[Mapping[str, Any]]) -> list[str]:
    names = (pattern.format(entry["name"]) for entry in entries)
    return [name for name in names if _NAME.fullmatch(name)]


def _unique(items: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(items))
