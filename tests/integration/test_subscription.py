# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module subscription between two servers of every version, real rows arriving."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from psycopg2 import sql
from psycopg2.extensions import parse_dsn

from ansible_collections.hmm.pg_replication.plugins.module_utils import _subscription_plan
from tests.integration.conftest import Clusters, Database
from tests.lab import user
from tests.lab.modules import Outcome, four_calls, run_module
from tests.lab.waiting import wait_until

HIDDEN = "********"


@dataclass
class Pair:
    """A shore that publishes documents, and a ship."""

    shore: Database
    ship: Database
    secrets: list[str] = field(default_factory=list)

    @property
    def major(self) -> int:
        return self.ship.server.major

    @property
    def connection(self) -> dict[str, Any]:
        """From ship to shore; the password is one of shore's superuser."""
        server = self.shore.server
        return {
            "host": server.host,
            "port": server.port,
            "user": server.superuser,
            "password": server.password,
            "dbname": self.shore.name,
        }

    @property
    def by_socket(self) -> str:
        """The same without a password, for statements made by hand."""
        server = self.shore.server
        return (
            f"host={server.socket_dir} port={server.port} user={server.superuser}"
            f" dbname={self.shore.name}"
        )

    @property
    def login(self) -> dict[str, Any]:
        return {**self.ship.login, "ssl_mode": "disable"}

    def run(self, check_mode: bool = False, **params: Any) -> Outcome:
        return self._told(
            run_module(
                "subscription", check_mode=check_mode, **{"name": "s", **self.login, **params}
            )
        )

    def four(self, **params: Any) -> tuple[Outcome, Outcome]:
        """Four calls; the first two."""
        calls = four_calls("subscription", **{"name": "s", **self.login, **params})
        for call in calls:
            self._told(call)
        check, real, *_again = calls
        assert check.queries == real.queries
        assert check.result["subscription"] == real.result["subscription"]
        return check, real

    def fails(self, **params: Any) -> str:
        """Fails alike in check mode and in the real run; the message."""
        check, real = (self.run(check_mode=check, **params) for check in (True, False))
        assert check.failed, check.result
        assert real.failed, real.result
        assert check.msg == real.msg
        return real.msg

    def create(self, **params: Any) -> Outcome:
        outcome = self.run(
            **{"connection": self.connection, "publications": ["documents"], **params}
        )
        assert not outcome.failed, outcome.msg
        assert outcome.changed
        return outcome

    def stored(self, columns: str, name: str = "s") -> tuple[Any, ...]:
        (row,) = self.ship.sql(
            f"SELECT {columns} FROM pg_subscription JOIN pg_database AS d ON d.oid = subdbid"
            " WHERE datname = current_database() AND subname = %s",
            (name,),
        )
        return row

    def subscriptions(self) -> list[str]:
        return [
            name
            for (name,) in self.ship.sql(
                "SELECT subname FROM pg_subscription JOIN pg_database AS d ON d.oid = subdbid"
                " WHERE datname = current_database()"
            )
        ]

    def slots(self) -> list[str]:
        found = self.shore.sql(
            "SELECT slot_name FROM pg_replication_slots WHERE database = current_database()"
            " AND NOT temporary ORDER BY 1"
        )
        return [name for (name,) in found]

    def worker(self) -> int | None:
        """The PID of the worker that applies changes; None: there is none."""
        rows = self.ship.sql("SELECT pid FROM pg_stat_subscription WHERE relid IS NULL")
        return rows[0][0] if rows else None

    def arrives(self, table: str, *ids: int) -> None:
        wait_until(
            lambda: self.ship.sql(f"SELECT id FROM {table} ORDER BY 1") == [(id_,) for id_ in ids],
            f"{ids} are in {table}",
        )

    def copied(self, name: str = "s") -> None:
        """Wait until the first copy of every table is done."""
        wait_until(lambda: set(self.table_states(name)) == {"r"}, "the copies are done")

    def table_states(self, name: str = "s") -> list[str]:
        found = self.ship.sql(
            "SELECT srsubstate FROM pg_subscription_rel JOIN pg_subscription AS s"
            " ON s.oid = srsubid WHERE subname = %s",
            (name,),
        )
        return [state for (state,) in found]

    def streams(self) -> None:
        wait_until(
            lambda: self.ship.sql(
                "SELECT true FROM pg_stat_subscription WHERE relid IS NULL"
                " AND pid IS NOT NULL AND received_lsn IS NOT NULL AND subname = 's'"
            ),
            "the worker runs",
        )

    def _told(self, outcome: Outcome) -> Outcome:
        for secret in (self.shore.server.password, *self.secrets):
            assert secret not in outcome.raw
        return outcome


