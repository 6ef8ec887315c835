# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.hmm.pg_replication.plugins.module_utils._errors import ReplicationError
from ansible_collections.hmm.pg_replication.plugins.module_utils._names import TableName
from ansible_collections.hmm.pg_replication.plugins.module_utils._publication import (
    Publication,
    PublicationRequest,
    TableRequest,
    publication_request,
)
from ansible_collections.hmm.pg_replication.plugins.module_utils._replica_identity import (
    Filter,
    PublishedTable,
)

ENTRY = (
    "tables[0]: write a table's name, or a mapping with name and, where wanted, columns, where and"
    " only."
)
COLUMNS = "tables[0].columns: a list of column names; leave it out to publish all columns."


def request(**options: Any) -> PublicationRequest:
    params: dict[str, Any] = {
        "name": "fleet",
        "state": "present",
        "tables": None,
        "schemas": None,
        "all_tables": None,
        "append": False,
        "publish": None,
        "publish_via_partition_root": None,
        "publish_generated_columns": None,
        "require_replica_identity": True,
        "owner": None,
        "comment": None,
        "new_name": None,
        "cascade": False,
    }
    assert set(options) <= set(params)
    return publication_request({**params, **options})


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"name": ""}, "name: a name cannot be empty."),
        (
            {"name": "é" * 32},
            f"name: '{'é' * 32}' is longer than 63 bytes, and PostgreSQL would cut it.",
        ),
        ({"owner": ""}, "owner: a name cannot be empty."),
        ({"new_name": ""}, "new_name: a name cannot be empty."),
        ({"new_name": "fleet"}, "new_name: it is the name already."),
        (
            {"new_name": "navy", "state": "absent"},
            "new_name: it makes no sense with state: absent.",
        ),
        ({"schemas": ["a", ""]}, "schemas[1]: a name cannot be empty."),
        (
            {"all_tables": True, "tables": ["t"]},
            "all_tables: it cannot be true beside tables or schemas.",
        ),
        (
            {"all_tables": True, "schemas": ["s"]},
            "all_tables: it cannot be true beside tables or schemas.",
        ),
        ({"append": True}, "append: name the tables or schemas that are to be added."),
        (
            {"publish": ["insert", "select"]},
            (
                "publish: 'select' is not an operation; possible are insert, update, delete,"
                " truncate."
            ),
        ),
        (
            {"tables": ["u", {"name": "t", "columns": ["a"]}], "schemas": ["s"]},
            (
                "tables[1].columns: a publication with schemas cannot have column lists; make two"
                " publications."
            ),
        ),
        ({"tables": [None]}, ENTRY),
        ({"tables": [1]}, ENTRY),
        ({"tables": [["t"]]}, ENTRY),
        ({"tables": [{}]}, ENTRY),
        ({"tables": [{"columns": ["a"]}]}, ENTRY),
        ({"tables": [{"name": 1}]}, ENTRY),
        (
            {"tables": ["t", {"name": "t", "filter": "x"}]},
            "tables[1]: 'filter' is unknown; possible are columns, name, only, where.",
        ),
        ({"tables": [{"name": "t", "columns": []}]}, COLUMNS),
        ({"tables": [{"name": "t", "columns": "a"}]}, COLUMNS),
        ({"tables": [{"name": "t", "columns": [1]}]}, COLUMNS),
        (
            {"tables": [{"name": "t", "columns": ["a", ""]}]},
            "tables[0].columns[1]: a name cannot be empty.",
        ),
        (
            {"tables": [{"name": "t", "where": True}]},
            "tables[0].where: an SQL expression, as a string.",
        ),
        (
            {"tables": [{"name": "t", "where": ""}]},
            "tables[0].where: the filter is empty; leave the option out for no filter.",
        ),
        (
            {"tables": [{"name": "t", "where": "id > 1) OR (true; --"}]},
            "tables[0].where: an unbalanced parenthesis is not possible in 'id > 1) OR (true; --'.",
        ),
        ({"tables": [{"name": "t", "only": "yes"}]}, "tables[0].only: true or false."),
        (
            {"tables": ["a.b.c"]},
            (
                "tables[0].name: 'a.b.c' is not a table name: write table or schema.table, and a"
                ' part that itself has a dot or a double quote in it in double quotes ("a.b").'
            ),
        ),
    ],
)
def test_a_wrong_option_is_told(options: dict[str, Any], told: str) -> None:
    with pytest.raises(ReplicationError) as raised:
        request(**options)
    assert raised.value.message == told


