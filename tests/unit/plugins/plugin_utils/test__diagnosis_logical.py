# SPDX-FileCopyrightText: HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is named where logical replication does not work, and what is not blamed as well."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.hmm.pg_replication.plugins.plugin_utils._diagnosis import Case, diagnose
from ansible_collections.hmm.pg_replication.plugins.plugin_utils._diagnosis_logical import RULES

USERS = {"id": "bigint", "email": "text"}
CONTEXT = (
    'processing remote data for replication origin "pg_16427" during message type "INSERT" for'
    ' replication target relation "public.users" in transaction 793, finished at 0/4009D50'
)
DUPLICATE = 'duplicate key value violates unique constraint "users_pkey"'
DISABLED = 'subscription "ship_oslo" has been disabled because of an error'
STARTED = 'logical replication apply worker for subscription "ship_oslo" has started'


def entry(message: str, age: float = 5, **known: Any) -> dict[str, Any]:
    told = {
        "time": "2026-11-23 03:36:39.286",
        "age": age,
        "pid": 1,
        "who": "",
        "level": "ERROR",
        "message": message,
        "detail": "",
        "hint": "",
        "context": "",
        "subscription": "ship_oslo",
        "times": 1,
    }
    return {**told, **known}


def log(*entries: dict[str, Any]) -> list[dict[str, Any]]:
    """As the module gives it: oldest first."""
    return sorted(entries, key=lambda one: -one["age"])


def table(columns: dict[str, str] | None = None, **known: Any) -> dict[str, Any]:
    told = {
        "columns": columns or USERS,
        "generated": [],
        "has_identity": True,
        "identity_kind": "d",
        "not_selectable_by": {},
    }
    return {**told, **known}


def case(**known: Any) -> Case:
    sent = known.pop(
        "sent", [{"schemaname": "public", "tablename": "users", "attnames": ["id", "email"]}]
    )
    subscription = {
        "name": "ship_oslo",
        "oid": 16427,
        "enabled": True,
        "publications": ["hmm_publication"],
        "tables": known.pop("states", [{"schema": "public", "table": "users", "state": "ready"}]),
        "workers": known.pop("workers", [{"pid": 9, "table": None}]),
        "statistics": known.pop("statistics", {"apply_error_count": 0, "sync_error_count": 0}),
        **known.pop("subscription", {}),
    }
    applying = subscription["enabled"] and bool(subscription["workers"])
    shore = {
        "log": known.pop("shore_log", []),
        "server": {
            "settings": {"wal_level": known.pop("wal_level", "logical")},
            "publications": known.pop(
                "publications",
                [{"name": "hmm_publication", "pubupdate": True, "pubdelete": True, "tables": sent}],
            ),
            "tables": known.pop("ashore", {"public.users": table()}),
        },
    }
    if known.pop("shore_is_down", False):
        shore["settings_in_files"] = shore["server"]["settings"]
        shore["server"] = None  # type: ignore[assignment]
    ship = {
        "cluster": {"running": True},
        "log": known.pop("log", []),
        "server": {
            "settings": {"max_logical_replication_workers": "4"},
            "tables": known.pop("aboard", {"public.users": table()}),
            "backends": known.pop("backends", {"logical replication worker": 1}),
            "subscriptions": known.pop("subscriptions", [subscription]),
            "lag": {
                "subscriptions": [
                    {
                        "name": "ship_oslo",
                        "apply_worker_pid": 9 if applying else None,
                        "last_message_time": "now" if applying else None,
                    }
                ]
            },
        },
    }
    assert not known, known
    wanted = {
        "mode": "logical",
        "role": "ship_oslo",
        "slot": "ship_oslo",
        "subscription": "ship_oslo",
        "publication": "hmm_publication",
        "database": "hmm_db",
    }
    return Case("oslo", "busan", wanted, shore, ship)


def named(found: Case) -> list[str]:
    causes: list[str] = diagnose(found, RULES)["causes"]
    return causes


