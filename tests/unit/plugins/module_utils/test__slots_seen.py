# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The note of slots: what it holds after each look, and what a damaged one does."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.hmm.pg_replication.plugins.module_utils._errors import ReplicationError
from ansible_collections.hmm.pg_replication.plugins.module_utils._slots_seen import (
    Look,
    Seen,
    read_seen,
    renewed,
    write_seen,
)


@pytest.mark.parametrize(
    ("before", "look", "after"),
    [
        ({}, Look("a", "0/1", active=False), {"a": Seen(100, "0/1")}),
        ({"a": Seen(50, "0/1")}, Look("a", "0/1", active=False), {"a": Seen(50, "0/1")}),
        # It has moved, it is in use, it is gone, the clock was set back.
        ({"a": Seen(50, "0/1")}, Look("a", "0/2", active=False), {"a": Seen(100, "0/2")}),
        ({"a": Seen(50, "0/1")}, Look("a", "0/1", active=True), {}),
        ({"a": Seen(50, "0/1")}, Look("b", "", active=False), {"b": Seen(100, "")}),
        ({"a": Seen(200, "0/1")}, Look("a", "0/1", active=False), {"a": Seen(100, "0/1")}),
    ],
)
def test_a_look(before: dict[str, Seen], look: Look, after: dict[str, Seen]) -> None:
    assert renewed(before, [look], 100) == after


def test_what_is_written_is_read(tmp_path: Path) -> None:
    note = tmp_path / "slots_seen.json"
    assert read_seen(str(note)) == {}
    seen = {"a": Seen(1.5, "0/1"), "b": Seen(2.0, "")}
    write_seen(str(note), seen)
    assert read_seen(str(note)) == seen
    assert note.stat().st_mode & 0o777 == 0o640
    assert list(tmp_path.iterdir()) == [note]


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("", {}),
        ('{"a": {"since": 1, "posi', {}),
        ("[1]", {}),
        (
            '{"a": 1, "b": {"since": "x", "position": ""}, "c": {"since": 1, "position": "0/1"}}',
            {"c"},
        ),
    ],
)
def test_what_is_damaged_is_begun_anew(tmp_path: Path, text: str, seen: set[str]) -> None:
    note = tmp_path / "slots_seen.json"
    note.write_text(text)
    assert set(read_seen(str(note))) == set(seen)


def test_where_it_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(ReplicationError, match="No such file or directory"):
        write_seen(str(tmp_path / "gone" / "slots_seen.json"), {})
