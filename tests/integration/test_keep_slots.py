# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The slot keeper on real servers: two nodes of a shore, and ships that follow a failover."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from psycopg2.extensions import make_dsn

from tests.gates.paths import CHECKOUT
from tests.lab import Lab, Server, user
from tests.lab.waiting import wait_until

# Those that Debian's packages of pg_auto_failover are for.
pytestmark = pytest.mark.majors(15, 17)

FILES = CHECKOUT / "roles" / "pg_auto_failover" / "files"
PASSWORD = "keeper's own"
FIRST_WITH_FAILOVER_SLOTS = 17


class Node:
    """A data node, and its keeper."""

    def __init__(self, name: str, server: Server) -> None:
        self.name = name
        self.server = server
        self.folder = server.home / "keeper"
        self.settings: dict[str, Any] = {}
        for part in (self.folder, self.folder / "state", self.folder / "conf.d"):
            part.mkdir()
        for program in ("keep_slots.py", "slot_plan.py"):
            shutil.copy(FILES / program, self.folder)
        with (server.data / "postgresql.conf").open("a") as file:
            file.write(f"include_dir '{self.folder}/conf.d'\n")

    @property
    def standby_name(self) -> str:
        """Its application_name, and its slot on the other node, as pg_auto_failover does it."""
        return f"standby_{self.name}"

    def configure(self, *others: Node, **more: Any) -> None:
        passfile = self.folder / "pgpass"
        passfile.touch(mode=0o600)
        passfile.write_text(f"*:*:*:*:{PASSWORD}\n")
        self.settings = {
            "node": self.name,
            "socket_directory": self.server.socket_dir,
            "port": self.server.port,
            "user": self.server.superuser,
            "nodes": [
                {"name": other.name, "host": other.server.host, "port": other.server.port}
                for other in others
            ],
            "connection": {
                "user": "fleet_keeper",
                "passfile": str(passfile),
                "sslmode": "verify-full",
                "sslrootcert": self.server.ca_cert,
            },
            "state_directory": str(self.folder / "state"),
            "settings_directory": str(self.folder / "conf.d"),
            "ships": [{"name": "algeciras", "slot": "ship_algeciras", "mode": "physical"}],
            "interval": 10,
            **more,
        }

    def command(self, *options: str) -> list[str]:
        """The keeper, as whom the server runs as."""
        path = self.folder / "keep_slots.json"
        path.write_text(json.dumps(self.settings))
        user.own(self.folder)
        program = str(self.folder / "keep_slots.py")
        command = ["env", f"HOME={self.folder}", python(), "-B", program, "--config", str(path)]
        return user.as_user([*command, *options])

    def keep(self, *options: str) -> str:
        """One run of the keeper; what it tells."""
        done = subprocess.run(
            self.command(*options), capture_output=True, text=True, check=False, cwd="/"
        )
        assert (done.returncode, done.stderr) == (0, ""), done.stdout
        return done.stdout

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / "state" / "status.json").read_text())
        return found

    def problems(self) -> list[tuple[str, str]]:
        return [(found["severity"], found["object"]) for found in self.status()["problems"]]

    def slots(self, kind: str = "physical") -> dict[str, str]:
        return dict(
            self.server.sql(
                "SELECT slot_name, restart_lsn::text FROM pg_replication_slots"
                " WHERE slot_type = %s AND slot_name LIKE %s",
                params=(kind, "ship%"),
            )
        )

    def follow(self, other: Node) -> None:
        """Become a standby of the other: as pg_auto_failover does it where no rewind is required."""
        (self.server.data / "standby.signal").touch()
        self.server.configure(
            primary_conninfo=conninfo(other.server, self.standby_name),
            primary_slot_name=self.standby_name,
            synchronous_standby_names="",
        )
        other.server.sql(
            "SELECT pg_create_physical_replication_slot(%(name)s, true) WHERE NOT EXISTS"
            " (SELECT FROM pg_replication_slots WHERE slot_name = %(name)s)",
            params={"name": self.standby_name},
        )
        self.server.start()
        streams(other.server, self.standby_name)


def python() -> str:
    """A Python that the servers' user can run; a checkout may lie where that has no access."""
    return sys.executable if user.can_execute(Path(sys.executable)) else "/usr/bin/python3"


