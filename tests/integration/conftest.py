# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Servers of every major version, shared by the session and started when first asked for."""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass

import psycopg2
import psycopg2.errors
import pytest
from psycopg2 import sql

from tests.lab import MAJORS, Lab, Server
from tests.lab.waiting import wait_until


def majors() -> list[int]:
    """Every version, or those that PG_VERSIONS names: PG_VERSIONS="15 17"."""
    chosen = os.environ.get("PG_VERSIONS", "").replace(",", " ").split()
    return [int(major) for major in chosen] or list(MAJORS)


class Clusters:
    """The servers of a session by version and part."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self._servers: dict[tuple[int, str], Server] = {}

    def get(self, major: int, part: str) -> Server:
        key = (major, part)
        if key not in self._servers:
            self._servers[key] = self.lab.server(major, log_statement="all")
        server = self._servers[key]
        server.start()  # a test may have left it down
        return server


@dataclass(frozen=True)
class Database:
    """A fresh database of a test."""

    server: Server
    name: str

    @property
    def login(self) -> dict[str, object]:
        """The connection options of the collection's modules."""
        return {
            "login_host": self.server.host,
            "login_port": self.server.port,
            "login_user": self.server.superuser,
            "login_password": self.server.password,
            "login_db": self.name,
        }

    def dsn(self, **more: object) -> str:
        return self.server.dsn(self.name, **more)

    def sql(self, query: object, params: tuple[object, ...] | None = None) -> list[tuple]:
        return self.server.sql(query, self.name, params)


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    with Lab() as lab:
        yield lab


@pytest.fixture(scope="session")
def clusters(lab: Lab) -> Clusters:
    return Clusters(lab)


@pytest.fixture(scope="session", params=majors(), ids=lambda major: f"pg{major}")
def major(request: pytest.FixtureRequest) -> int:
    return request.param


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep one version's tests together where processes share the work.

    What is for some versions only says so: pytestmark = pytest.mark.majors(15, 17).
    """
    others = []
    for item in items:
        callspec = getattr(item, "callspec", None)
        if callspec is None or "major" not in callspec.params:
            continue
        major = callspec.params["major"]
        item.add_marker(pytest.mark.xdist_group(f"pg{major}"))
        marker = item.get_closest_marker("majors")
        if marker is not None and major not in marker.args:
            others.append(item)
    if others:
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if item not in others]


@pytest.fixture
def publisher(clusters: Clusters, major: int) -> Server:
    return clusters.get(major, "publisher")


@pytest.fixture
def subscriber(clusters: Clusters, major: int) -> Server:
    return clusters.get(major, "subscriber")


@pytest.fixture
def server(publisher: Server) -> Server:
    """The server of a test that needs but one."""
    return publisher


_numbers = itertools.count(1)


def _fresh_database(server: Server) -> Iterator[Database]:
    database = Database(server, f"test_{next(_numbers)}")
    name = sql.Identifier(database.name)
    # By WAL it costs three times as much.
    strategy = sql.SQL(" STRATEGY FILE_COPY" if server.major >= 15 else "")
    server.sql(sql.SQL("CREATE DATABASE {}").format(name) + strategy)
    slots_before = {slot for slot, _pid in _slots(server)}
    yield database
    server.start()
    _drop_subscriptions(database)
    wait_until(lambda: _drop_slots_but(slots_before, server), "the slots of the test are gone")
    server.sql(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))


def _drop_subscriptions(database: Database) -> None:
    """Without asking the publisher, which may be gone: its slots go with its own database."""
    for (name,) in database.sql(
        "SELECT subname FROM pg_subscription AS s JOIN pg_database AS d ON d.oid = s.subdbid"
        " WHERE d.datname = current_database()"
    ):
        for statement in (
            "ALTER SUBSCRIPTION {} DISABLE",
            "ALTER SUBSCRIPTION {} SET (slot_name = NONE)",
            "DROP SUBSCRIPTION {}",
        ):
            database.sql(sql.SQL(statement).format(sql.Identifier(name)))


def _slots(server: Server) -> list[tuple[str, int | None]]:
    return server.sql("SELECT slot_name, active_pid FROM pg_replication_slots")


def _drop_slots_but(kept: set[str], server: Server) -> bool:
    """Drop the slots made since; True once there are none."""
    for name, pid in _slots(server):
        if name in kept:
            continue
        if pid is not None:
            server.sql("SELECT pg_terminate_backend(%s)", params=(pid,))
        with contextlib.suppress(psycopg2.errors.ObjectInUse, psycopg2.errors.UndefinedObject):
            server.sql("SELECT pg_drop_replication_slot(%s)", params=(name,))
    return {name for name, _pid in _slots(server)} <= kept


@pytest.fixture
def database(server: Server) -> Iterator[Database]:
    """A fresh database; dropped afterwards with its subscriptions and slots."""
    yield from _fresh_database(server)


@pytest.fixture
def subscriber_database(subscriber: Server) -> Iterator[Database]:
    """A fresh database on the other cluster of the same version."""
    yield from _fresh_database(subscriber)