@pytest.fixture(scope="module")
def sides(clusters: Clusters, major: int) -> Iterator[tuple[Database, Database]]:
    """One database on either side, emptied for each test: that is quicker than fresh ones."""
    both = (
        Database(clusters.get(major, "publisher"), "shore"),
        Database(clusters.get(major, "subscriber"), "ship"),
    )
    for side in both:
        side.server.sql(f"CREATE DATABASE {side.name}")
    yield both
    for side in both:
        side.server.sql(f"DROP DATABASE {side.name} WITH (FORCE)")


@pytest.fixture
def pair(sides: tuple[Database, Database]) -> Iterator[Pair]:
    shore, ship = sides
    for side in sides:
        side.server.start()
        side.sql(
            "CREATE TABLE documents (id int PRIMARY KEY, title text);"
            "CREATE TABLE users (id int PRIMARY KEY)"
        )
    shore.sql("CREATE PUBLICATION documents FOR TABLE documents")
    shore.sql("CREATE PUBLICATION users FOR TABLE users")
    shore.sql("INSERT INTO documents VALUES (1)")
    shore.sql("INSERT INTO users VALUES (11)")
    log = ship.server.log
    begin = log.stat().st_size
    pair = Pair(shore, ship)
    yield pair
    shore.server.start()
    for name in pair.subscriptions():
        outcome = run_module("subscription", name=name, **pair.login, state="absent", force=True)
        assert not outcome.failed, outcome.msg
    wait_until(lambda: _empty_slots(shore), "the slots are gone")
    for side in sides:
        side.sql(_EMPTY)
    written = log.read_bytes()[begin:].decode(errors="replace")
    for secret in (shore.server.password, *pair.secrets):
        assert secret not in written


_EMPTY = """
DO $$ DECLARE name text; BEGIN
  FOR name IN SELECT pubname FROM pg_publication LOOP
    EXECUTE format('DROP PUBLICATION %I', name);
  END LOOP;
END $$;
DROP SCHEMA public CASCADE;
CREATE SCHEMA public;
GRANT USAGE ON SCHEMA public TO PUBLIC
"""


def _empty_slots(shore: Database) -> bool:
    mine = "FROM pg_replication_slots WHERE database = current_database()"
    shore.sql(f"SELECT pg_terminate_backend(active_pid) {mine} AND active")
    shore.sql(f"SELECT pg_drop_replication_slot(slot_name) {mine} AND NOT active")
    return shore.sql(f"SELECT count(*) {mine}") == [(0,)]


# --- create, nothing to do, drop -----------------------------------------------------------------


def test_create_and_drop(pair: Pair) -> None:
    _check, real = pair.four(connection=pair.connection, publications=["documents"])
    assert real.result["subscription"]["connection"]["password"] == HIDDEN
    assert real.diff["before"] == {"name": "s", "state": "absent"}
    pair.arrives("documents", 1)
    pair.shore.sql("INSERT INTO documents VALUES (2)")
    pair.arrives("documents", 1, 2)

    begin = pair.ship.server.log_text().count("statement:")
    again = pair.run(connection=pair.connection, publications=["documents"])
    assert not again.changed
    assert pair.ship.server.log_text().count("statement:") == begin + 1

    _check, real = pair.four(state="absent")
    assert real.queries == ['DROP SUBSCRIPTION "s"']
    assert real.result["subscription"] == {"name": "s", "state": "absent"}
    assert pair.slots() == []


def test_check_mode_leaves_nothing_behind(pair: Pair) -> None:
    wanted = {"connection": pair.connection, "publications": ["documents"]}
    options = {
        option: value for option, (since, value, _by_hand) in OPTIONS.items() if since <= pair.major
    }
    for more in ({}, options, {"connect": False}, {"slot_name": "none"}, {"enabled": False}):
        outcome = pair.run(check_mode=True, **wanted, **more)
        assert not outcome.failed, outcome.msg
        assert outcome.changed
    assert pair.subscriptions() == pair.slots() == []
    assert pair.ship.sql("SELECT * FROM pg_subscription_rel") == []
    assert pair.ship.sql("SELECT * FROM pg_replication_origin") == []
    wait_until(
        lambda: (
            pair.shore.sql(
                "SELECT count(*) FROM pg_stat_replication JOIN pg_stat_activity USING (pid)"
                " WHERE datname = current_database()"
            )
            == [(0,)]
        ),
        "the connections of the rehearsals are gone",
    )


