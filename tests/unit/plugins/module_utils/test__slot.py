# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.hmm.pg_replication.plugins.module_utils._errors import ReplicationError
from ansible_collections.hmm.pg_replication.plugins.module_utils._names import Lsn
from ansible_collections.hmm.pg_replication.plugins.module_utils._plan import Plan, Way
from ansible_collections.hmm.pg_replication.plugins.module_utils._slot import (
    Slot,
    SlotRequest,
    SlotServer,
    SlotState,
    plan_slots,
    slot_request,
)
from tests.unit.render import statements

MAJORS = range(13, 19)
ALL = pytest.mark.parametrize("major", MAJORS)
# The options of a logical slot and the first version that has them.
FLAGS = {"two_phase": 14, "failover": 17}
NOW = Lsn.parse("now", "0/5000")


def request(*names: str, **options: Any) -> SlotRequest:
    params: dict[str, Any] = {
        "name": list(names or ("ship",)),
        "state": "present",
        "slot_type": None,
        "plugin": None,
        "immediately_reserve": True,
        "two_phase": None,
        "failover": None,
        "copy_from": None,
        "advance_to": None,
        "on_lost": "fail",
        "force": False,
    }
    assert set(options) <= set(params)
    return slot_request({**params, **options})


def server(major: int = 18, **known: Any) -> SlotServer:
    return SlotServer(**{"version": major * 10000 + 3, "database": "d", "position": NOW, **known})


def physical(name: str = "ship", **known: Any) -> SlotState:
    return SlotState(Slot(name, "physical"), **{"restart_lsn": Lsn(0x1000), **known})


def logical(  # noqa: PLR0913, PLR0917
    name: str = "ship",
    major: int = 18,
    plugin: str = "pgoutput",
    database: str = "d",
    two_phase: bool = False,
    failover: bool = False,
    **known: Any,
) -> SlotState:
    slot = Slot(
        name,
        "logical",
        plugin,
        database,
        two_phase if major >= 14 else None,
        failover if major >= 17 else None,
    )
    return SlotState(
        slot, **{"restart_lsn": Lsn(0x1000), "confirmed_flush_lsn": Lsn(0x2000), **known}
    )


def plan(asked: SlotRequest, on: SlotServer, *found: SlotState) -> Plan:
    return plan_slots(asked, on, {state.slot.name: state for state in found})


def problem(asked: SlotRequest, on: SlotServer, *found: SlotState) -> str:
    with pytest.raises(ReplicationError) as raised:
        plan(asked, on, *found)
    return raised.value.message


def flags(major: int, **values: bool) -> dict[str, bool]:
    """Those of the logical slots of a version."""
    return {flag: values.get(flag, False) for flag, since in FLAGS.items() if major >= since}


# --- the options by themselves -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"name": []}, "name: the list is empty; name at least one slot."),
        (
            {"name": ["Ship"]},
            (
                "name: 'Ship' is not a replication slot name: lower-case letters, digits and"
                " underscores, 1 to 63 of them."
            ),
        ),
        (
            {"copy_from": ""},
            (
                "copy_from: '' is not a replication slot name: lower-case letters, digits and"
                " underscores, 1 to 63 of them."
            ),
        ),
        ({"copy_from": "ship"}, "copy_from: ship cannot be copied from itself."),
        ({"advance_to": ""}, "advance_to: '' is not an LSN, which looks like 16/B374D848."),
        ({"advance_to": "now"}, "advance_to: 'now' is not an LSN, which looks like 16/B374D848."),
        (
            {"plugin": "", "slot_type": "logical"},
            "plugin: a name cannot be empty.",
        ),
        (
            {"plugin": "x" * 64, "slot_type": "logical"},
            f"plugin: {'x' * 64!r} is longer than 63 bytes, and PostgreSQL would cut it.",
        ),
        ({"plugin": "pgoutput"}, "plugin: only a logical slot has it (slot_type)."),
        (
            {"two_phase": True, "slot_type": "physical"},
            "two_phase: only a logical slot has it (slot_type).",
        ),
        ({"failover": True}, "failover: only a logical slot has it (slot_type)."),
    ],
)
def test_wrong_options(options: dict[str, Any], told: str) -> None:
    with pytest.raises(ReplicationError) as raised:
        request(**options)
    assert raised.value.message == told


