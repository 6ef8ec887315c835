# SPDX-FileCopyrightText: HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Private to this collection: it may change in any release.

"""Which slots nothing uses, what proves it, and what they cost.

A slot that is not connected is no slot that nothing uses: ships are away for weeks. What counts is
who owns it by the inventory, who names it, and for how long it has not moved.

PostgreSQL: pg_replication_slots; Logical Replication, "Replication Slot Management".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from ansible_collections.hmm.pg_replication.plugins.module_utils._connection import Session
from ansible_collections.hmm.pg_replication.plugins.module_utils._driver import sql
from ansible_collections.hmm.pg_replication.plugins.module_utils._errors import ReplicationError
from ansible_collections.hmm.pg_replication.plugins.module_utils._lag_problems import (
    duration,
    size,
)
from ansible_collections.hmm.pg_replication.plugins.module_utils._names import (
    Lsn,
    check_slot_name,
    unique,
)
from ansible_collections.hmm.pg_replication.plugins.module_utils._plan import Plan, Step, Way
from ansible_collections.hmm.pg_replication.plugins.module_utils._slots_seen import (
    Seen,
    position_of,
)
from ansible_collections.hmm.pg_replication.plugins.module_utils._sql import columns_since

# What keeps a slot.
USED, SYNCED, OWNED, NAMED, KEPT = "used", "synced", "owned", "named", "kept"
# What lets it go: for a name given, or by itself.
RECENT, UNPROVED, UNUSED = "recent", "unproved", "unused"
_WORST_FIRST = (UNUSED, UNPROVED, RECENT, KEPT, NAMED, OWNED, SYNCED, USED)
_MAY_BE_NAMED = (RECENT, UNPROVED, UNUSED)

# Logical Replication, "Replication Slot Management": of a table's first copy, from PostgreSQL 14 on.
_TABLE_SYNC = re.compile(r"pg_\d+_sync_\d+_(?P<system_identifier>\d+)")
# pg_auto_failover makes and drops these of its own accord.
_FAILOVER = "pgautofailover_standby_*"
_TIME_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


@dataclass(frozen=True)
class Ship:
    """A ship of the inventory.

    :param slot: the one that it replicates by; owned are all that belong to it.
    :param asked: whether its server could be asked; uses and system_identifier are its answer.
    """

    name: str
    slot: str
    owned: tuple[str, ...]
    mode: str = "physical"
    asked: bool = False
    uses: tuple[str, ...] = ()
    system_identifier: str = ""


@dataclass(frozen=True)
class Found:
    """A slot as the server tells of it. inactive_seconds: PostgreSQL 17 or newer."""

    name: str
    slot_type: str
    database: str | None = None
    temporary: bool = False
    synced: bool = False
    active_pid: int | None = None
    consumer: str | None = None
    restart_lsn: Lsn | None = None
    confirmed_flush_lsn: Lsn | None = None
    lost: bool = False
    inactive_seconds: float | None = None

    @property
    def position(self) -> str:
        return position_of(self.restart_lsn, self.confirmed_flush_lsn)


@dataclass(frozen=True)
class Server:
    """What else has to be known of it."""

    position: Lsn
    dates_slots: bool
    may_replicate: bool = True
    clock: float = 0


@dataclass(frozen=True)
class Request:
    """The options of the module unused_slots."""

    ships: tuple[Ship, ...]
    kept: tuple[str, ...]
    unused_after: float
    names: tuple[str, ...]
    drop: bool
    seen_file: str | None


@dataclass(frozen=True)
class Usage:
    """A slot, and what is to be thought of it."""

    slot: Found
    verdict: str
    why: str
    ship: str | None = None
    unused_seconds: float | None = None
    retained_bytes: int | None = None

    def shown(self) -> dict[str, Any]:
        return {
            "name": self.slot.name,
            "type": self.slot.slot_type,
            "database": self.slot.database,
            "verdict": self.verdict,
            "why": self.why,
            "ship": self.ship,
            "active_pid": self.slot.active_pid,
            "unused_seconds": self.unused_seconds,
            "retained_bytes": self.retained_bytes,
            "lost": self.slot.lost,
        }


def unused_slots_request(params: Mapping[str, Any]) -> Request:
    """Read the module's options.

    :raises ReplicationError: an option is wrong, or makes no sense beside another.
    """
    names = tuple(check_slot_name("names", name) for name in unique(params["names"]))
    if names and not params["drop"]:
        raise ReplicationError("names: they say what to drop, so that drop has to be true.")
    return Request(
        ships=tuple(
            Ship(
                name=ship["name"],
                slot=ship["slot"],
                owned=tuple({ship["slot"], *(ship["owned"] or ())}),
                mode=ship["mode"],
                asked=ship["asked"],
                uses=tuple(ship["uses"] or ()),
                system_identifier=ship["system_identifier"] or "",
            )
            for ship in params["ships"]
        ),
        kept=tuple(params["kept"]),
        unused_after=parse_time("unused_after", params["unused_after"]),
        names=names,
        drop=params["drop"],
        seen_file=params["seen_file"],
    )


def parse_time(option: str, text: str) -> float:
    """7d -> 604800"""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smhdw]?)\s*", text)
    if not match:
        raise ReplicationError(
            f"{option}: {text!r} is not a time: write a number with s, m, h, d or w (7d)."
        )
    return float(match.group(1)) * _TIME_UNITS[match.group(2)]


# --- reading -------------------------------------------------------------------------------------

_READ = """
SELECT row_to_json(seen) AS seen FROM (
SELECT extract(epoch FROM clock_timestamp()) AS clock,
       CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()
            ELSE pg_current_wal_lsn() END AS position,
       (SELECT rolsuper OR rolreplication FROM pg_roles WHERE rolname = current_user)
           AS may_replicate,
       (SELECT json_agg(slot) FROM (
            SELECT {columns}
              FROM pg_replication_slots
              LEFT JOIN pg_stat_activity ON pid = active_pid
             ORDER BY slot_name) AS slot) AS slots
) AS seen
"""
_COLUMNS = {
    13: "slot_name, slot_type, database, temporary, active_pid, restart_lsn, confirmed_flush_lsn,"
    " wal_status, application_name, host(client_addr) AS client",
    17: "synced, invalidation_reason,"
    " extract(epoch FROM clock_timestamp() - inactive_since) AS inactive_age",
}
_DATES_SLOTS = 17


def read_usage(session: Session) -> tuple[Server, list[Found]]:
    """The server and all of its slots, in one statement."""
    columns = columns_since(_COLUMNS, session.major)
    row = session.read(sql.SQL(_READ).format(columns=columns))[0]["seen"]
    server = Server(
        position=_lsn(row["position"]) or Lsn(0),
        dates_slots=session.major >= _DATES_SLOTS,
        may_replicate=row["may_replicate"],
        clock=row["clock"],
    )
    return server, [_found(slot) for slot in row["slots"] or ()]


def _found(row: Mapping[str, Any]) -> Found:
    age = row.get("inactive_age")
    return Found(
        name=row["slot_name"],
        slot_type=row["slot_type"],
        database=row["database"],
        temporary=row["temporary"],
        synced=row.get("synced", False),
        active_pid=row["active_pid"],
        consumer=" at ".join(filter(None, [row["application_name"], row["client"]])) or None,
        restart_lsn=_lsn(row["restart_lsn"]),
        confirmed_flush_lsn=_lsn(row["confirmed_flush_lsn"]),
        lost=row["wal_status"] == "lost" or row.get("invalidation_reason") is not None,
        inactive_seconds=None if age is None or row["active_pid"] else max(float(age), 0.0),
    )


def _lsn(text: str | None) -> Lsn | None:
    return Lsn.parse("", text) if text else None


# --- judging -------------------------------------------------------------------------------------


def judge(
    request: Request, server: Server, slots: Iterable[Found], seen: Mapping[str, Seen]
) -> list[Usage]:
    """Every slot with what is to be thought of it: what nothing uses first, the dearest of that."""
    found = list(slots)
    judge = _Judge(request, server, found, seen)
    usages = [judge.usage(slot) for slot in found]
    return sorted(
        usages,
        key=lambda usage: (
            _WORST_FIRST.index(usage.verdict),
            -(usage.retained_bytes or 0),
            usage.slot.name,
        ),
    )


class _Judge:
    def __init__(
        self, request: Request, server: Server, found: list[Found], seen: Mapping[str, Seen]
    ) -> None:
        self.request = request
        self.server = server
        self.seen = seen
        self.owners = {name: ship for ship in request.ships for name in ship.owned}
        self.users = {name: ship for ship in request.ships for name in ship.uses}
        self.systems = {
            ship.system_identifier: ship for ship in request.ships if ship.system_identifier
        }
        self.unasked = [ship for ship in request.ships if not ship.asked]
        there = {slot.name for slot in found}
        # A ship that cannot be asked is accounted for by its own slot. Where that is missing,
        # any other may be the one that it uses: the inventory may call it by a new name.
        self.unaccounted = [ship for ship in self.unasked if ship.slot not in there]

    def usage(self, slot: Found) -> Usage:
        verdict, why, ship = self.verdict(slot)
        retained = None
        if slot.restart_lsn is not None:
            retained = max(self.server.position - slot.restart_lsn, 0)
        return Usage(
            slot=slot,
            verdict=verdict,
            why=why,
            ship=ship.name if ship else None,
            unused_seconds=self.unused_seconds(slot),
            retained_bytes=retained,
        )

    def verdict(self, slot: Found) -> tuple[str, str, Ship | None]:
        keeper = self.keeper(slot)
        if keeper:
            return keeper
        doubts = self.doubts(slot)
        verdict, why = (UNPROVED, f"may be used: {doubts}") if doubts else self.by_age(slot)
        return verdict, why, None

    def keeper(self, slot: Found) -> tuple[str, str, Ship | None] | None:
        """What uses or keeps it."""
        owner = self.owners.get(slot.name)
        user = self.users.get(slot.name) or self.copying(slot)
        pattern = next(
            (one for one in (_FAILOVER, *self.request.kept) if fnmatchcase(slot.name, one)), None
        )
        if slot.active_pid is not None:
            who = f"{slot.consumer}, " if slot.consumer else ""
            known = owner or user or pattern
            stranger = "" if known else ", though no ship of the inventory owns it"
            return USED, f"is in use by {who}process {slot.active_pid}{stranger}", owner or user
        if slot.synced:
            return SYNCED, "is synchronised from the primary, which looks after it", None
        if owner:
            return OWNED, self.of_ship(owner, slot), owner
        if user:
            return NAMED, f"is named by the server of {user.name}", user
        if pattern:
            said = "looked after by pg_auto_failover" if pattern == _FAILOVER else "to be kept"
            return KEPT, f"is {said} ({pattern})", None
        return None

    def of_ship(self, ship: Ship, slot: Found) -> str:
        told = f"belongs to {ship.name}, a ship of the inventory"
        if ship.slot != slot.name:
            told += ", which is seeded by it"
        elif slot.lost:
            told += ", and is lost: bring the ship back with ship_reseed.yml"
        return told if ship.asked else f"{told}; the ship could not be asked"

    def copying(self, slot: Found) -> Ship | None:
        """The ship that copies a table by it."""
        match = _TABLE_SYNC.fullmatch(slot.name)
        return self.systems.get(match["system_identifier"]) if match else None

    def doubts(self, slot: Found) -> str:
        """Why it may be a ship's that could not be asked; empty where it cannot."""
        if slot.slot_type == "logical" and _TABLE_SYNC.fullmatch(slot.name):
            silent = [ship.name for ship in self.unasked if ship.mode == "logical"]
            if silent:
                return (
                    f"it is that of a table's first copy, and {_and(silent)} could not be asked"
                    " whether it is theirs"
                )
        missing = [ship for ship in self.unaccounted if ship.mode == slot.slot_type]
        if missing:
            slots = _and([ship.slot for ship in missing])
            return (
                f"{_and([ship.name for ship in missing])} could not be asked, and {slots} is not"
                " there, so that this slot may be theirs under another name"
            )
        return ""

    def by_age(self, slot: Found) -> tuple[str, str]:
        nobody = "belongs to no ship of the inventory and is named by no server that answered"
        if slot.slot_type == "logical" and _TABLE_SYNC.fullmatch(slot.name):
            nobody = "was made for a table's first copy by a server that is none of the ships'"
        limit = self.request.unused_after
        age = self.unused_seconds(slot)
        if age is None and limit:
            noted = "it is watched from now on" if self.request.seen_file else "no note is kept"
            return RECENT, (
                f"{nobody}, but since when it has been unused is not known: this server does not"
                f" tell (PostgreSQL 17 does), and {noted}; the limit is {duration(limit)}"
            )
        if age is not None and age < limit:
            return RECENT, (
                f"{nobody}, but has been unused for {duration(age)} only; the limit is"
                f" {duration(limit)}"
            )
        unused = "is unused" if age is None else f"has been unused for {duration(age)}"
        return UNUSED, f"{nobody}, and {unused}"

    def unused_seconds(self, slot: Found) -> float | None:
        """For how long, as the server says, or as it was seen by earlier looks."""
        if slot.active_pid is not None:
            return None
        if self.server.dates_slots:
            return slot.inactive_seconds
        seen = self.seen.get(slot.name)
        if seen is None or seen.position != slot.position or seen.since > self.server.clock:
            return None
        return round(self.server.clock - seen.since, 1)


