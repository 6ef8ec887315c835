# SPDX-FileCopyrightText: HMM pg_replication contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Filter link_settings."""

from __future__ import annotations

DOCUMENTATION = r"""
name: link_settings
short_description: Timeouts, keepalives and throttle that a link needs
version_added: 0.1.0
description:
  - Turns what is known of a ship's link into the settings of replication over it.
  - A timeout must be longer than a full TCP send buffer (4 MiB) takes over the link, as keepalives queue behind data;
    with shorter ones a single large transaction is sent over and over and never arrives.
    So C(wal_sender_timeout) is three times that and two round trips, and at least 20 seconds.
  - See the chapter on replication's settings in PostgreSQL's documentation (C(runtime-config-replication)).
positional: _input
options:
  _input:
    description:
      - A dictionary with V(bandwidth) (such as V(4Mbit)), V(latency) (a round trip, such as V(600ms)) and V(throttle)
        (the most that a seed may take of the link, such as V(2Mbit)), each of which may be left out.
      - Without it, or what it leaves out, is taken as 1 Mbit/s and 800 ms, without throttle.
    type: dict
    required: true
author: HMM pg_replication contributors (@hmm)
"""

EXAMPLES = r"""
- name: Show what a link of 4 Mbit/s and 600 ms needs
  ansible.builtin.debug:
    msg: "{{ {'bandwidth': '4Mbit', 'latency': '600ms'} | hmm.pg_replication.link_settings }}"
"""

RETURN = r"""
_value:
  description: The settings; names end with their unit.
  type: dict
  sample:
    connect_timeout_s: 15
    keepalives_count: 3
    keepalives_idle_s: 10
    keepalives_interval_s: 5
    retry_s: 5
    rsync_timeout_s: 60
    tcp_user_timeout_ms: 11000
    throttle_kib_s: 0
    wal_receiver_timeout_ms: 27000
    wal_sender_timeout_ms: 27000
"""

from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.hmm.pg_replication.plugins.plugin_utils._link import LinkError
from ansible_collections.hmm.pg_replication.plugins.plugin_utils._link import (
    link_settings as derive,
)


def link_settings(link: Mapping[str, Any] | None) -> dict[str, int]:
    """The settings for a ship_link; a sentence where it cannot be read."""
    try:
        return derive(link)
    except LinkError as error:
        raise AnsibleFilterError(str(error)) from None


class FilterModule:
    """What Ansible asks for."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"link_settings": link_settings}
