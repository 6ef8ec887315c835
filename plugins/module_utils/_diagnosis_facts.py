# SPDX-FileCopyrightText: HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Private to this collection: it may change in any release.

"""All that one end of replication tells of itself, for a diagnosis: its host, its files, its server.

What a server that is down cannot tell is read from its files, as far as they tell it.
PostgreSQL: The Cumulative Statistics System; System Views; pg_controldata.
"""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ansible_collections.hmm.pg_replication.plugins.module_utils._cluster import Cluster
from ansible_collections.hmm.pg_replication.plugins.module_utils._connection import Session
from ansible_collections.hmm.pg_replication.plugins.module_utils._conninfo import Conninfo, hide
from ansible_collections.hmm.pg_replication.plugins.module_utils._control_file import (
    data_end,
    read_control,
)
from ansible_collections.hmm.pg_replication.plugins.module_utils._driver import sql
from ansible_collections.hmm.pg_replication.plugins.module_utils._errors import ReplicationError
from ansible_collections.hmm.pg_replication.plugins.module_utils._hba import block_at
from ansible_collections.hmm.pg_replication.plugins.module_utils._lag import TABLE_STATES, read_lag
from ansible_collections.hmm.pg_replication.plugins.module_utils._seed_sources import (
    archived,
    parse_history,
)
from ansible_collections.hmm.pg_replication.plugins.module_utils._server_log import log_entries
from ansible_collections.hmm.pg_replication.plugins.module_utils._sql import columns_since

# What rules look at; all of them are there from 13 on, or absent from the answer.
SETTINGS = (
    "archive_command",
    "archive_library",
    "archive_mode",
    "checkpoint_timeout",
    "data_directory",
    "hot_standby",
    "hot_standby_feedback",
    "idle_replication_slot_timeout",
    "listen_addresses",
    "logical_decoding_work_mem",
    "max_active_replication_origins",
    "max_connections",
    "max_locks_per_transaction",
    "max_logical_replication_workers",
    "max_prepared_transactions",
    "max_replication_slots",
    "max_slot_wal_keep_size",
    "max_standby_archive_delay",
    "max_standby_streaming_delay",
    "max_sync_workers_per_subscription",
    "max_wal_senders",
    "max_wal_size",
    "max_worker_processes",
    "port",
    "primary_slot_name",
    "recovery_min_apply_delay",
    "recovery_target_timeline",
    "restore_command",
    "server_version_num",
    "ssl",
    "wal_keep_size",
    "wal_level",
    "wal_receiver_timeout",
    "wal_retrieve_retry_interval",
    "wal_segment_size",
    "wal_sender_timeout",
)
_CONTROL = {
    "state": "Database cluster state",
    "system_identifier": "Database system identifier",
    "redo_lsn": "Latest checkpoint's REDO location",
    "checkpoint_lsn": "Latest checkpoint location",
    "min_recovery_lsn": "Minimum recovery ending location",
    "wal_level": "wal_level setting",
    "max_connections": "max_connections setting",
    "max_worker_processes": "max_worker_processes setting",
    "max_wal_senders": "max_wal_senders setting",
    "max_prepared_transactions": "max_prepared_xacts setting",
    "max_locks_per_transaction": "max_locks_per_xact setting",
}
_LONG_SECONDS = 30
_MOST_TABLES = 2000


@dataclass(frozen=True)
class Request:
    """The options of the module diagnosis_facts."""

    database: str | None
    sample_seconds: float
    log_seconds: float
    controller_epoch: float | None
    archive_directory: Path | None
    roles: tuple[str, ...]


def diagnosis_facts(cluster: Cluster, request: Request) -> dict[str, Any]:
    """Everything of this end."""
    running = cluster.running()
    control = read_control(cluster.version, cluster.data_directory)
    facts: dict[str, Any] = {
        "host": _host(request.controller_epoch),
        "cluster": {
            "version": cluster.version,
            "name": cluster.name,
            "data_directory": str(cluster.data_directory),
            "config_directory": str(cluster.config_directory),
            "log_file": str(cluster.log_file or ""),
            "running": running is not None,
            "status": running.status if running else "down",
            "port": int(running.port) if running and running.port.isdigit() else None,
        },
        "control": _shown(control),
        "standby_signal": (cluster.data_directory / "standby.signal").exists(),
        "disks": _disks(cluster),
        "server": None,
        "server_error": "",
        "archive": _archive(request.archive_directory),
    }
    secrets: list[str] = []
    now = None
    if running is not None:
        try:
            with Reader(partial(cluster.session, running), request) as reader:
                facts["server"] = reader.facts()
                facts["server"]["hba"] = _hba_in_blocks(facts["server"]["hba"])
                secrets, now = reader.secrets, reader.log_time
        except ReplicationError as exc:
            facts["server_error"] = exc.message
    received = facts["server"] and facts["server"]["lag"]["server"]["position"]
    facts["control"]["timeline"] = data_end(control, cluster.data_directory, received)[1]
    if facts["server"] is None:
        settings, secrets = _settings_in_files(cluster)
        facts["settings_in_files"] = settings
    facts["log"] = log_entries(_log_file(cluster), now, request.log_seconds, request.roles)
    hidden: dict[str, Any] = hide(facts, secrets)
    return hidden


