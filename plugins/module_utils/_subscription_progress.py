# SPDX-FileCopyrightText: HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Private to this collection: it may change in any release.

"""How far the first copy of a subscription's tables is.

PostgreSQL: pg_subscription_rel; COPY Progress Reporting; pg_stat_subscription_stats.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.hmm.pg_replication.plugins.module_utils._connection import Session
from ansible_collections.hmm.pg_replication.plugins.module_utils._driver import sql
from ansible_collections.hmm.pg_replication.plugins.module_utils._errors import ReplicationError
from ansible_collections.hmm.pg_replication.plugins.module_utils._lag import TABLE_STATES
from ansible_collections.hmm.pg_replication.plugins.module_utils._names import (
    TableName,
    check_identifier,
)

STEP = "copy"
READY = "ready"
LOCK_SECONDS = 30
COPYING = ("initialize", "data_copy")


@dataclass(frozen=True)
class ProgressRequest:
    """The options of the module subscription_progress."""

    name: str
    total_bytes: int = 0


def progress_request(params: Mapping[str, Any]) -> ProgressRequest:
    """Read the module's options.

    :raises ReplicationError: an option is wrong.
    """
    if params["total_bytes"] < 0:
        raise ReplicationError("total_bytes: it cannot be less than 0.")
    return ProgressRequest(check_identifier("name", params["name"]), params["total_bytes"])


# --- reading -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class TableProgress:
    """One table of a subscription.

    :param copying: whether a process copies it right now.
    :param bytes: what of it has come so far: as it was sent, while it is copied and the server
        counts that; as it is stored, else.
    """

    name: TableName
    state: str
    copying: bool = False
    bytes: int = 0

    def shown(self) -> dict[str, Any]:
        return {
            "name": str(self.name),
            "state": self.state,
            "copying": self.copying,
            "bytes": self.bytes,
        }


@dataclass(frozen=True)
class SubscriptionProgress:
    """A subscription and its tables. The counts are None where the server has none."""

    name: str
    enabled: bool = True
    working: bool = True
    tables: tuple[TableProgress, ...] = ()
    apply_errors: int | None = None
    sync_errors: int | None = None
    now: int = 0

    @property
    def ready(self) -> int:
        return sum(table.state == READY for table in self.tables)


_READ = """
SELECT s.subenabled AS enabled,
       extract(epoch FROM clock_timestamp())::bigint AS now,
       EXISTS (SELECT FROM pg_stat_subscription WHERE subid = s.oid AND pid IS NOT NULL)
           AS working,
       {counts},
       (SELECT coalesce(json_agg(found), '[]'::json) FROM (
          SELECT n.nspname AS schema, c.relname AS name, r.srsubstate AS state,
                 w.pid IS NOT NULL AS copying,
                 {copied} AS copied,
                 (SELECT coalesce(sum(pg_table_size(tree.relid)), 0)::bigint
                    FROM (SELECT c.oid UNION SELECT relid FROM pg_partition_tree(c.oid))
                         AS tree (relid)) AS stored
            FROM pg_subscription_rel r
            JOIN pg_class c ON c.oid = r.srrelid
            JOIN pg_namespace n ON n.oid = c.relnamespace
            LEFT JOIN pg_stat_subscription w ON w.subid = s.oid AND w.relid = c.oid
           WHERE r.srsubid = s.oid
           ORDER BY n.nspname, c.relname) AS found) AS tables
  FROM pg_subscription s
 WHERE s.subname = {name}
   AND s.subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
_COUNTS = {
    13: "NULL AS apply_errors, NULL AS sync_errors",
    15: "(SELECT apply_error_count FROM pg_stat_subscription_stats WHERE subid = s.oid)"
    " AS apply_errors,"
    " (SELECT sync_error_count FROM pg_stat_subscription_stats WHERE subid = s.oid) AS sync_errors",
}
_COPIED = {
    13: "CASE WHEN w.pid IS NOT NULL THEN pg_table_size(c.oid) END",
    14: "(SELECT bytes_processed FROM pg_stat_progress_copy WHERE pid = w.pid LIMIT 1)",
}


def read_progress(session: Session, request: ProgressRequest) -> SubscriptionProgress:
    """The subscription, in one statement.

    :raises ReplicationError: there is no such subscription here.
    """
    found = session.read(
        sql.SQL(_READ).format(
            counts=_newest(_COUNTS, session.major),
            copied=_newest(_COPIED, session.major),
            name=sql.Literal(request.name),
        ),
        lock_seconds=LOCK_SECONDS,  # a table's size waits for whoever locks it
    )
    if not found:
        raise ReplicationError(
            f"name: there is no subscription {request.name} in the database {session.database}."
        )
    row = found[0]
    return SubscriptionProgress(
        name=request.name,
        enabled=row["enabled"],
        working=row["working"],
        tables=tuple(
            TableProgress(
                name=TableName(table["schema"], table["name"]),
                state=TABLE_STATES[table["state"]],
                copying=table["copying"],
                bytes=_bytes(table),
            )
            for table in row["tables"]
        ),
        apply_errors=row["apply_errors"],
        sync_errors=row["sync_errors"],
        now=row["now"],
    )


def _newest(table: Mapping[int, str], major: int) -> sql.SQL:
    return sql.SQL(table[max(since for since in table if since <= major)])


def _bytes(table: Mapping[str, Any]) -> int:
    if TABLE_STATES[table["state"]] in COPYING:
        # A copy that failed has left its room in the table, and tells nothing of this one.
        return int(table["copied"] or 0)
    return int(table["stored"])


# --- telling -------------------------------------------------------------------------------------


def progress_of(found: SubscriptionProgress, total_bytes: int) -> dict[str, Any]:
    """The progress as the files of other steps tell it; the rate is known to who asks twice."""
    done = sum(table.bytes for table in found.tables)
    state, message = _state(found)
    return {
        "step": STEP,
        "state": state,
        "done_bytes": done,
        "total_bytes": max(total_bytes, done) if total_bytes else 0,
        "rate": 0,
        "seconds_left": None,
        "message": message,
        "updated": found.now,
    }


def _state(found: SubscriptionProgress) -> tuple[str, str]:
    total = len(found.tables)
    ready = f"{found.ready} of {total} tables are ready"
    errors = _errors(found)
    if not found.enabled:
        return "failed", (
            f"Subscription {found.name} is disabled, {ready}.{errors} Set right what the server's"
            " log names, and enable it."
        )
    if found.ready == total:
        return "done", f"All {total} tables are ready."
    copying = [str(table.name) for table in found.tables if table.copying]
    if copying:
        return "running", f"{ready}, {', '.join(copying)} in work.{errors}"
    if not found.working:
        return "waiting", f"{ready}; no process works for the subscription right now.{errors}"
    return "waiting", f"{ready}; the next one is about to begin.{errors}"


def _errors(found: SubscriptionProgress) -> str:
    counts = {"applying changes": found.apply_errors, "the copy": found.sync_errors}
    told = [f"{count} in {what}" for what, count in counts.items() if count]
    return f" Errors so far: {', '.join(told)}." if told else ""
