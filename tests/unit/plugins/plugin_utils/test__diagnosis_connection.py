# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The doctor's rules on the way to the shore: each cause, and nothing else blamed."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.diagnosis import LOGICAL, NOT_THERE, PHYSICAL, diagnosed, said, stopped

REFUSED = "28000"
NO_ENTRY = stopped(
    "authentication",
    "refused",
    'no pg_hba.conf entry for replication connection from host "198.51.100.21", user "ship_algeciras"',
    REFUSED,
)
REJECTED = stopped(
    "authentication",
    "refused",
    'pg_hba.conf rejects replication connection for host "198.51.100.21", user "ship_algeciras"',
    REFUSED,
)
EVERYBODY = {
    "line_number": 20,
    "type": "host",
    "database": ["replication"],
    "user_name": ["all"],
    "address": "127.0.0.1",
    "netmask": "255.255.255.255",
    "auth_method": "scram-sha-256",
    "options": None,
    "error": None,
    "block": None,
}
OF_OTHER_SHIP = {
    **EVERYBODY,
    "line_number": 7,
    "type": "hostssl",
    "user_name": ["ship_oslo"],
    "address": "198.51.100.21",
    "block": "ship_oslo",
}
OWN = {
    **OF_OTHER_SHIP,
    "line_number": 2,
    "user_name": ["ship_algeciras"],
    "block": "ship_algeciras",
}
REJECT = {**OWN, "line_number": 3, "type": "host", "address": "all", "netmask": None}
REJECT["auth_method"] = "reject"


def hba(*rules: dict[str, Any]) -> dict[str, Any]:
    return {"shore.server.hba.rules": list(rules)}


DOWN = {
    "shore.cluster.running": False,
    "shore.cluster.status": "down",
    "shore.server": None,
    "shore.settings_in_files": {},
}
DARK_SHORE = {"shore": None, "shore_dark": "Connection timed out"}
DARK_SHIP = {"ship": None, "ship_dark": "Connection timed out", "probe": None}
ELSEWHERE = {
    "probe.tls": None,
    "probe.target.host": "203.0.113.99",
    "probe.addresses": ["203.0.113.99"],
    "probe.address": "203.0.113.99",
}

