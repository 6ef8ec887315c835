# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.hmm.pg_replication.plugins.filter.hot_standby_settings import (
    hot_standby_settings,
)

CONTROL = """\
wal_level setting:                    logical
max_connections setting:              130
max_worker_processes setting:         8
max_wal_senders setting:              10
max_prepared_xacts setting:           0
max_locks_per_xact setting:           64
"""
ASHORE = {
    "max_connections": 130,
    "max_locks_per_transaction": 64,
    "max_prepared_transactions": 0,
    "max_wal_senders": 10,
    "max_worker_processes": 8,
}


@pytest.mark.parametrize(
    ("wanted", "changed"),
    [
        (None, {}),
        ({}, {}),
        ({"max_connections": 200}, {"max_connections": 200}),
        ({"max_connections": "200"}, {"max_connections": 200}),
        ({"max_connections": 20, "work_mem": "64MB"}, {}),
        ({"max_connections": None}, {}),
    ],
)
def test_the_larger_one(wanted: dict[str, Any] | None, changed: dict[str, int]) -> None:
    assert hot_standby_settings(CONTROL, wanted) == {**ASHORE, **changed}


def test_another_language() -> None:
    with pytest.raises(AnsibleFilterError, match="pg_controldata tells no max_connections setting"):
        hot_standby_settings("max_connections-Einstellung: 100\n")


def test_no_number() -> None:
    with pytest.raises(AnsibleFilterError, match="max_connections: 'many' is no number"):
        hot_standby_settings(CONTROL, {"max_connections": "many"})
