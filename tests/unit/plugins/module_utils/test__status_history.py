# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The file of earlier looks: what it holds, how long it gets, and what it survives."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Optional

import pytest

from ansible_collections.hmm.pg_replication.plugins.module_utils._fleet_status import iso
from ansible_collections.hmm.pg_replication.plugins.module_utils._status_history import (
    DAY,
    HOUR,
    KEPT,
    MINUTE,
    SHOWN,
    Earlier,
    append_sample,
    read_contacts,
    read_history,
    sample_of,
    thinned,
)

NOW = 1_795_421_700.0


Told = tuple[Optional[int], Optional[int], Optional[float]]


def report(moment: float, more: Mapping[str, Told] | None = None, **ships: Told) -> dict[str, Any]:
    return {
        "time": iso(moment),
        "shore": {"position": "0/1", "wal_rate": 512.5, "disk": {"free_bytes": 1000}},
        "ships": [
            {
                "name": name,
                "lag_bytes": lag,
                "retained_bytes": retained,
                "last_contact": iso(contact),
            }
            for name, (lag, retained, contact) in {**ships, **(more or {})}.items()
        ],
    }


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "history.jsonl"


def lines(file: Path) -> list[Any]:
    return [json.loads(line) for line in file.read_text("utf-8").splitlines()]


def test_what_is_noted_is_read(file: Path) -> None:
    assert read_history(file) == Earlier()
    assert read_contacts(file) == {}
    append_sample(file, report(NOW, {"알헤시라스": (None, None, None)}, oslo=(10, 20, NOW)))
    append_sample(file, report(NOW + HOUR / 2, {"알헤시라스": (0, 0, NOW + 1)}, oslo=(30, 40, NOW)))
    assert read_history(file) == Earlier(
        history={
            "shore": [[NOW, 512.5, 1000], [NOW + HOUR / 2, 512.5, 1000]],
            "oslo": [[NOW, 10, 20], [NOW + HOUR / 2, 30, 40]],
            "알헤시라스": [[NOW, None, None], [NOW + HOUR / 2, 0, 0]],
        },
        contacts={"oslo": NOW, "알헤시라스": NOW + 1},
    )
    assert read_contacts(file) == {"oslo": NOW, "알헤시라스": NOW + 1}
    assert file.stat().st_mode & 0o777 == 0o640
    assert list(file.parent.iterdir()) == [file]


def test_an_ordinary_look_appends_one_line(file: Path) -> None:
    append_sample(file, report(NOW))
    before = file.read_bytes()
    append_sample(file, report(NOW + MINUTE))
    assert file.read_bytes().startswith(before)
    assert len(lines(file)) == 3  # the head, and two looks


def test_it_does_not_grow_for_ever(file: Path) -> None:
    """Of 40 days of a look a minute."""
    looks = [
        sample_of(report(NOW - number * MINUTE, oslo=(1, 2, NOW)))
        for number in range(1, 40 * DAY // MINUTE)
    ]
    file.write_text("".join(f"{json.dumps(look)}\n" for look in reversed(looks)))
    longest = 0
    for number in range(3 * HOUR // MINUTE):
        append_sample(file, report(NOW + number * MINUTE, oslo=(1, 2, NOW)))
        longest = max(longest, file.read_bytes().count(b"\n"))
    newest = NOW + 3 * HOUR - MINUTE
    a_day, the_rest = DAY // MINUTE, 29 * DAY // (15 * MINUTE)
    assert a_day + the_rest < longest <= a_day + the_rest + HOUR // MINUTE + 10
    found = lines(file)[1:]
    assert found[0]["t"] >= newest - 30 * DAY - HOUR
    assert found[-1]["t"] == newest
    # What a chart gets is far less, and has the newest.
    shown = read_history(file).history["oslo"]
    assert 200 < len(shown) <= 96 + 29 * 4 + 3
    assert shown[-1][0] == newest
    assert shown[0][0] < newest - 29 * DAY


def test_a_contact_outlasts_the_looks_that_saw_it(file: Path) -> None:
    append_sample(file, report(NOW, oslo=(0, 0, NOW)))
    # A later report knows it from the history, and says it again.
    append_sample(file, report(NOW + 40 * DAY, oslo=(9, 9, read_contacts(file)["oslo"])))
    assert len(lines(file)) == 2
    assert read_contacts(file) == {"oslo": NOW}


@pytest.mark.parametrize("damage", [b'{"t":17954217', b"", b"\x00\x00\x00", b'{"t":1}\n[]\n"x"\n'])
def test_a_torn_line_costs_itself_only(file: Path, damage: bytes) -> None:
    append_sample(file, report(NOW, oslo=(1, 2, NOW)))
    with file.open("ab") as torn:
        torn.write(damage)
    append_sample(file, report(NOW + MINUTE, oslo=(3, 4, NOW)))
    append_sample(file, report(NOW + 2 * HOUR, oslo=(5, 6, NOW)))
    assert [line["t"] for line in lines(file)[1:]] == [NOW, NOW + MINUTE, NOW + 2 * HOUR]
    assert read_history(file).contacts == {"oslo": NOW}


def test_a_file_of_something_else_is_begun_anew(file: Path) -> None:
    file.write_text("what is this\n")
    assert read_history(file) == Earlier()
    append_sample(file, report(NOW))
    assert len(lines(file)) == 2


def test_a_clock_that_was_ahead(file: Path) -> None:
    append_sample(file, report(NOW + 100 * DAY))
    append_sample(file, report(NOW))
    assert [line["t"] for line in lines(file)[1:]] == [NOW]


def test_a_shore_that_was_dark_leaves_no_look(file: Path) -> None:
    dark = report(NOW)
    dark["shore"]["position"] = None
    assert sample_of(dark) is None
    append_sample(file, dark)
    assert not file.exists()


def test_the_end_alone_tells_of_contacts(file: Path) -> None:
    ships = {f"ship{number}": (1, 2, NOW + number) for number in range(300)}
    for number in range(50):
        append_sample(file, report(NOW + number * MINUTE, **ships))
    assert file.stat().st_size > 1 << 18
    assert read_contacts(file) == read_history(file).contacts


def test_several_at_once_lose_nothing(file: Path) -> None:
    def look(first: int) -> None:
        for number in range(12):
            append_sample(file, report(NOW + (first + 4 * number) * MINUTE))

    threads = [threading.Thread(target=look, args=(first,)) for first in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum("t" in line for line in lines(file)) == 4 * 12


def test_nowhere_to_write(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        append_sample(tmp_path / "gone" / "history.jsonl", report(NOW))


@pytest.mark.parametrize("steps", [KEPT, SHOWN])
def test_thinning_again_changes_nothing(steps: tuple[tuple[int, int], ...]) -> None:
    once = thinned([{"t": NOW - number * 450} for number in range(5000)], steps)
    assert once[-1]["t"] == NOW
    assert thinned(once, steps) == once
    assert thinned([], steps) == []
