# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.hmm.pg_replication.plugins.module_utils._conninfo import (
    Conninfo,
    HiddenConninfo,
)
from ansible_collections.hmm.pg_replication.plugins.module_utils._errors import (
    ReplicationError,
    ServerError,
)
from ansible_collections.hmm.pg_replication.plugins.module_utils._names import Lsn
from ansible_collections.hmm.pg_replication.plugins.module_utils._plan import Plan
from ansible_collections.hmm.pg_replication.plugins.module_utils._subscription import (
    NO_LSN,
    NO_SLOT,
    Subscription,
    SubscriptionRequest,
    SubscriptionServer,
    SubscriptionState,
    subscription_request,
)
from ansible_collections.hmm.pg_replication.plugins.module_utils._subscription_plan import (
    SubscriptionPlan,
    plan_forced_drop,
    plan_subscription,
)
from ansible_collections.hmm.pg_replication.plugins.module_utils._subscription_publisher import (
    publisher_advice,
    publisher_failed,
    slot_left_behind,
)
from ansible_collections.hmm.pg_replication.plugins.module_utils._versions import SUBSCRIPTION
from tests.unit.render import render, statements

MAJORS = (13, 14, 15, 16, 17, 18)
HERE = Conninfo({"host": "shore", "password": "old"})
THERE = Conninfo({"host": "shore", "password": "new"})
DEFAULTS: dict[str, Any] = {
    "binary": False,
    "streaming": "off",
    "two_phase": False,
    "disable_on_error": False,
    "password_required": True,
    "run_as_owner": False,
    "origin": "any",
    "failover": False,
}


def server(major: int = 18, **more: Any) -> SubscriptionServer:
    return SubscriptionServer(version=major * 10000 + 4, **more)


def there(major: int = 18, **more: Any) -> Subscription:
    """A subscription s as a server of this version has it."""
    options = {
        option: value for option, value in DEFAULTS.items() if major >= SUBSCRIPTION[option].create
    }
    return Subscription(
        **{
            "name": "s",
            "connection": HERE,
            "publications": ("p",),
            "enabled": True,
            "slot_name": "s",
            "owner": "postgres",
            **options,
            **more,
        }
    )


def plan(
    asked: dict[str, Any],
    found: Subscription | SubscriptionState | None,
    on: SubscriptionServer | None = None,
) -> SubscriptionPlan:
    state = SubscriptionState(found, oid=7) if isinstance(found, Subscription) else found
    states = {state.subscription.name: state} if state else {}
    return plan_subscription(SubscriptionRequest(**{"name": "s", **asked}), on or server(), states)


def refusal(*args: Any) -> str:
    with pytest.raises(ReplicationError) as raised:
        plan(*args)
    return raised.value.message


def alter(*changes: str) -> list[str]:
    return [f'ALTER SUBSCRIPTION "s" {change}' for change in changes]


NEW = {"connection": HERE, "publications": ("p", "q")}


# --- create --------------------------------------------------------------------------------------


