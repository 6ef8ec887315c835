# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.hmm.pg_replication.plugins.plugin_utils._progress import (
    Progress,
    duration,
    progress_line,
    size,
)


@pytest.mark.parametrize(
    ("progress", "line"),
    [
        (
            Progress("fetch", "running", 123_400_000, 530_000_000, 500_000, 813),
            "s: fetch 123.4 of 530.0 MB, 23 %, 0.5 MB/s, 14 min left",
        ),
        (Progress("fetch", "running", 0, 530_000_000), "s: fetch 0.0 of 530.0 MB, 0 %"),
        (
            Progress("fetch", "waiting", 265_000_000, 530_000_000, 7, 8, "The link is cut."),
            "s: fetch 265.0 of 530.0 MB, 50 % (waiting): The link is cut.",
        ),
        (Progress("unpack", "running", 900, 0), "s: unpack 900 B"),
        (Progress("verify", "running", 600, 500), "s: verify 500 of 500 B, 100 %"),
        (
            Progress("pack", "running", 10**9, 4 * 10**12, 80 * 10**6, 50_000),
            "s: pack 0.0 of 4.0 TB, 0 %, 80.0 MB/s, 13 h 54 min left",
        ),
        (Progress("fetch", "running", 1, 5000, 1500, 3.2), "s: fetch 0.0 of 5.0 kB, 0 %, 1.5 kB/s, 4 s left"),
        (Progress("place", "done", message="The seed is in place."), "s: place: The seed is in place."),
        (Progress("check", "failed", message="It is bad."), "s: check (failed): It is bad."),
        (Progress("", ""), "s"),
    ],
)  # fmt: skip
def test_line(progress: Progress, line: str) -> None:
    assert progress_line("s", progress) == line


@pytest.mark.parametrize(
    ("content", "progress"),
    [
        ({}, Progress("", "")),
        (
            {"step": "fetch", "state": "running", "done_bytes": 1, "total_bytes": 2, "rate": 3.5,
             "seconds_left": 4, "message": "m", "updated": 5},
            Progress("fetch", "running", 1, 2, 3.5, 4.0, "m"),
        ),
        (
            {"step": None, "done_bytes": "x", "total_bytes": -1, "rate": float("nan"), "message": None},
            Progress("", ""),
        ),
    ],
)  # fmt: skip
def test_read(content: dict[str, Any], progress: Progress) -> None:
    assert Progress.read(content) == progress


@pytest.mark.parametrize(
    ("state", "ended"),
    [("running", False), ("waiting", False), ("done", True), ("failed", True)],
)
def test_ended(state: str, ended: bool) -> None:
    assert Progress("x", state).ended is ended


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.2, "1 s"),
        (59, "59 s"),
        (59.5, "1 min"),
        (61, "2 min"),
        (3540, "59 min"),
        (3600, "1 h"),
        (3661, "1 h 2 min"),
        (86399, "24 h"),
        (86400, "1 d"),
        (190_000, "2 d 5 h"),
    ],
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (530e6, "530.0 MB")]
)
def test_size(count: float, text: str) -> None:
    assert size(count) == text
