# SPDX-FileCopyrightText: HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Private to this collection: it may change in any release.

"""The doctor's rules on logical replication: publication, tables, subscription, workers.

PostgreSQL: Logical Replication, "Conflicts", "Configuration Settings"; ALTER SUBSCRIPTION.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from ansible_collections.hmm.pg_replication.plugins.plugin_utils._diagnosis import (
    CRITICAL,
    NOT_CONNECTED,
    WARNING,
    Case,
    Facts,
    Finding,
    Rule,
    quoted,
)

_ONBOARD = "ansible-playbook -i INVENTORY playbooks/ship_onboard.yml -e ship={}"
_RESEED = (
    "ansible-playbook -i INVENTORY playbooks/ship_reseed.yml -e ship={} -e ship_reseed_method=copy"
)
_LOGICAL_LEVEL = "wal_level < logical"
_DISABLED = "has been disabled because of an error"
_STARTED = "has started"
_CONFLICT = re.compile(
    r"duplicate key value violates unique constraint|conflict detected on relation"
    r"|conflicting key value violates exclusion constraint"
)
_NO_PUBLICATION = re.compile(r'publication "([^"]+)" does not exist')
# A connection that ended, or was not made: no error of the data. The program keep_subscription, which runs aboard by
# itself, knows more of them.
_LINK = re.compile(
    r"WAL stream|connect to the publisher|connection to server|server closed the connection"
    r"|SSL (SYSCALL )?error|Connection (timed out|reset|refused)|terminating (walsender|connection)"
    r"|due to timeout"
)
_NO_WORKER = re.compile(r"out of (logical replication|background) worker slots")
_FINISHED = re.compile(r"finished at ([0-9A-F]+/[0-9A-F]+)")
_RECENT = 60
_WAITING = ("initialize", "data_copy", "finished_copy")
_MOST_NAMED = 5


# --- what both ends have ---------------------------------------------------------------------------


def _subscription(case: Case) -> Facts:
    return case.subscription or {}


def _publications(case: Case) -> list[str]:
    """Those that the ship asks for; of a ship without a subscription, those it should ask for."""
    asked: list[str] = list(_subscription(case).get("publications") or ())
    return asked or [case.wanted["publication"]]


def _sent(case: Case) -> dict[str, set[str]]:
    """The tables that the shore sends to the ship, each with its columns."""
    found: dict[str, set[str]] = {}
    tables = case.shore_server.get("tables") or {}
    for publication in case.shore_server.get("publications") or ():
        if publication["name"] not in _publications(case):
            continue
        for table in publication["tables"]:
            name = f"{table['schemaname']}.{table['tablename']}"
            there = tables.get(name) or {}
            columns = table.get("attnames") or set(there.get("columns") or ()) - set(
                there.get("generated") or ()
            )
            found.setdefault(name, set()).update(columns)
    return found


def _subscribed(case: Case) -> dict[str, str]:
    """The subscription's tables, each with the state of its copy."""
    return {
        f"{table['schema']}.{table['table']}": str(table["state"])
        for table in _subscription(case).get("tables") or ()
    }


def _known(case: Case) -> bool:
    """Whether both ends could be asked of their tables."""
    return (
        case.logical
        and case.shore_server.get("publications") is not None
        and case.ship_server.get("tables") is not None
    )


def _stopped(case: Case) -> bool:
    """Whether changes are not applied, and it is not that a first copy is under way."""
    return not (_subscription(case).get("enabled") and case.connected)


def _copying(case: Case) -> bool:
    return any(worker["table"] for worker in _subscription(case).get("workers") or ())


def _error(case: Case) -> Facts | None:
    """The last error of the subscription's workers."""
    name = case.wanted["subscription"]
    origin = f'origin "pg_{_subscription(case).get("oid")}"'
    return next(
        (
            entry
            for entry in case.log("ship", within=float("inf"))
            if entry["level"] == "ERROR"
            and not entry["who"]
            and (entry["subscription"] == name or origin in entry["context"])
        ),
        None,
    )


def _lsn(error: Facts | None) -> str | None:
    """Where the transaction ends that could not be applied (PostgreSQL 15 or newer)."""
    found = _FINISHED.search(str((error or {}).get("context", "")))
    return found[1] if found else None


def _listed(names: list[str]) -> str:
    more = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


# --- the shore ---------------------------------------------------------------------------------------


