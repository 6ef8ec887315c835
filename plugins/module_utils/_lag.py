# SPDX-FileCopyrightText: HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Private to this collection: it may change in any release.

"""How far replication has come, as one server sees it: one statement, and one at a sample's end.

PostgreSQL: The Cumulative Statistics System; pg_replication_slots; System Administration
Functions, "Recovery Information Functions".
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from ansible_collections.hmm.pg_replication.plugins.module_utils._connection import Row, Session
from ansible_collections.hmm.pg_replication.plugins.module_utils._driver import sql
from ansible_collections.hmm.pg_replication.plugins.module_utils._errors import (
    INSUFFICIENT_PRIVILEGE,
    ServerError,
)
from ansible_collections.hmm.pg_replication.plugins.module_utils._names import Lsn
from ansible_collections.hmm.pg_replication.plugins.module_utils._sql import columns_since
from ansible_collections.hmm.pg_replication.plugins.module_utils._versions import version_text

# pg_subscription_rel.srsubstate (PostgreSQL: System Catalogs), in the order a table goes through.
TABLE_STATES = {
    "i": "initialize",
    "d": "data_copy",
    "f": "finished_copy",
    "s": "synchronized",
    "r": "ready",
}
_CONFLICT = "confl_"


class Fact:
    """A dataclass that a result shows: what is None is unknown, or not there."""

    def shown(self) -> dict[str, Any]:
        return {
            field.name: str(value) if isinstance(value, Lsn) else value
            for field in fields(self)  # type: ignore[arg-type]
            for value in [getattr(self, field.name)]
        }


@dataclass(frozen=True)
class ServerLag(Fact):
    """The server that was asked. The settings' bytes and milliseconds are None for "no limit"."""

    version: str
    role: str
    position: Lsn | None
    time: str = ""
    timeline: int | None = None
    system_identifier: str | None = None
    sample_seconds: float | None = None
    wal_rate: float | None = None
    replay_rate: float | None = None
    wal_senders_used: int = 0
    max_wal_senders: int = 10
    slots_used: int = 0
    max_replication_slots: int = 10
    max_slot_wal_keep_size: int | None = None
    synchronous_standby_names: str = ""
    wal_receiver_timeout: float | None = 60

    @property
    def in_recovery(self) -> bool:
        return self.role == "standby"


@dataclass(frozen=True)
class StandbyLag(Fact):
    """A walsender: a standby, a subscription or a backup that is connected right now."""

    name: str
    pid: int
    type: str = "physical"
    slot: str | None = None
    client_addr: str | None = None
    user: str | None = None
    state: str | None = None
    sync_state: str | None = None
    send_lag_bytes: int | None = None
    write_lag_bytes: int | None = None
    flush_lag_bytes: int | None = None
    replay_lag_bytes: int | None = None
    write_lag_seconds: float | None = None
    flush_lag_seconds: float | None = None
    replay_lag_seconds: float | None = None
    reply_time: str | None = None


@dataclass(frozen=True)
class SlotLag(Fact):
    """A slot, and how far behind its consumer is, connected or not."""

    name: str
    type: str
    plugin: str | None = None
    database: str | None = None
    temporary: bool = False
    active: bool = False
    active_pid: int | None = None
    restart_lsn: Lsn | None = None
    confirmed_flush_lsn: Lsn | None = None
    lag_bytes: int | None = None
    retained_bytes: int | None = None
    wal_status: str | None = None
    safe_wal_size: int | None = None
    seconds_until_lost: float | None = None
    lost_by: str | None = None
    inactive_since: str | None = None
    inactive_seconds: float | None = None
    lost: bool = False
    invalidation_reason: str | None = None
    failover: bool | None = None
    synced: bool | None = None


@dataclass(frozen=True)
class ReceiverLag(Fact):
    """What a standby receives and replays. status None: it cannot be seen."""

    running: bool
    status: str | None = None
    sender_host: str | None = None
    sender_port: int | None = None
    slot: str | None = None
    written_lsn: Lsn | None = None
    flushed_lsn: Lsn | None = None
    latest_end_lsn: Lsn | None = None
    last_message_time: str | None = None
    last_message_seconds: float | None = None
    replay_lsn: Lsn | None = None
    replay_state: str = "not paused"
    last_replayed_commit: str | None = None
    receive_lag_bytes: int | None = None
    replay_lag_bytes: int | None = None
    replay_lag_seconds: float | None = None


