# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""repl_lag_facts on a primary, a standby, a publisher and a subscriber of every version."""

from __future__ import annotations

import functools
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.integration.conftest import Clusters, Database, majors
from tests.lab import Lab, Server
from tests.lab.modules import Outcome, run_module
from tests.lab.server import SUPERUSER
from tests.lab.waiting import wait_until

SLOT = "lag_ship"
MONITOR, PLAIN = "lag_monitor", "lag_plain"
PASSWORD = "lag-role-password"
MB = 2**20
UTC = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


def run(server: Server, role: str | None = None, dbname: str = "postgres", **more: Any) -> Outcome:
    outcome = run_module(
        "repl_lag_facts",
        login_host=server.host,
        login_port=server.port,
        login_user=role or server.superuser,
        login_password=PASSWORD if role else server.password,
        login_db=dbname,
        ca_cert=server.ca_cert,
        **more,
    )
    assert not outcome.failed, outcome.msg
    assert not outcome.changed
    assert server.password not in outcome.raw
    assert "sslrootcert" not in outcome.raw  # as in the connection string of the standby
    return outcome


def facts(server: Server, *args: Any, **more: Any) -> dict[str, Any]:
    found: dict[str, Any] = run(server, *args, **more).result["ansible_facts"]["repl_lag"]
    return found


def named(found: list[dict[str, Any]], name: str) -> dict[str, Any]:
    (one,) = [item for item in found if item["name"] == name]
    return one


def told(found: dict[str, Any], of: str) -> list[str]:
    """The problems of one object, each as "severity: what"."""
    return [f"{p['severity']}: {p['what']}" for p in found["problems"] if p["object"] == of]


def write_wal(server: Server, megabytes: int = 1) -> None:
    for _time in range(megabytes):
        server.sql(f"SELECT pg_logical_emit_message(true, 'lag', repeat('x', {MB}))")


def statements(server: Server) -> int:
    return server.log_text().count("LOG:  statement:")


@pytest.fixture(scope="module")
def roles(clusters: Clusters, major: int) -> Iterator[None]:
    """A role that may monitor, and one that may nothing, on both clusters."""
    servers = [clusters.get(major, part) for part in ("publisher", "subscriber")]
    for server in servers:
        server.sql(f"CREATE ROLE {MONITOR} LOGIN PASSWORD '{PASSWORD}' IN ROLE pg_monitor")
        server.sql(f"CREATE ROLE {PLAIN} LOGIN PASSWORD '{PASSWORD}'")
    yield
    for server in servers:
        server.start()
        server.sql(f"DROP ROLE {MONITOR}, {PLAIN}")


@pytest.fixture(scope="module")
def ship(clusters: Clusters, major: int, roles: None) -> Iterator[Server]:  # noqa: ARG001
    """A standby of the publisher."""
    shore = clusters.get(major, "publisher")
    standby = shore.create_standby(slot=SLOT, name="lag_oslo")
    yield standby
    shore.discard_standby(standby)


@pytest.fixture
def subscription(database: Database, subscriber_database: Database) -> str:
    """A subscription whose first copy is done."""
    name = f"lag_{database.name}"
    for side in (database, subscriber_database):
        side.sql("CREATE TABLE documents (id int PRIMARY KEY)")
    database.sql("CREATE PUBLICATION lag FOR TABLE documents")
    subscriber_database.sql(
        f"CREATE SUBSCRIPTION {name} CONNECTION '{database.dsn()}' PUBLICATION lag"
    )
    wait_until(
        lambda: (
            subscriber_database.sql("SELECT bool_and(srsubstate = 'r') FROM pg_subscription_rel")
            == [(True,)]
        ),
        "all tables are ready",
    )
    return name


def subscription_facts(database: Database, name: str, **more: Any) -> dict[str, Any]:
    return named(facts(database.server, dbname=database.name, **more)["subscriptions"], name)


# --- who is asked, and by whom -------------------------------------------------------------------


def test_a_primary(publisher: Server, ship: Server, subscription: str, major: int) -> None:
    wait_until(
        lambda: named(facts(publisher)["standbys"], subscription)["replay_lag_bytes"] == 0,
        "the subscription has confirmed all",
    )
    ship.wait_caught_up(publisher)
    for role in (None, MONITOR, PLAIN):
        check_primary(facts(publisher, role, sample_seconds=0.05), subscription, major, role)