def stopped(error: dict[str, Any], **known: Any) -> Case:
    """A subscription that an error has disabled."""
    return case(
        subscription={"enabled": False},
        workers=[],
        statistics={"apply_error_count": 1, "sync_error_count": 0},
        log=log(entry(STARTED, 60, level="LOG"), error, entry(DISABLED, 4, level="LOG")),
        **known,
    )


def test_nothing_is_blamed_where_all_is_well() -> None:
    assert named(case()) == []


@pytest.mark.parametrize("enabled", [True, False])
def test_a_physical_ship_has_none_of_it(enabled: bool) -> None:
    found = case(wal_level="replica", publications=[], subscription={"enabled": enabled})
    physical = Case(
        found.name, found.shore_name, {**found.wanted, "mode": "physical"}, found.shore, found.ship
    )
    assert named(physical) == []


def test_an_error_is_told_with_its_transaction() -> None:
    found = diagnose(stopped(entry("new row violates check constraint", context=CONTEXT)), RULES)
    assert found["causes"] == ["subscription_disabled_by_error"]
    (finding,) = found["findings"]
    assert "0/4009D50" in finding["what"]
    assert "SKIP (lsn = '0/4009D50')" in finding["next"]
    assert finding["fix"] is None


def test_another_subscriptions_error_is_not_this_ones() -> None:
    found = diagnose(stopped(entry("broken", subscription="other")), RULES)
    assert "broken" not in found["findings"][0]["what"]


def test_a_connection_that_ended_is_no_error_of_the_data() -> None:
    text = "could not receive data from WAL stream: server closed the connection unexpectedly"
    (finding,) = diagnose(stopped(entry(text)), RULES)["findings"]
    assert finding["severity"] == "warning"
    assert finding["fix"] == {"action": "enable_subscription", "subscription": "ship_oslo"}


def test_an_error_of_before_did_not_disable_it() -> None:
    found = case(
        subscription={"enabled": False},
        workers=[],
        statistics={"apply_error_count": 3, "sync_error_count": 0},
        log=log(
            entry("broken", 90), entry(DISABLED, 80, level="LOG"), entry(STARTED, 70, level="LOG")
        ),
    )
    assert named(found) == ["subscription_disabled"]


@pytest.mark.parametrize(
    ("errors", "cause"), [(0, "subscription_disabled"), (2, "subscription_disabled_by_error")]
)
def test_where_the_log_does_not_reach_back_the_counts_tell(errors: int, cause: str) -> None:
    found = case(
        subscription={"enabled": False},
        workers=[],
        statistics={"apply_error_count": errors, "sync_error_count": 0},
    )
    assert named(found) == [cause]


def test_a_conflict_is_told_with_its_row() -> None:
    error = entry(DUPLICATE, detail="Key (id)=(100002) already exists.", context=CONTEXT)
    found = diagnose(stopped(error), RULES)
    assert found["causes"] == ["conflict"]
    assert [one["cause"] for one in found["explained"]] == ["subscription_disabled_by_error"]
    assert "(100002)" in found["findings"][0]["proof"][0]
    assert "SKIP (lsn = '0/4009D50')" in found["findings"][0]["next"]


def test_a_conflict_that_is_over_is_not_told() -> None:
    assert named(case(log=log(entry(DUPLICATE, context=CONTEXT)))) == []


def test_a_table_that_is_not_aboard() -> None:
    error = entry('logical replication target relation "public.lab" does not exist')
    sent = [{"schemaname": "public", "tablename": "lab", "attnames": ["id"]}]
    ashore = {"public.lab": table({"id": "bigint"})}
    found = diagnose(stopped(error, sent=sent, ashore=ashore), RULES)
    assert found["causes"] == ["table_missing_aboard"]
    assert len(found["findings"][0]["proof"]) == 2  # of the catalog, of the log


def test_a_column_that_is_not_aboard() -> None:
    sent = [{"schemaname": "public", "tablename": "users", "attnames": ["id", "email", "lab"]}]
    ashore = {"public.users": table({**USERS, "lab": "text"})}
    found = diagnose(case(sent=sent, ashore=ashore), RULES)
    assert found["causes"] == ["column_missing_aboard"]
    assert "ADD COLUMN lab text" in found["findings"][0]["next"]