@pytest.mark.parametrize("major", MAJORS)
@pytest.mark.parametrize(
    ("asked", "options", "rehearsed", "more"),
    [
        ({}, "", "enabled = false, create_slot = false, slot_name = NONE", []),
        (
            {"enabled": False},
            "enabled = false",
            "enabled = false, create_slot = false, slot_name = NONE",
            [],
        ),
        (
            {"copy_data": False, "slot_name": "x"},
            "copy_data = false, slot_name = 'x'",
            "copy_data = false, slot_name = NONE, enabled = false, create_slot = false",
            [],
        ),
        (
            {"slot_name": NO_SLOT},
            "enabled = false, create_slot = false, slot_name = NONE",
            "enabled = false, create_slot = false, slot_name = NONE",
            [],
        ),
        (
            {"create_slot": False},
            "create_slot = false",
            "create_slot = false, enabled = false, slot_name = NONE",
            [],
        ),
        ({"connect": False}, "connect = false", None, []),
        (
            {"connect": False, "slot_name": NO_SLOT},
            "connect = false, slot_name = NONE, enabled = false, create_slot = false",
            None,
            [],
        ),
        (
            {"comment": "it's", "owner": "postgres"},
            "",
            "enabled = false, create_slot = false, slot_name = NONE",
            ["COMMENT ON SUBSCRIPTION \"s\" IS 'it''s'"],
        ),
        (
            {"owner": "captain"},
            "",
            "enabled = false, create_slot = false, slot_name = NONE",
            alter('OWNER TO "captain"'),
        ),
    ],
)
def test_create(
    major: int, asked: dict[str, Any], options: str, rehearsed: str | None, more: list[str]
) -> None:
    planned = plan({**NEW, **asked}, None, server(major, owner_superuser=True))
    create = (
        'CREATE SUBSCRIPTION "s" CONNECTION \'host=shore password=********\' PUBLICATION "p", "q"'
    )
    first, *_rest = planned.steps
    assert statements(planned) == [create + (f" WITH ({options})" if options else ""), *more]
    assert (first.rehearsal and render(first.rehearsal)) == (
        rehearsed and f"{create} WITH ({rehearsed})"
    )
    assert planned.before == {"name": "s", "state": "absent"}
    assert planned.result is not None
    assert planned.after == planned.result.shown()


@pytest.mark.parametrize("major", MAJORS)
def test_defaults_of_a_new_one(major: int) -> None:
    result = plan(NEW, None, server(major)).result
    streaming = {"streaming": "parallel"} if major >= 18 else {}
    assert result == there(major, publications=("p", "q"), **streaming)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"connection": None}, "it does not exist, and connection is needed to create it."),
        ({"publications": None}, "it does not exist, and publications is needed to create it."),
        *(
            (
                {"connect": False, option: True},
                f"{option}: true is not possible when it is created with connect: false.",
            )
            for option in ("enabled", "create_slot", "copy_data")
        ),
        (
            {"slot_name": NO_SLOT, "create_slot": True},
            "create_slot: true is not possible with slot_name: none.",
        ),
        ({"owner": "nobody"}, "the role nobody does not exist."),
    ],
)
def test_create_refused(asked: dict[str, Any], message: str) -> None:
    assert refusal({**NEW, **asked}, None) == f"Subscription s: {message}"


def test_create_refused_for_its_name() -> None:
    message = refusal({**NEW, "name": "S-1"}, None)
    assert message.startswith("Subscription S-1: its slot would have its name, so give it a slot_n")


def test_all_problems_at_once() -> None:
    message = refusal({"connect": False, "copy_data": True}, None, server(in_recovery=True))
    assert message.startswith("4 problems, nothing was changed:\n- This server is a standby")


@pytest.mark.parametrize("major", MAJORS)
@pytest.mark.parametrize(
    ("role", "asked", "message"),
    [
        ({"may_subscribe": False}, {}, "may not create it: it has to be a superuser"),
        ({"may_create": False}, {}, "may not create it: it needs CREATE on the database"),
    ],
)
def test_roles_that_may_not_create(
    major: int, role: dict[str, Any], asked: dict[str, Any], message: str
) -> None:
    said = refusal({**NEW, **asked}, None, server(major, superuser=False, **role))
    assert message in said
    assert ("pg_create_subscription" in said) == (major >= 16 and "may_subscribe" in role)


# --- options by version --------------------------------------------------------------------------

OTHER = {
    "binary": True,
    "streaming": "on",
    "two_phase": True,
    "disable_on_error": True,
    "password_required": False,
    "run_as_owner": True,
    "origin": "none",
    "failover": True,
}
# What older servers do is what they are asked for here.
AS_EVER = {**DEFAULTS, "run_as_owner": True}


