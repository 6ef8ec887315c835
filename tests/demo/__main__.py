# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Brings up the demo, step by step; machine.sh has noted what the machine was, and undoes it all."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from tests.gates import tree
from tests.gates.environments import Environment, environment
from tests.gates.paths import CACHE, CHECKOUT, TREE
from tests.gates.processes import GateError

HERE = Path(__file__).parent
MACHINE = HERE / "machine.sh"
INVENTORY = "inventories/sandbox"
SETTINGS = CACHE / "demo" / "env"
REMOTE_TMP = "/var/lib/pg_replication_demo/tmp"  # goes with the demo, which ~/.ansible would not
PORTS = {"busan": 55431, "algeciras": 55432, "oslo": 55433}
STEPS = 4

# What to try next: why, and the commands. The gate runs all of them but the last.
NEXT = (
    ("the tools of the demo, for this shell", [". {settings}"]),
    (
        "search in what is aboard the physical ship, a read-only copy of the whole cluster",
        [
            (
                '{psql} -p {algeciras} hmm_db -c "SELECT left(content, 70) FROM document_chunks'
                " WHERE to_tsvector('english', content) @@ websearch_to_tsquery('english', 'warranty')"
                ' LIMIT 5"'
            )
        ],
    ),
    (
        "the logical ship has the words of all chunks; the embeddings stayed ashore",
        [
            (
                '{psql} -p {oslo} hmm_db -c "SELECT count(content), count(embedding)'
                ' FROM document_chunks"'
            )
        ],
    ),
    (
        "onboard both again, which changes nothing",
        ["ansible-playbook -i {inventory} playbooks/ship_onboard.yml"],
    ),
    (
        "a ship goes dark, the shore keeps what it misses, and it comes back",
        [
            "pg_ctlcluster {version} algeciras stop",
            '{psql} -p {busan} hmm_db -c "UPDATE documents SET added_at = now()"',
            (
                "ansible shore -i {inventory} --become --become-user postgres"
                " -m hmm.pg_replication.repl_lag_facts -a login_port={busan}"
            ),
            "pg_ctlcluster {version} algeciras start",
            "ansible-playbook -i {inventory} tests/demo/rows.yml",
        ],
    ),
    ("the machine as it was", ["make demo-clean"]),
)


def main() -> int:
    """Bring up the demo."""
    signal.signal(signal.SIGTERM, _exit)
    signal.signal(signal.SIGHUP, _exit)
    begin = time.monotonic()
    try:
        try:
            _demo()
        finally:
            subprocess.run(["sh", MACHINE, "note"], check=True)
    except (GateError, KeyboardInterrupt, subprocess.CalledProcessError) as failure:
        print(f"\n{failure}\nThe demo is not complete. Go on: make demo. Undo it: make demo-clean.")
        return 1
    minutes, seconds = divmod(round(time.monotonic() - begin), 60)
    print(f"\nThat took {minutes} min {seconds} s.")
    _print_next()
    return 0


def _demo() -> None:
    print(
        "A shore and two ships on this machine; make demo-clean takes them away again.", flush=True
    )
    with _step(1, "Ansible, in .cache/"):
        _check_ports()
        tree.link()
        tools = environment("demo")
        _write_settings(tools)
    with _step(2, "the shore: PostgreSQL, and what Debian itself has to read as documents"):
        _play(tools, "tests/demo/shore.yml")
    with _step(3, "the ships: algeciras takes the whole cluster, oslo four tables"):
        _play(tools, "playbooks/ship_onboard.yml")
    with _step(4, "a document written ashore, seen aboard"):
        _play(tools, "tests/demo/rows.yml")


def _print_next() -> None:
    names = {
        "settings": SETTINGS.relative_to(CHECKOUT),
        "psql": "runuser -u postgres -- psql",
        "inventory": INVENTORY,
        "version": _clusters()["algeciras"],
        **PORTS,
    }
    print("\nTo try next, in this folder:")
    for why, commands in NEXT:
        print(f"\n  {why}:")
        for command in commands:
            print(f"    $ {command.format(**names)}")


@contextlib.contextmanager
def _step(number: int, what: str) -> Iterator[None]:
    print(f"\n[{number}/{STEPS}] {what}", flush=True)
    begin = time.monotonic()
    yield
    print(f"    ({time.monotonic() - begin:.0f} s)", flush=True)


def _play(tools: Environment, playbook: str) -> None:
    colours = {"ANSIBLE_FORCE_COLOR": "1", "NO_COLOR": ""} if sys.stdout.isatty() else {}
    tools.run(
        "ansible-playbook",
        *("-i", INVENTORY, playbook),
        folder=CHECKOUT,
        variables={
            "ANSIBLE_REMOTE_TMP": REMOTE_TMP,
            "ANSIBLE_CALLBACK_PLUGINS": str(HERE / "callback"),
            "ANSIBLE_STDOUT_CALLBACK": "steps",
            **colours,
        },
    )


def _write_settings(tools: Environment) -> None:
    """What a shell needs to run the playbooks by hand."""
    SETTINGS.parent.mkdir(parents=True, exist_ok=True)
    SETTINGS.write_text(
        f"export PATH='{tools.root / 'bin'}':\"$PATH\"\n"
        f"export ANSIBLE_COLLECTIONS_PATH='{TREE}'\n"
        f"export ANSIBLE_HOME='{CACHE / 'ansible'}'\n"
        f"export ANSIBLE_REMOTE_TMP='{REMOTE_TMP}'\n"
        "export ANSIBLE_LOCALHOST_WARNING=false\n"
    )


def _check_ports() -> None:
    """Somebody else's server on one of the ports would be found late, and said badly."""
    held = _clusters()
    for name, port in PORTS.items():
        with socket.socket() as tried:
            if name not in held and tried.connect_ex(("127.0.0.1", port)) == 0:
                raise GateError(
                    f"The demo needs port {port} for {name}, and something answers there."
                )


def _clusters() -> dict[str, str]:
    """The clusters of this machine, with their versions."""
    try:
        listed = subprocess.run(
            ["pg_lsclusters", "--json"], check=True, capture_output=True, text=True
        )
    except FileNotFoundError:
        return {}
    return {one["cluster"]: str(one["version"]) for one in json.loads(listed.stdout or "[]")}


def _exit(number: int, _frame: object) -> None:
    raise SystemExit(128 + number)


if __name__ == "__main__":
    os.environ.pop("LC_ALL", None)  # machine.sh's
    sys.exit(main())