# --- the host and its files ------------------------------------------------------------------------


def _host(controller_epoch: float | None) -> dict[str, Any]:
    now = time.time()
    return {
        "epoch": round(now, 3),
        "clock_offset": None if controller_epoch is None else round(now - controller_epoch, 1),
        "addresses": _addresses(),
    }


def _addresses() -> list[str]:
    """The host's own, loopback excepted."""
    try:
        told = subprocess.run(
            ["hostname", "-I"], capture_output=True, text=True, check=False, timeout=10
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return []
    return told.split()


def _disks(cluster: Cluster) -> list[dict[str, Any]]:
    places = {
        "data": cluster.data_directory,
        "wal": (cluster.data_directory / "pg_wal").resolve(),
        "log": cluster.log_file.parent if cluster.log_file else Path("/var/log"),
    }
    found = []
    for name, path in places.items():
        with suppress(OSError):
            status = os.statvfs(path)
            found.append(
                {
                    "holds": name,
                    "path": str(path),
                    "total_bytes": status.f_frsize * status.f_blocks,
                    "free_bytes": status.f_frsize * status.f_bavail,
                    "free_inodes": status.f_favail,
                }
            )
    return found


def _shown(control: Mapping[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {
        key: control[label] for key, label in _CONTROL.items() if label in control
    }
    figures = {key: int(value) for key, value in found.items() if key.startswith("max_")}
    return {**found, **figures}


def _archive(directory: Path | None) -> dict[str, Any] | None:
    if directory is None:
        return None
    try:
        names = sorted(archived(directory))
    except ReplicationError as exc:
        return {"directory": str(directory), "error": exc.message}
    return {
        "directory": str(directory),
        "files": len(names),
        "oldest": names[0] if names else None,
        "newest": names[-1] if names else None,
        "segments": names[-_MOST_TABLES:],
    }


def _settings_in_files(cluster: Cluster) -> tuple[dict[str, str], list[str]]:
    """What a start would read, and the secrets in it."""
    settings: dict[str, str] = {}
    for name in (*_FILE_SETTINGS, "primary_conninfo"):
        with suppress(ReplicationError):
            settings[name] = cluster.setting(name)
    connection = settings.pop("primary_conninfo", None)
    settings["primary_connection"] = _connection_shown(connection)  # type: ignore[assignment]
    return settings, _secrets(connection)


_FILE_SETTINGS = (
    "hot_standby",
    "listen_addresses",
    "max_connections",
    "max_locks_per_transaction",
    "max_prepared_transactions",
    "max_wal_senders",
    "max_worker_processes",
    "port",
    "primary_slot_name",
    "restore_command",
    "wal_level",
)


def _connection_shown(text: str | None) -> dict[str, str] | None:
    """A connection string without its secrets; None where there is none."""
    if not text:
        return None
    try:
        return Conninfo.parse(text).shown()
    except ValueError as exc:
        return {"unreadable": str(exc)}


def _secrets(text: str | None) -> list[str]:
    try:
        return Conninfo.parse(text).secrets() if text else []
    except ValueError:
        return [text] if text else []


def _log_file(cluster: Cluster) -> Path | None:
    """Where postgresql-common lets it log, or the newest of the server's own collector."""
    with suppress(OSError):
        for line in (cluster.data_directory / "current_logfiles").read_text().splitlines():
            kind, _space, name = line.partition(" ")
            if kind == "stderr":
                return cluster.data_directory / name
    return cluster.log_file


def _hba_in_blocks(hba: dict[str, Any]) -> dict[str, Any]:
    """Each rule with the block that it belongs to, and whether the server has read the file since."""
    with suppress(OSError):
        file = Path(hba["file"])
        text = file.read_text(errors="replace")
        hba["modified_after_load"] = file.stat().st_mtime > hba["loaded"]
        for rule in hba["rules"]:
            rule["block"] = block_at(text, rule["line_number"])
    return hba


# --- the server ------------------------------------------------------------------------------------

_SERVER = """
SELECT
  pg_is_in_recovery() AS in_recovery,
  current_database() AS database,
  to_char(clock_timestamp() AT TIME ZONE current_setting('log_timezone'), 'YYYY-MM-DD HH24:MI:SS.MS')
    AS log_time,
  extract(epoch FROM now() - pg_postmaster_start_time())::bigint AS uptime_seconds,
  (SELECT json_object_agg(name, setting) FROM pg_settings WHERE name = ANY ({settings})) AS settings,
  (SELECT setting FROM pg_settings WHERE name = 'primary_conninfo') AS primary_conninfo,
  (SELECT coalesce(json_agg(name), '[]') FROM pg_settings WHERE pending_restart) AS pending_restart,
  (SELECT coalesce(json_agg(f), '[]') FROM (SELECT sourcefile, sourceline, name, error
     FROM pg_file_settings WHERE error IS NOT NULL) AS f) AS file_errors,
  json_build_object(
    'file', current_setting('hba_file'),
    'loaded', extract(epoch FROM pg_conf_load_time()),
    'rules', (SELECT coalesce(json_agg(r ORDER BY r.line_number), '[]') FROM (SELECT line_number, type,
       database, user_name, address, netmask, auth_method, options, error FROM pg_hba_file_rules) AS r)) AS hba,
  (SELECT coalesce(json_object_agg(rolname, json_build_object('superuser', rolsuper, 'replication',
      rolreplication, 'login', rolcanlogin, 'connection_limit', rolconnlimit, 'password',
      rolpassword IS NOT NULL, 'valid', coalesce(rolvaliduntil > now(), true), 'config',
      (SELECT setconfig FROM pg_db_role_setting WHERE setrole = pg_authid.oid AND setdatabase = 0))), '{{}}')
    FROM pg_authid WHERE rolcanlogin OR rolname = ANY ({roles})) AS roles,
  (SELECT row_to_json(a) FROM (SELECT archived_count, last_archived_wal, failed_count, last_failed_wal,
     extract(epoch FROM now() - last_archived_time) AS last_archived_age,
     extract(epoch FROM now() - last_failed_time) AS last_failed_age,
     (SELECT count(*) FROM pg_ls_archive_statusdir() WHERE name LIKE '%.ready') AS waiting
     FROM pg_stat_archiver) AS a) AS archiver,
  (SELECT json_build_object('files', count(*), 'bytes', sum(size),
     'oldest', min(name) FILTER (WHERE name ~ '^[0-9A-F]{{24}}$'),
     'newest', max(name) FILTER (WHERE name ~ '^[0-9A-F]{{24}}$')) FROM pg_ls_waldir()) AS wal,
  (SELECT json_build_object('redo_lsn', redo_lsn, 'timeline', timeline_id,
     'age', extract(epoch FROM now() - checkpoint_time)) FROM pg_control_checkpoint()) AS last_checkpoint,
  (SELECT coalesce(json_agg(t), '[]') FROM (SELECT pid, usename, application_name, datname, state, backend_type,
     wait_event_type, wait_event, extract(epoch FROM clock_timestamp() - xact_start)::bigint AS xact_seconds,
     extract(epoch FROM clock_timestamp() - query_start)::bigint AS query_seconds,
     age(backend_xid) AS xid_age, age(backend_xmin) AS xmin_age
     FROM pg_stat_activity
    WHERE xact_start < clock_timestamp() - interval '{long_seconds} s' AND backend_type <> 'walsender'
    ORDER BY xact_start LIMIT 10) AS t) AS long_transactions,
  (SELECT coalesce(json_agg(x), '[]') FROM (SELECT pid, usename, application_name, datname, state,
     extract(epoch FROM clock_timestamp() - xact_start)::bigint AS xact_seconds, age(backend_xid) AS xid_age
     FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()
     AND backend_xid IS NOT NULL ORDER BY xact_start LIMIT 10) AS x) AS transactions,
  (SELECT coalesce(json_agg(q), '[]') FROM (SELECT pid, usename, application_name, datname, state,
     extract(epoch FROM clock_timestamp() - coalesce(xact_start, query_start))::bigint AS xact_seconds
     FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()
     AND backend_xmin IS NOT NULL ORDER BY xact_start LIMIT 10) AS q) AS snapshots,
  (SELECT coalesce(json_agg(p), '[]') FROM (SELECT gid, database,
     extract(epoch FROM now() - prepared)::bigint AS seconds FROM pg_prepared_xacts) AS p) AS prepared,
  (SELECT row_to_json(s) FROM (SELECT wait_event_type, wait_event FROM pg_stat_activity
     WHERE backend_type = 'startup') AS s) AS startup,
  (SELECT coalesce(json_object_agg(backend_type, n), '{{}}') FROM (SELECT backend_type, count(*) AS n
     FROM pg_stat_activity GROUP BY 1) AS b) AS backends,
  (SELECT coalesce(json_agg(w), '[]') FROM (SELECT pid, usename, application_name, host(client_addr) AS client_addr,
     state, wait_event, extract(epoch FROM clock_timestamp() - backend_start) AS connected_seconds
     FROM pg_stat_activity WHERE backend_type = 'walsender' OR pid IN
       (SELECT active_pid FROM pg_replication_slots)) AS w) AS consumers,
  (SELECT coalesce(json_agg(r), '[]') FROM (SELECT pid,
     extract(epoch FROM clock_timestamp() - reply_time) AS reply_age FROM pg_stat_replication) AS r) AS replies
"""

# Large transactions, spilled or streamed.
_SLOT_STATISTICS = """
SELECT coalesce(json_object_agg(slot_name, to_jsonb(s) - 'slot_name'), '{}') AS found
  FROM pg_stat_replication_slots AS s
"""
_CHECKPOINTS = {
    13: "SELECT checkpoints_timed AS timed, checkpoints_req AS requested,"
    " extract(epoch FROM now() - stats_reset)::float8 AS since FROM pg_stat_bgwriter",
    17: "SELECT num_timed AS timed, num_requested AS requested,"
    " extract(epoch FROM now() - stats_reset)::float8 AS since FROM pg_stat_checkpointer",
}
_PUBLICATION_TABLE_COLUMNS = {
    13: "t.schemaname, t.tablename",
    15: "t.attnames, t.rowfilter",
}
_PUBLICATIONS = """
SELECT coalesce(json_agg(found), '[]') AS found FROM (
  SELECT pubname AS name, puballtables AS all_tables, pubinsert, pubupdate, pubdelete, pubtruncate,
    (SELECT coalesce(json_agg(t), '[]') FROM (SELECT {columns}
       FROM pg_publication_tables AS t WHERE t.pubname = p.pubname
      ORDER BY 1, 2 LIMIT {most}) AS t) AS tables
    FROM pg_publication AS p ORDER BY 1) AS found
"""
# identity: which columns tell the rows apart; null where nothing does.
_TABLES = """
SELECT coalesce(json_object_agg(name, to_jsonb(found) - 'name'), '{{}}') AS found FROM (
  SELECT format('%s.%s', n.nspname, c.relname) AS name, n.nspname AS schema, c.relname AS table,
    c.relkind AS kind, c.relreplident AS identity_kind, c.relispartition AS partition,
    (SELECT json_object_agg(attname, format_type(atttypid, atttypmod)) FROM pg_attribute
      WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped) AS columns,
    (SELECT coalesce(json_agg(attname), '[]') FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0
      AND NOT attisdropped AND attgenerated <> '') AS generated,
    c.relreplident = 'f' OR EXISTS (SELECT FROM pg_index AS i WHERE i.indrelid = c.oid AND i.indisvalid
      AND CASE c.relreplident WHEN 'd' THEN i.indisprimary WHEN 'i' THEN i.indisreplident ELSE false END)
      AS has_identity,
    {privileges} AS not_selectable_by
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
   WHERE c.relkind IN ('r', 'p') AND c.relpersistence = 'p'
     AND n.nspname NOT IN ('pg_catalog', 'information_schema')
   ORDER BY 1 LIMIT {most}) AS found
"""
# By table or by each column; what a publication leaves out need not be readable.
_PRIVILEGES = """
  (SELECT coalesce(json_object_agg(rolname, (SELECT json_agg(attname) FROM pg_attribute WHERE attrelid = c.oid
       AND attnum > 0 AND NOT attisdropped AND NOT has_column_privilege(r.oid, c.oid, attnum, 'SELECT'))), '{{}}')
     FROM pg_roles AS r WHERE rolname = ANY ({roles}) AND NOT (has_schema_privilege(r.oid, n.oid, 'USAGE')
       AND has_table_privilege(r.oid, c.oid, 'SELECT')))
"""
_SUBSCRIPTION_COLUMNS = {
    13: "s.oid::bigint AS oid, s.subname AS name, s.subenabled AS enabled, s.subslotname AS slot,"
    " s.subpublications AS publications, s.subconninfo AS conninfo, s.subsynccommit AS synchronous_commit",
    14: "s.subbinary AS binary, s.substream::text AS streaming",
    15: "s.subskiplsn::text AS skip_lsn, s.subdisableonerr AS disable_on_error",
    16: "s.suborigin AS origin",
}
_SUBSCRIPTIONS = """
SELECT coalesce(json_agg(found), '[]') AS found FROM (
  SELECT {columns},
    (SELECT coalesce(json_agg(t), '[]') FROM (SELECT n.nspname AS schema, c.relname AS table,
        r.srsubstate AS state, r.srsublsn AS lsn
       FROM pg_subscription_rel AS r LEFT JOIN pg_class AS c ON c.oid = r.srrelid
       LEFT JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE r.srsubid = s.oid ORDER BY 1, 2) AS t) AS tables,
    (SELECT coalesce(json_agg(w), '[]') FROM (SELECT pid, relid::regclass::text AS table, received_lsn,
        latest_end_lsn FROM pg_stat_subscription WHERE subid = s.oid AND pid IS NOT NULL) AS w) AS workers,
    {statistics} AS statistics
    FROM pg_subscription AS s WHERE s.subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())
   ORDER BY 2) AS found
"""
_SUBSCRIPTION_STATISTICS = """
    (SELECT to_jsonb(st) - 'subid' - 'subname' FROM pg_stat_subscription_stats AS st WHERE st.subid = s.oid)
"""
_SUBSCRIPTION_STATISTICS_SINCE = 15
_SLOT_STATISTICS_SINCE = 14
_HISTORY = """
SELECT pg_read_file(current_setting('data_directory') || '/pg_wal/' || {}, 0, 1048576, true) AS text
"""
# Where everyone is, at the begin and at the end of a sample.
_POSITIONS = """
SELECT extract(epoch FROM clock_timestamp())::float8 AS clock,
  (CASE WHEN pg_is_in_recovery() THEN pg_last_wal_receive_lsn() ELSE pg_current_wal_lsn() END - '0/0')::float8
    AS position,
  (pg_last_wal_replay_lsn() - '0/0')::float8 AS replayed,
  (SELECT coalesce(json_object_agg(slot_name, coalesce(confirmed_flush_lsn, restart_lsn) - '0/0'), '{{}}')
     FROM pg_replication_slots) AS slots,
  (SELECT coalesce(json_object_agg(application_name, json_build_object('sent', sent_lsn - '0/0',
     'flushed', flush_lsn - '0/0')), '{{}}') FROM pg_stat_replication) AS senders,
  (SELECT requested FROM ({checkpoints}) AS c) AS checkpoints_requested
"""


class Reader:
    """Reads one server.

    :param connect: gives a session on a database; the reader ends it.
    """

    def __init__(self, connect: Callable[[str], Session], request: Request) -> None:
        self._connect = connect
        self._sessions = [connect("postgres")]
        self._request = request
        self.secrets: list[str] = []
        self.log_time: str | None = None

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_error: object) -> None:
        for session in self._sessions:
            session.close()

    def facts(self) -> dict[str, Any]:
        session, request = self._sessions[0], self._request
        before = self._positions(session)
        lag = read_lag(session, request.sample_seconds)
        after = self._positions(session)
        statement = sql.SQL(_SERVER).format(
            settings=sql.Literal(list(SETTINGS)),
            roles=sql.SQL("{}::name[]").format(sql.Literal(list(request.roles))),
            long_seconds=sql.SQL(str(_LONG_SECONDS)),
        )
        found = session.read(statement)[0]
        self.log_time = found.pop("log_time")
        connection = found.pop("primary_conninfo")
        self.secrets += _secrets(connection)
        timeline = lag.server.timeline
        return {
            **found,
            "version": session.server_version // 10000,
            "primary_connection": _connection_shown(connection),
            "lag": lag.shown(),
            "rates": rates(before, after),
            "history": self._history(session, timeline),
            "slot_statistics": self._slot_statistics(session),
            "checkpoints": session.read(sql.SQL(_newest(_CHECKPOINTS, session.major)))[0],
            **self._of_database(),
        }

    def _of_database(self) -> dict[str, Any]:
        """What can be seen only in the database that is replicated."""
        nothing: dict[str, Any] = {"publications": None, "tables": None, "subscriptions": None}
        name = self._request.database
        if not name:
            return nothing
        try:
            session = self._connect(name)
        except ReplicationError as exc:
            return {**nothing, "database_error": exc.message}
        self._sessions.append(session)
        most = sql.Literal(_MOST_TABLES)
        privileges = sql.SQL(_PRIVILEGES).format(
            roles=sql.SQL("{}::name[]").format(sql.Literal(list(self._request.roles)))
        )
        publications = sql.SQL(_PUBLICATIONS).format(
            columns=columns_since(_PUBLICATION_TABLE_COLUMNS, session.major), most=most
        )
        tables = sql.SQL(_TABLES).format(privileges=privileges, most=most)
        return {
            "publications": session.read(publications)[0]["found"],
            "tables": session.read(tables)[0]["found"],
            "subscriptions": self._subscriptions(session),
        }

    def _subscriptions(self, session: Session) -> list[dict[str, Any]]:
        statement = sql.SQL(_SUBSCRIPTIONS).format(
            columns=columns_since(_SUBSCRIPTION_COLUMNS, session.major),
            statistics=sql.SQL(
                _SUBSCRIPTION_STATISTICS
                if session.major >= _SUBSCRIPTION_STATISTICS_SINCE
                else "NULL"
            ),
        )
        found: list[dict[str, Any]] = session.read(statement)[0]["found"]
        for subscription in found:
            connection = subscription.pop("conninfo")
            self.secrets += _secrets(connection)
            subscription["connection"] = _connection_shown(connection)
            for table in subscription["tables"]:
                table["state"] = TABLE_STATES.get(table["state"], table["state"])
        return found

    @staticmethod
    def _slot_statistics(session: Session) -> dict[str, Any]:
        if session.major < _SLOT_STATISTICS_SINCE:
            return {}
        found: dict[str, Any] = session.read(sql.SQL(_SLOT_STATISTICS))[0]["found"]
        return found

    @staticmethod
    def _positions(session: Session) -> dict[str, Any]:
        checkpoints = sql.SQL(_newest(_CHECKPOINTS, session.major))
        return session.read(sql.SQL(_POSITIONS).format(checkpoints=checkpoints))[0]

    @staticmethod
    def _history(session: Session, timeline: int | None) -> list[dict[str, Any]]:
        """Where the timelines before this one were left."""
        if timeline is None or timeline == 1:
            return []
        name = sql.Literal(f"{timeline:08X}.history")
        text = session.read(sql.SQL(_HISTORY).format(name))[0]["text"]
        return [{"timeline": old, "end": str(end)} for old, end in parse_history(text or "")]


def _newest(table: Mapping[int, str], major: int) -> str:
    return table[max(since for since in table if since <= major)]


def rates(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """Bytes a second between two readings: of the server's WAL, and of each who takes it."""
    seconds = float(after["clock"] - before["clock"])
    if seconds <= 0:
        return {}

    def rate(begin: Any, end: Any) -> float | None:
        if begin is None or end is None:
            return None
        return round(max(float(end) - float(begin), 0.0) / seconds, 1)

    return {
        "seconds": round(seconds, 3),
        "wal": rate(before["position"], after["position"]),
        "replay": rate(before["replayed"], after["replayed"]),
        "slots": {
            name: rate(before["slots"].get(name), end) for name, end in after["slots"].items()
        },
        "senders": {
            name: {
                stage: rate((before["senders"].get(name) or {}).get(stage), end)
                for stage, end in ends.items()
            }
            for name, ends in after["senders"].items()
        },
        "checkpoints_requested": (after["checkpoints_requested"] or 0)
        - (before["checkpoints_requested"] or 0),
    }


def request_of(params: Mapping[str, Any]) -> Request:
    """The module's options."""
    archive: str | None = params["archive_directory"]
    return Request(
        database=params["database"],
        sample_seconds=params["sample_seconds"],
        log_seconds=params["log_seconds"],
        controller_epoch=params["controller_epoch"],
        archive_directory=Path(archive) if archive else None,
        roles=tuple(_names(params["roles"])),
    )


def _names(names: Sequence[str]) -> list[str]:
    return [name for name in dict.fromkeys(names) if re.search(r"\S", name)]
