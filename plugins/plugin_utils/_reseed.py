# SPDX-FileCopyrightText: HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Private to this collection: it may change in any release.

"""Which ways there are to bring a ship back, and what each takes over its link.

PostgreSQL: Log-Shipping Standby Servers; Making an Incremental Backup; Replication Slots.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.hmm.pg_replication.plugins.module_utils._names import Lsn
from ansible_collections.hmm.pg_replication.plugins.plugin_utils._progress import size

Facts = Mapping[str, Any]

METHODS = {
    "physical": ("archive", "aboard", "incremental", "rsync", "pack", "stream", "rewind"),
    "logical": ("copy",),
}
FULL = ("pack", "stream", "copy")  # the first two for physical ships
_FIRST_WITH_INCREMENTAL = 17
# Of a logical ship that is seeded as a standby: kinds of data that no subscriber was made of.
_NO_SUBSCRIBER = ("absent", "seeded", "standby", "promoted")
_FOLLOWS = ("in archive recovery", "shut down in recovery")
# What a pack is of its data where none was made yet, as measured on documents with embeddings.
_PACKED = 0.75
# Of the data, what rsync tells of it in checksums; of WAL, what it makes differ in files.
_CHECKSUMS = 0.005
_SPREAD = 1.5
_LEAST = 1_000_000  # what is sent though nothing changed: the backup's own WAL, and lists of files
# Of a diverged ship nobody knows how far; as measured with a few percent of rows changed.
_DIVERGED = 0.3


class ReseedError(ValueError):
    """What is asked for cannot be; a sentence."""


@dataclass(frozen=True)
class Way:
    """One way.

    :param bytes: over the link, as far as that can be known before; None: not at all, so that it has to be asked for.
    :param reason: why it is not possible; empty where it is.
    :param pack: the pack aboard that it begins with.
    """

    way: str
    bytes: int | None = 0
    reason: str = ""
    pack: Facts | None = None

    @property
    def possible(self) -> bool:
        return not self.reason

    def told(self) -> dict[str, Any]:
        return {**vars(self), "possible": self.possible}


def lsn(text: str | None) -> Lsn:
    """A position in the WAL; 0/0 for none."""
    return Lsn.parse("lsn", text or "0/0")


def judge(ship: Facts, sources: Facts, method: str | None = None) -> dict[str, Any]:
    """What is wrong with a ship, the ways there are, and the one to take.

    :param ship: name, slot, mode, version, seed_method, seed_path, preflight.
    :param sources: what module seed_sources told of the shore, asked for where the ship's data end and for where
        each pack aboard begins.
    :param method: the way that was asked for; None: the cheapest.
    """
    name, mode = ship["name"], ship["mode"]
    if method is not None and method not in METHODS[mode]:
        raise ReseedError(
            f"{name}: ship_reseed_method is {method!r}; for a {mode} ship it can be"
            f" {', '.join(METHODS[mode])}."
        )
    state, why = _logical_state(ship, sources) if mode == "logical" else _state(ship, sources)
    full = method if method in FULL else FULL[ship["seed_method"] == "stream"]
    ways = list(_logical_ways(sources) if mode == "logical" else _ways(ship, sources, state, full))
    chosen = None
    if method is not None and state != "strange":
        chosen = next(way for way in ways if way.way == method)
        if not chosen.possible:
            raise ReseedError(
                f"{name}: ship_reseed_method {method} is not possible: {chosen.reason}."
            )
    elif state in ("lost", "diverged"):
        chosen = _cheapest(ship, ways)
    return {
        "state": state,
        "ways": [way.told() for way in ways],
        "chosen": None
        if chosen is None
        else {
            **chosen.told(),
            "full": chosen.way in FULL,
            "seed": _seed_name(ship, chosen),
        },
        "lines": list(_lines(name, state, why, ways, chosen)),
    }


def _cheapest(ship: Facts, ways: Iterable[Way]) -> Way | None:
    possible = [way for way in ways if way.possible]
    begun = ship["preflight"].get("job") or {}
    # What was begun has its bytes aboard already.
    for way in possible:
        if way.way == begun.get("way"):
            return way
    known = [(way.bytes, way) for way in possible if way.bytes is not None]
    return min(known, key=lambda pair: pair[0])[1] if known else None


def _seed_name(ship: Facts, chosen: Way) -> str:
    """A name for what is put in place, where the pack's own is in place already."""
    if chosen.way != "aboard" or chosen.pack is None:
        return ""
    pack, there = str(chosen.pack["name"]), str(ship["preflight"]["data"]["seed"] or "")
    if there.partition("+")[0] != pack:
        return pack
    return f"{pack}+{int(there.partition('+')[2] or 1) + 1}"


