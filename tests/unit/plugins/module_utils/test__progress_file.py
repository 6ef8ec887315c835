# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ansible_collections.hmm.pg_replication.plugins.module_utils._progress_file import (
    WINDOW_SECONDS,
    Progress,
    Rate,
)


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_file_is_written_whole(tmp_path: Path) -> None:
    clock = Clock()
    path = tmp_path / "progress.json"
    progress = Progress(path, "pack", clock)
    progress.tell("running", "It begins.", 0, 4000)
    clock.now += 2
    progress.tell("running", "It goes on.", 1000, 4000)
    assert json.loads(path.read_text()) == {
        "step": "pack",
        "state": "running",
        "done_bytes": 1000,
        "total_bytes": 4000,
        "rate": 500,
        "seconds_left": 6,
        "message": "It goes on.",
        "updated": 1002,
    }
    assert path.stat().st_mode & 0o777 == 0o640
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(("state", "total"), [("waiting", 4000), ("done", 4000), ("running", 0)])
def test_no_time_left_where_it_means_nothing(state: str, total: int) -> None:
    clock = Clock()
    progress = Progress(None, "pack", clock)
    progress.measured(state, "", 0, total)
    clock.now += 1
    assert progress.measured(state, "", 10, total)["seconds_left"] is None


def test_nobody_asked() -> None:
    progress = Progress(None, "pack")
    assert not progress.wanted
    progress.tell("running", "Nothing is written.")


def test_a_rate_is_that_of_late() -> None:
    rate = Rate()
    assert rate.after(0, 0) == 0
    assert rate.after(10, 1000) == 100
    assert rate.after(WINDOW_SECONDS + 10, 1000) < 100
    assert rate.after(WINDOW_SECONDS + 20, 3000) == pytest.approx(2000 / (WINDOW_SECONDS + 10))


def test_a_count_that_begins_anew() -> None:
    rate = Rate()
    rate.after(0, 5000)
    assert rate.after(1, 0) == 0
    assert rate.after(2, 100) == 100
