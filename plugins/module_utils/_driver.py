# SPDX-FileCopyrightText: HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Private to this collection: it may change in any release.

"""psycopg2, if it is there: everything else imports it from here.

A module has to load without psycopg2, so that it can say what is missing. Nothing here or below
needs Ansible: the timer of the role monitoring runs these files on the shore without it.
"""

from __future__ import annotations

import platform
import sys
from typing import TYPE_CHECKING

from ansible_collections.hmm.pg_replication.plugins.module_utils._errors import ReplicationError

MINIMUM_PSYCOPG2 = (2, 9)

if TYPE_CHECKING:
    import psycopg2
    from psycopg2 import extensions, sql
else:
    try:
        import psycopg2
        from psycopg2 import extensions, sql
    except ImportError:
        psycopg2 = extensions = None

        class sql:  # noqa: N801
            """Stands in for psycopg2.sql, so that classes can be derived from it."""

            Composable = object


__all__ = ["extensions", "psycopg2", "require_psycopg2", "sql"]


def require_psycopg2() -> None:
    """Raise a sentence where psycopg2 is missing or too old."""
    if psycopg2 is None:
        raise ReplicationError(
            "Failed to import the required Python library (psycopg2) on"
            f" {platform.node()}'s Python {sys.executable}. Install it for that Python"
            " (Debian: python3-psycopg2, PyPI: psycopg2-binary)."
        )
    found = psycopg2.__version__.split(" ")[0]  # type: ignore[attr-defined]
    if tuple(int(part) for part in found.split(".")[:2]) < MINIMUM_PSYCOPG2:
        raise ReplicationError(
            f"psycopg2 {found} is too old: {'.'.join(map(str, MINIMUM_PSYCOPG2))} or newer is"
            " needed (PyPI: psycopg2-binary)."
        )
