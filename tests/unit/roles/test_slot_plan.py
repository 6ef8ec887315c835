# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the slot keeper decides, table by table, without a server."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import sys
from types import ModuleType
from typing import Any

import hypothesis
import hypothesis.strategies as st
import pytest
from psycopg2.extensions import make_dsn

from tests.gates.paths import CHECKOUT

FILES = CHECKOUT / "roles" / "pg_auto_failover" / "files"


def _load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, FILES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look it up
    spec.loader.exec_module(module)
    return module


slot_plan = _load("slot_plan")

PHYSICAL = slot_plan.Ship("algeciras", "ship_algeciras", logical=False)
LOGICAL = slot_plan.Ship("oslo", "ship_oslo", logical=True)
NOW = 1_000_000.0


def physical(restart: int | None, name: str = "ship_algeciras", **more: Any) -> Any:
    return slot_plan.Slot(name=name, logical=False, restart=restart, **more)


def logical(name: str = "ship_oslo", **more: Any) -> Any:
    return slot_plan.Slot(name=name, logical=True, restart=100, confirmed=150, **more)


def node(name: str, *slots: Any, primary: bool = False, **more: Any) -> Any:
    given: dict[str, Any] = {
        "version": 17,
        "system": "7",
        "started": f"{name}'s start",
        "position": 1000,
        "redo": 50,
        "timeline": 1,
        **more,
    }
    return slot_plan.Look(
        node=name, primary=primary, slots={slot.name: slot for slot in slots}, **given
    )


class Watch:
    """A keeper on one node, asked again and again, its memory written and read in between."""

    def __init__(self, *ships: Any, **wanted: Any) -> None:
        self.wanted = slot_plan.Wanted(ships=ships or (PHYSICAL,), **wanted)
        self.memory = slot_plan.Memory()
        self.now = NOW

    def look(self, here: Any, *others: Any, after: float = 10, ends: Any = None) -> Any:
        self.now += after
        here = dataclasses.replace(here, ends=ends or {})
        plan = slot_plan.Planner(self.wanted, here, others, self.memory, self.now).make()
        self.memory = slot_plan.Memory(**json.loads(json.dumps(dataclasses.asdict(self.memory))))
        return plan


def done(plan: Any) -> list[tuple[str, str]]:
    return [(action.kind, action.slot) for action in plan.actions]


def moved(plan: Any) -> list[int]:
    return [action.position for action in plan.actions if action.kind == "advance"]


def wrong(plan: Any) -> list[tuple[str, str]]:
    return [(problem.severity, problem.object) for problem in plan.problems]


# --- physical slots ------------------------------------------------------------------------------


def test_a_missing_slot_is_made() -> None:
    plan = Watch().look(node("b"))
    assert done(plan) == [("create", "ship_algeciras")]
    assert plan.actions[0].told == "Made the slot ship_algeciras, which b lacked."


def test_a_slot_follows_what_its_ship_confirmed() -> None:
    watch = Watch()
    here = node("b", physical(100))
    assert moved(watch.look(here, node("a", physical(200, active=True), primary=True))) == []
    assert moved(watch.look(here, node("a", physical(300, active=True), primary=True))) == [300]
    # It is dark now, and stays where it was seen last.
    assert moved(watch.look(here, node("a", physical(300), primary=True))) == [300]
    assert moved(watch.look(node("b", physical(300)), node("a", physical(300), primary=True))) == []


def test_where_a_slot_was_made_tells_nothing_of_its_ship() -> None:
    """A node that was built anew, while the ship is dark: this is what the watching is for."""
    watch = Watch()
    for _time in range(5):
        plan = watch.look(node("a", physical(100), primary=True), node("c", physical(500)))
        assert done(plan) == []
    # Nor does a ship in vain: it is admitted, asks for WAL that is gone, and is refused.
    trying = node("c", physical(500, active=True))
    assert done(watch.look(node("a", physical(100), primary=True), trying)) == []


def test_a_node_built_anew_is_watched_anew() -> None:
    watch = Watch()
    here = node("a", physical(100), primary=True)
    watch.look(here, node("c", physical(80)))
    plan = watch.look(here, node("c", physical(500), started="a later start"))
    assert done(plan) == []