@pytest.mark.parametrize("major", MAJORS)
@pytest.mark.parametrize("option", DEFAULTS)
def test_option_by_version(option: str, major: int) -> None:
    since = SUBSCRIPTION[option]
    number = server(major)
    value = OTHER[option]
    if major < since.create:
        for found in (None, there(major)):
            assert plan({**NEW, option: AS_EVER[option]}, found, number).result is not None
            unlike = not value if option == "run_as_owner" else value
            assert f"{option} needs PostgreSQL {since.create} or newer, this server is" in refusal(
                {**NEW, option: unlike}, found, number
            )
        return
    text = f"'{value}'" if isinstance(value, str) else str(value).lower()
    created = plan({**NEW, option: value}, None, number)
    assert f"WITH ({option} = {text})" in statements(created)[0]
    assert not plan({option: value}, there(major, **{option: value}), number).changed
    if major < since.alter:
        message = refusal({option: value}, there(major), number)
        assert f"{option} can be changed from PostgreSQL {since.alter} on" in message
        return
    altered = plan({option: value}, there(major), number)
    assert alter(f"SET ({option} = {text})")[0] in statements(altered)
    assert altered.result == there(major, **{option: value})


@pytest.mark.parametrize("major", MAJORS)
def test_streaming_parallel(major: int) -> None:
    if major >= 16:
        planned = plan({"streaming": "parallel"}, there(major), server(major))
        assert statements(planned) == alter("SET (streaming = 'parallel')")
    else:
        said = "streaming" if major == 13 else "streaming=parallel"
        assert f"{said} needs PostgreSQL" in refusal(
            {"streaming": "parallel"}, there(major), server(major)
        )


# --- alter ---------------------------------------------------------------------------------------

WAIT = "SELECT NOT EXISTS (SELECT FROM pg_stat_subscription WHERE subid = 7 AND pid IS NOT NULL)"
PQ = {"publications": ("p", "q")}
SET_PQ = 'SET PUBLICATION "p", "q" WITH (refresh = {})'


@pytest.mark.parametrize(
    ("asked", "found", "expected"),
    [
        ({}, {}, []),
        ({"connection": HERE, "publications": ("p",), "enabled": True}, {}, []),
        ({"publications": ("q", "p")}, {"publications": ("p", "q")}, []),
        ({"create_slot": False, "copy_data": False, "connect": False}, {}, []),
        ({"enabled": False}, {}, ["DISABLE"]),
        ({"enabled": True}, {"enabled": False}, ["ENABLE", "REFRESH PUBLICATION"]),
        ({"enabled": True, "refresh": "never"}, {"enabled": False}, ["ENABLE"]),
        (
            {"enabled": True, "copy_data": False},
            {"enabled": False},
            ["ENABLE", "REFRESH PUBLICATION WITH (copy_data = false)"],
        ),
        ({"refresh": "always"}, {}, ["REFRESH PUBLICATION"]),
        ({"refresh": "always"}, {"enabled": False}, []),
        (PQ, {}, [SET_PQ.format("true")]),
        ({**PQ, "copy_data": False}, {}, [SET_PQ.format("true, copy_data = false")]),
        ({**PQ, "refresh": "never"}, {}, [SET_PQ.format("false")]),
        (PQ, {"enabled": False}, [SET_PQ.format("false")]),
        ({**PQ, "enabled": False}, {}, ["DISABLE", SET_PQ.format("false")]),
        ({**PQ, "enabled": True}, {"enabled": False}, ["ENABLE", SET_PQ.format("true")]),
        ({"connection": THERE}, {}, ["CONNECTION 'host=shore password=********'"]),
        (
            {"slot_name": NO_SLOT, "enabled": False},
            {},
            ["DISABLE", "SET (slot_name = NONE)"],
        ),
        (
            {"slot_name": "x", "enabled": True, "refresh": "never"},
            {"slot_name": NO_SLOT, "enabled": False},
            ["SET (slot_name = 'x')", "ENABLE"],
        ),
        ({"owner": "captain"}, {}, ['OWNER TO "captain"']),
        (
            {"owner": "captain", "connection": THERE, "binary": True, "new_name": "t"},
            {},
            [
                'OWNER TO "captain"',
                "SET (binary = true)",
                "CONNECTION 'host=shore password=********'",
                'RENAME TO "t"',
            ],
        ),
        ({"skip_lsn": Lsn(0x10)}, {}, ["SKIP (lsn = '0/10')"]),
        ({"skip_lsn": Lsn(0x10)}, {"skip_lsn": Lsn(0x10)}, []),
        ({"skip_lsn": NO_LSN}, {}, []),
        ({"skip_lsn": NO_LSN}, {"skip_lsn": Lsn(0x10)}, ["SKIP (lsn = NONE)"]),
        (
            {"skip_lsn": Lsn(0x10), "enabled": True, "refresh": "never"},
            {"enabled": False},
            ["SKIP (lsn = '0/10')", "ENABLE"],
        ),
        ({"failover": True}, {"enabled": False}, ["SET (failover = true)"]),
        (
            {"failover": True, "two_phase": True, "binary": True},
            {},
            ["DISABLE", "SET (binary = true)", "SET (two_phase = true, failover = true)", "ENABLE"],
        ),
        ({"failover": True, "enabled": False}, {}, ["DISABLE", "SET (failover = true)"]),
        (
            {"failover": True, "enabled": True, **PQ},
            {"enabled": False},
            ["SET (failover = true)", "ENABLE", SET_PQ.format("true")],
        ),
    ],
)
def test_alter(asked: dict[str, Any], found: dict[str, Any], expected: list[str]) -> None:
    planned = plan(asked, there(**found), server(owner_superuser=True))
    assert statements(planned) == alter(*expected)
    assert planned.changed == bool(expected)
    made = planned.result
    assert made is not None
    for option in ("enabled", "slot_name", "binary", "failover", "two_phase", "owner"):
        assert getattr(made, option) == asked.get(option, getattr(there(**found), option))
    # What it makes needs nothing more.
    again = {
        option: value for option, value in asked.items() if option not in ("refresh", "new_name")
    }
    assert not plan({**again, "name": made.name}, made, server(owner_superuser=True)).changed


