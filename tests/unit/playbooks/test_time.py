# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Seconds since 1970, as playbooks tell them to modules."""

from __future__ import annotations

import pytest

from tests.gates.paths import CHECKOUT

FILES = sorted(
    path
    for folder in ("playbooks", "roles", "plugins", "molecule", "docs")
    for path in (CHECKOUT / folder).rglob("*")
    if path.suffix in (".yml", ".py", ".md", ".j2")
)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(CHECKOUT)))
def test_is_told_in_every_time_zone(path) -> None:
    # Ansible's now(utc=true) knows no time zone, and timestamp() takes that for the controller's own.
    assert "now(utc=true).timestamp" not in path.read_text("utf-8")
