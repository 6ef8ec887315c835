# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module replication_slot on servers of every version."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import threading
from collections.abc import Iterator
from typing import Any

import psycopg2
import psycopg2.errors
import pytest
from psycopg2.extras import (
    REPLICATION_LOGICAL,
    REPLICATION_PHYSICAL,
    LogicalReplicationConnection,
    PhysicalReplicationConnection,
)

from tests.integration.conftest import Database
from tests.lab import Lab, Server
from tests.lab.modules import Outcome, four_calls, run_module
from tests.lab.waiting import wait_until

MODULE = "replication_slot"
FLAGS = {"two_phase": 14, "failover": 17}
NO_CHANGE = {"before": {}, "after": {}}


@pytest.fixture
def login(database: Database) -> dict[str, object]:
    return {**database.login, "ca_cert": database.server.ca_cert}


def slots(server: Server, columns: str = "slot_name") -> list[Any]:
    return [
        row if len(row) > 1 else row[0]
        for row in server.sql(f"SELECT {columns} FROM pg_replication_slots ORDER BY slot_name")
    ]


def position(server: Server) -> str:
    return str(server.sql("SELECT pg_current_wal_flush_lsn()::text")[0][0])


def statements(server: Server, seen: int) -> list[str]:
    """What the server was told since its log was so long."""
    return [
        line.partition("LOG:  statement: ")[2]
        for line in server.log_text()[seen:].splitlines()
        if "LOG:  statement: " in line or "LOG:  received replication command: ALTER" in line
    ]


def refused(**params: Any) -> str:
    """The sentence that check mode and the real run fail with, the very same.

    But for where the server is: it writes WAL by itself.
    """
    told = []
    for check_mode in (True, False):
        outcome = run_module(MODULE, check_mode=check_mode, **params)
        assert outcome.failed, outcome.result
        assert "Traceback" not in outcome.raw
        told.append(outcome.msg)
    check, real = (re.sub(r"which is at [0-9A-F]+/[0-9A-F]+", "which is at", text) for text in told)
    assert check == real
    return told[0]


def done(**params: Any) -> Outcome:
    outcome = run_module(MODULE, **params)
    assert not outcome.failed, outcome.msg
    return outcome


def warnings(outcome: Outcome) -> list[str]:
    return [warning["event"]["msg"] for warning in outcome.result["warnings"]]


class Consumer:
    """Uses a slot, as a standby or a subscription would; with persistence, comes back at once."""

    def __init__(self, database: Database, slot: str, logical: bool = False) -> None:
        self.database = database
        self.slot = slot
        self.logical = logical
        self.begins = 0
        self._connection: Any = None

    def __enter__(self) -> Consumer:
        self.begin()
        return self

    def __exit__(self, *_error: object) -> None:
        self._connection.close()

    @property
    def pid(self) -> int:
        return int(self._connection.info.backend_pid)

    def begin(self) -> Any:
        self._connection = psycopg2.connect(
            self.database.dsn(),
            connection_factory=LogicalReplicationConnection
            if self.logical
            else PhysicalReplicationConnection,
        )
        cursor = self._connection.cursor()
        if self.logical:
            cursor.start_replication(slot_name=self.slot, slot_type=REPLICATION_LOGICAL)
        else:
            cursor.start_replication(
                slot_name=self.slot,
                slot_type=REPLICATION_PHYSICAL,
                start_lsn=position(self.database.server),
            )
        self.begins += 1
        return cursor

    def begin_again(self, ended: threading.Event) -> None:
        """Come back whenever the connection ends, until the slot is gone."""
        while not ended.is_set() and self.begin_once(ended):
            self._connection.close()
        self._connection.close()

    def begin_once(self, ended: threading.Event) -> bool:
        try:
            cursor = self.begin()
            while not ended.wait(0.001):
                cursor.read_message()
        except psycopg2.errors.UndefinedObject:
            return False
        except psycopg2.Error:
            return True
        return False


@contextlib.contextmanager
def persistent(consumer: Consumer) -> Iterator[Consumer]:
    ended = threading.Event()
    thread = threading.Thread(target=consumer.begin_again, args=(ended,))
    thread.start()
    try:
        wait_until(lambda: consumer.begins, "the consumer uses its slot")
        yield consumer
    finally:
        ended.set()
        thread.join(10)


