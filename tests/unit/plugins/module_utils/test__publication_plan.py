# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.hmm.pg_replication.plugins.module_utils._errors import ReplicationError
from ansible_collections.hmm.pg_replication.plugins.module_utils._names import TableName
from ansible_collections.hmm.pg_replication.plugins.module_utils._plan import Plan, Way
from ansible_collections.hmm.pg_replication.plugins.module_utils._publication import (
    Catalog,
    Publication,
    PublicationRequest,
    TableRequest,
)
from ansible_collections.hmm.pg_replication.plugins.module_utils._publication_plan import (
    plan_publication,
)
from ansible_collections.hmm.pg_replication.plugins.module_utils._replica_identity import (
    Filter,
    PublishedTable,
    Relation,
)
from tests.unit.render import statements

MAJORS = range(13, 19)
ALL = pytest.mark.parametrize("major", MAJORS)
ROWS = pytest.mark.parametrize("major", range(15, 19))


def table(name: str) -> TableName:
    return TableName("s", name)


KEY = frozenset({"id"})
# A partitioned table with a leaf in a second level, and inheritance in two generations.
RELATIONS = {
    relation.oid: relation
    for relation in (
        Relation(1, table("a"), identity=KEY),
        Relation(2, table("b"), identity=KEY),
        Relation(3, table("c"), identity=KEY),
        Relation(10, table("parts"), partitioned=True, children=(11, 12)),
        Relation(11, table("part_eu"), identity=KEY),
        Relation(12, table("part_asia"), partitioned=True, children=(13,)),
        Relation(13, table("part_kr"), identity=KEY),
        Relation(20, table("mother"), identity=KEY, children=(21,)),
        Relation(21, table("child"), identity=KEY, children=(22,)),
        Relation(22, table("grandchild"), identity=KEY),
        Relation(30, table("bare")),
        Relation(31, table("full"), identity_full=True),
        Relation(32, table("view"), publishable=False),
    )
}
OIDS = {relation.name.name: oid for oid, relation in RELATIONS.items()}


def entry(name: str, columns: str = "", where: str | None = None, only: bool = False) -> Any:
    """One entry of the option tables; its place is filled in by asked()."""
    return TableRequest("", TableName(None, name), frozenset(columns.split()) or None, where, only)


def asked(*entries: Any, **options: Any) -> PublicationRequest:
    """A request; with entries, for these tables."""
    tables = tuple(
        replace(item if isinstance(item, TableRequest) else entry(item), option=f"tables[{index}]")
        for index, item in enumerate(entries)
    )
    return PublicationRequest(**{"name": "fleet", "tables": tables or None, **options})


def written(where: str) -> Filter:
    """A filter as the server would write it; the words of it are its columns."""
    used = frozenset(word for word in where.split() if word.isidentifier())
    return Filter(f"({where})", used, where)


def there(*names: str, **known: Any) -> Publication:
    tables = {table(name): PublishedTable() for name in names}
    return Publication(**{"name": "fleet", "owner": "admiral", "tables": tables, **known})


def catalog(
    request: PublicationRequest, *found: Publication, major: int = 18, **known: Any
) -> Catalog:
    if major >= 18:
        found = tuple(
            replace(one, publish_generated_columns=one.publish_generated_columns or "none")
            for one in found
        )
    values: dict[str, Any] = {
        "version": major * 10000 + 3,
        "database": "d",
        "user": "admiral",
        "found": {publication.name: publication for publication in found},
        "asked": tuple(OIDS.get(one.table.name) for one in request.tables or ()),
        "relations": RELATIONS,
        "filters": {
            one.option: written(one.where) for one in request.tables or () if one.where is not None
        },
    }
    return Catalog(**{**values, **known})


def plan(request: PublicationRequest, *found: Publication, **known: Any) -> Plan:
    made = plan_publication(request, catalog(request, *found, **known))
    assert all(step.way is Way.TRANSACTION for step in made.steps)
    if not made.steps:
        assert made.before == made.after
    return made


