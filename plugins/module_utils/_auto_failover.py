# SPDX-FileCopyrightText: HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Private to this collection: it may change in any release.

"""A formation of pg_auto_failover, as its monitor tells of it, and what is wrong with it.

pg_auto_failover: Failover State Machine; Configuring pg_auto_failover. Versions 2.0 to 2.2, which
differ in their number only.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from ansible_collections.hmm.pg_replication.plugins.module_utils._connection import Row, Session
from ansible_collections.hmm.pg_replication.plugins.module_utils._conninfo import Conninfo
from ansible_collections.hmm.pg_replication.plugins.module_utils._driver import sql
from ansible_collections.hmm.pg_replication.plugins.module_utils._errors import (
    ReplicationError,
    ServerError,
)
from ansible_collections.hmm.pg_replication.plugins.module_utils._lag import Fact
from ansible_collections.hmm.pg_replication.plugins.module_utils._lag_problems import (
    CRITICAL,
    OK,
    WARNING,
    Problem,
    duration,
    worst,
)
from ansible_collections.hmm.pg_replication.plugins.module_utils._names import Lsn

# States in which a node takes writes (pg_auto_failover: Failover State Machine).
WRITABLE = ("single", "wait_primary", "primary", "join_primary", "apply_settings")
SYNCHRONOUS = ("primary", "join_primary", "apply_settings")
AWAY = ("maintenance", "prepare_maintenance", "wait_maintenance")

# A change of state takes seconds, and a new node's base backup as long as it takes.
_STUCK_SECONDS = 60
_COPYING = ("wait_standby", "catchingup", "init")
# A standby that nobody streams to, while both reach the monitor, is never given up by 2.0 and 2.2.
_STALLED_SECONDS = 20
# A node reports every second, and the monitor takes it for gone after 20 s at the latest.
_SILENT_SECONDS = 20

_NO_TABLE, _NO_SCHEMA = "42P01", "3F000"

_STATE = """
SELECT f.formationid AS name, f.kind, f.dbname::text AS database, f.number_sync_standbys,
       (SELECT extversion FROM pg_extension WHERE extname = 'pgautofailover') AS version,
       (SELECT coalesce(json_object_agg(name, setting ORDER BY name), '{{}}') FROM pg_settings
         WHERE name LIKE 'pgautofailover.%') AS timings,
       (SELECT coalesce(json_agg(n ORDER BY n.groupid, n.nodeid), '[]') FROM
         (SELECT nodeid, nodename, nodehost, nodeport, groupid, reportedstate, goalstate, health,
                 candidatepriority, replicationquorum, reportedpgisrunning, reportedrepstate,
                 reportedtli, reportedlsn, sysidentifier::text AS sysidentifier,
                 extract(epoch FROM now() - reporttime)::float8 AS report_seconds,
                 extract(epoch FROM now() - walreporttime)::float8 AS wal_seconds,
                 extract(epoch FROM now() - statechangetime)::float8 AS state_seconds
            FROM pgautofailover.node WHERE formationid = f.formationid) AS n) AS nodes,
       (SELECT coalesce(json_agg(e ORDER BY e.id), '[]') FROM
         (SELECT eventid AS id,
                 to_char(eventtime AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS time,
                 nodename AS node,
                 reportedstate AS reported_state, goalstate AS assigned_state, description
            FROM pgautofailover.event WHERE formationid = f.formationid
           ORDER BY eventid DESC LIMIT {events}) AS e) AS events
  FROM pgautofailover.formation AS f ORDER BY f.formationid
"""


@dataclass(frozen=True)
class Node(Fact):
    """One data node. What the monitor has not heard yet is None."""

    id: int
    name: str
    host: str
    port: int
    group: int
    reported_state: str
    assigned_state: str
    candidate_priority: int = 50
    replication_quorum: bool = True
    healthy: bool | None = True
    running: bool | None = True
    sync_state: str = ""
    lsn: Lsn | None = None
    lag_bytes: int | None = None
    timeline: int | None = None
    system_identifier: str | None = None
    report_seconds: float = 0
    wal_seconds: float = 0
    state_seconds: float = 0

    @property
    def settled(self) -> bool:
        return self.reported_state == self.assigned_state

    @property
    def writable(self) -> bool:
        return self.reported_state in WRITABLE and self.assigned_state in WRITABLE

    @property
    def candidate(self) -> bool:
        """Whether it would take over now."""
        return (
            self.reported_state == self.assigned_state == "secondary"
            and self.healthy is not False
            and self.candidate_priority > 0
        )


@dataclass(frozen=True)
class Formation(Fact):
    """What the monitor was told of all nodes together."""

    name: str
    kind: str
    database: str
    number_sync_standbys: int


@dataclass(frozen=True)
class Monitor:
    """All that one look at the monitor gives."""

    version: str
    timings: Mapping[str, str]
    formation: Formation
    nodes: tuple[Node, ...]
    events: tuple[Mapping[str, Any], ...] = ()

    @property
    def primary(self) -> Node | None:
        return next((node for node in self.nodes if node.writable), None)


@dataclass(frozen=True)
class InfoRequest:
    """The options of the module pg_auto_failover_info."""

    formation: str
    events: int


def info_request(params: Mapping[str, Any]) -> InfoRequest:
    """Read the module's options.

    :raises ReplicationError: an option is wrong.
    """
    if params["events"] < 0:
        raise ReplicationError("events: a number of events, 0 for none.")
    return InfoRequest(params["formation"], params["events"])


def read_monitor(session: Session, request: InfoRequest) -> Monitor:
    """Ask the monitor, in one statement.

    :raises ReplicationError: this is no monitor, or it has no such formation.
    """
    statement = sql.SQL(_STATE).format(events=sql.Literal(request.events))
    try:
        rows = session.read(statement)
    except ServerError as exc:
        if exc.sqlstate in (_NO_TABLE, _NO_SCHEMA):
            raise ReplicationError(
                f"The database {session.database} has no extension pgautofailover: login_host,"
                " login_port and login_db have to lead to the monitor, and to its database"
                " pg_auto_failover."
            ) from None
        raise
    return monitor_from(rows, request.formation)


def monitor_from(rows: Iterable[Row], wanted: str) -> Monitor:
    """What the rows say of one formation.

    :raises ReplicationError: there is none of that name.
    """
    found = {row["name"]: row for row in rows}
    if wanted not in found:
        raise ReplicationError(
            f"formation: the monitor has no formation {wanted!r}; it has"
            f" {', '.join(found) or 'none'}."
        )
    row = found[wanted]
    prefix = "pgautofailover."
    return Monitor(
        version=row["version"],
        timings={name[len(prefix) :]: value for name, value in row["timings"].items()},
        formation=Formation(row["name"], row["kind"], row["database"], row["number_sync_standbys"]),
        nodes=tuple(_with_lag([_node(node) for node in row["nodes"]])),
        events=tuple(row["events"]),
    )


def _node(row: Row) -> Node:
    # Until its first report, a node is at 0/0.
    lsn = Lsn.parse("reportedlsn", row["reportedlsn"])
    return Node(
        id=row["nodeid"],
        name=row["nodename"],
        host=row["nodehost"],
        port=row["nodeport"],
        group=row["groupid"],
        reported_state=row["reportedstate"],
        assigned_state=row["goalstate"],
        candidate_priority=row["candidatepriority"],
        replication_quorum=row["replicationquorum"],
        healthy={0: False, 1: True}.get(row["health"]),
        running=row["reportedpgisrunning"],
        sync_state=row["reportedrepstate"] or "",
        lsn=lsn if lsn else None,
        timeline=row["reportedtli"] if lsn else None,
        system_identifier=row["sysidentifier"],
        report_seconds=row["report_seconds"],
        wal_seconds=row["wal_seconds"],
        state_seconds=row["state_seconds"],
    )


def _with_lag(nodes: list[Node]) -> Iterator[Node]:
    primary = next((node for node in nodes if node.writable), None)
    for node in nodes:
        if primary is None or node.lsn is None or primary.lsn is None:
            yield node
        else:
            # Both report once a second, and not at the same time.
            behind = max(int(primary.lsn) - int(node.lsn), 0)
            yield Node(**{**node.__dict__, "lag_bytes": behind})


def uri(monitor: Monitor) -> str:
    """What clients that write connect by: every node, and the one of them that takes writes."""
    hosts = ",".join(f"{_bracketed(node.host)}:{node.port}" for node in monitor.nodes)
    database = quote(monitor.formation.database, safe="")
    return f"postgresql://{hosts}/{database}?target_session_attrs=read-write&sslmode=verify-full"


def conninfo(monitor: Monitor) -> str:
    """The same in keywords."""
    return Conninfo(
        {
            "host": ",".join(node.host for node in monitor.nodes),
            "port": ",".join(str(node.port) for node in monitor.nodes),
            "dbname": monitor.formation.database,
            "target_session_attrs": "read-write",
            "sslmode": "verify-full",
        }
    ).dsn()


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def assess_formation(monitor: Monitor) -> list[Problem]:
    """Every problem, worst first."""
    order = (CRITICAL, WARNING)
    return sorted(_problems(monitor), key=lambda problem: order.index(problem.severity))


def status_of(problems: Iterable[Problem]) -> str:
    """The worst of them: ok, warning or critical."""
    return worst(OK, *(problem.severity for problem in problems))


def _problems(monitor: Monitor) -> Iterator[Problem]:
    name = f"formation {monitor.formation.name}"
    if not monitor.nodes:
        yield Problem(
            WARNING,
            name,
            "The formation has no node.",
            "Run shore_ha.yml, which makes them members.",
        )
        return
    primary = monitor.primary
    if primary is None:
        yield Problem(
            CRITICAL,
            name,
            "No node takes writes: "
            + ", ".join(f"{node.name} is {_state(node)}" for node in monitor.nodes)
            + ".",
            "A failover ends by itself within a minute. If it does not, read the monitor's and the"
            " nodes' journals (journalctl -u pg_replication-autoctl@...).",
        )
    else:
        yield from _succession(name, monitor, primary)
        yield from _synchronous(monitor, primary)
    for node in monitor.nodes:
        yield from _node_problems(node, primary)


def _state(node: Node) -> str:
    if node.settled:
        return node.reported_state
    return f"{node.reported_state}, on its way to {node.assigned_state}"


def _succession(name: str, monitor: Monitor, primary: Node) -> Iterator[Problem]:
    others = [node for node in monitor.nodes if node.id != primary.id]
    if any(node.candidate for node in others):
        return
    if not others:
        told, cure = "It has one node.", "Add another one to the group shore, and run shore_ha.yml."
    elif not any(node.candidate_priority > 0 for node in others):
        told = "Every other node has the candidate priority 0."
        cure = "Give one of them pg_auto_failover_candidate_priority: 50, and run shore_ha.yml."
    else:
        states = ", ".join(
            f"{node.name} is {_state(node)}{_unwell(node)}"
            for node in others
            if node.candidate_priority > 0
        )
        told, cure = f"Of the others, {states}.", "Bring one of them back."
    yield Problem(
        WARNING, name, f"Nobody would take over from {primary.name}, were it lost. {told}", cure
    )


def _unwell(node: Node) -> str:
    return " and does not answer the monitor" if node.healthy is False else ""


def _synchronous(monitor: Monitor, primary: Node) -> Iterator[Problem]:
    if primary.reported_state not in SYNCHRONOUS:
        return
    quorum = [node for node in monitor.nodes if node.id != primary.id and node.replication_quorum]
    waiting = [node for node in quorum if node.lag_bytes and node.wal_seconds >= _STALLED_SECONDS]
    # 2.0 and 2.2 count who is connected, and not for how long nobody was.
    unknown = primary.sync_state == "unknown" and primary.state_seconds >= _STALLED_SECONDS
    if quorum and unknown:
        told = f"No synchronous standby streams from {primary.name}, and commits wait for one."
        stalled = ", ".join(
            f"{node.name}, which has received nothing for {duration(node.wal_seconds)}"
            for node in waiting
        )
        yield Problem(
            CRITICAL if waiting else WARNING,
            f"node {primary.name}",
            told + (f" Behind is {stalled}." if stalled else ""),
            "See whether the nodes reach each other. While they do not, and the monitor reaches"
            " both, nothing ends the wait: take the standby out with shore_maintenance.yml, and"
            " commits go on within a second.",
        )
    needed = monitor.formation.number_sync_standbys
    there = sum(node.reported_state == "secondary" and node.healthy is not False for node in quorum)
    if quorum and there < needed:
        yield Problem(
            CRITICAL,
            f"formation {monitor.formation.name}",
            f"{there} of {needed} synchronous standbys are there, and commits wait for the rest.",
            "Bring one of them back, or lower pg_auto_failover_number_sync_standbys and run"
            " shore_ha.yml.",
        )


def _node_problems(node: Node, primary: Node | None) -> Iterator[Problem]:
    name = f"node {node.name}"
    if node.healthy is False:
        yield Problem(
            CRITICAL if node == primary else WARNING,
            name,
            "The monitor cannot connect to its server.",
            "See whether the host is up, and the link to it. Where both are, look at pg_hba.conf"
            " there: it has to admit pgautofailover_monitor from the monitor's address.",
        )
    elif node.healthy is None and node.report_seconds < _SILENT_SECONDS:
        yield Problem(
            WARNING,
            name,
            "The monitor has not tried to connect to its server yet.",
            "Wait some seconds; if it stays so, read the monitor's log.",
        )
    if node.report_seconds >= _SILENT_SECONDS:
        yield Problem(
            WARNING,
            name,
            f"It has not reported for {duration(node.report_seconds)}.",
            "See whether the host is up, and pg_autoctl on it (systemctl status"
            " pg_replication-autoctl@...).",
        )
    if node.assigned_state in AWAY or node.reported_state in AWAY:
        yield Problem(
            WARNING,
            name,
            f"It is out for maintenance ({_state(node)}).",
            "When it is done: shore_maintenance.yml -e node=... -e state=back.",
        )
    elif (
        not node.settled
        and node.state_seconds > _STUCK_SECONDS
        and node.reported_state not in _COPYING
    ):
        yield Problem(
            WARNING,
            name,
            f"It has been {node.reported_state} for {duration(node.state_seconds)}, and is to be"
            f" {node.assigned_state}.",
            "Read its journal (journalctl -u pg_replication-autoctl@...): it says what it tries,"
            " and what fails.",
        )
    if (
        primary is not None
        and node.reported_state == "secondary"
        and None not in (node.timeline, primary.timeline)
        and node.timeline != primary.timeline
        and node.state_seconds > _STUCK_SECONDS
    ):
        yield Problem(
            WARNING,
            name,
            f"It is on timeline {node.timeline}, and {primary.name} is on {primary.timeline}.",
            "Read its server's log; if it does not follow by itself, remove it with"
            " shore_remove_node.yml and add it anew.",
        )
