# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Bad weather for a ship that is being seeded, and what has passed the link all the same.

    python -m tests.containers.faults SHIP DIRECTORY FAULT ...

A fault is a share of the seed, what happens when that much has come aboard, and for how long:
0.2:cut:15 cuts the link for 15 seconds, 0.8:kill:5 switches the ship off and on again after 5.
Ends when the seed has been fetched, or when DIRECTORY/faults.stop appears because there was
nothing to fetch; what happened is then told in DIRECTORY/faults.json.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

LAB = "hmm-link"  # what the containers of Molecule's scenario link begin with
STATUS = "/var/lib/pg_replication/main/seed/status.json"
INTERVAL = 0.25
AFTER_FETCH = {"verify", "unpack", "check", "place"}


@dataclass(frozen=True)
class Fault:
    """What happens when this share of the seed is aboard."""

    share: float
    kind: str
    seconds: float

    @classmethod
    def parse(cls, text: str) -> Fault:
        share, kind, seconds = text.split(":")
        if kind not in {"cut", "kill"}:
            raise ValueError(f"no such fault: {kind}")
        return cls(float(share), kind, float(seconds))


@dataclass
class Report:
    """What was done to a seed, and what it took."""

    faults: list[Fault] = field(default_factory=list)
    pack_bytes: int = 0
    seconds: float = 0.0
    link: dict[str, Any] = field(default_factory=dict)


def relay(*words: str) -> dict[str, Any]:
    """Tell the relay something; returns its state."""
    answer: dict[str, Any] = json.loads(
        _docker("exec", f"{LAB}-relay", "python3", "/relay/relay.py", *words)
    )
    return answer


def progress(ship: str) -> dict[str, Any]:
    """What the ship's seed tells of itself; nothing while it has not begun or the ship is off."""
    words = ["docker", "exec", f"{LAB}-{ship}", "cat", STATUS]
    shown = subprocess.run(words, check=False, capture_output=True, text=True)
    if shown.returncode != 0:
        return {}
    told: dict[str, Any] = json.loads(shown.stdout)
    return told


def happen(ship: str, fault: Fault) -> None:
    """Make it happen, and let it be over."""
    if fault.kind == "cut":
        relay("cut")
        time.sleep(fault.seconds)
        relay("heal")
    else:
        _docker("kill", f"{LAB}-{ship}")
        time.sleep(fault.seconds)
        _docker("start", f"{LAB}-{ship}")


def watch(ship: str, faults: Iterable[Fault], stop: Path) -> Report | None:
    """Let all faults happen during a seed; nothing if no seed came before the stop."""
    report = Report()
    began: float | None = None
    coming = sorted(faults, key=lambda fault: fault.share)
    while True:
        told = progress(ship)
        fetching = told.get("step") == "fetch" and told.get("state") != "done"
        if fetching and began is None:
            began = time.monotonic()
            relay("reset")
        if fetching and told.get("total_bytes"):
            report.pack_bytes = told["total_bytes"]
            share = told["done_bytes"] / told["total_bytes"]
            if coming and share >= coming[0].share:
                fault = coming.pop(0)
                print(f"{fault.kind} at {share:.0%} for {fault.seconds:.0f} s", flush=True)
                happen(ship, fault)
                report.faults.append(fault)
        elif began is not None and told.get("step") in AFTER_FETCH:
            report.seconds = time.monotonic() - began
            report.link = relay("status")
            return report
        if stop.exists():
            return None
        time.sleep(INTERVAL)


def main(arguments: Sequence[str]) -> int:
    ship, directory, *faults = arguments
    stop = Path(directory) / "faults.stop"
    stop.unlink(missing_ok=True)
    report = watch(ship, [Fault.parse(text) for text in faults], stop)
    if report is None:
        print("there was no seed to disturb")
    else:
        (Path(directory) / "faults.json").write_text(json.dumps(asdict(report), indent=2))
    return 0


def _docker(*words: str) -> str:
    return subprocess.run(["docker", *words], check=True, stdout=subprocess.PIPE, text=True).stdout


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
