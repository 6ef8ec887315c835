# SPDX-FileCopyrightText: HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Private to this collection: it may change in any release.

"""psycopg2, if it is there: everything else imports it from here.

A module has to load without psycopg2, so that it can say what is missing.
"""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING

from ansible.module_utils.basic import missing_required_lib

from ansible_collections.hmm.pg_replication.plugins.module_utils._errors import ReplicationError

MINIMUM_PSYCOPG2 = (2, 9)

try:
    import psycopg2
    from psycopg2 import extensions, sql
except ImportError:
    if TYPE_CHECKING:
        raise
    psycopg2 = None
    PSYCOPG2_ERROR = traceback.format_exc()

    class extensions:  # noqa: N801
        """Stands in for psycopg2.extensions."""

    class sql:  # noqa: N801
        """Stands in for psycopg2.sql, so that classes can be derived from it."""

        Composable = object

else:
    PSYCOPG2_ERROR = ""

__all__ = ["extensions", "psycopg2", "require_psycopg2", "sql"]


def require_psycopg2() -> None:
    """Raise a sentence where psycopg2 is missing or too old."""
    if psycopg2 is None:
        raise ReplicationError(
            missing_required_lib(
                "psycopg2", reason="(Debian: python3-psycopg2, PyPI: psycopg2-binary)"
            ),
            exception=PSYCOPG2_ERROR,
        )
    found = psycopg2.__version__.split(" ")[0]
    if tuple(int(part) for part in found.split(".")[:2]) < MINIMUM_PSYCOPG2:
        raise ReplicationError(
            "psycopg2 %s is too old: %d.%d or newer is needed (PyPI: psycopg2-binary)."
            % (found, *MINIMUM_PSYCOPG2)
        )
