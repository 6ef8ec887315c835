# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The tables of variables in the roles' README.md, made of meta/argument_specs.yml.

`python -m tests.gates.role_docs` writes them; a unit test finds those that are out of date.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from tests.gates.paths import CHECKOUT

ROLES = CHECKOUT / "roles"

_TABLES = re.compile(
    r"(<!-- variables: begin, by python -m tests.gates.role_docs -->\n).*"
    r"(<!-- variables: end -->\n)",
    re.DOTALL,
)
_MARKUP = re.compile(r"\b([A-Z])\(((?:[^()\\]|\\.)*)\)")

_FIRST = """\
<!--
SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
SPDX-License-Identifier: GPL-3.0-or-later
-->

# Role `hmm.pg_replication.{role}`

{told}

## Variables

<!-- variables: begin, by python -m tests.gates.role_docs -->
<!-- variables: end -->
"""

Spec = dict[str, Any]


def roles() -> list[str]:
    """The roles that have a specification."""
    return sorted(path.parents[1].name for path in ROLES.glob("*/meta/argument_specs.yml"))


def load(role: str, *names: str) -> Any:
    """One YAML file of a role."""
    return yaml.safe_load(ROLES.joinpath(role, *names).read_text()) or {}


def specifications(role: str) -> dict[str, Spec]:
    """The specification of each entry point."""
    found: dict[str, Spec] = load(role, "meta", "argument_specs.yml")["argument_specs"]
    return found


def readme(role: str) -> Path:
    return ROLES / role / "README.md"


def tables(role: str) -> str:
    """A table for each entry point, as Markdown."""
    return "\n".join(_entry_point(name, spec) for name, spec in specifications(role).items())


def renewed(role: str) -> str:
    """README.md with its tables as they should be."""
    text = readme(role).read_text()
    if not _TABLES.search(text):
        raise ValueError(f"roles/{role}/README.md has no place for the tables of variables")
    return _TABLES.sub(lambda found: f"{found[1]}\n{tables(role)}\n{found[2]}", text)


def _entry_point(name: str, spec: Spec) -> str:
    lines = [f"### Entry point `{name}`", "", " ".join(map(_plain, _listed(spec["description"])))]
    options = spec.get("options") or {}
    if options:
        lines += ["", "| variable | type | default | what |", "| --- | --- | --- | --- |"]
        lines += _rows(options)
    return "\n".join(lines) + "\n"


def _rows(options: Spec, above: str = "") -> Iterator[str]:
    for name, option in options.items():
        kind = option.get("type", "str")
        if kind == "list" and "elements" in option:
            kind = f"list of {option['elements']}"
        default = "required" if option.get("required") else _default(option)
        told = " ".join(map(_plain, _listed(option["description"])))
        if "choices" in option:
            told += f" One of {', '.join(f'`{choice}`' for choice in option['choices'])}."
        yield f"| `{above}{name}` | {kind} | {default} | {told} |"
        yield from _rows(option.get("options") or {}, f"{above}{name}[].")


def _default(option: Spec) -> str:
    if "default" not in option:
        return ""
    value = option["default"]
    return f"`{value if isinstance(value, str) and value else json.dumps(value)}`"


def _listed(text: str | list[str]) -> list[str]:
    return [text] if isinstance(text, str) else text


def _plain(text: str) -> str:
    """Ansible's markup as Markdown's, fit for a cell."""
    told = _MARKUP.sub(lambda found: f"`{found[2].partition('#')[0]}`", text)
    return told.replace("|", "\\|").strip()


def _first(role: str) -> str:
    """A README.md for a role that has none yet."""
    spec = specifications(role)["main"]
    told = " ".join(map(_plain, _listed(spec["description"])))
    return _FIRST.format(role=role, told=told)


def main() -> None:
    for role in roles():
        if not readme(role).exists():
            readme(role).write_text(_first(role))
        readme(role).write_text(renewed(role))


if __name__ == "__main__":
    main()
