# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which slots nothing uses: every verdict, and what is dropped by it."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.hmm.pg_replication.plugins.module_utils._errors import ReplicationError
from ansible_collections.hmm.pg_replication.plugins.module_utils._names import Lsn
from ansible_collections.hmm.pg_replication.plugins.module_utils._slots_seen import Seen
from ansible_collections.hmm.pg_replication.plugins.module_utils._unused_slots import (
    Found,
    Request,
    Server,
    Ship,
    Usage,
    chosen,
    freed_bytes,
    judge,
    lines,
    parse_time,
    plan_drops,
    unused_slots_request,
)

DAY = 86400
MB = 2**20
SERVER = Server(position=Lsn(100 * MB), dates_slots=True, clock=1000.0 * DAY)
OLD_SERVER = Server(position=Lsn(100 * MB), dates_slots=False, clock=1000.0 * DAY)
SHIPS = (
    Ship("algeciras", "ship_algeciras", ("ship_algeciras", "ship_algeciras_seed"), asked=True),
    Ship("oslo", "ship_oslo", ("ship_oslo", "ship_oslo_seed"), mode="logical", asked=True),
)
DARK = tuple(Ship(ship.name, ship.slot, ship.owned, ship.mode) for ship in SHIPS)


def request(**more: Any) -> Request:
    return Request(
        **{
            "ships": SHIPS,
            "kept": (),
            "unused_after": 7.0 * DAY,
            "names": (),
            "drop": False,
            "seen_file": "/note",
            **more,
        }
    )


def slot(name: str = "ship_lisbon", **more: Any) -> Found:
    return Found(
        **{
            "name": name,
            "slot_type": "physical",
            "restart_lsn": Lsn(40 * MB),
            "inactive_seconds": 12.0 * DAY,
            **more,
        }
    )


def usage(
    found: Found,
    *others: Found,
    server: Server = SERVER,
    seen: dict[str, Seen] | None = None,
    **more: Any,
) -> Usage:
    usages = judge(request(**more), server, [found, *others], seen or {})
    return next(usage for usage in usages if usage.slot == found)


def refused(**more: Any) -> str:
    with pytest.raises(ReplicationError) as caught:
        chosen(request(drop=True, **more), judge(request(**more), SERVER, ALL, {}))
    return caught.value.message


SYNC = "pg_16401_sync_16390_7543210987654321098"
NOBODY = "belongs to no ship of the inventory and is named by no server that answered"


@pytest.mark.parametrize(
    ("found", "more", "verdict", "why"),
    [
        (slot(), {}, "unused", f"{NOBODY}, and has been unused for 12 d"),
        (
            slot(inactive_seconds=2.0 * DAY),
            {},
            "recent",
            f"{NOBODY}, but has been unused for 2 d only; the limit is 7 d",
        ),
        (slot(inactive_seconds=0.0), {"unused_after": 0.0}, "unused", ""),
        (
            slot("ship_oslo"),
            {},
            "owned",
            "belongs to oslo, a ship of the inventory",
        ),
        (
            slot("ship_oslo"),
            {"ships": DARK},
            "owned",
            "belongs to oslo, a ship of the inventory; the ship could not be asked",
        ),
        (
            slot("ship_oslo_seed"),
            {},
            "owned",
            "belongs to oslo, a ship of the inventory, which is seeded by it",
        ),
        (
            slot("ship_oslo", lost=True),
            {},
            "owned",
            (
                "belongs to oslo, a ship of the inventory, and is lost: bring the ship back with"
                " ship_reseed.yml"
            ),
        ),
        (
            slot(active_pid=4711, consumer="walreceiver at 198.51.100.9"),
            {},
            "used",
            (
                "is in use by walreceiver at 198.51.100.9, process 4711, though no ship of the"
                " inventory owns it"
            ),
        ),
        (slot("ship_oslo", active_pid=4711), {}, "used", "is in use by process 4711"),
        (slot(synced=True), {}, "synced", ""),
        (
            slot("archiver"),
            {"kept": ("arch*",)},
            "kept",
            "is to be kept (arch*)",
        ),
        (
            slot("pgautofailover_standby_2"),
            {},
            "kept",
            "is looked after by pg_auto_failover (pgautofailover_standby_*)",
        ),
        (
            slot("hand_made"),
            {"ships": (Ship("algeciras", "a", ("a",), asked=True, uses=("hand_made",)),)},
            "named",
            "is named by the server of algeciras",
        ),
        # Of tables' first copies: the ship that makes it, none of the ships, a ship that is dark.
        (
            slot(SYNC, slot_type="logical"),
            {
                "ships": (
                    Ship(
                        "oslo",
                        "ship_oslo",
                        (),
                        "logical",
                        asked=True,
                        system_identifier="7543210987654321098",
                    ),
                )
            },
            "named",
            "is named by the server of oslo",
        ),
        (
            slot(SYNC, slot_type="logical"),
            {},
            "unused",
            (
                "was made for a table's first copy by a server that is none of the ships', and has"
                " been unused for 12 d"
            ),
        ),
        (
            slot(SYNC, slot_type="logical"),
            {"ships": DARK},
            "unproved",
            (
                "may be used: it is that of a table's first copy, and oslo could not be asked whether"
                " it is theirs"
            ),
        ),
    ],
)
def test_verdicts(found: Found, more: dict[str, Any], verdict: str, why: str) -> None:
    # The ships' own slots are there, unless the case is about one of them.
    others = [slot(ship.slot, slot_type=ship.mode) for ship in SHIPS if ship.slot != found.name]
    judged = usage(found, *others, **more)
    assert judged.verdict == verdict, judged.why
    if why:
        assert judged.why == why


