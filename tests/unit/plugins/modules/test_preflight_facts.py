# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What lies in the place of a data directory, told by its files."""

from __future__ import annotations

import fcntl
import json
from pathlib import Path

import pytest

from ansible_collections.hmm.pg_replication.plugins.modules import preflight_facts

NOW = "7700000000000000002"
SEED, SIGNAL = "pg_replication_seed.json", "standby.signal"
CONVERSION = "pg_replication_conversion.json"


@pytest.fixture(autouse=True)
def _control(monkeypatch: pytest.MonkeyPatch) -> None:
    control = {"Database system identifier": NOW}
    monkeypatch.setattr(preflight_facts, "read_control", lambda *_places: control)


def kind(folder: Path, files: dict[str, str], lock: Path | None = None) -> str:
    data = folder / "data"
    data.mkdir()
    for name, content in files.items():
        (data / name).write_text(content)
    found = preflight_facts._data(data, "17", lock or folder / "lock")
    assert found["system_identifier"] == NOW
    return str(found["kind"])


def begun(identifier: str) -> str:
    return json.dumps({"system_identifier": identifier})


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, "absent"),
        ({"notes": ""}, "foreign"),
        ({"PG_VERSION": "17"}, "server"),
        ({"PG_VERSION": "17", SIGNAL: ""}, "standby"),
        ({"PG_VERSION": "17", SIGNAL: "", SEED: "{}"}, "seeded"),
        # A conversion that was cut before the promotion costs nothing.
        ({SIGNAL: "", SEED: "{}", CONVERSION: begun(NOW)}, "seeded"),
        ({SEED: "{}"}, "promoted"),
        ({SEED: "{}", CONVERSION: begun(NOW)}, "promoted"),
        ({SEED: "{}", CONVERSION: ""}, "promoted"),
        ({SEED: "{}", CONVERSION: begun("7700000000000000001")}, "converted"),
    ],
)
def test_the_files_tell_what_it_is(tmp_path: Path, files: dict[str, str], expected: str) -> None:
    assert kind(tmp_path, files) == expected


def test_nothing_is_absent(tmp_path: Path) -> None:
    found = preflight_facts._data(tmp_path / "none", "17", tmp_path / "lock")
    assert found["kind"] == "absent"


def test_a_conversion_that_is_under_way_is_not_taken_for_a_cut_one(tmp_path: Path) -> None:
    lock = tmp_path / "conversion.lock"
    with lock.open("w") as holder:
        fcntl.flock(holder, fcntl.LOCK_EX)
        assert kind(tmp_path, {SEED: "{}", CONVERSION: begun(NOW)}, lock) == "seeded"


def test_a_lock_that_nobody_holds_says_nothing(tmp_path: Path) -> None:
    lock = tmp_path / "conversion.lock"
    lock.touch()
    assert kind(tmp_path, {SEED: "{}"}, lock) == "promoted"