def test_names_count_once() -> None:
    assert request("b", "a", "b").names == ("b", "a")


def test_what_a_physical_slot_does_not_have_may_be_off() -> None:
    assert request(two_phase=False, failover=False).created_type == "physical"


# --- create --------------------------------------------------------------------------------------


@ALL
@pytest.mark.parametrize("reserve", [True, False])
def test_create_physical(major: int, reserve: bool) -> None:
    made = plan(request("a", "b", immediately_reserve=reserve), server(major))
    assert statements(made) == [
        (
            "SELECT slot.* FROM unnest(ARRAY['a', 'b']::name[]) AS name,"
            f" LATERAL pg_create_physical_replication_slot(name, {str(reserve).lower()}) AS slot"
        )
    ]
    assert made.steps[0].way is Way.AUTOCOMMIT
    assert made.before == {}
    assert made.after == {"a": {"slot_type": "physical"}, "b": {"slot_type": "physical"}}


@ALL
@pytest.mark.parametrize("plugin", [None, "test_decoding"])
def test_create_logical(major: int, plugin: str | None) -> None:
    made = plan(request(slot_type="logical", plugin=plugin), server(major))
    name = plugin or "pgoutput"
    arguments = ", ".join([f"'{name}'", "false", *("false" for _flag in flags(major))])
    assert statements(made) == [
        (
            "SELECT slot.* FROM unnest(ARRAY['ship']::name[]) AS name,"
            f" LATERAL pg_create_logical_replication_slot(name, {arguments}) AS slot"
        )
    ]
    assert made.after == {
        "ship": {"slot_type": "logical", "plugin": name, "database": "d", **flags(major)}
    }


@ALL
@pytest.mark.parametrize("flag", FLAGS)
@pytest.mark.parametrize("value", [True, False])
def test_create_with_a_flag(major: int, flag: str, value: bool) -> None:
    asked = request(slot_type="logical", **{flag: value})
    if value and major < FLAGS[flag]:
        assert problem(asked, server(major)) == (
            f"{flag} needs PostgreSQL {FLAGS[flag]} or newer, this server is {major}.3."
        )
        return
    made = plan(asked, server(major))
    values = flags(major, **{flag: value} if major >= FLAGS[flag] else {})
    arguments = "".join(f", {str(given).lower()}" for given in values.values())
    assert f"(name, 'pgoutput', false{arguments})" in statements(made)[0]
    assert made.after["ship"].items() >= values.items()


@ALL
def test_only_what_is_missing_is_created(major: int) -> None:
    made = plan(request("a", "b", "c"), server(major), physical("b"))
    assert "ARRAY['a', 'c']" in statements(made)[0]
    assert set(made.after) == {"a", "c"}
    assert len(made.steps) == 1


@ALL
@pytest.mark.parametrize(
    ("asked", "on", "told"),
    [
        (
            request(slot_type="logical"),
            {"wal_level": "replica"},
            "wal_level is replica: a logical slot needs logical, and a restart of the server.",
        ),
        (
            request(),
            {"wal_level": "minimal"},
            "wal_level is minimal: set it to replica or logical, and restart the server.",
        ),
        (
            request("a", "b"),
            {"max_slots": 3, "used_slots": 2},
            (
                "2 of 3 replication slots are in use, and 2 more are needed: raise"
                " max_replication_slots (a restart), or drop slots that nothing uses."
            ),
        ),
        (
            request(),
            {"may_replicate": False},
            (
                "The connecting role may not manage replication slots: it has to be a superuser or"
                " have the attribute REPLICATION (ALTER ROLE ... REPLICATION)."
            ),
        ),
        (
            request(copy_from="source"),
            {},
            "copy_from: slot source does not exist.",
        ),
        (
            request(advance_to="0/5001"),
            {},
            "advance_to: 0/5001 is ahead of the server, which is at 0/5000.",
        ),
        (
            request(advance_to="0/1", immediately_reserve=False),
            {},
            "advance_to: a new slot needs immediately_reserve for it.",
        ),
    ],
)
def test_what_the_server_would_refuse(
    major: int, asked: SlotRequest, on: dict[str, Any], told: str
) -> None:
    assert problem(asked, server(major, **on)) == told


