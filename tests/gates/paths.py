# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where things are."""

from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
CACHE = CHECKOUT / ".cache"
TREE = CACHE / "tree"
COLLECTION = "ansible_collections.hmm.pg_replication"
IN_TREE = Path("ansible_collections/hmm/pg_replication")
REQUIREMENTS = CHECKOUT / "tests" / "requirements"
