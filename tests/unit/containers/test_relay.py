# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The relay between shore and ships, without a network: what it holds, loses and counts."""

from __future__ import annotations

import importlib.util
import socket
import struct
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

PROGRAM = Path(__file__).parents[3] / "molecule" / "shared" / "relay" / "relay.py"
SHORE = "198.18.1.10"
SHIP = "198.18.2.21"


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("relay", PROGRAM)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["relay"] = module
    spec.loader.exec_module(module)
    return module


program = load()


def packet(source: str, target: str, source_port: int, target_port: int, payload: int) -> bytes:
    """A TCP packet of IPv4 with this many bytes of payload."""
    tcp = struct.pack("!HHIIBBHHH", source_port, target_port, 0, 0, 5 << 4, 0, 0, 0, 0)
    addresses = socket.inet_aton(source) + socket.inet_aton(target)
    length = 20 + len(tcp) + payload
    header = struct.pack("!BBHHHBBH", 0x45, 0, length, 0, 0, 64, program.TCP, 0) + addresses
    return header + tcp + bytes(payload)


@pytest.fixture
def relay() -> Any:
    return program.Relay(socket.inet_aton(SHORE)[:3])


def test_a_packet_takes_its_time_on_the_air_and_the_delay(relay: Any) -> None:
    relay.obey(["set", "rate=8000", "delay=0.5"])
    relay.take(packet(SHORE, SHIP, 22, 40000, 960), 100.0)  # 1000 bytes: one second
    assert relay.next_arrival() == pytest.approx(101.5)
    assert relay.give(101.4) == []
    assert len(relay.give(101.6)) == 1
    assert relay.next_arrival() is None


def test_packets_queue_behind_each_other_and_are_lost_where_the_queue_is_full(relay: Any) -> None:
    relay.obey(["set", "rate=8000", "delay=0", "queue=2500"])
    for _number in range(4):
        relay.take(packet(SHORE, SHIP, 22, 40000, 960), 0.0)
    assert relay.ways["to_ship"].lost == 2000
    assert len(relay.give(1.0)) == 1
    assert len(relay.give(2.0)) == 1


def test_the_ways_do_not_wait_for_each_other(relay: Any) -> None:
    relay.obey(["set", "rate=8000"])
    relay.take(packet(SHORE, SHIP, 22, 40000, 960), 0.0)
    relay.take(packet(SHIP, SHORE, 40000, 22, 0), 0.0)
    assert len(relay.give(0.05)) == 1


def test_a_cut_swallows_what_is_on_its_way_and_what_comes(relay: Any) -> None:
    relay.obey(["set", "delay=1"])
    relay.take(packet(SHORE, SHIP, 22, 40000, 60), 0.0)
    assert relay.obey(["cut"])["up"] is False
    relay.take(packet(SHIP, SHORE, 40000, 22, 60), 0.1)
    assert relay.give(10.0) == []
    assert relay.obey(["heal"])["to_ship"]["lost"] == 100
    relay.take(packet(SHORE, SHIP, 22, 40000, 60), 20.0)
    assert len(relay.give(21.0)) == 1


@pytest.mark.parametrize(
    ("source", "target", "way", "name"),
    [
        ((SHORE, 22), (SHIP, 40000), "to_ship", "shore:ssh"),
        ((SHORE, 40000), (SHIP, 22), "to_ship", "ship:ssh"),
        ((SHIP, 40000), (SHORE, 22), "to_shore", "shore:ssh"),
        ((SHIP, 40000), (SHORE, 5432), "to_shore", "shore:postgresql"),
        ((SHIP, 40000), (SHORE, 8080), "to_shore", "other"),
    ],
)
def test_bytes_are_counted_by_the_service_they_are_for(
    relay: Any, source: tuple[str, int], target: tuple[str, int], way: str, name: str
) -> None:
    relay.obey(["set", "delay=0"])
    relay.take(packet(source[0], target[0], source[1], target[1], 60), 0.0)
    relay.give(0.0)
    passed = relay.obey(["status"])[way]["passed"]
    assert passed == {name: {"packets": 1, "bytes": 100, "payload": 60}}
    assert relay.obey(["reset"])[way] == {"lost": 0, "passed": {}}


@pytest.mark.parametrize("words", [["set", "colour=1"], ["jam"]])
def test_what_is_not_known_is_an_error(relay: Any, words: list[str]) -> None:
    assert "no such" in relay.obey(words)["error"]