def test_what_is_left_out_is_left_as_it_is() -> None:
    asked = request()
    assert asked == PublicationRequest("fleet")
    assert not asked.declares_content


@pytest.mark.parametrize(
    ("options", "field", "value"),
    [
        ({"state": "absent"}, "present", False),
        ({"tables": []}, "tables", ()),
        ({"schemas": ["b", "a", "b"]}, "schemas", ("b", "a")),
        ({"schemas": []}, "schemas", ()),
        ({"all_tables": False, "tables": ["t"]}, "all_tables", False),
        ({"publish": []}, "publish", frozenset()),
        ({"publish": [""]}, "publish", frozenset()),
        ({"publish": [" INSERT", "insert ", "Update"]}, "publish", frozenset({"insert", "update"})),
        ({"comment": ""}, "comment", ""),
        ({"owner": "My Role"}, "owner", "My Role"),
        ({"new_name": "Fleet"}, "new_name", "Fleet"),
    ],
)
def test_an_option_is_read(options: dict[str, Any], field: str, value: object) -> None:
    assert getattr(request(**options), field) == value


@pytest.mark.parametrize("options", [{"tables": []}, {"schemas": []}, {"all_tables": True}])
def test_each_of_the_three_declares_what_is_published(options: dict[str, Any]) -> None:
    assert request(**options).declares_content


@pytest.mark.parametrize(
    ("entry", "read"),
    [
        ("t", TableRequest("tables[0]", TableName(None, "t"))),
        ("S.T", TableRequest("tables[0]", TableName("S", "T"))),
        ('"a.b"."c""d"', TableRequest("tables[0]", TableName("a.b", 'c"d'))),
        ({"name": "t"}, TableRequest("tables[0]", TableName(None, "t"))),
        (
            {"name": "t", "columns": ["b", "a", "b"], "where": " a > 1", "only": True},
            TableRequest("tables[0]", TableName(None, "t"), frozenset("ab"), " a > 1", True),
        ),
        (
            {"name": "t", "columns": None, "where": None},
            TableRequest("tables[0]", TableName(None, "t")),
        ),
    ],
)
def test_a_table_entry_is_read(entry: object, read: TableRequest) -> None:
    assert request(tables=[entry]).tables == (read,)


def test_a_filter_is_what_the_server_writes() -> None:
    """Neither the task's own spelling nor the columns tell two filters apart."""
    written = Filter("(id > 1)", frozenset({"id"}), "id>1")
    assert written == Filter("(id > 1)", frozenset())
    assert written != Filter("(id > 2)", frozenset({"id"}), "id>1")


def test_a_publication_as_it_is_shown() -> None:
    name = TableName("Shore", "a.b")
    narrowed = PublishedTable(frozenset({"b", "a"}), Filter("(a > 1)", frozenset({"a"})))
    tables = {name: narrowed, TableName("Aft", "t"): PublishedTable()}
    shown = {
        "name": "fleet",
        "state": "present",
        "owner": "o",
        "comment": None,
        "all_tables": False,
        "tables": [
            {"name": "Aft.t"},
            {"name": 'Shore."a.b"', "columns": ["a", "b"], "where": "(a > 1)"},
        ],
        "schemas": ["x", "y"],
        "publish": ["insert", "delete"],
        "publish_via_partition_root": False,
    }
    there = Publication(
        "fleet",
        "o",
        tables=tables,
        schemas=frozenset({"y", "x"}),
        publish=frozenset({"delete", "insert"}),
    )
    assert there.shown() == shown
    everything = Publication("fleet", "o", "c", all_tables=True, publish_generated_columns="none")
    assert everything.shown() == {
        "name": "fleet",
        "state": "present",
        "owner": "o",
        "comment": "c",
        "all_tables": True,
        "publish": ["insert", "update", "delete", "truncate"],
        "publish_via_partition_root": False,
        "publish_generated_columns": "none",
    }
