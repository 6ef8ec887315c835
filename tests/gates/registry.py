# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every gate, quick to slow, and at the end what uses more than one processor."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tests.gates import containers, demo, packaging, python_tests, sanity, site, static, targets


@dataclass(frozen=True)
class Gate:
    """One thing that has to hold; check() raises GateError, or returns a note worth reading."""

    name: str
    about: str
    check: Callable[[], str | None]
    needs_server: bool = False
    # Waits more than it works: of several gates, it runs beside the others.
    beside: bool = False


GATES = (
    Gate("yamllint", "YAML is tidy", static.yamllint),
    Gate("ruff", "Python is tidy and formatted", static.ruff),
    Gate("reuse", "every file has a licence", static.reuse),
    Gate("changelog", "fragments are well-formed", static.changelog),
    Gate("mypy", "types hold, strictly", static.mypy),
    Gate("unit", "what needs no server", python_tests.unit),
    Gate("html", "the page of the fleet's state, in a browser", python_tests.html),
    Gate("docs", "plugin documentation is right, and builds without warnings", site.docs),
    Gate("ansible-lint", "profile production, nothing skipped", static.ansible_lint),
    Gate("build", "the tarball holds the collection and nothing else", packaging.build),
    Gate("importer", "Galaxy would take the tarball", packaging.importer),
    Gate("sanity", "ansible-test sanity, nothing ignored", sanity.sanity),
    Gate("cores", "the targets, with each older ansible-core supported", targets.cores, True),
    Gate(
        "pythons", "the targets, on hosts with the oldest and newest Python", targets.pythons, True
    ),
    Gate("demo", "make demo on fresh machines, and nothing is left of it", demo.demo, True),
    Gate("integration", "real servers, every version", python_tests.integration, True),
    Gate(
        "molecule", "ships onboarded, in containers with systemd", containers.molecule, True, True
    ),
)