@dataclass(frozen=True)
class SubscriptionLag(Fact):
    """A subscription of any of the server's databases."""

    name: str
    database: str
    enabled: bool
    slot: str | None = None
    workers: int | None = None
    apply_worker_pid: int | None = None
    received_lsn: Lsn | None = None
    latest_end_lsn: Lsn | None = None
    lag_bytes: int | None = None
    last_message_time: str | None = None
    last_message_seconds: float | None = None
    tables: dict[str, int] | None = None
    apply_errors: int | None = None
    sync_errors: int | None = None
    conflicts: dict[str, int] | None = None
    stats_reset: str | None = None
    errors_in_sample: int | None = None
    skip_lsn: Lsn | None = None
    disable_on_error: bool | None = None
    disabled_by_error: bool | None = None


@dataclass(frozen=True)
class Unknown(Fact):
    """What could not be read, and what would help."""

    what: str
    do: str


@dataclass(frozen=True)
class Lag:
    """All that one server knows of its replication."""

    server: ServerLag
    standbys: tuple[StandbyLag, ...] = ()
    slots: tuple[SlotLag, ...] = ()
    receiver: ReceiverLag | None = None
    subscriptions: tuple[SubscriptionLag, ...] = ()
    unknown: tuple[Unknown, ...] = ()

    def shown(self) -> dict[str, Any]:
        return {
            "server": self.server.shown(),
            "standbys": [standby.shown() for standby in self.standbys],
            "slots": [slot.shown() for slot in self.slots],
            "receiver": self.receiver and self.receiver.shown(),
            "subscriptions": [subscription.shown() for subscription in self.subscriptions],
            "unknown": [unknown.shown() for unknown in self.unknown],
        }


# --- reading -------------------------------------------------------------------------------------

