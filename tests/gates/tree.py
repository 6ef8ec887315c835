# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The collection where Ansible looks for it: a link for most tools, a copy for ansible-test."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.gates.environments import Environment
from tests.gates.paths import CHECKOUT, IN_TREE, TREE
from tests.gates.processes import run

DEPENDENCIES = ("ansible", "community")


def link() -> None:
    """.cache/tree/ansible_collections/hmm/pg_replication -> the checkout."""
    place = TREE / IN_TREE
    place.parent.mkdir(parents=True, exist_ok=True)
    if not place.is_symlink():
        place.symlink_to("../../../..")


def copy(root: Path, environment: Environment) -> Path:
    """A copy of the files that git knows or would take, with its dependencies linked beside it."""
    shutil.rmtree(root, ignore_errors=True)
    target = root / IN_TREE
    for name in files():
        place = target / name
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(CHECKOUT / name, place, follow_symlinks=False)
    (installed,) = environment.root.glob("lib/python3*/site-packages/ansible_collections")
    for name in DEPENDENCIES:
        (root / "ansible_collections" / name).symlink_to(installed / name)
    return target


def files() -> list[str]:
    """Every file of the checkout that is not ignored, tracked already or not."""
    listed = run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        folder=CHECKOUT,
        capture=True,
    )
    return sorted(name for name in listed.split("\0") if name and (CHECKOUT / name).is_file())
