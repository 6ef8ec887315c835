# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A file of WAL is whole at its target or not there, and the server is never told to give up."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.gates.paths import CHECKOUT

PROGRAM = CHECKOUT / "roles" / "standby" / "files" / "restore_wal.py"
NAME = "000000010000000000000001"


class Standby:
    def __init__(self, root: Path) -> None:
        self.archive = root / "shore" / "archive"
        self.archive.mkdir(parents=True)
        self.content = os.urandom(1024 * 1024)
        (root / NAME).write_bytes(self.content)
        subprocess.run(
            ["zstd", "--quiet", str(root / NAME), "-o", str(self.archive / f"{NAME}.zst")],
            check=True,
        )
        self.folder = root / "restore"
        self.configuration = root / "restore_wal.json"
        self.job = {
            "directory": str(self.folder),
            "archive": "archive",
            "source": {"transport": "local", "path": str(root / "shore")},
            "link": {"connect_timeout_s": 2, "rsync_timeout_s": 2},
        }
        self.target = root / "pg_wal" / "RECOVERYXLOG"
        self.target.parent.mkdir()

    def restore(self, name: str = NAME) -> tuple[int, str]:
        self.configuration.write_text(json.dumps(self.job))
        done = subprocess.run(
            [sys.executable, str(PROGRAM), str(self.configuration), name, str(self.target)],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        )
        return done.returncode, done.stderr


@pytest.fixture
def standby(tmp_path: Path) -> Standby:
    return Standby(tmp_path)


def test_restored(standby: Standby) -> None:
    assert standby.restore() == (0, "")
    assert standby.target.read_bytes() == standby.content
    assert list(standby.folder.iterdir()) == []


def test_a_folder_of_its_own(standby: Standby) -> None:
    """An archive on a disk that was carried aboard."""
    standby.job["archive"] = str(standby.archive)
    standby.job["source"] = {"transport": "local", "path": ""}
    assert standby.restore() == (0, "")


def test_not_archived(standby: Standby) -> None:
    name = "0000000100000000000000FF"
    assert standby.restore(name) == (
        1,
        f"restore_wal: {name} is not in the shore's archive.\n",
    )
    assert not standby.target.exists()


def test_a_history_that_there_mostly_is_not(standby: Standby) -> None:
    assert standby.restore("00000002.history") == (1, "")


def test_goes_on_where_it_was_cut(standby: Standby) -> None:
    packed = (standby.archive / f"{NAME}.zst").read_bytes()
    standby.folder.mkdir()
    (standby.folder / f"{NAME}.zst").write_bytes(packed[:500_000])
    (standby.folder / "000000010000000000000000.zst").write_bytes(b"not asked for any more")
    assert standby.restore() == (0, "")
    assert standby.target.read_bytes() == standby.content
    assert list(standby.folder.iterdir()) == []


def test_damaged_ashore(standby: Standby) -> None:
    packed = standby.archive / f"{NAME}.zst"
    packed.write_bytes(packed.read_bytes()[:-100])
    code, told = standby.restore()
    assert code == 1
    assert f"{NAME}.zst of the shore's archive is damaged" in told
    assert not standby.target.exists()
    assert list(standby.target.parent.iterdir()) == []
    assert list(standby.folder.iterdir()) == []


def test_the_shore_does_not_answer(standby: Standby) -> None:
    standby.job["source"] = {
        "transport": "ssh", "host": "127.0.0.1", "port": 9, "user": "x", "path": "",
        "identity": "/nonexistent", "known_hosts": "/nonexistent",
    }  # fmt: skip
    code, told = standby.restore()
    assert code == 1
    assert told.startswith(f"restore_wal: {NAME} was not fetched: ")


@pytest.mark.parametrize("name", ["../../etc/passwd", "x", "", NAME + "0"])
def test_what_is_no_wal(standby: Standby, name: str) -> None:
    assert standby.restore(name) == (1, f"restore_wal: {name} is no file of WAL.\n")


def test_without_configuration(standby: Standby) -> None:
    standby.configuration = standby.configuration.with_name("nothing")
    done = subprocess.run(
        [sys.executable, str(PROGRAM), str(standby.configuration), NAME, str(standby.target)],
        capture_output=True,
        check=False,
    )
    assert done.returncode == 1