# --- present and absent --------------------------------------------------------------------------


def test_physical(database: Database, login: dict[str, object]) -> None:
    check, real, _check_again, again = four_calls(MODULE, name=["b", "a"], **login)
    assert check.changed
    assert check.diff == {
        "before": {},
        "after": {"a": {"slot_type": "physical"}, "b": {"slot_type": "physical"}},
    }
    assert check.queries == real.queries
    assert check.result["slots"] == [
        {"name": name, "state": "present", "slot_type": "physical"} for name in ("b", "a")
    ]
    assert real.result["slots"] == again.result["slots"]
    assert [slot["name"] for slot in real.result["slots"]] == ["b", "a"]
    assert (
        real.result["slots"][0].items()
        >= {
            "state": "present",
            "slot_type": "physical",
            "active": False,
            "active_pid": None,
            "synced": False,
            "wal_status": "reserved",
            "lost": False,
        }.items()
    )
    assert real.result["slots"][0]["restart_lsn"]
    assert real.result["lost"] == []
    assert again.diff == NO_CHANGE
    assert slots(database.server, "slot_name, slot_type, temporary") == [
        ("a", "physical", False),
        ("b", "physical", False),
    ]


def test_a_slot_that_reserves_nothing(database: Database, login: dict[str, object]) -> None:
    four_calls(MODULE, name="a", immediately_reserve=False, **login)
    assert slots(database.server, "slot_name, restart_lsn") == [("a", None)]
    told = done(name="a", **login)
    assert not told.changed
    assert warnings(told) == [
        (
            "Slot a retains no WAL until its standby connects: it was created without"
            " immediately_reserve."
        )
    ]


@pytest.mark.parametrize("plugin", [None, "test_decoding"])
def test_logical(database: Database, login: dict[str, object], plugin: str | None) -> None:
    check, real, *_rest = four_calls(MODULE, name="a", slot_type="logical", plugin=plugin, **login)
    expected = {
        "slot_type": "logical",
        "plugin": plugin or "pgoutput",
        "database": database.name,
        **{flag: False for flag, since in FLAGS.items() if database.server.major >= since},
    }
    assert check.diff["after"] == {"a": expected}
    assert real.result["slots"][0].items() >= expected.items()
    assert real.result["slots"][0]["confirmed_flush_lsn"]
    assert slots(database.server, "slot_name, plugin, database, temporary") == [
        ("a", plugin or "pgoutput", database.name, False)
    ]


@pytest.mark.parametrize("flag", FLAGS)
def test_logical_with_a_flag(database: Database, login: dict[str, object], flag: str) -> None:
    asked = {"name": "a", "slot_type": "logical", flag: True, **login}
    major = database.server.major
    if major < FLAGS[flag]:
        version = database.server.sql("SHOW server_version")[0][0]
        assert refused(**asked) == (
            f"{flag} needs PostgreSQL {FLAGS[flag]} or newer, this server is {version}."
        )
        assert slots(database.server) == []
        return
    four_calls(MODULE, **asked)
    assert slots(database.server, flag) == [True]
    assert done(name="a", slot_type="logical", **login).queries == []  # left as it is


def test_absent(database: Database, login: dict[str, object]) -> None:
    done(name=["a", "b"], **login)
    check, real, *_rest, again = four_calls(MODULE, name=["a", "c", "b"], state="absent", **login)
    assert check.changed
    assert check.queries == real.queries
    assert len(real.queries) == 1
    assert real.diff == {
        "before": {"a": {"slot_type": "physical"}, "b": {"slot_type": "physical"}},
        "after": {},
    }
    assert real.result["slots"] == [{"name": name, "state": "absent"} for name in "acb"]
    assert again.diff == NO_CHANGE
    assert slots(database.server) == []


def test_check_mode_leaves_everything(database: Database, login: dict[str, object]) -> None:
    done(name="b", **login)
    for params in ({"name": "a"}, {"name": "b", "state": "absent"}):
        assert run_module(MODULE, check_mode=True, **params, **login).changed
    assert slots(database.server) == ["b"]