def _wal_level(case: Case) -> Iterator[Finding]:
    level = case.shore_settings.get("wal_level")
    if not case.logical or case.shore is None or level in (None, "logical"):
        return
    seen = next(
        (
            entry
            for entry in case.log("shore", "ship", within=300)
            if _LOGICAL_LEVEL in entry["message"] or "wal_level >= logical" in entry["message"]
        ),
        None,
    )
    # A server that is down may be so for another reason.
    if not case.shore_server and seen is None:
        return
    yield Finding(
        CRITICAL,
        case.shore_name,
        f"wal_level of {case.shore_name} is {level}: no logical ship can be served, and a server with"
        " logical slots does not start.",
        (f"wal_level is {level}", *((quoted(seen),) if seen else ())),
        f"{_ONBOARD.format(case.name)} -e fleet_restart_allowed=true  # sets it, and restarts the shore",
    )


def _publication_dropped(case: Case) -> Iterator[Finding]:
    there = case.shore_server.get("publications")
    if not case.logical or there is None:
        return
    names = {publication["name"] for publication in there}
    missing = [name for name in _publications(case) if name not in names]
    error = _error(case)
    said = _NO_PUBLICATION.search(str((error or {}).get("message", "")))
    proof = (quoted(error),) if error and said else ()
    if missing:
        yield Finding(
            CRITICAL,
            f"publication {', '.join(missing)}",
            f"The publication {', '.join(missing)}, which {case.name} subscribes to, is not in"
            f" {case.wanted['database']} on {case.shore_name}.",
            (
                (
                    f"pg_publication on {case.shore_name} has"
                    f" {', '.join(sorted(names)) or 'no publication'}"
                ),
                *proof,
            ),
            f"{_ONBOARD.format(case.name)}  # makes it; what was written without it cannot be sent any"
            " more: if it is asked for again then, ship_reseed.yml copies the tables anew",
        )
    elif said and error and _stopped(case) and said[1] in _publications(case):
        yield Finding(
            CRITICAL,
            f"publication {said[1]}",
            f"The publication {said[1]} is there again, and was not when changes were written that"
            f" {case.name} still has to get: these cannot be sent any more.",
            proof,
            _RESEED.format(case.name),
        )


def _no_replica_identity(case: Case) -> Iterator[Finding]:
    if not case.logical or case.shore_server.get("publications") is None:
        return
    tables = case.shore_server.get("tables") or {}
    changing = {
        f"{table['schemaname']}.{table['tablename']}"
        for publication in case.shore_server["publications"]
        if publication["name"] in _publications(case)
        and (publication["pubupdate"] or publication["pubdelete"])
        for table in publication["tables"]
    }
    without = sorted(
        name for name in changing if name in tables and not tables[name]["has_identity"]
    )
    if without:
        yield Finding(
            CRITICAL,
            f"table {_listed(without)}",
            f"Updates and deletes of {_listed(without)} fail on {case.shore_name}: published, and"
            " without replica identity.",
            tuple(
                f"{name}: relreplident is {tables[name]['identity_kind']}, and no index of that kind"
                for name in without[:_MOST_NAMED]
            ),
            f"On {case.shore_name}: ALTER TABLE {without[0]} REPLICA IDENTITY DEFAULT, where it has a"
            " primary key; else USING INDEX a unique one, or FULL",
        )


# --- the ship's tables -------------------------------------------------------------------------------


def _table_missing_aboard(case: Case) -> Iterator[Finding]:
    if not _known(case):
        return
    missing = sorted(set(_sent(case)) - set(case.ship_server["tables"]))
    if not missing:
        return
    error = _error(case)
    stopped = _stopped(case) and error is not None and "does not exist" in error["message"]
    yield Finding(
        CRITICAL,
        f"table {_listed(missing)}",
        f"{case.shore_name} publishes {_listed(missing)}, and {case.name} has no such table"
        + (": nothing is applied any more." if stopped else "."),
        (
            f"in the publication {', '.join(_publications(case))}, and not in pg_class aboard",
            *((quoted(error),) if error and stopped else ()),
        ),
        f"{_ONBOARD.format(case.name)}  # makes it and copies it, once it is in fleet_tables or"
        " ship_tables",
    )


def _column_missing_aboard(case: Case) -> Iterator[Finding]:
    if not _known(case):
        return
    aboard = case.ship_server["tables"]
    missing = {
        name: sorted(columns - set(aboard[name]["columns"] or ()))
        for name, columns in sorted(_sent(case).items())
        if name in aboard and columns - set(aboard[name]["columns"] or ())
    }
    if not missing:
        return
    error = _error(case)
    stopped = (
        _stopped(case) and error is not None and "missing replicated column" in error["message"]
    )
    names = [f"{table}.{column}" for table, columns in missing.items() for column in columns]
    table = min(missing)  # in the order in which they are told
    column = missing[table][0]
    types = (case.shore_server.get("tables") or {}).get(table, {}).get("columns") or {}
    yield Finding(
        CRITICAL,
        f"table {_listed(list(missing))}",
        f"{case.shore_name} sends {_listed(names)}, and {case.name} has no such column"
        + (
            ": nothing is applied any more."
            if stopped
            else "; the next change of it stops everything."
        ),
        (
            *(
                f"{name}: {', '.join(left)} is not in pg_attribute aboard"
                for name, left in missing.items()
            ),
            *((quoted(error),) if error and stopped else ()),
        ),
        f"On {case.name}: ALTER TABLE {table} ADD COLUMN {column} {types.get(column, 'TYPE')};"
        f" then {_ONBOARD.format(case.name)}  # goes on",
    )


