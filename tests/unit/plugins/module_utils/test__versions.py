# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.hmm.pg_replication.plugins.module_utils._errors import ReplicationError
from ansible_collections.hmm.pg_replication.plugins.module_utils._versions import (
    PUBLICATION,
    SLOT,
    SUBSCRIPTION,
    Since,
    missing_at_alter,
    missing_at_create,
    require_supported,
    version_text,
)

TABLE = {"two_phase": Since(14, 18)}


@pytest.mark.parametrize(
    ("number", "text"), [(130023, "13.23"), (170010, "17.10"), (180000, "18.0")]
)
def test_version_text(number: int, text: str) -> None:
    assert version_text(number) == text


@pytest.mark.parametrize("number", [130000, 130023, 180004, 190000])
def test_supported(number: int) -> None:
    require_supported(number)


@pytest.mark.parametrize(("number", "text"), [(120022, "12.22"), (100001, "10.1")])
def test_too_old(number: int, text: str) -> None:
    with pytest.raises(ReplicationError) as raised:
        require_supported(number)
    assert raised.value.message == f"The server is PostgreSQL {text}: 13 or newer is needed."


@pytest.mark.parametrize(
    ("option", "number", "at_create", "at_alter"),
    [
        (
            "two_phase",
            130023,
            "two_phase needs PostgreSQL 14 or newer, this server is 13.23",
            "two_phase needs PostgreSQL 14 or newer, this server is 13.23",
        ),
        (
            "two_phase",
            140000,
            None,
            "two_phase can be changed from PostgreSQL 18 on, this server is 14.0",
        ),
        (
            "two_phase",
            170010,
            None,
            "two_phase can be changed from PostgreSQL 18 on, this server is 17.10",
        ),
        ("two_phase", 180000, None, None),
    ],
)
def test_missing(option: str, number: int, at_create: str | None, at_alter: str | None) -> None:
    assert missing_at_create(TABLE, option, number) == at_create
    assert missing_at_alter(TABLE, option, number) == at_alter


@pytest.mark.parametrize("table", [SLOT, PUBLICATION, SUBSCRIPTION])
def test_nothing_can_be_altered_before_it_can_be_made(table: dict[str, Since]) -> None:
    assert table
    assert all(since.create <= since.alter for since in table.values())
