# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import pytest
import yaml

from ansible_collections.hmm.pg_replication.plugins.filter import link_settings as documented
from ansible_collections.hmm.pg_replication.plugins.plugin_utils._link import (
    LinkError,
    bits_per_second,
    link_settings,
    seconds,
)

BUFFER_BITS = 4 * 1024 * 1024 * 8


@pytest.mark.parametrize(
    ("text", "rate"),
    [("4Mbit", 4e6), ("512kbit", 512e3), ("1Gbit/s", 1e9), ("2.5 Mbitps", 2.5e6), ("800bit", 800)],
)
def test_a_rate_is_read_as_tc_writes_it(text: str, rate: float) -> None:
    assert bits_per_second("x", text) == rate


@pytest.mark.parametrize(("text", "time"), [("600ms", 0.6), ("0.6s", 0.6), ("1 s", 1.0)])
def test_a_round_trip_is_read(text: str, time: float) -> None:
    assert seconds("x", text) == pytest.approx(time)


@pytest.mark.parametrize("rate", ["64kbit", "512kbit", "1Mbit", "4Mbit", "10Mbit", "1Gbit"])
@pytest.mark.parametrize("latency", ["20ms", "600ms", "2s"])
def test_no_timeout_is_shorter_than_a_full_buffer_takes(rate: str, latency: str) -> None:
    settings = link_settings({"bandwidth": rate, "latency": latency})
    drain = BUFFER_BITS / bits_per_second("x", rate)
    trip = seconds("x", latency)
    assert settings["wal_sender_timeout_ms"] >= max(20_000, (3 * drain + 2 * trip) * 1000)
    assert settings["wal_receiver_timeout_ms"] == settings["wal_sender_timeout_ms"]
    assert settings["tcp_user_timeout_ms"] >= (drain + trip) * 1000
    assert settings["rsync_timeout_s"] * 1000 >= settings["wal_sender_timeout_ms"]


def test_a_good_link_is_noticed_dead_after_twenty_seconds() -> None:
    assert (
        link_settings({"bandwidth": "1Gbit", "latency": "5ms"})["wal_sender_timeout_ms"] == 20_000
    )


def test_nothing_known_is_patient() -> None:
    assert (
        link_settings(None)
        == link_settings({})
        == link_settings({"bandwidth": "1Mbit", "latency": "800ms"})
    )
    assert link_settings(None)["wal_sender_timeout_ms"] > 100_000


def test_a_throttle_is_in_the_units_of_rsync() -> None:
    assert link_settings({"throttle": "1Mbit"})["throttle_kib_s"] == 123
    assert link_settings({})["throttle_kib_s"] == 0


@pytest.mark.parametrize(
    ("link", "sentence"),
    [
        (
            {"bandwidth": "fast"},
            "ship_link.bandwidth: 'fast' is no rate; write 4Mbit, 512kbit or 1Gbit.",
        ),
        (
            {"bandwidth": "0Mbit"},
            "ship_link.bandwidth: '0Mbit' is no rate; write 4Mbit, 512kbit or 1Gbit.",
        ),
        ({"latency": 600}, "ship_link.latency: 600 is no time; write 600ms or 0.6s."),
        (
            {"speed": "4Mbit"},
            "ship_link: speed is not known; it takes bandwidth, latency, throttle.",
        ),
        ("4Mbit", "ship_link: '4Mbit' is no dictionary; write {bandwidth: 4Mbit, latency: 600ms}."),
    ],
)
def test_what_cannot_be_read_is_a_sentence(link: Any, sentence: str) -> None:
    with pytest.raises(LinkError) as raised:
        link_settings(link)
    assert str(raised.value) == sentence


def test_the_documented_sample_is_what_comes_out() -> None:
    sample = yaml.safe_load(documented.RETURN)["_value"]["sample"]
    assert link_settings({"bandwidth": "4Mbit", "latency": "600ms"}) == sample
