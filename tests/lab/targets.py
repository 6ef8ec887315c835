# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run the playbook targets against servers of the lab; each host has a pair of its own.

    python -m tests.lab.targets --playbook-program PATH [--chroot NAME=ROOT] TARGET ...

Every program named runs every target, on this machine or, if any is given, in each root.
What a target may use is in variables(); PG_TARGETS chooses the major version, 17 by default.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from tests.lab import user
from tests.lab.lab import Lab
from tests.lab.paths import CHECKOUT
from tests.lab.server import Server

PLAYBOOK = CHECKOUT / "tests" / "integration" / "targets.yml"
DATABASE = "fleet"
CA_IN_ROOT = Path("etc/hmm-pg-lab-ca.crt")


def variables(lab: Lab, major: int) -> dict[str, object]:
    """Two new servers, each with an empty database, and how to log in to them."""
    found: dict[str, object] = {"pg_major": major, "ca_cert": str(lab.authority.cert)}
    for prefix in ("", "subscriber_"):
        server = lab.server(major)
        server.sql(f"CREATE DATABASE {DATABASE}")
        found |= {f"{prefix}{name}": value for name, value in login(server).items()}
    return found


def login(server: Server) -> dict[str, object]:
    return {
        "login_host": server.host,
        "login_port": server.port,
        "login_user": server.superuser,
        "login_password": server.password,
        "login_db": DATABASE,
        "login_unix_socket": server.socket_dir,
    }


def hosts(lab: Lab, major: int, roots: list[str]) -> dict[str, dict[str, object]]:
    """The inventory's hosts: this machine, or the roots."""
    if not roots:
        here = {
            "ansible_connection": "local",
            "ansible_python_interpreter": "{{ ansible_playbook_python }}",
        }
        return {"here": {**variables(lab, major), **here}}
    found = {}
    for name, _equals, root in (text.partition("=") for text in roots):
        shutil.copy(lab.authority.cert, Path(root) / CA_IN_ROOT)
        found[name] = {
            **variables(lab, major),
            "ca_cert": f"/{CA_IN_ROOT}",
            "ansible_connection": "community.general.chroot",
            "ansible_host": root,
            "ansible_python_interpreter": "/usr/bin/python3",
        }
    return found


def play(program: str, lab: Lab, major: int, roots: list[str], targets: list[str]) -> int:
    inventory = lab.folder / "inventory.json"
    inventory.touch(mode=0o600)
    inventory.write_text(json.dumps({"all": {"hosts": hosts(lab, major, roots)}}))
    command = [program, "-i", str(inventory), "-e", json.dumps({"targets": targets}), str(PLAYBOOK)]
    print(f"--- {program}", flush=True)
    return subprocess.run(
        user.with_death_signal(command, signal.SIGTERM),
        env={
            **os.environ,
            "ANSIBLE_DISPLAY_OK_HOSTS": "false",
            "ANSIBLE_DISPLAY_SKIPPED_HOSTS": "false",
            "ANSIBLE_CALLBACK_RESULT_FORMAT": "yaml",
        },
        cwd=CHECKOUT,
        stdin=subprocess.DEVNULL,
        check=False,
    ).returncode


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.lab.targets", description=__doc__)
    parser.add_argument("--playbook-program", action="append", required=True)
    parser.add_argument("--chroot", action="append", default=[], metavar="NAME=ROOT")
    parser.add_argument("targets", nargs="+")
    chosen = parser.parse_args()
    major = int(os.environ.get("PG_TARGETS", "17"))
    for program in chosen.playbook_program:
        with Lab() as lab:
            code = play(program, lab, major, chosen.chroot, chosen.targets)
        if code != 0:
            return code
    return 0


if __name__ == "__main__":
    sys.exit(main())