# Subscriptions, their workers, tables and statistics are joined in Python: by OID, or where the
# role may not read that (PostgreSQL 13), by name.
_READ = """
SELECT row_to_json(lag) AS lag FROM (
SELECT {position},
       clock_timestamp() AT TIME ZONE 'UTC' AS time,
       CASE WHEN NOT pg_is_in_recovery() THEN left(pg_walfile_name(pg_current_wal_lsn()), 8) END
           AS timeline,
       {control},
       (SELECT json_object_agg(name, setting) FROM pg_settings WHERE name IN (
            'max_wal_senders', 'max_replication_slots', 'max_slot_wal_keep_size',
            'synchronous_standby_names', 'wal_receiver_timeout', 'idle_replication_slot_timeout'
        )) AS settings,
       (SELECT json_agg(standby) FROM (
            SELECT pid, application_name, usename, host(client_addr) AS client_addr, state,
                   sync_state, sent_lsn, write_lsn, flush_lsn, replay_lsn,
                   extract(epoch FROM write_lag) AS write_lag,
                   extract(epoch FROM flush_lag) AS flush_lag,
                   extract(epoch FROM replay_lag) AS replay_lag,
                   reply_time AT TIME ZONE 'UTC' AS reply_time
              FROM pg_stat_replication
             ORDER BY application_name, pid) AS standby) AS standbys,
       (SELECT json_agg(slot) FROM (
            SELECT {slot_columns} FROM pg_replication_slots ORDER BY slot_name) AS slot) AS slots,
       (SELECT row_to_json(receiver) FROM (
            SELECT pid, status, received_tli, sender_host, sender_port, slot_name, written_lsn,
                   flushed_lsn, latest_end_lsn,
                   last_msg_receipt_time AT TIME ZONE 'UTC' AS message_time,
                   extract(epoch FROM clock_timestamp() - last_msg_receipt_time) AS message_age
              FROM pg_stat_wal_receiver) AS receiver) AS receiver,
       CASE WHEN pg_is_in_recovery() THEN {pause_state} END AS replay_state,
       pg_last_wal_receive_lsn() AS receive_lsn,
       pg_last_xact_replay_timestamp() AT TIME ZONE 'UTC' AS commit_time,
       extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()) AS commit_age,
       (SELECT json_agg(subscription) FROM (
            SELECT {oid} AS oid, subname, datname, datname = current_database() AS here,
                   {subscription_columns}
              FROM pg_subscription JOIN pg_database ON pg_database.oid = subdbid
             ORDER BY datname, subname) AS subscription) AS subscriptions,
       (SELECT json_agg(worker) FROM (
            SELECT subid, subname, pid, {leads} AS leads, received_lsn, latest_end_lsn,
                   last_msg_receipt_time AT TIME ZONE 'UTC' AS message_time,
                   extract(epoch FROM clock_timestamp() - last_msg_receipt_time) AS message_age
              FROM pg_stat_subscription) AS worker) AS workers,
       (SELECT json_agg(counted) FROM (
            SELECT srsubid AS subid, srsubstate AS state, count(*) AS tables
              FROM pg_subscription_rel GROUP BY 1, 2) AS counted) AS tables,
       {statistics} AS statistics
) AS lag
"""
# On a standby the position is the end of what it has: archived WAL may be further than received.
POSITION = """
       pg_is_in_recovery() AS in_recovery,
       extract(epoch FROM clock_timestamp()) AS clock,
       CASE WHEN pg_is_in_recovery()
            THEN greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())
            ELSE pg_current_wal_lsn() END AS position,
       pg_last_wal_replay_lsn() AS replay_lsn
"""
_SAMPLE_END = """
SELECT row_to_json(sample) AS sample FROM (SELECT {position}, {errors} AS errors) AS sample
"""
_ERRORS = """
       (SELECT json_object_agg(subid, apply_error_count + sync_error_count)
          FROM pg_stat_subscription_stats)
"""
_CONTROL = """
       (SELECT system_identifier::text FROM pg_control_system()) AS system_identifier,
       (SELECT timeline_id FROM pg_control_checkpoint()) AS checkpoint_timeline
"""
_NO_CONTROL = "NULL AS system_identifier, NULL AS checkpoint_timeline"
_PAUSE_STATE = {
    13: "CASE WHEN pg_is_wal_replay_paused() THEN 'paused' ELSE 'not paused' END",
    14: "pg_get_wal_replay_pause_state()",
}
_SLOT_COLUMNS = {
    13: "slot_name, slot_type, plugin, database, temporary, active, active_pid, restart_lsn,"
    " confirmed_flush_lsn, wal_status, safe_wal_size",
    17: "inactive_since AT TIME ZONE 'UTC' AS inactive_since,"
    " extract(epoch FROM clock_timestamp() - inactive_since) AS inactive_age,"
    " invalidation_reason, failover, synced",
}
_SUBSCRIPTION_COLUMNS = {
    13: "subenabled, subslotname",
    15: "subskiplsn, subdisableonerr",
}
_LEADS = {
    13: "relid IS NULL",
    16: "relid IS NULL AND leader_pid IS NULL",
}
_STATISTICS_COLUMNS = {
    15: "subid, apply_error_count, sync_error_count, stats_reset AT TIME ZONE 'UTC' AS stats_reset",
    18: "confl_insert_exists, confl_update_origin_differs, confl_update_exists,"
    " confl_update_missing, confl_delete_origin_differs, confl_delete_missing,"
    " confl_multiple_unique_conflicts",
}
_STATISTICS = """
       (SELECT json_agg(counts) FROM (
            SELECT {columns} FROM pg_stat_subscription_stats) AS counts)
"""


def read_lag(session: Session, sample_seconds: float) -> Lag:
    """All that the server tells, in one statement, and in one more at the end of a sample."""
    found = read_found(session)
    sample = None
    if sample_seconds:
        time.sleep(sample_seconds)
        counted = session.major >= min(_STATISTICS_COLUMNS)
        statement = sql.SQL(_SAMPLE_END).format(
            position=sql.SQL(POSITION), errors=sql.SQL(_ERRORS if counted else "NULL")
        )
        sample = session.read(statement)[0]["sample"]
    return lag_of(session.server_version, found, sample)


def read_found(session: Session) -> Row:
    """What the server answers, as lag_of takes it."""
    # Ordinary roles cannot read the OID on 13: asking would be an error in the server's log.
    oid = session.superuser or session.major > 13  # noqa: PLR2004
    try:
        found = session.read(_read_statement(session.major, oid=oid, control=True))
    except ServerError as exc:
        if exc.sqlstate != INSUFFICIENT_PRIVILEGE:
            raise
        found = session.read(_read_statement(session.major, oid=False, control=False))
    row: Row = found[0]["lag"]
    return row