@pytest.mark.parametrize(
    ("more", "made"),
    [
        ({}, (True, "s", ["s"], 1)),
        ({"slot_name": "ship_1"}, (True, "ship_1", ["ship_1"], 1)),
        ({"enabled": False}, (False, "s", ["s"], 1)),
        ({"connect": False}, (False, "s", [], 0)),
        ({"slot_name": "NONE"}, (False, None, [], 1)),
        ({"slot_name": "none", "connect": False}, (False, None, [], 0)),
        ({"create_slot": False, "enabled": False}, (False, "s", [], 1)),
    ],
)
def test_ways_to_create(pair: Pair, more: dict[str, Any], made: tuple[Any, ...]) -> None:
    enabled, slot_name, slots, tables = made
    wanted = {"connection": pair.connection, "publications": ["documents"]}
    pair.four(**wanted, comment="x", owner="postgres", **more)
    assert pair.stored("subenabled, subslotname") == (enabled, slot_name)
    # Slots of first copies come and go meanwhile.
    wait_until(lambda: pair.slots() == slots, f"the slots are {slots}")
    assert len(pair.table_states()) == tables


def test_copy_data_false(pair: Pair) -> None:
    pair.create(copy_data=False)
    pair.copied()
    pair.shore.sql("INSERT INTO documents VALUES (2)")
    pair.arrives("documents", 2)


NAMES = ["MySub", "my-sub", "a.b", 'a"b', "50% of %s", "a'b", "Schiff \u00c4 \u8239", "x" * 63]


def test_names(pair: Pair) -> None:
    for number, name in enumerate(NAMES):
        other = f"{name[:-1]}~"
        publication = f"p{name}"[:63]
        pair.shore.sql(sql.SQL("CREATE PUBLICATION {}").format(sql.Identifier(publication)))
        wanted = {
            "connection": pair.connection,
            "publications": [publication, "documents"],
            "slot_name": f"slot_{number}",
            "comment": f"it's {name}",
            "connect": number == 0,
        }
        pair.four(name=name, **wanted)
        assert pair.subscriptions() == [name]
        slot_name = "none" if number else "slot_0"
        assert pair.run(name=name, new_name=other, slot_name=slot_name, owner="postgres").changed
        assert pair.subscriptions() == [other]
        assert pair.run(name=other, state="absent").changed


def test_same_name_in_another_database(pair: Pair) -> None:
    pair.create(slot_name="other_slot")
    other = Pair(pair.shore, Database(pair.ship.server, "postgres"))
    other.ship.sql("CREATE TABLE documents (id int PRIMARY KEY, title text)")
    try:
        assert not other.run(state="absent").changed
        other.four(connection=pair.connection, publications=["documents"], enabled=False)
        other.four(state="absent")
    finally:
        other.ship.sql("DROP TABLE documents")
    assert pair.stored("subslotname") == ("other_slot",)


# --- options -------------------------------------------------------------------------------------

# Option -> since, a value that is not the default, the statement that undoes it.
OPTIONS: dict[str, tuple[int, Any, str]] = {
    "binary": (14, True, "SET (binary = false)"),
    "streaming": (14, "on", "SET (streaming = off)"),
    "synchronous_commit": (13, "remote_apply", "SET (synchronous_commit = 'OFF')"),
    "disable_on_error": (15, True, "SET (disable_on_error = false)"),
    "password_required": (16, False, "SET (password_required = true)"),
    "run_as_owner": (16, True, "SET (run_as_owner = false)"),
    "origin": (16, "none", "SET (origin = any)"),
    "comment": (13, "it's for 100%", ""),
}


def test_every_option_drifts_and_is_repaired(pair: Pair) -> None:
    pair.create()
    for option, (since, value, by_hand) in OPTIONS.items():
        if pair.major < since:
            # To ask for what an older server does anyway is fine.
            asked = value if option != "run_as_owner" else False
            assert f"{option} needs PostgreSQL {since} or newer" in pair.fails(**{option: asked})
            continue
        _check, real = pair.four(**{option: value})
        assert real.changed
        assert len(real.queries) == 1
        assert real.diff["after"] == {**real.diff["before"], option: value}
        pair.ship.sql(
            f"ALTER SUBSCRIPTION s {by_hand}" if by_hand else "COMMENT ON SUBSCRIPTION s IS NULL"
        )
        assert pair.run(**{option: value}).queries == real.queries
    # All at once, and back.
    there = {name: value for name, (since, value, _sql) in OPTIONS.items() if pair.major >= since}
    assert not pair.run(**there).changed
    back = {
        name: {True: False, False: True, "on": "off", "none": "any", "remote_apply": "off"}.get(
            value, ""
        )
        for name, value in there.items()
    }
    _check, real = pair.four(**back)
    assert len(real.queries) == 2