def test_a_fleet_in_three_statements(database: Database, login: dict[str, object]) -> None:
    server = database.server
    fleet = [f"ship_{number}" for number in range(40)]
    seen = len(server.log_text())
    done(name=fleet, **login)
    assert len(slots(server)) == 40
    told = statements(server, seen)
    assert len(told) == 3 + 1  # the last is this test's own
    assert "pg_create_physical_replication_slot" in told[1]

    seen = len(server.log_text())
    assert not done(name=fleet, **login).changed
    assert len(statements(server, seen)) == 1

    seen = len(server.log_text())
    done(name=fleet, state="absent", **login)
    assert len(statements(server, seen)) == 3
    assert slots(server) == []


# --- what is there is something else -------------------------------------------------------------


def test_drift_of_what_cannot_change(database: Database, login: dict[str, object]) -> None:
    server = database.server
    done(name="p", **login)
    done(name="l", slot_type="logical", **login)
    done(name="t", slot_type="logical", plugin="test_decoding", **login)
    before = slots(server, "slot_name, slot_type, plugin, database, restart_lsn")
    tail = "which cannot be changed: drop it first, or take another name."
    assert refused(name="p", slot_type="logical", **login) == (
        f"Slot p exists with the type physical, not logical, {tail}"
    )
    assert (
        refused(name="l", **login) == f"Slot l exists with the type logical, not physical, {tail}"
    )
    assert refused(name="t", slot_type="logical", **login) == (
        f"Slot t exists with the plugin test_decoding, not pgoutput, {tail}"
    )
    elsewhere = {**login, "login_db": "postgres"}
    assert refused(name=["new", "l"], slot_type="logical", **elsewhere) == (
        f"Slot l exists with the database {database.name}, not postgres, {tail}"
    )
    assert refused(name="l", state="absent", **elsewhere) == (
        f"Slot l belongs to the database {database.name}, not to postgres: set login_db to it."
    )
    assert refused(name="p", state="absent", slot_type="logical", **login) == (
        "Slot p is physical, not logical."
    )
    assert slots(server, "slot_name, slot_type, plugin, database, restart_lsn") == before


@pytest.mark.parametrize("flag", FLAGS)
def test_drift_of_a_flag(database: Database, login: dict[str, object], flag: str) -> None:
    server = database.server
    if server.major < FLAGS[flag]:
        done(name="a", slot_type="logical", **login)
        assert flag in refused(name="a", slot_type="logical", **{flag: True}, **login)
        return
    done(name="a", slot_type="logical", **{flag: True}, **login)
    if server.major < {"two_phase": 18, "failover": 17}[flag]:
        version = server.sql("SHOW server_version")[0][0]
        assert refused(name="a", slot_type="logical", **{flag: False}, **login) == (
            f"Slot a cannot be given {flag}=false: {flag} can be changed from PostgreSQL 18 on,"
            f" this server is {version}; or drop it and create it anew."
        )
        assert slots(server, flag) == [True]
        return
    for value in (False, True):
        check, *_rest = four_calls(MODULE, name="a", slot_type="logical", **{flag: value}, **login)
        assert check.changed
        assert check.diff["before"]["a"][flag] is not value
        assert check.diff["after"]["a"][flag] is value
        assert check.result["slots"][0][flag] is value
        assert check.result["slots"][0]["restart_lsn"]
        assert slots(server, flag) == [value]


def test_a_temporary_slot(database: Database, login: dict[str, object]) -> None:
    session = database.server.connect(database.name)
    try:
        with session.cursor() as cursor:
            cursor.execute("SELECT pg_create_physical_replication_slot('a', true, true)")
        told = "Slot a is there, but temporary: it goes with the session that made it."
        assert refused(name="a", **login) == told
        assert "is in use by the process" in refused(name="a", state="absent", **login)
        done(name="copy", copy_from="a", **login)
        assert done(name="a", state="absent", force=True, **login).changed
    finally:
        session.close()
    assert slots(database.server, "slot_name, temporary") == [("copy", False)]


# --- copy and advance ----------------------------------------------------------------------------


