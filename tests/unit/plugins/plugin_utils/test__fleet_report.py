# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The shore's report, with what the ships say, and with who does not answer."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.hmm.pg_replication.plugins.module_utils._fleet_status import (
    STATUS_DEFAULTS,
    Seen,
    Shore,
    status_report,
    status_request,
)
from ansible_collections.hmm.pg_replication.plugins.module_utils._lag import (
    Lag,
    ReceiverLag,
    ServerLag,
    SlotLag,
    StandbyLag,
    SubscriptionLag,
)
from ansible_collections.hmm.pg_replication.plugins.module_utils._lag_problems import (
    assess,
    lag_request,
    status_of,
)
from ansible_collections.hmm.pg_replication.plugins.module_utils._names import Lsn
from ansible_collections.hmm.pg_replication.plugins.plugin_utils._fleet_report import (
    joined,
    status_ships,
)

POSITION = Lsn.parse("test", "1/F0000000")
NAMES = ["algeciras", "oslo"]
HOSTVARS = {
    "algeciras": {"inventory_hostname": "algeciras", "ship_link": {"bandwidth": "4Mbit"}},
    "oslo": {"inventory_hostname": "oslo", "ship_mode": "logical"},
}
BUSAN = {"inventory_hostname": "busan"}


def shores(connected: bool = True) -> dict[str, Any]:
    """What the shore tells: both ships are connected, or neither."""
    slots, standbys = [], []
    for pid, name in enumerate(NAMES):
        slot = f"ship_{name}"
        slots.append(
            SlotLag(
                slot,
                "physical",
                active=connected,
                active_pid=pid if connected else None,
                restart_lsn=POSITION,
                lag_bytes=0,
            )
        )
        if connected:
            standbys.append(
                StandbyLag("17/main", pid, slot=slot, state="streaming", replay_lag_bytes=0)
            )
    lag = Lag(
        ServerLag("17.6", "primary", POSITION, time="2026-11-22T08:15:29.71Z"),
        tuple(standbys),
        tuple(slots),
    )
    ships = status_ships(HOSTVARS.values())
    return status_report(
        "busan", Seen(lag, Shore()), status_request({"ships": ships, **STATUS_DEFAULTS})
    )


def aboard(
    receiver: ReceiverLag | None = None, subscription: SubscriptionLag | None = None
) -> dict[str, Any]:
    """What repl_lag_facts tells of a ship's server."""
    role = "standby" if receiver else "primary"
    lag = Lag(
        ServerLag("17.6", role, POSITION, time="2026-11-22T08:15:30Z"),
        receiver=receiver,
        subscriptions=(subscription,) if subscription else (),
    )
    problems = assess(lag, lag_request(STATUS_DEFAULTS))
    return {
        "status": status_of(problems),
        "problems": [problem.shown() for problem in problems],
        **lag.shown(),
    }


def subscribed(**more: Any) -> dict[str, Any]:
    given = {"slot": "ship_oslo", "workers": 1, "apply_worker_pid": 7, "enabled": True}
    return aboard(subscription=SubscriptionLag("ship_oslo", "hmm_db", **{**given, **more}))


def received(**more: Any) -> dict[str, Any]:
    return aboard(ReceiverLag(**{"running": True, "status": "streaming", **more}))


def row(
    name: str, own: dict[str, Any], report: dict[str, Any] | None = None, **hostvars: Any
) -> dict[str, Any]:
    """The row of a ship that says so."""
    ships = [
        {**HOSTVARS[other], **({"fleet_own": own, **hostvars} if other == name else {})}
        for other in NAMES
    ]
    found = joined(shores() if report is None else report, ships, BUSAN, [name])
    (one,) = found["ships"]
    assert one["severity"] == found["status"] or found["shore"]["problems"]
    return one


def told(found: dict[str, Any]) -> list[str]:
    return [f"{p['severity']}: {p['object']}: {p['what']}" for p in found["problems"]]


def test_ships_for_the_module() -> None:
    assert status_ships(HOSTVARS.values()) == [
        {
            "name": "algeciras",
            "slot": "ship_algeciras",
            "mode": "physical",
            "bandwidth": 500000.0,
        },
        {"name": "oslo", "slot": "ship_oslo", "mode": "logical"},
    ]


def test_a_ship_that_is_well() -> None:
    found = row("oslo", {"lag": subscribed(), "error": "", "seed": {}})
    assert (found["state"], found["severity"], found["unreached"]) == ("streaming", "ok", None)
    assert found["own"]["subscription"]["apply_worker_pid"] == 7
    assert found["own"]["receiver"] is None


def test_a_ship_that_the_controller_does_not_reach_may_stream() -> None:
    # What it said earlier in the same run counts no more.
    found = row("oslo", {"lag": subscribed()}, fleet_dark="Task failed: no route to host")
    assert (found["state"], found["severity"], found["own"]) == ("streaming", "ok", None)
    assert found["unreached"] == "no route to host."


def test_only_those_asked_for_are_told_of() -> None:
    found = joined(shores(), HOSTVARS.values(), BUSAN, ["oslo"])
    assert [ship["name"] for ship in found["ships"]] == ["oslo"]


