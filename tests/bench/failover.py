# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""python -m tests.bench.failover: switch the primary off again and again, and see for how long nobody takes writes.

The lab's scenario `shore` or `shore_bookworm`, with the timings that pg_auto_failover has and those
of pg_auto_failover_timings: tuned. Each time a client writes row after row, another ship is dark,
and what was acknowledged is looked for on every end. An hour; prints a table.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from tests.bench.scenario import Scenario
from tests.containers import images
from tests.containers.engine import engine

TIMINGS = ("default", "tuned")
HEADER = """\
| timings | kills | s without writes, minimum | median | maximum | rows acknowledged | lost |
| --- | ---: | ---: | ---: | ---: | ---: | ---: |"""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.failover", description=__doc__)
    parser.add_argument("--kills", type=int, default=5, help="with each of the timings")
    parser.add_argument("--scenario", choices=["shore", "shore_bookworm"], default="shore")
    chosen = parser.parse_args()
    scenario = Scenario(chosen.scenario)
    noted = scenario.directory / "failovers.jsonl"
    noted.unlink(missing_ok=True)
    stopped = None
    with engine():
        images.build()
        try:
            scenario.molecule("create")
            for timings in TIMINGS:
                scenario.molecule("converge", LAB_TIMINGS=timings)
                for _kill in range(chosen.kills):
                    scenario.molecule("side-effect", LAB_TIMINGS=timings)
        except subprocess.CalledProcessError as failure:
            stopped = f"Stopped where {' '.join(failure.cmd)} failed: see above."
        finally:
            scenario.molecule("destroy")
    rows = [json.loads(line) for line in noted.read_text().splitlines()] if noted.exists() else []
    print(f"\n{HEADER}")
    for timings in TIMINGS:
        measured = [row for row in rows if row["timings"] == timings]
        if measured:
            print(summary(timings, measured))
    sys.exit(stopped)


def summary(timings: str, failovers: Sequence[Mapping[str, Any]]) -> str:
    """The table's line of these."""
    seconds = [failover["seconds"] for failover in failovers]
    figures = (min(seconds), statistics.median(seconds), max(seconds))
    cells = (
        timings,
        str(len(seconds)),
        *(f"{figure:.1f}" for figure in figures),
        *(str(sum(failover[what] for failover in failovers)) for what in ("rows", "lost")),
    )
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