# --- what is wrong -------------------------------------------------------------------------------


def _state(ship: Facts, sources: Facts) -> tuple[str, str]:
    data = ship["preflight"]["data"]
    if data["system_identifier"] != sources["system_identifier"]:
        return "strange", (
            f"{data['directory']} holds no copy of the shore's data. Onboard it with ship_onboard.yml."
        )
    diverged = _divergence(data, sources)
    if diverged:
        return "diverged", diverged
    slot = sources["slots"].get(ship["slot"])
    if slot is not None and slot["wal_status"] == "lost":
        return "lost", f"its slot {ship['slot']} is lost: WAL that it needs was removed."
    if slot is None or slot["restart_lsn"] is None:
        return "lost", f"the shore has no slot {ship['slot']} that keeps WAL for it."
    behind = lsn(slot["restart_lsn"]) > lsn(data["end_lsn"])
    if not slot["active"] and behind and not sources["positions"][data["end_lsn"]]["streams"]:
        return "lost", f"the shore streams no more from {data['end_lsn']}, where its data end."
    return "sound", (
        f"its slot {ship['slot']} is {slot['wal_status']}"
        f" and {'in use' if slot['active'] else 'waits for it'}. Nothing has to be seeded;"
        " ship_onboard.yml starts it where it does not run."
    )


def _divergence(data: Facts, sources: Facts) -> str:
    """Why the data are no earlier state of the shore's; empty: they are."""
    if data["state"] not in _FOLLOWS:
        return f"its data were used otherwise than by following the shore ({data['state']})."
    ends = {entry["timeline"]: entry["end"] for entry in sources["history"]}
    here = data["timeline"]
    if here != sources["timeline"] and here not in ends:
        return f"its data are of timeline {here}, which the shore, on {sources['timeline']}, never was on."
    limit = ends.get(here) if here != sources["timeline"] else sources["current_lsn"]
    if lsn(data["end_lsn"]) > lsn(limit):
        return f"its data end at {data['end_lsn']}, and the shore's timeline {here} at {limit}."
    return ""


def _logical_state(ship: Facts, sources: Facts) -> tuple[str, str]:
    if ship["seed_method"] == "standby" and ship["preflight"]["data"]["kind"] in _NO_SUBSCRIBER:
        return "strange", (
            "no subscriber has been made of its standby yet. Run ship_onboard.yml, which goes on with that or says"
            " what stands in the way."
        )
    slot = sources["slots"].get(ship["slot"])
    if slot is None:
        return "lost", f"the shore has no slot {ship['slot']}."
    if slot["wal_status"] == "lost":
        return "lost", f"its slot {ship['slot']} is lost: WAL that it needs was removed."
    return "sound", (
        f"its slot {ship['slot']} is {slot['wal_status']}. Nothing has to be copied;"
        " ship_onboard.yml starts the subscription where it does not run."
    )


# --- the ways ------------------------------------------------------------------------------------


def _ways(ship: Facts, sources: Facts, state: str, full: str) -> Iterator[Way]:
    if state == "strange":
        return
    preflight = ship["preflight"]
    end = sources["positions"].get(preflight["data"]["end_lsn"])
    packs = [
        pack
        for pack in reversed(preflight["packs"])
        if str(pack["system_identifier"]) == sources["system_identifier"]
        and int(pack["timeline"]) == sources["timeline"]
        and _is_whole(pack, preflight["packs"])
    ]
    for way in (
        _archive(state, end),
        _aboard(packs, sources),
        _incremental(ship, packs, sources),
        _rsync(ship, state, end, sources),
        Way(full, _full_bytes(ship, sources)),
        _rewind(ship, state, sources),
    ):
        yield _with_room(way, ship, sources)


def _is_whole(pack: Facts, packs: Iterable[Facts]) -> bool:
    """Whether all that an incremental pack builds on is there."""
    by_name = {other["name"]: other for other in packs}
    while pack.get("base"):
        if pack["base"] not in by_name:
            return False
        pack = by_name[pack["base"]]
    return True


def _archive(state: str, end: Facts | None) -> Way:
    if state == "diverged" or end is None:
        return Way("archive", reason="WAL does not lead from diverged data to the shore's")
    if not end["complete"]:
        return Way("archive", reason=f"the WAL file {end['missing']} is neither archived nor kept")
    return Way("archive", end["bytes"])