def conninfo(server: Server, name: str, **more: Any) -> str:
    return str(
        make_dsn(
            host=server.host,
            port=server.port,
            user=server.superuser,
            password=server.password,
            application_name=name,
            sslmode="verify-full",
            sslrootcert=server.ca_cert,
            **more,
        )
    )


def streams(server: Server, name: str) -> None:
    wait_until(
        lambda: server.sql(
            "SELECT true FROM pg_stat_replication"
            " WHERE application_name = %s AND state = 'streaming'",
            params=(name,),
        ),
        f"{name} streams",
    )


def promote(node: Node) -> None:
    assert node.server.sql("SELECT pg_promote(true)") == [(True,)]


def write(server: Server, count: int = 100) -> int:
    """Some rows, and WAL that a slot has to pass; how many rows there are."""
    server.sql("CREATE TABLE IF NOT EXISTS rows (id serial PRIMARY KEY, text text)")
    server.sql(
        "INSERT INTO rows (text) SELECT repeat('x', 900) FROM generate_series(1, %s)",
        params=(count,),
    )
    return rows(server)


def rows(server: Server) -> int:
    return int(server.sql("SELECT count(*) FROM rows")[0][0])


@pytest.fixture
def shore(lab: Lab, major: int) -> Iterator[tuple[Node, Node]]:
    """A primary and a standby, each with its keeper."""
    server = lab.server(major)
    server.sql(f"CREATE ROLE fleet_keeper LOGIN PASSWORD '{PASSWORD}'".replace("'s", "''s"))
    standby = server.create_standby("standby_b", "standby_b")
    first, second = Node("a", server), Node("b", standby)
    first.configure(second)
    second.configure(first)
    yield first, second
    server.discard()


@pytest.fixture
def ship(shore: tuple[Node, Node]) -> Server:
    """A physical ship at the primary, its slots on both nodes."""
    for node in shore:
        assert node.keep() == f"Made the slot ship_algeciras, which {node.name} lacked.\n"
    return shore[0].server.create_standby("ship_algeciras", "ship_algeciras")


def point(ship: Server, node: Node) -> None:
    ship.reload(primary_conninfo=conninfo(node.server, "ship_algeciras"))


def test_slots_are_made_and_follow(shore: tuple[Node, Node], ship: Server) -> None:
    first, second = shore
    assert second.keep() == ""
    write(first.server)
    ship.wait_caught_up(first.server)
    second.server.wait_caught_up(first.server)
    here = first.slots()["ship_algeciras"]

    def followed() -> bool:
        second.keep()
        return second.slots()["ship_algeciras"] >= here and second.slots() != {}

    assert second.slots()["ship_algeciras"] < here
    # The ship tells what it has every second.
    wait_until(followed, "the standby's slot has followed")
    assert first.keep() == ""
    status = second.status()
    assert (status["status"], status["role"]) == ("ok", "standby")
    assert status["nodes"]["a"]["role"] == "primary"
    assert status["ships"][0]["streams_from"] == "a"


@pytest.mark.usefixtures("ship")
def test_a_second_run_does_nothing(shore: tuple[Node, Node]) -> None:
    for node in shore:
        node.keep()
        before = node.slots()
        assert node.keep() == ""
        assert node.slots() == before
    assert shore[0].problems() == []


def test_check_only_tells(shore: tuple[Node, Node]) -> None:
    first, _second = shore
    assert first.keep("--check") == ("Would do: Made the slot ship_algeciras, which a lacked.\n")
    assert first.slots() == {}
    assert list((first.folder / "state").iterdir()) == [first.folder / "state" / "lock"]


def test_a_ship_follows_a_failover_and_the_old_primary_comes_back(
    shore: tuple[Node, Node], ship: Server
) -> None:
    first, second = shore
    write(first.server)
    for node in (second, first, second):
        node.keep()
    ship.stop()  # dark
    count = write(first.server, 5000)
    second.server.wait_caught_up(first.server)
    first.server.stop()
    promote(second)
    second.keep()
    assert ("warning", "node a") in second.problems()
    # Nothing is kept by anything but the slot.
    second.server.sql("CHECKPOINT")
    second.server.sql("SELECT pg_switch_wal()")
    count = write(second.server)
    second.server.sql("CHECKPOINT")
    ship.configure(primary_conninfo=conninfo(second.server, "ship_algeciras"))
    ship.start()
    ship.wait_caught_up(second.server)
    assert rows(ship) == count

    stale = first.slots() if first.server.running else None
    assert stale is None
    first.follow(second)
    stale = first.slots()
    first.keep()
    count = write(second.server, 1000)
    ship.wait_caught_up(second.server)
    first.server.wait_caught_up(second.server)

    def caught_up() -> bool:
        first.keep()
        return first.slots()["ship_algeciras"] > stale["ship_algeciras"]

    wait_until(caught_up, "the stale slot has followed")
    # And back again.
    second.server.stop()
    promote(first)
    point(ship, first)
    count = write(first.server)
    ship.wait_caught_up(first.server)
    assert rows(ship) == count