def test_copy_physical(database: Database, login: dict[str, object]) -> None:
    server = database.server
    done(name="source", **login)
    database.sql("CREATE TABLE t AS SELECT generate_series(1, 1000)")
    four_calls(MODULE, name=["a", "b"], copy_from="source", **login)
    assert len(set(slots(server, "restart_lsn"))) == 1
    assert slots(server, "slot_name, slot_type, temporary") == [
        (name, "physical", False) for name in ("a", "b", "source")
    ]
    done(name="source", state="absent", **login)
    assert not done(name=["a", "b"], copy_from="source", **login).changed
    assert refused(name="c", copy_from="source", **login) == (
        "copy_from: slot source does not exist."
    )


def test_copy_logical(database: Database, login: dict[str, object]) -> None:
    server = database.server
    done(name="source", slot_type="logical", plugin="test_decoding", **login)
    asked = {"slot_type": "logical", "copy_from": "source", **login}
    four_calls(MODULE, name="a", **asked)
    four_calls(MODULE, name="b", plugin="pgoutput", **asked)
    assert slots(server, "slot_name, plugin, temporary") == [
        ("a", "test_decoding", False),
        ("b", "pgoutput", False),
        ("source", "test_decoding", False),
    ]
    assert len(set(slots(server, "confirmed_flush_lsn"))) == 1
    assert refused(name="c", copy_from="source", **login) == (
        "copy_from: slot source is logical, not physical."
    )
    done(name="source", state="absent", **login)
    assert not done(name="a", **asked).changed


def test_copy_with_a_flag(database: Database, login: dict[str, object]) -> None:
    done(name="source", slot_type="logical", **login)
    asked = {"name": "a", "slot_type": "logical", "copy_from": "source", "failover": True, **login}
    if database.server.major < 17:
        assert "failover needs PostgreSQL 17 or newer" in refused(**asked)
        assert slots(database.server) == ["source"]
        return
    four_calls(MODULE, **asked)
    assert slots(database.server, "slot_name, failover") == [("a", True), ("source", False)]


@pytest.mark.parametrize("slot_type", ["physical", "logical"])
def test_advance(database: Database, login: dict[str, object], slot_type: str) -> None:
    server = database.server
    column = {"physical": "restart_lsn", "logical": "confirmed_flush_lsn"}[slot_type]
    asked = {"slot_type": slot_type, **login}
    done(name="behind", **asked)
    database.sql("CREATE TABLE t AS SELECT generate_series(1, 1000)")
    target = position(server)
    database.sql("INSERT INTO t VALUES (1)")
    begin = slots(server, column)[0]
    check, real, *_rest = four_calls(MODULE, name="behind", advance_to=target, **asked)
    assert check.changed
    assert check.diff == {
        "before": {"behind": {column: begin}},
        "after": {"behind": {column: target}},
    }
    assert check.result["slots"][0][column] == target
    assert check.result["slots"][0]["wal_status"] == "reserved"
    assert real.result["slots"][0][column] == target
    assert slots(server, column) == [target]
    # Further already: left as it is.
    assert not done(name="behind", advance_to=begin, **asked).changed
    assert refused(name="behind", advance_to="FFFF/0", **asked).startswith(
        "advance_to: FFFF/0 is ahead of the server, which is at "
    )
    assert slots(server, column) == [target]


def test_advance_what_retains_nothing(database: Database, login: dict[str, object]) -> None:
    done(name="a", immediately_reserve=False, **login)
    assert refused(name="a", advance_to="0/1", **login) == (
        "Slot a retains no WAL yet and cannot be advanced."
    )
    assert slots(database.server, "restart_lsn, slot_name") == [(None, "a")]


# --- in use --------------------------------------------------------------------------------------


