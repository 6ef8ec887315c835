#!/usr/bin/python
# SPDX-FileCopyrightText: HMM pg_replication contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Make packs: base backups that ships are seeded from."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: base_backup
short_description: Make a compressed base backup that ships are seeded from
version_added: 0.1.0
description:
  - Ensures that there is a pack, which is a compressed and complete base backup in a folder of its own, that a new
    standby with each of the named slots can start from. Where a pack that is there fits, it is taken.
  - A pack never changes once it has its name, so that a transfer of it can be resumed at any byte. It holds
    C(base.tar.zst) or C(base.tar.gz), C(backup_manifest) for C(pg_verifybackup), and C(pack.json) with what
    RV(pack) tells.
  - It is made in a hidden folder and put in place by a rename when it is whole and on disk. What a killed run left is
    removed by the next one. Of two runs at once, the second waits and finds what the first has made.
  - Runs on the database server itself, with C(pg_basebackup). It may take long, so let it run with C(async), and
    follow O(progress_file).
extends_documentation_fragment:
  - hmm.pg_replication.attributes
  - hmm.pg_replication.connection
attributes:
  check_mode:
    support: full
    details:
      - A slot that is missing or lost is an error of the real run, and a warning in check mode, since an earlier task
        may be about to make it.
      - What the disk or the server refuse only while the backup runs is not foreseen.
  diff_mode:
    support: full
  idempotent:
    support: full
    details:
      - With O(force_new=true), every run makes a pack.