# Of a ship that is cut off: mode, what is otherwise than it should be, and the causes that are to be named.
CUT_OFF: dict[str, tuple[str, dict[str, Any], list[str]]] = {
    "shore down": (PHYSICAL, {**stopped("tcp", "refused"), **DOWN}, ["shore_down"]),
    "shore down, logical": (LOGICAL, {**stopped("tcp", "refused"), **DOWN}, ["shore_down"]),
    "shore starting": (
        PHYSICAL,
        {
            **stopped("authentication", "refused", "the database system is starting up", "57P03"),
            "shore.cluster.status": "starting",
            "shore.server": None,
        },
        ["shore_down"],
    ),
    "shore dark, its server seen to be down": (
        PHYSICAL,
        {**stopped("tcp", "refused"), **DARK_SHORE},
        ["shore_down"],
    ),
    "shore dark to both": (
        PHYSICAL,
        {**stopped("tcp", "timeout"), **DARK_SHORE},
        ["shore_unreachable"],
    ),
    "no way to the shore's network": (
        LOGICAL,
        {**stopped("tcp", "unreachable"), **DARK_SHORE},
        ["shore_unreachable"],
    ),
    "firewall drops": (PHYSICAL, stopped("tcp", "timeout"), ["port_closed"]),
    "firewall rejects": (LOGICAL, stopped("tcp", "refused"), ["port_closed"]),
    "firewall lets connections begin": (PHYSICAL, stopped("tls", "timeout"), ["port_closed"]),
    "listens elsewhere": (
        PHYSICAL,
        {**stopped("tcp", "refused"), "shore.server.settings.listen_addresses": "localhost"},
        ["port_closed"],
    ),
    "wrong address": (PHYSICAL, {**stopped("tcp", "timeout"), **ELSEWHERE}, ["wrong_address"]),
    "wrong address, somebody answers": (
        LOGICAL,
        {**stopped("tls", "name"), **ELSEWHERE},
        ["wrong_address"],
    ),
    "wrong port": (
        PHYSICAL,
        {**stopped("tcp", "refused"), "probe.target.port": "5433"},
        ["wrong_address"],
    ),
    "another cluster answers": (
        LOGICAL,
        {**ELSEWHERE, "probe.system.system_identifier": "1", "probe.target.sslmode": "require"},
        ["wrong_address"],
    ),
    "no PostgreSQL there": (
        PHYSICAL,
        stopped("tls", "protocol", "what answers there is no PostgreSQL server"),
        ["wrong_address"],
    ),
    "no such database": (
        LOGICAL,
        stopped("authentication", "refused", 'database "x" does not exist', "3D000"),
        ["wrong_address"],
    ),
    "name not resolved": (PHYSICAL, stopped("name", "not_resolved"), ["name_not_resolved"]),
    "hba without a line": (PHYSICAL, {**NO_ENTRY, **hba(EVERYBODY)}, ["hba_missing"]),
    "hba with another ship's line": (
        PHYSICAL,
        {**NO_ENTRY, **hba(OF_OTHER_SHIP, EVERYBODY)},
        ["hba_missing"],
    ),
    "hba that cannot be seen": (
        PHYSICAL,
        {**NO_ENTRY, **DARK_SHORE},
        ["hba_missing"],
    ),
    "hba rejects all others": (
        PHYSICAL,
        {**REJECTED, **hba({**REJECT, "user_name": ["all"], "block": None})},
        ["hba_missing"],
    ),
    "hba for another user": (
        PHYSICAL,
        {**REJECTED, **hba({**OWN, "user_name": ["ship_other"]}, REJECT)},
        ["hba_mismatch"],
    ),
    "hba for another user, without a block": (
        PHYSICAL,
        {**NO_ENTRY, **hba({**OWN, "user_name": ["replicator"], "block": None})},
        ["hba_mismatch"],
    ),
    "hba for another database": (
        PHYSICAL,
        {**REJECTED, **hba({**OWN, "database": ["hmm_db"]}, REJECT)},
        ["hba_mismatch"],
    ),
    "hba for another address": (
        PHYSICAL,
        {**REJECTED, **hba({**OWN, "address": "198.51.100.99"}, REJECT)},
        ["hba_mismatch"],
    ),
    "hba with another method": (
        PHYSICAL,
        {
            **stopped("authentication", "refused", "a client certificate is needed", REFUSED),
            **hba({**OWN, "auth_method": "cert"}, REJECT),
        },
        ["hba_mismatch"],
    ),
    "hba with a method that is not set up": (
        PHYSICAL,
        {
            **stopped("authentication", "refused", "no root certificate store", "F0000"),
            **hba({**OWN, "auth_method": "cert"}, REJECT),
        },
        ["hba_mismatch"],
    ),
    "hba not read since": (
        PHYSICAL,
        {**NO_ENTRY, **hba(OWN, REJECT), "shore.server.hba.modified_after_load": True},
        ["hba_mismatch"],
    ),
    "hba with another line first": (
        PHYSICAL,
        {**REJECTED, **hba({**REJECT, "line_number": 1, "block": None}, OWN)},
        ["hba_mismatch"],
    ),
    "wrong password": (
        PHYSICAL,
        stopped("authentication", "refused", "password authentication failed", "28P01"),
        ["wrong_password"],
    ),
    "no password": (LOGICAL, stopped("authentication", "no_password"), ["wrong_password"]),
    "TLS off": (PHYSICAL, stopped("tls", "not_offered"), ["tls_off"]),
    "certificate expired": (PHYSICAL, stopped("tls", "expired"), ["certificate_expired"]),
    "certificate not yet valid": (
        LOGICAL,
        stopped("tls", "not_yet_valid"),
        ["certificate_expired"],
    ),
    "certificate of another authority": (
        PHYSICAL,
        stopped("tls", "authority"),
        ["certificate_authority"],
    ),
    "no authority": (LOGICAL, stopped("tls", "no_root_certificate"), ["certificate_authority"]),
    "certificate of another name": (PHYSICAL, stopped("tls", "name"), ["certificate_name"]),
    "clock far off, and the certificate expired by it": (
        PHYSICAL,
        {**stopped("tls", "expired"), "clocks.ship": [99999.0, 100002.0]},
        ["clock_off"],
    ),
    "role without REPLICATION": (
        PHYSICAL,
        {
            **stopped("authentication", "refused", "must be replication role", "42501"),
            "shore.server.roles.ship_algeciras.replication": False,
        },
        ["role_without_replication"],
    ),
    "role may not log in": (
        PHYSICAL,
        {
            **stopped("authentication", "refused", "role is not permitted to log in", REFUSED),
            "shore.server.roles.ship_algeciras.login": False,
        },
        ["role_without_replication"],
    ),
    "no role": (
        PHYSICAL,
        {
            **stopped("authentication", "refused", "password authentication failed", "28P01"),
            "shore.server.roles": {},
        },
        ["role_without_replication"],
    ),
    "walsenders used up": (
        LOGICAL,
        {
            **stopped("authentication", "refused", "number of connections", "53300"),
            "shore.server.lag.server.wal_senders_used": 32,
        },
        ["walsenders_exhausted"],
    ),
    "something new": (
        PHYSICAL,
        stopped("authentication", "refused", "something new", "XX000"),
        ["connection_failed"],
    ),
    "closed without a word": (
        PHYSICAL,
        stopped("tls", "protocol", "the connection was closed without a word"),
        ["connection_failed"],
    ),
    "ship dark": (PHYSICAL, DARK_SHIP, ["ship_unreachable"]),
    "both dark": (PHYSICAL, {**DARK_SHIP, **DARK_SHORE}, ["shore_unreachable"]),
}