@pytest.mark.parametrize(("comment", "text"), [("x", "'x'"), ("", "NULL")])
def test_comment(comment: str, text: str) -> None:
    planned = plan({"comment": comment}, there(comment="y"))
    assert statements(planned) == [f'COMMENT ON SUBSCRIPTION "s" IS {text}']
    assert not plan({"comment": comment}, there(comment=comment)).changed


def test_it_is_enabled_again_whatever_happens() -> None:
    disable, wait, change, enable = plan({"failover": True}, there()).steps
    assert disable.undo is not None
    assert render(disable.undo) == alter("ENABLE")[0]
    assert render(wait.statement) == WAIT
    assert wait.wait_for
    assert change.rehearsed() is None
    assert enable.undo is None


def test_a_failed_refresh_disables_again() -> None:
    enable, refresh = plan({"enabled": True, **PQ}, there(enabled=False)).steps
    assert enable.undo is not None
    assert render(enable.undo) == alter("DISABLE")[0]
    assert refresh.rehearsal is not None
    assert render(refresh.rehearsal) == alter(SET_PQ.format("false"))[0]


def test_no_wait_where_nothing_runs() -> None:
    found = there(enabled=False)
    assert len(plan({"failover": True}, found).steps) == 1
    assert len(plan({"failover": True}, SubscriptionState(found, running=True)).steps) == 2


def test_a_role_gives_away_its_subscription_last() -> None:
    planned = plan(
        {"owner": "mate", "enabled": True, "connection": THERE},
        there(enabled=False),
        server(superuser=False, owner_superuser=False),
    )
    assert statements(planned)[-1] == alter('OWNER TO "mate"')[0]


@pytest.mark.parametrize(
    ("asked", "found", "message"),
    [
        (
            {"slot_name": NO_SLOT},
            {},
            "without a slot it cannot be enabled: set enabled: false, or a slot_name.",
        ),
        (
            {"enabled": True},
            {"slot_name": NO_SLOT, "enabled": False},
            "without a slot it cannot be enabled: set enabled: false, or a slot_name.",
        ),
        (
            {"failover": True},
            {"slot_name": NO_SLOT, "enabled": False},
            "without a slot its failover cannot be changed: set a slot_name.",
        ),
        ({"owner": "nobody"}, {}, "the role nobody does not exist."),
    ],
)
def test_alter_refused(asked: dict[str, Any], found: dict[str, Any], message: str) -> None:
    assert refusal(asked, there(**found)) == f"Subscription s: {message}"