@pytest.mark.parametrize("logical", [False, True], ids=["physical", "logical"])
def test_a_slot_in_use(database: Database, login: dict[str, object], logical: bool) -> None:
    asked: dict[str, Any] = {"name": "a", **login}
    if logical:
        asked.update(slot_type="logical", plugin="test_decoding")
    done(**asked)
    with Consumer(database, "a", logical) as consumer:
        state = done(**asked).result["slots"][0]
        assert (state["active"], state["active_pid"]) == (True, consumer.pid)
        assert refused(**asked, state="absent") == (
            f"Slot a is in use by the process {consumer.pid}: stop its consumer, or set force to"
            " end the process."
        )
        database.sql("CREATE TABLE t ()")
        target = position(database.server)
        assert refused(**asked, advance_to=target) == (
            f"Slot a is in use by the process {consumer.pid} and cannot be advanced."
        )
        if logical and database.server.major >= 17:
            assert "is in use by the process" in refused(**asked, failover=True)
        four_calls(MODULE, **asked, state="absent", force=True)
    assert slots(database.server) == []


def test_a_consumer_that_takes_its_time_to_end(
    database: Database, login: dict[str, object]
) -> None:
    done(name=["a", "idle"], **login)
    with Consumer(database, "a") as consumer:
        os.kill(consumer.pid, signal.SIGSTOP)
        seen = len(database.server.log_text())
        refusal = f"is active for PID {consumer.pid}"

        def awaken_when_refused() -> None:
            wait_until(lambda: refusal in database.server.log_text()[seen:], "it is refused")
            os.kill(consumer.pid, signal.SIGCONT)

        awakening = threading.Thread(target=awaken_when_refused)
        awakening.start()
        assert done(name=["a", "idle"], state="absent", force=True, **login).changed
        awakening.join()
        assert sum("pg_drop" in told for told in statements(database.server, seen)) > 1
    assert slots(database.server) == []


def test_a_consumer_that_comes_back(database: Database, login: dict[str, object]) -> None:
    done(name=["a", "idle"], **login)
    with persistent(Consumer(database, "a")) as consumer:
        real = done(name=["a", "idle"], state="absent", force=True, **login)
        assert real.changed
        assert slots(database.server) == []
        assert consumer.begins >= 1


def test_what_was_done_before_a_failure_is_told(
    database: Database, login: dict[str, object]
) -> None:
    in_the_way = database.server.data / "pg_replslot" / "b" / "file"
    in_the_way.parent.mkdir()
    in_the_way.touch()
    try:
        told = run_module(MODULE, name=["a", "b", "c"], **login)
    finally:
        in_the_way.unlink()
        in_the_way.parent.rmdir()
    assert told.failed
    assert told.changed
    assert told.msg.startswith("The server refused to create what is missing: could not rename")
    assert told.msg.endswith(" Done before that: a.")
    assert slots(database.server) == ["a"]
    assert done(name=["a", "b", "c"], **login).changed


# --- of no use any more --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small(lab: Lab, major: int) -> Iterator[Server]:
    """A server that keeps little WAL, and few slots."""
    server = lab.server(
        major,
        log_statement="all",
        max_slot_wal_keep_size="1MB",
        max_wal_size="32MB",
        min_wal_size="32MB",
        max_replication_slots=3,
    )
    yield server
    server.discard()


def login_to(server: Server, dbname: str = "postgres", **more: object) -> dict[str, object]:
    return {**Database(server, dbname).login, "ca_cert": server.ca_cert, **more}


def lose(server: Server) -> None:
    """Write WAL until no slot has what it needs."""

    def lost() -> bool:
        server.sql("SELECT pg_logical_emit_message(false, 'lab', 'x')")
        server.sql("SELECT pg_switch_wal()")
        server.sql("CHECKPOINT")
        return set(slots(server, "wal_status")) == {"lost"}

    wait_until(lost, "the slots are lost")