@ALL
def test_room_for_exactly_those(major: int) -> None:
    full = server(major, max_slots=3, used_slots=1)
    assert plan(request("a", "b"), full).changed
    assert "and 3 more" in problem(request("a", "b", "c"), full)


@ALL
def test_a_full_server_may_make_anew_what_is_lost(major: int) -> None:
    full = server(major, max_slots=1, used_slots=1)
    lost = physical(wal_status="lost", restart_lsn=None)
    assert plan(request(on_lost="recreate"), full, lost).changed


def test_replica_does_for_a_physical_slot() -> None:
    assert plan(request(), server(wal_level="replica")).changed


@ALL
def test_a_logical_slot_on_a_standby(major: int) -> None:
    standby = server(major, in_recovery=True)
    if major < 16:
        assert problem(request(slot_type="logical"), standby) == (
            f"A logical slot on a standby needs PostgreSQL 16 or newer, this server is {major}.3."
        )
    else:
        assert plan(request(slot_type="logical"), standby).changed
    assert plan(request(), standby).changed


@pytest.mark.parametrize("major", [17, 18])
def test_no_failover_on_a_standby(major: int) -> None:
    standby = server(major, in_recovery=True)
    asked = request(slot_type="logical", failover=True)
    assert problem(asked, standby) == "failover: not possible for a slot created on a standby."
    assert problem(asked, standby, logical()) == (
        "Slot ship cannot be given failover=true on a standby."
    )


def test_every_problem_is_told_at_once() -> None:
    told = problem(
        request("a", "b", slot_type="logical", failover=True),
        server(14, wal_level="replica"),
        logical("a", 14, database="other"),
    )
    assert told == (
        "3 problems, nothing was changed:\n"
        "- Slot a exists with the database other, not d, which cannot be changed: drop it first,"
        " or take another name.\n"
        "- wal_level is replica: a logical slot needs logical, and a restart of the server.\n"
        "- failover needs PostgreSQL 17 or newer, this server is 14.3."
    )


# --- what is there -------------------------------------------------------------------------------


@ALL
@pytest.mark.parametrize("may_replicate", [True, False])
def test_nothing_to_do(major: int, may_replicate: bool) -> None:
    on = server(major, may_replicate=may_replicate, wal_level="minimal", max_slots=1, used_slots=1)
    for asked, found in (
        (request(), physical()),
        (request(), physical(active_pid=7)),
        (request(slot_type="logical"), logical(major=major)),
        (request(slot_type="logical", two_phase=False), logical(major=major)),
        (request(slot_type="logical", failover=False), logical(major=major)),
        (request(slot_type="logical"), logical(major=major, two_phase=True, failover=True)),
        (request(state="absent"), physical("another")),
    ):
        made = plan(asked, on, found)
        assert not made.changed
        assert (made.before, made.after, made.warnings) == ({}, {}, [])


