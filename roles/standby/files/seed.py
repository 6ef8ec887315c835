# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Seed a standby: fetch, verify, unpack, check, and put in place a copy of the shore's data.

Works through the job in DIRECTORY/job.json and tells of it in DIRECTORY/status.json. It may be
killed at any moment and started again: what is finished is read from the disk, never assumed.

Exit codes: 0 the seed is in place; 3 it cannot be, and starting again alone will not help.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import dataclasses
import errno
import fcntl
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from packs import (
    DESCRIPTION,
    MANIFEST,
    UNPACKERS,
    Pack,
    SeedError,
    chain,
    folder_bytes,
    misfit,
    read_json,
    size,
    sync,
    sync_folder,
    write_synced,
)
from shore_link import Shore, die_with_parent, hopeless, known, last_line, run

MARKER = "pg_replication_seed.json"
EXIT_FAILED = 3
_CHUNK = 1024 * 1024
_SPARE = 64 * 1024 * 1024  # bytes left free on a disk
_SLOW_DISK = 25_000_000  # bytes a second
_SEGMENT = (1 << 30) // _SLOW_DISK  # seconds to read the largest file that PostgreSQL writes
_TAIL = 4096  # bytes of what rsync wrote, with its last figures among them
_VANISHED = 24  # rsync's exit code where a file went away while the rest was copied
_IDENTIFIER = "Database system identifier"
# Differences only, in place, so that a cut loses none of them; files as a cluster has them.
_RENEWAL = (
    "--recursive",
    "--links",
    "--times",
    "--perms",
    "--chmod=Du=rwx,Fu=rw,go=",
    "--delete",
    "--inplace",
    "--no-whole-file",
    "--compress",
    "--info=progress2",
    "--no-inc-recursive",
)
_RATE_WINDOW = 60.0  # seconds
_LOCK_PATIENCE = 30.0  # seconds
# Refusals that are no weather: what a server says that will not admit this ship.
_REFUSED = (
    "password authentication failed",
    "no pg_hba.conf entry",
    "certificate",
    "does not exist",
    "permission denied",
    "must be superuser or replication role",
    "no password supplied",
    "incompatible server version",
    "could not set compression",
    "No space left on device",
)


class Stopped(BaseException):
    """Asked to stop; what has been done stays."""


class Status:
    """What is being done, for whoever looks: one small file, replaced as a whole."""

    def __init__(self, path: Path, quiet: float = 1.0) -> None:
        self._path = path
        self._quiet = quiet
        self._told = 0.0
        self._shape: tuple[str, str, str] = ("", "", "")
        self._figures = (0, 0)
        self._samples: collections.deque[tuple[float, int]] = collections.deque()

    def end(self, state: str, message: str) -> None:
        """Tell that it goes no further, at the step where it is."""
        done, total = self._figures
        self.tell(self._shape[0] or "start", state, done, total, message)

    def tell(
        self, step: str, state: str = "running", done: int = 0, total: int = 0, message: str = ""
    ) -> None:
        """Write the file, at most once a second unless something other than a number changed."""
        now = time.monotonic()
        shape = (step, state, message)
        self._figures = (done, total)
        if step != self._shape[0]:
            self._samples.clear()
        self._samples.append((now, done))
        while len(self._samples) > 2 and now - self._samples[0][0] > _RATE_WINDOW:  # noqa: PLR2004
            self._samples.popleft()
        if shape == self._shape and now - self._told < self._quiet:
            return
        self._shape, self._told = shape, now
        rate = self._rate() if state == "running" else 0.0
        left = (total - done) / rate if rate > 0 and total >= done else None
        self._write(
            {
                "step": step,
                "state": state,
                "done_bytes": done,
                "total_bytes": total,
                "rate": round(rate),
                "seconds_left": None if left is None else round(left),
                "message": message,
                "updated": int(time.time()),
            }
        )

    def _rate(self) -> float:
        (begin, first), (end, last) = self._samples[0], self._samples[-1]
        return max(0.0, (last - first) / (end - begin)) if end > begin else 0.0

    def _write(self, status: Mapping[str, Any]) -> None:
        text = json.dumps(status) + "\n"
        new = self._path.with_suffix(".new")
        try:
            new.write_text(text, encoding="utf-8")
            new.chmod(0o644)
            new.replace(self._path)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            # A full disk is just what has to be told: the old file's own block takes it.
            with contextlib.suppress(OSError), self._path.open("r+", encoding="utf-8") as file:
                file.write(text)
                file.truncate()
            with contextlib.suppress(OSError):
                new.unlink()


