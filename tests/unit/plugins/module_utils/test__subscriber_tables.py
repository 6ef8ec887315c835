# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a subscriber lacks, and what stands in the way, without a server."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.hmm.pg_replication.plugins.module_utils._errors import ReplicationError
from ansible_collections.hmm.pg_replication.plugins.module_utils._names import TableName
from ansible_collections.hmm.pg_replication.plugins.module_utils._subscriber_tables import (
    Column,
    SubscriberRequest,
    SubscriberState,
    SubscriberTable,
    plan_subscriber,
    subscriber_request,
)
from tests.unit.render import statements

DOCUMENTS = TableName("public", "documents")
CHUNKS = TableName("app", "chunks")
KEY = Column("id", bare=True, key=True)
EMBEDDING = Column("embedding", bare=True)


def request(**more: Any) -> SubscriberRequest:
    return SubscriberRequest({DOCUMENTS: None, CHUNKS: frozenset({"id"})}, **more)


def there(**more: Any) -> SubscriberState:
    return SubscriberState(
        tables={
            DOCUMENTS: SubscriberTable(columns=(KEY,)),
            CHUNKS: SubscriberTable(columns=(KEY,)),
        },
        **more,
    )


def problem(asked: SubscriberRequest, state: SubscriberState) -> str:
    with pytest.raises(ReplicationError) as error:
        plan_subscriber(asked, state)
    return error.value.message


def test_nothing_to_do() -> None:
    plan = plan_subscriber(request(), there())
    assert not plan.changed
    assert plan.present == ["public.documents", "app.chunks"]


def test_missing_tables_come_from_the_schema_and_are_looked_for_after_it() -> None:
    plan = plan_subscriber(request(schema="CREATE ..."), SubscriberState())
    assert statements(plan) == [
        "CREATE ...",
        """SELECT '"public"."documents"'::regclass, '"app"."chunks"'::regclass""",
    ]
    assert plan.missing == [{"name": "public.documents"}, {"name": "app.chunks", "columns": ["id"]}]


def test_inspected_tells_what_is_missing_and_refuses_nothing() -> None:
    plan = plan_subscriber(request(inspect=True), SubscriberState(in_recovery=True))
    assert not plan.changed
    assert len(plan.missing) == 2


def test_missing_tables_without_schema_are_refused() -> None:
    assert problem(request(), SubscriberState()).startswith(
        "Missing here: public.documents, app.chunks. Give the SQL"
    )


def test_a_column_that_is_not_published_may_be_without_a_value() -> None:
    state = replace(
        there(),
        tables={**there().tables, CHUNKS: SubscriberTable(columns=(KEY, EMBEDDING))},
    )
    plan = plan_subscriber(request(), state)
    assert statements(plan) == ['ALTER TABLE "app"."chunks" ALTER COLUMN "embedding" DROP NOT NULL']
    assert plan.nullable == ["app.chunks.embedding"]


def test_a_key_that_is_not_published_is_refused() -> None:
    asked = SubscriberRequest({CHUNKS: frozenset({"content"})})
    state = SubscriberState(tables={CHUNKS: SubscriberTable(columns=(KEY, Column("content")))})
    assert "id is part of its primary key here" in problem(asked, state)


def test_a_column_that_is_not_here_is_refused() -> None:
    asked = SubscriberRequest({CHUNKS: frozenset({"id", "gone"})})
    state = SubscriberState(tables={CHUNKS: SubscriberTable(columns=(KEY,))})
    assert "Table app.chunks has no column gone here" in problem(asked, state)


def test_rows_are_refused_by_name_unless_they_are_to_go() -> None:
    state = there(with_rows=frozenset({DOCUMENTS}))
    assert "conflict with: public.documents. Set truncate" in problem(request(), state)
    plan = plan_subscriber(request(truncate=True), state)
    assert statements(plan) == ['TRUNCATE "public"."documents"']


def test_a_view_in_the_place_of_a_table_is_refused() -> None:
    state = SubscriberState(
        tables={DOCUMENTS: SubscriberTable(kind="v"), CHUNKS: SubscriberTable(columns=(KEY,))}
    )
    assert problem(request(), state).startswith("public.documents is not a table here")


def test_an_extension_that_is_not_installed_is_refused() -> None:
    assert "vector is not installed" in problem(request(extensions=("vector",)), there())
    state = there(available=frozenset({"vector"}))
    plan = plan_subscriber(request(extensions=("vector",)), state)
    assert statements(plan) == ['SET LOCAL search_path = public; CREATE EXTENSION "vector" CASCADE']


def test_a_standby_is_refused() -> None:
    assert "a standby" in problem(request(), there(in_recovery=True))


@pytest.mark.parametrize(
    ("subscribed", "others", "due"),
    [(True, False, False), (False, False, True), (True, True, True)],
)
def test_a_subscription_of_other_tables_has_to_be_refreshed(
    subscribed: bool, others: bool, due: bool
) -> None:
    table = SubscriberTable(columns=(KEY,), subscribed=subscribed)
    state = SubscriberState(
        subscription=True, others=others, tables={DOCUMENTS: table, CHUNKS: table}
    )
    assert plan_subscriber(request(), state).refresh is due


def test_names_without_schema_are_public() -> None:
    given = {
        "tables": ["documents", {"name": "app.chunks", "columns": ["id"], "where": "id > 0"}],
        "state": "present",
        "extensions": [],
        "schema": None,
        "subscription": "ship_oslo",
        "copy_data": True,
        "truncate": False,
    }
    assert subscriber_request(given).columns == request().columns
    with pytest.raises(ReplicationError, match="tables: name the tables"):
        subscriber_request({**given, "tables": []})
