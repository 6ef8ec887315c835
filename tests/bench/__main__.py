# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""python -m tests.bench: measure beside community.postgresql, and write docs/benchmarks.md."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from typing import Any

from tests.bench import cases, machine, report
from tests.bench.cases import Case
from tests.bench.playbook import Ansible, Measurement
from tests.bench.report import Row
from tests.lab import Lab, Server

SETTINGS = {"log_statement": "all", "max_replication_slots": 1100}
MAJOR, OLDER = 17, 15
SLOTS_TO_TELL = 1000


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--repeat", type=int, default=3, help="how often each case is measured")
    parser.add_argument("--quick", action="store_true", help="small cases, once; writes nothing")
    chosen = parser.parse_args()
    repeat = 1 if chosen.quick else chosen.repeat
    begin = time.monotonic()
    with Lab() as lab:
        bench = Bench(Ansible(lab.folder / "ansible"), repeat)
        server, older, subscriber = (
            lab.server(major, **SETTINGS) for major in (MAJOR, OLDER, MAJOR)
        )
        facts = machine.facts([server, older])
        rows = list(bench.rows(server, older, subscriber, chosen.quick))
    facts["load at the end"] = machine.load()
    facts["measured"] = f"{repeat} times each, in {(time.monotonic() - begin) / 60:.0f} minutes"
    text = report.figures(rows, facts)
    print(text)
    if not chosen.quick:
        report.write(text)


class Bench:
    """Measures each case with ours and the peer in turn, so that both share the machine's moods."""

    def __init__(self, ansible: Ansible, repeat: int) -> None:
        self.ansible = ansible
        self.repeat = repeat

    def rows(self, server: Server, older: Server, subscriber: Server, quick: bool) -> Iterator[Row]:
        numbers = (1, 5) if quick else (1, 50, 200)
        tables = (10,) if quick else (10, 100)
        cases.prepare_database(server, cases.DATABASE)
        yield from map(self.row, cases.slots(server, numbers))
        yield from map(self.row, cases.publications(server, tables))
        yield from self.subscriptions(server, subscriber)
        yield self.facts(server)
        cases.prepare_database(older, cases.DATABASE)
        yield from map(self.row, cases.slots(older, (1,)))
        yield from map(self.row, cases.publications(older, tables))

    def subscriptions(self, publisher: Server, subscriber: Server) -> Iterator[Row]:
        cases.prepare_database(subscriber, cases.SUBSCRIBER_DATABASE)
        cases.have_slots(publisher, 0)
        yield from map(self.row, cases.subscriptions(publisher, subscriber))
        cases.drop_subscription(subscriber)

    def row(self, case: Case) -> Row:
        def measured(task: dict[str, Any]) -> Measurement:
            case.prepare()
            measurement = self.ansible.play(task, case.server, login(case.server, case.database))
            if not case.done():
                raise RuntimeError(f"{case.subject}, {case.name}: not done: {measurement}")
            if measurement.changed != case.changed and not measurement.error:
                raise RuntimeError(f"{case.subject}, {case.name}: told wrongly: {measurement}")
            return measurement

        return self.both(
            case.server,
            (case.subject, case.name),
            lambda: measured(case.ours),
            lambda: measured(case.peer),
        )

    def facts(self, server: Server) -> Row:
        """The nearest that the peer has to facts of lag is its information of slots and standbys."""
        cases.have_slots(server, SLOTS_TO_TELL)
        access = login(server, cases.DATABASE)

        def measured(module: str, **options: str) -> Measurement:
            return self.ansible.ad_hoc(module, options, server, access)

        return self.both(
            server,
            (f"{SLOTS_TO_TELL} slots", "facts"),
            lambda: measured("hmm.pg_replication.repl_lag_facts"),
            lambda: measured(
                "community.postgresql.postgresql_info", filter="replications,repl_slots"
            ),
        )

    def both(
        self,
        server: Server,
        about: tuple[str, str],
        ours: Callable[[], Measurement],
        peer: Callable[[], Measurement],
    ) -> Row:
        pairs = [(ours(), peer()) for _time in range(self.repeat)]
        row = Row(server.major, *about, *zip(*pairs))
        for measurement in row.ours:
            if measurement.error:
                raise RuntimeError(f"{about}: {measurement.error}")
        walls = "beside".join(
            f" {min(report.values(side, 'wall')):.2f} s " for side in (row.ours, row.peer)
        )
        print(f"PostgreSQL {server.major}, {about[0]}: {about[1]}:{walls}", flush=True)
        return row


def login(server: Server, database: str) -> dict[str, Any]:
    """By TCP and TLS, as over a link; the same options for both collections."""
    return {
        "login_host": server.host,
        "login_port": server.port,
        "login_user": server.superuser,
        "login_password": server.password,
        "login_db": database,
        "ssl_mode": "verify-full",
        "ca_cert": server.ca_cert,
    }


if __name__ == "__main__":
    main()
