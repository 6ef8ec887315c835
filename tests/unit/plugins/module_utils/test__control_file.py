# SPDX-FileCopyrightText: HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where a server's data end, and on which timeline."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.hmm.pg_replication.plugins.module_utils._control_file import (
    data_end,
    read_control,
)

BEFORE = {
    "Latest checkpoint location": "0/3000060",
    "Latest checkpoint's TimeLineID": "1",
    "Minimum recovery ending location": "0/3000148",
    "Min recovery ending loc's timeline": "1",
    "Bytes per WAL segment": str(16 * 1024 * 1024),
}
PRIMARY = {
    **BEFORE,
    "Minimum recovery ending location": "0/0",
    "Min recovery ending loc's timeline": "0",
}
AFTER = {
    **BEFORE,
    "Minimum recovery ending location": "0/4000148",
    "Min recovery ending loc's timeline": "2",
}


@pytest.mark.parametrize(
    ("control", "files", "received", "expected"),
    [
        ({}, [], None, (None, None)),
        (BEFORE, [], None, ("0/3000148", 1)),
        (PRIMARY, [], None, ("0/3000060", 1)),
        # It has followed a promotion, and made no restartpoint since.
        (AFTER, [], None, ("0/4000148", 2)),
        (BEFORE, ["1 03", "2 03", "2 04"], "0/4000148", ("0/4000148", 2)),
        # It has not followed it.
        (BEFORE, ["1 03", "1 04"], "0/4000148", ("0/4000148", 1)),
        # Replayed whole, so that the next file may not be there.
        (BEFORE, ["1 03", "2 03"], "0/4000000", ("0/4000000", 2)),
        (BEFORE, ["2 04"], "0/3000100", ("0/3000148", 1)),
    ],
)
def test_data_end(
    tmp_path: Path,
    control: dict[str, str],
    files: list[str],
    received: str | None,
    expected: tuple[str | None, int | None],
) -> None:
    wal = tmp_path / "pg_wal"
    wal.mkdir()
    for file in files:
        timeline, segment = file.split()
        (wal / f"0000000{timeline}00000000000000{segment}").touch()
        (wal / f"0000000{timeline}00000000000000{segment}.partial").touch()
    end, timeline_found = data_end(control, tmp_path, received)
    assert (end and str(end), timeline_found) == expected


def test_there_is_no_control_file(tmp_path: Path) -> None:
    assert read_control("17", tmp_path) == {}