@pytest.mark.parametrize("major", [15, 16, 17, 18])
def test_refresh_while_two_phase_is_in_force(major: int) -> None:
    state = SubscriptionState(there(major, two_phase=True), two_phase_in_force=True)
    number = server(major)
    for asked in (PQ, {"refresh": "always"}):
        assert "set copy_data: false, or refresh: never." in refusal(asked, state, number)
        assert plan({**asked, "copy_data": False}, state, number).refreshed
    disabled = replace(state, subscription=replace(state.subscription, enabled=False))
    planned = plan({"enabled": True}, disabled, number)
    assert statements(planned) == alter("ENABLE")
    assert len(planned.warnings) == 1


def test_warning_where_a_refresh_is_due_and_cannot_be() -> None:
    for asked in (PQ, {"refresh": "always"}):
        planned = plan(asked, there(enabled=False))
        assert planned.warnings[0].startswith("Subscription s is disabled, so that the tables of")
        assert not planned.refreshed


# --- the connection ------------------------------------------------------------------------------


def test_a_new_secret_shows_as_a_change_and_nothing_else() -> None:
    planned = plan({"connection": THERE}, there())
    assert planned.before["connection"] == {"host": "shore", "password": "********"}
    assert planned.after["connection"] == {"host": "shore", "password": "******** (changed)"}
    assert planned.result is not None
    assert planned.result.shown()["connection"]["password"] == "********"


def test_a_connection_that_cannot_be_seen_is_left() -> None:
    planned = plan({"connection": THERE}, there(connection=None))
    assert not planned.changed
    (warning,) = planned.warnings
    assert warning.startswith(
        "Subscription s: its stored connection cannot be seen by postgres, so"
    )
    assert plan({}, there(connection=None)).warnings == []


def test_a_connection_that_cannot_be_read_is_replaced() -> None:
    state = SubscriptionState(there(connection=None), unreadable=True)
    planned = plan({"connection": THERE}, state)
    assert statements(planned) == alter("CONNECTION 'host=shore password=********'")


# --- skip ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("progress", "changed"), [(None, True), (0x0F, True), (0x10, False), (0x11, False)]
)
def test_skip_what_is_passed_already(progress: int | None, changed: bool) -> None:
    state = SubscriptionState(there(), progress=None if progress is None else Lsn(progress))
    planned = plan({"skip_lsn": Lsn(0x10)}, state)
    assert planned.changed == changed


@pytest.mark.parametrize("major", [13, 14])
def test_skip_is_too_new(major: int) -> None:
    for found in (None, there(major)):
        message = refusal({**NEW, "publications": ("p",), "skip_lsn": Lsn(1)}, found, server(major))
        assert "skip_lsn needs PostgreSQL 15 or newer" in message


# --- roles ---------------------------------------------------------------------------------------

MATE = {"role": "mate", "superuser": False}


@pytest.mark.parametrize("major", [16, 17, 18])
@pytest.mark.parametrize(
    ("asked", "found", "role", "message"),
    [
        ({"enabled": False}, {"owned": False}, {}, "mate may not alter it: it belongs to cook."),
        ({"password_required": False}, {}, {}, "only a superuser may set password_required: fals"),
        (
            {"enabled": False},
            {"password_required": False},
            {},
            "with password_required: false, only a superuser may alter it.",
        ),
        ({"new_name": "t"}, {}, {"may_create": False}, "to rename it, mate needs CREATE on the da"),
        (
            {"owner": "captain"},
            {},
            {"owner_superuser": True, "may_give_to_owner": False},
            "to give it to captain, mate has to be a member of that role",
        ),
        (
            {"connection": Conninfo({"host": "x", "passfile": "y"})},
            {},
            {},
            "its owner cook is not a superuser, so that connection needs a password (a passfile is",
        ),
    ],
)
def test_what_ordinary_roles_may_not(
    major: int,
    asked: dict[str, Any],
    found: dict[str, Any],
    role: dict[str, Any],
    message: str,
) -> None:
    options = {key: value for key, value in found.items() if key != "owned"}
    state = SubscriptionState(
        there(major, owner="cook", **options),
        owner_superuser=False,
        owned=found.get("owned", True),
    )
    assert message in refusal(asked, state, server(major, **MATE, **role))


