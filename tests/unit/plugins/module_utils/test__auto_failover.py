# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.hmm.pg_replication.plugins.module_utils._auto_failover import (
    Monitor,
    assess_formation,
    conninfo,
    info_request,
    monitor_from,
    status_of,
    uri,
)
from ansible_collections.hmm.pg_replication.plugins.module_utils._errors import ReplicationError


def node(number: int, state: str, assigned: str | None = None, **more: Any) -> dict[str, Any]:
    return {
        "nodeid": number,
        "nodename": ("busan", "incheon", "ulsan")[number - 1],
        "nodehost": f"203.0.113.{9 + number}",
        "nodeport": 5432,
        "groupid": 0,
        "reportedstate": state,
        "goalstate": assigned or state,
        "health": 1,
        "candidatepriority": 50,
        "replicationquorum": True,
        "reportedpgisrunning": True,
        "reportedrepstate": "quorum" if state == "primary" else "",
        "reportedtli": 1,
        "reportedlsn": "0/3000060",
        "sysidentifier": "7300000000000000000",
        "report_seconds": 0.5,
        "wal_seconds": 1.0,
        "state_seconds": 3600.0,
        **more,
    }


def row(*nodes: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "name": "default",
        "kind": "pgsql",
        "database": "hmm_db",
        "number_sync_standbys": 0,
        "version": "2.2",
        "timings": {"pgautofailover.health_check_period": "5000"},
        "nodes": list(nodes),
        "events": [],
        **more,
    }


def monitor(*nodes: dict[str, Any], **more: Any) -> Monitor:
    return monitor_from([row(*nodes, **more)], "default")


def told(*nodes: dict[str, Any], **more: Any) -> list[tuple[str, str, str]]:
    problems = assess_formation(monitor(*nodes, **more))
    return [(problem.severity, problem.object, problem.what) for problem in problems]


PRIMARY = node(1, "primary")
SECONDARY = node(2, "secondary")


def test_two_nodes_in_their_states_are_well() -> None:
    assert told(PRIMARY, SECONDARY) == []
    assert status_of([]) == "ok"


def test_the_node_that_takes_writes_is_the_primary() -> None:
    found = monitor(node(1, "demoted"), node(2, "wait_primary")).primary
    assert found is not None
    assert found.name == "incheon"


def test_a_node_that_is_to_be_demoted_is_no_primary() -> None:
    """It does not take writes any more, or soon will not."""
    assert monitor(node(1, "primary", "draining"), SECONDARY).primary is None


def test_the_lag_is_what_the_primary_is_ahead() -> None:
    found = monitor(node(1, "primary", reportedlsn="0/3000160"), SECONDARY)
    assert [entry.lag_bytes for entry in found.nodes] == [0, 0x100]


def test_a_standby_that_reported_later_than_the_primary_does_not_lag() -> None:
    found = monitor(PRIMARY, node(2, "secondary", reportedlsn="0/4000000"))
    assert found.nodes[1].lag_bytes == 0


def test_what_a_new_node_has_not_told_is_null() -> None:
    new = node(2, "init", "wait_standby", reportedlsn="0/0", health=-1)
    shown = monitor(PRIMARY, new).nodes[1].shown()
    assert (shown["lsn"], shown["lag_bytes"], shown["timeline"]) == (None, None, None)
    assert shown["healthy"] is None


@pytest.mark.parametrize(
    ("nodes", "expected"),
    [
        ((), [("warning", "formation default", "The formation has no node.")]),
        (
            (node(1, "single"),),
            [
                (
                    "warning",
                    "formation default",
                    "Nobody would take over from busan, were it lost. It has one node.",
                )
            ],
        ),
        (
            (PRIMARY, node(2, "secondary", candidatepriority=0)),
            [
                (
                    "warning",
                    "formation default",
                    (
                        "Nobody would take over from busan, were it lost. Every other node has the"
                        " candidate priority 0."
                    ),
                )
            ],
        ),
        (
            (node(1, "wait_primary"), node(2, "secondary", "catchingup", health=0)),
            [
                (
                    "warning",
                    "formation default",
                    (
                        "Nobody would take over from busan, were it lost. Of the others, incheon is"
                        " secondary, on its way to catchingup and does not answer the monitor."
                    ),
                ),
                ("warning", "node incheon", "The monitor cannot connect to its server."),
                (
                    "warning",
                    "node incheon",
                    "It has been secondary for 1 h, and is to be catchingup.",
                ),
            ],
        ),
        (
            (node(1, "draining"), node(2, "prepare_promotion")),
            [
                (
                    "critical",
                    "formation default",
                    "No node takes writes: busan is draining, incheon is prepare_promotion.",
                )
            ],
        ),
        (
            (PRIMARY, SECONDARY, node(3, "maintenance")),
            [("warning", "node ulsan", "It is out for maintenance (maintenance).")],
        ),
        (
            (node(1, "primary", health=0), SECONDARY),
            [("critical", "node busan", "The monitor cannot connect to its server.")],
        ),
        (
            (PRIMARY, node(2, "secondary", report_seconds=75.0)),
            [("warning", "node incheon", "It has not reported for 1 min 15 s.")],
        ),
        (
            (PRIMARY, node(2, "secondary", reportedtli=2)),
            [("warning", "node incheon", "It is on timeline 2, and busan is on 1.")],
        ),
    ],
)
def test_problems(nodes: tuple[dict[str, Any], ...], expected: list[tuple[str, str, str]]) -> None:
    assert told(*nodes) == expected


