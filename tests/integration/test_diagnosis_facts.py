# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What servers of every version tell a diagnosis, and the modules on a cluster of postgresql-common."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from ansible_collections.hmm.pg_replication.plugins.module_utils._connection import Session
from ansible_collections.hmm.pg_replication.plugins.module_utils._conninfo import Conninfo
from ansible_collections.hmm.pg_replication.plugins.module_utils._diagnosis_facts import (
    SETTINGS,
    Reader,
    Request,
)
from tests.integration.conftest import Clusters, Database
from tests.lab import Server
from tests.lab.debian import DebianCluster, debian_cluster, reason_against
from tests.lab.modules import run_module
from tests.lab.waiting import wait_until

SLOT = "diagnosed"


def _session(server: Server, database: str) -> Session:
    return Session(
        Conninfo.parse(server.dsn(database, sslmode="verify-full", sslrootcert=server.ca_cert))
    )


def facts(server: Server, database: str | None = None, *roles: str) -> dict[str, Any]:
    request = Request(database, 0.05, 900, None, None, roles)
    with Reader(partial(_session, server), request) as reader:
        found = reader.facts()
        assert reader.log_time
    # As Ansible would carry it.
    carried: dict[str, Any] = json.loads(json.dumps(found))
    return carried


@pytest.fixture(scope="module")
def standby(clusters: Clusters, major: int) -> Iterator[Server]:
    shore = clusters.get(major, "publisher")
    made = shore.create_standby(slot=SLOT, name="diagnosed_ship")
    yield made
    shore.discard_standby(made)


def test_a_primary_tells_of_its_standby(standby: Server, publisher: Server) -> None:
    found = facts(publisher)
    (slot,) = [one for one in found["lag"]["slots"] if one["name"] == SLOT]
    (consumer,) = [one for one in found["consumers"] if one["pid"] == slot["active_pid"]]
    assert consumer["application_name"] == "diagnosed_ship"
    assert [one["reply_age"] >= 0 for one in found["replies"] if one["pid"] == consumer["pid"]]
    assert found["wal"]["oldest"] <= found["wal"]["newest"]
    assert found["history"] == []
    assert found["rates"]["seconds"] >= 0.05
    assert "diagnosed_ship" in found["rates"]["senders"]
    assert SLOT in found["rates"]["slots"]
    assert found["checkpoints"]["requested"] >= 0
    assert {"archived_count", "failed_count", "waiting"} <= set(found["archiver"])
    assert found["hba"]["rules"][0]["type"] == "local"
    assert standby.running


def test_a_standby_tells_of_itself_and_no_password(standby: Server) -> None:
    found = facts(standby, "postgres")
    assert found["in_recovery"]
    assert found["lag"]["receiver"]["status"] == "streaming"
    assert found["startup"]["wait_event"] == "RecoveryWalStream"
    assert found["primary_connection"]["application_name"] == "diagnosed_ship"
    assert found["primary_connection"]["password"] == "********"
    assert standby.password not in str(found)
    assert found["settings"]["primary_slot_name"] == SLOT


def test_settings_are_those_that_the_version_has(publisher: Server, major: int) -> None:
    missing = set(SETTINGS) - set(facts(publisher)["settings"])
    assert missing == {
        name
        for name, since in {
            "archive_library": 15,
            "idle_replication_slot_timeout": 18,
            "max_active_replication_origins": 18,
        }.items()
        if major < since
    }


def test_roles_and_what_they_may_not_read(database: Database) -> None:
    database.sql("CREATE ROLE d_ship LOGIN NOREPLICATION PASSWORD 'x' VALID UNTIL '2000-01-01'")
    try:
        database.sql("CREATE TABLE a (id int PRIMARY KEY, b int, c int)")
        database.sql("CREATE TABLE open_ (id int PRIMARY KEY)")
        database.sql("GRANT SELECT (id, b) ON a TO d_ship; GRANT SELECT ON open_ TO d_ship")
        found = facts(database.server, database.name, "d_ship", "not_there")
        role = found["roles"]["d_ship"]
        assert (role["login"], role["replication"], role["valid"]) == (True, False, False)
        assert "not_there" not in found["roles"]
        # Without USAGE on the schema not even that.
        assert found["tables"]["public.a"]["not_selectable_by"] == {"d_ship": ["c"]}
        assert found["tables"]["public.open_"]["not_selectable_by"] == {}
    finally:
        database.sql("DROP OWNED BY d_ship; DROP ROLE d_ship")


def test_tables_and_what_tells_their_rows_apart(database: Database) -> None:
    database.sql('CREATE TABLE keyed (id int PRIMARY KEY, "Löschen?" text)')
    database.sql("CREATE TABLE bare (a int)")
    database.sql("CREATE TABLE whole (a int); ALTER TABLE whole REPLICA IDENTITY FULL")
    database.sql("CREATE PUBLICATION p FOR TABLE keyed, bare")
    found = facts(database.server, database.name)
    identity = {name: table["has_identity"] for name, table in found["tables"].items()}
    assert identity == {"public.keyed": True, "public.bare": False, "public.whole": True}
    assert found["tables"]["public.keyed"]["columns"] == {"id": "integer", "Löschen?": "text"}
    (publication,) = found["publications"]
    assert [table["tablename"] for table in publication["tables"]] == ["bare", "keyed"]