def test_what_was_not_watched_proves_nothing() -> None:
    watch = Watch()
    here = node("a", physical(100), primary=True)
    watch.look(here, node("c", physical(80)))
    assert done(watch.look(here, node("c", physical(500)), after=26)) == []
    assert moved(watch.look(here, node("c", physical(510)), after=24)) == [510]
    # The clock was put back.
    assert done(watch.look(here, node("c", physical(520)), after=-60)) == []


def test_a_slot_that_was_lost_meanwhile_is_watched_anew() -> None:
    watch = Watch()
    here = node("a", physical(100), primary=True)
    watch.look(here, node("c", physical(80)))
    watch.look(here, node("c", physical(None, lost=True)))
    assert done(watch.look(here, node("c", physical(500)))) == []


def test_no_slot_is_moved_past_what_the_node_has() -> None:
    watch = Watch()
    here = node("b", physical(100), position=250)
    watch.look(here, node("a", physical(200, active=True), primary=True))
    assert moved(watch.look(here, node("a", physical(300, active=True), primary=True))) == [250]


def test_the_furthest_of_several_nodes_is_followed() -> None:
    watch = Watch()
    here = node("b", physical(100))
    watch.look(here, node("a", physical(200)), node("c", physical(210)))
    assert moved(watch.look(here, node("a", physical(300)), node("c", physical(310)))) == [310]


def test_a_slot_in_use_is_left_alone() -> None:
    watch = Watch()
    here = node("b", physical(100, active=True, holds_rows=True))
    watch.look(here, node("a", physical(200), primary=True))
    assert done(watch.look(here, node("a", physical(300), primary=True))) == []


@pytest.mark.parametrize(
    ("ends", "expected"), [({}, []), ({1: 250}, []), ({1: 300}, [300]), ({2: 400}, [])]
)
def test_what_a_dead_timeline_tells_is_not_followed(
    ends: dict[int, int], expected: list[int]
) -> None:
    """The old primary still runs somewhere, and its ship has WAL that was never ashore here."""
    watch = Watch()
    here = node("b", physical(100), primary=True, timeline=2)
    watch.look(here, node("a", physical(200, active=True), timeline=1), ends=ends)
    plan = watch.look(here, node("a", physical(300, active=True), timeline=1), ends=ends)
    assert moved(plan) == expected


def test_forks_of_a_history_file() -> None:
    history = "1\t0/3000148\tno recovery target specified\n\n2\t1/A0\tbefore 2026\n"
    assert slot_plan.forks(history) == {1: 0x3000148, 2: 0x1000000A0}
    assert slot_plan.forks("") == {}


def test_a_slot_that_vanished_is_made_again_when_all_have_seen_it_gone() -> None:
    watch = Watch()
    assert done(watch.look(node("b", physical(100)))) == []
    assert done(watch.look(node("b"))) == []
    assert done(watch.look(node("b"), after=10)) == []
    assert done(watch.look(node("b"), after=10)) == []
    assert done(watch.look(node("b"), after=10)) == [("create", "ship_algeciras")]
    assert watch.memory.gone == {}


def test_a_slot_that_a_rewind_removed_is_made_at_once() -> None:
    watch = Watch()
    watch.look(node("b", physical(100)))
    assert done(watch.look(node("b", started="after the rewind"))) == [("create", "ship_algeciras")]


def test_a_slot_that_keeps_nothing_is_made_anew() -> None:
    assert done(Watch().look(node("b", physical(None)))) == [
        ("drop", "ship_algeciras"),
        ("create", "ship_algeciras"),
    ]


