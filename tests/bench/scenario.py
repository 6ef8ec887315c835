# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""One of Molecule's scenarios, as something to measure on."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.gates.paths import CHECKOUT


@dataclass(frozen=True)
class Scenario:
    """The scenario of this name."""

    name: str

    @property
    def directory(self) -> Path:
        """What it makes on this machine."""
        return CHECKOUT / ".cache" / "containers" / self.name

    def molecule(self, command: str, **variables: str) -> None:
        """Run a command of Molecule, with more in its environment."""
        subprocess.run(
            ["molecule", command, f"--scenario-name={self.name}"],
            check=True,
            cwd=CHECKOUT,
            env={**os.environ, "MOLECULE_COMMAND_BORDERS": "0", **variables},
        )

    def playbook(self, playbook: str, *options: str) -> bool:
        """Run a playbook of the collection on its hosts; returns whether it succeeded."""
        inventories = (CHECKOUT / "molecule" / name / "inventory" for name in ("shared", self.name))
        variables = {
            "MOLECULE_PROJECT_DIRECTORY": str(CHECKOUT),
            "MOLECULE_SCENARIO_NAME": self.name,
            "ANSIBLE_SSH_ARGS": f"-F {self.directory / 'ssh_config'} -o ControlMaster=auto -o ControlPersist=60s",
            "ANSIBLE_PIPELINING": "true",
        }
        ended = subprocess.run(
            [
                "ansible-playbook",
                *(f"--inventory={path}" for path in inventories),
                *options,
                f"playbooks/{playbook}",
            ],
            check=False,
            cwd=CHECKOUT,
            env={**os.environ, **variables},
        )
        return ended.returncode == 0