@ALL
@pytest.mark.parametrize(
    ("asked", "found", "what"),
    [
        (request(), {"slot": "logical"}, "type logical, not physical"),
        (request(slot_type="logical"), {"slot": "physical"}, "type physical, not logical"),
        (
            request(slot_type="logical"),
            {"plugin": "test_decoding"},
            "plugin test_decoding, not pgoutput",
        ),
        (
            request(slot_type="logical", plugin="test_decoding"),
            {},
            "plugin pgoutput, not test_decoding",
        ),
        (request(slot_type="logical"), {"database": "other"}, "database other, not d"),
    ],
)
@pytest.mark.parametrize("lost", [False, True])
def test_what_no_server_can_change(
    major: int, asked: SlotRequest, found: dict[str, Any], what: str, lost: bool
) -> None:
    kind = physical if found.get("slot") == "physical" else logical
    known = {key: value for key, value in found.items() if key != "slot"}
    state = kind(**known, **({"wal_status": "lost"} if lost else {}))
    assert problem(asked, server(major), state) == (
        f"Slot ship exists with the {what}, which cannot be changed: drop it first, or take"
        " another name."
    )


@ALL
@pytest.mark.parametrize("flag", FLAGS)
@pytest.mark.parametrize("value", [True, False])
def test_alter_a_flag(major: int, flag: str, value: bool) -> None:
    asked = request(slot_type="logical", **{flag: value})
    alterable = {"two_phase": 18, "failover": 17}[flag]
    found = logical(major=major, **{flag: not value})
    setting = f"{flag}={str(value).lower()}"
    if major < FLAGS[flag]:
        if value:
            assert problem(asked, server(major), found) == (
                f"Slot ship cannot be given {setting}: {flag} needs PostgreSQL {FLAGS[flag]} or"
                f" newer, this server is {major}.3."
            )
        else:
            assert not plan(asked, server(major), found).changed
    elif major < alterable:
        assert problem(asked, server(major), found) == (
            f"Slot ship cannot be given {setting}: {flag} can be changed from PostgreSQL"
            f" {alterable} on, this server is {major}.3; or drop it and create it anew."
        )
    else:
        made = plan(asked, server(major), found)
        assert statements(made) == [
            f'ALTER_REPLICATION_SLOT "ship" ({flag.upper()} {str(value).lower()})'
        ]
        assert made.steps[0].way is Way.REPLICATION
        assert made.before["ship"][flag] is not value
        assert made.after["ship"][flag] is value


def test_both_flags_in_one_command() -> None:
    made = plan(
        request(slot_type="logical", two_phase=True, failover=False),
        server(18),
        logical(failover=True),
    )
    assert statements(made) == ['ALTER_REPLICATION_SLOT "ship" (TWO_PHASE true, FAILOVER false)']


def test_alter_what_is_in_use_or_synchronised() -> None:
    asked = request(slot_type="logical", failover=False)
    assert problem(asked, server(), logical(failover=True, active_pid=7)) == (
        "Slot ship is in use by the process 7 and cannot be altered: disable its subscription"
        " first."
    )
    synced = logical(failover=True, synced=True)
    assert problem(asked, server(in_recovery=True), synced) == (
        "Slot ship is synchronised from the primary: change it there."
    )
    assert plan(asked, server(), synced).changed  # promoted since


def test_a_temporary_slot_is_none_to_rely_on() -> None:
    assert problem(request(), server(), physical(temporary=True)) == (
        "Slot ship is there, but temporary: it goes with the session that made it."
    )


def test_a_slot_that_retains_nothing() -> None:
    idle = physical(restart_lsn=None)
    made = plan(request(), server(), idle)
    assert not made.changed
    assert made.warnings == [
        (
            "Slot ship retains no WAL until its standby connects: it was created without"
            " immediately_reserve."
        )
    ]
    assert plan(request(immediately_reserve=False), server(), idle).warnings == []


# --- lost ----------------------------------------------------------------------------------------

LOST = {"wal_status": "lost", "restart_lsn": None}
WHY = [
    ({"wal_status": "lost"}, "wal_status is lost"),
    ({"wal_status": "lost", "invalidation_reason": "wal_removed"}, "wal_removed"),
    ({"wal_status": "reserved", "invalidation_reason": "rows_removed"}, "rows_removed"),
]