def test_yaml_booleans_and_other_words(pair: Pair) -> None:
    pair.create(connect=False, synchronous_commit=False)
    pair.ship.sql("ALTER SUBSCRIPTION s SET (synchronous_commit = 'true')")
    assert not pair.run(synchronous_commit=True).changed
    if pair.major >= 14:
        pair.four(streaming=True)
        pair.four(streaming=False)
    if pair.major >= 16:
        pair.four(streaming="parallel")
        pair.ship.sql("ALTER SUBSCRIPTION s SET (origin = 'ANY')")
        assert not pair.run(origin="any").changed
    else:
        assert "streaming=parallel needs PostgreSQL 16" in pair.fails(streaming="parallel") or (
            pair.major == 13
        )


def test_enabled(pair: Pair) -> None:
    pair.create()
    pair.arrives("documents", 1)
    _check, real = pair.four(enabled=False)
    assert real.queries == ['ALTER SUBSCRIPTION "s" DISABLE']
    pair.shore.sql("INSERT INTO documents VALUES (2)")
    _check, real = pair.four(enabled=True)
    assert real.queries == [
        'ALTER SUBSCRIPTION "s" ENABLE',
        'ALTER SUBSCRIPTION "s" REFRESH PUBLICATION',
    ]
    assert real.result["refreshed"]
    pair.arrives("documents", 1, 2)
    pair.ship.sql("ALTER SUBSCRIPTION s DISABLE")
    _check, real = pair.four(enabled=True, refresh="never")
    assert len(real.queries) == 1


def test_slot_name(pair: Pair) -> None:
    pair.create()
    assert "set enabled: false" in pair.fails(slot_name="none")
    pair.four(slot_name="none", enabled=False)
    assert pair.stored("subslotname, subenabled") == (None, False)
    assert "without a slot it cannot be enabled" in pair.fails(enabled=True)
    pair.four(slot_name="s", enabled=True)
    pair.arrives("documents", 1)
    pair.four(slot_name="none", enabled=False)
    pair.four(state="absent")
    assert pair.slots() == ["s"]


def test_connect_later(pair: Pair) -> None:
    pair.create(connect=False)
    pair.shore.sql("SELECT pg_create_logical_replication_slot('s', 'pgoutput')")
    pair.four(enabled=True)
    pair.arrives("documents", 1)


def test_owner(pair: Pair) -> None:
    pair.ship.sql("CREATE ROLE captain SUPERUSER")
    pair.ship.sql("CREATE ROLE sailor")
    try:
        pair.create()
        pair.four(owner="captain")
        assert pair.stored("subowner::regrole::text") == ("captain",)
        assert "the role nobody does not exist" in pair.fails(owner="nobody")
        if pair.major >= 16:
            pair.four(owner="sailor")
            message = pair.fails(owner="sailor", connection={"host": "127.0.0.1"})
            assert "needs a password" in message
            pair.four(owner="sailor", connection={"host": "127.0.0.1"}, password_required=False)
        else:
            assert "its owner has to be a superuser" in pair.fails(owner="sailor")
        pair.run(state="absent", force=True)
    finally:
        pair.ship.sql("DROP ROLE captain, sailor")


def test_rename(pair: Pair) -> None:
    pair.create()
    _check, real = pair.four(new_name="T", comment="renamed")
    assert real.queries[-1] == 'ALTER SUBSCRIPTION "s" RENAME TO "T"'
    assert real.result["subscription"]["name"] == "T"
    assert pair.subscriptions() == ["T"]
    pair.create(slot_name="s2")
    assert "T exists as well" in pair.fails(new_name="T")
    assert "neither subscription x nor y exists" in pair.fails(name="x", new_name="y")


# --- the connection ------------------------------------------------------------------------------


def test_a_new_password_copies_nothing_again(pair: Pair) -> None:
    pair.shore.sql("CREATE ROLE feeder LOGIN REPLICATION PASSWORD 'first-secret'")
    pair.shore.sql("GRANT SELECT ON documents TO feeder")
    pair.secrets += ["first-secret", "second-secret"]
    connection = {**pair.connection, "user": "feeder", "password": "first-secret"}
    try:
        pair.create(connection=connection)
        pair.arrives("documents", 1)
        pair.copied()
        pair.ship.sql("DELETE FROM documents")  # a second copy would bring it back
        pair.shore.sql("ALTER ROLE feeder PASSWORD 'second-secret'")
        connection["password"] = "second-secret"
        _check, real = pair.four(connection=connection, publications=["documents"])
        assert len(real.queries) == 1
        assert real.queries[0].startswith('ALTER SUBSCRIPTION "s" CONNECTION ')
        assert real.diff["before"]["connection"]["password"] == HIDDEN
        assert real.diff["after"]["connection"]["password"] == f"{HIDDEN} (changed)"
        assert real.result["subscription"]["connection"]["password"] == HIDDEN
        assert pair.table_states() == ["r"]
        pair.shore.sql("INSERT INTO documents VALUES (2)")
        pair.arrives("documents", 2)
        pair.run(state="absent")
    finally:
        pair.shore.sql("DROP OWNED BY feeder")
        pair.shore.sql("DROP ROLE feeder")


