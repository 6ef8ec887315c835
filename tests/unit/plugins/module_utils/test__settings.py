# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a drop-in file says, and what it cannot say."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.hmm.pg_replication.plugins.module_utils._errors import ReplicationError
from ansible_collections.hmm.pg_replication.plugins.module_utils._settings import (
    drop_in,
    drop_in_name,
    names_in,
)


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("logical", "'logical'"),
        (True, "'on'"),
        (False, "'off'"),
        (32, "'32'"),
        (0.5, "'0.5'"),
        (["*"], "'*'"),
        (["a", "b"], "'a, b'"),
        ("", "''"),
        ("it's", "'it''s'"),
        ("a\\b", "'a\\\\b'"),
        ("%p # no comment", "'%p # no comment'"),
    ],
)
def test_writes_values(value: Any, written: str) -> None:
    text = drop_in({"some_setting": value})
    assert text is not None
    assert text.splitlines()[1:] == [f"some_setting = {written}"]


def test_is_sorted_and_leaves_out_what_is_null() -> None:
    text = drop_in({"b": 2, "c": None, "a": 1, "ext.x": 3})
    assert text is not None
    assert names_in(text) == ["a", "b", "ext.x"]


@pytest.mark.parametrize("settings", [{}, {"a": None}])
def test_is_no_file_where_nothing_is_set(settings: dict[str, Any]) -> None:
    assert drop_in(settings) is None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"a b": 1}, "settings: 'a b' is no name of a setting."),
        ({"a = 1 #": 1}, "settings: 'a = 1 #' is no name of a setting."),
        (
            {"a": "1\nb = 2"},
            "settings: a has a line break in its value, which PostgreSQL cannot read.",
        ),
        ({"a": {}}, "settings: a is a mapping: give text, a number, a boolean or a list."),
    ],
)
def test_refuses_in_sentences(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ReplicationError) as caught:
        drop_in(settings)
    assert caught.value.message == message


def test_names_a_file() -> None:
    assert drop_in_name("primary") == "50-pg_replication-primary.conf"
    with pytest.raises(ReplicationError):
        drop_in_name("../x")