@ALL
@pytest.mark.parametrize(("known", "why"), WHY)
def test_a_lost_slot(major: int, known: dict[str, Any], why: str) -> None:
    lost = physical(**known)
    assert problem(request(), server(major), lost) == (
        f"Slot ship is of no use any more ({why}): its consumer has to be seeded anew. on_lost:"
        " recreate makes the slot anew, report leaves it."
    )
    reported = plan(request(on_lost="report"), server(major), lost)
    assert not reported.changed
    assert reported.warnings == [f"Slot ship is of no use any more ({why})."]


@ALL
def test_a_lost_slot_is_dropped_and_made_anew(major: int) -> None:
    made = plan(request("a", "ship", on_lost="recreate"), server(major), physical(**LOST))
    assert statements(made) == [
        (
            "SELECT slot_name, pg_drop_replication_slot(slot_name) FROM pg_replication_slots"
            " WHERE slot_name = ANY (ARRAY['ship']::name[])"
        ),
        (
            "SELECT slot.* FROM unnest(ARRAY['a', 'ship']::name[]) AS name,"
            " LATERAL pg_create_physical_replication_slot(name, true) AS slot"
        ),
    ]
    assert [step.reason for step in made.steps] == ["drop what is lost", "create what is missing"]
    assert made.before == {"ship": {"slot_type": "physical", "lost": True}}
    assert made.after == {"a": {"slot_type": "physical"}, "ship": {"slot_type": "physical"}}


@ALL
def test_a_lost_slot_has_its_flags_again(major: int) -> None:
    made = plan(
        request("a", "ship", slot_type="logical", on_lost="recreate"),
        server(major),
        logical(major=major, two_phase=True, failover=True, **LOST),
    )
    _drop, *creates = statements(made)
    assert made.after["ship"].items() >= flags(major, two_phase=True, failover=True).items()
    if not flags(major):
        assert len(creates) == 1
        return
    off, on = (", ".join([word] * len(flags(major))) for word in ("false", "true"))
    assert [create.partition("unnest")[2] for create in creates] == [
        f"(ARRAY['{name}']::name[]) AS name,"
        f" LATERAL pg_create_logical_replication_slot(name, 'pgoutput', false, {values}) AS slot"
        for name, values in (("a", off), ("ship", on))
    ]


def test_a_lost_slot_in_use_or_synchronised() -> None:
    asked = request(on_lost="recreate")
    assert problem(asked, server(), physical(active_pid=7, **LOST)) == (
        "Slot ship is in use by the process 7: stop its consumer, or set force to end the process."
    )
    synced = logical(synced=True, **LOST)
    assert problem(
        request(slot_type="logical", on_lost="recreate"), server(in_recovery=True), synced
    ) == ("Slot ship is synchronised from the primary and cannot be dropped here: drop it there.")


# --- copy ----------------------------------------------------------------------------------------


@ALL
def test_copy(major: int) -> None:
    made = plan(request("a", "b", copy_from="source"), server(major), physical("source"))
    assert statements(made) == [
        (
            "SELECT slot.* FROM unnest(ARRAY['a', 'b']::name[]) AS name,"
            " LATERAL pg_copy_physical_replication_slot('source', name, false) AS slot"
        )
    ]


@ALL
@pytest.mark.parametrize("plugin", [None, "test_decoding"])
def test_copy_logical(major: int, plugin: str | None) -> None:
    source = logical("source", major, plugin="wal2json")
    asked = request(slot_type="logical", plugin=plugin, copy_from="source")
    made = plan(asked, server(major), source)
    assert statements(made) == [
        "SELECT slot.* FROM unnest(ARRAY['ship']::name[]) AS name, LATERAL"
        " pg_copy_logical_replication_slot('source', name, false"
        + (f", '{plugin}'" if plugin else "")
        + ") AS slot"
    ]
    assert made.after["ship"]["plugin"] == (plugin or "wal2json")