options:
  directory:
    description:
      - The folder of the packs, each a folder in it. It is made where it is missing.
    type: path
    required: true
  fits_slots:
    description:
      - The physical or logical slots that the pack has to fit. It begins at or after the C(restart_lsn) of each, so
        that all WAL that a ship needs after it is kept for that ship.
      - A slot has to be there and to retain WAL already, see
        O(hmm.pg_replication.replication_slot#module:immediately_reserve). Nothing but the ship's standby may use it,
        for what uses a slot moves it on.
      - These slots also keep the WAL that is written while the backup runs and that belongs into it. Where none is
        named, a temporary slot does, which is gone with the run.
    type: list
    elements: str
    default: []
  max_age:
    description:
      - So many seconds old may a pack be that is taken. The older it is, the more WAL a ship fetches after it.
      - Where it is omitted, any age will do.
    type: int
  force_new:
    description:
      - Whether to make a pack even where one fits.
    type: bool
    default: false
  keep:
    description:
      - How many packs stay, the new one included, when a new one has been made. The oldest are removed.
    type: int
    default: 2
  keep_seconds:
    description:
      - A pack younger than so many seconds, a week by default, is never removed, since a ship may be fetching it yet.
    type: int
    default: 604800
  compression_level:
    description:
      - The level of the compression, 1 to 22 for zstd and 1 to 9 for gzip. Where it is omitted, it is 3 for zstd and
        6 for gzip. Higher levels of zstd take far longer and save little.
    type: int
  compression_workers:
    description:
      - How many threads of the server compress. For zstd only.
    type: int
    default: 2
  bin_directory:
    description:
      - The folder with C(pg_basebackup), which must not be older than the server. Where it is omitted, that of the
        server's version is looked for, then any that is newer.
    type: path
  group:
    description:
      - The group of the pack's files, which may read them and which nobody else may. Where it is omitted, it is that
        of the user who runs the task.
    type: str
  check_space:
    description:
      - Whether to refuse to begin where less is free on the disk of O(directory) than the databases have bytes.
    type: bool
    default: true
  base:
    description:
      - The name of a pack that is to be built on, so that the new one has but the blocks that changed since. Its ship
        has to have that one, and puts both together with C(pg_combinebackup).
      - PostgreSQL 17 or newer, with C(summarize_wal) on since before that pack was made.
      - Where it is omitted, the pack is a full one.
    type: str
  base_manifest:
    description:
      - The C(backup_manifest) of O(base), a file on this host.
    type: path
  unpacked_directory:
    description:
      - A folder to have the pack's files in as well, in a folder of the pack's name, for C(rsync) onto older data.
    type: path
  progress_file:
    description:
      - A file to tell the progress in, as JSON with C(step) (V(pack)), C(state) (V(running), V(waiting), V(done) or
        V(failed)), C(done_bytes), C(total_bytes) (V(0) where it is not known), C(rate) in bytes a second,
        C(seconds_left), C(message) and C(updated). Its folder has to be there.
      - Remove an old one before the task, so that nobody takes the last run's word for this one's.
    type: path
seealso:
  - module: hmm.pg_replication.replication_slot
  - name: pg_basebackup
    description: The program that makes the backup.
    link: https://www.postgresql.org/docs/current/app-pgbasebackup.html
  - name: pg_verifybackup
    description: The program that verifies it when it is unpacked.
    link: https://www.postgresql.org/docs/current/app-pgverifybackup.html
requirements:
  - C(pg_basebackup) of the server's version or a newer one (Debian C(postgresql-client-15), C(postgresql-client-17))
notes:
  - The connecting role has to be a superuser or have the attribute REPLICATION, and C(pg_hba.conf) has to admit it
    for replication.
  - Packs are compressed by the server with zstd where it is PostgreSQL 15 or newer and built with it, as Debian's
    is. Otherwise C(pg_basebackup) compresses with gzip.
  - A server with tablespaces of its own is refused, and a standby is.
author:
  - HMM pg_replication contributors (@hmm-pg-replication)
"""

EXAMPLES = r"""
- name: Ensure that the ships' slots keep WAL
  hmm.pg_replication.replication_slot:
    name: [ship_algeciras, ship_oslo]
  become: true
  become_user: postgres

- name: Ensure a pack that both ships can be seeded from
  hmm.pg_replication.base_backup:
    directory: /var/lib/pg_replication/main/packs
    fits_slots: [ship_algeciras, ship_oslo]
  become: true
  become_user: postgres
  register: seed

- name: Show how much there is to fetch
  ansible.builtin.debug:
    msg: "{{ seed.pack.path }}: {{ seed.pack.bytes }} bytes"

- name: Make a new pack every week, and keep four
  hmm.pg_replication.base_backup:
    directory: /var/lib/pg_replication/main/packs
    max_age: 604800
    keep: 4
    progress_file: /var/lib/pg_replication/main/pack_progress.json
  become: true
  become_user: postgres
  async: 86400
  poll: 10
"""

RETURN = r"""
pack:
  description: The pack that fits. In check mode, where one is to be made, what is not known yet is null.
  returned: success
  type: dict
  contains:
    name:
      description: Its name, which begins with the time it was made at.
      type: str
      returned: always
    path:
      description: Its folder.
      type: str
      returned: always
    file:
      description: The name of the archive in it, C(base.tar.zst) or C(base.tar.gz).
      type: str
      returned: always
    compression:
      description: V(zstd) or V(gzip).
      type: str
      returned: always
    bytes:
      description: The size of the archive.
      type: int
      returned: always
    sha256:
      description: The archive's checksum.
      type: str
      returned: always
    data_bytes:
      description: The size of the files in it, unpacked, WAL left out.
      type: int
      returned: always
    system_identifier:
      description: The cluster's system identifier.
      type: str
      returned: always
    timeline:
      description: The timeline at the end of the backup.
      type: int
      returned: always
    start_lsn:
      description: Where recovery of the backup begins.
      type: str
      returned: always
    stop_lsn:
      description: Where it is consistent.
      type: str
      returned: always
    version:
      description: The server's major version.
      type: int
      returned: always
    server_version:
      description: The server's version.
      type: str
      returned: always
    created:
      description: When it was made, in UTC.
      type: str
      returned: always
    base:
      description: The pack that it builds on; empty for a full one.
      type: str
      returned: always
  sample:
    name: 20261122T201530Z-1-0000000003000028
    path: /var/lib/pg_replication/main/packs/20261122T201530Z-1-0000000003000028
    file: base.tar.zst
    compression: zstd
    bytes: 530012345
    sha256: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
    data_bytes: 700123456
    system_identifier: "7543210987654321098"
    timeline: 1
    start_lsn: 0/3000028
    stop_lsn: 0/3000138
    version: 15
    server_version: "15.18"
    created: "2026-11-22T20:15:30Z"
    base: ""
unpacked:
  description: The folder with the pack's files; null where O(unpacked_directory) is omitted, or before it is there.
  returned: success
  type: str
  sample: /var/lib/pg_replication/main/unpacked/20261122T201530Z-1-0000000003000028
reason:
  description: Why a pack was made, or that one fits, as a sentence.
  returned: success
  type: str
  sample: Pack 20261121T201530Z-1-0000000003000028 begins at 0/3000028, and slot ship_oslo keeps WAL from 0/5000000 on
    only.
removed:
  description: The names of the packs that were removed.
  returned: success
  type: list
  elements: str
  sample: []
"""

from typing import Any

from ansible_collections.hmm.pg_replication.plugins.module_utils._errors import ReplicationError
from ansible_collections.hmm.pg_replication.plugins.module_utils._module import (
    Context,
    Result,
    run_module,
)
from ansible_collections.hmm.pg_replication.plugins.module_utils._pack import (
    ARCHIVES,
    Folder,
    Pack,
    PackPlan,
    PackRequest,
    PackServer,
    Tool,
    check_level,
    check_tool,
    compression_of,
    pack_request,
    plan_pack,
    read_server,
    why_not,
)
from ansible_collections.hmm.pg_replication.plugins.module_utils._pack_make import (
    Maker,
    clean,
    find_tool,
    group_id,
    read_folder,
    remove_packs,
    sole_use,
    told,
    unpack,
)
from ansible_collections.hmm.pg_replication.plugins.module_utils._progress_file import Progress


def ensure_pack(context: Context, request: PackRequest) -> Result:
    """Have a pack that fits: the one that is there, or a new one."""
    if context.check_mode:
        return Run(context, request, Progress(None, "pack")).foresee()
    progress = Progress(request.progress_file, "pack")
    try:
        with told():
            progress.tell("waiting", "The pack is prepared.")
            result = Run(context, request, progress).carry_out()
            pack = result["pack"]
            progress.tell("done", f"Pack {pack['name']} is ready.", pack["bytes"], pack["bytes"])
    except ReplicationError as exc:
        with told():
            progress.tell("failed", exc.message)
        raise
    return result


class Run:
    """One run of the module."""

    def __init__(self, context: Context, request: PackRequest, progress: Progress) -> None:
        self.context = context
        self.request = request
        self.progress = progress

    def foresee(self) -> Result:
        """Tell what carry_out() would do."""
        group_id(self.request.group)
        plan, server, folder = self.plan()
        if plan.fits:
            return self.unpacked(plan.fits, self.fitting(plan.fits, plan), -1)
        _tool, compression = self.means(server)
        pack = dict.fromkeys([*Pack.__dataclass_fields__, "path"])
        pack |= {
            "file": ARCHIVES[compression][0],
            "compression": compression,
            "system_identifier": server.system_identifier,
            "timeline": server.timeline,
            "version": server.major,
            "base": self.request.base,
        }
        made = self.made(pack, plan, folder)
        return {
            **(_with_files(made) if self.request.unpacked_directory else made),
            "unpacked": None,
        }

    def carry_out(self) -> Result:
        directory = self.request.directory
        group = group_id(self.request.group)
        with sole_use(directory, group, self.progress) as lock:
            clean(directory)
            plan, server, folder = self.plan()
            if plan.fits:
                return self.unpacked(plan.fits, self.fitting(plan.fits, plan), group)
            tool, compression = self.means(server)
            maker = Maker(self.context.session, self.request, server, tool, self.progress)
            pack = maker.make(compression, group, lock)
            self.check_fits(pack)
            remove_packs(directory, plan.removed)
            return self.unpacked(pack, self.made(pack.shown(directory), plan, folder), group)

    def unpacked(self, pack: Pack, result: Result, group: int) -> Result:
        """The result, once the pack's files are unpacked too, where that is asked for."""
        if self.request.unpacked_directory is None:
            return {**result, "unpacked": None}
        target = self.request.unpacked_directory / pack.name
        if target.is_dir():
            return {**result, "unpacked": str(target)}
        if not self.context.check_mode:
            unpack(self.request, pack, group, self.progress, target)
        return {**_with_files(result), "unpacked": str(target)}

    def plan(self) -> tuple[PackPlan, PackServer, Folder]:
        server, slots = read_server(self.context.session, self.request)
        folder = read_folder(self.request.directory)
        self.context.warnings.extend(folder.damaged)
        plan = plan_pack(self.request, server, slots, folder, foreseeing=self.context.check_mode)
        self.context.warnings.extend(
            f"fits_slots: there is no slot {name} that keeps WAL on the server yet; without it, the"
            " real run fails."
            for name in plan.expected
        )
        return plan, server, folder

    def means(self, server: PackServer) -> tuple[Tool, str]:
        """What to make a pack with, and how."""
        tool = find_tool(self.request.bin_directory, server.major)
        check_tool(server, tool)
        compression = compression_of(server, tool)
        check_level(self.request, compression)
        return tool, compression

    def check_fits(self, pack: Pack) -> None:
        """A slot in use moves on, and a new timeline may have begun meanwhile."""
        server, slots = read_server(self.context.session, self.request)
        missing = [name for name in self.request.fits_slots if name not in slots]
        reason = (
            f"has been made, and slot {missing[0]} is gone meanwhile"
            if missing
            else why_not(pack, self.request, server, slots, pack.created)
        )
        if reason:
            raise ReplicationError(
                f"The new pack {pack.name} {reason}: did something use the slot, or did the server"
                " change while the pack was made? Run the task again when that has ended.",
                changed=True,
            )

    def fitting(self, pack: Pack, plan: PackPlan) -> Result:
        shown = pack.shown(self.request.directory)
        return {
            "changed": False,
            "pack": shown,
            "reason": plan.reason,
            "removed": [],
            "diff": {"before": {}, "after": {}},
        }

    def made(self, pack: dict[str, Any], plan: PackPlan, folder: Folder) -> Result:
        before = sorted(pack.name for pack in folder.packs)
        removed = sorted(pack.name for pack in plan.removed)
        after = [name for name in before if name not in removed]
        return {
            "changed": True,
            "pack": pack,
            "reason": plan.reason,
            "removed": removed,
            "diff": {
                "before": {"packs": before},
                "after": {"packs": [*after, "a new one"]},
            },
        }


def _with_files(result: Result) -> Result:
    """The result of a run that unpacks the pack, too."""
    diff = result["diff"]
    return {
        **result,
        "changed": True,
        "diff": {
            "before": {**diff["before"], "unpacked": False},
            "after": {**diff["after"], "unpacked": True},
        },
    }


def main() -> None:
    run_module(
        {
            "directory": {"type": "path", "required": True},
            "fits_slots": {"type": "list", "elements": "str", "default": []},
            "max_age": {"type": "int"},
            "force_new": {"type": "bool", "default": False},
            "keep": {"type": "int", "default": 2},
            "keep_seconds": {"type": "int", "default": 604800},
            "compression_level": {"type": "int"},
            "compression_workers": {"type": "int", "default": 2},
            "bin_directory": {"type": "path"},
            "group": {"type": "str"},
            "check_space": {"type": "bool", "default": True},
            "base": {"type": "str"},
            "base_manifest": {"type": "path"},
            "unpacked_directory": {"type": "path"},
            "progress_file": {"type": "path"},
        },
        pack_request,
        ensure_pack,
        required_together=[("base", "base_manifest")],
    )


if __name__ == "__main__":
    main()