def check_primary(found: dict[str, Any], subscription: str, major: int, role: str | None) -> None:
    server = found["server"]
    assert server["role"] == "primary"
    assert server["version"].startswith(f"{major}.")
    assert server["timeline"] == 1
    assert server["system_identifier"].isdigit()
    assert server["sample_seconds"] >= 0.05
    assert server["wal_rate"] >= 0
    assert UTC.fullmatch(server["time"])
    assert found["receiver"] is None

    slots = found["slots"]
    physical, logical = named(slots, SLOT), named(slots, subscription)
    assert (physical["type"], physical["plugin"], physical["database"]) == ("physical", None, None)
    assert (logical["type"], logical["plugin"]) == ("logical", "pgoutput")
    for slot in (physical, logical):
        assert slot["active"]
        assert slot["wal_status"] == "reserved"
        assert slot["lag_bytes"] < MB
        assert slot["inactive_since"] is None
        assert slot["synced"] is (False if major >= 17 else None)

    standby, walsender = (
        named(found["standbys"], "lag_oslo"),
        named(found["standbys"], subscription),
    )
    assert (standby["slot"], standby["type"]) == (SLOT, "physical")
    assert (walsender["slot"], walsender["type"]) == (subscription, "logical")
    for sender in (standby, walsender):
        assert sender["user"] == SUPERUSER
        if role == PLAIN:
            assert sender["state"] is sender["replay_lag_bytes"] is sender["client_addr"] is None
        else:
            assert (sender["state"], sender["sync_state"]) == ("streaming", "async")
            assert sender["client_addr"] == "127.0.0.1"
            assert 0 <= sender["replay_lag_bytes"] < MB
            assert UTC.fullmatch(sender["reply_time"])
    assert [unknown["what"] for unknown in found["unknown"]] == (
        ["standbys: client_addr, state, sync_state and the lags"] if role == PLAIN else []
    )
    for thing in (f"slot {SLOT}", f"slot {subscription}", "standby lag_oslo", "server"):
        assert told(found, thing) == []


@pytest.mark.parametrize("role", [None, MONITOR, PLAIN])
def test_a_standby(publisher: Server, ship: Server, role: str | None) -> None:
    # A server writes WAL of its own accord, too, and may do so between receiving and replaying.
    found = wait_until(
        lambda: (
            (now := facts(ship, role, sample_seconds=0.05))["receiver"]["replay_lag_bytes"] == 0
            and now
        ),
        "all is replayed",
    )
    server, receiver = found["server"], found["receiver"]
    assert server["role"] == "standby"
    assert server["timeline"] == 1
    assert server["system_identifier"] == facts(publisher)["server"]["system_identifier"]
    assert server["wal_rate"] >= 0
    assert server["replay_rate"] >= 0
    assert receiver["running"]
    assert receiver["replay_state"] == "not paused"
    assert receiver["flushed_lsn"] == receiver["replay_lsn"]
    if role == PLAIN:
        assert receiver["status"] is receiver["replay_lag_seconds"] is None
        assert [unknown["what"] for unknown in found["unknown"]] == [
            "receiver: all but running and what the server has received and replayed"
        ]
    else:
        assert receiver["status"] == "streaming"
        assert receiver["slot"] == SLOT
        assert (receiver["sender_host"], receiver["sender_port"]) == ("127.0.0.1", publisher.port)
        assert UTC.fullmatch(receiver["last_message_time"])
        assert receiver["last_message_seconds"] < 60
        assert receiver["replay_lag_seconds"] == 0
        assert found["unknown"] == []
    assert (found["status"], found["problems"]) == ("ok", [])


def test_a_subscriber(
    subscriber_database: Database,
    roles: None,  # noqa: ARG001
    subscription: str,
    major: int,
) -> None:
    def streams(role: str | None) -> dict[str, Any] | None:
        found = facts(subscriber_database.server, role, subscriber_database.name)
        return found if named(found["subscriptions"], subscription)["received_lsn"] else None

    for role in (None, MONITOR, PLAIN):
        found = wait_until(functools.partial(streams, role), "the subscription streams")
        assert named(found["subscriptions"], subscription)["database"] == subscriber_database.name
        check_subscriber(found, subscription, major)