@pytest.mark.parametrize("source", [(), (logical("source"),)])
def test_a_copy_is_a_slot_of_its_own_once_it_is_there(source: tuple[SlotState, ...]) -> None:
    asked = request(slot_type="logical", copy_from="source")
    assert not plan(asked, server(), logical(plugin="wal2json"), *source).changed


@ALL
@pytest.mark.parametrize("flag", FLAGS)
def test_a_copy_is_given_its_flags_afterwards(major: int, flag: str) -> None:
    asked = request(slot_type="logical", copy_from="source", **{flag: True})
    alterable = {"two_phase": 18, "failover": 17}[flag]
    if major < alterable:
        assert f"cannot be given {flag}=true: {flag} " in problem(
            asked, server(major), logical("source", major)
        )
        return
    made = plan(asked, server(major), logical("source", major))
    assert [step.reason for step in made.steps] == ["create what is missing", "alter slot ship"]
    assert statements(made)[1] == f'ALTER_REPLICATION_SLOT "ship" ({flag.upper()} true)'
    assert made.before == {}


@pytest.mark.parametrize(
    ("source", "told"),
    [
        (physical("source"), "is physical, not logical"),
        (logical("source", database="other"), "belongs to the database other"),
        (logical("source", wal_status="lost"), "is of no use any more"),
        (logical("source", restart_lsn=None), "retains no WAL yet"),
    ],
)
def test_what_cannot_be_copied(source: SlotState, told: str) -> None:
    asked = request(slot_type="logical", copy_from="source")
    assert problem(asked, server(), source) == f"copy_from: slot source {told}."


# --- advance -------------------------------------------------------------------------------------


@ALL
@pytest.mark.parametrize(
    ("slot_type", "state", "column", "begin"),
    [
        (None, physical, "restart_lsn", "0/1000"),
        ("logical", logical, "confirmed_flush_lsn", "0/2000"),
    ],
)
def test_advance(major: int, slot_type: str | None, state: Any, column: str, begin: str) -> None:
    known = {"major": major} if slot_type else {}
    ahead = {"restart_lsn": NOW, "confirmed_flush_lsn": NOW}
    made = plan(
        request("behind", "ahead", "there", slot_type=slot_type, advance_to="0/3000"),
        server(major),
        state("behind", **known),
        state("ahead", **known, **ahead),
        state("there", **known, **dict.fromkeys(ahead, Lsn(0x3000))),
    )
    assert statements(made) == [
        (
            "SELECT pg_replication_slot_advance(slot_name, '0/3000'::pg_lsn)"
            " FROM pg_replication_slots WHERE slot_name = ANY (ARRAY['behind']::name[])"
            f" AND \"{column}\" < '0/3000'::pg_lsn"
        )
    ]
    assert made.before == {"behind": {column: begin}}
    assert made.after == {"behind": {column: "0/3000"}}


def test_advance_to_where_the_server_is() -> None:
    assert plan(request(advance_to=str(NOW)), server(), physical()).changed


def test_create_and_alter_come_before_advance() -> None:
    made = plan(
        request("ship", "new", slot_type="logical", failover=True, advance_to="0/3000"),
        server(),
        logical(),
    )
    assert [step.reason for step in made.steps] == [
        "create what is missing",
        "alter slot ship",
        "advance what is behind",
    ]
    assert "ARRAY['ship', 'new']" in statements(made)[-1]
    assert made.after["ship"]["failover"] is True
    assert made.after["ship"]["confirmed_flush_lsn"] == "0/3000"


@pytest.mark.parametrize(
    ("found", "told"),
    [
        (physical(restart_lsn=None), "retains no WAL yet and cannot be advanced"),
        (physical(active_pid=7), "is in use by the process 7 and cannot be advanced"),
    ],
)
def test_what_cannot_be_advanced(found: SlotState, told: str) -> None:
    assert problem(request(advance_to="0/3000"), server(), found) == f"Slot ship {told}."


def test_a_slot_in_use_that_is_there_already() -> None:
    found = physical(active_pid=7, restart_lsn=NOW)
    assert not plan(request(advance_to="0/3000"), server(), found).changed


