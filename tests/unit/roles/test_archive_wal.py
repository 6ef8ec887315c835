# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The archive has a file whole or not at all, never two of a name, and only so much of it."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.gates.paths import CHECKOUT

PROGRAM = CHECKOUT / "roles" / "primary" / "files" / "archive_wal.py"
NAME = "000000010000000000000001"
PLENTY = 1 << 40
DAY = 86400


def _load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("archive_wal", PROGRAM)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["archive_wal"] = module  # dataclasses and NamedTuples look it up
    spec.loader.exec_module(module)
    return module


archive_wal = _load()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "archive"
    path.mkdir()
    return path


@pytest.fixture
def segment(tmp_path: Path) -> Path:
    path = tmp_path / "segment"
    path.write_bytes(os.urandom(3 * 1024 * 1024) + bytes(1024 * 1024))
    return path


def run(segment: Path, name: str, folder: Path, *options: str) -> int:
    return int(archive_wal.main(["--directory", str(folder), *options, str(segment), name]))


def unpacked(path: Path) -> bytes:
    command = ["zstd", "--decompress", "--stdout", "--quiet", str(path)]
    return subprocess.run(command, check=True, capture_output=True).stdout


def filled(folder: Path, sizes: dict[str, int], newest: float) -> None:
    """Files that were written a day apart, the last of them at newest."""
    for age, (name, size) in enumerate(reversed(sizes.items())):
        path = folder / name
        path.write_bytes(bytes(size))
        os.utime(path, (newest - age * DAY, newest - age * DAY))


def test_archives_whole_and_alone(folder: Path, segment: Path) -> None:
    umask = os.umask(0o077)  # as a server's
    try:
        assert run(segment, NAME, folder) == 0
    finally:
        os.umask(umask)
    assert [path.name for path in folder.iterdir()] == [f"{NAME}.zst"]
    assert unpacked(folder / f"{NAME}.zst") == segment.read_bytes()
    assert (folder / f"{NAME}.zst").stat().st_mode & 0o777 == 0o640


def test_takes_the_same_content_again(folder: Path, segment: Path) -> None:
    assert run(segment, NAME, folder) == 0
    before = (folder / f"{NAME}.zst").stat()
    assert run(segment, NAME, folder) == 0
    assert (folder / f"{NAME}.zst").stat().st_ino == before.st_ino


@pytest.mark.parametrize("change", ["longer", "shorter", "other"])
def test_refuses_another_content(
    folder: Path, segment: Path, change: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(segment, NAME, folder) == 0
    kept = (folder / f"{NAME}.zst").read_bytes()
    content = segment.read_bytes()
    changed = {"longer": content + b"x", "shorter": content[:-1], "other": content[:-1] + b"x"}
    segment.write_bytes(changed[change])
    assert run(segment, NAME, folder) == 1
    assert "is there already, with another content" in capsys.readouterr().err
    assert (folder / f"{NAME}.zst").read_bytes() == kept


def test_refuses_to_trust_a_damaged_file(
    folder: Path, segment: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / f"{NAME}.zst").write_bytes(b"no zstd at all")
    assert run(segment, NAME, folder) == 1
    assert "is not replaced" in capsys.readouterr().err


def test_removes_what_a_killed_run_left(folder: Path, segment: Path) -> None:
    (folder / f".{NAME}.4711").write_bytes(b"half")
    assert run(segment, NAME, folder) == 0
    assert [path.name for path in folder.iterdir()] == [f"{NAME}.zst"]


@pytest.mark.parametrize(
    "name", ["../outside", "000000010000000000000001.zst", "", "0000000100000000000000G1"]
)
def test_archives_wal_alone(
    folder: Path, segment: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(segment, name, folder) == 1
    assert "is no file of WAL" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["00000002.history", f"{NAME}.partial", f"{NAME}.00000028.backup"])
def test_archives_all_that_the_server_asks_for(folder: Path, segment: Path, name: str) -> None:
    assert run(segment, name, folder) == 0
    assert (folder / f"{name}.zst").is_file()


def test_says_that_there_is_no_archive(
    tmp_path: Path, segment: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(segment, NAME, tmp_path / "none") == 1
    assert "There is no archive" in capsys.readouterr().err


def test_leaves_nothing_where_the_source_is_gone(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path / "gone", NAME, folder) == 1
    assert "gone" in capsys.readouterr().err
    assert list(folder.iterdir()) == []


FILES = {f"00000001000000000000000{number}.zst": 100 for number in range(1, 6)}


@pytest.mark.parametrize(
    ("keep_days", "budget", "free", "removed"),
    [
        (0, 0, PLENTY, 0),
        (2.5, 0, PLENTY, 2),
        (0, 250, PLENTY, 3),
        (0, 500, PLENTY, 0),
        (3.5, 250, PLENTY, 3),
        (0.5, 1, PLENTY, 4),  # the newest stays
        (0, 0, 0, 4),  # a full disk
    ],
)
def test_removes_the_oldest(
    folder: Path, keep_days: float, budget: int, free: int, removed: int
) -> None:
    filled(folder, {"00000002.history.zst": 50, **FILES}, newest=1e9)
    (folder / "notes").write_text("an operator's")
    gone = archive_wal.prune(folder, keep_days, budget, 1e9, free)
    assert gone == list(FILES)[:removed]
    assert {path.name for path in folder.iterdir()} == {
        "00000002.history.zst",
        "notes",
        *list(FILES)[removed:],
    }