def test_lost(small: Server) -> None:
    login = login_to(small)
    flags = {flag: True for flag, since in FLAGS.items() if small.major >= since}
    done(name="p", **login)
    done(name="l", slot_type="logical", **flags, **login)
    lose(small)
    before = slots(small, "slot_name, restart_lsn")

    why = "wal_removed" if small.major >= 17 else "wal_status is lost"
    assert refused(name="p", **login) == (
        f"Slot p is of no use any more ({why}): its consumer has to be seeded anew. on_lost:"
        " recreate makes the slot anew, report leaves it."
    )
    *_rest, reported = four_calls(MODULE, name="p", on_lost="report", **login)
    assert reported.result["lost"] == ["p"]
    assert reported.result["slots"][0]["lost"] is True
    assert warnings(reported) == [f"Slot p is of no use any more ({why})."]
    assert slots(small, "slot_name, restart_lsn") == before

    check, real, *_rest = four_calls(MODULE, name="p", on_lost="recreate", **login)
    assert check.changed
    assert check.result["lost"] == real.result["lost"] == []
    assert real.diff["before"] == {"p": {"slot_type": "physical", "lost": True}}
    # Made anew as it was: its flags were not asked for.
    _check, real, *_rest = four_calls(
        MODULE, name="l", slot_type="logical", on_lost="recreate", **login
    )
    assert real.result["slots"][0].items() >= flags.items()
    assert real.result["slots"][0]["wal_status"] == "reserved"

    lose(small)
    four_calls(MODULE, name=["p", "l"], state="absent", **login)
    assert slots(small) == []


def test_all_slots_taken(small: Server) -> None:
    login = login_to(small)
    done(name=["a", "b"], **login)
    assert refused(name=["a", "c", "d"], **login) == (
        "2 of 3 replication slots are in use, and 2 more are needed: raise max_replication_slots"
        " (a restart), or drop slots that nothing uses."
    )
    assert slots(small) == ["a", "b"]
    four_calls(MODULE, name=["a", "c"], **login)
    four_calls(MODULE, name=["a", "b", "c"], state="absent", **login)


def test_wal_level(small: Server) -> None:
    login = login_to(small)
    small.restart(wal_level="minimal", max_wal_senders=0)
    try:
        assert refused(name="a", **login) == (
            "wal_level is minimal: set it to replica or logical, and restart the server."
        )
        assert refused(name="a", slot_type="logical", **login) == (
            "wal_level is minimal: a logical slot needs logical, and a restart of the server."
        )
        assert slots(small) == []
    finally:
        small.restart(wal_level="logical", max_wal_senders=5)


# --- on a standby --------------------------------------------------------------------------------


@pytest.fixture
def standby(lab: Lab, major: int) -> Iterator[Server]:
    """A standby of a server of its own, that synchronises slots where it can."""
    primary = lab.server(major)
    standby = primary.create_standby(slot="standby")
    own = {"hot_standby_feedback": "on"}
    if major >= 17:
        own["sync_replication_slots"] = "on"
    conninfo = f"{standby.settings['primary_conninfo']} dbname=postgres"
    standby.restart(primary_conninfo=conninfo, **own)
    yield standby
    primary.discard()


def primary_of(standby: Server, lab: Lab) -> Server:
    return next(server for server in lab.servers if standby in server.standbys)


def test_on_a_standby(standby: Server, lab: Lab) -> None:
    primary, login = primary_of(standby, lab), login_to(standby)
    four_calls(MODULE, name="cascade", **login)
    four_calls(MODULE, name="cascade", state="absent", **login)
    if standby.major < 16:
        version = standby.sql("SHOW server_version")[0][0]
        assert refused(name="own", slot_type="logical", **login) == (
            f"A logical slot on a standby needs PostgreSQL 16 or newer, this server is {version}."
        )
        return
    with snapshots(primary):
        check, *_rest = four_calls(MODULE, name="own", slot_type="logical", **login)
    assert check.changed
    if standby.major < 17:
        return
    assert refused(name="own2", slot_type="logical", failover=True, **login) == (
        "failover: not possible for a slot created on a standby."
    )
    assert refused(name="own", slot_type="logical", failover=True, **login) == (
        "Slot own cannot be given failover=true on a standby."
    )

    done(name="moves", slot_type="logical", failover=True, **login_to(primary))
    wait_until(
        lambda: slots(standby, "synced, NOT temporary, slot_name").count((True, True, "moves")),
        "the slot is synchronised",
    )
    moves = {"name": "moves", "slot_type": "logical", **login}
    state = done(**moves).result["slots"][0]
    assert (state["synced"], state["failover"]) == (True, True)
    assert refused(**moves, failover=False) == (
        "Slot moves is synchronised from the primary: change it there."
    )
    assert refused(**moves, state="absent", force=True) == (
        "Slot moves is synchronised from the primary and cannot be dropped here: drop it there."
    )
    four_calls(MODULE, name="own", slot_type="logical", state="absent", **login)


