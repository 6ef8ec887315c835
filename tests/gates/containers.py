# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Molecule's scenarios on containers with systemd, one after another."""

from __future__ import annotations

import time

from tests.containers import images
from tests.containers.engine import engine
from tests.gates.environments import environment
from tests.gates.packages import need
from tests.gates.paths import CHECKOUT, TREE

SCENARIOS = ("bookworm", "trixie", "link")


def molecule() -> str | None:
    need("ssh", "openssh-client")
    times = []
    with engine():
        images.build()
        for scenario in SCENARIOS:
            print(f"\n--- molecule: {scenario}", flush=True)
            begin = time.monotonic()
            try:
                _run("test", scenario)
            except BaseException:
                _run("destroy", scenario)
                raise
            times.append(f"{scenario} {time.monotonic() - begin:.0f} s")
    return ", ".join(times)


def _run(command: str, scenario: str, *options: str) -> None:
    main = environment("main")
    (dependencies,) = main.root.glob("lib/python3*/site-packages")
    main.run(
        "molecule",
        *(command, f"--scenario-name={scenario}", *options),
        folder=CHECKOUT,
        variables={
            "ANSIBLE_COLLECTIONS_PATH": f"{TREE}:{dependencies}",
            "MOLECULE_COMMAND_BORDERS": "0",
            "PYTHONUNBUFFERED": "1",  # what is seen in a log is what happens
        },
    )