MARK = "Zq7"
HOSTILE = [
    "0123",
    f"{MARK}it's",
    f"{MARK} two words ",
    f"{MARK}back\\slash\\\\",
    f"{MARK}100%s %% %(x)s",
    f"{MARK}a=b",
    f'{MARK}double"quote',
    f"{MARK}p\u00e4ss\u8239",
    f"\\'{MARK}",
    f"' OR host='127.0.0.2{MARK}",
    f"://@/?#&{MARK}",
    f"{MARK} 'b\\c=%d\"\u00e9\u8239",
]


def test_hostile_passwords(pair: Pair) -> None:
    pair.secrets.append(MARK)
    pair.shore.sql("CREATE ROLE feeder LOGIN SUPERUSER")
    wanted: dict[str, Any] = {"publications": ["documents"]}
    try:
        pair.create(enabled=False)
        for password in HOSTILE:
            pair.shore.sql("ALTER ROLE feeder PASSWORD %s", (password,))
            wanted["connection"] = {**pair.connection, "user": "feeder", "password": password}
            check, real, again = (
                pair.run(check_mode=mode, **wanted) for mode in (True, False, True)
            )
            assert real.changed, real.msg
            assert check.diff == real.diff
            assert not again.changed
            stored = parse_dsn(pair.stored("subconninfo")[0])
            assert stored == {key: str(value) for key, value in wanted["connection"].items()}
        # The last one reaches the publisher too.
        outcome = pair.run(**wanted, enabled=True)
        assert not outcome.failed, outcome.msg
        assert outcome.result["refreshed"]
        pair.arrives("documents", 1)
        pair.run(state="absent")
        wanted["connection"]["password"] += "wrong"
        assert "password authentication failed" in pair.fails(**wanted)
    finally:
        pair.shore.sql("DROP ROLE feeder")


def test_uris(pair: Pair) -> None:
    server = pair.shore.server
    uri = f"postgresql://postgres:{server.password}@{server.host}:{server.port}/{pair.shore.name}"
    pair.four(connection=uri, publications=["documents"])
    pair.arrives("documents", 1)
    assert not pair.run(connection=pair.connection).changed
    # Made by hand as a URI.
    by_hand = (
        f"postgresql://postgres@/{pair.shore.name}?host={server.socket_dir}&port={server.port}"
    )
    pair.ship.sql(f"ALTER SUBSCRIPTION s CONNECTION '{by_hand}'")
    keywords = parse_dsn(pair.by_socket)
    assert not pair.run(connection=keywords).changed
    assert pair.run().result["subscription"]["connection"] == keywords
    pair.four(connection=pair.by_socket + " application_name='it''s'".replace("''", "\\'"))
    pair.four(state="absent")


def test_passfile(pair: Pair) -> None:
    server = pair.shore.server
    passfile = pair.ship.server.home / "passfile"
    passfile.write_text(f"*:*:*:*:{server.password}\n", encoding="utf-8")
    passfile.chmod(0o600)
    user.own(passfile)
    connection = {**pair.connection, "passfile": str(passfile)}
    del connection["password"]
    pair.four(connection=connection, publications=["documents"])
    pair.arrives("documents", 1)


def test_what_the_publisher_refuses(pair: Pair) -> None:
    wrong = {**pair.connection, "password": "wrong-secret"}
    pair.secrets.append("wrong-secret")
    wanted = {"connection": pair.connection, "publications": ["documents"]}
    message = pair.fails(**{**wanted, "connection": wrong})
    assert "password authentication failed" in message
    assert "It is the subscriber's server that connects to the publisher" in message
    nowhere = {"host": "127.0.0.1", "port": 1, "password": "wrong-secret"}
    assert "Connection refused" in pair.fails(**{**wanted, "connection": nowhere})
    pair.ship.sql("ALTER TABLE documents RENAME TO papers")
    assert 'relation "public.documents" does not exist' in pair.fails(**wanted)
    pair.ship.sql("ALTER TABLE papers RENAME TO documents")
    pair.shore.sql("SELECT pg_create_logical_replication_slot('s', 'pgoutput')")
    real = pair.run(**wanted)
    assert real.failed
    assert "set another slot_name, or create_slot: false" in real.msg
    pair.four(**wanted, create_slot=False)
    pair.arrives("documents", 1)


