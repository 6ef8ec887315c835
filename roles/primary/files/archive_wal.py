# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""archive_command of the shore: one file of WAL into the archive, compressed, on disk when done.

archive_wal --directory DIRECTORY [--keep-days N] [--budget BYTES] PATH NAME

PostgreSQL keeps the file and tries again until this ends with 0, so 0 means that the archive has
it, whole and on disk. A file that is there already is never replaced: the same content is fine
(the server asks again after a crash), another content is an error, since two servers must not
share an archive. What is older than --keep-days goes, and the oldest while all of it is larger
than --budget, or while the disk is all but full; 0 is no limit. The history of timelines, which
is tiny, stays.

PostgreSQL: Continuous Archiving and Point-in-Time Recovery, "Setting Up WAL Archiving".
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

_SEGMENT = r"[0-9A-F]{24}(?:\.partial|\.[0-9A-F]{8}\.backup)?"
_NAME = re.compile(rf"{_SEGMENT}|[0-9A-F]{{8}}\.history")
_REMOVABLE = re.compile(rf"{_SEGMENT}\.zst")
_CHUNK = 1024 * 1024
_DAY = 86400
# A full disk would stop the archive, and then pg_wal would grow until the server stops.
_RESERVE = 128 * 1024 * 1024
_MODE = 0o640


class ArchiveError(Exception):
    """Why the file is not in the archive, as a sentence for the server's log."""


class Kept(NamedTuple):
    """A file of the archive that may be removed, oldest first."""

    written: float
    name: str
    size: int


def archive(source: Path, name: str, directory: Path) -> None:
    """Have the file in the archive, on disk."""
    if not _NAME.fullmatch(name):
        raise ArchiveError(f"{name!r} is no file of WAL.")
    if not directory.is_dir():
        raise ArchiveError(f"There is no archive {directory}: run the role primary again.")
    _remove_leftovers(directory, name)
    target = directory / f"{name}.zst"
    if target.exists():
        _demand_same(source, target)
    else:
        temporary = directory / f".{name}.{os.getpid()}"
        try:
            _compress(source, temporary)
            # A link, unlike a rename, does not replace what another has put there meanwhile.
            with contextlib.suppress(FileExistsError):
                os.link(temporary, target)
            if not target.samefile(temporary):
                _demand_same(source, target)
        finally:
            temporary.unlink(missing_ok=True)
    _sync_folder(directory)


def prune(directory: Path, keep_days: float, budget: int, now: float, free: int) -> list[str]:
    """Remove what is too old, and the oldest of what is too much. The newest file stays."""
    kept = sorted(_removable(directory))
    total = sum(file.size for file in kept)
    removed: list[str] = []
    for file in kept[:-1]:
        too_old = keep_days > 0 and file.written < now - keep_days * _DAY
        too_much = 0 < budget < total
        if not too_old and not too_much and free >= _RESERVE:
            break
        (directory / file.name).unlink(missing_ok=True)
        total -= file.size
        free += file.size
        removed.append(file.name)
    return removed


def _compress(source: Path, temporary: Path) -> None:
    with source.open("rb") as plain, _create(temporary) as packed:
        done = subprocess.run(
            ["zstd", "--compress", "--stdout", "--quiet", "-3"],
            stdin=plain,
            stdout=packed,
            stderr=subprocess.PIPE,
            check=False,
        )
        if done.returncode != 0:
            told = done.stderr.decode(errors="replace").strip() or f"exit {done.returncode}"
            raise ArchiveError(f"zstd could not write {temporary}: {told}")
        # The server's umask would keep it from those that fetch it.
        os.fchmod(packed.fileno(), _MODE)
        os.fsync(packed.fileno())


def _create(path: Path) -> IO[bytes]:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _MODE), "wb")


def _demand_same(source: Path, target: Path) -> None:
    with (
        source.open("rb") as plain,
        subprocess.Popen(
            ["zstd", "--decompress", "--stdout", "--quiet", "--", str(target)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as unpacked,
    ):
        assert unpacked.stdout is not None  # noqa: S101 - for the type checker
        same = _same(plain, unpacked.stdout)
        if not same:
            unpacked.kill()
        unpacked.communicate()
    if not same or unpacked.returncode != 0:
        raise ArchiveError(
            f"{target} is there already, with another content, and is not replaced. Either another"
            " server archives into the same folder, or this one was restored: give it a folder of"
            " its own, or move that file away."
        )
    # It may be from before a crash: only now is it known to be on disk.
    with target.open("rb") as file:
        os.fsync(file.fileno())


def _same(one: IO[bytes], other: IO[bytes]) -> bool:
    while True:
        chunk = one.read(_CHUNK)
        if chunk != other.read(max(len(chunk), 1)):
            return False
        if not chunk:
            return True


def _remove_leftovers(directory: Path, name: str) -> None:
    # The server archives one file at a time, so nobody writes these any more.
    for leftover in directory.glob(f".{name}.*"):
        leftover.unlink(missing_ok=True)


def _removable(directory: Path) -> Iterator[Kept]:
    with os.scandir(directory) as entries:
        for entry in entries:
            if _REMOVABLE.fullmatch(entry.name):
                with contextlib.suppress(FileNotFoundError):
                    status = entry.stat(follow_symlinks=False)
                    yield Kept(status.st_mtime, entry.name, status.st_size)


def _sync_folder(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def main(arguments: list[str]) -> int:
    """Make room, then archive."""
    parser = argparse.ArgumentParser(prog="archive_wal")
    parser.add_argument("--directory", type=Path, required=True)
    parser.add_argument("--keep-days", type=float, default=0)
    parser.add_argument("--budget", type=int, default=0)
    parser.add_argument("path", type=Path)
    parser.add_argument("name")
    asked = parser.parse_args(arguments)
    try:
        _prune(asked.directory, asked.keep_days, asked.budget)
        archive(asked.path, asked.name, asked.directory)
    except (ArchiveError, OSError) as exc:
        sys.stderr.write(f"archive_wal: {exc}\n")
        return 1
    return 0


def _prune(directory: Path, keep_days: float, budget: int) -> None:
    # Before the new file, which may need the room; what goes wrong here need not keep it out.
    try:
        disk = os.statvfs(directory)
        prune(directory, keep_days, budget, time.time(), disk.f_bavail * disk.f_frsize)
    except OSError as exc:
        sys.stderr.write(f"archive_wal: could not remove what is old: {exc}\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
