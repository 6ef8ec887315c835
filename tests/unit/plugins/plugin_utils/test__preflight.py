# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.hmm.pg_replication.plugins.plugin_utils._preflight import problems

GIGABYTE = 10**9
RELATION = {
    "oid": 1,
    "schema": "public",
    "name": "documents",
    "kind": "r",
    "publishable": True,
    "full": False,
    "identity": ["id"],
    "stored": None,
    "virtual": None,
    "children": None,
}
TABLE = {
    "oid": 1,
    "kind": "r",
    "persistence": "p",
    "columns": ["id", "title", "confidential"],
    "relations": [RELATION],
}


def host(**other: Any) -> dict[str, Any]:
    return {
        "distribution": "debian 12",
        "architecture": "x86_64",
        "clock_offset": 0.5,
        "free_bytes": 100 * GIGABYTE,
        "sudo": True,
        "unreachable": [],
        "installed": False,
        "cluster": None,
        "data": {"kind": "absent", "directory": "/data", "system_identifier": None},
        "server": None,
        "server_error": "",
        **other,
    }


def server(**other: Any) -> dict[str, Any]:
    return {
        "version": 150014,
        "in_recovery": False,
        "clients": 7,
        "system_identifier": "1",
        "settings": {"wal_level": "logical", "listen_addresses": "*", "archive_mode": "on"},
        "archive": "pg_replication",
        "slots": {"max": 32, "used": []},
        "senders": {"max": 32, "used": 0},
        "bytes": GIGABYTE,
        "tablespaces": [],
        "wal": {"bytes": 0, "seconds": 90000},
        "tables": {"documents": TABLE},
        "filters": [],
        **other,
    }


def shore(preflight: dict[str, Any] | None = None, **other: Any) -> dict[str, Any]:
    return {
        "name": "busan",
        "version": "15",
        "become_method": "sudo",
        "database": "hmm_db",
        "preflight": preflight or host(server=server(), cluster={"port": 5432}),
        "wal_level": "logical",
        "max_wal_senders": 32,
        "max_replication_slots": 32,
        "archive_enabled": True,
        "archive_replaced": False,
        "restart_allowed": False,
        "firewall": True,
        **other,
    }


def running(**other: Any) -> dict[str, Any]:
    return shore(host(server=server(**other), cluster={"port": 5432}))


def relation(**other: Any) -> dict[str, Any]:
    """The table documents, with this in the table's own facts or in those of the relation."""
    own = {name: value for name, value in other.items() if name in TABLE}
    return {**TABLE, **own, "relations": [{**RELATION, **other}]}


def ship(preflight: dict[str, Any] | None = None, **other: Any) -> dict[str, Any]:
    return {
        "name": "algeciras",
        "slot": "ship_algeciras",
        "standby_slot": "ship_algeciras",
        "addresses": ["198.51.100.21", "192.0.2.0/24"],
        "mode": "physical",
        "version": "15",
        "become_method": "sudo",
        "link": {},
        "preflight": preflight or host(),
        "seed_method": "pack",
        "seeds_over_ssh": True,
        "replace_data": False,
        "tables": [{"name": "documents"}],
        **other,
    }


def logical(**other: Any) -> dict[str, Any]:
    return ship(
        **{
            "name": "oslo",
            "slot": "ship_oslo",
            "standby_slot": "ship_oslo_seed",
            "mode": "logical",
            "seed_method": "copy",
            **other,
        }
    )


def converting(**other: Any) -> dict[str, Any]:
    return logical(**{"version": "17", "seed_method": "standby", **other})


def data(kind: str, identifier: str | None = None) -> dict[str, Any]:
    return {"kind": kind, "directory": "/data", "system_identifier": identifier}


TRIXIE = shore(version="17")
SILENT = {"name": "ssh", "host": "203.0.113.10", "port": 22, "reason": "timed out"}
SHUT = {"name": "postgresql", "host": "203.0.113.10", "port": 5432, "reason": "connection refused"}


