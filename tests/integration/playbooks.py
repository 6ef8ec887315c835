# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run playbooks through the real ansible-playbook, on this machine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.lab import Server, user
from tests.lab.paths import TREE

# Examples say become, and delegate to localhost: here both are the user who runs the tests.
HERE = {
    "ansible_connection": "local",
    "ansible_become": False,
    "ansible_python_interpreter": sys.executable,
}


@dataclass(frozen=True)
class Run:
    """An ended run."""

    code: int
    output: str  # standard output and error


def login(server: Server, database: str) -> dict[str, object]:
    """The connection options of the modules."""
    return {
        "login_host": server.host,
        "login_port": server.port,
        "login_user": server.superuser,
        "login_password": server.password,
        "login_db": database,
        "ca_cert": server.ca_cert,
    }


def play(
    folder: Path,
    tasks: str,
    defaults: Mapping[str, object],
    variables: Mapping[str, Any],
    *options: str,
) -> Run:
    """Play tasks, a text, with these defaults of the collection's modules.

    Values come from files of variables, as an operator's would: what is in the playbook itself,
    Ansible may show.
    """
    (folder / "tasks.yml").write_text(tasks)
    (folder / "variables.json").write_text(json.dumps({**variables, **HERE, "defaults": defaults}))
    playbook = [
        {
            "hosts": "all",
            "gather_facts": False,
            "module_defaults": {
                "group/hmm.pg_replication.all": {
                    name: f"{{{{ defaults.{name} }}}}" for name in defaults
                }
            },
            "tasks": [{"ansible.builtin.import_tasks": "tasks.yml"}],
        }
    ]
    (folder / "playbook.yml").write_text(json.dumps(playbook))
    program = Path(sys.executable).with_name("ansible-playbook")
    ended = subprocess.run(
        user.with_death_signal(
            [
                str(program),
                *("-i", "ship,", "-e", f"@{folder / 'variables.json'}", *options),
                str(folder / "playbook.yml"),
            ],
            signal.SIGTERM,
        ),
        env={"ANSIBLE_COLLECTIONS_PATH": str(TREE), "NO_COLOR": "1", **os.environ},
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return Run(ended.returncode, ended.stdout)
