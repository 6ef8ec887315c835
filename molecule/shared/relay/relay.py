# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The sky between shore and ships: a router that delays, limits, cuts and counts.

    relay.py run SHORE SHIP          with these addresses of its own in the two networks
    relay.py set KEY=VALUE ...      rate (bits a second, 0: any), delay (seconds one way), queue (bytes)
    relay.py cut                    a black hole both ways: no reset, no error
    relay.py heal
    relay.py status                 what has passed, as JSON
    relay.py reset                  count anew

It lives in a container with a leg in each network. The kernel sends what comes in on either leg to
a TUN device, this program holds it and hands it back, and the kernel routes it on. Connections are
not ended here, as they would be by a proxy, so their timeouts are those of the two ends.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import socket
import struct
import subprocess
import sys
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

CONTROL = "/run/relay.sock"
TUN = "space"
TUNSETIFF = 0x400454CA
IFF_TUN_NO_PACKET_INFORMATION = 0x1001
TABLE = "100"
LARGEST = 65536
PATIENCE = 30  # seconds for Docker to connect the second network
IPV4 = 4
TCP = 6
SERVICES = {22: "ssh", 5432: "postgresql"}


@dataclass
class Way:
    """One direction: what is on it, and what has passed."""

    free_at: float = 0.0
    waiting: deque[tuple[float, bytes]] = field(default_factory=deque)
    counts: dict[str, dict[str, int]] = field(default_factory=dict)
    lost: int = 0

    def count(self, packet: bytes, server_here: str, server_there: str) -> None:
        name, payload = _classify(packet, server_here, server_there)
        counts = self.counts.setdefault(name, {"packets": 0, "bytes": 0, "payload": 0})
        counts["packets"] += 1
        counts["bytes"] += len(packet)
        counts["payload"] += payload


class Relay:
    """The link's state; packets go in by take() and come out by give()."""

    def __init__(self, shore: bytes) -> None:
        self.shore = shore  # the first three bytes of its addresses
        self.settings = {"rate": 0.0, "delay": 0.0, "queue": 256 * 1024.0}
        self.up = True
        self.ways = {"to_ship": Way(), "to_shore": Way()}

    def take(self, packet: bytes, now: float) -> None:
        """Put a packet on its way, unless the link is cut or its queue full."""
        if packet[0] >> 4 != IPV4:
            return
        way = self.ways["to_ship" if packet[12:15] == self.shore else "to_shore"]
        rate, queue = self.settings["rate"], self.settings["queue"]
        starts = max(now, way.free_at)
        if not self.up or (rate and (starts - now) * rate / 8 + len(packet) > queue):
            way.lost += len(packet)
            return
        way.free_at = starts + (len(packet) * 8 / rate if rate else 0)
        way.waiting.append((way.free_at + self.settings["delay"], packet))

    def give(self, now: float) -> list[bytes]:
        """The packets that have arrived by now."""
        arrived = []
        for name, way in self.ways.items():
            here, there = ("shore", "ship") if name == "to_ship" else ("ship", "shore")
            while way.waiting and way.waiting[0][0] <= now:
                packet = way.waiting.popleft()[1]
                way.count(packet, here, there)
                arrived.append(packet)
        return arrived

    def next_arrival(self) -> float | None:
        """When the next packet arrives, if one is on its way."""
        return min((way.waiting[0][0] for way in self.ways.values() if way.waiting), default=None)

    def cut(self) -> None:
        """Let nothing pass any more, what is on its way included."""
        self.up = False
        for way in self.ways.values():
            way.lost += sum(len(packet) for _due, packet in way.waiting)
            way.waiting.clear()
            way.free_at = 0.0

    def obey(self, words: list[str]) -> dict[str, object]:
        """Do as a client says, and tell the state."""
        command, *rest = words
        if command == "cut":
            self.cut()
        elif command == "heal":
            self.up = True
        elif command == "reset":
            self.ways = {"to_ship": Way(), "to_shore": Way()}
        elif command == "set":
            for word in rest:
                key, _sign, value = word.partition("=")
                if key not in self.settings:
                    return {"error": f"no such setting: {key}"}
                self.settings[key] = float(value)
        elif command != "status":
            return {"error": f"no such command: {command}"}
        counted = {
            name: {"lost": way.lost, "passed": way.counts} for name, way in self.ways.items()
        }
        return {"up": self.up, **self.settings, **counted}


def _classify(packet: bytes, here: str, there: str) -> tuple[str, int]:
    """Whose service a packet belongs to, such as shore:ssh, and the bytes of payload in it."""
    if packet[9] != TCP:
        return "other", 0
    header = (packet[0] & 15) * 4
    (source, target) = struct.unpack_from("!HH", packet, header)
    payload = len(packet) - header - (packet[header + 12] >> 4) * 4
    if source in SERVICES:
        return f"{here}:{SERVICES[source]}", payload
    if target in SERVICES:
        return f"{there}:{SERVICES[target]}", payload
    return "other", payload


def run(shore: str, ship: str) -> None:
    """Carry packets until the container ends."""
    interfaces = [_interface(address) for address in (shore, ship)]
    tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH", TUN.encode(), IFF_TUN_NO_PACKET_INFORMATION))
    _ip("link", "set", TUN, "up", "txqueuelen", "5000")
    _ip("route", "replace", "default", "dev", TUN, "table", TABLE)
    for interface in interfaces:
        _ip("rule", "add", "iif", interface, "lookup", TABLE, "priority", "100")
    Path(CONTROL).unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as control:
        control.bind(CONTROL)
        control.listen()
        relay = Relay(socket.inet_aton(shore)[:3])
        while True:
            due = relay.next_arrival()
            patience = None if due is None else max(0.0, due - time.monotonic())
            readable, _writable, _failed = select.select([tun, control.fileno()], [], [], patience)
            if tun in readable:
                with contextlib.suppress(BlockingIOError):
                    while True:
                        relay.take(os.read(tun, LARGEST), time.monotonic())
            for packet in relay.give(time.monotonic()):
                with contextlib.suppress(OSError):  # the other end may be switched off
                    os.write(tun, packet)
            if control.fileno() in readable:
                _answer(control, relay)


def _answer(control: socket.socket, relay: Relay) -> None:
    client, _address = control.accept()
    with client, contextlib.suppress(OSError, ValueError):
        client.settimeout(1)
        client.sendall(json.dumps(relay.obey(json.loads(client.recv(LARGEST)))).encode())


def ask(words: list[str]) -> int:
    """Hand a command to the running relay."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.connect(CONTROL)
        client.sendall(json.dumps(words).encode())
        answer = b"".join(iter(lambda: client.recv(LARGEST), b"")).decode()
    sys.stdout.write(f"{answer}\n")
    return int("error" in json.loads(answer))


def _interface(address: str) -> str:
    """The interface that has this address, once the container has been connected to it."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        shown = subprocess.run(["ip", "-json", "address"], check=True, capture_output=True).stdout
        for interface in json.loads(shown):
            if any(found.get("local") == address for found in interface["addr_info"]):
                return str(interface["ifname"])
        time.sleep(0.1)
    raise SystemExit(f"no interface has the address {address}")


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


def main(words: list[str]) -> int:
    if words[:1] == ["run"]:
        run(*words[1:])
        return 0
    return ask(words)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