def _table_not_copied(case: Case) -> Iterator[Finding]:
    subscription = case.subscription
    if not _known(case) or subscription is None:
        return
    states = _subscribed(case)
    unknown = sorted(
        name for name in _sent(case) if name not in states and name in case.ship_server["tables"]
    )
    if unknown:
        yield Finding(
            CRITICAL,
            f"table {_listed(unknown)}",
            f"{case.shore_name} publishes {_listed(unknown)}, and {case.name} never copied it: its"
            " subscription was not refreshed since.",
            (f"pg_subscription_rel aboard has {_listed(sorted(states)) or 'no table'}",),
            f"On {case.name}, in {case.wanted['database']}: ALTER SUBSCRIPTION"
            f" {subscription['name']} REFRESH PUBLICATION",
            {"action": "refresh_subscription", "subscription": subscription["name"]}
            if subscription["enabled"]
            else None,
        )
        return
    waiting = sorted(name for name, state in states.items() if state in _WAITING)
    if not waiting or _copying(case) or not subscription["enabled"]:
        return
    error = _error(case)
    recent = error is not None and error["age"] <= _RECENT
    if not recent and not case.connected:
        return
    yield Finding(
        CRITICAL if recent else WARNING,
        f"table {_listed(waiting)}",
        f"The first copy of {_listed(waiting)} is not done, and nobody is at it"
        + (": it fails again and again." if recent else "."),
        (
            *(f"{name}: {states[name]}" for name in waiting[:_MOST_NAMED]),
            *((quoted(error),) if error and recent else ()),
        ),
        f"Mend what the error names; then {_ONBOARD.format(case.name)}"
        if recent
        else "Wait half a minute and look again",
    )


# --- the subscription ----------------------------------------------------------------------------------


def _subscription_missing(case: Case) -> Iterator[Finding]:
    if not case.logical or case.ship_server.get("subscriptions") is None or case.subscription:
        return
    there = [one["name"] for one in case.ship_server["subscriptions"]]
    yield Finding(
        CRITICAL,
        f"subscription {case.wanted['subscription']}",
        f"{case.name} has no subscription {case.wanted['subscription']}: it asks the shore for nothing.",
        (f"pg_subscription aboard has {', '.join(there) or 'none'}",),
        _ONBOARD.format(case.name),
    )


def _disabled(case: Case) -> bool:
    return case.subscription is not None and not case.subscription["enabled"]


def _by_error(case: Case) -> bool:
    """By the log: by hand as well a worker is told to stop. The counts tell of all errors there ever were."""
    own = [
        entry
        for entry in case.log("ship", within=float("inf"))
        if entry["subscription"] == case.wanted["subscription"]
    ]
    disabled = min((entry["age"] for entry in own if _DISABLED in entry["message"]), default=None)
    started = min((entry["age"] for entry in own if _STARTED in entry["message"]), default=None)
    if disabled is None and started is None:
        counts = _subscription(case).get("statistics") or {}
        return bool(counts.get("apply_error_count") or counts.get("sync_error_count"))
    return disabled is not None and (started is None or disabled <= started)


def _conflict(case: Case) -> Iterator[Finding]:
    error = _error(case)
    if (
        not case.logical
        or not _stopped(case)
        or not error
        or not _CONFLICT.search(error["message"])
    ):
        return
    name = case.wanted["subscription"]
    lsn = _lsn(error)
    yield Finding(
        CRITICAL,
        f"subscription {name}",
        f"A row that the shore sends is in conflict with one that is on {case.name} already"
        + (f", in the transaction that ends at {lsn}." if lsn else "."),
        (quoted(error),),
        f"On {case.name}, in {case.wanted['database']}: look who wrote that row; delete it, then ALTER"
        f" SUBSCRIPTION {name} ENABLE."
        + (
            f" To keep it instead, and lose the shore's whole transaction: ALTER SUBSCRIPTION {name}"
            f" SKIP (lsn = '{lsn}') before that"
            if lsn
            else ""
        ),
    )