def said(request: PublicationRequest, *found: Publication, **known: Any) -> list[str]:
    return statements(plan(request, *found, **known))


def problem(request: PublicationRequest, *found: Publication, **known: Any) -> str:
    with pytest.raises(ReplicationError) as raised:
        plan(request, *found, **known)
    return raised.value.message


# --- create and drop -----------------------------------------------------------------------------


@ALL
@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (asked(), ['CREATE PUBLICATION "fleet"']),
        (asked(tables=()), ['CREATE PUBLICATION "fleet"']),
        (asked(all_tables=False), ['CREATE PUBLICATION "fleet"']),
        (asked(all_tables=True), ['CREATE PUBLICATION "fleet" FOR ALL TABLES']),
        (asked("b", "a"), ['CREATE PUBLICATION "fleet" FOR TABLE "s"."a", "s"."b"']),
        (asked("a", "a"), ['CREATE PUBLICATION "fleet" FOR TABLE "s"."a"']),
        (asked("a", append=True), ['CREATE PUBLICATION "fleet" FOR TABLE "s"."a"']),
        (asked(name='My"Pub'), ['CREATE PUBLICATION "My""Pub"']),
        (asked(publish=frozenset()), ["CREATE PUBLICATION \"fleet\" WITH (publish = '')"]),
        (
            asked(publish=frozenset({"delete", "insert"}), publish_via_partition_root=True),
            [
                (
                    "CREATE PUBLICATION \"fleet\" WITH (publish = 'insert, delete',"
                    " publish_via_partition_root = true)"
                )
            ],
        ),
        (asked(publish_via_partition_root=False), ['CREATE PUBLICATION "fleet"']),
        (
            asked(owner="cook", comment="it's"),
            [
                'CREATE PUBLICATION "fleet"',
                "COMMENT ON PUBLICATION \"fleet\" IS 'it''s'",
                'ALTER PUBLICATION "fleet" OWNER TO "cook"',
            ],
        ),
        (asked(owner="admiral", comment=""), ['CREATE PUBLICATION "fleet"']),
        (asked(present=False), []),
    ],
)
def test_create(major: int, request_: PublicationRequest, expected: list[str]) -> None:
    assert said(request_, major=major) == expected


@ROWS
def test_create_with_rows_columns_and_schemas(major: int) -> None:
    request = asked(entry("a", "id x", "id > 1"), entry("b", where="id = 2"))
    assert said(request, major=major) == [
        (
            'CREATE PUBLICATION "fleet" FOR TABLE "s"."a" ("id", "x") WHERE (id > 1),'
            ' "s"."b" WHERE (id = 2)'
        )
    ]
    assert said(asked("a", schemas=("y", "x")), major=major) == [
        'CREATE PUBLICATION "fleet" FOR TABLE "s"."a", TABLES IN SCHEMA "x", "y"'
    ]
    assert said(asked(schemas=("x",)), major=major) == [
        'CREATE PUBLICATION "fleet" FOR TABLES IN SCHEMA "x"'
    ]


def test_create_with_generated_columns() -> None:
    assert said(asked(publish_generated_columns="stored")) == [
        "CREATE PUBLICATION \"fleet\" WITH (publish_generated_columns = 'stored')"
    ]
    assert said(asked(publish_generated_columns="none")) == ['CREATE PUBLICATION "fleet"']


@ALL
def test_drop(major: int) -> None:
    gone = {"name": "fleet", "state": "absent"}
    dropped = plan(asked(present=False), there("a"), major=major)
    assert statements(dropped) == ['DROP PUBLICATION "fleet"']
    assert dropped.after == gone
    assert said(asked(present=False, cascade=True), there(), major=major) == [
        'DROP PUBLICATION "fleet" CASCADE'
    ]
    nothing = plan(asked(present=False), major=major)
    assert (nothing.changed, nothing.before, nothing.after) == (False, gone, gone)


