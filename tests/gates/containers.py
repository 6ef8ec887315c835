# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Molecule's scenarios on containers with systemd, two at a time: a scenario waits more than it works.

python -m tests.gates.containers SCENARIO ... runs these, one after another.
"""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.containers import images
from tests.containers.engine import engine
from tests.gates.environments import environment
from tests.gates.packages import need
from tests.gates.paths import CACHE, CHECKOUT, TREE
from tests.gates.processes import GateError, adopt_orphans, beside, end_left_over

FAILURE_LENGTH = 2000
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
        log = CACHE / "containers" / scenario / "ansible.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        _run("destroy", scenario)
        log.write_text("")
        try:
            # Hosts on which something failed are asked before they go.
            _run("test", scenario, "--destroy=never", log=log)
        except GateError as failure:
            _show_journals(scenario)
            raise GateError(f"{failure}: {scenario}\n\n{failed(log.read_text())}") from None
        finally:
            _run("destroy", scenario)
        print(f"--- molecule: {scenario} passed in {time.monotonic() - begin:.0f} s", flush=True)


def _show_journals(scenario: str) -> None:
    """Print what the scenario's hosts said last."""
    names = ["docker", "ps", "--format={{.Names}}", f"--filter=name=^hmm-{scenario}-"]
    for name in subprocess.run(names, check=False, capture_output=True, text=True).stdout.split():
        print(f"\n--- the journal of {name}", flush=True)
        words = ["docker", "exec", name, "journalctl", "--no-pager", "--no-hostname", "--lines=60"]
        subprocess.run(words, check=False, stdin=subprocess.DEVNULL)


def failed(log: str) -> str:
    """The task that failed in the last playbook, and the beginning of what it said."""
    said = re.sub(r"^\S+ \S+ p=\d+ u=\S+ n=ansible \w+\| ?", "", log, flags=re.MULTILINE)
    playbook = said.rpartition("PLAY RECAP")[0].rpartition("PLAY RECAP")[2]
    for part in reversed(playbook.split("TASK [")):
        if found := re.search(r"(?:fatal|failed): \[.*", part, re.DOTALL):
            told = found[0].strip()[:FAILURE_LENGTH]
            return f"TASK [{part.splitlines()[0].rstrip(' *')}\n{told}"
    return ""


def _run(command: str, scenario: str, *options: str, log: Path | None = None) -> None:
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
            **({"ANSIBLE_LOG_PATH": str(log)} if log else {}),
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
