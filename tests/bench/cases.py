# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is measured: the same work, as a user of either collection writes it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from tests.lab import Server

DATABASE = "bench"
SUBSCRIBER_DATABASE = "bench_ship"
TABLES = 120
ADDED = 9
COLUMNS = ["id", "kind"]

Task = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """One piece of work. prepare() makes the state before, done() tells whether it was done."""

    subject: str
    name: str
    ours: Task
    peer: Task
    prepare: Callable[[], None]
    done: Callable[[], bool]
    changed: bool
    server: Server
    database: str = DATABASE


# --- slots ---------------------------------------------------------------------------------------


def slots(server: Server, numbers: tuple[int, ...]) -> Iterator[Case]:
    """So many slots made, there already, and dropped."""
    for number in numbers:
        for name, state, before, changed in (
            ("made", "present", 0, True),
            ("nothing to do", "present", number, False),
            ("dropped", "absent", number, True),
        ):
            yield Case(
                subject=f"{number} slot" + ("s" if number > 1 else ""),
                name=name,
                ours={
                    "hmm.pg_replication.replication_slot": {
                        "name": slot_names(number),
                        "state": state,
                    }
                },
                peer={
                    "community.postgresql.postgresql_slot": {
                        "name": "{{ item }}",
                        "state": state,
                        "immediately_reserve": True,
                    },
                    "loop": slot_names(number),
                },
                prepare=partial(have_slots, server, before),
                done=partial(has_slots, server, 0 if state == "absent" else number),
                changed=changed,
                server=server,
            )


def slot_names(number: int) -> list[str]:
    return [f"ship_{index:04}" for index in range(number)]


def have_slots(server: Server, number: int) -> None:
    """Exactly so many physical slots."""
    server.sql("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots")
    server.sql(
        "SELECT pg_create_physical_replication_slot(name, true) FROM unnest(%s::name[]) AS name",
        params=(slot_names(number),),
    )


def has_slots(server: Server, number: int) -> bool:
    """Whether there are so many, all of them retaining WAL."""
    return server.sql("SELECT count(*), count(restart_lsn) FROM pg_replication_slots") == [
        (number, number)
    ]


# --- publications --------------------------------------------------------------------------------


def publications(server: Server, numbers: tuple[int, ...]) -> Iterator[Case]:
    """A publication of so many tables made, there already, with tables added, a filter changed."""
    for number in numbers:
        subject = f"publication of {number} tables"
        for name, before, wanted in (
            ("made", 0, number),
            ("nothing to do", number, number),
            (f"{ADDED} tables added", number, number + ADDED),
        ):
            yield Case(
                subject=subject,
                name=name,
                ours={
                    "hmm.pg_replication.publication": {
                        "name": "fleet",
                        "tables": table_names(wanted),
                    }
                },
                peer={
                    "community.postgresql.postgresql_publication": {
                        "name": "fleet",
                        "tables": table_names(wanted),
                    }
                },
                prepare=partial(have_publication, server, before),
                done=partial(is_published, server, wanted),
                changed=before != wanted,
                server=server,
            )

        if server.major >= 15:
            yield filter_case(server, number, subject)


def filter_case(server: Server, number: int, subject: str) -> Case:
    """The row filter of one table changed.

    Written in the one way in which the peer converges: the filter as the server writes it, and a
    list of columns for its table.
    """
    filtered, *others = table_names(number)
    new = "(id > 100)"
    return Case(
        subject=subject,
        name="a row filter changed",
        ours={
            "hmm.pg_replication.publication": {
                "name": "fleet",
                "tables": [{"name": filtered, "columns": COLUMNS, "where": new}, *others],
            }
        },
        peer={
            "community.postgresql.postgresql_publication": {
                "name": "fleet",
                "columns": {filtered: COLUMNS, **dict.fromkeys(others)},
                "rowfilters": {filtered: new},
            }
        },
        prepare=partial(have_publication, server, number, "(id > 5)"),
        done=partial(is_published, server, number, new),
        changed=True,
        server=server,
    )


def table_names(number: int) -> list[str]:
    return [f"public.documents_{index:03}" for index in range(number)]


def have_publication(server: Server, number: int, where: str | None = None) -> None:
    """A publication of so many tables, the first with a filter; none: no publication."""
    server.sql("DROP PUBLICATION IF EXISTS fleet", DATABASE)
    if number:
        first, *others = table_names(number)
        columns = ", ".join(COLUMNS)
        tables = [f"{first} ({columns}) WHERE {where}" if where else first, *others]
        server.sql(f"CREATE PUBLICATION fleet FOR TABLE {', '.join(tables)}", DATABASE)


def is_published(server: Server, number: int, where: str | None = None) -> bool:
    """Whether it publishes so many tables, one of them with this filter."""
    found = "max(pg_get_expr(prqual, prrelid))" if server.major >= 15 else "NULL"
    return server.sql(f"SELECT count(*), {found} FROM pg_publication_rel", DATABASE) == [
        (number, where)
    ]


# --- subscriptions -------------------------------------------------------------------------------


def subscriptions(publisher: Server, subscriber: Server) -> Iterator[Case]:
    """A subscription that is as it should be, and one with one option to alter."""
    have_publication(publisher, 1)
    connection = {
        "host": publisher.host,
        "port": str(publisher.port),
        "user": publisher.superuser,
        "password": publisher.password,
        "dbname": DATABASE,
    }
    subscriber.sql(
        f"CREATE SUBSCRIPTION ship CONNECTION '{publisher.dsn(DATABASE)}' PUBLICATION fleet",
        SUBSCRIBER_DATABASE,
    )
    for name, enabled in (("nothing to do", True), ("one option altered", False)):
        yield Case(
            subject="subscription",
            name=name,
            ours={
                "hmm.pg_replication.subscription": {
                    "name": "ship",
                    "connection": connection,
                    "publications": ["fleet"],
                    "enabled": enabled,
                }
            },
            peer={
                "community.postgresql.postgresql_subscription": {
                    "name": "ship",
                    "connparams": connection,
                    "publications": ["fleet"],
                    "subsparams": {"enabled": enabled},
                }
            },
            prepare=partial(enable, subscriber),
            done=partial(has_enabled, subscriber, enabled),
            changed=not enabled,
            server=subscriber,
            database=SUBSCRIBER_DATABASE,
        )


def enable(subscriber: Server) -> None:
    subscriber.sql("ALTER SUBSCRIPTION ship ENABLE", SUBSCRIBER_DATABASE)


def has_enabled(subscriber: Server, enabled: bool) -> bool:
    return subscriber.sql("SELECT subenabled FROM pg_subscription") == [(enabled,)]


def drop_subscription(subscriber: Server) -> None:
    subscriber.sql("DROP SUBSCRIPTION ship", SUBSCRIBER_DATABASE)


# --- servers -------------------------------------------------------------------------------------


def prepare_database(server: Server, database: str) -> None:
    """The database and the tables that the cases use."""
    server.sql(f"CREATE DATABASE {database}")
    for table in table_names(TABLES):
        server.sql(f"CREATE TABLE {table} (id int PRIMARY KEY, kind text)", database)
