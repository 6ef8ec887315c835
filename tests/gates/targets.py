# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Gates that run the playbook targets."""

from __future__ import annotations


def cores() -> str | None:
    return "todo"


def pythons() -> str | None:
    return "todo"