def _read_statement(major: int, oid: bool, control: bool) -> sql.Composable:
    statistics = sql.SQL(_STATISTICS).format(columns=columns_since(_STATISTICS_COLUMNS, major))
    return sql.SQL(_READ).format(
        position=sql.SQL(POSITION),
        control=sql.SQL(_CONTROL if control else _NO_CONTROL),
        slot_columns=columns_since(_SLOT_COLUMNS, major),
        pause_state=_newest(_PAUSE_STATE, major),
        oid=sql.SQL("pg_subscription.oid" if oid else "NULL"),
        subscription_columns=columns_since(_SUBSCRIPTION_COLUMNS, major),
        leads=_newest(_LEADS, major),
        statistics=statistics if major >= min(_STATISTICS_COLUMNS) else sql.SQL("NULL"),
    )


def _newest(table: Mapping[int, str], major: int) -> sql.SQL:
    return sql.SQL(table[max(since for since in table if since <= major)])


# --- from what was read to facts: no server needed ---------------------------------------------


def lag_of(server_version: int, found: Row, sample: Row | None = None) -> Lag:
    """The facts of what the server answered.

    :param sample: the positions at the other end of a sample, be it earlier or later.
    """
    server = _server(server_version, found, sample)
    slots = tuple(
        _slot(row, server, _number(found["settings"].get("idle_replication_slot_timeout")))
        for row in found["slots"] or ()
    )
    standbys = _standbys(found["standbys"] or (), slots, server.position)
    receiver = _receiver(found) if server.in_recovery else None
    oids = _oids(found)
    subscriptions = tuple(
        _subscription(row, oid, found, sample)
        for row, oid in zip(found["subscriptions"] or (), oids)
    )
    lag = Lag(server, standbys, slots, receiver, subscriptions)
    return Lag(server, standbys, slots, receiver, subscriptions, tuple(_unknown(lag)))


def _server(server_version: int, found: Row, sample: Row | None) -> ServerLag:
    settings = found["settings"]
    receiver = found["receiver"] or {}
    keep_megabytes = int(settings["max_slot_wal_keep_size"])
    # The last checkpoint's timeline is the old one for a while after a promotion.
    timeline = receiver.get("received_tli") or found["checkpoint_timeline"]
    if found["timeline"]:
        timeline = int(found["timeline"], 16)
    return ServerLag(
        version=version_text(server_version),
        role="standby" if found["in_recovery"] else "primary",
        position=_lsn(found["position"]),
        time=_utc(found["time"]) or "",
        timeline=timeline,
        system_identifier=found["system_identifier"],
        sample_seconds=round(abs(sample["clock"] - found["clock"]), 3) if sample else None,
        wal_rate=_rate("position", found, sample),
        replay_rate=_rate("replay_lsn", found, sample) if found["in_recovery"] else None,
        wal_senders_used=len(found["standbys"] or ()),
        max_wal_senders=int(settings["max_wal_senders"]),
        slots_used=len(found["slots"] or ()),
        max_replication_slots=int(settings["max_replication_slots"]),
        max_slot_wal_keep_size=keep_megabytes * 2**20 if keep_megabytes >= 0 else None,
        synchronous_standby_names=settings["synchronous_standby_names"],
        wal_receiver_timeout=(_number(settings["wal_receiver_timeout"]) or 0) / 1000 or None,
    )


def _rate(position: str, found: Row, sample: Row | None) -> float | None:
    """Bytes a second between the two."""
    if not sample:
        return None
    first, last = sorted((found, sample), key=lambda row: float(row["clock"]))
    if not (begin := _lsn(first[position])) or not (end := _lsn(last[position])):
        return None
    seconds = last["clock"] - first["clock"]
    return round(max(end - begin, 0) / seconds, 1) if seconds > 0 else None


