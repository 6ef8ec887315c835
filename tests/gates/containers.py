# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Molecule's scenarios on containers with systemd, two at a time: a scenario waits more than it works.

python -m tests.gates.containers SCENARIO ... runs these, one after another.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator, Sequence

from tests.containers import images
from tests.containers.engine import engine
from tests.gates.environments import environment
from tests.gates.packages import need
from tests.gates.paths import CACHE, CHECKOUT, TREE
from tests.gates.processes import GateError, adopt_orphans, beside, end_left_over

LANES = (("trixie",), ("shore_bookworm", "link"))


@contextlib.contextmanager
def lab() -> Iterator[None]:
    """What every scenario needs of this machine."""
    need("ssh", "openssh-client")
    with engine():
        images.build()
        yield


def molecule() -> str | None:
    here, there = LANES
    command = [sys.executable, "-m", "tests.gates.containers", *there]
    with lab(), beside(command, CHECKOUT, CACHE / "molecule.log") as other:
        _test(here)
        if other.show_to_its_end() != 0:
            raise GateError(f"one of {' '.join(there)} failed")
    return None


def _test(scenarios: Sequence[str]) -> None:
    for scenario in scenarios:
        print(f"\n--- molecule: {scenario}", flush=True)
        begin = time.monotonic()
        try:
            _run("test", scenario)
        except BaseException:
            _run("destroy", scenario)
            raise
        print(f"--- molecule: {scenario} passed in {time.monotonic() - begin:.0f} s", flush=True)


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


if __name__ == "__main__":
    adopt_orphans()
    try:
        scenarios = sys.argv[1:]
        if not scenarios:
            raise GateError("name a folder of molecule/, as in make scenario SCENARIO=shore")
        with lab():
            _test(scenarios)
    except GateError as failure:
        sys.exit(str(failure))
    finally:
        end_left_over()
