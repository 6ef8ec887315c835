# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""How long the modules take, and what they say to the server, beside community.postgresql's."""