# --- alter ---------------------------------------------------------------------------------------

SETTINGS = there("a", comment="c")
PUBLISHED = 'ALTER PUBLICATION "fleet" '


@ALL
@pytest.mark.parametrize(
    ("request_", "before", "expected"),
    [
        (asked(), there("a"), []),
        (asked("a"), there("a"), []),
        (asked("a", "b"), there("a"), ['ADD TABLE "s"."b"']),
        (asked("c", "b", "a"), there("a"), ['ADD TABLE "s"."b", "s"."c"']),
        (asked("a"), there("a", "b", "c"), ['DROP TABLE "s"."b", "s"."c"']),
        (asked("b", "c"), there("a", "b"), ['SET TABLE "s"."b", "s"."c"']),
        (asked(tables=()), there("a"), ['DROP TABLE "s"."a"']),
        (asked(all_tables=False), there("a"), []),
        (asked("b", append=True), there("a"), ['ADD TABLE "s"."b"']),
        (asked("a", append=True), there("a", "b"), []),
        (asked(tables=(), append=True), there("a"), []),
        (asked("a", append=True), there(all_tables=True), []),
        (asked(all_tables=True), there(all_tables=True), []),
        (asked(publish=frozenset({"insert"})), there("a"), ["SET (publish = 'insert')"]),
        (asked(publish=frozenset()), there("a"), ["SET (publish = '')"]),
        (
            asked(publish_via_partition_root=True, publish=frozenset({"truncate"})),
            there("a"),
            ["SET (publish = 'truncate', publish_via_partition_root = true)"],
        ),
        (asked(publish_via_partition_root=False), there("a"), []),
        (asked(owner="cook"), there("a"), ['OWNER TO "cook"']),
        (asked(owner="admiral"), there("a"), []),
        (asked(new_name="navy"), there("a"), ['RENAME TO "navy"']),
        (asked("a", new_name="navy"), there("a", name="navy"), []),
        (asked("a"), there("a", comment="kept", owner="cook"), []),
    ],
)
def test_alter(
    major: int, request_: PublicationRequest, before: Publication, expected: list[str]
) -> None:
    assert said(request_, before, major=major) == [PUBLISHED + change for change in expected]


@ALL
@pytest.mark.parametrize(
    ("comment", "is_", "expected"),
    [
        ("new", "old", ["COMMENT ON PUBLICATION \"fleet\" IS 'new'"]),
        ("", "old", ['COMMENT ON PUBLICATION "fleet" IS NULL']),
        ("old ", "old", ["COMMENT ON PUBLICATION \"fleet\" IS 'old '"]),
        ("", None, []),
        (None, "old", []),
        ("old", "old", []),
    ],
)
def test_comment(major: int, comment: str | None, is_: str | None, expected: list[str]) -> None:
    assert said(asked(comment=comment), there(comment=is_), major=major) == expected


@ROWS
@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (asked(entry("a", where="id > 1"), "b"), 'SET TABLE "s"."a" WHERE (id > 1), "s"."b"'),
        (asked(entry("a", "id"), "b"), 'SET TABLE "s"."a" ("id"), "s"."b"'),
        (asked(entry("a", "id"), append=True), 'SET TABLE "s"."a" ("id"), "s"."b"'),
        (asked("a", "b", entry("c", "id")), 'ADD TABLE "s"."c" ("id")'),
        (asked("a", "b", schemas=("x",)), 'ADD TABLES IN SCHEMA "x"'),
        (asked(schemas=("x",), append=True), 'ADD TABLES IN SCHEMA "x"'),
        (asked(schemas=("x",)), 'SET TABLES IN SCHEMA "x"'),
        (asked("c", schemas=("x",), append=True), 'ADD TABLE "s"."c", TABLES IN SCHEMA "x"'),
    ],
)
def test_alter_rows_columns_and_schemas(
    major: int, request_: PublicationRequest, expected: str
) -> None:
    assert said(request_, there("a", "b"), major=major) == [PUBLISHED + expected]