def _slot(row: Row, server: ServerLag, idle_timeout: float | None) -> SlotLag:
    restart, confirmed = _lsn(row["restart_lsn"]), _lsn(row["confirmed_flush_lsn"])
    logical = row["slot_type"] == "logical"
    lost = row["wal_status"] == "lost" or row.get("invalidation_reason") is not None
    inactive = None if row["active"] else _seconds(row.get("inactive_age"))
    ends: list[tuple[float, str | None]] = [(0.0, None)] if lost else []
    if row["safe_wal_size"] is not None and row["safe_wal_size"] <= 0:
        ends.append((0.0, "wal"))
    elif row["safe_wal_size"] is not None and server.wal_rate:
        ends.append((row["safe_wal_size"] / server.wal_rate, "wal"))
    if idle_timeout and inactive is not None and restart is not None and not row["synced"]:
        ends.append((max(idle_timeout - inactive, 0.0), "idle"))
    until_lost, lost_by = min(ends, key=lambda end: end[0], default=(None, None))
    return SlotLag(
        name=row["slot_name"],
        type=row["slot_type"],
        plugin=row["plugin"],
        database=row["database"],
        temporary=row["temporary"],
        active=row["active"],
        active_pid=row["active_pid"],
        restart_lsn=restart,
        confirmed_flush_lsn=confirmed,
        lag_bytes=_behind(server.position, confirmed if logical else restart),
        retained_bytes=_behind(server.position, restart),
        wal_status=row["wal_status"],
        safe_wal_size=row["safe_wal_size"],
        seconds_until_lost=_seconds(until_lost),
        lost_by=lost_by,
        inactive_since=None if row["active"] else _utc(row.get("inactive_since")),
        inactive_seconds=inactive,
        lost=lost,
        invalidation_reason=row.get("invalidation_reason"),
        failover=row.get("failover"),
        synced=row.get("synced"),
    )


def _standbys(
    rows: Iterable[Row], slots: Iterable[SlotLag], position: Lsn | None
) -> tuple[StandbyLag, ...]:
    slot_of = {slot.active_pid: slot for slot in slots if slot.active_pid is not None}
    found = []
    for row in rows:
        slot = slot_of.get(row["pid"])
        lag = {
            stage: _behind(position, _lsn(row[f"{stage}_lsn"]))
            for stage in ("sent", "write", "flush", "replay")
        }
        # The server forgets its measurements some time after all is caught up: then there is no lag.
        seconds = {
            stage: 0.0 if lag[stage] == 0 else _seconds(row[f"{stage}_lag"])
            for stage in ("write", "flush", "replay")
        }
        found.append(
            StandbyLag(
                name=row["application_name"] or "",
                pid=row["pid"],
                type=slot.type if slot else "physical",
                slot=slot.name if slot else None,
                client_addr=row["client_addr"],
                user=row["usename"],
                state=row["state"],
                sync_state=row["sync_state"],
                send_lag_bytes=lag["sent"],
                write_lag_bytes=lag["write"],
                flush_lag_bytes=lag["flush"],
                replay_lag_bytes=lag["replay"],
                write_lag_seconds=seconds["write"],
                flush_lag_seconds=seconds["flush"],
                replay_lag_seconds=seconds["replay"],
                reply_time=_utc(row["reply_time"]),
            )
        )
    return tuple(found)


def _receiver(found: Row) -> ReceiverLag:
    row: Row = found["receiver"] or {}
    replayed = _lsn(found["replay_lsn"])
    received = _lsn(found["receive_lsn"])
    replay_lag = _behind(received, replayed)
    return ReceiverLag(
        running=bool(row),
        status=row.get("status"),
        sender_host=row.get("sender_host"),
        sender_port=row.get("sender_port"),
        slot=row.get("slot_name"),
        written_lsn=_lsn(row.get("written_lsn")),
        flushed_lsn=_lsn(row.get("flushed_lsn")) or received,
        latest_end_lsn=_lsn(row.get("latest_end_lsn")),
        last_message_time=_utc(row.get("message_time")),
        last_message_seconds=_seconds(row.get("message_age")),
        replay_lsn=replayed,
        replay_state=found["replay_state"],
        last_replayed_commit=_utc(found["commit_time"]),
        receive_lag_bytes=_behind(_lsn(row.get("latest_end_lsn")), _lsn(row.get("flushed_lsn"))),
        replay_lag_bytes=replay_lag,
        replay_lag_seconds=_replay_seconds(row, replay_lag, _seconds(found["commit_age"])),
    )


def _replay_seconds(
    receiver: Row, replay_lag: int | None, commit_age: float | None
) -> float | None:
    """The age of the last commit replayed is a lag only where there is, or may be, more to replay:
    a primary that is idle sends no commit for hours."""
    if replay_lag == 0 and receiver:
        if receiver["status"] == "streaming":
            return 0.0
        if receiver["status"] is None:
            return None
    return commit_age


def _oids(found: Row) -> list[int | None]:
    """The subscriptions' OIDs, by their names where the role cannot read them."""
    named: dict[str, set[int]] = {}
    for worker in found["workers"] or ():
        named.setdefault(worker["subname"], set()).add(worker["subid"])
    return [
        row["oid"] or (next(iter(oids)) if len(oids) == 1 else None)
        for row in found["subscriptions"] or ()
        for oids in [named.get(row["subname"], set())]
    ]


