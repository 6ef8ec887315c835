# SPDX-FileCopyrightText: HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Private to this collection: it may change in any release.

"""Packs on disk: found, made by pg_basebackup, put in place at once, removed."""

from __future__ import annotations

import fcntl
import grp
import hashlib
import json
import os
import re
import secrets
import selectors
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import IO, cast

from ansible_collections.hmm.pg_replication.plugins.module_utils._connection import (
    Session,
    connection_error,
)
from ansible_collections.hmm.pg_replication.plugins.module_utils._conninfo import hide
from ansible_collections.hmm.pg_replication.plugins.module_utils._driver import sql
from ansible_collections.hmm.pg_replication.plugins.module_utils._errors import (
    ReplicationError,
    describe,
)
from ansible_collections.hmm.pg_replication.plugins.module_utils._pack import (
    APPLICATION,
    ARCHIVES,
    DESCRIPTION,
    MANIFEST,
    Folder,
    Manifest,
    Pack,
    PackRequest,
    PackServer,
    Tool,
    backup_command,
)
from ansible_collections.hmm.pg_replication.plugins.module_utils._progress_file import Progress
from ansible_collections.hmm.pg_replication.plugins.module_utils._versions import version_text

PARTIAL = ".partial-"
LOCK = ".lock"
FILE_MODE, FOLDER_MODE = 0o640, 0o750
_POLL_SECONDS = 1.0
_BLOCK = 1 << 20
_KEPT_OUTPUT = 1 << 16
# Where Debian's and the PostgreSQL project's packages put the programs of a major version.
_PROGRAMS = ("/usr/lib/postgresql/{major}/bin", "/usr/pgsql-{major}/bin")


@contextmanager
def told() -> Iterator[None]:
    """The operating system's refusals as sentences."""
    try:
        yield
    except OSError as exc:
        where = f"{exc.filename}: " if exc.filename else ""
        raise ReplicationError(f"{where}{exc.strerror or exc}.") from None


def utc_now() -> datetime:
    return datetime.now(timezone.utc)


# --- what is there -------------------------------------------------------------------------------


def read_folder(directory: Path) -> Folder:
    """The packs in the folder, and its room; a folder that is still to be made has none."""
    packs, damaged = [], []
    with told():
        entries = sorted(directory.iterdir()) if directory.is_dir() else []
        for entry in entries:
            if entry.name.startswith(".") or not entry.is_dir():
                continue
            try:
                packs.append(_read_pack(entry))
            except (OSError, ValueError, KeyError, TypeError) as exc:
                damaged.append(f"{entry} is not a whole pack, and is left alone: {exc!r}.")
        there = next(place for place in (directory, *directory.parents) if place.is_dir())
        room = os.statvfs(there)
    return Folder(utc_now(), tuple(packs), room.f_bavail * room.f_frsize, tuple(damaged))


def _read_pack(folder: Path) -> Pack:
    pack = Pack.parse(json.loads((folder / DESCRIPTION).read_text(encoding="utf-8")))
    found = (folder / pack.file).stat().st_size
    if pack.name != folder.name or found != pack.bytes or not (folder / MANIFEST).is_file():
        raise ValueError("its files are not those that its description names")
    return pack


def find_tool(bin_directory: Path | None, major: int) -> Tool:
    """The pg_basebackup of the server's version; a newer one will do, too."""
    name = "pg_basebackup"
    if bin_directory is not None:
        found: Path | None = bin_directory / name
    else:
        known = [Path(place.format(major=major), name) for place in _PROGRAMS]
        # Debian's wrapper in PATH would take the version of a cluster of its own choice.
        newer = sorted(
            Path("/usr/lib/postgresql").glob(f"[0-9]*/bin/{name}"),
            key=lambda path: int(path.parents[1].name.partition(".")[0]),
            reverse=True,
        )
        in_path = [Path(path) for path in [shutil.which(name)] if path and not newer]
        found = next((path for path in (*known, *in_path, *newer) if path.is_file()), None)
    if found is None or not os.access(found, os.X_OK):
        raise ReplicationError(
            f"{found or name} is not there, or may not be run: install postgresql-client-{major},"
            " or name the folder that has it in bin_directory."
        )
    with told():
        answer = subprocess.run(
            [str(found), "--version"], capture_output=True, text=True, check=False
        ).stdout
    version = re.search(r"\(PostgreSQL\) (\d+)", answer)
    if not version:
        raise ReplicationError(f"{found} does not tell its version: is it PostgreSQL's?")
    return Tool(found, int(version.group(1)))