def test_a_node_built_anew_does_not_lose_a_dark_ship(
    shore: tuple[Node, Node], ship: Server
) -> None:
    """Its slot begins where its WAL begins, far ahead of the ship: no other slot may go there."""
    first, second = shore
    for node in (second, first):
        node.keep()
    ship.stop()
    kept = first.slots()
    write(first.server, 5000)
    second.server.discard()
    first.server.standbys.remove(second.server)
    first.server.sql("CHECKPOINT")
    third = Node("c", first.server.create_standby("standby_c", "standby_c"))
    third.configure(first)
    first.configure(third)
    assert "Made the slot" in third.keep()
    assert third.slots()["ship_algeciras"] > kept["ship_algeciras"]
    for _time in range(3):
        first.keep()
        third.keep()
    assert first.slots() == kept
    # The ship is said to have the rest from elsewhere.
    assert third.problems() == [("warning", "slot ship_algeciras")]
    ship.start()
    ship.wait_caught_up(first.server)


def test_a_ship_may_hang_on_the_standby(shore: tuple[Node, Node], ship: Server) -> None:
    first, second = shore
    for node in shore:
        node.settings["ships"][0]["by_standby"] = True
        node.keep()
    # Not before a synchronous standby streams.
    assert first.keep() == ""
    first.server.reload(synchronous_standby_names="ANY 1 (standby_b)")
    both = conninfo(second.server, "ship_algeciras")
    ship.reload(primary_conninfo=both)
    streams(second.server, "ship_algeciras")
    write(first.server)
    point(ship, first)
    streams(first.server, "ship_algeciras")

    def pushed() -> bool:
        second.keep()
        return "so that it streams from b" in first.keep()

    wait_until(pushed, "the ship is pushed")
    # This one has no other address, so it comes back: and is left alone.
    streams(first.server, "ship_algeciras")
    assert first.keep() == ""
    point(ship, second)
    streams(second.server, "ship_algeciras")
    before = first.slots()
    first.keep()
    count = write(first.server, 1000)
    ship.wait_caught_up(first.server)

    def followed() -> bool:
        first.keep()
        return first.slots()["ship_algeciras"] > before["ship_algeciras"]

    wait_until(followed, "the primary's slot has followed the standby's")
    # The node that it hangs on is promoted, and it does not notice.
    first.server.kill()
    promote(second)
    count = write(second.server)
    ship.wait_caught_up(second.server)
    assert rows(ship) == count


@pytest.mark.usefixtures("ship")
def test_ships_that_left(shore: tuple[Node, Node]) -> None:
    for node in shore:
        node.settings.update(ships=[], absent=["ship_algeciras"])
        assert node.keep() == "Dropped the slot ship_algeciras, whose ship has left.\n"
        assert node.keep() == ""
        assert node.slots() == {}


@pytest.mark.usefixtures("ship")
def test_a_node_that_cannot_be_asked(shore: tuple[Node, Node]) -> None:
    first, second = shore
    second.server.stop()
    told = first.keep()
    assert "b cannot be asked how far the ships are" in told
    assert PASSWORD not in told
    assert first.keep() == ""  # told once
    assert first.problems() == [("warning", "node b")]
    assert "The server cannot be asked" in second.keep()
    assert second.status()["role"] == "down"