@ROWS
def test_a_filter_is_compared_as_the_server_writes_it(major: int) -> None:
    tables = {table("a"): PublishedTable(KEY, Filter("(id > 1)", KEY))}
    before = there(tables=tables, schemas=frozenset({"x"}))
    request = asked(entry("a", "id", "id > 1"), schemas=("x",))
    assert said(request, before, major=major) == []
    other = asked(entry("a", "id", "id > 2"), schemas=("x",))
    assert said(other, before, major=major) == [
        PUBLISHED + 'SET TABLE "s"."a" ("id") WHERE (id > 2), TABLES IN SCHEMA "x"'
    ]
    added = asked("b", append=True)
    assert said(added, before, major=major) == [PUBLISHED + 'ADD TABLE "s"."b"']
    # A filter that stays is sent as the server wrote it.
    kept = asked(entry("b", "id"), append=True)
    with_b = replace(before, tables={**tables, table("b"): PublishedTable()})
    assert said(kept, with_b, major=major) == [
        PUBLISHED
        + 'SET TABLE "s"."a" ("id") WHERE ((id > 1)), "s"."b" ("id"), TABLES IN SCHEMA "x"'
    ]
    assert said(asked(tables=(), schemas=()), before, major=major) == [
        PUBLISHED + 'DROP TABLE "s"."a", TABLES IN SCHEMA "x"'
    ]


@ALL
def test_all_tables_and_a_list_are_made_anew(major: int) -> None:
    before = there("a", comment="c", owner="cook", publish=frozenset({"insert"}))
    made = ['DROP PUBLICATION "fleet"']
    kept = ["COMMENT ON PUBLICATION \"fleet\" IS 'c'", 'ALTER PUBLICATION "fleet" OWNER TO "cook"']
    for request in (asked(all_tables=True), asked(all_tables=True, append=True)):
        assert said(request, before, major=major) == [
            *made,
            "CREATE PUBLICATION \"fleet\" FOR ALL TABLES WITH (publish = 'insert')",
            *kept,
        ]
    before = replace(before, all_tables=True, tables={})
    assert said(asked("b"), before, major=major) == [
        *made,
        'CREATE PUBLICATION "fleet" FOR TABLE "s"."b" WITH (publish = \'insert\')',
        *kept,
    ]
    renamed = asked("b", new_name="navy", comment="", owner="admiral")
    assert said(renamed, before, major=major) == [
        *made,
        'CREATE PUBLICATION "navy" FOR TABLE "s"."b" WITH (publish = \'insert\')',
    ]


@ROWS
def test_nothing_narrower_is_appended_to_all_tables(major: int) -> None:
    for one in (entry("a", "id"), entry("a", where="id > 1")):
        request = asked("b", one, append=True)
        assert problem(request, there(all_tables=True), major=major) == (
            "tables[1]: the publication is of all tables, so nothing can be appended with columns"
            " or where."
        )


@ALL
def test_the_owner_changes_last(major: int) -> None:
    request = asked("a", publish=frozenset({"insert"}), comment="c", owner="cook", new_name="navy")
    assert said(request, there("b"), major=major) == [
        PUBLISHED + "SET (publish = 'insert')",
        PUBLISHED + 'SET TABLE "s"."a"',
        PUBLISHED + 'RENAME TO "navy"',
        "COMMENT ON PUBLICATION \"navy\" IS 'c'",
        'ALTER PUBLICATION "navy" OWNER TO "cook"',
    ]


@ROWS
def test_a_root_is_published_while_it_has_a_filter(major: int) -> None:
    request = asked(entry("parts", where="id > 1"), publish_via_partition_root=True)
    on = said(request, there("parts"), major=major)
    assert on == [
        PUBLISHED + "SET (publish_via_partition_root = true)",
        PUBLISHED + 'SET TABLE "s"."parts" WHERE (id > 1)',
    ]
    narrowed = {table("parts"): PublishedTable(None, Filter("(id > 1)", KEY))}
    before = there(tables=narrowed, publish_via_partition_root=True)
    off = said(asked("parts", publish_via_partition_root=False), before, major=major)
    assert off == [
        PUBLISHED + 'SET TABLE "s"."parts"',
        PUBLISHED + "SET (publish_via_partition_root = false)",
    ]