@pytest.mark.parametrize("fault", [{"lost": True, "restart": None}, {"holds_rows": True}])
def test_a_slot_that_harms_is_made_anew_where_that_cannot_pass_its_ship(
    fault: dict[str, Any],
) -> None:
    watch = Watch()
    slot = physical(**{"restart": 100, **fault})
    streams = [node("a", physical(position, active=True)) for position in (200, 300)]
    watch.look(node("b", slot, redo=250, primary=True), streams[0])
    late = watch.look(node("b", slot, redo=350, primary=True), streams[1])
    assert ("create", "ship_algeciras") not in done(late)
    plan = watch.look(node("b", slot, redo=250, primary=True), streams[1])
    assert done(plan) == [("drop", "ship_algeciras"), ("create", "ship_algeciras")]


def test_a_lost_slot_of_a_dark_ship_is_told_and_not_hidden() -> None:
    watch = Watch()
    lost = physical(None, lost=True)
    plan = watch.look(node("a", lost, primary=True), node("b", physical(100)))
    assert done(plan) == []
    assert wrong(plan) == [("critical", "slot ship_algeciras")]
    assert "ship_reseed.yml -e ship=algeciras" in plan.problems[0].do
    # Of a standby it goes where the primary has a sound one: a ship that prefers standbys hangs else.
    plan = watch.look(node("b", lost), node("a", physical(100), primary=True))
    assert done(plan) == [("drop", "ship_algeciras")]
    plan = watch.look(node("b", lost), node("a", lost, primary=True))
    assert done(plan) == []
    assert wrong(plan) == [("critical", "slot ship_algeciras")]


def test_a_slot_that_begins_after_its_ship_is_told() -> None:
    watch = Watch()
    watch.memory.made["ship_algeciras"] = 500
    plan = watch.look(node("c", physical(500)), node("a", physical(100), primary=True))
    assert wrong(plan) == [("warning", "slot ship_algeciras")]
    assert "0/1F4" in plan.problems[0].what
    assert "0/64" in plan.problems[0].what
    # Its ship came here and moved it: no more of that.
    plan = watch.look(node("c", physical(510)), node("a", physical(100), primary=True))
    assert wrong(plan) == []
    assert watch.memory.made == {}


def test_another_kind_of_slot_is_told() -> None:
    plan = Watch().look(node("a", logical("ship_algeciras"), primary=True))
    assert (done(plan), wrong(plan)) == ([], [("critical", "slot ship_algeciras")])


def test_another_system_is_not_asked() -> None:
    watch = Watch()
    for position in (200, 300):
        plan = watch.look(node("b", physical(100)), node("a", physical(position), system="8"))
    assert done(plan) == []
    assert wrong(plan) == [("critical", "node a")]


def test_two_primaries_are_told() -> None:
    here = node("a", physical(100), primary=True)
    plan = Watch().look(here, node("b", physical(100), primary=True, timeline=2))
    assert wrong(plan) == [("critical", "node a")]
    assert plan.problems[0].what == "b and a both take writes; b was promoted later."


POSITIONS = st.integers(min_value=1, max_value=1000)


@hypothesis.given(
    st.lists(
        st.tuples(
            POSITIONS,  # where the ship is
            st.sampled_from("abc"),  # the node that it hangs on
            st.sampled_from(
                ["", "", "", *"abcABC"]
            ),  # a node built anew; in capitals: a slot dropped
            st.booleans(),  # whether the ship is there at all
        ),
        max_size=40,
    )
)
def test_no_slot_is_ever_moved_past_its_ship(
    story: list[tuple[int, str, str, bool]],
) -> None:
    """Whatever happens: three nodes that keep each other's slots, and a ship that comes and goes."""
    names = "abc"
    watches = {name: Watch() for name in names}
    positions: dict[str, int | None] = dict.fromkeys(names, 1)
    starts = dict.fromkeys(names, 0)
    ship = 1
    for step, (advance, hangs, rebuilt, there) in enumerate(story):
        if rebuilt:
            starts[rebuilt.lower()] += rebuilt.islower()
            positions[rebuilt.lower()] = None
        if there and (positions[hangs] or 10**9) <= ship:
            ship += advance
            positions[hangs] = ship
        active = hangs if there else ""

        def seen(name: str, active: str = active) -> Any:
            where = positions[name]
            slots = () if where is None else (physical(where, active=name == active),)
            return node(
                name, *slots, started=str(starts[name]), primary=name == "a", position=10**9
            )

        for name in names:
            others = [seen(other) for other in names if other != name]
            for action in watches[name].look(seen(name), *others).actions:
                if action.kind == "advance":
                    assert action.position <= ship
                    positions[name] = action.position
                elif action.kind == "create":
                    # A new node's WAL begins anywhere, far ahead of its ship for all one knows.
                    positions[name] = ship + 5000 + step