def _disabled_by_error(case: Case) -> Iterator[Finding]:
    if not case.logical or not _disabled(case) or not _by_error(case):
        return
    name = case.wanted["subscription"]
    error = _error(case)
    lsn = _lsn(error)
    counts = _subscription(case).get("statistics") or {}
    counted = (
        f"errors: {counts.get('apply_error_count', 0)} applying, {counts.get('sync_error_count', 0)}"
        " copying (pg_stat_subscription_stats)"
    )
    if error is not None and not _lsn(error) and _LINK.search(error["message"]):
        yield Finding(
            WARNING,
            f"subscription {name}",
            f"The subscription {name} is disabled since its connection ended, and nothing else is"
            " wrong with it.",
            (quoted(error), counted),
            f"Wait for keep_subscription aboard, or on {case.name}: ALTER SUBSCRIPTION {name} ENABLE",
            {"action": "enable_subscription", "subscription": name},
        )
        return
    yield Finding(
        CRITICAL,
        f"subscription {name}",
        f"An error has disabled the subscription {name}"
        + (f", at the transaction that ends at {lsn}" if lsn else "")
        + (f": {error['message']}" if error else "; the log does not reach back to it."),
        (*((quoted(error),) if error else ()), counted),
        f"Set right what the error names, then {_ONBOARD.format(case.name)}  # enables it and goes on"
        + (
            f". To lose that transaction instead, on {case.name}: ALTER SUBSCRIPTION {name} SKIP (lsn ="
            f" '{lsn}')"
            if lsn
            else ""
        ),
    )


def _disabled_by_hand(case: Case) -> Iterator[Finding]:
    if not case.logical or not _disabled(case) or _by_error(case):
        return
    name = case.wanted["subscription"]
    yield Finding(
        CRITICAL,
        f"subscription {name}",
        f"The subscription {name} is disabled, and no error did it: somebody has.",
        ("subenabled is false, and pg_stat_subscription_stats counts no error",),
        f"Ask who did, and why; then on {case.name}, in {case.wanted['database']}: ALTER SUBSCRIPTION"
        f" {name} ENABLE",
    )


def _logical_workers_exhausted(case: Case) -> Iterator[Finding]:
    subscription = case.subscription
    if not case.logical or subscription is None or not subscription["enabled"]:
        return
    waits = any(state in _WAITING for state in _subscribed(case).values()) and not _copying(case)
    if case.subscription_lag.get("apply_worker_pid") is not None and not waits:
        return
    room = int(case.ship_settings.get("max_logical_replication_workers", 0))
    used = sum(
        number
        for kind, number in (case.ship_server.get("backends") or {}).items()
        if kind.startswith("logical replication ") and kind.endswith("worker")
    )
    # The launcher says so each time that it tries.
    retry = float(case.ship_settings.get("wal_retrieve_retry_interval", 5000)) / 1000
    up = case.ship_server.get("uptime_seconds", _RECENT)
    seen = next(
        (
            entry
            for entry in case.log("ship", within=min(up, 2 * retry + 2))
            if _NO_WORKER.search(entry["message"])
        ),
        None,
    )
    if used < room and seen is None:
        return
    others = [
        one["name"]
        for one in case.ship_server.get("subscriptions") or ()
        if one["workers"] and one["name"] != subscription["name"]
    ]
    setting = (
        "max_worker_processes"
        if seen and "background worker slots" in seen["message"]
        else "max_logical_replication_workers"
    )
    yield Finding(
        CRITICAL,
        case.name,
        f"No worker is left for the subscription {subscription['name']}.",
        (
            f"{used} of {room} logical replication workers are in use"
            + (f", by {', '.join(others)}" if others else ""),
            *((quoted(seen),) if seen else ()),
        ),
        f"Raise {setting} in ship_settings ({case.ship_settings.get(setting)} now), and run"
        f" {_ONBOARD.format(case.name)}; or drop subscriptions that are not needed",
    )


_APPLYING = frozenset({"subscription_disabled_by_error", "table_not_copied"})

RULES = (
    Rule(
        "wal_level",
        _wal_level,
        NOT_CONNECTED | _APPLYING | {"shore_down", "slot_missing", "connection_failed"},
    ),
    Rule("subscription_missing", _subscription_missing, frozenset({"slot_missing"})),
    Rule(
        "publication_dropped",
        _publication_dropped,
        _APPLYING | {"table_missing_aboard", "column_missing_aboard"},
    ),
    Rule("table_missing_aboard", _table_missing_aboard, _APPLYING),
    Rule("column_missing_aboard", _column_missing_aboard, _APPLYING),
    Rule("conflict", _conflict, _APPLYING),
    Rule("logical_workers_exhausted", _logical_workers_exhausted, NOT_CONNECTED),
    Rule("subscription_disabled_by_error", _disabled_by_error, frozenset({"table_not_copied"})),
    Rule("subscription_disabled", _disabled_by_hand, frozenset({"table_not_copied"})),
    Rule("table_not_copied", _table_not_copied),
    Rule("no_replica_identity", _no_replica_identity),
)
