# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module base_backup on every server that the pg_basebackup of this machine can back up."""

from __future__ import annotations

import fcntl
import grp
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import Database
from tests.lab import Lab, Server, user
from tests.lab.binaries import Binaries
from tests.lab.clients import Clients, find_clients, lacking
from tests.lab.modules import Outcome, run_module
from tests.lab.server import DEFAULTS, SUPERUSER
from tests.lab.waiting import wait_until

MODULE = "base_backup"
WRONG_TOOL = "#!/bin/sh\necho 'pg_basebackup (PostgreSQL) 12.1'\n"
# Says that it is new enough, writes a little, and never ends until its reader is gone.
SLOW_TOOL = """#!/bin/sh
case "$1" in --version) echo "pg_basebackup (PostgreSQL) 99.1"; exit;; esac
for word; do case "$word" in --pgdata=*) echo part > "${word#--pgdata=}/base.tar.gz";; esac; done
while sleep 0.1; do echo "1/2 kB (50%), 0/1 tablespace" >&2; done
"""


@pytest.fixture
def clients(server: Server) -> Clients:
    found = find_clients()
    reason = lacking(found, server.major)
    if reason or found is None:
        pytest.skip(reason or "")
    return found


@pytest.fixture
def packs(tmp_path: Path) -> Path:
    return tmp_path / "new" / "packs"


@pytest.fixture
def options(clients: Clients, database: Database, packs: Path) -> dict[str, Any]:
    database.sql(
        "CREATE TABLE documents AS SELECT id, md5(id::text) FROM generate_series(1, 500) id"
    )
    login = {**database.login, "ca_cert": database.server.ca_cert}
    return {
        **login,
        "directory": str(packs),
        "bin_directory": str(clients.bin),
        "compression_level": 1,
    }


def done(check_mode: bool = False, **options: Any) -> Outcome:
    outcome = run_module(MODULE, check_mode=check_mode, **options)
    assert not outcome.failed, outcome.msg
    return outcome


def refused(**options: Any) -> str:
    outcome = run_module(MODULE, **options)
    assert outcome.failed, outcome.result
    assert "Traceback" not in outcome.raw
    assert options["login_password"] not in outcome.raw
    return outcome.msg


def reserve(database: Database, name: str) -> None:
    database.sql(f"SELECT pg_create_physical_replication_slot('{name}', true)")


def names(packs: Path) -> list[str]:
    return sorted(path.name for path in packs.iterdir())


def unpacked(pack: dict[str, Any], target: Path) -> None:
    target.mkdir(mode=0o700)
    way = {"zstd": "--zstd", "gzip": "--gzip"}[pack["compression"]]
    archive = Path(pack["path"], pack["file"])
    subprocess.run(["tar", way, "-xf", str(archive), "-C", str(target)], check=True)


def verify(clients: Clients, pack: dict[str, Any], data: Path) -> None:
    """pg_verifybackup, without the WAL, for which pg_waldump would have to be the server's."""
    command = [str(clients.bin / "pg_verifybackup"), "--no-parse-wal", "--quiet"]
    command += [f"--manifest-path={pack['path']}/backup_manifest", str(data)]
    subprocess.run(command, check=True)


def test_a_pack_is_foreseen_made_and_kept(
    options: dict[str, Any], database: Database, packs: Path, clients: Clients, tmp_path: Path
) -> None:
    check = done(check_mode=True, **options)
    assert check.changed
    assert not packs.exists()

    real = done(**options)
    assert real.changed
    assert check.diff == real.diff
    pack = real.result["pack"]
    for key in ("file", "compression", "system_identifier", "timeline", "version"):
        assert check.result["pack"][key] == pack[key]
    assert names(packs) == [".lock", pack["name"]]

    for check_mode in (True, False):
        again = done(check_mode=check_mode, **options)
        assert not again.changed
        assert again.result["pack"] == pack

    folder = Path(pack["path"])
    assert json.loads((folder / "pack.json").read_text()) == {
        key: value for key, value in pack.items() if key != "path"
    }
    archive = folder / pack["file"]
    assert pack["bytes"] == archive.stat().st_size
    assert pack["sha256"] == hashlib.sha256(archive.read_bytes()).hexdigest()
    assert names(folder) == ["backup_manifest", pack["file"], "pack.json"]
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o640}
    assert {path.stat().st_mode & 0o777 for path in (folder, packs)} == {0o750}
    assert database.server.password not in real.raw
    # The temporary slot that kept the WAL is gone.
    assert database.sql("SELECT count(*) FROM pg_replication_slots WHERE temporary") == [(0,)]

    unpacked(pack, tmp_path / "data")
    verify(clients, pack, tmp_path / "data")


