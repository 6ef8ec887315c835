# SPDX-FileCopyrightText: HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Private to this collection: it may change in any release.

"""Packs, the base backups that ships are seeded from: what is asked for, what is there, the plan.

PostgreSQL: pg_basebackup; Backup Manifest Format; Replication Slots.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from ansible_collections.hmm.pg_replication.plugins.module_utils._connection import (
    Session,
    login_conninfo,
)
from ansible_collections.hmm.pg_replication.plugins.module_utils._conninfo import Conninfo
from ansible_collections.hmm.pg_replication.plugins.module_utils._driver import sql
from ansible_collections.hmm.pg_replication.plugins.module_utils._errors import (
    ReplicationError,
    fail_with_all,
)
from ansible_collections.hmm.pg_replication.plugins.module_utils._names import (
    Lsn,
    check_slot_name,
    unique,
)
from ansible_collections.hmm.pg_replication.plugins.module_utils._slot import SlotState, read_slots
from ansible_collections.hmm.pg_replication.plugins.module_utils._versions import version_text

MANIFEST = "backup_manifest"
DESCRIPTION = "pack.json"
INCREMENTAL = 17  # the version that brought it
SERVER_COMPRESSION = 15  # the version of server and pg_basebackup that brought it
# compression: the archive's name, the level where none is asked for, the levels there are
ARCHIVES = {"zstd": ("base.tar.zst", 3, 22), "gzip": ("base.tar.gz", 6, 9)}
APPLICATION = "hmm.pg_replication pack {mark}"
_CREATED = "%Y-%m-%dT%H:%M:%SZ"


@dataclass(frozen=True)
class Pack:
    """A finished pack, as its pack.json describes it.

    :param bytes: the size of the archive, whose checksum is sha256.
    :param data_bytes: the size of all files in it, unpacked.
    :param version: the major version of the server.
    :param base: the pack that an incremental one builds on; empty for a full one.
    """

    name: str
    system_identifier: str
    timeline: int
    start_lsn: Lsn
    stop_lsn: Lsn
    file: str
    compression: str
    bytes: int
    sha256: str
    data_bytes: int
    version: int
    server_version: str
    created: datetime
    base: str = ""

    def described(self) -> dict[str, Any]:
        """The content of pack.json."""
        return {
            **vars(self),
            "start_lsn": str(self.start_lsn),
            "stop_lsn": str(self.stop_lsn),
            "created": self.created.strftime(_CREATED),
        }

    def shown(self, directory: Path) -> dict[str, Any]:
        return {**self.described(), "path": str(directory / self.name)}

    @classmethod
    def parse(cls, found: Mapping[str, Any]) -> Pack:
        """Read the content of a pack.json.

        :raises ValueError, KeyError, TypeError: it is none.
        """
        kinds: dict[str, Any] = {
            "timeline": int,
            "start_lsn": _lsn,
            "stop_lsn": _lsn,
            "bytes": int,
            "data_bytes": int,
            "version": int,
            "created": lambda text: datetime.strptime(text, _CREATED).replace(tzinfo=timezone.utc),
        }
        # base came later than the others.
        values = {"base": "", **found}
        return cls(
            **{name: kinds.get(name, str)(values[name]) for name in cls.__dataclass_fields__}
        )


def _lsn(text: str) -> Lsn:
    try:
        return Lsn.parse("lsn", text)
    except ReplicationError as exc:
        raise ValueError(exc.message) from None


@dataclass(frozen=True)
class PackRequest:
    """The options of the module base_backup, checked as far as that goes without a server."""

    directory: Path
    conninfo: Conninfo
    fits_slots: tuple[str, ...] = ()
    max_age: int | None = None
    force_new: bool = False
    keep: int = 2
    keep_seconds: int = 604800
    compression_level: int | None = None
    compression_workers: int = 2
    bin_directory: Path | None = None
    group: str | None = None
    check_space: bool = True
    progress_file: Path | None = None
    base: str = ""
    base_manifest: Path | None = None
    unpacked_directory: Path | None = None


_PATHS = ("directory", "bin_directory", "progress_file", "base_manifest", "unpacked_directory")


def pack_request(params: Mapping[str, Any]) -> PackRequest:
    """Read the module's options.

    :raises ReplicationError: an option is wrong.
    """
    problems = [
        f"{option}: {params[option]} is too small, the least is {least}."
        for option, least in (
            ("max_age", 1),
            ("keep", 1),
            ("keep_seconds", 0),
            ("compression_level", 1),
            ("compression_workers", 0),
        )
        if params[option] is not None and params[option] < least
    ]
    problems += [
        f"{option}: {params[option]!r} is not an absolute path."
        for option in _PATHS
        if params[option] is not None and not Path(params[option]).is_absolute()
    ]
    fail_with_all(problems)
    conninfo = login_conninfo(params)
    _check_secrets(conninfo)
    slots = unique(check_slot_name("fits_slots", name) for name in params["fits_slots"])
    paths: dict[str, Any] = {option: params[option] and Path(params[option]) for option in _PATHS}
    same = ("max_age", "force_new", "keep", "keep_seconds", "group", "check_space")
    compression = ("compression_level", "compression_workers")
    return PackRequest(
        conninfo=conninfo,
        fits_slots=tuple(slots),
        base=params["base"] or "",
        **paths,
        **{option: params[option] for option in (*same, *compression)},
    )


def _check_secrets(conninfo: Conninfo) -> None:
    """pg_basebackup gets the password by its environment; nothing else may be secret."""
    public = {keyword: value for keyword, value in conninfo.items() if keyword != "password"}
    if Conninfo(public).secrets():
        raise ReplicationError(
            "connect_params: pg_basebackup can be handed no other secret than the password; use a"
            " key without a passphrase, or a passfile."
        )


# --- reading -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PackServer:
    """What the plan has to know of the server.

    :param data_bytes: the size of all databases that the role may look into.
    """

    version: int
    system_identifier: str = ""
    timeline: int = 1
    in_recovery: bool = False
    wal_level: str = "logical"
    max_senders: int = 10
    used_senders: int = 0
    max_slots: int = 10
    used_slots: int = 0
    may_replicate: bool = True
    zstd: bool = True
    summarizes: bool = False
    data_bytes: int = 0
    tablespaces: tuple[str, ...] = ()

    @property
    def major(self) -> int:
        return self.version // 10000


_SERVER = """
SELECT (SELECT system_identifier::text FROM pg_control_system()) AS system_identifier,
       CASE WHEN pg_is_in_recovery() THEN 0
            ELSE ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::int
       END AS timeline,
       current_setting('max_wal_senders')::int AS max_senders,
       (SELECT count(*)::int FROM pg_stat_replication) AS used_senders,
       EXISTS (SELECT FROM pg_settings
                WHERE name = 'wal_compression' AND 'zstd' = ANY (enumvals)) AS zstd,
       coalesce(current_setting('summarize_wal', true) = 'on', false) AS summarizes,
       (SELECT coalesce(sum(pg_database_size(oid)), 0)::bigint
          FROM pg_database
         WHERE has_database_privilege(oid, 'CONNECT')
            OR pg_has_role('pg_read_all_stats', 'USAGE')) AS data_bytes,
       (SELECT coalesce(json_agg(spcname ORDER BY spcname), '[]'::json)
          FROM pg_tablespace WHERE spcname NOT IN ('pg_default', 'pg_global')) AS tablespaces
