# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The shore's timer has just the files that it needs, and alerts name metrics that there are."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from ansible_collections.hmm.pg_replication.plugins.module_utils import _fleet_metrics
from ansible_collections.hmm.pg_replication.plugins.module_utils._fleet_status import STATES
from tests.gates.paths import CHECKOUT
from tests.gates.role_docs import load

ROLE = CHECKOUT / "roles" / "monitoring"
PROGRAM = ROLE / "files" / "fleet_status.py"
RULES = ROLE / "files" / "pg_replication.rules.yml"
MODULE_UTILS = CHECKOUT / "plugins" / "module_utils"
_OWN = "ansible_collections.hmm.pg_replication.plugins.module_utils."


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def needed() -> set[str]:
    """The collection's files that the program imports, and that those import."""
    found: set[str] = set()
    waiting = [PROGRAM]
    while waiting:
        for name in imported(waiting.pop()):
            own = name.removeprefix(_OWN)
            if own != name and own not in found:
                found.add(own)
                waiting.append(MODULE_UTILS / f"{own}.py")
    return found


def deployed() -> list[str]:
    modules: list[str] = load("monitoring", "vars", "main.yml")["__monitoring_modules"]
    return modules


def test_what_is_deployed_is_what_is_needed() -> None:
    assert deployed() == sorted(needed())


def test_nothing_of_it_needs_ansible() -> None:
    for path in (PROGRAM, *(MODULE_UTILS / f"{name}.py" for name in deployed())):
        for name in imported(path):
            assert name.partition(".")[0] != "ansible", path.name


def deploy(folder: Path) -> Path:
    """The program as the role lays it down, for this Python."""
    package = folder / "python" / _OWN.rstrip(".").replace(".", "/")
    package.mkdir(parents=True)
    (folder / "python" / "ansible_collections" / "__init__.py").touch()
    for name in deployed():
        (package / f"{name}.py").write_text((MODULE_UTILS / f"{name}.py").read_text())
    program = folder / "fleet_status"
    program.write_text(PROGRAM.read_text())
    return program


def run(program: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-I", str(program), *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


def test_it_runs_alone(tmp_path: Path) -> None:
    """Beside other collections, which this Python has."""
    done = run(deploy(tmp_path), "--config", str(tmp_path / "none.json"))
    assert done.returncode == 3
    assert done.stderr.startswith(f"{tmp_path / 'none.json'} cannot be read: ")
    assert "Traceback" not in done.stderr


def test_it_takes_no_other_files_of_that_name(tmp_path: Path) -> None:
    program = deploy(tmp_path)
    missing = tmp_path / "python" / _OWN.replace(".", "/") / "_whole_file.py"
    missing.unlink()
    done = run(program, "--config", "x")
    assert "No module named" in done.stderr


# --- alerts --------------------------------------------------------------------------------------


def rules() -> list[dict[str, object]]:
    groups = yaml.safe_load(RULES.read_text("utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


@pytest.fixture(params=rules(), ids=lambda rule: str(rule["alert"]))
def rule(request: pytest.FixtureRequest) -> dict[str, object]:
    found: dict[str, object] = request.param
    return found


def test_alerts_name_metrics_that_there_are(rule: dict[str, object]) -> None:
    source = Path(_fleet_metrics.__file__).read_text("utf-8")
    names = re.findall(r"pg_replication_(\w+)", str(rule["expr"]))
    assert names
    for name in names:
        assert f'"{name}"' in source, name


def test_alerts_name_states_that_there_are(rule: dict[str, object]) -> None:
    for state in re.findall(r'state(?:=|=~)"([^"]+)"', str(rule["expr"])):
        assert set(state.split("|")) <= set(STATES)


def test_alerts_say_what_and_what_to_do(rule: dict[str, object]) -> None:
    assert rule["labels"]["severity"] in ("warning", "critical")  # type: ignore[index]
    assert {"summary", "description"} <= set(rule["annotations"])  # type: ignore[call-overload]
    assert re.fullmatch(r"\d+[mh]", str(rule["for"]))
