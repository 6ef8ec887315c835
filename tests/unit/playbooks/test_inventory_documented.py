# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the playbooks read of the inventory, its documents tell, and inventories/example shows."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

CHECKOUT = Path(__file__).parents[3]
PLAYBOOKS = sorted((CHECKOUT / "playbooks").rglob("*.yml"))
DOCUMENTS = (CHECKOUT / "docs" / "inventory.md", CHECKOUT / "docs" / "inventory.ko.md")
EXAMPLE = sorted((CHECKOUT / "inventories" / "example").rglob("*.yml"))

# Not fleet__x, which is private to the playbooks; not the collection's own filters and modules.
_NAME = re.compile(
    r"(?<!hmm\.pg_replication\.)(?<![\w/-])((?:fleet|ship)_[a-z0-9][a-z0-9_]*)(?![\w-]|\.yml)"
)
_SET = {"ansible.builtin.set_fact", "set_fact"}
# Groups that a play makes, and facts' names that a task gets as data.
_GROUP = re.compile(r"fleet_(?:ships|shore)")


class _Loader(yaml.SafeLoader):
    """Tags of Ansible's (!vault, !unsafe) are texts to read here."""


_Loader.add_multi_constructor("!", lambda loader, _suffix, node: loader.construct_scalar(node))


def texts(content: Any) -> Iterator[str]:
    """All values, and the names that Ansible takes them by, but for what tasks are called."""
    if isinstance(content, dict):
        for key, value in content.items():
            if key != "name" or "{{" in str(value):
                yield from texts(value)
    elif isinstance(content, list):
        for value in content:
            yield from texts(value)
    elif isinstance(content, str):
        yield content


def made(content: Any) -> Iterator[str]:
    """Names that the playbooks give values themselves: facts, results, variables of plays and tasks."""
    if isinstance(content, dict):
        for key, value in content.items():
            if key in _SET or key == "vars":
                yield from value
            elif key in ("register", "loop_var"):
                yield str(value)
            yield from made(value)
    elif isinstance(content, list):
        for value in content:
            yield from made(value)


def read_by_playbooks() -> set[str]:
    contents = [yaml.load(path.read_text("utf-8"), _Loader) for path in PLAYBOOKS]  # noqa: S506
    names = {
        name for content in contents for text in texts(content) for name in _NAME.findall(text)
    }
    own = {name for content in contents for name in made(content)}
    return {name for name in names - own if not _GROUP.fullmatch(name)}


def test_the_playbooks_read_the_inventory() -> None:
    assert {"fleet_database", "fleet_tables", "ship_mode", "ship_link"} <= read_by_playbooks()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.name))
def test_what_playbooks_read_is_documented(document: Path) -> None:
    rows = set(re.findall(r"^\| `(\w+)` \|", document.read_text("utf-8"), re.MULTILINE))
    missing = read_by_playbooks() - rows
    assert not missing, f"{document.name} has no row of {sorted(missing)}"
    unknown = {name for name in rows if _NAME.fullmatch(name)} - read_by_playbooks()
    assert not unknown, f"no playbook reads {sorted(unknown)}, which {document.name} tells of"


def test_what_playbooks_read_is_in_the_example() -> None:
    example = "\n".join(path.read_text("utf-8") for path in EXAMPLE)
    missing = {name for name in read_by_playbooks() if not re.search(rf"\b{name}\b", example)}
    assert not missing, f"inventories/example does not show {sorted(missing)}"