# --- ships that left -----------------------------------------------------------------------------


def test_slots_of_ships_that_left_are_dropped() -> None:
    watch = Watch(absent=["ship_gdansk", "ship_oslo"])
    here = node(
        "a",
        physical(100),
        physical(100, "ship_gdansk", active=True, pid=7),
        logical(failover=True, synced=True),
    )
    plan = watch.look(here)
    assert done(plan) == [("drop", "ship_gdansk")]  # the other goes when it is gone on the primary
    assert plan.actions[0].forced
    assert done(watch.look(dataclasses.replace(here, primary=True))) == [
        ("drop", "ship_gdansk"),
        ("drop", "ship_oslo"),
    ]


def test_a_slot_that_nobody_named_is_told_and_kept() -> None:
    here = node("b", physical(1), physical(1, "ship_x"), physical(1, "standby_2"))
    plan = Watch().look(here)
    assert (done(plan), wrong(plan)) == ([], [("warning", "slot ship_x")])
    assert wrong(Watch().look(node("b", physical(1), physical(1, "ship_x", active=True)))) == []


# --- logical slots -------------------------------------------------------------------------------


def test_a_leftover_that_stops_synchronization_is_dropped() -> None:
    watch = Watch(LOGICAL)
    left = logical(failover=True)
    primary = node("b", logical(failover=True, active=True), primary=True)
    plan = watch.look(node("a", left), primary)
    assert done(plan) == [("drop", "ship_oslo")]
    assert "left of the time when a was the primary" in plan.actions[0].told


@pytest.mark.parametrize(
    "slot",
    [
        logical(failover=True, synced=True),
        logical(failover=True, active=True),
        logical(failover=True, temporary=True),
        logical("another"),
    ],
)
def test_what_is_no_leftover_is_left_alone(slot: Any) -> None:
    primary = node("b", logical(failover=True), logical("another"), primary=True)
    assert done(Watch(LOGICAL).look(node("a", slot), primary)) == []


def test_the_last_slot_that_there_is_is_not_dropped() -> None:
    watch = Watch(LOGICAL)
    plan = watch.look(node("a", logical(failover=True)), node("b", primary=True))
    assert done(plan) == []
    assert ("warning", "slot ship_oslo") in wrong(plan)
    assert done(watch.look(node("a", logical(failover=True)))) == []  # nobody knows of the primary


def test_leftovers_on_a_primary_are_none() -> None:
    here = node("a", logical(failover=True), primary=True)
    assert done(Watch(LOGICAL).look(here)) == []


@pytest.mark.parametrize(
    ("version", "name", "expected"),
    [
        (15, "ship_oslo", [("drop", "ship_oslo")]),
        (15, "pg_16394_sync_16385_7321", [("drop", "pg_16394_sync_16385_7321")]),
        (15, "debezium", []),
        (16, "ship_oslo", [("drop", "ship_oslo")]),
        (16, "debezium", []),  # of 16 on, a standby may have slots of its own
    ],
)
def test_leftovers_before_17(version: int, name: str, expected: list[Any]) -> None:
    here = node("a", logical(name), version=version)
    primary = node("b", logical(), primary=True, version=version)
    plan = Watch(LOGICAL).look(here, primary)
    assert done(plan) == expected
    assert ("warning", "slot debezium") in wrong(plan) or (version, name) != (15, "debezium")


def test_pg_failover_slots_looks_after_its_own() -> None:
    settings = {"shared_preload_libraries": "pg_stat_statements,pg_failover_slots"}
    here = node("a", logical(), version=15, settings=settings)
    assert done(Watch(LOGICAL).look(here, node("b", logical(), primary=True))) == []