# --- partitions and inheritance ------------------------------------------------------------------


@ALL
def test_a_partitioned_table_is_itself(major: int) -> None:
    for one in ("parts", entry("parts", only=True)):
        assert said(asked(one), major=major) == ['CREATE PUBLICATION "fleet" FOR TABLE "s"."parts"']
        assert said(asked(one), there("parts"), major=major) == []


@ALL
def test_children_come_along(major: int) -> None:
    family = ("child", "grandchild", "mother")
    assert said(asked("mother"), major=major) == [
        'CREATE PUBLICATION "fleet" FOR TABLE ONLY "s"."child", "s"."grandchild", ONLY "s"."mother"'
    ]
    assert said(asked("mother"), there(*family), major=major) == []
    # A child that came later.
    assert said(asked("mother"), there("child", "mother"), major=major) == [
        PUBLISHED + 'ADD TABLE "s"."grandchild"'
    ]
    only = asked(entry("mother", only=True))
    assert said(only, there("mother"), major=major) == []
    assert said(only, there(*family), major=major) == [
        PUBLISHED + 'DROP TABLE ONLY "s"."child", "s"."grandchild"'
    ]
    assert said(asked(entry("mother", only=True), "grandchild"), there("mother"), major=major) == [
        PUBLISHED + 'ADD TABLE "s"."grandchild"'
    ]


@ROWS
def test_children_have_what_their_parent_has_or_their_own(major: int) -> None:
    """The parent's filter is sent for a child as the server writes it: it may name the parent."""
    request = asked(entry("mother", "id", "id > 1"), entry("child", only=True))
    assert said(request, major=major) == [
        (
            'CREATE PUBLICATION "fleet" FOR TABLE ONLY "s"."child",'
            ' "s"."grandchild" ("id") WHERE ((id > 1)), ONLY "s"."mother" ("id") WHERE (id > 1)'
        )
    ]


@ROWS
def test_one_table_named_twice(major: int) -> None:
    told = "tables[1]: table s.a is named twice, with different columns or where."
    assert problem(asked("a", entry("a", "id")), major=major) == told
    assert problem(asked(entry("a", where="id > 1"), "a"), major=major) == told
    twice = asked(entry("a", where="id > 1"), entry("a", where="id  >  1"))
    same = {"tables[0]": written("id > 1"), "tables[1]": Filter("(id > 1)", KEY, "id  >  1")}
    assert said(twice, major=major, filters=same) == [
        'CREATE PUBLICATION "fleet" FOR TABLE "s"."a" WHERE (id > 1)'
    ]


# --- what is impossible --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("since", "request_", "option"),
    [
        (15, asked(schemas=("x",)), "schemas"),
        (15, asked(entry("a", "id")), "columns"),
        (15, asked(entry("a", where="id > 1")), "where"),
        (18, asked(publish_generated_columns="none"), "publish_generated_columns"),
    ],
)
@ALL
def test_an_option_that_the_server_is_too_old_for(
    major: int, since: int, request_: PublicationRequest, option: str
) -> None:
    for found in ((), (there("a"),)):
        if major >= since:
            plan(request_, *found, major=major)
        else:
            assert problem(request_, *found, major=major) == (
                f"{option} needs PostgreSQL {since} or newer, this server is {major}.3."
            )


@ALL
def test_missing_tables_are_all_told(major: int) -> None:
    request = asked("nowhere", "a", "none")
    assert problem(request, there("a"), major=major) == (
        "2 problems, nothing was changed:"
        "\n- tables[0]: table nowhere does not exist in database d."
        "\n- tables[2]: table none does not exist in database d."
    )


