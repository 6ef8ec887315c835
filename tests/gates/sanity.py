# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The gate of ansible-test."""

from __future__ import annotations

import ast
import configparser
import shutil
from pathlib import Path

from tests.gates import tree
from tests.gates.environments import Environment, environment
from tests.gates.packages import need
from tests.gates.paths import CACHE, CHECKOUT, REQUIREMENTS
from tests.gates.processes import GateError, run

HOME = CACHE / "home"


def sanity() -> None:
    for ignored in (CHECKOUT / "tests" / "sanity").glob("ignore-*.txt"):
        if ignored.read_text().strip():
            raise GateError(f"{ignored.relative_to(CHECKOUT)} has to be empty")
    main = environment("main")
    need("shellcheck", "shellcheck")
    _bring_pip(main)
    _bring_pip_settings(main)
    copy = tree.copy(CACHE / "sanity", main)
    # Without a repository of its own, ansible-test asks the checkout's, where .cache/ is ignored.
    run(["git", "init", "--quiet"], folder=copy)
    output = main.run(
        "ansible-test",
        "sanity",
        "--local",
        "--python",
        "3.11",
        "--color=no",
        folder=copy,
        capture=True,
        variables={"HOME": str(HOME)},
    )
    print(output)
    if "All targets skipped" in output:
        raise GateError("ansible-test found nothing to test")


def _bring_pip(main: Environment) -> None:
    """Give ansible-test what it would download to put pip into its own environments."""
    pinned = REQUIREMENTS / "ansible-test-pip.txt"
    version = pinned.read_text().strip().rpartition("==")[2]
    folder = HOME / ".ansible" / "test" / "cache"
    script = folder / f"get_pip_{version.replace('.', '_')}.py"
    if script.exists():
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    main.run(
        "python",
        *("-m", "pip", "download", "-qq", "--no-deps"),
        *("--dest", folder, "--requirement", pinned),
    )
    shutil.copy(Path(__file__).with_name("get_pip.py"), script)


def _bring_pip_settings(main: Environment) -> None:
    """Keep an operator's pip settings: ansible-test drops variables, and HOME is another here."""
    settings = configparser.RawConfigParser()
    settings.add_section("global")
    for line in main.run("python", "-m", "pip", "config", "list", capture=True).splitlines():
        name, _equals, value = line.partition("=")
        section, _dot, option = name.rpartition(".")
        if section in ("global", ":env:"):
            settings.set("global", option, str(ast.literal_eval(value)))
    path = HOME / ".config" / "pip" / "pip.conf"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as stream:
        settings.write(stream)