def group_id(name: str | None) -> int:
    """The group that may read the packs; -1: as it is."""
    if name is None:
        return -1
    try:
        found = grp.getgrnam(name).gr_gid
    except KeyError:
        raise ReplicationError(f"group: there is no group {name} on this host.") from None
    if os.geteuid() != 0 and found not in (os.getegid(), *os.getgroups()):
        raise ReplicationError(
            f"group: only root or a member of the group {name} can give files to it."
        )
    return found


# --- the folder's life ---------------------------------------------------------------------------


@contextmanager
def sole_use(directory: Path, group: int, progress: Progress) -> Iterator[int]:
    """Hold the folder's lock; who comes second waits, and finds what the first has made.

    pg_basebackup inherits it, so that one whose module was killed is not disturbed either.
    """
    with told():
        if not directory.is_dir():
            directory.mkdir(mode=FOLDER_MODE, parents=True)
            os.chown(directory, -1, group)
            directory.chmod(FOLDER_MODE)
        lock = os.open(directory / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
    try:
        with told():
            _lock(lock, lambda: progress.tell("waiting", f"Another run works in {directory}."))
        yield lock
    finally:
        os.close(lock)


def _lock(lock: int, each_while: Callable[[], None]) -> None:
    while not _locked(lock):
        each_while()
        time.sleep(_POLL_SECONDS)


def _locked(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def clean(directory: Path) -> None:
    """Remove what killed runs have left; only with the lock held."""
    with told():
        for entry in directory.glob(f"{PARTIAL}*"):
            shutil.rmtree(entry)


def remove_packs(directory: Path, packs: Iterable[Pack]) -> None:
    with told():
        for pack in packs:
            # Out of sight first: a half removed pack must not look like one.
            aside = directory / f"{PARTIAL}{pack.name}"
            (directory / pack.name).rename(aside)
            shutil.rmtree(aside)


# --- unpacking one -------------------------------------------------------------------------------


def unpack(request: PackRequest, pack: Pack, group: int, progress: Progress, target: Path) -> None:
    """Have the pack's files in a folder of their own, all or nothing."""
    with told():
        room = target.parent
        room.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        os.chown(room, -1, group)
        for entry in room.glob(f"{PARTIAL}*"):
            shutil.rmtree(entry)
        free = os.statvfs(room)
        if request.check_space and free.f_bavail * free.f_frsize < pack.data_bytes:
            raise ReplicationError(
                f"unpacked_directory: {room} has {free.f_bavail * free.f_frsize / 1e6:.0f} MB free,"
                f" and the files of pack {pack.name} need {pack.data_bytes / 1e6:.0f} MB there."
            )
        partial = Path(tempfile.mkdtemp(prefix=PARTIAL, dir=room))
        try:
            _extract(request.directory / pack.name, pack, partial, progress)
            shutil.copyfile(request.directory / pack.name / MANIFEST, partial / MANIFEST)
            for path in (*partial.rglob("*"), partial):
                os.chown(path, -1, group)
                path.chmod(FOLDER_MODE if path.is_dir() else FILE_MODE)
            partial.rename(target)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise


def _extract(folder: Path, pack: Pack, target: Path, progress: Progress) -> None:
    program = pack.compression  # its name is that of the program
    if shutil.which(program) is None:
        raise ReplicationError(f"{program} is needed to unpack {pack.file}: install it.")
    with tempfile.TemporaryFile() as said, (folder / pack.file).open("rb") as archive:
        with (
            subprocess.Popen(
                [program, "--decompress", "--stdout", "--quiet"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=said,
            ) as unpacker,
            subprocess.Popen(
                ["tar", "--extract", "--file=-", f"--directory={target}", "--no-same-owner"],
                stdin=unpacker.stdout,
                stderr=said,
                env={**os.environ, "LC_ALL": "C"},
            ) as tar,
        ):
            cast("IO[bytes]", unpacker.stdout).close()  # tar's end is the end of both
            with suppress(BrokenPipeError), cast("IO[bytes]", unpacker.stdin) as sink:
                for block in iter(lambda: archive.read(_BLOCK), b""):
                    sink.write(block)
                    progress.tell("running", "The pack is unpacked.", archive.tell(), pack.bytes)
        if unpacker.returncode or tar.returncode:
            said.seek(0)
            lines = said.read().decode("utf-8", "replace").strip().splitlines()
            raise ReplicationError(
                f"Pack {pack.name} cannot be unpacked: {lines[-1] if lines else 'no reason given'}."
            )


# --- making one ----------------------------------------------------------------------------------


class Maker:
    """Makes one pack, all or nothing."""

    def __init__(
        self,
        session: Session,
        request: PackRequest,
        server: PackServer,
        tool: Tool,
        progress: Progress,
    ) -> None:
        self.session = session
        self.request = request
        self.server = server
        self.tool = tool
        self.progress = progress
        # By this the backup is known on the server.
        self.mark = secrets.token_hex(4)
        self._told = ("The base backup begins.", 0, 0)

    def make(self, compression: str, group: int, lock: int) -> Pack:
        """Make a pack, and put it in place.

        :param lock: the lock's file, that pg_basebackup has to hold as well.
        """
        directory = self.request.directory
        self.progress.tell("running", *self._told)
        with told():
            partial = Path(tempfile.mkdtemp(prefix=PARTIAL, dir=directory))
            try:
                self._guard()
                self._back_up(partial, compression, lock)
                pack = self._describe(partial, compression)
                _settle(partial, group)
                partial.rename(directory / pack.name)
                _sync(directory)
            except BaseException:
                shutil.rmtree(partial, ignore_errors=True)
                raise
        return pack

    def _guard(self) -> None:
        """Have WAL kept while the backup runs, where no slot that is asked for does."""
        if self.request.fits_slots:
            return
        self.session.rows(
            sql.SQL("SELECT pg_catalog.pg_create_physical_replication_slot({}, true, true)").format(
                sql.Literal(f"hmm_pack_{self.mark}")
            )
        )

    def _back_up(self, target: Path, compression: str, lock: int) -> None:
        command = backup_command(self.request, self.tool, compression, target, self.mark)
        # Messages in English, to be understood below.
        environment = {**os.environ, "LC_ALL": "C"}
        if "password" in self.request.conninfo:
            environment["PGPASSWORD"] = self.request.conninfo["password"]
        with subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            pass_fds=[lock],
        ) as process:
            try:
                output = _read_while(cast("IO[bytes]", process.stderr), self._tell_progress)
            except BaseException:
                process.terminate()
                raise
        if process.returncode != 0:
            raise self._sentence(output)

    def _tell_progress(self) -> None:
        """What the server says, which counts the files' bytes: those sent are compressed."""
        if not self.progress.wanted:
            return
        found = self.session.read(
            sql.SQL(
                "SELECT phase, backup_streamed AS done, backup_total AS total"
                " FROM pg_stat_progress_basebackup"
                " WHERE pid IN (SELECT pid FROM pg_stat_activity WHERE application_name = {})"
            ).format(sql.Literal(APPLICATION.format(mark=self.mark)))
        )
        # Told every second, whatever there is: silence would mean that nobody works any more.
        if found:
            done, total = found[0]["done"] or 0, found[0]["total"] or 0
            self._told = (f"The server is {found[0]['phase']}.", done, max(done, total))
        self.progress.tell("running", *self._told)

    def _sentence(self, output: str) -> ReplicationError:
        said = "\n".join(complaints(output)) or "it gave no reason"
        said = str(hide(said, self.request.conninfo.secrets()))
        if "connection to server" in said or "could not connect" in said:
            return ReplicationError(
                f"pg_basebackup failed. {connection_error(self.request.conninfo, said)}"
            )
        advice = next((advice for sign, advice in _ADVICE.items() if re.search(sign, said)), "")
        return ReplicationError(f"pg_basebackup failed: {describe(None, said)} {advice}".strip())

    def _describe(self, folder: Path, compression: str) -> Pack:
        file = ARCHIVES[compression][0]
        unexpected = {path.name for path in folder.iterdir()} ^ {file, MANIFEST}
        if unexpected:
            raise ReplicationError(
                f"pg_basebackup did not write {file} and {MANIFEST} alone:"
                f" {', '.join(sorted(unexpected))}."
            )
        manifest = Manifest.parse(json.loads((folder / MANIFEST).read_text(encoding="utf-8")))
        size = (folder / file).stat().st_size
        created = utc_now().replace(microsecond=0)
        pack = Pack(
            # Sorted by time, and never the same twice: a position is begun from but once.
            name=f"{created:%Y%m%dT%H%M%SZ}-{manifest.timeline}-{manifest.start_lsn:016X}",
            system_identifier=self.server.system_identifier,
            timeline=manifest.timeline,
            start_lsn=manifest.start_lsn,
            stop_lsn=manifest.stop_lsn,
            file=file,
            compression=compression,
            bytes=size,
            sha256=self._checksum(folder / file, size),
            data_bytes=manifest.data_bytes,
            version=self.server.major,
            server_version=version_text(self.server.version),
            created=created,
            base=self.request.base,
        )
        (folder / DESCRIPTION).write_text(
            json.dumps(pack.described(), indent=2) + "\n", encoding="utf-8"
        )
        return pack

    def _checksum(self, path: Path, size: int) -> str:
        digest = hashlib.sha256()
        with path.open("rb") as stream:
            for number, block in enumerate(iter(lambda: stream.read(_BLOCK), b"")):
                digest.update(block)
                if number % 256 == 0:
                    self.progress.tell(
                        "running", "The pack's checksum is computed.", stream.tell(), size
                    )
        return digest.hexdigest()


_ADVICE = {
    r"requested WAL segment \S+ has already been removed|could not find any WAL files": (
        "WAL was recycled while the backup ran: name the ships' slots in fits_slots, or raise"
        " max_slot_wal_keep_size and wal_keep_size on the server."
    ),
    r"WAL summaries are required": (
        "The server has not noted the changes since that base: take a full pack."
    ),
    r"No space left on device": "Free space there, and run the task again.",
    r"checksum verification failure|checksum error": (
        "The server's data itself is damaged: look into its log before anything else."
    ),
}


def complaints(output: str) -> list[str]:
    """What pg_basebackup complains of: its output without progress and without news."""
    said = []
    for line in re.split(r"[\r\n]+", output):
        text = re.sub(r"^pg_basebackup: (?:(?:error|detail|hint|warning): )?", "", line.strip())
        if text and not _NEWS.search(text):
            said.append(text)
    return said


_NEWS = re.compile(
    r"^\d+/\d+ kB \(|^NOTICE:|^removing (?:contents of )?data directory|^changes to tablespace"
    r"|^waiting for checkpoint|^initiating base backup"
)


def _read_while(stream: IO[bytes], each_while: Callable[[], None]) -> str:
    """The end of what is written there, while something else is done every second."""
    kept = b""
    with selectors.DefaultSelector() as ready:
        ready.register(stream, selectors.EVENT_READ)
        while True:
            if ready.select(_POLL_SECONDS):
                block = os.read(stream.fileno(), _KEPT_OUTPUT)
                if not block:
                    return kept.decode("utf-8", "replace")
                kept = (kept + block)[-_KEPT_OUTPUT:]
            each_while()


def _settle(folder: Path, group: int) -> None:
    """Give the pack's files to those who may read them, and make sure that they are on disk."""
    for path in (*folder.iterdir(), folder):
        os.chown(path, -1, group)
        path.chmod(FOLDER_MODE if path == folder else FILE_MODE)
        _sync(path)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
