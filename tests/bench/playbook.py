# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run Ansible once, and measure it: time of the whole run, of its task, statements sent."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.lab import Server, user
from tests.lab.paths import TREE

GROUPS = ("group/hmm.pg_replication.all", "group/community.postgresql.all")
INVENTORY = ("-i", "here,")
HERE = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}

# One line of the server's log for each message with SQL that a client sends.
_STATEMENT = re.compile(r"LOG: {2}(?:statement|execute [^:]*): (.*)")
_TRANSACTION = re.compile(r"(BEGIN|START TRANSACTION|COMMIT|END|ROLLBACK)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Measurement:
    """What one run took. task is None where it was not measured."""

    wall: float
    task: float | None
    statements: int
    changed: bool
    error: str | None = None


class Ansible:
    """Runs Ansible in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()

    def play(
        self, task: Mapping[str, Any], server: Server, login: Mapping[str, Any]
    ) -> Measurement:
        """Play one task, the connection being a default of the modules."""
        defaults = {name: f"{{{{ login.{name} }}}}" for name in login}
        play = {
            "hosts": "all",
            "gather_facts": False,
            "module_defaults": dict.fromkeys(GROUPS, defaults),
            "tasks": [task],
        }
        playbook = self.folder / "playbook.yml"
        playbook.write_text(json.dumps([play]))
        wall, output, statements = self._run("ansible-playbook", [str(playbook)], server, login)
        (ran,) = json.loads(output[output.index("{\n") :])["plays"][0]["tasks"]
        result = ran["hosts"]["here"]
        return Measurement(
            wall=wall,
            task=_seconds(ran["task"]["duration"]),
            statements=statements,
            changed=result["changed"],
            error=_error(result),
        )

    def ad_hoc(
        self, module: str, options: Mapping[str, str], server: Server, login: Mapping[str, Any]
    ) -> Measurement:
        """Run one module as `ansible` does, without a playbook."""
        words = {**{name: f"{{{{ login.{name} }}}}" for name in login}, **options}
        arguments = " ".join(f"{name}='{value}'" for name, value in words.items())
        wall, output, statements = self._run(
            "ansible", ["all", "-m", module, "-a", arguments], server, login
        )
        error = None if "SUCCESS" in output else output[-500:]
        return Measurement(wall, None, statements, changed=False, error=error)

    def _run(
        self, program: str, arguments: list[str], server: Server, login: Mapping[str, Any]
    ) -> tuple[float, str, int]:
        variables = self.folder / "variables.json"
        variables.write_text(json.dumps({**HERE, "login": login}))
        command = [str(Path(sys.executable).with_name(program)), *INVENTORY]
        command += ["-e", f"@{variables}", *arguments]
        environment = {
            **os.environ,
            "ANSIBLE_COLLECTIONS_PATH": str(TREE),
            "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json",
            "ANSIBLE_DEPRECATION_WARNINGS": "false",
            "ANSIBLE_PIPELINING": "true",
        }
        log_before = server.log.stat().st_size
        begin = time.perf_counter()
        ended = subprocess.run(
            user.with_death_signal(command, signal.SIGTERM),
            env=environment,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        wall = time.perf_counter() - begin
        if not ended.stdout.strip():
            raise RuntimeError(f"{program} said nothing: {ended.stderr}")
        return wall, ended.stdout, _statements(server, log_before)


def _statements(server: Server, log_before: int) -> int:
    with server.log.open("rb") as stream:
        stream.seek(log_before)
        written = stream.read().decode(errors="replace")
    return sum(not _TRANSACTION.match(text) for text in _STATEMENT.findall(written))


def _seconds(duration: Mapping[str, str]) -> float:
    begin, end = (datetime.fromisoformat(duration[edge]) for edge in ("start", "end"))
    return (end - begin).total_seconds()


def _error(result: Mapping[str, Any]) -> str | None:
    if not result.get("failed"):
        return None
    failed = [item["msg"] for item in result.get("results", []) if item.get("failed")]
    return str(failed[0] if failed else result.get("msg"))