def _aboard(packs: Iterable[Facts], sources: Facts) -> Way:
    reason = "no whole pack of the shore's timeline is aboard"
    for pack in packs:
        since = sources["positions"][pack["start_lsn"]]
        if since["complete"]:
            return Way("aboard", since["bytes"], pack=pack)
        reason = (
            f"the WAL file {since['missing']}, after the pack aboard, is neither archived nor kept"
        )
    return Way("aboard", reason=reason)


def _incremental(ship: Facts, packs: Iterable[Facts], sources: Facts) -> Way:
    reason = "no whole pack of the shore's timeline is aboard"
    if sources["version"] < _FIRST_WITH_INCREMENTAL:
        reason = f"PostgreSQL {sources['version']} has no incremental backups"
    elif not sources["summarizes"]:
        reason = "summarize_wal is off ashore"
    else:
        for pack in packs:
            if pack["path"] == ship["seed_path"]:
                reason = "the pack aboard was carried there, and is not kept"
                continue
            changed = sources["positions"][pack["start_lsn"]]["changed_bytes"]
            if changed is not None:
                return Way("incremental", round(changed * _ratio([pack])) + _LEAST, pack=pack)
            reason = f"the shore's summaries of WAL do not reach back to {pack['start_lsn']}"
    return Way("incremental", reason=reason)


def _rsync(ship: Facts, state: str, end: Facts | None, sources: Facts) -> Way:
    full, data = _full_bytes(ship, sources), sources["data_bytes"]
    if state == "diverged" or end is None:
        differing = full * _DIVERGED
    else:
        differing = min(full, end["written_bytes"] * _ratio(_known_packs(ship, sources)) * _SPREAD)
    return Way("rsync", round(differing + data * _CHECKSUMS) + _LEAST)


def _rewind(ship: Facts, state: str, sources: Facts) -> Way:
    """Its own dry run tells what differs, on a server that is stopped for it."""
    slot = sources["slots"].get(ship["slot"])
    if state == "lost" or slot is None or slot["wal_status"] == "lost":
        return Way("rewind", None, "WAL that it needs was removed, which no rewind brings back")
    if not ship["preflight"]["data"]["rewindable"]:
        return Way("rewind", None, "its data have neither checksums nor wal_log_hints")
    return Way("rewind", None)


def _logical_ways(sources: Facts) -> Iterator[Way]:
    yield Way("copy", sources["data_bytes"])


def _known_packs(ship: Facts, sources: Facts) -> list[Facts]:
    return [
        pack for pack in [*ship["preflight"]["packs"], *sources["packs"]] if not pack.get("base")
    ]


def _ratio(packs: list[Facts]) -> float:
    """Packed bytes to bytes, by the newest pack known."""
    return float(packs[-1]["bytes"] / packs[-1]["data_bytes"]) if packs else _PACKED


def _full_bytes(ship: Facts, sources: Facts) -> int:
    return round(float(sources["data_bytes"]) * _ratio(_known_packs(ship, sources)))


def _with_room(way: Way, ship: Facts, sources: Facts) -> Way:
    """The way, or why there is no room for it aboard: the old data stay until the new are complete."""
    data, sent = sources["data_bytes"], way.bytes or 0
    needed = {
        "archive": 0,
        "aboard": data,
        "incremental": 2 * data + 2 * sent,
        "rsync": data,
        "pack": data + sent,
        "stream": data,
        "rewind": 0,
    }[way.way]
    free = ship["preflight"]["free_bytes"]
    if not way.possible or free >= needed:
        return way
    return Way(way.way, way.bytes, f"it needs {size(needed)} aboard, and {size(free)} are free")


# --- what people read ----------------------------------------------------------------------------


_ABOUT = {
    "archive": "the ship goes on from its own data, by the shore's archived WAL",
    "aboard": "the pack that is aboard, and the shore's archived WAL after it",
    "incremental": "an incremental pack, built on the pack aboard",
    "rsync": "rsync: what differs of an unpacked pack",
    "pack": "a new pack, all of it",
    "stream": "pg_basebackup, all of it",
    "rewind": "pg_rewind: what differs, and all of the shore's pg_wal, in one go",
    "copy": "the tables, copied anew",
}


def _lines(
    name: str, state: str, why: str, ways: Iterable[Way], chosen: Way | None
) -> Iterator[str]:
    yield f"{name}: {state}; {why}"
    if state in ("lost", "diverged") or chosen is not None:
        for way in ways:
            if way.bytes is not None:
                told = f"about {size(way.bytes)}" if way.possible else f"not possible: {way.reason}"
            elif way.possible:
                told = "only when asked for"
            else:
                continue
            mark = "->" if way is chosen else "  "
            yield f"{mark} {way.way}: {_ABOUT[way.way]}; {told}."
