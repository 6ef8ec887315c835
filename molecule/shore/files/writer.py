# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Insert row after row, and note each that the server acknowledged, with the time: writer.py FILE

The connection comes from libpq's environment. Ends when the file is gone.
"""

from __future__ import annotations

import itertools
import os
import sys
import time

import psycopg2


def write(path: str, first: int) -> None:
    connection = None
    with open(path, "a", buffering=1) as noted:  # noqa: PTH123
        for number in itertools.count(first):
            if not os.path.exists(path):  # noqa: PTH110
                return
            try:
                if connection is None:
                    connection = psycopg2.connect("")
                    connection.autocommit = True
                with connection.cursor() as cursor:
                    cursor.execute("INSERT INTO acknowledged VALUES (%s)", (number,))
                noted.write(f"{time.time():.3f} {number}\n")
                time.sleep(0.02)
            except psycopg2.Error as error:
                # Whether this row is there is unknown: nobody was told that it is.
                sys.stderr.write(f"{str(error).strip()}\n")
                connection = None
                time.sleep(0.2)


if __name__ == "__main__":
    write(sys.argv[1], time.time_ns() // 1000)
