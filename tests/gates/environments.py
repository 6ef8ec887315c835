# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Virtual environments under .cache/, each made from one fully pinned requirements file."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.gates.paths import CACHE, REQUIREMENTS, TREE
from tests.gates.processes import run


@dataclass(frozen=True)
class Environment:
    """A virtual environment, present and complete."""

    root: Path

    def program(self, name: str) -> Path:
        return self.root / "bin" / name

    def run(self, program: str, *arguments: str | Path, **more: object) -> str:
        """Run one of its programs, with the variables that every gate wants."""
        extra = more.pop("variables", {})
        environment = {**self.variables(), **extra}  # type: ignore[dict-item]
        return run([self.program(program), *arguments], environment, **more)  # type: ignore[arg-type]

    def variables(self) -> dict[str, str]:
        """This process's environment, with all caches under .cache/."""
        return {
            **{
                name: value
                for name, value in os.environ.items()
                if not name.startswith(("ANSIBLE_", "PYTHON", "VIRTUAL_ENV"))
            },
            "PATH": f"{self.root / 'bin'}:{os.environ['PATH']}",
            "VIRTUAL_ENV": str(self.root),
            "ANSIBLE_COLLECTIONS_PATH": str(TREE),
            "ANSIBLE_HOME": str(CACHE / "ansible"),
            "ANSIBLE_LOCALHOST_WARNING": "false",
            "ANSIBLE_INVENTORY_UNPARSED_WARNING": "false",
            "NO_COLOR": "1",
            "_ANSIBLE_TEMPLAR_UNTRUSTED_TEMPLATE_BEHAVIOR": "error",
            "PIP_CACHE_DIR": str(CACHE / "pip"),
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PYTHONPYCACHEPREFIX": str(CACHE / "pycache"),
            "npm_config_cache": str(CACHE / "npm"),
            "npm_config_update_notifier": "false",
        }


def environment(name: str) -> Environment:
    """The environment of tests/requirements/<name>.txt, made anew when that has changed."""
    wanted = REQUIREMENTS / f"{name}.txt"
    root = CACHE / "venvs" / name
    stamp = root / "stamp"
    fingerprint = hashlib.sha256(wanted.read_bytes() + sys.version.encode()).hexdigest()
    found = Environment(root)
    if not stamp.is_file() or stamp.read_text() != fingerprint:
        print(f"making the environment {name}", flush=True)
        _make(root)
        # Compiled when it is first imported: most of it never is.
        options = ("-qq", "--no-deps", "--no-compile", "--requirement")
        found.run("python", "-m", "pip", "install", *options, wanted)
        stamp.write_text(fingerprint)
    return found


def pin(name: str) -> None:
    """Rewrite tests/requirements/<name>.txt: what <name>.in brings today."""
    root = CACHE / "venvs" / f"{name}.pin"
    _make(root)
    made = Environment(root)
    made.run("python", "-m", "pip", "install", "-qq", "--requirement", REQUIREMENTS / f"{name}.in")
    packages = made.run("python", "-m", "pip", "freeze", capture=True)
    shutil.rmtree(root)
    target = REQUIREMENTS / f"{name}.txt"
    header = "".join((REQUIREMENTS / f"{name}.in").read_text().partition("\n\n")[:2])
    target.write_text(f"{header}# Made from {name}.in by `make pins`.\n{packages}")


def _make(root: Path) -> None:
    run([sys.executable, "-m", "venv", "--clear", root])
