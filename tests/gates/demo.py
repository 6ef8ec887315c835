# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The gate of `make demo`: it works on a fresh machine, and nothing is left of it."""

from __future__ import annotations

import os
import re
import shutil

from tests.gates import tree
from tests.gates.environments import environment
from tests.gates.machines import Machine, machine
from tests.gates.paths import CACHE, CHECKOUT, REQUIREMENTS
from tests.gates.processes import GateError
from tests.gates.roots import NEWEST, Suite

FOLDER = "/root/pg_replication"
WHEELS = "/root/wheels"
AGAIN = "ansible-playbook -i inventories/sandbox playbooks/ship_onboard.yml"
PORTS = (55431, 55432, 55433)
OLDER = Suite("bookworm", "3.11")

# What using a machine leaves on it, the demo or not.
TRACES = (
    f"{FOLDER}/",
    "/dev/",
    "/etc/group-",
    "/etc/gshadow-",
    "/etc/ld.so.cache",
    "/etc/passwd-",
    "/etc/shadow-",
    "/proc/",
    "/run/",
    "/sys/",
    "/tmp/",  # noqa: S108
    "/var/cache/",
    "/var/lib/apt/",
    "/var/lib/dpkg/",
    "/var/log/",
)
# All that is shown, where the last command is make demo-clean.
WHOLE = rf"""
make demo >/tmp/output 2>&1 || touch /tmp/failed
cat /tmp/output
test ! -e /tmp/failed
for port in {" ".join(map(str, PORTS))}; do
    echo port $port: $(runuser -u postgres -- psql -p $port -XAt hmm_db -c "SELECT count(*)
        FROM documents, document_chunks WHERE document_id = documents.id AND source LIKE 'demo://%'")
done
sed -n 's/^    [$] //p' /tmp/output | sed '$d' >/tmp/next
test -s /tmp/next
bash -eu -x /tmp/next 2>&1
make demo-clean
make demo-clean
echo all was run
"""
# Where a cluster of the machine's user is made with the PostgreSQL of a demo that was killed meanwhile.
KILLED = r"""
make demo >/tmp/output 2>&1 &
demo=$!
until grep -s '^\[3/' /tmp/output; do kill -0 $demo; sleep 1; done
kill $demo
wait $demo || cat /tmp/output
pg_createcluster --start "$(ls /usr/lib/postgresql)" mine >/dev/null
make demo-clean
pg_lsclusters --no-header | grep ' mine .* online '
make demo-clean
pg_lsclusters --no-header | grep ' mine .* online '
"""


def demo() -> str:
    if os.geteuid() != 0:
        raise GateError("the gate demo uses chroot, so it has to run as root")
    return f"{_whole(OLDER)}; {_killed(NEWEST)}"


def _whole(suite: Suite) -> str:
    with machine(suite) as fresh:
        variables = _bring(fresh, suite)
        before = fresh.files(TRACES)
        packages = fresh.run("dpkg-query --show")
        # One run, since all processes end with it: the servers, too.
        output = fresh.run(WHOLE, FOLDER, variables)
        print(output, flush=True)
        _judge(output)
        after = fresh.files(TRACES)
        left = [f"{path}: {after[path]}" for path in sorted(set(after) - set(before))]
        gone = [f"{path} is gone" for path in sorted(set(before) - set(after))]
        changed = [
            f"{path}: was {before[path]}, is {after[path]}"
            for path in sorted(set(before) & set(after))
            if before[path] != after[path]
        ]
        if fresh.run("dpkg-query --show") != packages:
            changed.append("other packages are installed than before")
        if left or gone or changed:
            raise GateError("make demo-clean left:\n  " + "\n  ".join([*left, *gone, *changed]))
        return f"{suite.name}: the machine is as it was"


def _killed(suite: Suite) -> str:
    with machine(suite) as fresh:
        variables = _bring(fresh, suite)
        print(fresh.run(KILLED, FOLDER, variables), flush=True)
        return f"{suite.name}: a demo was killed, and a cluster of the user's left alone"


def _bring(fresh: Machine, suite: Suite) -> dict[str, str]:
    """The checkout as git knows it, and the wheels; the settings of pip that lead to them."""
    target = fresh.root / FOLDER[1:]
    for name in tree.files():
        place = target / name
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(CHECKOUT / name, place, follow_symlinks=False)
    wheels = CACHE / "wheels" / suite.name
    environment("main").run(
        "python",
        *("-m", "pip", "download", "-qq", "--no-deps"),
        *("--requirement", REQUIREMENTS / "demo.txt", "--dest", wheels),
        *("--python-version", suite.python, "--only-binary", ":all:"),
        *("--implementation", "cp", "--platform", "manylinux2014_x86_64"),
    )
    shutil.copytree(wheels, fresh.root / WHEELS[1:])
    return {"PIP_FIND_LINKS": WHEELS, "PIP_NO_INDEX": "1"}


def _judge(output: str) -> None:
    if "all was run" not in output:
        raise GateError("it ended before its end")
    rows = dict(re.findall(r"^port (\d+): (.*)$", output, re.MULTILINE))
    if rows != {str(port): "3" for port in PORTS}:
        raise GateError(f"the three chunks written ashore are not on every end: {rows}")
    again = output.partition(f"+ {AGAIN}\n")[2].partition("\n+ ")[0]
    changes = re.findall(r"\bchanged=(\d+)", again)
    if not changes or set(changes) != {"0"}:
        raise GateError(f"{AGAIN}, run again, changes something")