def _and(names: list[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


# --- planning ------------------------------------------------------------------------------------


def chosen(request: Request, usages: Iterable[Usage]) -> list[Usage]:
    """Those that are to be dropped: the named ones, or those proved.

    :raises ReplicationError: one that is named is not to be dropped.
    """
    if not request.drop:
        return []
    if not request.names:
        return [usage for usage in usages if usage.verdict == UNUSED]
    named = [usage for usage in usages if usage.slot.name in request.names]
    refused = [
        f"{usage.slot.name} is not dropped: it {usage.why}.{_cure(usage)}"
        for usage in named
        if usage.verdict not in _MAY_BE_NAMED
    ]
    if refused:
        raise ReplicationError(
            " ".join([*refused, "Nothing was dropped."]),
            slots=[usage.shown() for usage in usages],
        )
    return named


def _cure(usage: Usage) -> str:
    if usage.verdict == USED:
        return " End what uses it first."
    if usage.verdict == OWNED:
        return " A ship that is gone for good leaves by ship_offboard.yml."
    return ""


def plan_drops(server: Server, dropped: Iterable[Usage]) -> Plan:
    """One statement a slot, so that a slot that is taken meanwhile keeps none of the others."""
    usages = list(dropped)
    if usages and not server.may_replicate:
        raise ReplicationError(
            "The connecting role may not drop replication slots: it has to be a superuser or have"
            " the attribute REPLICATION."
        )
    return Plan(
        steps=[
            Step(
                reason=f"drop {usage.slot.name}, which nothing used",
                statement=sql.SQL("SELECT pg_drop_replication_slot({})").format(
                    sql.Literal(usage.slot.name)
                ),
                way=Way.AUTOCOMMIT,
            )
            for usage in usages
        ],
        before={
            usage.slot.name: {
                "slot_type": usage.slot.slot_type,
                **({"database": usage.slot.database} if usage.slot.database else {}),
            }
            for usage in usages
        },
    )


def freed_bytes(server: Server, usages: Iterable[Usage], gone: Iterable[Usage]) -> int:
    """WAL that no slot holds any more once those are gone; others may hold the same."""
    leaving = {usage.slot.name for usage in gone}

    def held(slots: Iterable[Found]) -> int:
        oldest = min((slot.restart_lsn for slot in slots if slot.restart_lsn), default=None)
        return max(server.position - oldest, 0) if oldest is not None else 0

    slots = [usage.slot for usage in usages]
    return held(slots) - held(slot for slot in slots if slot.name not in leaving)


# --- telling -------------------------------------------------------------------------------------


def lines(
    request: Request, usages: Iterable[Usage], dropped: Iterable[Usage], freed: int, done: bool
) -> list[str]:
    """What is to be said, a sentence a slot, and what to do.

    :param done: whether the drops have been made; in check mode they have not.
    """
    gone = {usage.slot.name for usage in dropped}
    known = list(usages)
    told = [_line(usage, usage.slot.name in gone, done) for usage in known]
    there = {usage.slot.name for usage in known}
    told += [f"{name}: there is no such slot." for name in request.names if name not in there]
    if not known:
        told.append("The server has no replication slot.")
    if gone:
        told.append(
            f"{len(gone)} of {len(known)} slots {'dropped' if done else 'would be dropped'};"
            f" {size(freed)} of WAL {'is' if done else 'would be'} held by no slot any more."
        )
    elif not request.drop and any(usage.verdict == UNUSED for usage in known):
        told.append(
            "Nothing was changed. -e drop=true drops those that nothing uses,"
            f" after which no slot holds {size(freed)} of WAL any more."
        )
    elif not request.drop and any(usage.verdict in _MAY_BE_NAMED for usage in known):
        told.append(
            "Nothing was changed. What is not proved can be dropped by name:"
            " -e drop=true -e slots=NAME."
        )
    elif known:
        told.append("Nothing was dropped." if request.drop else "Every slot is used or kept.")
    return told


def _line(usage: Usage, gone: bool, done: bool) -> str:
    kept = usage.retained_bytes
    cost = "no WAL kept" if kept is None else f"{size(kept)} of WAL kept"
    where = f" in {usage.slot.database}" if usage.slot.database else ""
    what = {True: "dropped", False: "would be dropped"}[done] if gone else usage.verdict
    return f"{usage.slot.name} ({usage.slot.slot_type}{where}, {cost}): {what}: it {usage.why}."