def test_a_lost_slot_is_made_anew_where_its_ship_is_elsewhere(
    shore: tuple[Node, Node], ship: Server
) -> None:
    first, second = shore
    second.server.reload(max_slot_wal_keep_size="16MB")
    for _time in range(4):
        write(first.server, 20000)
        first.server.sql("SELECT pg_switch_wal()")
        first.server.sql("CHECKPOINT")
    second.server.wait_caught_up(first.server)
    ship.wait_caught_up(first.server)
    wait_until(
        lambda: (
            second.server.sql("CHECKPOINT") == []
            and second.server.sql("SELECT wal_status FROM pg_replication_slots") == [("lost",)]
        ),
        "the standby's slot is lost",
    )

    def anew() -> bool:
        write(first.server, 10)
        ship.wait_caught_up(first.server)
        second.server.wait_caught_up(first.server)
        return "Made the slot ship_algeciras anew" in second.keep() or (
            second.server.sql("SELECT wal_status FROM pg_replication_slots") == [("reserved",)]
        )

    wait_until(anew, "the slot is made anew")
    assert second.slots()["ship_algeciras"] <= first.slots()["ship_algeciras"]


def test_all_slots_in_use(shore: tuple[Node, Node]) -> None:
    first, _second = shore
    first.server.restart(max_replication_slots=1)
    told = first.keep()
    assert "Raise max_replication_slots" in told
    assert ("critical", "slot ship_algeciras") in first.problems()


def test_two_runs_at_once(shore: tuple[Node, Node]) -> None:
    first, _second = shore
    command = first.command()
    runs = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _time in range(3)]
    told = "".join(run.communicate()[0] for run in runs)
    assert [run.returncode for run in runs] == [0, 0, 0]
    assert told.count("Made the slot") == 1