@pytest.mark.parametrize("major", MAJORS)
def test_owner_by_version(major: int) -> None:
    number = server(major, owner_superuser=False)
    if major < 16:
        assert "before PostgreSQL 16 its owner has to be a superuser, and mate is not" in refusal(
            {"owner": "mate"}, there(major), number
        )
    else:
        assert statements(plan({"owner": "mate"}, there(major), number)) == alter('OWNER TO "mate"')
        bare = there(major, connection=Conninfo({"host": "x"}))
        assert "needs a password" in refusal({"owner": "mate"}, bare, number)
        assert plan({"owner": "mate", "password_required": False}, bare, number).changed
        assert plan({"owner": "mate", "connection": THERE}, bare, number).changed


# --- names ---------------------------------------------------------------------------------------


def test_rename() -> None:
    planned = plan({"new_name": "t", "enabled": False}, there())
    assert statements(planned) == alter("DISABLE", 'RENAME TO "t"')
    assert planned.after["name"] == "t"


def test_renamed_already() -> None:
    assert not plan({"new_name": "t"}, there(name="t")).changed
    planned = plan({"new_name": "t", "enabled": False}, there(name="t"))
    assert statements(planned) == ['ALTER SUBSCRIPTION "t" DISABLE']
    assert not plan({"new_name": "s"}, there()).changed


def test_rename_refused() -> None:
    assert refusal({"new_name": "t"}, None) == (
        "new_name: neither subscription s nor t exists. To create one, leave new_name out."
    )
    states = {name: SubscriptionState(there(name=name)) for name in ("s", "t")}
    with pytest.raises(ReplicationError, match="s cannot be renamed: t exists as well"):
        plan_subscription(SubscriptionRequest("s", new_name="t"), server(), states)


# --- drop ----------------------------------------------------------------------------------------

ABSENT = {"present": False}


def test_drop() -> None:
    assert not plan(ABSENT, None).changed
    planned = plan(ABSENT, there())
    assert statements(planned) == ['DROP SUBSCRIPTION "s"']
    assert planned.steps[0].rehearsed() is None
    assert planned.before == there().shown()
    assert planned.after == {"name": "s", "state": "absent"}
    assert statements(plan({**ABSENT, "force": True}, there())) == [
        "SET statement_timeout = '30s'",
        'DROP SUBSCRIPTION "s"',
    ]


def test_drop_refused() -> None:
    state = SubscriptionState(there(owner="cook"), owned=False)
    assert "mate may not drop it: it belongs to cook." in refusal(ABSENT, state, server(**MATE))
    assert "standby" in refusal(ABSENT, there(), server(in_recovery=True))


def test_forced_drop() -> None:
    planned = plan_forced_drop("s")
    assert isinstance(planned, Plan)
    cut_off = alter(
        "DISABLE", "SET (slot_name = NONE)", "CONNECTION 'host=/nonexistent password=none'"
    )
    assert statements(planned) == [*cut_off, 'DROP SUBSCRIPTION "s"']


@pytest.mark.parametrize(
    ("sqlstate", "failed"),
    [
        ("08006", True),
        ("08P01", True),
        ("XX000", True),
        ("42601", True),
        ("2F003", True),
        ("57014", True),
        ("42501", False),
        ("55P03", False),
        (None, False),
    ],
)
def test_publisher_failed(sqlstate: str | None, failed: bool) -> None:
    assert publisher_failed(ServerError("told", sqlstate)) == failed