@pytest.mark.parametrize(
    ("connected", "own", "state", "severity"),
    [
        (True, received(), "streaming", "ok"),
        (True, received(replay_state="paused"), "paused", "warning"),
        (True, received(replay_state="pause requested"), "paused", "warning"),
        (False, received(running=False, status=None, replay_state="paused"), "paused", "warning"),
        (False, received(running=False, status=None), "dark", "warning"),
        # A server of its own, which follows nobody.
        (False, aboard(), "dark", "warning"),
    ],
)
def test_a_standby_knows_better(
    connected: bool, own: dict[str, Any], state: str, severity: str
) -> None:
    found = row("algeciras", {"lag": own}, shores(connected))
    assert (found["state"], found["severity"]) == (state, severity)


@pytest.mark.parametrize(
    ("connected", "own", "state", "severity"),
    [
        (True, subscribed(), "streaming", "ok"),
        (False, subscribed(enabled=False), "subscription disabled", "warning"),
        (
            False,
            subscribed(
                enabled=False, apply_errors=1, disable_on_error=True, disabled_by_error=True
            ),
            "subscription disabled",
            "critical",
        ),
        (
            False,
            subscribed(apply_worker_pid=None, apply_errors=9, errors_in_sample=1),
            "conflict",
            "critical",
        ),
        # Links that were cut are counted as errors, too.
        (
            False,
            subscribed(apply_worker_pid=None, apply_errors=9, errors_in_sample=0),
            "dark",
            "warning",
        ),
        (True, subscribed(apply_errors=9), "streaming", "ok"),
        (True, subscribed(tables={"total": 4, "ready": 3, "data_copy": 1}), "copying", "warning"),
    ],
)
def test_a_subscriber_knows_better(
    connected: bool, own: dict[str, Any], state: str, severity: str
) -> None:
    found = row("oslo", {"lag": own}, shores(connected))
    assert (found["state"], found["severity"]) == (state, severity)


def test_a_server_that_is_down_aboard() -> None:
    found = row("algeciras", {"error": "Nothing listens there"}, shores(connected=False))
    assert (found["state"], found["severity"]) == ("dark", "critical")
    assert told(found)[0] == (
        "critical: server aboard: The ship answers, and its PostgreSQL cannot be asked: Nothing"
        " listens there."
    )


@pytest.mark.parametrize("state", ["running", "waiting"])
def test_a_ship_that_is_being_seeded_is_not_dark(state: str) -> None:
    own = {"error": "Nothing listens there.", "seed": {"state": state, "step": "fetch"}}
    found = row("algeciras", own, shores(connected=False))
    assert (found["state"], found["severity"], found["problems"]) == ("seeding", "ok", [])


def test_a_seed_that_failed() -> None:
    own = {"error": "Nothing listens.", "seed": {"state": "failed", "message": "The disk is full"}}
    found = row("algeciras", own, shores(connected=False))
    assert found["severity"] == "critical"
    assert told(found)[0] == "critical: seed aboard: The ship's seed failed: The disk is full."


def test_what_both_see_is_told_once() -> None:
    away = received(running=False, status=None)
    found = row("algeciras", {"lag": away}, shores(connected=False))
    assert len(found["problems"]) == 1


# --- a shore that is dark ------------------------------------------------------------------------


def test_without_the_shore_the_ships_tell_of_themselves() -> None:
    ships = [
        {**HOSTVARS["algeciras"], "fleet_dark": "timed out"},
        {
            **HOSTVARS["oslo"],
            "fleet_own": {"lag": subscribed(lag_bytes=64, last_message_seconds=3.0)},
        },
    ]
    found = joined(shores(), ships, {**BUSAN, "fleet_dark": "timed out"}, NAMES)
    assert found["status"] == "critical"
    assert told(found["shore"]) == [
        "critical: shore: busan, the shore, does not answer: timed out."
    ]
    states = {ship["name"]: ship["state"] for ship in found["ships"]}
    assert states == {"algeciras": "unknown", "oslo": "streaming"}
    oslo = next(ship for ship in found["ships"] if ship["name"] == "oslo")
    assert (oslo["lag_bytes"], oslo["last_contact_seconds"], oslo["severity"]) == (64, 3.0, "ok")


def test_a_shore_whose_server_is_down() -> None:
    found = joined(None, HOSTVARS.values(), {**BUSAN, "fleet_error": "Connection refused"}, NAMES)
    assert told(found["shore"]) == [
        "critical: shore: busan, the shore, cannot be asked: Connection refused."
    ]


def test_both_reports_have_the_same_keys() -> None:
    """What reads a report need not know whether the shore gave one."""
    lit = joined(shores(), HOSTVARS.values(), BUSAN, NAMES)
    dark = joined({}, HOSTVARS.values(), BUSAN, NAMES)
    assert set(lit) == set(dark)
    assert set(lit["shore"]) == set(dark["shore"])
    assert set(lit["ships"][0]) == set(dark["ships"][0])