def test_connections_that_cannot_be_read(pair: Pair) -> None:
    pair.create()
    pair.ship.sql("UPDATE pg_subscription SET subconninfo = 'hidden-words passwort=hidden'")
    for params in ({}, {"comment": "x"}):
        outcome = pair.run(**params)
        assert not outcome.failed, outcome.msg
        assert outcome.result["subscription"]["connection"] is None
    failed = pair.run(state="absent")
    assert failed.failed
    assert "force: true" in failed.msg
    assert "hidden" not in failed.raw
    pair.four(connection=pair.connection)
    pair.streams()
    pair.ship.sql("UPDATE pg_subscription SET subconninfo = 'hidden-words'")
    outcome = pair.run(state="absent", force=True)
    assert not outcome.failed, outcome.msg
    assert "hidden" not in outcome.raw
    assert outcome.result["slot_left_behind"]["slot_name"] == "s"
    assert outcome.result["slot_left_behind"]["host"] is None


# --- publications --------------------------------------------------------------------------------


def test_another_publication(pair: Pair) -> None:
    pair.create()
    pair.arrives("documents", 1)
    _check, real = pair.four(publications=["users", "documents"])
    assert real.queries == [
        'ALTER SUBSCRIPTION "s" SET PUBLICATION "users", "documents" WITH (refresh = true)'
    ]
    pair.arrives("users", 11)
    pair.four(publications=["documents"])
    pair.ship.sql("TRUNCATE users")
    former = pair.worker()
    pair.four(publications=["documents", "users"], copy_data=False)
    pair.copied()
    # What is written before a new worker asks for both is not sent by either.
    wait_until(lambda: pair.worker() not in (None, former), "a new worker is there")
    pair.shore.sql("INSERT INTO users VALUES (12)")
    pair.arrives("users", 12)
    pair.four(publications=["documents"], refresh="never")
    assert len(pair.table_states()) == 2


def test_publications_of_a_disabled_subscription(pair: Pair) -> None:
    pair.create(enabled=False)
    _check, real = pair.four(publications=["documents", "users"])
    assert "is disabled" in real.raw
    assert not real.result["refreshed"]
    assert len(pair.table_states()) == 1
    pair.four(enabled=True)
    pair.arrives("users", 11)


def test_refresh_always(pair: Pair) -> None:
    pair.create()
    pair.copied()
    for side in (pair.shore, pair.ship):
        side.sql("CREATE TABLE ports (id int PRIMARY KEY)")
    pair.shore.sql("INSERT INTO ports VALUES (7)")
    pair.shore.sql("ALTER PUBLICATION documents ADD TABLE ports")
    assert not pair.run().changed
    for check in (True, False):
        outcome = pair.run(check_mode=check, refresh="always", copy_data=True)
        assert outcome.changed
        assert outcome.result["refreshed"]
        assert outcome.queries == [
            'ALTER SUBSCRIPTION "s" REFRESH PUBLICATION WITH (copy_data = true)'
        ]
    pair.arrives("ports", 7)
    pair.run(enabled=False)
    disabled = pair.run(refresh="always")
    assert not disabled.changed
    assert "is disabled" in disabled.raw


def test_a_failed_refresh_stays_visible(pair: Pair) -> None:
    pair.create()
    pair.copied()
    pair.run(enabled=False)
    pair.shore.server.stop()
    for more in ({"enabled": True}, {"enabled": True, "publications": ["users"]}):
        outcome = pair.run(**more)
        assert outcome.failed
        assert "the publisher" in outcome.msg
        assert pair.stored("subenabled, subpublications") == (False, ["documents"])
    pair.shore.server.start()
    pair.four(enabled=True, publications=["users"])
    pair.arrives("users", 11)


# --- what needs a disabled subscription ----------------------------------------------------------


