# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Gates that read the sources."""

from __future__ import annotations

from tests.gates import tree
from tests.gates.environments import environment
from tests.gates.paths import CHECKOUT, COLLECTION, TREE


def yamllint() -> None:
    # Not the folder: it would go through all of .cache, and then leave that out.
    paths = [
        name for name in tree.files() if name.endswith((".yml", ".yaml")) or name == ".yamllint"
    ]
    environment("main").run("yamllint", "--strict", *paths, folder=CHECKOUT)


def ruff() -> None:
    main = environment("main")
    main.run("ruff", "check", ".", folder=CHECKOUT)
    main.run("ruff", "format", "--check", ".", folder=CHECKOUT)


def reuse() -> None:
    environment("main").run("reuse", "lint", "--lines", folder=CHECKOUT)


def changelog() -> None:
    environment("main").run("antsibull-changelog", "lint", folder=CHECKOUT)


def mypy() -> None:
    main = environment("main")
    packages = [
        f"--package={name}" for name in ("tests.lab", "tests.gates", "tests.bench", "tests.demo")
    ]
    main.run("mypy", *packages, folder=CHECKOUT)
    main.run(
        "mypy",
        f"--package={COLLECTION}.plugins",
        folder=CHECKOUT,
        variables={"MYPYPATH": str(TREE)},
    )


def ansible_lint() -> None:
    # It renders the texts that it reads, which to Ansible are then not to be trusted.
    untrusted = {"_ANSIBLE_TEMPLAR_UNTRUSTED_TEMPLATE_BEHAVIOR": "ignore"}
    environment("main").run(
        "ansible-lint", "--offline", "--strict", folder=CHECKOUT, variables=untrusted
    )
