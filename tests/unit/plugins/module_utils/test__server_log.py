# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is taken from a server's log."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.hmm.pg_replication.plugins.module_utils._server_log import log_entries

NOW = "2026-11-23 04:00:00.000"
CONFLICT = """\
2026-11-23 03:59:50.100 UTC [77] LOG:  logical replication apply worker for subscription "ship_oslo" has started
2026-11-23 03:59:51.250 UTC [77] ERROR:  duplicate key value violates unique constraint "users_pkey"
2026-11-23 03:59:51.250 UTC [77] DETAIL:  Key (id)=(7) already exists.
2026-11-23 03:59:51.250 UTC [77] CONTEXT:  processing remote data for replication origin "pg_16401" during message\
 type "INSERT" in transaction 745, finished at 0/1547F30
2026-11-23 03:59:51.260 UTC [70] LOG:  background worker "logical replication worker" (PID 77) exited
"""


def entries(tmp_path: Path, text: str, **more: Any) -> list[dict[str, Any]]:
    path = tmp_path / "log"
    path.write_text(text)
    return log_entries(path, **{"now": NOW, "seconds": 900, **more})


def told(found: list[dict[str, Any]]) -> list[str]:
    return [f"{one['level']} {one['message']}" for one in found]


def test_an_error_has_its_detail_its_position_and_its_subscription(tmp_path: Path) -> None:
    error = next(one for one in entries(tmp_path, CONFLICT) if one["level"] == "ERROR")
    assert error["message"].startswith("duplicate key")
    assert error["detail"] == "Key (id)=(7) already exists."
    assert error["lsn"] == "0/1547F30"
    assert error["subscription"] == "ship_oslo"
    assert error["age"] == 8.8
    assert error["times"] == 1


def test_what_is_repeated_is_told_once_with_its_last_time(tmp_path: Path) -> None:
    lines = "".join(
        f"2026-11-23 03:5{minute}:00.000 UTC [{minute}] FATAL:  could not connect: attempt {minute}\n"
        for minute in (6, 7, 9)
    )
    (one,) = entries(tmp_path, lines)
    assert (one["times"], one["age"], one["message"]) == (3, 60.0, "could not connect: attempt 9")


def test_what_is_long_ago_is_left_out(tmp_path: Path) -> None:
    assert entries(tmp_path, "2026-11-23 03:00:00.000 UTC [1] PANIC:  long ago\n") == []


def test_sessions_of_others_are_nobodys_business(tmp_path: Path) -> None:
    text = (
        "2026-11-23 03:59:00.000 UTC [5] app@hmm_db ERROR:  syntax error\n"
        "2026-11-23 03:59:01.000 UTC [5] app@hmm_db STATEMENT:  ALTER ROLE x PASSWORD 'secret'\n"
        "2026-11-23 03:59:02.000 UTC [6] ship_oslo@hmm_db ERROR:  permission denied for table users\n"
        "2026-11-23 03:59:02.000 UTC [6] ship_oslo@hmm_db STATEMENT:  COPY secret\n"
    )
    found = entries(tmp_path, text, users=["ship_oslo"])
    assert told(found) == ["ERROR permission denied for table users"]
    assert "secret" not in str(found)


def test_what_only_says_that_the_server_lives_is_left_out(tmp_path: Path) -> None:
    text = (
        "2026-11-23 03:59:00.000 UTC [5] LOG:  database system is ready to accept connections\n"
        "2026-11-23 03:59:01.000 UTC [5] LOG:  started streaming WAL from primary at 0/1 on timeline 1\n"
    )
    assert told(entries(tmp_path, text)) == [
        "LOG started streaming WAL from primary at 0/1 on timeline 1"
    ]


def test_of_a_server_that_is_down_the_last_line_is_the_clock(tmp_path: Path) -> None:
    text = (
        "2026-11-20 01:00:00.000 KST [5] PANIC:  could not write to file: No space left on device\n"
        "2026-11-20 01:00:30.000 KST [5] LOG:  database system is shut down\n"
    )
    (one,) = entries(tmp_path, text, now=None)
    assert one["age"] == 30.0


def test_several_lines_of_one_message_are_one(tmp_path: Path) -> None:
    text = "2026-11-23 03:59:00.000 UTC [5] FATAL:  could not connect:\n\tno route\n\tto host\n"
    assert told(entries(tmp_path, text)) == ["FATAL could not connect: no route to host"]


@pytest.mark.parametrize("path", [None, Path("/nonexistent/log")])
def test_no_log_tells_nothing(path: Path | None) -> None:
    assert log_entries(path, NOW, 900) == []