def apart(mode: str, changes: dict[str, Any]) -> dict[str, Any]:
    """The changes of a ship that is cut off, as far as its ends can be seen at all."""
    missing = [end for end in ("ship", "shore") if end in changes and changes[end] is None]
    if changes.get("shore.server", 1) is None:
        missing.append("shore.server")
    return {
        path: value
        for path, value in NOT_THERE[mode].items()
        if not any(path.startswith(f"{end}.") for end in missing)
    }


@pytest.mark.parametrize("name", CUT_OFF)
def test_the_cause_is_named_and_nothing_else(name: str) -> None:
    mode, changes, causes = CUT_OFF[name]
    found = diagnosed(mode, {**apart(mode, changes), **changes})
    assert found["causes"] == causes
    assert found["status"] == "critical"
    for finding in found["findings"]:
        assert finding["what"].endswith(".")
        assert finding["next"]


@pytest.mark.parametrize("mode", [PHYSICAL, LOGICAL])
def test_a_healthy_ship_has_nothing(mode: str) -> None:
    found = diagnosed(mode)
    assert (found["status"], found["findings"], found["explained"]) == ("ok", [], [])


def test_a_ship_that_is_still_connected_is_warned_of() -> None:
    found = diagnosed(
        PHYSICAL, stopped("authentication", "refused", "password authentication failed", "28P01")
    )
    assert (found["status"], found["causes"]) == ("warning", ["wrong_password"])


def test_used_up_walsenders_do_not_worry_who_has_one_and_got_another() -> None:
    found = diagnosed(PHYSICAL, {"shore.server.lag.server.wal_senders_used": 32})
    assert found["status"] == "ok"


@pytest.mark.parametrize(
    ("clocks", "causes"),
    [
        pytest.param({"clocks.ship": [-4000.0, -3990.0]}, ["clock_off"], id="the ship's behind"),
        pytest.param({"clocks.shore": [70.0, 72.0]}, ["clock_off"], id="the shore's ahead"),
        pytest.param({"clocks.ship": [-5.0, 90.0]}, [], id="a slow link"),
        pytest.param(
            {"clocks.ship": [3600.0, 3601.0], "clocks.shore": [3601.0, 3602.0]},
            [],
            id="it is the controller's",
        ),
        pytest.param({"clocks": {"ship": [3600.0, 3601.0]}}, ["clock_off"], id="the only one"),
        pytest.param({"clocks": {}}, [], id="none is known"),
    ],
)
def test_clocks(clocks: dict[str, Any], causes: list[str]) -> None:
    assert diagnosed(PHYSICAL, clocks)["causes"] == causes


