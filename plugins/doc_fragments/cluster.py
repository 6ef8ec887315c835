# SPDX-FileCopyrightText: HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A cluster that Debian's postgresql-common looks after, documented once."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  version:
    description:
      - The major version of the cluster, as C(pg_lsclusters) lists it.
    type: str
    required: true
  cluster:
    description:
      - The name of the cluster.
    type: str
    default: main
requirements:
  - psycopg2 2.9 or newer (Debian C(python3-psycopg2))
  - postgresql-common, which Debian's packages of PostgreSQL bring
"""
