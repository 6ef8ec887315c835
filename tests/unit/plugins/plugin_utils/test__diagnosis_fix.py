# SPDX-FileCopyrightText: HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What -e fix=true does, and where."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.hmm.pg_replication.plugins.plugin_utils._diagnosis_fix import fixes

WANTED = {
    "role": "ship_oslo",
    "mode": "logical",
    "ship_mode": "logical",
    "database": "hmm_db",
    "addresses": ["198.51.100.22"],
}


def fixed(fix: dict[str, Any] | None, **wanted: Any) -> list[dict[str, Any]]:
    diagnosis = {"oslo": {"findings": [{"cause": "a_cause", "fix": fix}]}}
    return fixes(diagnosis, "busan", {"oslo": {**WANTED, **wanted}})


def test_what_has_no_fix_is_left_to_people() -> None:
    assert fixed(None) == []


@pytest.mark.parametrize(
    ("fix", "host", "database", "statement"),
    [
        ({"action": "resume_replay"}, "oslo", "", "pg_wal_replay_resume()"),
        ({"action": "primary_conninfo"}, "oslo", "", "RESET primary_conninfo"),
        ({"action": "create_slot", "slot": "ship_oslo"}, "busan", "", "'ship_oslo', true"),
        (
            {"action": "refresh_subscription", "subscription": 'a"b'},
            "oslo",
            "hmm_db",
            'ALTER SUBSCRIPTION "a""b" REFRESH PUBLICATION',
        ),
        (
            {"action": "enable_subscription", "subscription": "ship_oslo"},
            "oslo",
            "hmm_db",
            'ALTER SUBSCRIPTION "ship_oslo" ENABLE',
        ),
    ],
)
def test_a_statement_goes_where_it_belongs(
    fix: dict[str, Any], host: str, database: str, statement: str
) -> None:
    (done,) = fixed(fix)
    assert (done["host"], done["database"]) == (host, database)
    assert statement in done["statements"][0]
    assert done["what"].endswith("(a_cause of oslo)")


@pytest.mark.parametrize(
    ("mode", "ship_mode", "databases"),
    [
        ("logical", "logical", ["hmm_db"]),
        ("physical", "physical", ["replication"]),
        ("physical", "logical", ["hmm_db", "replication"]),
    ],
)
def test_the_rules_are_those_that_the_role_would_write(
    mode: str, ship_mode: str, databases: list[str]
) -> None:
    (done,) = fixed({"action": "hba_block"}, mode=mode, ship_mode=ship_mode)
    assert done["host"] == "busan"
    (block,) = done["blocks"]
    assert block["name"] == "ship_oslo"
    assert block["rules"][0]["databases"] == databases
    assert block["rules"][0]["addresses"] == ["198.51.100.22"]