def _subscription(
    row: Row, oid: int | None, found: Row, sample: Row | None = None
) -> SubscriptionLag:
    workers = [
        worker
        for worker in found["workers"] or ()
        if worker["subid"] == oid and worker["pid"] is not None
    ]
    apply: Row = next((worker for worker in workers if worker["leads"]), {})
    counts: Row = next((item for item in found["statistics"] or () if item["subid"] == oid), {})
    received, latest = _lsn(apply.get("received_lsn")), _lsn(apply.get("latest_end_lsn"))
    errors = (counts.get("apply_error_count") or 0) + (counts.get("sync_error_count") or 0)
    later = ((sample or {}).get("errors") or {}).get(str(oid))
    on_error = row.get("subdisableonerr")
    return SubscriptionLag(
        name=row["subname"],
        database=row["datname"],
        enabled=row["subenabled"],
        slot=row["subslotname"],
        workers=None if oid is None else len(workers),
        apply_worker_pid=apply.get("pid"),
        received_lsn=received,
        latest_end_lsn=latest,
        lag_bytes=_behind(received, latest),
        last_message_time=_utc(apply.get("message_time")),
        last_message_seconds=_seconds(apply.get("message_age")),
        tables=_tables(oid, found["tables"] or ()) if row["here"] and oid is not None else None,
        apply_errors=counts.get("apply_error_count"),
        sync_errors=counts.get("sync_error_count"),
        conflicts=_conflicts(counts),
        stats_reset=_utc(counts.get("stats_reset")),
        errors_in_sample=None if later is None else max(later - errors, 0),
        skip_lsn=_lsn(row.get("subskiplsn")) or None,
        disable_on_error=on_error,
        disabled_by_error=on_error and not row["subenabled"] and errors > 0,
    )


def _tables(oid: int, rows: Iterable[Row]) -> dict[str, int]:
    counted: Counter[str] = Counter()
    for row in rows:
        if row["subid"] == oid:
            counted[TABLE_STATES[row["state"]]] += row["tables"]
    return {
        "total": sum(counted.values()),
        **{state: counted[state] for state in TABLE_STATES.values()},
    }


def _conflicts(counts: Row) -> dict[str, int] | None:
    found = {
        column[len(_CONFLICT) :]: count
        for column, count in counts.items()
        if column.startswith(_CONFLICT)
    }
    return found or None


def _unknown(lag: Lag) -> Iterable[Unknown]:
    if any(standby.state is None for standby in lag.standbys):
        yield Unknown(
            "standbys: client_addr, state, sync_state and the lags",
            "Grant the role pg_read_all_stats, or pg_monitor, which includes it.",
        )
    if lag.receiver and lag.receiver.running and lag.receiver.status is None:
        yield Unknown(
            "receiver: all but running and what the server has received and replayed",
            "Grant the role pg_read_all_stats, or pg_monitor, which includes it.",
        )
    if lag.server.system_identifier is None:
        yield Unknown(
            "server: system_identifier, and on a standby that does not stream timeline",
            "Grant the role EXECUTE on pg_control_system() and pg_control_checkpoint().",
        )
    for subscription in lag.subscriptions:
        if subscription.workers is None:
            yield Unknown(
                f"subscription {subscription.name} in {subscription.database}: all but its name,"
                " database, slot and whether it is enabled",
                "Its name is there in several databases: connect as a superuser, who may read"
                " which is which.",
            )
    elsewhere = dict.fromkeys(
        subscription.database
        for subscription in lag.subscriptions
        if subscription.tables is None and subscription.workers is not None
    )
    for database in elsewhere:
        yield Unknown(
            f"subscriptions in {database}: tables",
            f"They can be seen in that database only: set login_db to {database}.",
        )


def _lsn(text: str | None) -> Lsn | None:
    return Lsn.parse("the server's answer", text) if text else None


def _behind(ahead: Lsn | None, position: Lsn | None) -> int | None:
    """Bytes between the two; what was read a moment later may be further."""
    return None if ahead is None or position is None else max(ahead - position, 0)


def _utc(text: str | None) -> str | None:
    return f"{text}Z" if text else None


def _number(text: str | None) -> float | None:
    return float(text) if text else None


def _seconds(value: float | None) -> float | None:
    """A clock that was set back gives no age below nothing."""
    return None if value is None else round(max(float(value), 0.0), 3)