def test_a_column_that_is_not_sent_is_not_missed() -> None:
    ashore = {
        "public.users": table({**USERS, "embedding": "bytea", "sum": "int"}, generated=["sum"])
    }
    assert named(case(ashore=ashore)) == []
    whole = [{"schemaname": "public", "tablename": "users"}]  # PostgreSQL 14 and older
    assert named(case(ashore=ashore, sent=whole)) == ["column_missing_aboard"]


def test_a_publication_that_is_gone() -> None:
    found = diagnose(case(publications=[]), RULES)
    assert found["causes"] == ["publication_dropped"]
    error = entry(
        'could not receive data from WAL stream: ERROR: publication "hmm_publication" does not exist'
    )
    again = diagnose(stopped(error), RULES)
    assert again["causes"] == ["publication_dropped"]
    assert "ship_reseed" in again["findings"][0]["next"]


def test_a_table_that_was_never_copied() -> None:
    found = diagnose(case(states=[]), RULES)
    assert found["causes"] == ["table_not_copied"]
    assert found["findings"][0]["fix"] == {
        "action": "refresh_subscription",
        "subscription": "ship_oslo",
    }


@pytest.mark.parametrize(
    ("workers", "causes"),
    [
        ([{"pid": 9, "table": None}, {"pid": 10, "table": "users"}], []),
        ([{"pid": 9, "table": None}], ["table_not_copied"]),
    ],
)
def test_a_copy_under_way_is_left_alone(workers: list[dict[str, Any]], causes: list[str]) -> None:
    states = [{"schema": "public", "table": "users", "state": "initialize"}]
    assert named(case(states=states, workers=workers)) == causes


def test_a_copy_that_fails_is_told_with_its_error() -> None:
    states = [{"schema": "public", "table": "users", "state": "data_copy"}]
    error = entry('could not start initial contents copy for table "public.users": no')
    (finding,) = diagnose(case(states=states, log=[error]), RULES)["findings"]
    assert finding["cause"] == "table_not_copied"
    assert finding["severity"] == "critical"


def test_a_table_whose_updates_fail_ashore() -> None:
    ashore = {"public.users": table(has_identity=False, identity_kind="n")}
    assert named(case(ashore=ashore)) == ["no_replica_identity"]
    inserts = [
        {
            "name": "hmm_publication",
            "pubupdate": False,
            "pubdelete": False,
            "tables": [{"schemaname": "public", "tablename": "users", "attnames": ["id"]}],
        }
    ]
    assert named(case(ashore=ashore, publications=inserts)) == []


def test_workers_that_are_used_up() -> None:
    full = {"logical replication apply worker": 3, "logical replication tablesync worker": 1}
    launcher = {"logical replication launcher": 1, "logical replication apply worker": 1}
    assert named(case(workers=[], backends=full)) == ["logical_workers_exhausted"]
    assert named(case(workers=[], backends=launcher)) == []
    said = entry("out of logical replication worker slots", level="WARNING", subscription=None)
    assert named(case(workers=[], log=[said])) == ["logical_workers_exhausted"]
    assert named(case(workers=[], log=[{**said, "age": 50}])) == []
    assert named(case(log=[said])) == []


def test_a_wal_level_that_is_too_low() -> None:
    assert named(case(wal_level="replica", workers=[])) == ["wal_level"]
    # A server that is down for another reason is not blamed on it.
    assert named(case(wal_level="replica", shore_is_down=True)) == []
    fatal = entry(
        'logical replication slot "ship_oslo" exists, but wal_level < logical', level="FATAL"
    )
    down = case(wal_level="replica", shore_is_down=True, shore_log=[fatal])
    assert named(down) == ["wal_level"]


def test_a_ship_without_its_subscription() -> None:
    assert named(case(subscriptions=[])) == ["subscription_missing"]