def bytes_read(pid: int) -> int:
    """How much a process has read so far; 0 where the kernel does not tell."""
    try:
        text = Path(f"/proc/{pid}/io").read_text(encoding="ascii")
    except OSError:
        return 0
    match = re.search(r"^rchar: (\d+)", text, re.MULTILINE)
    return int(match[1]) if match else 0


def percent_told(pid: int) -> int:
    """How far rsync says that it is, in what it wrote last; 0 where it says nothing."""
    try:
        with Path(f"/proc/{pid}/fd/1").open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL))
            told = file.read()
    except OSError:
        return 0
    found = re.findall(rb"(\d+)%", told)
    return min(100, int(found[-1])) if found else 0


class Seed:
    """One job, from whatever is there to a data directory in place."""

    def __init__(self, directory: Path, job: Mapping[str, Any], status: Status, lock: int) -> None:
        self.directory = directory
        self.job = job
        # What is put in place, told in its marker: mostly the pack's name.
        self.name = str(job["name"])
        self.method = str(job["method"])
        self.status = status
        self.lock = lock
        self.bin = Path(str(job["bin_directory"]))
        self.link: Mapping[str, Any] = job.get("link") or {}
        # A data directory may be a link to another disk: the rename has to happen there.
        self.data = Path(os.path.realpath(str(job["data_directory"])))
        self.side = self.data.with_name(self.data.name + ".seed")
        self.mark = self.side / "seed.json"
        self.inner = self.side / "data"
        self.parts = self.side / "parts"
        self.stale = self.side / "stale"
        self._pack: Pack | None = None

    # What is there

    def placed(self) -> bool:
        """Whether this very seed is in place."""
        return bool(read_json(self.data / MARKER).get("name") == self.name)

    def occupied(self) -> bool:
        """Whether something else is where the data shall be."""
        return self.data.exists() and any(self.data.iterdir()) and not self.placed()

    def stage(self) -> str:
        """How far the side folder is: "", "copied", "unpacked" or "checked"."""
        mark = read_json(self.mark)
        return str(mark.get("stage", "")) if mark.get("name") == self.name else ""

    def refuse_what_is_not_ours(self) -> None:
        """Before a byte is fetched: nothing that somebody else made is touched."""
        if self.data.is_mount():
            raise SeedError(
                f"{self.data} is a mount point, and a seed is put in place by a rename: mount the"
                " disk one level above it."
            )
        if self.occupied() and not self.job.get("replace_data"):
            what = (
                "is an earlier seed"
                if read_json(self.data / MARKER)
                else "is not empty and was not made by a seed"
            )
            raise SeedError(
                f"{self.data} {what}. It is left as it is; with standby_replace_data: true it is"
                " moved aside (never deleted) when the new seed is complete."
            )
        if self.side.exists() and any(self.side.iterdir()) and not read_json(self.mark):
            # An own side folder has its mark before anything else is in it.
            raise SeedError(
                f"{self.side} is not a side folder of a seed: move it away, its place is needed."
            )

    # The steps

    def go(self) -> None:
        """All steps that are not done yet."""
        if self.placed():
            self.clean_up()
            self.status.tell("place", "done", message=f"The seed {self.name} is in place.")
            return
        self.refuse_what_is_not_ours()
        if read_json(self.mark).get("name", self.name) != self.name:
            self.clear_side()  # of a job that was given up
        if self.stage() in ("", "copied"):
            if self.method == "stream":
                self.begin_side()
                self.stream()
            elif self.method == "rsync":
                self.renew()
            else:
                self.fetch()
                self.verify()
                self.begin_side()
                self.unpack()
            self.advance("unpacked")
        if self.stage() == "unpacked":
            self.check()
            self.advance("checked")
        self.place()
        self.clean_up()
        self.status.tell("place", "done", message=f"The seed {self.name} is in place.")

    def pack(self) -> Pack:
        """The pack of this job, which fits this ship."""
        if self._pack is None:
            facts: Mapping[str, Any] = self.job.get("pack") or {}
            if self.method == "aboard":
                folder = Path(str(self.job["source"]["path"]))
                facts = read_json(folder / DESCRIPTION)
                if not facts:
                    raise SeedError(f"There is no pack in {folder}: no {DESCRIPTION} is in it.")
                if facts.get("base"):
                    raise SeedError(
                        f"The pack in {folder} is incremental, and has but the changes since"
                        f" {facts['base']}: carry a full one aboard."
                    )
            pack = Pack.read(facts)
            problem = misfit(pack, {"version": self.job["version"], **(self.job.get("fits") or {})})
            if problem:
                raise SeedError(problem)
            self._pack = pack
        return self._pack

    def folder(self) -> Path:
        """Where the pack lies aboard."""
        if self.method == "aboard":
            return Path(str(self.job["source"]["path"]))
        return self.directory / self.pack().name

    def archive(self) -> Path:
        """The pack's archive aboard."""
        return self.folder() / self.pack().file

    def fetch(self) -> None:
        """Pull the pack; a cut costs the time it lasts, and no byte."""
        pack = self.pack()
        if self.method == "aboard":
            return
        folder = self.folder()
        self.drop_other_packs(chain(self.directory, pack))
        folder.mkdir(mode=0o750, exist_ok=True)
        target = self.archive()
        if target.exists() and target.stat().st_size > pack.bytes:
            target.unlink()
        self.room_for_all(pack)
        shore = Shore.read(self.job["source"], self.link)
        manifest = folder / MANIFEST
        if not read_json(manifest):
            self.pull(shore, manifest, "--compress", "--partial-dir=.partial")
        write_synced(folder / DESCRIPTION, self.job["pack"])
        if self.fetched() < pack.bytes:
            self.pull(shore, target, "--partial", "--append-verify")
        if self.fetched() != pack.bytes:
            raise SeedError(
                f"The pack {pack.name} ashore has {self.fetched()} bytes and should have"
                f" {pack.bytes}: it was cut short. Have a new pack made."
            )

    def room_for_all(self, pack: Pack) -> None:
        """Room for the rest of the pack and for what is in it."""
        rest, unpacked = pack.bytes - self.fetched(), self.unpacked_bytes()
        if self.directory.stat().st_dev == self.data.parent.stat().st_dev:
            self.need_room(self.directory, rest + unpacked, "the rest of the seed")
        else:
            self.need_room(self.directory, rest, "the rest of the pack")
            self.need_room(self.data.parent, unpacked, "the unpacked data")

    def unpacked_bytes(self) -> int:
        """What lies in the side folder at most: the parts beside what is made of them."""
        parts = [pack.data_bytes for pack in self.packs()]
        return sum(parts) if len(parts) == 1 else sum(parts) + parts[0] + parts[-1]

    def packs(self) -> list[Pack]:
        """The pack, and before it those that it builds on."""
        return [self.pack()] if self.method == "aboard" else chain(self.directory, self.pack())

    def pull(self, shore: Shore, target: Path, *options: str) -> None:
        """One file, however often the link is cut."""
        name = f"packs/{self.pack().name}/{target.name}"

        def pulls() -> list[str]:
            # What is aboard is read again, on both sides, before the first byte comes.
            patience = max(shore.rsync_timeout, self.fetched() // _SLOW_DISK)
            patient = dataclasses.replace(shore, rsync_timeout=patience)
            return patient.pull(name, str(target), *options)

        self.until_fetched(
            f"{target.name} of the pack {self.pack().name}",
            pulls,
            lambda _pid: (self.fetched(), self.pack().bytes),
        )

    def until_fetched(
        self,
        what: str,
        command: Callable[[], list[str]],
        progress: Callable[[int], tuple[int, int]],
    ) -> None:
        """Run rsync until it has come to its end, however often the link is cut.

        :param progress: bytes that are there, and of how many, while the process of this PID runs.
        """
        retry = float(self.link.get("retry_s") or 5)
        figures = progress(0)

        def watch(pid: int) -> None:
            nonlocal figures
            figures = progress(pid)
            self.status.tell("fetch", "running", *figures)

        while True:
            self.status.tell("fetch", "running", *figures)
            code, told = run(command(), watch, keep=(self.lock,))
            if code == 0:
                self.status.tell("fetch", "running", *progress(0))
                return
            sentence = hopeless(code, told)
            if sentence:
                raise SeedError(f"{what} cannot be fetched. {sentence}")
            self.rest(
                "fetch",
                retry,
                *figures,
                f"The link is cut ({last_line(told) or f'rsync ended with {code}'}); trying again.",
            )

    def renew(self, *options: str) -> None:
        """A copy of the data aboard, brought to what is unpacked ashore by its differences.

        The data themselves stay as they are, and are served until the new ones are complete.
        """
        pack = self.pack()
        if not self.occupied():
            raise SeedError(
                f"There is nothing in {self.data} that rsync could renew: fetch a pack."
            )
        if not self.stage():
            self.begin_side()
            self.copy_data(pack)
            self.advance("copied")
        shore = Shore.read(self.job["source"], self.link)
        # Of files that have changed, each side reads its own, and tells nothing meanwhile.
        patience = max(shore.rsync_timeout, pack.data_bytes // _SLOW_DISK if options else _SEGMENT)
        patient = dataclasses.replace(shore, rsync_timeout=patience)
        percent = 0

        def progress(pid: int) -> tuple[int, int]:
            nonlocal percent
            percent = max(percent, percent_told(pid))
            return pack.data_bytes * percent // 100, pack.data_bytes

        self.until_fetched(
            f"The unpacked pack {pack.name}",
            lambda: patient.pull(
                f"unpacked/{pack.name}/",
                f"{self.inner}/",
                *_RENEWAL,
                *options,
            ),
            progress,
        )

    def copy_data(self, pack: Pack) -> None:
        """The data aboard, beside themselves; WAL is none of what is renewed."""
        total = folder_bytes(self.data)
        self.need_room(self.side, max(pack.data_bytes, total), "the copy of the data")
        code, told = run(
            [
                *("rsync", "--archive", "--exclude=/pg_wal/*", "--exclude=/postmaster.*"),
                *(f"{self.data}/", f"{self.inner}/"),
            ],
            lambda _pid: self.status.tell("copy", done=folder_bytes(self.inner), total=total),
            keep=(self.lock,),
        )
        if code not in (0, _VANISHED):
            raise SeedError(
                f"The data in {self.data} cannot be copied. {known(told) or last_line(told)}"
            )

    def fetched(self) -> int:
        """Bytes of the pack that are aboard."""
        try:
            return self.archive().stat().st_size
        except FileNotFoundError:
            return 0

    def rest(self, step: str, seconds: float, done: int, total: int, message: str) -> None:
        """Let some time pass, and say why."""
        self.status.tell(step, "waiting", done, total, message)
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            time.sleep(min(left, 5.0))
            self.status.tell(step, "waiting", done, total, message)

    def verify(self) -> None:
        """The pack's checksum; a pack that fails it is removed, so that the next run starts anew."""
        pack = self.pack()
        path = self.archive()
        if not path.exists() or path.stat().st_size != pack.bytes:
            raise SeedError(
                f"{path} has {path.stat().st_size if path.exists() else 0} bytes and should have"
                f" {pack.bytes}: the copy aboard is incomplete."
            )
        digest = hashlib.sha256()
        done = 0
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
                done += len(chunk)
                self.status.tell("verify", done=done, total=pack.bytes)
        if digest.hexdigest() != pack.sha256:
            if self.method != "aboard":
                path.unlink()
                (self.folder() / MANIFEST).unlink(missing_ok=True)
            raise SeedError(
                f"The pack {pack.name} has not the checksum that was told for it: it was changed"
                f" ashore, or its disk is bad. Have a new pack made."
            )

    def begin_side(self) -> None:
        """An empty side folder that says whose it is."""
        self.clear_side()
        self.side.mkdir(mode=0o700, exist_ok=True)
        write_synced(self.mark, {"name": self.name, "stage": ""})
        self.inner.mkdir(mode=0o700)

    def clear_side(self) -> None:
        """Remove what an interrupted run left; the mark goes last."""
        for folder in (self.parts, self.stale, self.inner):
            if folder.exists():
                shutil.rmtree(folder)

    def advance(self, stage: str) -> None:
        """Have everything on the disk, then say so."""
        sync(self.side)
        write_synced(self.mark, {"name": self.name, "stage": stage})

    def unpack(self) -> None:
        """The pack into the side folder; an incremental one with those that it builds on."""
        self.need_room(self.side, self.unpacked_bytes(), "the unpacked data")
        packs = self.packs()
        if len(packs) == 1:
            self.unpack_into(self.inner, packs[0], self.folder())
            return
        folders = [self.parts / pack.name for pack in packs]
        for pack, folder in zip(packs, folders):
            folder.mkdir(mode=0o700, parents=True)
            self.unpack_into(folder, pack, self.directory / pack.name)
        self.combine(folders, packs[0].data_bytes)
        shutil.rmtree(self.parts)

    def combine(self, folders: Sequence[Path], total: int) -> None:
        """One full backup out of a full one and those that build on it."""
        self.inner.rmdir()
        self.status.tell("combine", total=total)
        code, told = run(
            [str(self.bin / "pg_combinebackup"), f"--output={self.inner}", *map(str, folders)],
            lambda _pid: self.status.tell("combine", done=folder_bytes(self.inner), total=total),
            keep=(self.lock,),
        )
        if code < 0:
            raise OSError(errno.EINTR, "pg_combinebackup was killed")
        if code != 0:
            self.clear_side()
            raise SeedError(
                f"The packs aboard cannot be combined. {known(told) or last_line(told)} Have a full"
                " pack made."
            )

    def unpack_into(self, target: Path, pack: Pack, folder: Path) -> None:
        """Decompress and untar, fed from here: so that bytes can be counted."""
        path = folder / pack.file
        with os.fdopen(os.memfd_create("stderr"), "w+b") as errors:
            broken = self._pipe(path, target, errors.fileno())
            errors.seek(0)
            told = errors.read().decode(errors="replace")
        if broken:
            self.clear_side()
            sentence = known(told)
            raise SeedError(
                f"The pack {pack.name} cannot be unpacked into {self.side}."
                f" {sentence or f'It is damaged: have a new pack made. ({last_line(told)})'}"
            )
        shutil.copyfile(folder / MANIFEST, target / MANIFEST)
        (target / MANIFEST).chmod(0o600)

    def _pipe(self, path: Path, target: Path, errors: int) -> bool:
        """Whether unpacking failed."""
        total = path.stat().st_size
        done = 0
        with (
            subprocess.Popen(
                [UNPACKERS[path.name], "--decompress", "--stdout", "--quiet"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                pass_fds=(self.lock,),
                preexec_fn=die_with_parent,  # noqa: PLW1509 - there are no threads here
            ) as unpacker,
            subprocess.Popen(
                ["tar", "--extract", "--file=-", f"--directory={target}", "--no-same-owner"],
                stdin=unpacker.stdout,
                stderr=errors,
                pass_fds=(self.lock,),
                env={**os.environ, "LC_ALL": "C.UTF-8"},
                preexec_fn=die_with_parent,  # noqa: PLW1509
            ) as tar,
        ):
            assert unpacker.stdout is not None  # noqa: S101 - for the type checker
            assert unpacker.stdin is not None  # noqa: S101
            unpacker.stdout.close()  # tar's end is the end of both
            with (
                contextlib.suppress(BrokenPipeError),
                unpacker.stdin as sink,
                path.open("rb") as file,
            ):
                while chunk := file.read(_CHUNK):
                    sink.write(chunk)
                    done += len(chunk)
                    self.status.tell("unpack", done=done, total=total)
        return unpacker.returncode != 0 or tar.returncode != 0

    def stream(self) -> None:
        """pg_basebackup into the side folder: for links that hold as long as it takes."""
        retry = float(self.link.get("retry_s") or 5)
        command = [
            str(self.bin / "pg_basebackup"),
            f"--dbname={self.job['stream']['conninfo']}",
            "--no-password",
            f"--pgdata={self.inner}",
            "--wal-method=stream",
            "--checkpoint=fast",
            "--manifest-checksums=SHA256",
        ]
        if int(self.job["version"]) >= 15:  # noqa: PLR2004 - compression by the server is of 15
            command.append(f"--compress={self.job['stream'].get('compress') or 'server-zstd:3'}")
        throttle = int(self.link.get("throttle_kib_s") or 0)
        if throttle:
            command.append(f"--max-rate={max(32, throttle)}k")
        total = int((self.job.get("pack") or {}).get("data_bytes") or 0)
        while True:
            done = 0

            def watch(_pid: int) -> None:
                nonlocal done
                done = folder_bytes(self.inner)
                self.status.tell("fetch", done=done, total=max(done, total))

            self.status.tell("fetch", total=total)
            code, told = run(command, watch, every=2.0, keep=(self.lock,))
            if code == 0:
                return
            if any(sign in told for sign in _REFUSED):
                raise SeedError(f"pg_basebackup was refused: {last_line(told)}.")
            self.rest(
                "fetch",
                retry,
                done,
                max(done, total),
                f"pg_basebackup was cut ({last_line(told)}); starting again from the beginning.",
            )
            self.clear_side()
            self.inner.mkdir(mode=0o700)

    def check(self) -> None:
        """What is in the side folder is what was backed up, file by file."""
        complaint = self.verified()
        if complaint and self.method == "rsync":
            # Size and time of a file are no proof that it is the same.
            self.renew("--checksum")
            complaint = self.verified()
        if complaint:
            self.clear_side()
            write_synced(self.mark, {"name": self.name, "stage": ""})
            if self.method == "pack":  # it may be the manifest that is wrong, and it is small
                (self.folder() / MANIFEST).unlink(missing_ok=True)
            raise SeedError(
                f"The seed {self.name} fails pg_verifybackup ({complaint}). Run again: it is"
                " made anew. Where that fails too, have a new pack made."
            )
        control = self.control()
        wanted = (self.job.get("fits") or {}).get("system_identifier")
        if wanted and control["system_identifier"] != str(wanted):
            raise SeedError(
                f"The seed {self.name} is of the system {control['system_identifier']}, and the"
                f" shore is {wanted}: it is another server's."
            )

    def verified(self) -> str:
        """What pg_verifybackup has against the side folder; empty: nothing."""
        total = folder_bytes(self.inner)
        self.status.tell("check", total=total)
        code, told = run(
            [str(self.bin / "pg_verifybackup"), "--exit-on-error", str(self.inner)],
            lambda pid: self.status.tell("check", done=min(bytes_read(pid), total), total=total),
            keep=(self.lock,),
        )
        if code < 0:
            raise OSError(errno.EINTR, "pg_verifybackup was killed")
        return "" if code == 0 else last_line(told)

    def control(self) -> dict[str, str]:
        """The system identifier and the place in the WAL of the seed."""
        found = self.control_data(self.inner)
        if not found.get(_IDENTIFIER):
            raise SeedError(f"The seed {self.name} has no control file that can be read.")
        ranges = read_json(self.inner / MANIFEST).get("WAL-Ranges") or [{}]
        return {
            "system_identifier": found[_IDENTIFIER],
            "timeline": str(ranges[0].get("Timeline", "")),
            "start_lsn": str(ranges[0].get("Start-LSN", "")),
        }

    def control_data(self, data: Path) -> dict[str, str]:
        """What pg_controldata tells of a data directory; empty where it cannot be read."""
        answer = subprocess.run(
            [str(self.bin / "pg_controldata"), str(data)],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "LC_ALL": "C"},
        )
        lines = answer.stdout.splitlines() if answer.returncode == 0 else []
        return {
            name: value.strip() for name, _colon, value in (line.partition(":") for line in lines)
        }

    def place(self) -> None:
        """Finish the data directory, and put it in place by a rename."""
        self.status.tell("place")
        if self.inner.exists():
            self.finish_data()
            if self.occupied():
                self.move_aside()
            self.inner.rename(self.data)
            sync_folder(self.data.parent)
            sync_folder(self.side)
        if not self.placed():
            # Somebody removed one or the other between two runs.
            self.mark.unlink(missing_ok=True)
            raise SeedError(
                f"The seed {self.name} was complete and is gone from {self.inner}: run again."
            )

    def finish_data(self) -> None:
        """What makes a copy of the shore's data a standby of it."""
        # The shore's ALTER SYSTEM would win over everything that is set aboard.
        auto = self.inner / "postgresql.auto.conf"
        if auto.exists() and not (self.inner / "postgresql.auto.conf.shore").exists():
            auto.rename(self.inner / "postgresql.auto.conf.shore")
        auto.write_text("# Do not edit: ALTER SYSTEM writes this file.\n", encoding="utf-8")
        auto.chmod(0o600)
        signal_file = self.inner / "standby.signal"
        signal_file.touch(mode=0o600)
        self.inner.chmod(0o700)
        write_synced(
            self.inner / MARKER,
            {
                "name": self.name,
                "method": self.method,
                "version": int(self.job["version"]),
                **self.control(),
            },
        )
        sync(self.inner)

    def move_aside(self) -> None:
        """Stop what runs on the old data directory, and give it another name.

        What only ever followed the shore is a stale copy, and goes; all else is kept.
        """
        pg_ctl = str(self.bin / "pg_ctl")
        running = subprocess.run(
            [pg_ctl, "status", "-D", str(self.data)],
            capture_output=True,
            check=False,
        )
        if running.returncode == 0:
            code, told = run(
                [pg_ctl, "stop", "-D", str(self.data), "-m", "fast", "-w", "-t", "300"],
                lambda _pid: self.status.tell("place", message="Stopping the former server."),
            )
            if code != 0:
                raise SeedError(
                    f"The server on {self.data} does not stop ({last_line(told)}): stop it by hand"
                    " and run again."
                )
        if self.is_stale_copy():
            self.data.rename(self.stale)
        else:
            stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
            self.data.rename(self.data.with_name(f"{self.data.name}.replaced-{stamp}"))
        sync_folder(self.data.parent)

    def is_stale_copy(self) -> bool:
        """Whether the old data directory is an earlier seed of this system that never left recovery."""
        if not read_json(self.data / MARKER):
            return False
        old, new = self.control_data(self.data), self.control_data(self.inner)
        return old.get("Database cluster state") in (
            "shut down in recovery",
            "in archive recovery",
        ) and old.get(_IDENTIFIER) == new.get(_IDENTIFIER)

    def clean_up(self) -> None:
        """The side folder, and the pack where it is not kept for a later incremental seed."""
        if read_json(self.mark):
            self.clear_side()
            self.mark.unlink()
            with contextlib.suppress(OSError):
                self.side.rmdir()
        if not self.job.get("keep_pack") and self.method == "pack":
            self.drop_other_packs(())

    def drop_other_packs(self, needed: Iterable[Pack]) -> None:
        """Packs of earlier jobs: their place is needed."""
        names = {pack.name for pack in needed}
        for folder in self.directory.iterdir():
            if folder.is_dir() and folder.name not in names and (folder / DESCRIPTION).exists():
                shutil.rmtree(folder)

    def need_room(self, path: Path, count: int, what: str) -> None:
        """A sentence now rather than a full disk in an hour."""
        free = shutil.disk_usage(path).free
        if free < count + _SPARE:
            raise SeedError(
                f"{what[0].upper()}{what[1:]} needs {size(count + _SPARE)} at {path}, and"
                f" {size(free)} are free there: free space and run again."
            )


class BusyError(Exception):
    """Another instance holds the lock, and stays."""


@contextlib.contextmanager
def only_instance(directory: Path, job: str) -> Iterator[int | None]:
    """The lock's file; None where another instance is at work on the same job.

    An instance that works on another job is ended, as the job was changed, and so is what a
    killed instance left running: pg_basebackup's second process goes on without the first.
    """
    path = directory / "lock"
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    try:
        until = time.monotonic() + _LOCK_PATIENCE
        while not _locked(handle):
            pid, _blank, other = os.pread(handle, 4096, 0).decode(errors="replace").partition(" ")
            lives = _is_seed(pid)
            if lives and other.strip() == job:
                yield None
                return
            if time.monotonic() > until:
                raise BusyError(f"{path} is held by another process (PID {pid}): end it.")
            for holder in [pid] if lives else _holders(path):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(holder), signal.SIGTERM)
            time.sleep(0.2)
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()} {job}".encode(), 0)
        yield handle
    finally:
        os.close(handle)


