# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""`make demo`: a shore and two ships on this machine, with real documents to replicate."""
