# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Look at the fleet from its shore, and write down what is seen. Needs no Ansible.

fleet_status --config FILE [--show]

Writes what the configuration names: metrics for Prometheus' node exporter, the report as JSON, a
line of history, and for PostgreSQL before 17 the note of slots that playbooks/slot_cleanup.yml
goes by. Ends with 0 whatever is wrong with the fleet, since that is in the metrics; with 1 where it
cannot look or write. With --show it says what is wrong, worst first, and ends with 0, 1 or 2: ok,
warning, critical.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

# The collection's own files, beside this program, come first, also where Ansible is installed.
sys.path.insert(0, str(Path(__file__).resolve().parent / "python"))

from ansible_collections.hmm.pg_replication.plugins.module_utils._connection import (
    Session,
)
from ansible_collections.hmm.pg_replication.plugins.module_utils._conninfo import (
    Conninfo,
)
from ansible_collections.hmm.pg_replication.plugins.module_utils._driver import (
    require_psycopg2,
)
from ansible_collections.hmm.pg_replication.plugins.module_utils._errors import (
    ReplicationError,
)
from ansible_collections.hmm.pg_replication.plugins.module_utils._fleet_metrics import (
    down_text,
    metrics_text,
)
from ansible_collections.hmm.pg_replication.plugins.module_utils._fleet_status import (
    STATUS_DEFAULTS,
    Seen,
    StatusRequest,
    read_status,
    status_report,
    status_request,
)
from ansible_collections.hmm.pg_replication.plugins.module_utils._slots_seen import (
    Look,
    position_of,
    read_seen,
    renewed,
    write_seen,
)
from ansible_collections.hmm.pg_replication.plugins.module_utils._status_history import (
    append_sample,
    read_contacts,
)
from ansible_collections.hmm.pg_replication.plugins.module_utils._whole_file import (
    write_whole,
)

# From here on the server tells itself since when a slot has been unused.
_DATES_SLOTS = 17
_EXIT = {"ok": 0, "warning": 1, "critical": 2}
_FAILED, _WRONG = 1, 3
_FOR_ALL = 0o644


class Configuration:
    """What the role wrote."""

    def __init__(self, path: str) -> None:
        try:
            self._given: dict[str, Any] = json.loads(Path(path).read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise ReplicationError(
                f"{path} cannot be read: {error}. Run playbooks/monitoring.yml again."
            ) from None
        self.name: str = self._given["name"]

    def file(self, what: str) -> Path | None:
        """A file to write, if it is wanted."""
        return Path(self._given[what]) if self._given.get(what) else None

    @property
    def of_several_nodes(self) -> bool:
        """Whether this node has a program that keeps the ships' slots."""
        slots = self.file("slots_file")
        return slots is not None and slots.exists()

    def request(self) -> StatusRequest:
        return status_request(
            {
                **STATUS_DEFAULTS,
                **self._given.get("limits", {}),
                "sample_seconds": float(self._given["sample_seconds"]),
                "archive_directory": self._given.get("archive_directory"),
                "slots_file": self._given.get("slots_file"),
                "ships": self._given["ships"],
            }
        )

    def conninfo(self) -> Conninfo:
        return Conninfo(
            {
                "host": self._given["socket_directory"],
                "port": str(self._given["port"]),
                "user": "postgres",
                "dbname": "postgres",
                "client_encoding": "UTF8",
                "application_name": "hmm.pg_replication monitoring",
                "connect_timeout": "20",
                "options": "-c statement_timeout=30s",
            }
        )


def look(configuration: Configuration) -> tuple[Seen, dict[str, Any]]:
    """What is seen, and the report on it."""
    require_psycopg2()
    request = configuration.request()
    history = configuration.file("history_file")
    session = Session(configuration.conninfo())
    try:
        seen = read_status(session, request, read_contacts(history) if history else {})
    finally:
        session.close()
    return seen, status_report(configuration.name, seen, request)


def write_down(configuration: Configuration, seen: Seen, report: dict[str, Any]) -> Iterator[str]:
    """Write each file; where one cannot be, the others are, and a sentence says so."""

    def as_json(path: Path) -> None:
        write_whole(path, (json.dumps(report, indent=1) + "\n").encode("utf-8"))

    def metrics(path: Path) -> None:
        write_whole(path, metrics_text(report).encode("utf-8"), _FOR_ALL)

    def slots(path: Path) -> None:
        note_slots(path, seen)

    writers: dict[str, Callable[[Path], None]] = {
        "metrics_file": metrics,
        "history_file": lambda path: append_sample(path, report),
        "report_file": as_json,
        "slots_seen_file": slots,
    }
    for what, write in writers.items():
        path = configuration.file(what)
        if path is None:
            continue
        try:
            write(path)
        except OSError as error:
            yield f"{path} cannot be written: {error.strerror}."
        except ReplicationError as error:
            yield error.message


def stand_by(configuration: Configuration) -> None:
    """Leave the fleet to the primary of this shore, and nothing that was true before."""
    path = configuration.file("metrics_file")
    if path is not None:
        write_whole(path, b"# A standby: the shore's primary tells of the fleet.\n", _FOR_ALL)


def note_slots(path: Path, seen: Seen) -> None:
    """Note which slots are not connected, for servers that do not tell since when."""
    if int(seen.lag.server.version.split(".")[0]) >= _DATES_SLOTS:
        return
    looks = [
        Look(slot.name, position_of(slot.restart_lsn, slot.confirmed_flush_lsn), slot.active)
        for slot in seen.lag.slots
    ]
    before = read_seen(str(path))
    after = renewed(before, looks, seen.now or time.time())
    if after != before:
        write_seen(str(path), after)


def shown(report: dict[str, Any]) -> Iterator[str]:
    """What is wrong, worst first."""
    problems = [(problem, report["shore"]["name"]) for problem in report["shore"]["problems"]]
    problems += [(found, ship["name"]) for ship in report["ships"] for found in ship["problems"]]
    for problem, name in sorted(problems, key=lambda found: -_EXIT[found[0]["severity"]]):
        told = (
            f"{problem['severity']}: {name}: {problem['object']}:",
            problem["what"],
            problem["do"],
        )
        yield " ".join(told)
    yield f"{report['shore']['name']}: {report['status']}, {len(report['ships'])} ships."


def told(message: str) -> None:
    """Say it, in the journal for example."""
    sys.stderr.write(f"{message}\n")


def main() -> int:
    parser = argparse.ArgumentParser(description="Look at the fleet from its shore.")
    parser.add_argument("--config", required=True)
    parser.add_argument("--show", action="store_true", help="say what is wrong")
    options = parser.parse_args()
    try:
        configuration = Configuration(options.config)
    except ReplicationError as error:
        told(error.message)
        return _WRONG
    try:
        seen, report = look(configuration)
    except ReplicationError as error:
        told(error.message)
        path = configuration.file("metrics_file")
        if path is not None:
            write_whole(path, down_text(configuration.name, round(time.time())).encode(), _FOR_ALL)
        return _EXIT["critical"] if options.show else _FAILED
    if seen.lag.server.in_recovery and configuration.of_several_nodes:
        stand_by(configuration)
        return 0
    failures = list(write_down(configuration, seen, report))
    for failure in failures:
        told(failure)
    if options.show:
        sys.stdout.write("".join(f"{line}\n" for line in shown(report)))
        return _EXIT[report["status"]]
    return _FAILED if failures else 0


if __name__ == "__main__":
    sys.exit(main())