@ALL
def test_two_names_that_both_exist(major: int) -> None:
    assert problem(asked(new_name="navy"), there(), there(name="navy"), major=major) == (
        "new_name: the publications 'fleet' and 'navy' both exist."
    )


@ALL
def test_two_names_that_do_not_exist(major: int) -> None:
    assert problem(asked("a", new_name="navy"), major=major) == (
        "new_name: neither publication 'fleet' nor 'navy' exists. To create one, leave new_name out."
    )


@ALL
def test_not_all_tables_but_which(major: int) -> None:
    assert problem(asked(all_tables=False), there(all_tables=True), major=major) == (
        "all_tables: the publication is of all tables; say in tables or schemas what it is to"
        " publish instead (tables: [] for nothing)."
    )


@ALL
def test_a_standby_changes_nothing(major: int) -> None:
    told = "This server is a standby: change the publication on the primary, and it arrives here."
    standby = {"major": major, "in_recovery": True}
    for request in (asked("b"), asked(present=False), asked(comment="c"), asked(new_name="n")):
        assert problem(request, there("a"), **standby) == told
    assert said(asked("a"), there("a"), **standby) == []
    assert said(asked(present=False), **standby) == []


# --- replica identity ----------------------------------------------------------------------------

NO_IDENTITY = (
    "Table {0} has no replica identity, so updates and deletes of it would fail on the publisher:"
    " give it a primary key, or ALTER TABLE {0} REPLICA IDENTITY FULL, or set publish to insert and"
    " truncate, or require_replica_identity to false."
)
NO_COLUMN = (
    "Table s.a: its column list leaves out columns of its replica identity, so updates and deletes"
    " of it would fail on the publisher: add id to columns."
)
FULL_COLUMNS = (
    "Table s.full: its replica identity is FULL, which no column list serves, so updates and"
    " deletes of it would fail on the publisher: leave columns out, or give it a replica identity"
    " that is a key."
)
OUTSIDE = (
    "Table s.a: its filter uses columns outside its replica identity, so updates and deletes of it"
    " would fail on the publisher: filter by the identity's columns, publish only insert and"
    " truncate, or ALTER TABLE s.a REPLICA IDENTITY FULL."
)


@ROWS
@pytest.mark.parametrize(
    ("one", "told"),
    [
        ("bare", NO_IDENTITY.format("s.bare")),
        (entry("bare", "id", "id > 1"), NO_IDENTITY.format("s.bare")),
        (entry("a", "x"), NO_COLUMN),
        (entry("a", "x", "x > 1"), NO_COLUMN),
        (entry("full", "id x"), FULL_COLUMNS),
        (entry("a", where="x > 1"), OUTSIDE),
        (entry("a", "id", "x > 1"), OUTSIDE),
        (entry("a", where="id > 1 or x > 1"), OUTSIDE),
        ("full", None),
        (entry("full", where="x > 1"), None),
        (entry("a", "x id", "id > 1"), None),
        ("view", None),  # the server says what is wrong with that
    ],
)
def test_replica_identity(major: int, one: Any, told: str | None) -> None:
    for operation in ("update", "delete"):
        request = asked(one, publish=frozenset({"insert", operation}))
        if told is None:
            assert plan(request, major=major).changed
        else:
            assert problem(request, major=major) == told
            assert problem(request, there(), major=major) == told
    assert plan(asked(one, publish=frozenset({"insert", "truncate"})), major=major).changed
    assert plan(asked(one, require_replica_identity=False), major=major).changed


@ALL
def test_replica_identity_of_leaves(major: int) -> None:
    without = {**RELATIONS, 13: replace(RELATIONS[13], identity=None)}
    assert problem(asked("parts"), major=major, relations=without) == (
        NO_IDENTITY.format("s.part_kr")
    )
    foreign = {**RELATIONS, 13: replace(RELATIONS[13], identity=None, publishable=False)}
    assert plan(asked("parts"), major=major, relations=foreign).changed