SELECT = "shore.server.tables.public.documents"


def without_select(columns: list[str]) -> dict[str, Any]:
    table = {
        "schema": "public",
        "table": "documents",
        "columns": {"id": "integer", "title": "text"},
        "not_selectable_by": {"ship_oslo": columns},
        "has_identity": True,
        "identity_kind": "d",
        "generated": [],
        "kind": "r",
        "partition": False,
    }
    return {"shore.server.tables": {"public.documents": table}}


def test_select_that_is_missing_while_a_table_is_copied() -> None:
    found = diagnosed(
        LOGICAL,
        {
            **without_select(["id", "title"]),
            "ship.server.subscriptions.0.tables.0.state": "data_copy",
            "ship.log": [said("permission denied for table documents", "ERROR")],
        },
    )
    assert found["causes"] == ["role_without_select"]
    assert found["status"] == "critical"
    assert any("permission denied" in proof for proof in found["findings"][0]["proof"])


def test_select_that_is_missing_later() -> None:
    found = diagnosed(LOGICAL, without_select(["id", "title"]))
    assert (found["status"], found["causes"]) == ("warning", ["role_without_select"])


def test_columns_that_are_not_published_need_not_be_readable() -> None:
    columns = {"shore.server.publications.0.tables.0.attnames": ["id"]}
    assert diagnosed(LOGICAL, {**without_select(["title"]), **columns})["causes"] == []


def test_passwords_are_told_apart() -> None:
    passfile = {"path": "/p", "usable": False, "why": "others may read it", "entry": False}
    found = diagnosed(
        PHYSICAL,
        {**stopped("authentication", "no_password"), "probe.passfile": passfile},
    )
    assert "others may read it" in found["findings"][0]["what"]
    found = diagnosed(
        PHYSICAL,
        {
            **stopped("authentication", "refused", "password authentication failed", "28P01"),
            "shore.server.roles.ship_algeciras.valid": False,
        },
    )
    assert "VALID UNTIL" in found["findings"][0]["what"]


def test_an_hba_mismatch_says_in_what() -> None:
    found = diagnosed(PHYSICAL, {**REJECTED, **hba({**OWN, "database": ["hmm_db"]}, REJECT)})
    (finding,) = found["findings"]
    assert "does not fit in its database" in finding["what"]
    assert any("line 2: hostssl hmm_db ship_algeciras" in proof for proof in finding["proof"])


def test_a_dark_ship_that_still_takes_wal_is_only_warned_of() -> None:
    found = diagnosed(PHYSICAL, DARK_SHIP)
    assert (found["status"], found["causes"]) == ("warning", ["ship_unreachable"])


def test_a_dark_shore_is_no_cause_where_the_ship_gets_through() -> None:
    found = diagnosed(PHYSICAL, DARK_SHORE)
    assert (found["status"], found["causes"]) == ("ok", [])
    assert len(found["unknown"]) == 1


def test_an_address_that_the_inventory_does_not_know_is_right_where_the_certificate_is() -> None:
    refused = stopped("authentication", "refused", "password authentication failed", "28P01")
    found = diagnosed(PHYSICAL, {**NOT_THERE[PHYSICAL], **refused, **ELSEWHERE, "probe.tls": True})
    assert found["causes"] == ["wrong_password"]


def test_the_next_command_names_the_inventory() -> None:
    refused = stopped("authentication", "refused", "password authentication failed", "28P01")
    found = diagnosed(PHYSICAL, {**refused, "inventory": "fleet/hosts.yml"})
    assert found["findings"][0]["next"].startswith("ansible-playbook -i fleet/hosts.yml playbooks/")
