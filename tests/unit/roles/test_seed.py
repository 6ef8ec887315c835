# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The seed ends in place or in a sentence, wherever it was killed and whatever the link does."""

from __future__ import annotations

import errno
import hashlib
import importlib.util
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.gates.paths import CHECKOUT

FILES = CHECKOUT / "roles" / "standby" / "files"
SYSTEM = "7711044299274854203"
MIB = 1024 * 1024
# What a primary of pg_auto_failover has: aboard, every commit of a promoted ship would wait for ever.
ALTER_SYSTEM = (
    "port = 1\n"
    "synchronous_standby_names = 'ANY 1 (pgautofailover_standby_2)'\n"
    "default_transaction_read_only = 'on'\n"
)


def _load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, FILES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look it up, and seed imports shore_link
    spec.loader.exec_module(module)
    return module


shore_link = _load("shore_link")
packs = _load("packs")
seed = _load("seed")


def script(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


@dataclass
class Ship:
    """A shore with a pack and a ship to seed, both folders; PostgreSQL's programs are stand-ins."""

    root: Path
    job: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        content = self.root / "content"
        for name, text in (
            ("PG_VERSION", b"15\n"),
            ("base/1/1259", os.urandom(3 * MIB)),
            ("postgresql.auto.conf", ALTER_SYSTEM.encode()),
        ):
            (content / name).parent.mkdir(parents=True, exist_ok=True)
            (content / name).write_bytes(text)
        self.folder = self.root / "shore" / "packs" / "p1"
        self.folder.mkdir(parents=True)
        self.pack = self.folder / "base.tar.zst"
        tar = f"tar --create --directory={content} . | zstd --quiet -o {self.pack}"
        subprocess.run(tar, shell=True, check=True)  # noqa: S602
        manifest = {"WAL-Ranges": [{"Timeline": 1, "Start-LSN": "0/5000028"}]}
        (self.folder / "backup_manifest").write_text(json.dumps(manifest))
        self.bin = self.root / "bin"
        script(self.bin / "pg_verifybackup", "exit 0")
        script(self.bin / "pg_controldata", f"echo 'Database system identifier:  {SYSTEM}'")
        script(self.bin / "pg_ctl", "exit 3")
        self.directory = self.root / "state"
        self.directory.mkdir()
        self.data = self.root / "15" / "main"
        self.data.parent.mkdir()
        self.side = self.data.with_name("main.seed")
        self.job = {
            "name": "p1",
            "method": "pack",
            "version": 15,
            "bin_directory": str(self.bin),
            "data_directory": str(self.data),
            "pack": {
                "name": "p1",
                "bytes": self.pack.stat().st_size,
                "sha256": hashlib.sha256(self.pack.read_bytes()).hexdigest(),
                "data_bytes": 3 * MIB,
                "version": 15,
                "system_identifier": SYSTEM,
                "timeline": 1,
                "start_lsn": "0/5000028",
            },
            "source": {"transport": "local", "path": str(self.root / "shore")},
            "fits": {},
            "link": {"retry_s": 0.01},
            **self.job,
        }

    @property
    def fetched(self) -> Path:
        return self.directory / "p1" / "base.tar.zst"

    def command(self) -> list[str]:
        (self.directory / "job.json").write_text(json.dumps(self.job))
        return [sys.executable, str(FILES / "seed.py"), "--directory", str(self.directory)]

    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "PATH": f"{self.root / 'wrappers'}:{os.environ['PATH']}",
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def run(self, *options: str) -> int:
        done = subprocess.run(
            [*self.command(), *options],
            check=False,
            capture_output=True,
            env=self.environment(),
            timeout=60,
        )
        assert b"Traceback" not in done.stderr, done.stderr.decode()
        return done.returncode

    def status(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads((self.directory / "status.json").read_text())
        return content

    def wrap(self, program: str, text: str) -> None:
        """Have a program do something else first; $n is the number of the call, $real the real one."""
        real = subprocess.run(
            ["sh", "-c", f"command -v {program}"], capture_output=True, text=True, check=False
        ).stdout.strip()
        path = self.root / "wrappers" / program
        if program.startswith("pg_"):
            path = self.bin / program
            real = str(path.rename(path.with_suffix(".real")))
        count = self.root / f"{program}.count"
        script(
            path,
            f"n=$(( $(cat {count} 2>/dev/null || echo 0) + 1 )); echo $n > {count}\nreal={real}\n"
            f'{text}\nexec $real "$@"',
        )

    def check_in_place(self) -> None:
        assert self.status()["state"] == "done"
        original = self.root / "content" / "base/1/1259"
        assert (self.data / "base/1/1259").read_bytes() == original.read_bytes()
        assert (self.data / "standby.signal").exists()
        own = (self.data / "postgresql.auto.conf").read_text()
        assert "port" not in own
        assert "synchronous_standby_names" not in own
        assert (self.data / "postgresql.auto.conf.shore").read_text() == ALTER_SYSTEM
        assert (self.data.stat().st_mode & 0o777) == 0o700
        assert json.loads((self.data / seed.MARKER).read_text()) == {
            "name": "p1",
            "method": self.job["method"],
            "version": 15,
            "system_identifier": SYSTEM,
            "timeline": "1",
            "start_lsn": "0/5000028",
        }
        assert not self.side.exists()


@pytest.fixture
def ship(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ship:
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    return Ship(tmp_path)


def test_in_place_and_once_more(ship: Ship) -> None:
    assert ship.run() == 0
    ship.check_in_place()
    assert not ship.fetched.parent.exists()
    before = ship.data.stat().st_mtime_ns
    assert ship.run() == 0
    assert ship.data.stat().st_mtime_ns == before


def test_the_pack_is_kept_for_an_incremental_seed(ship: Ship) -> None:
    ship.job["keep_pack"] = True
    assert ship.run() == 0
    ship.check_in_place()
    assert ship.fetched.read_bytes() == ship.pack.read_bytes()


INCREMENTAL = {"name": "p2", "base": "p1", "start_lsn": "0/7000028"}


def incremental(ship: Ship) -> None:
    """A ship with the full pack aboard, and a second one ashore that builds on it."""
    ship.job["keep_pack"] = True
    assert ship.run() == 0
    folder = ship.folder.with_name("p2")
    folder.mkdir()
    for path in ship.folder.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    ship.job.update(name="p2", pack={**ship.job["pack"], **INCREMENTAL}, replace_data=True)
    combine = 'for last; do :; done; mkdir "${1#--output=}" && cp -a "$last/." "${1#--output=}"'
    script(ship.bin / "pg_combinebackup", f'echo "$@" >> {ship.root}/combined\n{combine}')


def test_an_incremental_pack_is_combined_with_the_one_aboard(ship: Ship) -> None:
    incremental(ship)
    assert ship.run() == 0
    assert json.loads((ship.data / seed.MARKER).read_text())["name"] == "p2"
    assert not ship.side.exists()
    parts = ship.side / "parts"
    assert (ship.root / "combined").read_text() == (
        f"--output={ship.side / 'data'} {parts / 'p1'} {parts / 'p2'}\n"
    )
    # Both are needed by the next one.
    assert ship.fetched.exists()
    assert (ship.directory / "p2" / "base.tar.zst").exists()


@pytest.mark.parametrize(
    ("program", "call"), [("tar", 1), ("tar", 2), ("pg_combinebackup", 1), ("sync", 1)]
)
def test_an_incremental_seed_killed_at_any_step(ship: Ship, program: str, call: int) -> None:
    incremental(ship)
    ship.wrap(program, f"[ $n -eq {call} ] && kill -9 $PPID")
    assert ship.run() == -9
    assert json.loads((ship.data / seed.MARKER).read_text())["name"] == "p1"
    assert ship.run() == 0
    assert json.loads((ship.data / seed.MARKER).read_text())["name"] == "p2"


def test_an_incremental_pack_without_its_base(ship: Ship) -> None:
    ship.job.update(name="p2", pack={**ship.job["pack"], **INCREMENTAL})
    assert ship.run() == seed.EXIT_FAILED
    assert ship.status()["message"] == (
        "The pack p2 builds on p1, which is not aboard: take a full pack."
    )


def stale(ship: Ship, state: str = "in archive recovery") -> Path:
    """A ship seeded long ago, and a newer pack unpacked ashore; returns that."""
    assert ship.run() == 0
    (ship.data / "base/1/dropped").write_bytes(b"stale")
    os.utime(ship.data / "base/1/1259", (1, 1))
    content = ship.root / "content"
    with (content / "base/1/1259").open("r+b") as file:
        file.seek(MIB)
        file.write(os.urandom(8192))
    unpacked = ship.root / "shore" / "unpacked" / "p2"
    unpacked.parent.mkdir()
    subprocess.run(["cp", "-a", content, unpacked], check=True)
    (unpacked / "backup_manifest").write_bytes((ship.folder / "backup_manifest").read_bytes())
    (unpacked / "PG_VERSION").chmod(0o640)
    script(
        ship.bin / "pg_controldata",
        f"echo 'Database system identifier:  {SYSTEM}'\necho 'Database cluster state: {state}'",
    )
    ship.job.update(
        name="p2", method="rsync", pack={**ship.job["pack"], "name": "p2"}, replace_data=True
    )
    return unpacked


def check_renewed(ship: Ship, unpacked: Path) -> None:
    assert ship.status()["state"] == "done"
    renewed = ship.data / "base/1/1259"
    assert renewed.read_bytes() == (unpacked / "base/1/1259").read_bytes()
    assert not (ship.data / "base/1/dropped").exists()
    assert ((ship.data / "PG_VERSION").stat().st_mode & 0o777) == 0o600
    assert json.loads((ship.data / seed.MARKER).read_text())["name"] == "p2"
    assert not ship.side.exists()


def test_stale_data_are_renewed_by_their_differences(ship: Ship) -> None:
    unpacked = stale(ship)
    ship.wrap("rsync", 'case "$*" in *unpacked*) set -- --stats "$@";; esac')
    assert ship.run() == 0
    check_renewed(ship, unpacked)
    assert not list(ship.data.parent.glob("main.replaced-*"))


def test_data_that_were_written_aboard_are_kept(ship: Ship) -> None:
    unpacked = stale(ship, "in production")
    assert ship.run() == 0
    check_renewed(ship, unpacked)
    (aside,) = ship.data.parent.glob("main.replaced-*")
    assert (aside / "base/1/dropped").read_bytes() == b"stale"


@pytest.mark.parametrize("call", [1, 2])
def test_a_renewal_cut_or_killed(ship: Ship, call: int) -> None:
    unpacked = stale(ship)
    ship.wrap("rsync", f"[ $n -eq {call} ] && kill -9 $PPID\n[ $n -eq {call + 2} ] && exit 12")
    assert ship.run() == -9
    assert (ship.data / "base/1/dropped").exists()
    assert ship.run() == 0
    check_renewed(ship, unpacked)


def test_a_file_of_the_same_size_and_time_is_renewed_in_the_end(ship: Ship) -> None:
    unpacked = stale(ship)
    os.utime(unpacked / "base/1/1259", (1, 1))
    ship.wrap("rsync", "")
    differs = f"cmp -s {unpacked}/base/1/1259 {ship.side}/data/base/1/1259"
    script(ship.bin / "pg_verifybackup", f"{differs} || {{ echo checksum mismatch; exit 1; }}")
    assert ship.run() == 0
    check_renewed(ship, unpacked)
    # The copy of the data, what differs, and what differs by checksum.
    assert (ship.root / "rsync.count").read_text() == "3\n"


def test_nothing_to_renew(ship: Ship) -> None:
    ship.job["method"] = "rsync"
    assert ship.run() == seed.EXIT_FAILED
    assert "fetch a pack" in ship.status()["message"]


def test_a_pack_carried_aboard(ship: Ship) -> None:
    (ship.folder / "pack.json").write_text(json.dumps(ship.job["pack"]))
    ship.job.update(method="aboard", pack={}, source={"path": str(ship.folder)})
    assert ship.run() == 0
    ship.check_in_place()
    assert ship.pack.exists()
    assert not ship.fetched.exists()


@pytest.mark.parametrize(
    ("program", "call"),
    [
        ("rsync", 1),
        ("rsync", 2),
        ("zstd", 1),
        ("tar", 1),
        ("sync", 1),
        ("sync", 2),
        ("sync", 3),
        ("pg_verifybackup", 1),
        ("pg_controldata", 1),
        ("pg_controldata", 2),
    ],
)
def test_killed_at_any_step(ship: Ship, program: str, call: int) -> None:
    ship.wrap(program, f"[ $n -eq {call} ] && kill -9 $PPID")
    assert ship.run() == -9
    assert not ship.data.exists()
    assert ship.run() == 0
    ship.check_in_place()


def test_killed_between_the_two_renames(ship: Ship) -> None:
    ship.data.mkdir()
    (ship.data / "PG_VERSION").write_text("15\n")
    ship.job["replace_data"] = True
    ship.wrap("sync", "[ $n -eq 3 ] && kill -9 $PPID")
    assert ship.run() == -9
    ship.data.rename(ship.data.with_name("main.replaced-by-hand"))
    assert ship.run() == 0
    ship.check_in_place()


@pytest.mark.parametrize("code", [10, 12, 30, 35, 255])
def test_a_cut_costs_no_byte(ship: Ship, code: int) -> None:
    part = f"head --bytes=2000000 {ship.pack} > {ship.fetched}"
    ship.wrap("rsync", f"[ $n -eq 2 ] && {{ {part}; exit {code}; }}\n[ $n -eq 3 ] && exit {code}")
    assert ship.run() == 0
    ship.check_in_place()
    assert (ship.root / "rsync.count").read_text() == "4\n"


def test_a_bad_end_of_the_part_that_was_there(ship: Ship) -> None:
    """After a power cut a file may be longer than what of it is on the disk."""
    ship.fetched.parent.mkdir()
    ship.fetched.write_bytes(ship.pack.read_bytes()[:2000000] + bytes(4096))
    assert ship.run() == 0
    ship.check_in_place()


def test_a_part_that_is_longer_than_the_pack(ship: Ship) -> None:
    ship.fetched.parent.mkdir()
    ship.fetched.write_bytes(bytes(4 * MIB))
    assert ship.run() == 0
    ship.check_in_place()


def test_a_pack_cut_short_ashore(ship: Ship) -> None:
    whole = ship.pack.read_bytes()
    ship.pack.write_bytes(whole[:1000000])
    assert ship.run() == seed.EXIT_FAILED
    assert ship.status()["message"] == (
        f"The pack p1 ashore has 1000000 bytes and should have {len(whole)}: it was cut short."
        " Have a new pack made."
    )
    ship.pack.write_bytes(whole)
    assert ship.run() == 0
    ship.check_in_place()


def test_a_pack_that_changed_ashore(ship: Ship) -> None:
    whole = ship.pack.read_bytes()
    ship.pack.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert ship.run() == seed.EXIT_FAILED
    assert "has not the checksum that was told for it" in ship.status()["message"]
    assert ship.status()["step"] == "verify"
    assert not ship.fetched.exists()
    ship.pack.write_bytes(whole)
    assert ship.run() == 0
    ship.check_in_place()


def test_a_pack_that_is_gone(ship: Ship) -> None:
    ship.pack.unlink()
    assert ship.run() == seed.EXIT_FAILED
    assert "has the pack been replaced ashore by a newer one?" in ship.status()["message"]


def test_a_seed_that_is_not_what_was_backed_up(ship: Ship) -> None:
    ship.wrap("pg_verifybackup", '[ $n -eq 1 ] && { echo "error: bad file" >&2; exit 1; }')
    assert ship.run() == seed.EXIT_FAILED
    assert "fails pg_verifybackup (error: bad file)" in ship.status()["message"]
    assert not ship.data.exists()
    assert ship.run() == 0
    ship.check_in_place()


def test_a_full_disk(ship: Ship) -> None:
    ship.wrap("tar", 'echo "tar: x: Cannot write: No space left on device" >&2; exit 2')
    assert ship.run() == seed.EXIT_FAILED
    assert ship.status()["message"] == (
        f"The pack p1 cannot be unpacked into {ship.side}. The disk aboard is full: free space on"
        " it. (tar: x: Cannot write: No space left on device)"
    )
    assert not (ship.side / "data").exists()


def test_too_little_room_is_told_first(ship: Ship) -> None:
    ship.job["pack"]["data_bytes"] = 1 << 60
    assert ship.run() == seed.EXIT_FAILED
    assert ship.status()["message"].startswith("The rest of the seed needs 1152921504")
    assert not ship.fetched.exists()


def test_data_that_no_seed_made_is_left_alone(ship: Ship) -> None:
    ship.data.mkdir()
    (ship.data / "PG_VERSION").write_text("15\n")
    assert ship.run() == seed.EXIT_FAILED
    assert ship.status()["message"] == (
        f"{ship.data} is not empty and was not made by a seed. It is left as it is; with"
        " standby_replace_data: true it is moved aside (never deleted) when the new seed is"
        " complete."
    )
    assert not ship.fetched.exists()

    ship.job["replace_data"] = True
    assert ship.run() == 0
    ship.check_in_place()
    (aside,) = ship.data.parent.glob("main.replaced-*")
    assert (aside / "PG_VERSION").read_text() == "15\n"


def test_an_earlier_seed_is_not_replaced_unasked(ship: Ship) -> None:
    ship.data.mkdir()
    (ship.data / seed.MARKER).write_text('{"name": "p0"}')
    assert ship.run() == seed.EXIT_FAILED
    assert f"{ship.data} is an earlier seed." in ship.status()["message"]


def test_a_running_server_is_stopped_before_its_data_is_moved(ship: Ship) -> None:
    ship.data.mkdir()
    (ship.data / "PG_VERSION").write_text("15\n")
    ship.job["replace_data"] = True
    script(ship.bin / "pg_ctl", f'echo "$1" >> {ship.root}/pg_ctl.calls; exit 0')
    assert ship.run() == 0
    assert (ship.root / "pg_ctl.calls").read_text() == "status\nstop\n"


def test_a_side_folder_of_somebody_else(ship: Ship) -> None:
    ship.side.mkdir()
    (ship.side / "precious").touch()
    assert ship.run() == seed.EXIT_FAILED
    assert "is not a side folder of a seed" in ship.status()["message"]
    assert (ship.side / "precious").exists()


def test_an_empty_data_directory_is_no_data(ship: Ship) -> None:
    ship.data.mkdir()
    assert ship.run() == 0
    ship.check_in_place()


def test_a_link_to_another_disk_is_followed(ship: Ship) -> None:
    disk = ship.root / "disk"
    disk.mkdir()
    ship.data.symlink_to(disk / "main")
    assert ship.run() == 0
    assert ship.data.is_symlink()
    assert (disk / "main" / seed.MARKER).exists()


@pytest.mark.parametrize(
    ("fits", "sentence"),
    [
        ({"system_identifier": "42"}, "the system identifier is 7711044299274854203 in it, and 42"),
        ({"timeline": 2}, "the timeline is 1 in it, and 2 ashore"),
        ({"oldest_lsn": "0/6000000"}, "begins at 0/5000028, and the shore keeps the WAL from 0/6"),
    ],
)
def test_a_pack_that_does_not_fit(ship: Ship, fits: dict[str, Any], sentence: str) -> None:
    ship.job["fits"] = fits
    assert ship.run() == seed.EXIT_FAILED
    assert sentence in ship.status()["message"]
    assert not ship.fetched.exists()


def test_another_version(ship: Ship) -> None:
    ship.job["version"] = 17
    assert ship.run() == seed.EXIT_FAILED
    assert "PostgreSQL's major version is 15 in it, and 17 ashore" in ship.status()["message"]


@pytest.mark.parametrize("name", ["../p1", "", ".hidden", "a b"])
def test_a_name_that_is_no_folder(ship: Ship, name: str) -> None:
    ship.job["name"] = ship.job["pack"]["name"] = name
    assert ship.run() == seed.EXIT_FAILED
    assert ship.status()["message"] == f"{name!r} is no name of a pack."


def test_a_second_instance_leaves_the_work_to_the_first(ship: Ship) -> None:
    ship.wrap("rsync", "[ $n -eq 1 ] && sleep 3")
    with subprocess.Popen(ship.command(), env=ship.environment()) as first:
        wait_for(lambda: ship.status()["step"] == "fetch")
        assert ship.run() == 0
        assert first.poll() is None
        assert first.wait() == 0
    ship.check_in_place()


def test_a_changed_job_ends_the_former(ship: Ship) -> None:
    ship.wrap("rsync", "[ $n -eq 1 ] && exec sleep 60")
    with subprocess.Popen(ship.command(), env=ship.environment()) as first:
        wait_for(lambda: ship.status()["step"] == "fetch")
        ship.job["keep_pack"] = True
        assert ship.run() == 0
        assert first.wait() == 0
    ship.check_in_place()


def test_detached_and_announced(ship: Ship) -> None:
    (ship.directory / "status.json").write_text('{"step": "check", "state": "failed"}')
    ship.command()
    assert ship.run("--announce") == 0
    assert ship.status()["state"] == "running"
    assert not ship.data.exists()
    assert ship.run("--detach") == 0
    wait_for(lambda: ship.status()["state"] == "done")
    ship.check_in_place()


def wait_for(condition: Any) -> None:
    until = time.monotonic() + 30
    while time.monotonic() < until:
        try:
            if condition():
                return
        except (FileNotFoundError, ValueError):
            pass
        time.sleep(0.05)
    raise AssertionError("It did not happen.")


@pytest.mark.parametrize(
    ("code", "told", "sentence"),
    [
        (12, "rsync: connection unexpectedly closed", None),
        (30, "rsync error: timeout in data send/receive", None),
        (255, "ssh: connect to host busan port 22: Connection refused", None),
        (-9, "", None),
        (137, "", None),
        (23, "ERROR: base.tar.zst failed verification -- update discarded.", None),
        (
            255,
            "pg_replication@busan: Permission denied (publickey).\nrsync error: unexplained",
            "The shore refuses the ship's SSH key: is it in its authorized_keys? (pg_replication@",
        ),
        (
            11,
            "rsync: write failed: No space left on device (28)",
            "The disk aboard is full: free space on it. (rsync: write failed: No space left on",
        ),
        (1, "rsync: --foo: unknown option\nrsync error: syntax", "rsync ended with code 1: "),
        (4, "", "rsync ended with code 4: it says nothing."),
    ],
)
def test_what_trying_again_cures(code: int, told: str, sentence: str | None) -> None:
    found = shore_link.hopeless(code, told)
    if sentence is None:
        assert found is None
    else:
        assert found.startswith(sentence)


def test_ssh_notices_a_dark_link_and_knows_the_shore() -> None:
    shore = shore_link.Shore.read(
        {"transport": "ssh", "host": "fd00::1", "port": 2222, "user": "u", "path": "",
         "identity": "/etc/x/id", "known_hosts": "/etc/x/kh"},
        {"rsync_timeout_s": 90, "connect_timeout_s": 20, "keepalives_interval_s": 15,
         "throttle_kib_s": 100},
    )  # fmt: skip
    command = shore.pull("packs/p1/base.tar.zst", "/t", "--partial")
    assert command[:5] == ["rsync", "--no-motd", "--timeout=90", "--partial", "--bwlimit=100"]
    assert command[-3:] == ["--", "u@[fd00::1]:packs/p1/base.tar.zst", "/t"]
    rsh = next(part for part in command if part.startswith("--rsh="))
    for option in (
        "-p 2222",
        "StrictHostKeyChecking=yes",
        "UserKnownHostsFile=/etc/x/kh",
        "BatchMode=yes",
        "ConnectTimeout=20",
        "ServerAliveInterval=15",
        "ServerAliveCountMax=6",
    ):
        assert option in rsh


@pytest.mark.parametrize(("text", "number"), [("0/5000028", 0x5000028), ("2/0", 2 << 32)])
def test_lsn(text: str, number: int) -> None:
    assert packs.lsn(text) == number


class TestStatus:
    def test_rate_and_time_left(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        clock = [100.0]
        monkeypatch.setattr(seed.time, "monotonic", lambda: clock[0])
        status = seed.Status(tmp_path / "status.json")
        status.tell("fetch", done=1000, total=5000)
        clock[0] += 10
        status.tell("fetch", done=2000, total=5000)
        told = json.loads((tmp_path / "status.json").read_text())
        assert (told["rate"], told["seconds_left"]) == (100, 30)
        status.tell("verify", done=0, total=5000)  # another step has another rate
        told = json.loads((tmp_path / "status.json").read_text())
        assert (told["rate"], told["seconds_left"]) == (0, None)

    def test_at_most_once_a_second(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        clock = [100.0]
        monkeypatch.setattr(seed.time, "monotonic", lambda: clock[0])
        status = seed.Status(tmp_path / "status.json")
        for done in range(10):
            clock[0] += 0.05
            status.tell("fetch", done=done, total=10)
        assert json.loads((tmp_path / "status.json").read_text())["done_bytes"] == 0

    def test_a_full_disk_can_be_told(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        status = seed.Status(tmp_path / "status.json")
        status.tell("unpack", done=7, total=10, message="A message that is longer than the next.")

        def full(*_arguments: object, **_more: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(Path, "write_text", full)
        status.end("failed", "The disk is full.")
        told = json.loads((tmp_path / "status.json").read_bytes())
        assert (told["state"], told["message"]) == ("failed", "The disk is full.")
        assert (told["step"], told["done_bytes"]) == ("unpack", 7)
