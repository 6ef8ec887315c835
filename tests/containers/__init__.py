# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Containers with systemd that stand for shore and ships: for Molecule, and for trying things."""
