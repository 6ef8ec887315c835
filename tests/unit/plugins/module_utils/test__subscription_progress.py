# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.hmm.pg_replication.plugins.module_utils._errors import ReplicationError
from ansible_collections.hmm.pg_replication.plugins.module_utils._names import TableName
from ansible_collections.hmm.pg_replication.plugins.module_utils._subscription_progress import (
    SubscriptionProgress,
    TableProgress,
    progress_of,
    progress_request,
)


def table(name: str, state: str, copying: bool = False, count: int = 0) -> TableProgress:
    return TableProgress(TableName("public", name), state, copying, count)


def told(*tables: TableProgress, total: int = 0, **known: Any) -> tuple[str, str]:
    progress = progress_of(SubscriptionProgress("ship", tables=tables, **known), total)
    return progress["state"], progress["message"]


READY = table("a", "ready", count=100)


@pytest.mark.parametrize(
    ("tables", "known", "state", "message"),
    [
        ((READY,), {}, "done", "All 1 tables are ready."),
        (
            (READY, table("b", "data_copy", True)),
            {},
            "running",
            "1 of 2 tables are ready, public.b in work.",
        ),
        (
            (READY, table("b", "initialize")),
            {"sync_errors": 3, "apply_errors": 0},
            "waiting",
            "1 of 2 tables are ready; the next one is about to begin. Errors so far: 3 in the copy.",
        ),
        (
            (READY, table("b", "initialize")),
            {"working": False},
            "waiting",
            "1 of 2 tables are ready; no process works for the subscription right now.",
        ),
        (
            (READY, table("b", "initialize")),
            {"enabled": False, "sync_errors": 1, "apply_errors": 2},
            "failed",
            (
                "Subscription ship is disabled, 1 of 2 tables are ready. Errors so far: 2 in"
                " applying changes, 1 in the copy. Set right what the server's log names, and"
                " enable it."
            ),
        ),
    ],
)
def test_state(
    tables: tuple[TableProgress, ...], known: dict[str, Any], state: str, message: str
) -> None:
    assert told(*tables, **known) == (state, message)


@pytest.mark.parametrize(("total", "shown"), [(0, 0), (50, 130), (500, 500)])
def test_bytes(total: int, shown: int) -> None:
    found = SubscriptionProgress("ship", tables=(READY, table("b", "data_copy", True, 30)), now=7)
    progress = progress_of(found, total)
    assert progress["done_bytes"] == 130
    assert progress["total_bytes"] == shown
    assert progress["updated"] == 7


def test_request() -> None:
    assert progress_request({"name": "a b", "total_bytes": 0}).name == "a b"
    with pytest.raises(ReplicationError, match="total_bytes: it cannot be less than 0"):
        progress_request({"name": "a", "total_bytes": -1})