def test_a_lost_slot_is_not_advanced() -> None:
    asked = request(advance_to="0/3000", on_lost="report")
    assert not plan(asked, server(), physical(**LOST)).changed


# --- absent --------------------------------------------------------------------------------------


@ALL
@pytest.mark.parametrize("slot_type", [None, "physical", "logical"])
def test_drop(major: int, slot_type: str | None) -> None:
    kinds = {"physical": [physical()], "logical": [logical(major=major)]}
    for state in kinds[slot_type] if slot_type else [physical(), logical(major=major)]:
        made = plan(
            request("gone", "ship", state="absent", slot_type=slot_type), server(major), state
        )
        assert statements(made) == [
            (
                "SELECT slot_name, pg_drop_replication_slot(slot_name) FROM pg_replication_slots"
                " WHERE slot_name = ANY (ARRAY['ship']::name[])"
            )
        ]
        assert made.before == {"ship": state.slot.shown()}
        assert made.after == {}


@ALL
def test_drop_by_force(major: int) -> None:
    asked = request(state="absent", force=True)
    made = plan(asked, server(major), physical(active_pid=7))
    assert statements(made) == [
        (
            "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots"
            " WHERE slot_name = ANY (ARRAY['ship']::name[]) AND active_pid IS NOT NULL"
        ),
        (
            "SELECT slot_name, pg_drop_replication_slot(slot_name) FROM pg_replication_slots"
            " WHERE slot_name = ANY (ARRAY['ship']::name[])"
        ),
    ]
    assert made.steps[0].prelude is not None


@ALL
@pytest.mark.parametrize(
    ("asked", "found", "on", "told"),
    [
        (
            request(state="absent"),
            physical(active_pid=7),
            {},
            (
                "Slot ship is in use by the process 7: stop its consumer, or set force to end the"
                " process."
            ),
        ),
        (
            request(state="absent", slot_type="logical"),
            physical(),
            {},
            "Slot ship is physical, not logical.",
        ),
        (
            request(state="absent"),
            logical(database="other"),
            {},
            "Slot ship belongs to the database other, not to d: set login_db to it.",
        ),
        (
            request(state="absent", force=True),
            logical(synced=True),
            {"in_recovery": True},
            "Slot ship is synchronised from the primary and cannot be dropped here: drop it there.",
        ),
        (
            request(state="absent"),
            physical(),
            {"may_replicate": False},
            (
                "The connecting role may not manage replication slots: it has to be a superuser or"
                " have the attribute REPLICATION (ALTER ROLE ... REPLICATION)."
            ),
        ),
    ],
)
def test_what_is_not_dropped(
    major: int, asked: SlotRequest, found: SlotState, on: dict[str, Any], told: str
) -> None:
    assert problem(asked, server(major, **on), found) == told


def test_a_lost_slot_can_be_dropped() -> None:
    assert plan(request(state="absent"), server(), physical(**LOST)).changed


def test_a_slot_synchronised_once_can_be_dropped_on_a_primary() -> None:
    assert plan(request(state="absent"), server(), logical(synced=True)).changed


# --- what is told --------------------------------------------------------------------------------


def test_a_physical_slot_as_shown() -> None:
    assert physical(active_pid=7, wal_status="reserved").shown() == {
        "name": "ship",
        "state": "present",
        "slot_type": "physical",
        "active": True,
        "active_pid": 7,
        "synced": False,
        "restart_lsn": "0/1000",
        "confirmed_flush_lsn": None,
        "wal_status": "reserved",
        "invalidation_reason": None,
        "lost": False,
    }


@ALL
def test_a_logical_slot_as_shown(major: int) -> None:
    shown = logical(major=major, invalidation_reason="rows_removed").shown()
    assert shown["lost"] is True
    assert shown["confirmed_flush_lsn"] == "0/2000"
    assert {flag: shown[flag] for flag in FLAGS if flag in shown} == flags(major)