def test_a_dark_ship_without_its_slot_may_have_any_other() -> None:
    """The inventory calls it by a new name, say, and it is at sea."""
    judged = usage(slot(), ships=DARK)
    assert judged.verdict == "unproved"
    assert judged.why == (
        "may be used: algeciras could not be asked, and ship_algeciras is not there, so that this"
        " slot may be theirs under another name"
    )
    # One of another kind cannot be.
    assert usage(slot(slot_type="logical"), slot("ship_oslo"), ships=DARK).verdict == "unused"
    assert usage(slot(), slot("ship_algeciras"), ships=DARK).verdict == "unused"


@pytest.mark.parametrize(
    ("seen", "verdict", "seconds"),
    [
        ({}, "recent", None),
        ({"ship_lisbon": Seen(988.0 * DAY, "0/2800000")}, "unused", 12.0 * DAY),
        ({"ship_lisbon": Seen(995.0 * DAY, "0/2800000")}, "recent", 5.0 * DAY),
        # It has moved since, so it was used.
        ({"ship_lisbon": Seen(988.0 * DAY, "0/2000000")}, "recent", None),
        # The clock was set back.
        ({"ship_lisbon": Seen(1001.0 * DAY, "0/2800000")}, "recent", None),
    ],
)
def test_a_server_that_does_not_tell_since_when(
    seen: dict[str, Seen], verdict: str, seconds: float | None
) -> None:
    judged = usage(slot(inactive_seconds=None), server=OLD_SERVER, seen=seen)
    assert (judged.verdict, judged.unused_seconds) == (verdict, seconds)


def test_the_note_is_not_asked_where_the_server_tells() -> None:
    seen = {"ship_lisbon": Seen(1.0, "0/2800000")}
    assert usage(slot(inactive_seconds=DAY), seen=seen).unused_seconds == DAY


ALL = [
    slot("ship_oslo", slot_type="logical", database="hmm_db", restart_lsn=Lsn(50 * MB)),
    slot("ship_algeciras", active_pid=7),
    slot("kept_one"),
    slot("young", inactive_seconds=60.0),
    slot("cheap", restart_lsn=Lsn(99 * MB)),
    slot("dear", restart_lsn=Lsn(10 * MB), slot_type="logical", database="other"),
    slot("empty", restart_lsn=None),
]


def test_what_nothing_uses_comes_first_and_the_dearest_of_that() -> None:
    usages = judge(request(kept=("kept_one",)), SERVER, ALL, {})
    assert [(usage.slot.name, usage.verdict, usage.retained_bytes) for usage in usages] == [
        ("dear", "unused", 90 * MB),
        ("cheap", "unused", 1 * MB),
        ("empty", "unused", None),
        ("young", "recent", 60 * MB),
        ("kept_one", "kept", 60 * MB),
        ("ship_oslo", "owned", 50 * MB),
        ("ship_algeciras", "used", 60 * MB),
    ]


def names(asked: Request) -> list[str]:
    return [usage.slot.name for usage in chosen(asked, judge(asked, SERVER, ALL, {}))]