def test_failover(pair: Pair) -> None:
    if pair.major < 17:
        assert "failover needs PostgreSQL 17" in pair.fails(failover=True, **_needed(pair))
        return
    pair.create()
    pair.streams()
    _check, real = pair.four(failover=True, binary=True)
    assert real.queries == [
        'ALTER SUBSCRIPTION "s" DISABLE',
        'ALTER SUBSCRIPTION "s" SET (binary = true)',
        'ALTER SUBSCRIPTION "s" SET (failover = true)',
        'ALTER SUBSCRIPTION "s" ENABLE',
    ]
    assert pair.shore.sql("SELECT failover FROM pg_replication_slots WHERE slot_name = 's'") == [
        (True,)
    ]
    pair.arrives("documents", 1)
    pair.ship.sql("ALTER SUBSCRIPTION s DISABLE")
    pair.four(failover=False, refresh="never")
    pair.four(failover=True, enabled=True)
    # Where it fails, the subscription goes on.
    pair.shore.server.stop()
    failed = pair.run(failover=False)
    assert failed.failed
    assert pair.stored("subenabled, subfailover") == (True, True)
    pair.shore.server.start()
    pair.streams()
    pair.four(failover=False, enabled=False)


def test_two_phase(pair: Pair) -> None:
    if pair.major < 15:
        assert "two_phase needs PostgreSQL 15" in pair.fails(two_phase=True, **_needed(pair))
        return
    pair.create(two_phase=True)
    pair.copied()
    wait_until(lambda: pair.stored("subtwophasestate") == ("e",), "two_phase is in force")
    assert not pair.run(two_phase=True).changed
    both = ["documents", "users"]
    assert "set copy_data: false" in pair.fails(publications=both)
    pair.four(publications=both, copy_data=False)
    pair.run(enabled=False)
    enabled = pair.run(enabled=True)
    assert "set copy_data: false" in enabled.raw
    assert not enabled.result["refreshed"]
    if pair.major < 18:
        assert "two_phase can be changed from PostgreSQL 18 on" in pair.fails(two_phase=False)
        return
    pair.streams()
    _check, real = pair.four(two_phase=False)
    assert len(real.queries) == 3
    pair.four(two_phase=True, failover=True)
    pair.four(two_phase=False, enabled=False)


def test_skip_lsn(pair: Pair) -> None:
    if pair.major < 15:
        pair.create()
        assert "skip_lsn needs PostgreSQL 15" in pair.fails(skip_lsn="0/1")
        return
    pair.create(disable_on_error=True)
    pair.copied()
    pair.ship.sql("INSERT INTO documents VALUES (2)")
    begin = len(pair.ship.server.log_text())
    pair.shore.sql("INSERT INTO documents VALUES (2, 'in conflict')")
    wait_until(lambda: pair.stored("subenabled") == (False,), "the conflict disabled it")
    told = pair.ship.server.log_text()[begin:]
    lsn = told.rpartition("finished at ")[2].removeprefix("LSN ").split()[0].rstrip('"')
    pair.four(skip_lsn="F/0")
    pair.four(skip_lsn="none")
    pair.four(skip_lsn=lsn)
    pair.run(enabled=True)
    pair.shore.sql("INSERT INTO documents VALUES (3)")
    pair.arrives("documents", 1, 2, 3)
    again = pair.run(skip_lsn=lsn)
    assert not again.changed
    assert again.result["subscription"]["skip_lsn"] is None


def _needed(pair: Pair) -> dict[str, Any]:
    return {"connection": pair.connection, "publications": ["documents"]}


# --- drop without the publisher ------------------------------------------------------------------


def test_drop_without_publisher(pair: Pair) -> None:
    pair.create()
    pair.copied()
    pair.shore.server.stop()
    assert "Connection refused" in pair.fails(
        name="t", connection=pair.connection, publications=["documents"]
    )
    assert pair.run(check_mode=True, state="absent").changed
    failed = pair.run(state="absent")
    assert failed.failed
    assert "force: true" in failed.msg
    assert pair.subscriptions() == ["s"]
    check = pair.run(check_mode=True, state="absent", force=True)
    real = pair.run(state="absent", force=True)
    assert not real.failed, real.msg
    assert check.diff == real.diff
    assert real.result["slot_left_behind"] == {
        "slot_name": "s",
        "host": pair.shore.server.host,
        "port": str(pair.shore.server.port),
        "dbname": pair.shore.name,
        "others": [],
    }
    assert "keeps WAL for it" in real.raw
    assert not pair.run(state="absent", force=True).changed
    pair.shore.server.start()
    assert pair.slots() == ["s"]


def test_forced_drop_with_publisher(pair: Pair) -> None:
    pair.create()
    _check, real = pair.four(state="absent", force=True)
    assert "slot_left_behind" not in real.result
    assert pair.slots() == []


