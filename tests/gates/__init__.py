# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What `make test` runs; needs nothing but a bare Python and fetches the rest."""