@pytest.mark.parametrize(
    ("message", "sqlstate", "present", "advice"),
    [
        (
            "told",
            "08006",
            True,
            " It is the subscriber's server that connects to the publisher (sh",
        ),
        ("no publisher", "XX000", True, " It is the subscriber's server that connects to the"),
        ("told", "XX000", True, ""),
        ("told", "2F003", True, ""),
        (
            "replication slot already exists",
            "XX000",
            True,
            " The publisher has a slot of that name: drop it",
        ),
        (
            "told",
            "XX000",
            False,
            " The slot of a subscription is dropped on its publisher (shore:5",
        ),
        ("told", "42501", False, ""),
    ],
)
def test_publisher_advice(message: str, sqlstate: str, present: bool, advice: str) -> None:
    said = publisher_advice(ServerError(message, sqlstate), there(), present)
    assert said.startswith(advice)
    assert bool(said) == bool(advice)


def test_slot_left_behind() -> None:
    connection = Conninfo({"hostaddr": "192.0.2.1", "user": "feeder", "password": "x"})
    state = SubscriptionState(there(connection=connection), sync_slots=("pg_1",))
    error = ServerError("could not connect", "08006")
    where = {"host": "192.0.2.1", "port": "5432", "dbname": "feeder", "others": ["pg_1"]}
    assert slot_left_behind(error, state) == {"slot_name": "s", **where}
    gone = ServerError('replication slot "s" does not exist', "08006")
    assert slot_left_behind(gone, state) == {"slot_name": None, **where}
    assert slot_left_behind(gone, replace(state, sync_slots=())) is None
    unseen = SubscriptionState(there(connection=None))
    left = slot_left_behind(error, unseen)
    assert left == {"slot_name": "s", "host": None, "port": None, "dbname": None, "others": []}


# --- the request ---------------------------------------------------------------------------------

PARAMS = {
    **dict.fromkeys(
        (
            "connection",
            "publications",
            "enabled",
            "slot_name",
            "create_slot",
            "copy_data",
            "connect",
            "binary",
            "streaming",
            "synchronous_commit",
            "two_phase",
            "disable_on_error",
            "password_required",
            "run_as_owner",
            "origin",
            "failover",
            "skip_lsn",
            "owner",
            "comment",
            "new_name",
        )
    ),
    "name": "s",
    "state": "present",
    "refresh": "when_changed",
    "force": False,
}


def test_request_of_nothing() -> None:
    assert subscription_request(PARAMS) == SubscriptionRequest("s")


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"slot_name": "NONE"}, {"slot_name": NO_SLOT}),
        ({"slot_name": "none"}, {"slot_name": NO_SLOT}),
        ({"slot_name": "x_1"}, {"slot_name": "x_1"}),
        ({"skip_lsn": "none"}, {"skip_lsn": NO_LSN}),
        ({"skip_lsn": "1/0"}, {"skip_lsn": Lsn(1 << 32)}),
        ({"publications": ["b", "a", "b"]}, {"publications": ("b", "a")}),
        ({"connection": HiddenConninfo(HERE)}, {"connection": HERE}),
        ({"comment": ""}, {"comment": ""}),
        ({"state": "absent", "force": True}, {"present": False, "force": True}),
    ],
)
def test_request(params: dict[str, Any], expected: dict[str, Any]) -> None:
    assert subscription_request({**PARAMS, **params}) == SubscriptionRequest(
        **{"name": "s", **expected}
    )


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"name": ""}, "name: a name cannot be empty."),
        ({"name": "x" * 64}, "is longer than 63 bytes"),
        ({"name": "\u00e4" * 32}, "is longer than 63 bytes"),
        ({"new_name": "x" * 64}, "is longer than 63 bytes"),
        ({"owner": ""}, "owner: a name cannot be empty."),
        ({"publications": []}, "publications: the list is empty"),
        ({"publications": [""]}, "publications: a name cannot be empty."),
        ({"slot_name": "A-b"}, "is not a replication slot name"),
        ({"skip_lsn": "12"}, "is not an LSN"),
        ({"connection": HiddenConninfo(error="told")}, "connection: told."),
        ({"slot_name": "none", "enabled": True}, "without a slot cannot be enabled"),
        ({"state": "absent", "new_name": "x"}, "nothing to rename"),
    ],
)
def test_request_refused(params: dict[str, Any], message: str) -> None:
    with pytest.raises(ReplicationError) as raised:
        subscription_request({**PARAMS, **params})
    assert message in raised.value.message