def test_drop_while_tables_are_copied(pair: Pair) -> None:
    if pair.major < 14:
        pytest.skip("the slots of first copies are temporary")
    pair.ship.sql("INSERT INTO documents VALUES (1)")  # in the way of the copy, again and again
    pair.create()
    (other,) = wait_until(lambda: set(pair.slots()) - {"s"}, "the copy has begun")
    pair.shore.server.stop()
    outcome = pair.run(state="absent", force=True)
    assert not outcome.failed, outcome.msg
    assert outcome.result["slot_left_behind"]["others"] == [other]
    assert other in outcome.raw


def test_drop_with_a_publisher_that_is_silent(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_subscription_plan, "FORCE_AFTER_SECONDS", 1)
    pair.create(enabled=False)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        pair.ship.sql(f"ALTER SUBSCRIPTION s CONNECTION 'host=127.0.0.1 port={port}'")
        outcome = pair.run(state="absent", force=True)
    assert not outcome.failed, outcome.msg
    assert outcome.result["slot_left_behind"]["port"] == str(port)


def test_drop_without_slot(pair: Pair) -> None:
    pair.create(enabled=False)
    pair.shore.sql("SELECT pg_drop_replication_slot('s')")
    failed = pair.run(state="absent")
    assert failed.failed
    assert "force: true" in failed.msg
    outcome = pair.run(state="absent", force=True)
    assert not outcome.failed, outcome.msg
    assert "slot_left_behind" not in outcome.result
    assert pair.subscriptions() == []


# --- roles that are no superusers ----------------------------------------------------------------


@pytest.fixture
def limited(pair: Pair) -> Iterator[dict[str, Any]]:
    """Connects as a role that may have subscriptions, where the version has such roles."""
    ship = pair.ship
    # Such a role cannot keep its statements out of the server's log.
    ship.server.reload(log_statement="none", log_min_error_statement="panic")
    wait_until(lambda: ship.sql("SHOW log_statement") == [("none",)], "nothing is logged")
    ship.sql("CREATE ROLE mate LOGIN PASSWORD 'mate-secret'")
    ship.sql("CREATE ROLE stranger LOGIN PASSWORD 'mate-secret'")
    if pair.major >= 16:
        ship.sql("GRANT pg_create_subscription TO mate")
        ship.sql(f"GRANT CREATE ON DATABASE {ship.name} TO mate")
        ship.sql("ALTER TABLE documents OWNER TO mate")
        ship.sql("ALTER TABLE users OWNER TO mate")
    yield {"login_user": "mate", "login_password": "mate-secret"}
    pair.run(state="absent", force=True)
    ship.sql("DROP OWNED BY mate, stranger CASCADE")
    ship.sql("REVOKE ALL ON SCHEMA public FROM mate, stranger")
    ship.sql("DROP ROLE mate, stranger")
    ship.server.reload(log_statement="all", log_min_error_statement=None)
    wait_until(lambda: ship.sql("SHOW log_statement") == [("all",)], "all is logged again")


def test_limited_role(pair: Pair, limited: dict[str, Any]) -> None:
    wanted = {"connection": pair.connection, "publications": ["documents"]}
    if pair.major < 16:
        message = pair.fails(**wanted, **limited)
        said = "Before PostgreSQL 14 only a superuser" if pair.major == 13 else "be a superuser"
        assert said in message
        return
    assert "password_required" in pair.fails(**wanted, **limited, password_required=False)
    no_password = {key: value for key, value in pair.connection.items() if key != "password"}
    assert "needs a password" in pair.fails(**{**wanted, "connection": no_password}, **limited)
    pair.four(**wanted, **limited)
    again = pair.run(**wanted, **limited)
    assert again.result["subscription"]["connection"] is None
    assert "cannot be seen by mate" in again.raw
    pair.arrives("documents", 1)
    pair.four(**limited, publications=["users"], binary=True, comment="x")
    assert "stranger" in pair.fails(**limited, owner="stranger")
    stranger = {**limited, "login_user": "stranger"}
    for more in ({"comment": "y"}, {"state": "absent"}):
        assert "it belongs to mate" in pair.fails(**stranger, **more)
    pair.four(**limited, new_name="t")
    pair.four(name="t", **limited, state="absent")
    assert pair.slots() == []


def test_limited_role_without_publisher(pair: Pair, limited: dict[str, Any]) -> None:
    if pair.major < 16:
        pytest.skip("only superusers have subscriptions")
    pair.create(**limited)
    pair.copied()
    pair.shore.server.stop()
    outcome = pair.run(**limited, state="absent", force=True)
    pair.shore.server.start()
    assert outcome.result["slot_left_behind"] == {
        "slot_name": "s",
        "host": None,
        "port": None,
        "dbname": None,
        "others": [],
    }