def test_the_files_of_a_pack_beside_it(
    options: dict[str, Any], packs: Path, clients: Clients, tmp_path: Path
) -> None:
    options["unpacked_directory"] = str(tmp_path / "unpacked")
    check = done(check_mode=True, **options)
    real = done(**options)
    assert check.changed
    assert check.diff == real.diff
    data = Path(real.result["unpacked"])
    assert data == tmp_path / "unpacked" / real.result["pack"]["name"]
    verify(clients, real.result["pack"], data)
    assert {path.stat().st_mode & 0o777 for path in data.rglob("*")} == {0o640, 0o750}
    assert not done(**options).changed

    shutil.rmtree(data)
    assert done(check_mode=True, **options).diff == {
        "before": {"unpacked": False},
        "after": {"unpacked": True},
    }
    damaged = packs / real.result["pack"]["name"] / real.result["pack"]["file"]
    whole = damaged.read_bytes()
    damaged.write_bytes(bytes(len(whole)))
    assert "cannot be unpacked" in refused(**options)
    assert names(tmp_path / "unpacked") == []


def test_a_server_starts_from_a_pack(
    options: dict[str, Any], database: Database, server: Server, lab: Lab
) -> None:
    pack = done(**options)
    ship = Server(
        binaries=server.binaries,
        home=lab.folder / f"{server.home.name}-from-pack",
        password=server.password,
        authority=server.authority,
        settings=dict(server.settings),
    )
    ship.home.mkdir()
    try:
        unpacked(pack.result["pack"], ship.data)
        ship.prepare_home()
        ship.start()
        assert ship.sql("SELECT count(*) FROM documents", database.name) == [(500,)]
    finally:
        ship.discard()