@ALL
def test_replica_identity_is_judged_where_the_task_says_what_is_published(major: int) -> None:
    before = there("bare", publish=frozenset({"insert"}))
    told = NO_IDENTITY.format("s.bare")
    assert problem(asked(publish=frozenset({"delete"})), before, major=major) == told
    both = replace(before, publish=frozenset({"insert", "update"}))
    assert problem(asked("bare"), both, major=major) == told
    assert said(asked(), both, major=major) == []
    assert said(asked(comment="c"), both, major=major) == [
        "COMMENT ON PUBLICATION \"fleet\" IS 'c'"
    ]


@ALL
def test_replica_identity_of_all_tables(major: int) -> None:
    covered = ((Relation(50, TableName("x", "t")), frozenset({"x"})),)
    told = NO_IDENTITY.format("x.t")
    known: dict[str, Any] = {"major": major, "covered": covered}
    assert problem(asked(all_tables=True), **known) == told
    before = there(all_tables=True, publish=frozenset({"insert"}))
    assert problem(asked(publish=frozenset({"update"})), before, **known) == told
    assert said(asked("a", publish=frozenset({"update"})), before, **known)


@ROWS
def test_replica_identity_of_schemas(major: int) -> None:
    covered = (
        (Relation(50, TableName("y", "leaf")), frozenset({"x", "y"})),
        (Relation(51, TableName("z", "t")), frozenset({"z"})),
    )
    known: dict[str, Any] = {"major": major, "covered": covered}
    told = NO_IDENTITY.format("y.leaf")
    assert problem(asked(schemas=("x",)), **known) == told
    before = there(schemas=frozenset({"x", "z"}), publish=frozenset({"insert"}))
    assert problem(asked(publish=frozenset({"update"}), schemas=("x",)), before, **known) == told
    assert "z.t" in problem(asked(publish=frozenset({"update"})), before, **known)
    assert said(asked("a", publish=frozenset({"update"})), before, **known)


@ALL
@pytest.mark.parametrize(
    ("one", "identity", "generated", "told"),
    [
        ("a", {"identity_full": True}, {"stored": {"x"}}, "x is"),
        ("a", {"identity": KEY}, {"stored": {"id", "x"}}, "id is"),
        ("a", {"identity": KEY | {"x"}}, {"stored": {"id", "x"}}, "id, x are"),
        ("a", {"identity": KEY}, {"stored": {"x"}, "virtual": {"y"}}, None),
        (entry("a", "id x"), {"identity": KEY}, {"stored": {"id"}}, None),
        ("a", {"identity_full": True}, {"virtual": {"x"}}, "virtual"),
    ],
)
def test_generated_columns_in_the_identity(
    major: int, one: Any, identity: dict[str, Any], generated: dict[str, Any], told: str | None
) -> None:
    """From 18 on, the server refuses to update what it cannot publish the identity of."""
    if isinstance(one, TableRequest) and major < 15:
        pytest.skip("no column lists")
    columns = {kind: frozenset(names) for kind, names in generated.items()}
    relations = {**RELATIONS, 1: Relation(1, table("a"), **identity, **columns)}
    known: dict[str, Any] = {"major": major, "relations": relations}
    if told is None or major < 18:
        assert plan(asked(one), **known).changed
        return
    if told == "virtual":
        told = (
            "Table s.a: its replica identity is FULL and x is virtual, which cannot be published,"
            " so updates and deletes of it would fail on the publisher: give it a replica identity"
            " that is a key."
        )
        assert problem(asked(one, publish_generated_columns="stored"), **known) == told
    else:
        told = (
            f"Table s.a: {told} generated, part of its replica identity and not published, so"
            " updates and deletes of it would fail on the publisher: set publish_generated_columns"
            " to stored."
        )
        assert plan(asked(one, publish_generated_columns="stored"), **known).changed
    assert problem(asked(one), **known) == told
