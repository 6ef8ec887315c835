# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""python -m tests.lab up 17 [18 ...]: servers to try things on, until Ctrl-C."""

from __future__ import annotations

import argparse
import signal

from tests.lab.binaries import MAJORS, fetch
from tests.lab.lab import Lab
from tests.lab.server import Server


def describe(server: Server) -> str:
    return f"""
PostgreSQL {server.major}
  by socket, without a password: psql -h {server.socket_dir} -p {server.port} -U {server.superuser}
  by TCP: psql "{server.dsn(sslmode="verify-full", sslrootcert=server.ca_cert)}"
  log: {server.log}"""


def up(majors: list[int]) -> None:
    with Lab() as lab:
        for major in majors:
            print(describe(lab.server(major, log_statement="all")), flush=True)
        print("\nCtrl-C ends them.", flush=True)
        try:
            signal.pause()
        except KeyboardInterrupt:
            print()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.lab", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, description in (
        ("up", "start one server of each version named, and stay until Ctrl-C"),
        ("fetch", "fetch the programs of each version named"),
    ):
        command = commands.add_parser(name, help=description, description=description)
        command.add_argument("major", nargs="*", type=int)
    arguments = parser.parse_args()
    majors = arguments.major or list(MAJORS)
    if arguments.command == "up":
        up(majors)
        return
    for major in majors:
        print(f"PostgreSQL {major}: {fetch(major).root.name}", flush=True)


if __name__ == "__main__":
    main()