def test_what_a_logical_ship_lost_is_told_until_it_has_a_slot_again() -> None:
    watch = Watch(LOGICAL)
    primary = node("a", logical(active=True), primary=True, version=15)
    assert wrong(watch.look(node("b", version=15), primary)) == []
    for _time in range(2):
        plan = watch.look(node("b", primary=True, timeline=2, version=15))
        assert wrong(plan) == [("critical", "slot ship_oslo")]
        assert "oslo had confirmed 0/96 on timeline 1" in plan.problems[0].what
        assert plan.problems[0].do == "ship_reseed.yml -e ship=oslo copies its tables anew."
    again = dataclasses.replace(logical(), confirmed=400)
    plan = watch.look(node("b", again, primary=True, timeline=2, version=15))
    assert wrong(plan) == []
    assert "after 0/96 and before that" in plan.news[0]
    assert watch.look(node("b", again, primary=True, timeline=2, version=15)).news == []


def test_a_ship_that_was_never_onboarded_has_lost_nothing() -> None:
    plan = Watch(LOGICAL).look(node("a", primary=True, version=15))
    assert (done(plan), wrong(plan)) == ([], [])


def test_a_slot_that_a_failover_would_lose_is_told() -> None:
    plan = Watch(LOGICAL).look(node("a", logical(), primary=True))
    assert wrong(plan) == [("warning", "slot ship_oslo")]
    plan = Watch(LOGICAL).look(node("a", logical(failover=True), primary=True))
    assert wrong(plan) == []


@pytest.mark.parametrize(
    "slots",
    [(), (logical(failover=True, synced=True, temporary=True),)],
)
def test_a_slot_that_is_not_synchronized_yet_is_told(slots: tuple[Any, ...]) -> None:
    primary = node("a", logical(failover=True), primary=True)
    assert wrong(Watch(LOGICAL).look(node("b", *slots), primary)) == [("warning", "slot ship_oslo")]
    ready = node("b", logical(failover=True, synced=True))
    assert wrong(Watch(LOGICAL).look(ready, primary)) == []


def test_a_standby_that_has_begun_to_synchronize_a_slot_is_helped() -> None:
    primary = node("a", logical(failover=True), primary=True)
    begun = node("b", logical(failover=True, synced=True, temporary=True))
    assert done(Watch(LOGICAL).look(primary, begun)) == [("snapshot", "ship_oslo")]
    ready = node("b", logical(failover=True, synced=True))
    for here, other in ((primary, ready), (primary, node("b")), (begun, primary)):
        assert done(Watch(LOGICAL).look(here, other)) == []


# --- the gate ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("setting", "names"),
    [
        ("", []),
        ("ANY 1 (pgautofailover_standby_2)", ["pgautofailover_standby_2"]),
        ("any 1 (a,b)", ["a", "b"]),
        ("FIRST 2 (a, b, c)", ["a", "b", "c"]),
        ("2 (a, b)", ["a", "b"]),
        ("a, b", ["a", "b"]),
        ('ANY 1 ("a b", "c""d")', ["a b", 'c"d']),
        ("*", None),
        ("ANY 1 (*)", None),
        ('"*"', ["*"]),
    ],
)
def test_names_of_synchronous_standbys(setting: str, names: list[str] | None) -> None:
    assert slot_plan.synchronous_names(setting) == names


def test_the_gate_is_the_synchronous_standbys_slots() -> None:
    settings = {"synchronous_standby_names": "ANY 1 (standby_3, standby_2, stranger)"}
    slots = (physical(1, "standby_2"), physical(1, "standby_3"), physical(1, "ship_algeciras"))
    plan = Watch().look(node("a", *slots, primary=True, settings=settings))
    assert plan.gate == ["standby_2", "standby_3"]
    assert wrong(plan) == [("warning", "synchronized_standby_slots")]
    assert slot_plan.gate_file(plan.gate).splitlines()[-1] == (
        "synchronized_standby_slots = 'standby_2, standby_3'"
    )


