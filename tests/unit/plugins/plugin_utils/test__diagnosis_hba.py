# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which line of pg_hba.conf a connection meets."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.hmm.pg_replication.plugins.plugin_utils._diagnosis_hba import (
    Client,
    first_match,
    meant_for,
    misfits,
    written,
)

STANDBY = Client("ship_a", None, "198.51.100.21")
SUBSCRIBER = Client("ship_a", "hmm_db", "198.51.100.21")
PLAIN = Client("ship_a", "hmm_db", "198.51.100.21", tls=False)


def line(text: str, number: int = 1, block: str | None = None, **more: Any) -> dict[str, Any]:
    """As pg_hba_file_rules shows it: type databases users address netmask method."""
    words = text.split()
    address, netmask = [*words[3:-1], None, None][:2]
    return {
        "line_number": number,
        "type": words[0],
        "database": words[1].split(","),
        "user_name": words[2].split(","),
        "address": address,
        "netmask": netmask,
        "auth_method": words[-1],
        "options": None,
        "error": None,
        "block": block,
        **more,
    }


HOST = "255.255.255.255"


@pytest.mark.parametrize(
    ("text", "client", "wrong"),
    [
        ("hostssl replication ship_a 198.51.100.21 " + HOST + " scram-sha-256", STANDBY, []),
        ("hostssl replication ship_a 198.51.100.0 255.255.255.0 md5", STANDBY, []),
        ("host all all all scram-sha-256", SUBSCRIBER, []),
        ("host all all 0.0.0.0 0.0.0.0 scram-sha-256", SUBSCRIBER, []),
        # all does not match replication, and replication matches no database
        ("host all all all scram-sha-256", STANDBY, ["database"]),
        ("host replication all all scram-sha-256", SUBSCRIBER, ["database"]),
        ("hostnossl hmm_db ship_a all scram-sha-256", SUBSCRIBER, ["type"]),
        ("hostssl hmm_db ship_a all scram-sha-256", PLAIN, ["type"]),
        ("local all all peer", SUBSCRIBER, ["type", "address"]),
        ("host hmm_db ship_b ::1 ffff:: scram-sha-256", SUBSCRIBER, ["user", "address"]),
        ("host hmm_db +ships all scram-sha-256", SUBSCRIBER, []),
        ("host hmm_db /^ship_ all scram-sha-256", SUBSCRIBER, []),
        ("host hmm_db /[ all scram-sha-256", SUBSCRIBER, ["user"]),
        ("host sameuser ship_a all scram-sha-256", SUBSCRIBER, ["database"]),
        ("host hmm_db ship_a ship.example.com scram-sha-256", SUBSCRIBER, []),
        ("host hmm_db ship_a samenet scram-sha-256", SUBSCRIBER, ["address"]),
    ],
)
def test_in_what_a_line_does_not_fit(text: str, client: Client, wrong: list[str]) -> None:
    assert misfits(line(text), client) == wrong


def test_the_first_line_that_fits_decides() -> None:
    rules = [
        line("host all ship_b all scram-sha-256", 1),
        line("hostssl hmm_db ship_a all reject", 2, error="nonsense"),
        line("host all ship_a all reject", 3),
        line("hostssl hmm_db ship_a all scram-sha-256", 4),
    ]
    met = first_match(rules, SUBSCRIBER)
    assert met is not None
    assert met["line_number"] == 3
    assert first_match(rules[:2], SUBSCRIBER) is None


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ([], None),
        ([line("host replication all 127.0.0.1 " + HOST + " scram-sha-256")], None),
        ([line("host replication all all scram-sha-256")], None),
        ([line("local replication ship_a peer")], None),
        ([line("host all ship_a all reject")], None),
        ([line("hostssl replication ship_b 198.51.100.21 " + HOST + " scram-sha-256")], None),
        (
            [line("hostssl replication replicator 198.51.100.21 " + HOST + " scram-sha-256")],
            (1, ["user"]),
        ),
        (
            [line("hostssl hmm_db ship_a 198.51.100.21 " + HOST + " scram-sha-256")],
            (1, ["database"]),
        ),
        (
            [line("hostssl replication ship_a 198.51.100.9 " + HOST + " cert")],
            (1, ["address", "method"]),
        ),
        (
            [
                line("hostssl hmm_db ship_x 198.51.100.9 " + HOST + " scram-sha-256", 1, "ship_a"),
                line("hostssl hmm_db ship_a 198.51.100.21 " + HOST + " scram-sha-256", 2),
            ],
            (2, ["database"]),
        ),
    ],
)
def test_the_line_that_was_meant(rules: list, expected: tuple | None) -> None:
    found = meant_for(rules, STANDBY, "ship_a", ["ship_a", "ship_b"])
    assert (found and (found[0]["line_number"], found[1])) == expected


def test_a_line_is_told_as_the_file_has_it() -> None:
    assert (
        written(line("hostssl replication ship_a 198.51.100.0 255.255.255.0 scram-sha-256"))
        == "hostssl replication ship_a 198.51.100.0/24 scram-sha-256"
    )
    assert written(line("host all ship_a 2001:db8:: ffff:ffff:: md5")) == (
        "host all ship_a 2001:db8::/32 md5"
    )
    assert written(line("host all,replication ship_a all reject")) == (
        "host all,replication ship_a all reject"
    )