@contextlib.contextmanager
def snapshots(primary: Server) -> Iterator[None]:
    """A standby's logical slot waits for its primary to tell of running transactions."""
    ended = threading.Event()

    def tell() -> None:
        while not ended.wait(0.05):
            primary.sql("SELECT pg_log_standby_snapshot()")

    thread = threading.Thread(target=tell)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(10)


# --- roles ---------------------------------------------------------------------------------------


@pytest.fixture
def roles(database: Database) -> Iterator[None]:
    database.sql("CREATE ROLE lab_replicator LOGIN REPLICATION PASSWORD 'sesame'")
    database.sql("CREATE ROLE lab_nobody LOGIN PASSWORD 'sesame'")
    yield
    database.sql("DROP ROLE lab_replicator, lab_nobody")


@pytest.mark.usefixtures("roles")
def test_a_role_with_replication_alone(database: Database, login: dict[str, object]) -> None:
    login = {**login, "login_user": "lab_replicator", "login_password": "sesame"}
    four_calls(MODULE, name="p", **login)
    four_calls(MODULE, name="l", slot_type="logical", plugin="test_decoding", **login)
    if database.server.major >= 17:
        asked = {"name": "l", "slot_type": "logical", "plugin": "test_decoding", **login}
        four_calls(MODULE, failover=True, **asked)
    database.sql("CREATE TABLE t ()")
    four_calls(MODULE, name="p", advance_to=position(database.server), **login)
    # A superuser's process is not this role's to end.
    with Consumer(database, "p") as consumer:
        assert refused(name=["l", "p"], state="absent", force=True, **login) == (
            f"Slot p is in use by the process {consumer.pid}, which the connecting role may not"
            " end: connect as that process's role, or as a superuser."
        )
        assert slots(database.server, "active_pid, slot_name")[-1] == (consumer.pid, "p")
    wait_until(lambda: slots(database.server, "active") == [False, False], "the slot is free")
    four_calls(MODULE, name=["p", "l"], state="absent", **login)


@pytest.mark.usefixtures("roles")
def test_a_role_without_rights(database: Database, login: dict[str, object]) -> None:
    done(name="there", **login)
    login = {**login, "login_user": "lab_nobody", "login_password": "sesame"}
    sentence = (
        "The connecting role may not manage replication slots: it has to be a superuser or have"
        " the attribute REPLICATION (ALTER ROLE ... REPLICATION)."
    )
    assert refused(name="a", **login) == sentence
    assert refused(name="there", state="absent", **login) == sentence
    assert not done(name="there", **login).changed  # to look is not to manage
    assert not done(name="a", state="absent", **login).changed
    assert slots(database.server) == ["there"]


# --- plugins, names ------------------------------------------------------------------------------


def test_a_missing_plugin(database: Database, login: dict[str, object]) -> None:
    told = refused(name="a", slot_type="logical", plugin="no_such_plugin", **login)
    assert told.startswith("plugin: the server has no output plugin 'no_such_plugin': ")
    assert slots(database.server) == []


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"name": "Ship"}, "name: 'Ship' is not a replication slot name: "),
        ({"name": ["ok", "a-b"]}, "name: 'a-b' is not a replication slot name: "),
        ({"name": "x" * 64}, f"name: {'x' * 64!r} is not a replication slot name: "),
        ({"name": []}, "name: the list is empty"),
        ({"name": "a", "copy_from": "B"}, "copy_from: 'B' is not a replication slot name: "),
        ({"name": "a", "copy_from": "a"}, "copy_from: a cannot be copied from itself."),
        ({"name": "a", "advance_to": "now"}, "advance_to: 'now' is not an LSN"),
        ({"name": "a", "plugin": "pgoutput"}, "plugin: only a logical slot has it"),
        ({"name": "a", "slot_type": "logical"}, "slot_type is logical but all of the following"),
        ({"name": "a", "connect_params": {"hots": 1}}, "connect_params: 'hots' is not"),
    ],
)
def test_what_is_refused_before_any_connection(options: dict[str, Any], told: str) -> None:
    assert refused(**options, login_host="127.0.0.1", login_port=1).startswith(told)
