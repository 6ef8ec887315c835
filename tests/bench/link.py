# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""python -m tests.bench.link: seed a ship over a link that cuts, beside plain pg_basebackup.

The lab's scenario `link`, but with a gigabyte and ten cuts, every fourth of them longer than the
minute after which a server takes a silent ship for gone. Each way gets the same link and the same
cuts, at the same shares of what it has to bring aboard. Half an hour; prints a table.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench.scenario import Scenario
from tests.containers import images
from tests.containers.engine import engine
from tests.containers.faults import LAB, Fault, happen, relay, watch

SCENARIO = Scenario("link")
SHIP, SHORE = "algeciras", "198.18.5.10"
LATENCY = 0.04  # seconds there and back, and as long a queue
SHORT, LONG = 12, 70  # seconds of a cut; every fourth is long and outlasts wal_sender_timeout
LIMIT = 1800  # seconds for one way
RETRY = 5
MEGABYTE = 1_000_000
CONNECTION = (
    f"host={SHORE} user=ship_{SHIP} passfile=/etc/pg_replication/main/pgpass sslmode=verify-full "
    "sslrootcert=/etc/pg_replication/main/tls/ca.crt options='-c wal_sender_timeout=60s'"
)
TARGET = "/var/lib/postgresql/plain"
WAYS = {
    "pg_basebackup, plain, retried": (),
    "pg_basebackup --compress=server-zstd:3, retried": ("-Ft", "--compress=server-zstd:3"),
}


@dataclass(frozen=True)
class Row:
    """How one way of seeding went."""

    way: str
    needed: int
    passed: int
    seconds: float
    attempts: int
    done: bool = True

    def __str__(self) -> str:
        cells = (
            self.way,
            f"{self.needed / MEGABYTE:.0f}",
            f"{self.passed / MEGABYTE:.0f}",
            f"{self.passed / self.needed:.2f}",
            f"{self.seconds:.0f}",
            str(self.attempts),
            "yes" if self.done else f"no, given up after {LIMIT} s",
        )
        return f"| {' | '.join(cells)} |"


HEADER = """\
| way | size, MB | over the link, MB | ratio | seconds | attempts | done |
| --- | ---: | ---: | ---: | ---: | ---: | --- |"""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.link", description=__doc__)
    parser.add_argument("--megabytes", type=int, default=1000, help="of data that hardly compress")
    parser.add_argument("--mbit", type=int, default=80, help="a second over the link")
    parser.add_argument("--cuts", type=int, default=10)
    chosen = parser.parse_args()
    rate = chosen.mbit * MEGABYTE
    cuts = weather(chosen.cuts)
    link = {"bandwidth": f"{chosen.mbit}Mbit", "latency": f"{LATENCY * 1000:.0f}ms"}
    with engine(), lab(chosen.megabytes):
        relay(
            "set",
            f"rate={rate}",
            f"delay={LATENCY / 2}",
            f"queue={max(131072, rate * LATENCY / 8)}",
        )
        rows = [ours(link, cuts)]
        print(rows[0], flush=True)
        _aboard("pg_ctlcluster", images.SUITES["bookworm"], "main", "stop", user="root")
        for way, options in WAYS.items():
            rows.append(theirs(way, options, rows[0], cuts))
            print(rows[-1], flush=True)
    print(f"\n{len(cuts)} cuts, {link['bandwidth']}, {link['latency']} there and back\n\n{HEADER}")
    for row in rows:
        print(row)


def weather(count: int) -> list[Fault]:
    """Cuts, evenly over a seed."""
    return [
        Fault(0.05 + number / (count + 1), "cut", LONG if number % 4 == 3 else SHORT)
        for number in range(count)
    ]


@contextlib.contextmanager
def lab(megabytes: int) -> Iterator[None]:
    """Shore and ship, with that much data ashore."""
    images.build(["bookworm"])
    try:
        SCENARIO.molecule("create", LAB_MEGABYTES=str(megabytes))
        SCENARIO.molecule("prepare", LAB_MEGABYTES=str(megabytes))
        yield
    finally:
        SCENARIO.molecule("destroy")


def ours(link: Mapping[str, str], cuts: Sequence[Fault]) -> Row:
    """The playbook, while the weather is bad."""
    with tempfile.TemporaryDirectory() as folder:
        stop = Path(folder) / "stop"
        reports: list[Any] = []
        sky = threading.Thread(target=lambda: reports.append(watch(SHIP, cuts, stop)))
        sky.start()
        attempts = 1
        try:
            while not _onboard(link) and attempts < len(cuts):
                attempts += 1
        finally:
            stop.touch()
            sky.join()
    (report,) = reports
    if report is None or len(report.faults) != len(cuts):
        raise RuntimeError(f"not all cuts happened during the seed: {report}")
    passed = report.link["to_ship"]["passed"]["shore:ssh"]["payload"]
    return Row("ship_onboard.yml", report.pack_bytes, passed, report.seconds, attempts)


def theirs(way: str, options: Sequence[str], known: Row, cuts: Sequence[Fault]) -> Row:
    """pg_basebackup, begun anew whenever it fails."""
    relay("reset")
    needed = known.needed if options else _size_of_cluster()
    coming = list(cuts)
    began = time.monotonic()
    attempts = 0
    backup: subprocess.Popen[str] | None = None
    while time.monotonic() - began < LIMIT:
        if backup is None:
            attempts += 1
            backup = _base_backup(options)
        passed = _passed()
        if coming and passed >= coming[0].share * needed:
            happen(SHIP, coming.pop(0))
        code = backup.poll()
        if code == 0:
            return Row(way, needed, _passed(), time.monotonic() - began, attempts)
        if code is not None:
            backup = None
            time.sleep(RETRY)
        time.sleep(0.25)
    return Row(way, needed, _passed(), time.monotonic() - began, attempts, done=False)


def _base_backup(options: Sequence[str]) -> subprocess.Popen[str]:
    _aboard("rm", "-rf", TARGET)
    words = ["pg_basebackup", "-d", CONNECTION, "-D", TARGET, "-X", "stream", "-c", "fast"]
    command = ["docker", "exec", "-u", "postgres", f"{LAB}-{SHIP}", *words, *options]
    return subprocess.Popen(command, text=True)


def _passed() -> int:
    counts = relay("status")["to_ship"]["passed"].get("shore:postgresql", {})
    return int(counts.get("payload", 0))


def _size_of_cluster() -> int:
    """What a base backup has to bring: the files of the ship's own copy, but for its WAL."""
    told = _aboard("sh", "-c", "du -sb --exclude=pg_wal /var/lib/postgresql/*/main")
    return int(told.split()[0])


def _aboard(*words: str, user: str = "postgres") -> str:
    command = ["docker", "exec", "-u", user, f"{LAB}-{SHIP}", *words]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def _onboard(link: Mapping[str, str]) -> bool:
    return SCENARIO.playbook("ship_onboard.yml", "--extra-vars", json.dumps({"ship_link": link}))


if __name__ == "__main__":
    main()