@pytest.mark.parametrize(
    ("ashore", "ships"),
    [
        (shore(), [ship(), logical()]),
        (shore(host()), [ship()]),
        (shore(firewall=False), [ship(addresses=["algeciras.example"])]),
        (shore(), [ship(host(unreachable=[SHUT]))]),
        ({**running(archive="other"), "archive_replaced": True}, [ship()]),
        ({**running(archive="other"), "archive_enabled": False}, [ship()]),
        (shore(), [ship(host(sudo=False), become_method="ansible.builtin.su")]),
        (shore(), [logical(preflight=host(unreachable=[SILENT]), seeds_over_ssh=False)]),
        (shore(), [ship(host(data=data("seeded", "1")))]),
        (shore(), [ship(host(data=data("standby", None)))]),
        (shore(), [ship(host(data=data("server", "2")), replace_data=True)]),
        (shore(), [logical(preflight=host(data=data("server", "2")))]),
        (TRIXIE, [converting()]),
        (TRIXIE, [converting(preflight=host(data=data("seeded", "1")))]),
        (TRIXIE, [converting(preflight=host(data=data("promoted", "1")), replace_data=True)]),
        # A subscriber is none of a standby's affairs any more.
        (
            running(
                tablespaces=["fast"],
                without_identity=["log"],
                slots={"max": 32, "used": ["ship_oslo"]},
            ),
            [converting(preflight=host(data=data("converted", "2")), version="15")],
        ),
        (running(without_identity=["log"]), [logical()]),
        (shore(), [logical(preflight=host(data=data("promoted", "1")))]),
        (
            running(slots={"max": 32, "used": ["ship_algeciras"]}, senders={"max": 32, "used": 32}),
            [ship()],
        ),
        (running(clients=0, slots={"max": 10, "used": []}), [ship()]),
        (
            shore(host(server=server(bytes=200 * GIGABYTE), cluster={})),
            [logical(preflight=host(free_bytes=10**15))],
        ),
        (
            shore(
                host(server=server(slots={"max": 10, "used": []}), cluster={}), restart_allowed=True
            ),
            [ship()],
        ),
    ],
)
def test_nothing_stands_in_the_way(ashore: dict[str, Any], ships: list[dict[str, Any]]) -> None:
    assert problems(ashore, ships) == []