def check_subscriber(found: dict[str, Any], subscription: str, major: int) -> None:
    subscribed = named(found["subscriptions"], subscription)
    assert subscribed["enabled"]
    assert subscribed["slot"] == subscription
    assert subscribed["workers"] == 1
    assert subscribed["apply_worker_pid"]
    assert subscribed["lag_bytes"] >= 0
    assert UTC.fullmatch(subscribed["last_message_time"])
    assert (subscribed["tables"]["total"], subscribed["tables"]["ready"]) == (1, 1)
    assert subscribed["apply_errors"] == (0 if major >= 15 else None)
    assert subscribed["disabled_by_error"] == (False if major >= 15 else None)
    assert (subscribed["conflicts"] is not None) == (major >= 18)
    assert subscribed["skip_lsn"] is None
    assert found["unknown"] == []
    assert told(found, f"subscription {subscription}") == []


@pytest.mark.parametrize("role", [None, MONITOR])
def test_one_name_in_two_databases(
    subscriber_database: Database,
    roles: None,  # noqa: ARG001
    major: int,
    role: str | None,
) -> None:
    other = Database(subscriber_database.server, "postgres")
    create = (
        "CREATE SUBSCRIPTION lag_twin CONNECTION 'dbname=x password=secret' PUBLICATION p"
        " WITH (connect = false, slot_name = NONE, enabled = false)"
    )
    for database in (subscriber_database, other):
        database.sql(create)
    try:
        outcome = run(subscriber_database.server, role, subscriber_database.name)
    finally:
        other.sql("DROP SUBSCRIPTION lag_twin")
    assert "secret" not in outcome.raw
    found = outcome.result["ansible_facts"]["repl_lag"]
    twins = {twin["database"]: twin for twin in found["subscriptions"]}
    if major == 13 and role:
        assert all(twin["workers"] is None for twin in twins.values())
        assert len(found["unknown"]) == 2
    else:
        assert twins[subscriber_database.name]["tables"]["total"] == 0
        assert twins["postgres"]["tables"] is None
        assert [unknown["what"] for unknown in found["unknown"]] == [
            "subscriptions in postgres: tables"
        ]


def test_a_role_that_may_not_even_read_the_control_file(
    database: Database,
    roles: None,  # noqa: ARG001
) -> None:
    database.sql("REVOKE EXECUTE ON FUNCTION pg_control_system() FROM public")
    before = statements(database.server)
    found = facts(database.server, MONITOR, database.name, sample_seconds=0.01)
    assert statements(database.server) - before == 3
    assert found["server"]["system_identifier"] is None
    assert found["server"]["timeline"] == 1
    assert found["unknown"][0]["do"].startswith("Grant the role EXECUTE on pg_control_system()")


@pytest.mark.parametrize("role", [None, MONITOR, PLAIN])
def test_statements(server: Server, roles: None, role: str | None) -> None:  # noqa: ARG001
    before = statements(server)
    run(server, role)
    assert statements(server) - before == 1
    run(server, role, sample_seconds=0.01)
    assert statements(server) - before == 3


def test_check_mode(server: Server) -> None:
    check, real = run(server, check_mode=True), run(server)
    assert check.diff is real.diff is None
    assert check.result.keys() == real.result.keys()


# --- what goes wrong -----------------------------------------------------------------------------


def test_replay_is_paused(publisher: Server, ship: Server) -> None:
    def last_commit() -> str | None:
        found: str | None = facts(ship)["receiver"]["last_replayed_commit"]
        return found

    # A standby tells a time only of commits that it replayed since it started.
    write_wal(publisher)
    wait_until(last_commit, "a commit is replayed")
    ship.sql("SELECT pg_wal_replay_pause()")
    try:
        write_wal(publisher)

        def held() -> dict[str, Any] | None:
            found = facts(ship, lag_bytes_warning=1000)
            receiver = found["receiver"]
            held = receiver["replay_state"] == "paused" and receiver["replay_lag_bytes"] >= MB
            return found if held else None

        found = wait_until(held, "WAL is received and not replayed")
    finally:
        ship.sql("SELECT pg_wal_replay_resume()")
    paused, behind = told(found, "replay")
    assert paused == "warning: Replay is paused, and what the primary does is not seen here."
    assert re.fullmatch(r"warning: This standby lags .* MB and .* behind\.", behind)