def test_what_is_dropped() -> None:
    kept = {"kept": ("kept_one",)}
    assert names(request(**kept)) == []
    assert names(request(drop=True, **kept)) == ["dear", "cheap", "empty"]
    assert names(request(drop=True, names=("young", "gone"), **kept)) == ["young"]


def test_what_is_refused_by_name() -> None:
    assert refused(names=("ship_oslo", "cheap")) == (
        "ship_oslo is not dropped: it belongs to oslo, a ship of the inventory. A ship that is gone"
        " for good leaves by ship_offboard.yml. Nothing was dropped."
    )
    assert refused(names=("ship_algeciras",)) == (
        "ship_algeciras is not dropped: it is in use by process 7. End what uses it first."
        " Nothing was dropped."
    )
    assert "kept_one is not dropped: it is to be kept" in refused(
        names=("kept_one",), kept=("kept_one",)
    )


def test_the_plan_drops_one_by_one() -> None:
    usages = [usage(slot("a")), usage(slot("b", slot_type="logical", database="d"))]
    plan = plan_drops(SERVER, usages)
    assert len(plan.steps) == len(usages)
    assert plan.before == {
        "a": {"slot_type": "physical"},
        "b": {"slot_type": "logical", "database": "d"},
    }
    assert not plan_drops(SERVER, []).changed
    with pytest.raises(ReplicationError, match="may not drop"):
        plan_drops(Server(Lsn(0), dates_slots=True, may_replicate=False), usages)


def test_freed_is_what_no_other_slot_holds() -> None:
    usages = judge(request(kept=("kept_one",)), SERVER, ALL, {})
    # dear holds 90 MB, the others up to 60 of that.
    assert freed_bytes(SERVER, usages, chosen(request(drop=True), usages)) == 30 * MB
    assert freed_bytes(SERVER, usages, []) == 0
    assert freed_bytes(SERVER, usages, usages) == 90 * MB


def told(done: bool = True, found: list[Found] | None = None, **more: Any) -> list[str]:
    asked = request(**more)
    usages = judge(asked, SERVER, ALL[4:6] if found is None else found, {})
    return lines(asked, usages, chosen(asked, usages), 30 * MB, done)


def test_lines() -> None:
    assert told() == [
        (
            f"dear (logical in other, 90.0 MB of WAL kept): unused: it {NOBODY}, and has been unused for"
            " 12 d."
        ),
        f"cheap (physical, 1.0 MB of WAL kept): unused: it {NOBODY}, and has been unused for 12 d.",
        (
            "Nothing was changed. -e drop=true drops those that nothing uses, after which no slot"
            " holds 30.0 MB of WAL any more."
        ),
    ]
    assert told(drop=True)[0].startswith("dear (logical in other, 90.0 MB of WAL kept): dropped: ")
    assert told(drop=True)[-1] == (
        "2 of 2 slots dropped; 30.0 MB of WAL is held by no slot any more."
    )
    assert told(drop=True, done=False)[-1].startswith("2 of 2 slots would be dropped;")
    assert told(drop=True, names=("gone",))[-2:] == [
        "gone: there is no such slot.",
        "Nothing was dropped.",
    ]
    assert told(found=[]) == ["The server has no replication slot."]
    assert told(found=ALL[:1])[-1] == "Every slot is used or kept."
    assert "-e drop=true -e slots=NAME" in told(found=ALL[3:4])[-1]
    assert told(found=ALL[3:4], drop=True)[-1] == "Nothing was dropped."


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("7d", 7 * DAY), ("90", 90), ("1.5h", 5400), (" 2 w ", 14 * DAY), ("30m", 1800), ("0", 0)],
)
def test_times(text: str, seconds: float) -> None:
    assert parse_time("unused_after", text) == seconds


PARAMS: dict[str, Any] = {
    "ships": [],
    "kept": [],
    "unused_after": "7d",
    "drop": True,
    "names": [],
    "seen_file": None,
}


@pytest.mark.parametrize(
    ("params", "sentence"),
    [
        ({"unused_after": "soon"}, "unused_after: 'soon' is not a time: write a number with"),
        ({"unused_after": "-1d"}, "unused_after: '-1d' is not a time"),
        ({"names": ["Ship"]}, "names: 'Ship' is not a replication slot name"),
        ({"names": ["a"], "drop": False}, "names: they say what to drop, so that drop has to be"),
    ],
)
def test_wrong_options(params: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ReplicationError) as caught:
        unused_slots_request({**PARAMS, **params})
    assert caught.value.message.startswith(sentence)
