# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.hmm.pg_replication.plugins.plugin_utils._shore import (
    group_problems,
    plan,
    quorum_problems,
)

GIGABYTE = 10**9


def server(**more: Any) -> dict[str, Any]:
    return {
        "in_recovery": False,
        "clients": 0,
        "databases": ["hmm_db", "postgres"],
        "bytes": GIGABYTE,
        "tablespaces": [],
        "archive": "",
        **more,
    }


def host(name: str, running: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    kind = "absent" if running is None else "server"
    return {
        "name": name,
        "version": "17",
        "become_method": "su",
        "member": False,
        "database": "hmm_db",
        "restart_allowed": False,
        "archive_enabled": True,
        "archive_replaced": False,
        **more,
        "preflight": {
            "distribution": "debian 13",
            "clock_offset": 0.1,
            "sudo": True,
            "server_error": "",
            "free_bytes": 100 * GIGABYTE,
            "data": {"kind": kind, "directory": "/var/lib/postgresql/17/main"},
            "server": running,
            **more.get("preflight", {}),
        },
    }


MONITOR = host("daejeon")
BARE = host("incheon")


def test_the_node_that_has_the_data_begins() -> None:
    assert plan([BARE, host("busan", server())], MONITOR) == {"first": "busan", "problems": []}


def test_of_bare_nodes_the_first_of_the_inventory_begins() -> None:
    assert plan([host("busan"), BARE], MONITOR) == {"first": "busan", "problems": []}


def test_where_there_are_members_nobody_begins() -> None:
    member = host("busan", server(clients=9), member=True)
    assert plan([member, BARE], MONITOR) == {"first": "", "problems": []}


def test_a_monitor_may_use_the_empty_cluster_that_debian_made() -> None:
    monitor = host("daejeon", server(databases=["postgres"]))
    assert plan([host("busan"), BARE], monitor)["problems"] == []


@pytest.mark.parametrize(
    ("nodes", "monitor", "expected"),
    [
        (
            [host("busan", server()), {"name": "incheon", "dark": "timed out"}],
            MONITOR,
            "incheon: does not answer: timed out",
        ),
        (
            [host("busan", server()), host("incheon", server(databases=["postgres"]))],
            MONITOR,
            (
                "incheon: its cluster 17/main has data of its own, and a node's come from the"
                " primary. Where they are of no use: pg_dropcluster --stop 17 main."
            ),
        ),
        (
            [host("busan", server()), host("incheon", server())],
            MONITOR,
            "busan, incheon: each of them has data",
        ),
        (
            [host("busan", server(clients=7)), BARE],
            MONITOR,
            "busan: its server has to be stopped for some seconds",
        ),
        (
            [host("busan", server(in_recovery=True)), BARE],
            MONITOR,
            "busan: its server is a standby.",
        ),
        (
            [host("busan", server(tablespaces=["fast"])), BARE],
            MONITOR,
            "busan: tablespaces fast lie outside",
        ),
        (
            [host("busan", server(archive="other")), BARE],
            MONITOR,
            "busan: it has an archive_command that is not the collection's.",
        ),
        (
            [host("busan", {}), BARE],
            MONITOR,
            "busan: its cluster 17/main has data, and its server does not run",
        ),
        (
            [host("busan", server(bytes=90 * GIGABYTE)), BARE],
            MONITOR,
            "incheon: 100.6 GB are needed for the copy of busan's data, and 93.1 GB are free.",
        ),
        (
            [host("busan", server(bytes=90 * GIGABYTE), member=True), BARE],
            MONITOR,
            "incheon: 100.6 GB are needed for the copy of busan's data, and 93.1 GB are free.",
        ),
        (
            [host("busan", server()), BARE],
            host("daejeon", preflight={"distribution": "debian 12"}),
            "busan: it is debian 13, and the monitor daejeon is debian 12",
        ),
        (
            [host("busan", server()), host("incheon", version="16")],
            MONITOR,
            "incheon: postgres_version is 16, and 17 on the monitor daejeon",
        ),
        (
            [host("busan", server()), BARE],
            host("daejeon", server()),
            "daejeon: its cluster 17/main holds hmm_db: the monitor needs a cluster of its own.",
        ),
        (
            [host("busan", server()), BARE],
            host("daejeon", {}),
            "daejeon: its cluster 17/main holds data, and its server does not run:",
        ),
    ],
)
def test_problems(nodes: list[dict[str, Any]], monitor: dict[str, Any], expected: str) -> None:
    found = plan(nodes, monitor)["problems"]
    assert [problem for problem in found if problem.startswith(expected)]


def test_an_allowed_stop_is_no_problem() -> None:
    nodes = [host("busan", server(clients=7), restart_allowed=True), BARE]
    assert plan(nodes, MONITOR) == {"first": "busan", "problems": []}


def test_a_kept_archive_is_no_problem() -> None:
    nodes = [host("busan", server(archive="other"), archive_enabled=False), BARE]
    assert plan(nodes, MONITOR)["problems"] == []


def test_groups() -> None:
    assert group_problems(["busan", "incheon"], ["daejeon"], ["oslo"]) == []
    assert group_problems(["busan"], ["busan"], []) == [
        (
            "busan is in the groups shore and shore_monitor: who watches the nodes has to survive them,"
            " on a third machine."
        )
    ]
    assert group_problems([], ["a", "b"], ["b"]) == [
        "The inventory's group shore holds no host: name the nodes there.",
        (
            "The inventory's group shore_monitor has to hold one host, which watches the nodes; it"
            " holds a, b."
        ),
        "b is in the group ships, and cannot be on shore too.",
    ]


def members(*quorum: bool) -> list[dict[str, Any]]:
    return [{"name": f"node{n}", "replication_quorum": each} for n, each in enumerate(quorum)]


@pytest.mark.parametrize(
    ("quorum", "number"),
    [
        ((True,), -1),
        ((False,), -1),
        ((True, True), 0),
        ((True, False), -1),
        ((True, True, True), 1),
        ((True, True, True, False), 1),
        ((True, True, True, True), 2),
    ],
)
def test_formations_that_the_monitor_takes(quorum: tuple[bool, ...], number: int) -> None:
    assert quorum_problems(members(*quorum), number) == []


@pytest.mark.parametrize(
    ("quorum", "number", "expected"),
    [
        ((False, False), -1, "Every node has pg_auto_failover_replication_quorum: false"),
        ((True, True), 1, "is 1, which takes 2 standbys"),
        ((True, True, False), 1, "so that one of them may be away; there are 1."),
        ((True, True, True), 2, "is 2, which takes 3 standbys"),
        ((False,), 1, "there are 0."),
    ],
)
def test_formations_that_it_refuses(quorum: tuple[bool, ...], number: int, expected: str) -> None:
    (problem,) = quorum_problems(members(*quorum), number)
    assert expected in problem