"""


def read_server(session: Session, request: PackRequest) -> tuple[PackServer, dict[str, SlotState]]:
    """The server, and those of the slots asked for that exist."""
    common, slots = read_slots(session, request.fits_slots)
    row = session.read(sql.SQL(_SERVER))[0]
    return (
        PackServer(
            version=session.server_version,
            in_recovery=common.in_recovery,
            wal_level=common.wal_level,
            max_slots=common.max_slots,
            used_slots=common.used_slots,
            may_replicate=common.may_replicate,
            **{**row, "tablespaces": tuple(row["tablespaces"])},
        ),
        slots,
    )


@dataclass(frozen=True)
class Folder:
    """The folder of the packs, as it is now.

    :param damaged: what looks like a pack and is none, as sentences.
    """

    now: datetime
    packs: tuple[Pack, ...] = ()
    free_bytes: int = 0
    damaged: tuple[str, ...] = ()


@dataclass(frozen=True)
class Tool:
    """A pg_basebackup and its major version."""

    path: Path
    major: int


# --- planning ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PackPlan:
    """What to do.

    :param fits: the pack that is there and fits; None: one has to be made.
    :param reason: why that is so, as a sentence.
    :param removed: the packs to remove once the new one is there.
    :param expected: the slots that are still to be made, or to be made anew.
    """

    fits: Pack | None
    reason: str
    removed: tuple[Pack, ...] = ()
    expected: tuple[str, ...] = ()


def plan_pack(
    request: PackRequest,
    server: PackServer,
    slots: Mapping[str, SlotState],
    folder: Folder,
    foreseeing: bool = False,
) -> PackPlan:
    """Whether a pack fits, or what has to be done.

    :param foreseeing: a slot that is missing or lost would be there by the time of the real run.
    :raises ReplicationError: no pack could fit, or none can be made; all problems in one error.
    """
    expected = [
        name
        for name in request.fits_slots
        if foreseeing and (name not in slots or slots[name].lost)
    ]
    fail_with_all(
        [
            *_misfits(server),
            *_slot_problems([name for name in request.fits_slots if name not in expected], slots),
        ]
    )
    # Two may be of the same second; the position then tells which came later.
    newest_first = sorted(
        folder.packs, key=lambda pack: (pack.created, pack.timeline, pack.start_lsn), reverse=True
    )
    reasons = []
    if request.force_new:
        reasons.append("A new pack is asked for (force_new).")
    elif expected:
        reasons.append(f"Slot {expected[0]} is still to be made, and a pack has to be younger.")
    else:
        for pack in newest_first:
            reason = why_not(pack, request, server, slots, folder.now)
            if reason is None:
                return PackPlan(pack, f"Pack {pack.name} fits.")
            reasons.append(f"Pack {pack.name} {reason}.")
    fail_with_all(_obstacles(request, server, folder))
    kept = newest_first[: request.keep - 1]
    return PackPlan(
        fits=None,
        expected=tuple(expected),
        reason=reasons[0] if reasons else "There is no pack yet.",
        removed=tuple(
            pack
            for pack in newest_first
            if pack not in kept
            and (folder.now - pack.created).total_seconds() > request.keep_seconds
        ),
    )


def _misfits(server: PackServer) -> Iterable[str]:
    """Why no pack of this server could fit anything."""
    if server.in_recovery:
        yield (
            "The server is a standby: connect to its primary, whose slots and timeline a pack has"
            " to fit."
        )
    if server.tablespaces:
        yield (
            f"The server has tablespaces of its own ({', '.join(server.tablespaces)}), and a pack"
            " has no place for them: move what is in them to pg_default and drop them."
        )


def _slot_problems(names: Iterable[str], slots: Mapping[str, SlotState]) -> Iterable[str]:
    """Why no pack could fit these slots."""
    for name in names:
        state = slots.get(name)
        if state is None:
            yield (
                f"fits_slots: there is no slot {name} on the server: make it first, with"
                " immediately_reserve."
            )
        elif state.lost:
            yield (
                f"fits_slots: slot {name} is lost and protects nothing: make it anew first"
                " (replication_slot with on_lost: recreate)."
            )
        elif state.restart_lsn is None:
            yield (
                f"fits_slots: slot {name} retains no WAL yet, so that nothing keeps what its ship"
                " needs after the pack: drop it, and make it anew with immediately_reserve."
            )


def why_not(
    pack: Pack,
    request: PackRequest,
    server: PackServer,
    slots: Mapping[str, SlotState],
    now: datetime,
) -> str | None:
    """Why a pack does not fit, as the end of a sentence; None: it does."""
    if pack.base != request.base:
        return f"builds on {pack.base}" if pack.base else "is a full one"
    other = _other_server(pack, server)
    if other:
        return other
    for name in request.fits_slots:
        kept = slots[name].restart_lsn
        if kept is not None and pack.start_lsn < kept:
            return f"begins at {pack.start_lsn}, and slot {name} keeps WAL from {kept} on only"
    age = (now - pack.created).total_seconds()
    if request.max_age is not None and age > request.max_age:
        return f"is {age:.0f} s old, older than max_age"
    return None


def _other_server(pack: Pack, server: PackServer) -> str | None:
    """Why a pack is not of this server as it is now, as the end of a sentence; None: it is."""
    if pack.system_identifier != server.system_identifier:
        return "is of another cluster: it has another system identifier"
    if pack.version != server.major:
        return f"was made by PostgreSQL {pack.version}, the server is {server.major} now"
    if pack.timeline != server.timeline:
        return f"is of timeline {pack.timeline}, the server is on {server.timeline} now"
    return None


def _obstacles(request: PackRequest, server: PackServer, folder: Folder) -> Iterable[str]:
    """Why no pack can be made."""
    if not server.may_replicate:
        yield (
            "The connecting role may not take a base backup: it has to be a superuser or have the"
            " attribute REPLICATION (ALTER ROLE ... REPLICATION)."
        )
    if server.wal_level == "minimal":
        yield "wal_level is minimal on the server: set it to replica or logical, and restart."
    if server.used_senders >= server.max_senders:
        yield (
            f"All {server.max_senders} walsenders of the server are in use, and a base backup"
            " needs one: raise max_wal_senders, and restart."
        )
    if request.base and server.major < INCREMENTAL:
        yield (
            f"base: incremental backups came with PostgreSQL {INCREMENTAL}, and the server is"
            f" {server.major}: take a full pack."
        )
    elif request.base and not server.summarizes:
        yield (
            "base: the server does not note which blocks change: set summarize_wal to on, which"
            " serves packs that are made from then on, and take a full pack now."
        )
    if not request.fits_slots and server.used_slots >= server.max_slots:
        yield (
            f"All {server.max_slots} replication slots of the server are in use, and a base backup"
            " that no slot in fits_slots guards needs one for as long as it runs: raise"
            " max_replication_slots, and restart."
        )
    if request.check_space and folder.free_bytes < server.data_bytes:
        yield (
            f"directory: {request.directory} has {_size(folder.free_bytes)} free, and a pack of"
            f" databases of {_size(server.data_bytes)} may need as much: free space there, or set"
            " check_space to false where the data is known to compress well."
        )


def _size(count: float) -> str:
    for unit in ("bytes", "kB", "MB"):
        if count < 1000:  # noqa: PLR2004
            return f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


def compression_of(server: PackServer, tool: Tool) -> str:
    """zstd where the server itself can do it, so that nothing else is needed."""
    able = min(server.major, tool.major) >= SERVER_COMPRESSION and server.zstd
    return "zstd" if able else "gzip"


def check_level(request: PackRequest, compression: str) -> None:
    _archive, _default, most = ARCHIVES[compression]
    if request.compression_level is not None and request.compression_level > most:
        raise ReplicationError(
            f"compression_level: {request.compression_level} is too much for {compression}, which"
            f" this server's packs are compressed with: the most is {most}."
        )


def check_tool(server: PackServer, tool: Tool) -> None:
    if tool.major < server.major:
        raise ReplicationError(
            f"{tool.path} is of PostgreSQL {tool.major} and the server is"
            f" {version_text(server.version)}: install postgresql-client-{server.major}, or name"
            " the folder of a pg_basebackup that is not older in bin_directory."
        )


def backup_command(
    request: PackRequest, tool: Tool, compression: str, target: Path, mark: str
) -> list[str]:
    """The words of the call of pg_basebackup. No secret is among them: others may see them."""
    level = request.compression_level or ARCHIVES[compression][1]
    if compression == "zstd":
        method = f"server-zstd:level={level},workers={request.compression_workers}"
    elif tool.major >= SERVER_COMPRESSION:
        method = f"client-gzip:level={level}"
    else:
        method = str(level)
    public = {
        keyword: value
        for keyword, value in request.conninfo.items()
        if keyword not in ("password", "dbname")
    }
    return [
        str(tool.path),
        *([f"--incremental={request.base_manifest}"] if request.base else []),
        f"--dbname={Conninfo({**public, 'application_name': APPLICATION.format(mark=mark)}).dsn()}",
        f"--pgdata={target}",
        "--format=tar",
        # All that a start needs is in the one archive: nothing has to be streamed beside it.
        "--wal-method=fetch",
        "--checkpoint=fast",
        "--manifest-checksums=SHA256",
        f"--compress={method}",
        "--progress",
        "--no-password",
    ]


@dataclass(frozen=True)
class Manifest:
    """What a backup's manifest says of it."""

    timeline: int
    start_lsn: Lsn
    stop_lsn: Lsn
    data_bytes: int

    @classmethod
    def parse(cls, found: Mapping[str, Any]) -> Manifest:
        """Read a manifest's content (PostgreSQL: Backup Manifest Format)."""
        try:
            ranges = found["WAL-Ranges"]
            return cls(
                timeline=int(ranges[-1]["Timeline"]),
                start_lsn=_lsn(ranges[0]["Start-LSN"]),
                stop_lsn=_lsn(ranges[-1]["End-LSN"]),
                data_bytes=sum(int(entry["Size"]) for entry in found["Files"]),
            )
        except (KeyError, IndexError, TypeError, ValueError):
            raise ReplicationError(
                f"pg_basebackup's {MANIFEST} cannot be read: it is not what PostgreSQL documents."
            ) from None
