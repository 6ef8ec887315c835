# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Gates that run the playbook targets of tests/integration/targets/ on servers of the lab."""

from __future__ import annotations

import os

from tests.gates import roots
from tests.gates.environments import environment
from tests.gates.packages import need
from tests.gates.paths import CHECKOUT, TREE
from tests.gates.processes import GateError

TARGETS = CHECKOUT / "tests" / "integration" / "targets"
OLDER_CORES = ("core-2.16", "core-2.17", "core-2.18")


def cores() -> str | None:
    """The newest one is that of the gate pythons, and of all others."""
    programs = [environment(name).program("ansible-playbook") for name in OLDER_CORES]
    return _run([f"--playbook-program={program}" for program in programs])


def pythons() -> str | None:
    if os.geteuid() != 0:
        raise GateError("the gate pythons uses chroot, so it has to run as root")
    if not _targets():
        return _run([])
    hosts = [f"--chroot={suite.name}={roots.root(suite)}" for suite in (roots.OLDEST, roots.NEWEST)]
    return _run([f"--playbook-program={environment('main').program('ansible-playbook')}", *hosts])


def _run(arguments: list[str]) -> str | None:
    names = _targets()
    if not names:
        return "nothing to test yet: there is no target in tests/integration/targets"
    need("npm", "npm", "ca-certificates")
    main = environment("main")
    (dependencies,) = main.root.glob("lib/python3*/site-packages")
    main.run(
        "python",
        *("-m", "tests.lab.targets", *arguments, *names),
        folder=CHECKOUT,
        variables={"ANSIBLE_COLLECTIONS_PATH": f"{TREE}:{dependencies}"},
    )
    return f"targets: {' '.join(names)}"


def _targets() -> list[str]:
    return sorted(path.parents[1].name for path in TARGETS.glob("*/tasks/main.yml"))