def test_a_subscription_with_its_tables_and_no_password(
    database: Database, subscriber_database: Database
) -> None:
    for side in (database, subscriber_database):
        side.sql("CREATE TABLE documents (id int PRIMARY KEY)")
    database.sql("CREATE PUBLICATION p FOR TABLE documents")
    name = f"d_{database.name}"
    subscriber_database.sql(
        f"CREATE SUBSCRIPTION {name} CONNECTION '{database.dsn()}' PUBLICATION p"
    )

    def ready() -> dict[str, Any] | None:
        found = facts(subscriber_database.server, subscriber_database.name)
        (one,) = found["subscriptions"]
        done = one["tables"] and one["tables"][0]["state"] == "ready" and one["workers"]
        return one if done else None

    one = wait_until(ready, "the table is ready")
    assert (one["name"], one["enabled"], one["slot"]) == (name, True, name)
    assert one["connection"]["password"] == "********"
    assert database.server.password not in str(one)
    assert one["tables"] == [
        {"schema": "public", "table": "documents", "state": "ready", "lsn": one["tables"][0]["lsn"]}
    ]


def test_a_database_that_is_not_there_is_told(publisher: Server) -> None:
    found = facts(publisher, "nowhere")
    assert found["tables"] is None
    assert "nowhere" in found["database_error"]
    assert found["lag"]["server"]["role"] == "primary"


def test_history_after_a_promotion(clusters: Clusters, major: int) -> None:
    shore = clusters.get(major, "publisher")
    promoted = shore.create_standby(name="diagnosed_promoted")
    try:
        promoted.sql("SELECT pg_promote()")
        (fork,) = facts(promoted)["history"]
        assert fork["timeline"] == 1
        assert "/" in fork["end"]
    finally:
        shore.discard_standby(promoted)


# --- the modules, on a cluster of postgresql-common -----------------------------------------------


@pytest.fixture(scope="module")
def made() -> Iterator[DebianCluster]:
    reason = reason_against()
    if reason:
        pytest.skip(reason)
    with debian_cluster() as cluster:
        yield cluster


@pytest.fixture
def cluster(made: DebianCluster) -> Iterator[DebianCluster]:
    yield made
    if not made.running():
        made.control("start")
    made.sql("ALTER SYSTEM RESET ALL")


debian = pytest.mark.xdist_group("debian")


def looked(cluster: DebianCluster, **more: Any) -> dict[str, Any]:
    outcome = run_module(
        "diagnosis_facts", **cluster.options, database="postgres", sample_seconds=0, **more
    )
    assert not outcome.failed, outcome.msg
    assert not outcome.changed
    found: dict[str, Any] = outcome.result["facts"]
    return found


@debian
def test_module_tells_of_host_and_files(cluster: DebianCluster) -> None:
    found = looked(cluster, controller_epoch=0)
    assert found["cluster"]["running"]
    assert found["cluster"]["port"] == cluster.port
    assert found["host"]["clock_offset"] > 10**9
    assert found["control"]["state"] == "in production"
    assert found["control"]["max_connections"] == 100
    assert {disk["holds"] for disk in found["disks"]} == {"data", "wal", "log"}
    assert not found["server"]["hba"]["modified_after_load"]
    assert found["server_error"] == ""


@debian
def test_module_sees_a_file_that_was_not_read(cluster: DebianCluster) -> None:
    cluster.hba.touch()
    assert looked(cluster)["server"]["hba"]["modified_after_load"]
    cluster.reload()


@debian
def test_module_reads_the_files_of_a_server_that_is_down(cluster: DebianCluster) -> None:
    secret = "diagnosis-secret"
    cluster.sql(f"ALTER SYSTEM SET primary_conninfo = 'host=shore password={secret}'")
    cluster.sql("ALTER SYSTEM SET max_connections = 77")
    cluster.control("stop")
    found = looked(cluster)
    assert not found["cluster"]["running"]
    assert found["server"] is None
    assert found["settings_in_files"]["max_connections"] == "77"
    assert found["settings_in_files"]["primary_connection"]["host"] == "shore"
    assert secret not in str(found)
    assert found["control"]["state"] == "shut down"


@debian
def test_probe_takes_the_clusters_own_connection(cluster: DebianCluster) -> None:
    secret = "probe-secret"
    cluster.sql(
        "ALTER SYSTEM SET primary_conninfo ="
        f" 'host=127.0.0.1 port={cluster.port} user=nobody password={secret} sslmode=disable'"
    )
    cluster.sql("ALTER SYSTEM SET primary_slot_name = 'ship_x'")
    cluster.reload()
    outcome = run_module("connection_probe", **cluster.options)
    assert not outcome.failed, outcome.msg
    probe = outcome.result["probe"]
    assert (probe["source"], probe["slot"]) == ("primary_conninfo", "ship_x")
    assert (probe["stage"], probe["sqlstate"]) == ("authentication", "28P01")
    assert secret not in outcome.raw
    cluster.control("stop")
    probe = run_module("connection_probe", **cluster.options).result["probe"]
    assert (probe["source"], probe["slot"]) == ("files", "ship_x")
    assert (probe["stage"], probe["reason"]) == ("tcp", "refused")


@debian
def test_probe_goes_another_way_where_there_is_none(cluster: DebianCluster) -> None:
    otherwise = {"host": "127.0.0.1", "port": str(cluster.port), "user": "u", "sslmode": "disable"}
    outcome = run_module(
        "connection_probe",
        **cluster.options,
        subscription="none",
        otherwise={**otherwise, "password": "otherwise-secret"},
        slot="ship_y",
    )
    assert not outcome.failed, outcome.msg
    assert outcome.result["probe"]["source"] == "otherwise"
    assert outcome.result["probe"]["slot"] == "ship_y"
    assert outcome.result["probe"]["stage"] == "authentication"
    assert "otherwise-secret" not in outcome.raw


@debian
@pytest.mark.parametrize("name", ["diagnosis_facts", "connection_probe"])
def test_modules_say_what_is_missing(made: DebianCluster, name: str) -> None:
    outcome = run_module(name, version=made.version, cluster="nowhere")
    assert outcome.failed
    assert "There is no cluster" in outcome.msg
