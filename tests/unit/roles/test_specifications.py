# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A role's defaults, its specification and its README say the same."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.gates.role_docs import load, readme, renewed, roles, specifications

SECRET = ("password", "secret", "passphrase")


def options(role: str) -> dict[str, dict[str, Any]]:
    """The options of all entry points; what two of them share has to be the same."""
    found: dict[str, dict[str, Any]] = {}
    for spec in specifications(role).values():
        for name, option in (spec.get("options") or {}).items():
            found.setdefault(name, option)
    return found


def all_options(given: dict[str, dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, option in given.items():
        yield name, option
        yield from all_options(option.get("options") or {})


@pytest.fixture(params=roles())
def role(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_every_default_is_specified(role: str) -> None:
    assert set(load(role, "defaults", "main.yml")) <= set(options(role))


def test_every_option_has_its_default(role: str) -> None:
    """In defaults/main.yml, unless the caller has to give it."""
    needed = {name for name, option in options(role).items() if not option.get("required")}
    assert needed <= set(load(role, "defaults", "main.yml"))


def test_defaults_are_those_of_the_specification(role: str) -> None:
    """Where the specification has one: a computed one is told in words only."""
    defaults = load(role, "defaults", "main.yml")
    told = {
        name: option["default"] for name, option in options(role).items() if "default" in option
    }
    assert {name: defaults[name] for name in told if name in defaults} == told


def test_a_default_that_is_not_told_is_computed(role: str) -> None:
    untold = {
        name: value
        for name, value in load(role, "defaults", "main.yml").items()
        if "default" not in options(role)[name] and not options(role)[name].get("required")
    }
    assert [name for name, value in untold.items() if "{{" not in str(value)] == []


def test_inputs_bear_the_name_of_the_role(role: str) -> None:
    assert [name for name in options(role) if not name.startswith(f"{role}_")] == []


def test_every_option_says_what_it_is(role: str) -> None:
    lacking = [
        name
        for name, option in all_options(options(role))
        if not option.get("description") or "type" not in option
    ]
    assert lacking == []


def test_secrets_are_kept_out_of_logs(role: str) -> None:
    shown = [
        name
        for name, option in all_options(options(role))
        if any(word in name for word in SECRET)
        and option["type"] == "str"
        and not option.get("no_log")
    ]
    assert shown == []


def test_the_readme_is_up_to_date(role: str) -> None:
    assert readme(role).read_text() == renewed(role), "run: python -m tests.gates.role_docs"