def _holders(path: Path) -> list[str]:
    """PIDs of our processes, other than seeds, that hold the file open."""
    found = set()
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        with contextlib.suppress(OSError):
            if os.readlink(link) == str(path.resolve()):  # noqa: PTH115 - what a link says
                found.add(link.parts[2])
    return [pid for pid in found if not _is_seed(pid)]


def _locked(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_seed(pid: str) -> bool:
    """Whether it is a running instance of this program: PIDs are given again."""
    try:
        command = Path(f"/proc/{int(pid)}/cmdline").read_bytes().decode(errors="replace")
    except (OSError, ValueError):
        return False
    # The program itself, or its interpreter and the program.
    return Path(sys.argv[0]).name in [Path(part).name for part in command.split("\0")[:2]]


def detach(log: Path) -> None:
    """Go on without whoever started this; only the child returns."""
    if os.fork():
        os._exit(0)
    os.setsid()
    if os.fork():
        os._exit(0)
    sink = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(sink, 1)
    os.dup2(sink, 2)
    os.close(null)
    os.close(sink)


def main(arguments: list[str]) -> int:
    """The program."""
    parser = argparse.ArgumentParser(description="Seed a standby with a copy of the shore's data.")
    parser.add_argument("--directory", type=Path, required=True, help="where job.json is")
    parser.add_argument(
        "--announce", action="store_true", help="only tell that a job is about to begin"
    )
    parser.add_argument("--detach", action="store_true", help="go on in the background")
    options = parser.parse_args(arguments)
    directory: Path = options.directory
    status = Status(directory / "status.json")
    text = (directory / "job.json").read_bytes()
    digest = hashlib.sha256(text).hexdigest()
    if options.announce or options.detach:
        announce(directory, digest, status)
    if options.announce:
        return 0
    if options.detach:
        detach(directory / "seed.log")
    signal.signal(signal.SIGTERM, _stop)
    try:
        with only_instance(directory, digest) as lock:
            if lock is None:
                return 0
            return work(Seed(directory, json.loads(text), status, lock))
    except BusyError as error:
        sys.stderr.write(f"{error}\n")
        return 1


def announce(directory: Path, digest: str, status: Status) -> None:
    """Replace what a former run told, unless one is at work: whoever follows must not read it."""
    with (directory / "lock").open("a+") as file:
        file.seek(0)
        mine = file.read().strip().endswith(digest)
        if _locked(file.fileno()) or not mine:
            status.tell("start", message="The seed begins.")


def work(seed: Seed) -> int:
    """Run a job, and have its end told whatever it is."""
    try:
        seed.go()
    except Stopped:
        seed.status.end("waiting", "The seed was stopped; it goes on when it is started again.")
        return 0
    except SeedError as error:
        return failed(seed, str(error))
    except OSError as error:
        if error.errno == errno.EINTR:
            raise
        where = f" ({error.filename})" if error.filename else ""
        cure = "Free space and run again." if error.errno == errno.ENOSPC else "Run again."
        return failed(seed, f"{error.strerror or error}{where}. {cure}")
    return 0


def failed(seed: Seed, sentence: str) -> int:
    """Tell a failure that starting again alone will not cure."""
    sys.stderr.write(sentence + "\n")
    seed.status.end("failed", sentence)
    return EXIT_FAILED


def _stop(_number: int, _frame: object) -> NoReturn:
    raise Stopped


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
