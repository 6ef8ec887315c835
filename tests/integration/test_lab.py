# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lab itself: what the other tests rely on."""

from __future__ import annotations

import psycopg2
import pytest

from tests.integration.conftest import Database
from tests.lab import Server
from tests.lab.waiting import wait_until


def test_tcp_asks_for_the_password(server: Server) -> None:
    with pytest.raises(psycopg2.OperationalError, match="password"):
        psycopg2.connect(server.dsn(password="wrong"))


def test_tls_is_verified(server: Server) -> None:
    dsn = server.dsn(sslmode="verify-full", sslrootcert=server.ca_cert)
    connection = psycopg2.connect(dsn)
    try:
        assert connection.info.ssl_in_use
    finally:
        connection.close()


def test_rows_travel(database: Database, subscriber_database: Database) -> None:
    for side in (database, subscriber_database):
        side.sql("CREATE TABLE documents (id int PRIMARY KEY)")
    database.sql("CREATE PUBLICATION p FOR TABLE documents")
    subscriber_database.sql(f"CREATE SUBSCRIPTION s CONNECTION '{database.dsn()}' PUBLICATION p")
    database.sql("INSERT INTO documents VALUES (1)")
    wait_until(
        lambda: subscriber_database.sql("SELECT id FROM documents") == [(1,)], "the row came"
    )


def test_a_standby_streams(publisher: Server, database: Database) -> None:
    standby = publisher.create_standby(slot="ship")
    try:
        database.sql("CREATE TABLE documents (id int PRIMARY KEY)")
        standby.wait_caught_up(publisher)
        assert standby.sql("SELECT * FROM documents", database.name) == []
    finally:
        standby.discard()
