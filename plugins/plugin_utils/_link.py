# SPDX-FileCopyrightText: HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Private to this collection: it may change in any release.

"""What a link's figures mean for replication over it: timeouts, keepalives, throttle."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

# What is taken for a link that nothing is known of: a satellite's, on a bad day.
DEFAULT_BANDWIDTH = "1Mbit"
DEFAULT_LATENCY = "800ms"

# The largest send buffer Linux gives a connection (net.ipv4.tcp_wmem): a keepalive waits behind it.
_SEND_BUFFER_BYTES = 4 * 1024 * 1024

_BANDWIDTH = re.compile(r"(\d+(?:\.\d+)?) ?(k|M|G)?bit(?:/s|ps)?", re.IGNORECASE)
_BANDWIDTH_FACTORS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9}
_LATENCY = re.compile(r"(\d+(?:\.\d+)?) ?(ms|s)")
_LATENCY_FACTORS = {"ms": 0.001, "s": 1.0}
_KEYS = {"bandwidth", "latency", "throttle"}


class LinkError(ValueError):
    """A ship_link that cannot be read; the text is a sentence for the operator."""


def bits_per_second(key: str, value: Any) -> float:
    """A rate such as 4Mbit, 512kbit or 1Gbit/s, as tc writes it."""
    match = _BANDWIDTH.fullmatch(str(value).strip())
    if match is None or float(match[1]) == 0:
        raise LinkError(f"{key}: {value!r} is no rate; write 4Mbit, 512kbit or 1Gbit.")
    return float(match[1]) * _BANDWIDTH_FACTORS[(match[2] or "").lower()]


def seconds(key: str, value: Any) -> float:
    """A round trip such as 600ms or 0.6s."""
    match = _LATENCY.fullmatch(str(value).strip())
    if match is None:
        raise LinkError(f"{key}: {value!r} is no time; write 600ms or 0.6s.")
    return float(match[1]) * _LATENCY_FACTORS[match[2]]


def link_settings(link: Mapping[str, Any] | None) -> dict[str, int]:
    """Timeouts (ms, s as the names say) and throttle (KiB/s, 0: none) for a ship_link.

    Raises LinkError where a figure cannot be read.
    """
    if link is not None and not isinstance(link, Mapping):
        raise LinkError(
            f"ship_link: {link!r} is no dictionary; write {{bandwidth: 4Mbit, latency: 600ms}}."
        )
    given = dict(link or {})
    unknown = sorted(set(given) - _KEYS)
    if unknown:
        raise LinkError(
            f"ship_link: {', '.join(map(str, unknown))} is not known; it takes {', '.join(sorted(_KEYS))}."
        )
    rate = bits_per_second("ship_link.bandwidth", given.get("bandwidth", DEFAULT_BANDWIDTH)) / 8
    round_trip = seconds("ship_link.latency", given.get("latency", DEFAULT_LATENCY))
    throttle = 0.0
    if "throttle" in given:
        throttle = bits_per_second("ship_link.throttle", given["throttle"]) / 8

    buffered = _SEND_BUFFER_BYTES / rate
    # A timeout below this and a single large transaction never gets through: keepalives queue
    # behind data, the connection is taken for dead, and everything is sent once more.
    patience = math.ceil(max(20, 3 * buffered + 2 * round_trip))
    return {
        "wal_sender_timeout_ms": patience * 1000,
        "wal_receiver_timeout_ms": patience * 1000,
        "tcp_user_timeout_ms": math.ceil(max(10, buffered + 4 * round_trip)) * 1000,
        "keepalives_idle_s": math.ceil(max(10, 4 * round_trip)),
        "keepalives_interval_s": math.ceil(max(5, 4 * round_trip)),
        "keepalives_count": 3,
        "rsync_timeout_s": max(60, patience),
        "connect_timeout_s": math.ceil(max(15, 10 * round_trip)),
        "retry_s": 5,
        "throttle_kib_s": math.ceil(throttle / 1024),
    }
