# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The gates: run [--lint] [GATE ...] | with PROGRAM [ARGUMENT ...] | pin | list."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence

from tests.gates import environments, processes, tree
from tests.gates.environments import environment
from tests.gates.paths import CACHE, CHECKOUT, REQUIREMENTS
from tests.gates.processes import GateError, adopt_orphans, end_left_over
from tests.gates.registry import GATES, Gate


def main(arguments: Sequence[str]) -> int:
    """Do as asked, and leave nothing running."""
    parser = argparse.ArgumentParser(prog="tests.gates", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    runs = commands.add_parser("run", help="run the gates named, or all of them")
    runs.add_argument("--lint", action="store_true", help="only those that need no server")
    runs.add_argument("gates", nargs="*", metavar="GATE")
    runs_with = commands.add_parser("with", help="run a program of the main environment")
    runs_with.add_argument("words", nargs=argparse.REMAINDER)
    commands.add_parser("pin", help="rewrite the pinned requirements from their .in files")
    commands.add_parser("list", help="list the gates")
    chosen = parser.parse_args(arguments)
    adopt_orphans()
    try:
        if chosen.command == "run":
            return run(select(chosen.gates, chosen.lint))
        if chosen.command == "with":
            tree.link()
            program, *rest = chosen.words
            environment("main").run(program, *rest, folder=CHECKOUT)
        elif chosen.command == "pin":
            for path in sorted(REQUIREMENTS.glob("*.in")):
                environments.pin(path.stem)
        else:
            for gate in GATES:
                print(f"{gate.name:13}{gate.about}")
    except GateError as failure:
        print(failure, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        end_left_over()
    return 0


def select(names: Sequence[str], lint: bool) -> list[Gate]:
    """Choose the gates of these names, in their order; all without any."""
    unknown = set(names) - {gate.name for gate in GATES}
    if unknown:
        known = " ".join(gate.name for gate in GATES)
        raise GateError(f"no such gate: {' '.join(sorted(unknown))}. There are: {known}")
    return [
        gate
        for gate in GATES
        if (not names or gate.name in names) and (not lint or not gate.needs_server)
    ]


def run(gates: Sequence[Gate]) -> int:
    """Run these gates until one fails; tell the time that each took."""
    tree.link()
    begin = time.monotonic()
    alone = [gate for gate in gates if not gate.beside] or gates
    times: list[tuple[str, float]] = []
    # The first one makes the environment that the others use, too.
    if not check(alone[:1], times):
        return 1
    names = [gate.name for gate in gates if gate not in alone]
    if not names:
        return told(times, begin) if check(alone[1:], times) else 1
    log = CACHE / "beside.log"
    print(f"\n--- {', '.join(names)} begins beside the others, and is shown after them", flush=True)
    command = [sys.executable, "-m", "tests.gates", "run", *names]
    with processes.beside(command, CHECKOUT, log) as other:
        os.nice(10)  # what runs beside takes longest: these use what it leaves
        if not check(alone[1:], times, other.failed):
            return 1
        print(f"\n--- what {', '.join(names)} said and says", flush=True)
        if other.show_to_its_end() != 0:
            return 1
    return told(times, begin)


def told(times: Sequence[tuple[str, float]], begin: float) -> int:
    if len(times) == 1:
        return 0
    print("\nall gates passed:")
    for name, seconds in times:
        print(f"  {name:13}{seconds:6.1f} s")
    print(f"  {'together':13}{time.monotonic() - begin:6.1f} s")
    return 0


def check(
    gates: Sequence[Gate],
    times: list[tuple[str, float]],
    hopeless: Callable[[], bool] = lambda: False,
) -> bool:
    """Whether these gates pass, one after another.

    :param hopeless: whether to stop before the next one, because what runs beside it has failed.
    """
    for gate in gates:
        if hopeless():
            print("\n--- the gate beside has failed", flush=True)
            return True
        print(f"\n=== {gate.name}: {gate.about}", flush=True)
        begin = time.monotonic()
        try:
            note = gate.check()
            left_over = end_left_over()
            if left_over:
                raise GateError(f"left running, and ended now: {' '.join(left_over)}")
        except GateError as failure:
            print(f"{failure}\n\n=== {gate.name} FAILED after {time.monotonic() - begin:.1f} s")
            print(f"again, just this one: make test GATE={gate.name}", flush=True)
            return False
        times.append((gate.name, time.monotonic() - begin))
        if note:
            print(note)
        print(f"=== {gate.name} passed in {times[-1][1]:.1f} s", flush=True)
    return True


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