def test_a_dark_ship(publisher: Server, ship: Server, major: int) -> None:
    def dark() -> dict[str, Any]:
        return facts(publisher, lag_bytes_warning="1MB", lag_bytes_critical="3MB")

    # Under load it may not have told yet that it has what the tests before wrote.
    wait_until(
        lambda: named(facts(publisher)["slots"], SLOT)["lag_bytes"] < MB // 2, "the ship is there"
    )
    ship.stop()
    try:
        wait_until(lambda: not named(dark()["slots"], SLOT)["active"], "the slot is inactive")
        write_wal(publisher, 2)
        first = dark()
        write_wal(publisher, 2)
        second = dark()
    finally:
        ship.start()
    slots = [named(found["slots"], SLOT) for found in (first, second)]
    assert slots[1]["lag_bytes"] >= slots[0]["lag_bytes"] + 2 * MB
    assert (slots[0]["inactive_since"] is not None) == (major >= 17)
    assert "lag_oslo" not in [standby["name"] for standby in second["standbys"]]
    assert [told(found, f"slot {SLOT}")[0].partition(":")[0] for found in (first, second)] == [
        "warning",
        "critical",
    ]
    assert second["status"] == "critical"
    severities = [problem["severity"] for problem in second["problems"]]
    assert severities == sorted(severities)
    wait_until(
        lambda: named(facts(publisher)["slots"], SLOT)["active"], "the ship is back and streams"
    )


def test_a_receiver_that_cannot_connect(publisher: Server, ship: Server) -> None:
    publisher.stop()
    try:
        found = wait_until(
            lambda: facts_if_alone(ship),
            "the standby has noticed that its primary is gone, and replayed what it had",
        )
    finally:
        publisher.start()
    assert told(found, "receiver") == [
        "warning: The standby is not connected to its primary: no walreceiver runs."
    ]
    assert found["receiver"]["replay_lag_bytes"] == 0
    wait_until(
        lambda: facts(ship)["receiver"]["status"] == "streaming", "the standby streams again"
    )


def facts_if_alone(standby: Server) -> dict[str, Any] | None:
    found = facts(standby)
    receiver = found["receiver"]
    return None if receiver["running"] or receiver["replay_lag_bytes"] else found


def test_a_disabled_subscription(subscriber_database: Database, subscription: str) -> None:
    subscriber_database.sql(f"ALTER SUBSCRIPTION {subscription} DISABLE")
    found = facts(subscriber_database.server, dbname=subscriber_database.name)
    assert not named(found["subscriptions"], subscription)["enabled"]
    assert told(found, f"subscription {subscription}") == [
        f"warning: The subscription is disabled in {subscriber_database.name}."
    ]


def test_a_subscription_that_breaks(
    database: Database, subscriber_database: Database, subscription: str, major: int
) -> None:
    if major >= 15:
        subscriber_database.sql(f"ALTER SUBSCRIPTION {subscription} SET (disable_on_error = true)")
    subscriber_database.sql("INSERT INTO documents VALUES (1)")
    database.sql("INSERT INTO documents VALUES (1)")

    def broken() -> dict[str, Any] | None:
        found = facts(subscriber_database.server, dbname=subscriber_database.name)
        subscribed = named(found["subscriptions"], subscription)
        told_of = subscribed["disabled_by_error"] if major >= 15 else not subscribed["workers"]
        return found if told_of else None

    found = wait_until(broken, "the error is seen")
    problems = told(found, f"subscription {subscription}")
    name = subscriber_database.name
    if major < 15:
        assert problems == [f"warning: The subscription is enabled in {name}, and no worker runs."]
        return
    assert re.fullmatch(
        rf"critical: The subscription is disabled in {name}, after 1 error \(1 applying, 0"
        r" copying\) since .*: by an error, as disable_on_error demands\.",
        problems[0],
    )
    subscribed = named(found["subscriptions"], subscription)
    assert (subscribed["apply_errors"], subscribed["sync_errors"]) == (1, 0)
    if major >= 18:
        assert subscribed["conflicts"]["insert_exists"] == 1
        assert re.fullmatch(
            r"warning: The subscription had 1 conflict since .*: insert_exists 1\.", problems[1]
        )


