# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from hypothesis import given
from hypothesis import strategies as st
from psycopg2.extensions import parse_dsn

from ansible_collections.hmm.pg_replication.plugins.filter.conninfo import conninfo


@pytest.mark.parametrize(
    ("keywords", "text"),
    [
        ({}, ""),
        ({"host": "busan", "port": 5432}, "host='busan' port='5432'"),
        ({"host": "busan", "port": None}, "host='busan'"),
        ({"keepalives": True}, "keepalives='1'"),
        ({"password": r"it's a \ b"}, r"password='it\'s a \\ b'"),
    ],
)
def test_text(keywords: dict[str, Any], text: str) -> None:
    assert conninfo(keywords) == text


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
def test_libpq_reads_back_what_was_meant(value: str) -> None:
    assert parse_dsn(conninfo({"application_name": value})) == {"application_name": value}


def test_a_keyword_is_one_word() -> None:
    with pytest.raises(AnsibleFilterError, match="no keyword of a connection"):
        conninfo({"host=x password": "y"})