@pytest.mark.parametrize(
    "here",
    [node("a", physical(1)), node("a", physical(1), primary=True, version=16)],
)
def test_where_there_is_no_gate(here: Any) -> None:
    assert Watch().look(here).gate is None


def test_no_synchronous_standby_no_gate() -> None:
    assert Watch().look(node("a", physical(1), primary=True)).gate == []


# --- pushing -------------------------------------------------------------------------------------

PUSHED = dataclasses.replace(PHYSICAL, by_standby=True)
STANDBY = slot_plan.Sender(8, "standby_2", "streaming", "quorum", 900)
SHIP = slot_plan.Sender(9, "ship_algeciras", "streaming", "async", 900)


def pushing(*senders: Any) -> Any:
    slot = physical(900, active=True, pid=9)
    return node("a", slot, primary=True, senders=senders)


def test_a_ship_is_pushed_to_a_standby_that_serves_it() -> None:
    plan = Watch(PUSHED).look(pushing(STANDBY, SHIP), node("b", physical(800)))
    assert done(plan) == [("push", "ship_algeciras")]
    assert plan.actions[0].pid == 9


@pytest.mark.parametrize(
    ("ship", "senders", "standby"),
    [
        (PHYSICAL, (STANDBY, SHIP), (physical(800),)),  # not asked for
        (PUSHED, (SHIP,), (physical(800),)),  # no synchronous standby
        (PUSHED, (dataclasses.replace(STANDBY, state="catchup"), SHIP), (physical(800),)),
        (PUSHED, (STANDBY, dataclasses.replace(SHIP, state="catchup")), (physical(800),)),
        (PUSHED, (STANDBY, SHIP), ()),  # it would be refused there, again and again
        (PUSHED, (STANDBY, SHIP), (physical(None, lost=True),)),
        (PUSHED, (STANDBY, SHIP), (physical(950),)),
    ],
)
def test_a_ship_is_not_pushed(ship: Any, senders: Any, standby: Any) -> None:
    plan = Watch(ship).look(pushing(*senders), node("b", *standby))
    assert done(plan) == []


def test_a_ship_that_comes_back_is_left_alone_longer_and_longer() -> None:
    watch = Watch(PUSHED)
    times = [
        watch.now - NOW
        for _time in range(120)
        if watch.look(pushing(STANDBY, SHIP), node("b", physical(800))).actions
    ]
    assert [after - before for before, after in zip(times, times[1:])] == [60, 120, 240, 480]
    # A day later it is as new.
    assert watch.look(pushing(STANDBY, SHIP), node("b", physical(800)), after=86400).actions
    assert watch.memory.pushed["ship_algeciras"]["rest"] == 60


# --- texts ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [0, 1, 0xFFFFFFFF, 0x100000000, 0x16B374D848])
def test_positions(number: int) -> None:
    assert slot_plan.number(slot_plan.text(number)) == number


@pytest.mark.parametrize(
    ("content", "conninfo"),
    [
        ("", None),
        ("# primary_conninfo = 'host=a'\n", None),
        ("primary_conninfo = 'host=a port=1'\n", "host=a port=1"),
        ("primary_conninfo 'host=a'\nprimary_slot_name = 's'\n", "host=a"),
        ("primary_conninfo='host=a'\n  PRIMARY_CONNINFO = 'host=b' # later wins\n", "host=b"),
        ("primary_conninfo = 'password=''it''''s'''\n", "password='it''s'"),
        (r"primary_conninfo = 'password=\'a\\\\b\' host=\141'", r"password='a\\b' host=a"),
        ("primary_conninfo_not = 'host=a'\n", None),
        ("primary_conninfo = ''\n", ""),
    ],
)
def test_primary_conninfo_of_a_file(content: str, conninfo: str | None) -> None:
    assert slot_plan.primary_conninfo(content) == conninfo


@hypothesis.given(st.text(st.characters(codec="ascii", exclude_characters="\0\n"), max_size=20))
def test_what_is_written_is_read_again(password: str) -> None:
    conninfo = make_dsn(host="a", password=password, dbname="postgres")
    assert slot_plan.primary_conninfo(slot_plan.conninfo_file(conninfo)) == conninfo