@pytest.fixture
def debian_server(lab: Lab) -> Iterator[Server]:
    """A server of Debian's, which, unlike the lab's, can compress with zstd."""
    clients = find_clients()
    if clients is None or not (clients.bin / "postgres").exists():
        pytest.skip("no server of Debian's is here (Debian: postgresql)")
    home = lab.folder / "debian"
    home.mkdir()
    user.own(home)
    binaries = Binaries(clients.major, clients.bin.parent)
    command = [str(binaries.bin / "initdb"), "-D", str(home / "data"), "-U", SUPERUSER, "--no-sync"]
    subprocess.run(
        user.as_user([*command, "--locale=C", "--auth=trust"]),
        env=binaries.environment,
        cwd=home,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    server = Server(binaries, home, "debian-word", lab.authority, dict(DEFAULTS))
    try:
        server.prepare_home()
        # Its TCP asks for a password that is still to be set.
        hba = server.data / "pg_hba.conf"
        hba.write_text(hba.read_text().replace("scram-sha-256", "trust"))
        server.start()
        yield server
    finally:
        server.discard()


def test_zstd(debian_server: Server, packs: Path, tmp_path: Path) -> None:
    server = debian_server
    clients = find_clients()
    assert clients is not None
    login = {"login_host": server.host, "login_port": server.port, "ca_cert": server.ca_cert}
    made = done(**login, directory=str(packs))
    pack = made.result["pack"]
    assert (pack["file"], pack["compression"]) == ("base.tar.zst", "zstd")
    unpacked(pack, tmp_path / "data")
    verify(clients, pack, tmp_path / "data")


def test_slots_decide_which_pack_fits(options: dict[str, Any], database: Database) -> None:
    reserve(database, "ship_a")
    first = done(**options, fits_slots=["ship_a"]).result["pack"]
    database.sql("SELECT pg_switch_wal()")
    database.sql("CHECKPOINT")
    reserve(database, "ship_b")

    assert not done(**options, fits_slots=["ship_a"]).changed
    second = done(**options, fits_slots=["ship_a", "ship_b"])

    assert second.changed
    assert (
        f"Pack {first['name']} begins at {first['start_lsn']}, and slot ship_b keeps WAL"
        in (second.result["reason"])
    )
    ((fits,),) = database.sql(
        f"SELECT bool_and('{second.result['pack']['start_lsn']}'::pg_lsn >= restart_lsn)"
        " FROM pg_replication_slots WHERE slot_name IN ('ship_a', 'ship_b')"
    )
    assert fits
    assert not done(**options, fits_slots=["ship_a", "ship_b"]).changed


def test_slots_that_keep_nothing(options: dict[str, Any], database: Database) -> None:
    database.sql("SELECT pg_create_physical_replication_slot('ship_a')")
    told = refused(**options, fits_slots=["ship_a", "ship_b"])
    assert "slot ship_a retains no WAL yet" in told
    assert "there is no slot ship_b" in told

    foreseen = done(check_mode=True, **{**options, "fits_slots": ["ship_b"]})
    assert foreseen.changed
    (warning,) = foreseen.result["warnings"]
    assert "there is no slot ship_b that keeps WAL on the server yet" in str(warning)


def test_old_packs_go(options: dict[str, Any], packs: Path) -> None:
    made = [
        done(**options, force_new=True, keep=2, keep_seconds=0).result["pack"]["name"]
        for _number in range(2)
    ]
    foreseen = done(check_mode=True, **options, force_new=True, keep=2, keep_seconds=0)
    third = done(**options, force_new=True, keep=2, keep_seconds=0)
    assert third.result["removed"] == foreseen.result["removed"] == made[:1]
    assert names(packs) == sorted([".lock", made[1], third.result["pack"]["name"]])
    kept = done(**options, force_new=True, keep=1)
    assert kept.result["removed"] == []


def test_what_a_killed_run_left_is_removed(
    options: dict[str, Any], packs: Path, tmp_path: Path
) -> None:
    """The module is killed while pg_basebackup works, and pg_basebackup ends by itself."""
    tool = tmp_path / "bin" / "pg_basebackup"
    tool.parent.mkdir()
    tool.write_text(SLOW_TOOL)
    tool.chmod(0o755)
    slow = {**options, "bin_directory": str(tool.parent)}
    process = subprocess.Popen(
        [sys.executable, "-c", RUN_ONE, json.dumps(slow)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        stdout=subprocess.DEVNULL,
    )
    wait_until(lambda: list(packs.glob(".partial-*/base.tar.gz")), "the backup runs")
    process.send_signal(signal.SIGKILL)
    process.wait()

    made = done(**options)

    assert made.changed
    assert names(packs) == [".lock", made.result["pack"]["name"]]


RUN_ONE = f"""
import json, sys
from tests.lab.modules import run_module
run_module({MODULE!r}, **json.loads(sys.argv[1]))
"""


def test_the_second_of_two_runs_takes_what_the_first_made(
    options: dict[str, Any], packs: Path, tmp_path: Path
) -> None:
    progress = tmp_path / "progress.json"
    packs.mkdir(parents=True)
    outcomes: list[Outcome] = []
    with (packs / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        second = threading.Thread(
            target=lambda: outcomes.append(done(**options, progress_file=str(progress)))
        )
        second.start()
        wait_until(
            lambda: progress.exists() and "Another run" in progress.read_text(), "the second waits"
        )
        assert json.loads(progress.read_text())["state"] == "waiting"
    second.join()
    assert outcomes[0].changed


def test_progress(options: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "progress.json"
    pack = done(**options, progress_file=str(path)).result["pack"]
    told = json.loads(path.read_text())
    assert (told["step"], told["state"]) == ("pack", "done")
    assert told["done_bytes"] == told["total_bytes"] == pack["bytes"]

    told_failure = refused(**{**options, "fits_slots": ["ship_none"]}, progress_file=str(path))
    told = json.loads(path.read_text())
    assert (told["state"], told["message"]) == ("failed", told_failure)


def test_the_group_may_read(options: dict[str, Any]) -> None:
    group = grp.getgrgid(os.getegid())
    folder = Path(done(**options, group=group.gr_name).result["pack"]["path"])
    assert {path.stat().st_gid for path in (folder, *folder.iterdir())} == {group.gr_gid}
    assert refused(**options, group="no such group") == (
        "group: there is no group no such group on this host."
    )


def test_a_damaged_pack_is_not_taken(options: dict[str, Any]) -> None:
    pack = done(**options).result["pack"]
    with Path(pack["path"], pack["file"]).open("ab") as archive:
        archive.write(b"more")
    again = done(**options)
    assert again.changed
    assert f"{pack['path']} is not a whole pack" in str(again.result["warnings"])


def test_a_server_that_admits_no_backup(options: dict[str, Any], database: Database) -> None:
    """Who may log in for statements may still be refused for replication."""
    server = database.server
    hba = server.data / "pg_hba.conf"
    text = hba.read_text()
    try:
        hba.write_text("host replication all 127.0.0.1/32 reject\n" + text)
        server.sql("SELECT pg_reload_conf()")
        wait_until(
            lambda: "reject" in str(server.sql("SELECT auth_method FROM pg_hba_file_rules")),
            "the rule is there",
        )
        told = refused(**options)
    finally:
        hba.write_text(text)
        server.sql("SELECT pg_reload_conf()")
    assert told.startswith("pg_basebackup failed. Cannot connect to database")
    assert "Add a line for this user, database and address to the server's pg_hba.conf" in told
    assert names(Path(options["directory"])) == [".lock"]


def test_what_cannot_be_backed_up(
    options: dict[str, Any], database: Database, tmp_path: Path, server: Server
) -> None:
    wrong = tmp_path / "pg_basebackup"
    wrong.write_text(WRONG_TOOL)
    wrong.chmod(0o755)
    told = refused(**{**options, "bin_directory": str(tmp_path)})
    assert f"{wrong} is of PostgreSQL 12 and the server is {server.major}." in told
    assert "is not there, or may not be run" in refused(**{**options, "bin_directory": "/nowhere"})

    place = server.home / "space"
    place.mkdir(exist_ok=True)
    user.own(place)
    database.sql(f"CREATE TABLESPACE extra LOCATION '{place}'")
    try:
        assert "tablespaces of its own (extra)" in refused(**options)
    finally:
        database.sql("DROP TABLESPACE extra")


@pytest.fixture
def role(database: Database) -> Iterator[str]:
    database.sql("CREATE ROLE pack_plain LOGIN PASSWORD 'plain-word'")
    yield "pack_plain"
    database.sql("DROP ROLE pack_plain")


def test_a_role_that_may_not(options: dict[str, Any], role: str) -> None:
    login = {"login_user": role, "login_password": "plain-word"}
    assert "may not take a base backup" in refused(**{**options, **login})