@pytest.mark.parametrize(
    ("ashore", "aboard", "beginning"),
    [
        (
            shore(),
            ship(host(distribution="ubuntu 24.04")),
            "algeciras: ubuntu 24.04 is not supported",
        ),
        (shore(), ship(host(sudo=False)), "algeciras: there is no sudo"),
        (shore(), ship(host(clock_offset=-7200.0)), "algeciras: the clock is 7200 seconds behind"),
        (shore(), ship(host(clock_offset=61.0)), "algeciras: the clock is 61 seconds ahead"),
        (
            shore(host(server_error="FATAL: no", cluster={})),
            ship(),
            "busan: the server runs, but could not be asked: FATAL: no",
        ),
        (
            shore(host(data=data("server", "1"))),
            ship(),
            "busan: /data holds data, but postgresql-common knows",
        ),
        (
            shore(host()),
            logical(),
            "busan: a logical ship copies tables, and there is no running server",
        ),
        (running(in_recovery=True), ship(), "busan: this server is a standby"),
        (running(tablespaces=["fast"]), ship(), "busan: tablespaces fast lie outside"),
        (
            shore(host(server=server(), cluster={}, free_bytes=GIGABYTE // 2)),
            ship(),
            "busan: the pack of a base backup needs 1000 MB at /data, and 500 MB are free.",
        ),
        (
            running(slots={"max": 32, "used": [f"s{n}" for n in range(32)]}),
            ship(),
            "busan: 33 replication slots would be needed and max_replication_slots allows 32.",
        ),
        (
            running(senders={"max": 32, "used": 30}),
            logical(),
            "busan: 33 WAL senders would be needed and max_wal_senders allows 32.",
        ),
        (
            running(
                settings={
                    "wal_level": "replica",
                    "listen_addresses": "localhost",
                    "archive_mode": "off",
                }
            ),
            ship(),
            "busan: the server has to be restarted once, to change wal_level from replica to logical,",
        ),
        (
            running(archive="other"),
            ship(),
            "busan: the server archives its WAL by an archive_command or archive_library of its own. Keep it with",
        ),
        (running(tables=None), logical(), "busan: there is no database hmm_db"),
        (running(tables={"documents": None}), logical(), "busan: hmm_db has no table documents"),
        (
            running(tables={"documents": relation(publishable=False, kind="v")}),
            logical(),
            "busan: documents cannot be published: only tables can.",
        ),
        (
            running(tables={"documents": relation(publishable=False, persistence="u")}),
            logical(),
            "busan: documents cannot be published, being unlogged",
        ),
        (
            running(tables={"documents": relation(identity=None)}),
            logical(),
            "busan: documents has no replica identity",
        ),
        (
            shore(),
            ship(host(unreachable=[SILENT])),
            "algeciras: busan does not answer at 203.0.113.10 port 22 (timed out).",
        ),
        (
            running(slots={"max": 32, "used": ["ship_algeciras"]}),
            ship(host(unreachable=[SHUT])),
            "algeciras: busan does not answer at 203.0.113.10 port 5432 (connection refused).",
        ),
        (
            shore(),
            ship(addresses=["algeciras.example", "198.51.100.21", "192.0.2.7/24"]),
            "algeciras: algeciras.example, 192.0.2.7/24 is no address or network, and the firewall of busan admits",
        ),
        (
            shore(),
            ship(version="17"),
            "algeciras: a physical standby has the shore's major version: 17",
        ),
        (
            shore(),
            ship(host(architecture="aarch64")),
            "algeciras: a physical standby has the shore's arch",
        ),
        (
            shore(),
            ship(host(data=data("server", "2"))),
            "algeciras: /data holds data that is no standby's.",
        ),
        (
            shore(),
            ship(host(data=data("foreign"))),
            "algeciras: /data holds data that is no standby's.",
        ),
        (
            shore(),
            ship(host(data=data("seeded", "2"))),
            "algeciras: /data is a standby of another system (2; the shore is 1).",
        ),
        (
            shore(),
            logical(seed_method="standby"),
            "oslo: a logical ship is seeded from a standby by pg_create",
        ),
        (
            TRIXIE,
            converting(version="18"),
            (
                "oslo: a physical standby has the shore's major version: 18 is wanted here and 17 ashore. Use the same"
                " Debian release, or ship_seed_method: copy."
            ),
        ),
        (TRIXIE, converting(preflight=host(data=data("server", "2"))), "oslo: /data holds data"),
        (
            shore(),
            ship(host(data=data("promoted", "1"))),
            "algeciras: /data was a standby, and has been promoted: it is a server of its own.",
        ),
        (
            shore(),
            ship(host(data=data("converted", "2"))),
            "algeciras: /data was a standby, and has been made a subscriber; ship_mode: logical",
        ),
        (
            TRIXIE,
            converting(preflight=host(data=data("promoted", "1"))),
            "oslo: /data was a standby, and was cut while a subscriber was made of it",
        ),
        (
            shore(host(server=server(tablespaces=["fast"]), cluster={}), version="17"),
            converting(),
            "busan: tablespaces fast lie outside",
        ),
        (
            shore(host(server=server(without_identity=["log"]), cluster={}), version="17"),
            converting(),
            "busan: log has no replica identity. While pg_createsubscriber makes a subscriber of oslo, all",
        ),
        (
            shore(
                host(
                    server=server(slots={"max": 32, "used": [f"s{n}" for n in range(29)]}),
                    cluster={},
                ),
                version="17",
            ),
            converting(),
            "busan: 33 replication slots would be needed",
        ),
        (
            shore(
                host(server=server(slots={"max": 32, "used": ["ship_oslo_seed"]}), cluster={}),
                version="17",
            ),
            converting(preflight=host(unreachable=[SHUT], data=data("seeded", "1"))),
            "oslo: busan does not answer at 203.0.113.10 port 5432",
        ),
        (
            TRIXIE,
            converting(preflight=host(free_bytes=2 * GIGABYTE)),
            "oslo: the copy of the shore's data needs 2700 MB",
        ),
        (
            shore(
                host(server=server(wal={"bytes": 10**9, "seconds": 3600}), cluster={}), version="17"
            ),
            converting(link={"bandwidth": "2Mbit"}),
            (
                "oslo: the shore writes WAL at 2.2 Mbit/s, and the link carries 2.0: this ship would never catch"
                " up. Take ship_seed_method: copy"
            ),
        ),
        (
            shore(),
            ship(host(free_bytes=2 * GIGABYTE)),
            "algeciras: the copy of the shore's data needs 2700 MB at /data, and 2000 MB are free.",
        ),
        (
            running(wal={"bytes": 10**9, "seconds": 3600}),
            ship(link={"bandwidth": "2Mbit"}),
            "algeciras: the shore writes WAL at 2.2 Mbit/s, and the link carries 2.0: this ship would never",
        ),
    ],
)
def test_what_stands_in_the_way_is_told(
    ashore: dict[str, Any], aboard: dict[str, Any], beginning: str
) -> None:
    found = problems(ashore, [aboard])
    assert len(found) == 1
    assert found[0].startswith(beginning)


def test_all_problems_are_told_at_once() -> None:
    found = problems(
        running(in_recovery=True, tablespaces=["fast"]),
        [ship(host(clock_offset=99.0)), ship(version="17")],
    )
    assert [problem.split(":")[0] for problem in found] == [
        "busan",
        "busan",
        "algeciras",
        "algeciras",
    ]