def test_a_change_of_state_that_is_young_is_no_problem() -> None:
    moving = node(2, "secondary", "catchingup", state_seconds=59.0)
    assert told(node(1, "primary", state_seconds=59.0), SECONDARY, {**moving, "nodeid": 3}) == []


def test_a_long_base_backup_is_no_problem_of_its_own() -> None:
    copying = node(3, "wait_standby", "catchingup")
    assert told(PRIMARY, SECONDARY, copying) == []


def test_a_standby_cut_off_from_the_primary_alone_is_critical() -> None:
    """Both reach the monitor, so that 2.0 and 2.2 wait for it for ever."""
    found = told(
        node(1, "primary", reportedrepstate="unknown", reportedlsn="0/3000160"),
        node(2, "secondary", wal_seconds=25.0),
    )
    assert found == [
        (
            "critical",
            "node busan",
            (
                "No synchronous standby streams from busan, and commits wait for one. Behind"
                " is incheon, which has received nothing for 25 s."
            ),
        )
    ]


@pytest.mark.parametrize(
    ("primary", "standby", "expected"),
    [
        # Nothing was written since: nothing waits yet.
        ({}, {"wal_seconds": 25.0}, ["warning"]),
        # It may be about to connect.
        ({"state_seconds": 5.0}, {}, []),
        # Nobody waits for it.
        ({}, {"replicationquorum": False}, []),
    ],
)
def test_nobody_streams(
    primary: dict[str, Any], standby: dict[str, Any], expected: list[str]
) -> None:
    found = told(
        node(1, "primary", reportedrepstate="unknown", **primary), node(2, "secondary", **standby)
    )
    assert [severity for severity, _object, _what in found] == expected


def test_too_few_synchronous_standbys_are_critical() -> None:
    found = told(
        PRIMARY,
        node(2, "catchingup", "secondary", state_seconds=1.0),
        node(3, "secondary"),
        number_sync_standbys=2,
    )
    assert found[0] == (
        "critical",
        "formation default",
        "1 of 2 synchronous standbys are there, and commits wait for the rest.",
    )


def test_the_worst_comes_first() -> None:
    found = told(node(1, "primary", health=0), node(2, "secondary", report_seconds=75.0))
    assert [severity for severity, _object, _what in found] == ["critical", "warning"]


def test_connection_strings_name_every_node() -> None:
    found = monitor(PRIMARY, node(2, "secondary", nodehost="2001:db8::2", nodeport=5433))
    assert uri(found) == (
        "postgresql://203.0.113.10:5432,[2001:db8::2]:5433/hmm_db"
        "?target_session_attrs=read-write&sslmode=verify-full"
    )
    assert conninfo(found) == (
        "host=203.0.113.10,2001:db8::2 port=5432,5433 dbname=hmm_db"
        " target_session_attrs=read-write sslmode=verify-full"
    )


def test_timings_and_events() -> None:
    event = {"id": 1, "time": "2026-11-22T08:15:29.512345Z", "node": "busan"}
    found = monitor(PRIMARY, SECONDARY, events=[event])
    assert found.timings == {"health_check_period": "5000"}
    assert found.events == (event,)


def test_a_formation_that_is_not_there_is_an_error_that_names_those_that_are() -> None:
    with pytest.raises(ReplicationError) as caught:
        monitor_from([row(PRIMARY)], "shore")
    assert caught.value.message == (
        "formation: the monitor has no formation 'shore'; it has default."
    )


def test_events_cannot_be_negative() -> None:
    with pytest.raises(ReplicationError, match="events"):
        info_request({"formation": "default", "events": -1})