def test_a_table_that_is_not_ready(
    database: Database, subscriber_database: Database, subscription: str, major: int
) -> None:
    for side in (database, subscriber_database):
        side.sql("CREATE TABLE users (id int PRIMARY KEY)")
        side.sql("INSERT INTO users VALUES (1)")  # its copy fails, again and again
    database.sql("ALTER PUBLICATION lag ADD TABLE users")
    subscriber_database.sql(f"ALTER SUBSCRIPTION {subscription} REFRESH PUBLICATION")

    def failing() -> dict[str, Any] | None:
        found = facts(subscriber_database.server, dbname=subscriber_database.name)
        return (
            found
            if major < 15 or named(found["subscriptions"], subscription)["sync_errors"]
            else None
        )

    found = wait_until(failing, "the copy has failed")
    tables = named(found["subscriptions"], subscription)["tables"]
    assert (tables["total"], tables["ready"]) == (2, 1)
    problems = told(found, f"subscription {subscription}")
    assert "warning: 1 of 2 tables are not ready" in problems[-1]
    if major >= 15:
        assert re.fullmatch(
            r"warning: The subscription had \d+ errors? \(0 applying, \d+ copying\) since .*",
            problems[0],
        )


# --- servers of their own ------------------------------------------------------------------------


def test_a_slot_on_its_way_to_being_lost(lab: Lab, major: int) -> None:
    server = lab.server(major, max_slot_wal_keep_size="64MB")
    try:
        server.sql("SELECT pg_create_physical_replication_slot('gone', true)")
        with writing(server):
            found = facts(server, sample_seconds=0.3, time_to_loss_critical=86400)
        slot = named(found["slots"], "gone")
        assert found["server"]["wal_rate"] > 0
        assert found["server"]["max_slot_wal_keep_size"] == 64 * MB
        assert slot["safe_wal_size"] > 0
        assert slot["seconds_until_lost"] > 0
        assert slot["lost_by"] == "wal"
        assert "critical: The slot is lost in" in told(found, "slot gone")[0]

        server.reload(max_slot_wal_keep_size="1MB")
        for _time in range(3):
            write_wal(server)
            server.sql("SELECT pg_switch_wal()")
        found = wait_until(
            lambda: facts_if_slot_is(server, "unreserved"), "the slot is beyond the limit"
        )
        assert told(found, "slot gone")[0] == (
            "critical: The slot is beyond max_slot_wal_keep_size: the next checkpoint may remove"
            " the WAL that it needs, and a ship that attaches now is still saved."
        )

        server.sql("CHECKPOINT")
        found = wait_until(lambda: facts_if_slot_is(server, "lost"), "the slot is lost")
        assert named(found["slots"], "gone")["lost"]
        reason = " (wal_removed)" if major >= 17 else ""
        assert told(found, "slot gone") == [
            f"critical: The slot is lost{reason}: it protects nothing any more."
        ]

        server.reload(synchronous_standby_names="FIRST 2 (oslo, bergen)")
        found = wait_until(lambda: facts_if_told(server, "server"), "the setting is in force")
        assert told(found, "server") == [
            (
                "critical: 0 of 2 synchronous standbys are connected, and commits wait for the rest"
                " (synchronous_standby_names: FIRST 2 (oslo, bergen))."
            )
        ]
    finally:
        server.discard()
        lab.servers.remove(server)


def facts_if_slot_is(server: Server, status: str) -> dict[str, Any] | None:
    found = facts(server)
    return found if named(found["slots"], "gone")["wal_status"] == status else None


def facts_if_told(server: Server, of: str) -> dict[str, Any] | None:
    found = facts(server)
    return found if told(found, of) else None


@contextmanager
def writing(server: Server) -> Iterator[None]:
    """Write WAL meanwhile."""
    end = threading.Event()

    def write() -> None:
        connection = server.connect()
        try:
            with connection.cursor() as cursor:
                while not end.wait(0.05):
                    cursor.execute(
                        "SELECT pg_logical_emit_message(false, 'lag', repeat('x', 9999))"
                    )
        finally:
            connection.close()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        yield
    finally:
        end.set()
        writer.join()


def test_a_thousand_slots(lab: Lab) -> None:
    server = lab.server(majors()[-1], max_replication_slots=1100)
    try:
        server.sql(
            "SELECT pg_create_physical_replication_slot('ship_' || number, true)"
            " FROM generate_series(1, 1000) AS number"
        )
        write_wal(server)
        found = facts(server, lag_bytes_warning="1MB")
        assert len({slot["name"] for slot in found["slots"]}) == 1000
        assert all(slot["lag_bytes"] >= MB for slot in found["slots"])
        assert len(found["problems"]) == 1001
        assert told(found, "server") == ["warning: 1000 of 1100 replication slots are in use."]
    finally:
        server.discard()
        lab.servers.remove(server)