def test_a_configuration_that_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "none.json"
    for content in (None, "{", '{"node": "a"}', "[]"):
        if content is not None:
            path.write_text(content)
        done = subprocess.run(
            [sys.executable, str(FILES / "keep_slots.py"), "--config", str(path)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 3
        assert done.stderr.startswith(f"{path} cannot be used: ")
        assert "Traceback" not in done.stderr


# --- logical ships -------------------------------------------------------------------------------

OSLO = {"name": "oslo", "slot": "ship_oslo", "mode": "logical"}


def subscribe(subscriber: Server, node: Node, failover: bool) -> None:
    subscriber.sql("CREATE TABLE rows (id serial PRIMARY KEY, text text)")
    node.server.sql("CREATE PUBLICATION fleet FOR TABLE rows")
    options = "slot_name = 'ship_oslo', failover = true" if failover else "slot_name = 'ship_oslo'"
    subscriber.sql(
        f"CREATE SUBSCRIPTION ship_oslo CONNECTION '{subscriber_conninfo(node)}'"
        f" PUBLICATION fleet WITH ({options})"
    )


def subscriber_conninfo(node: Node) -> str:
    return conninfo(node.server, "ship_oslo", dbname="postgres")


def received(subscriber: Server, count: int) -> None:
    wait_until(lambda: rows(subscriber) == count, f"the ship has {count} rows")


@pytest.fixture
def subscriber(lab: Lab, major: int) -> Iterator[Server]:
    server = lab.server(major)
    yield server
    server.discard()


def synchronize(node: Node, other: Node) -> None:
    """What pg_auto_failover and the role give a standby for the synchronization of slots."""
    node.server.reload(
        primary_conninfo=conninfo(other.server, node.standby_name, dbname="postgres"),
        sync_replication_slots="on",
        hot_standby_feedback="on",
    )


def synced(node: Node) -> bool:
    return bool(
        node.server.sql(
            "SELECT true FROM pg_replication_slots"
            " WHERE slot_name = 'ship_oslo' AND synced AND NOT temporary"
        )
    )


def test_a_logical_ship_follows_and_no_zombie_stays(
    shore: tuple[Node, Node], subscriber: Server, major: int
) -> None:
    if major < FIRST_WITH_FAILOVER_SLOTS:
        pytest.skip("failover slots are of PostgreSQL 17")
    first, second = shore
    for node in shore:
        node.settings["ships"] = [OSLO]
    write(first.server)
    subscribe(subscriber, first, failover=True)
    second.keep()
    assert ("warning", "slot ship_oslo") in second.problems()
    synchronize(second, first)
    count = write(first.server)
    received(subscriber, count)
    wait_until(lambda: synced(second), "the slot is synchronized", 60)
    second.keep()
    assert second.problems() == []

    # The gate.
    assert first.keep() == ""
    first.server.reload(synchronous_standby_names="ANY 1 (standby_b)")
    assert first.keep() == "Logical ships wait for the slots standby_b from now on.\n"
    wait_until(
        lambda: first.server.sql("SHOW synchronized_standby_slots") == [("standby_b",)], "the gate"
    )
    assert first.keep() == ""
    count = write(first.server)
    received(subscriber, count)

    first.server.kill()
    promote(second)
    second.keep()
    subscriber.sql(f"ALTER SUBSCRIPTION ship_oslo CONNECTION '{subscriber_conninfo(second)}'")
    count = write(second.server)
    received(subscriber, count)

    # The old primary comes back with its slot, which would stop all synchronization for ever.
    first.follow(second)
    synchronize(first, second)
    second.server.reload(synchronous_standby_names="ANY 1 (standby_a)")
    assert "Logical ships wait for the slots standby_a" in second.keep()
    assert not synced(first)
    assert first.keep().startswith("Dropped the slot ship_oslo, left of the time when a was")
    # Nobody writes now.
    wait_until(lambda: second.keep() == "" and synced(first), "the slot is synchronized again", 60)
    count = write(second.server)
    received(subscriber, count)
    assert first.keep() == ""

    # And back.
    second.server.kill()
    promote(first)
    assert "Logical ships wait for no standby from now on" in first.keep()
    subscriber.sql(f"ALTER SUBSCRIPTION ship_oslo CONNECTION '{subscriber_conninfo(first)}'")
    count = write(first.server)
    received(subscriber, count)
    assert subscriber.sql("SELECT count(DISTINCT id) FROM rows") == [(count,)]
    subscriber.sql("DROP SUBSCRIPTION ship_oslo")


def test_what_a_logical_ship_loses_is_told(
    shore: tuple[Node, Node], subscriber: Server, major: int
) -> None:
    """Before 17: there is no way to keep it, and so it is known and told."""
    first, second = shore
    for node in shore:
        node.settings["ships"] = [OSLO]
    write(first.server)
    subscribe(subscriber, first, failover=False)
    received(subscriber, rows(first.server))
    second.keep()
    first.server.kill()
    promote(second)
    told = second.keep()
    assert "b has no slot ship_oslo. oslo had confirmed" in told
    assert "ship_reseed.yml -e ship=oslo" in told
    assert second.status()["status"] == "critical"
    assert second.status()["missing"]["ship_oslo"]["timeline"] == 1

    first.follow(second)
    if major <= 15:
        assert "Dropped the slot ship_oslo, left of the time when a was" in first.keep()
        assert first.slots("logical") == {}
    # Made anew by hand: what lies between is gone, and that is told.
    second.server.sql("SELECT pg_create_logical_replication_slot('ship_oslo', 'pgoutput')")
    assert "The slot ship_oslo is there again" in second.keep()
    subscriber.sql("ALTER SUBSCRIPTION ship_oslo DISABLE")
    subscriber.sql("ALTER SUBSCRIPTION ship_oslo SET (slot_name = NONE)")
    subscriber.sql("DROP SUBSCRIPTION ship_oslo")


# --- the database in primary_conninfo ------------------------------------------------------------


def test_primary_conninfo_gets_its_database(shore: tuple[Node, Node]) -> None:
    first, second = shore
    made = second.folder / "postgresql-auto-failover-standby.conf"
    theirs = conninfo(first.server, second.standby_name)
    made.write_text(f"primary_conninfo = '{theirs}'\nprimary_slot_name = 'standby_b'\n")
    second.settings["standby_file"] = str(made)
    ours = second.folder / "conf.d" / "90-pg_replication-conninfo.conf"
    told = "Gave primary_conninfo the database that slot synchronization needs.\n"
    assert second.keep(
        "--check",
    ).startswith(f"Would do: {told}")
    assert not ours.exists()
    assert second.keep("--conninfo") == told
    assert "dbname=postgres" in ours.read_text()
    assert ours.stat().st_mode & 0o777 == 0o600
    assert second.keep("--conninfo") == ""
    # It is right before the server starts.
    second.server.stop()
    made.write_text(f"primary_conninfo = '{theirs} keepalives=1'\n")
    assert second.keep("--conninfo") == told
    assert "keepalives=1" in ours.read_text()
    # On a primary there is none, and from 2.3 on it has its database.
    for content in ("", f"primary_conninfo = '{theirs} dbname=postgres'\n"):
        made.write_text(content)
        second.keep("--conninfo")
        assert not ours.exists()
