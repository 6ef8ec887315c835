# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Gates on the tarball."""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path

from tests.gates.environments import environment
from tests.gates.paths import CACHE, CHECKOUT
from tests.gates.processes import GateError

# All that a collection's tarball may hold at its top; anything else belongs into build_ignore.
SHIPPED = {
    "CHANGELOG.md",
    "COPYING",
    "FILES.json",
    "LICENSES",
    "MANIFEST.json",
    "README.ko.md",
    "README.md",
    "REUSE.toml",
    "changelogs",
    "docs",
    "extensions",
    "inventories",
    "meta",
    "playbooks",
    "plugins",
    "requirements.txt",
    "requirements.yml",
    "roles",
}


def build() -> str:
    tarball = _build()
    with tarfile.open(tarball) as archive:
        names = archive.getnames()
    strays = [
        name
        for name in names
        if name.split("/")[0] not in SHIPPED or "__pycache__" in name or name.endswith(".pyc")
    ]
    if strays:
        raise GateError("not for shipping, so name it in build_ignore:\n  " + "\n  ".join(strays))
    return f"{tarball.name}: {len(names)} members"


def importer() -> None:
    output = environment("importer").run(
        "python",
        "-m",
        "galaxy_importer.main",
        _build(),
        capture=True,
        folder=CACHE,  # where it leaves its result
        variables={"GALAXY_IMPORTER_CONFIG": str(CHECKOUT / "tests/gates/galaxy-importer.cfg")},
    )
    print(output)
    # It ends with 0 even so.
    if "ERROR" in output or "Importer processing completed successfully" not in output:
        raise GateError("galaxy-importer found errors")


def _build() -> Path:
    folder = CACHE / "build"
    shutil.rmtree(folder, ignore_errors=True)
    environment("main").run(
        "ansible-galaxy", "collection", "build", "--output-path", folder, folder=CHECKOUT
    )
    (tarball,) = folder.glob("*.tar.gz")
    return tarball
