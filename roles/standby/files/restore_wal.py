# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""restore_command of a ship: one file of WAL from the shore's archive.

    restore_wal.py CONFIGURATION FILE PATH

Exit code 0: PATH is there and whole. 1: it is not to be had now, and the server goes on to
streaming. Never more than 125, which would make the server give up.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from shore_link import Shore, die_with_parent, last_line, run

_WAL_FILE = re.compile(r"[0-9A-F]{24}(\.[0-9A-F]{8}\.backup)?|[0-9A-F]{8}\.history")


class NotToBeHadError(Exception):
    """The file cannot be restored now; the text says why."""


def restore(configuration: Path, name: str, target: Path) -> None:
    """Fetch a file of the archive and put it at the target."""
    if not _WAL_FILE.fullmatch(name):
        raise NotToBeHadError(f"{name} is no file of WAL.")
    job = json.loads(configuration.read_text(encoding="utf-8"))
    folder = Path(job["directory"])
    folder.mkdir(mode=0o750, exist_ok=True)
    packed = folder / f"{name}.zst"
    for other in folder.iterdir():
        if other != packed:
            other.unlink()  # begun for another file, and not asked for any more
    shore = Shore.read(job["source"], job.get("link") or {})
    code, told = run(
        shore.pull(
            os.path.join(job["archive"], packed.name),  # noqa: PTH118 - of another machine
            str(packed),
            "--partial",
            "--append-verify",
        )
    )
    if code != 0:
        if "No such file" in told:
            raise NotToBeHadError(f"{name} is not in the shore's archive.")
        raise NotToBeHadError(f"{name} was not fetched: {last_line(told) or f'rsync: {code}'}.")
    unpack(packed, target)
    packed.unlink()


def unpack(packed: Path, target: Path) -> None:
    """Decompress beside the target, then rename: the server never sees half a file."""
    new = target.with_name(target.name + ".new")
    with new.open("wb") as file:
        done = subprocess.run(
            ["zstd", "--decompress", "--stdout", "--quiet", "--", str(packed)],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.PIPE,
            check=False,
            preexec_fn=die_with_parent,
        )
        file.flush()
        os.fsync(file.fileno())
    if done.returncode != 0:
        new.unlink()
        packed.unlink()
        told = last_line(done.stderr.decode(errors="replace"))
        raise NotToBeHadError(f"{packed.name} of the shore's archive is damaged: {told}.")
    new.replace(target)


def main(arguments: list[str]) -> int:
    """The program."""
    # The server ends a restore_command by SIGTERM, and wants to see it end so.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if shutil.which("rsync") is None or shutil.which("zstd") is None:
        sys.stderr.write("restore_wal: rsync and zstd are needed.\n")
        return 1
    try:
        configuration, name, target = arguments
        restore(Path(configuration), name, Path(target))
    except NotToBeHadError as reason:
        if not arguments[1].endswith(".history"):  # asked for again and again, there mostly is none
            sys.stderr.write(f"restore_wal: {reason}\n")
        return 1
    except (OSError, ValueError, KeyError) as error:
        sys.stderr.write(f"restore_wal: {error!r}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
