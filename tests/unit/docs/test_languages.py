# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A document says the same in English and in Korean, and its links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import pytest

CHECKOUT = Path(__file__).parents[3]
KOREAN = sorted([*CHECKOUT.glob("*.ko.md"), *(CHECKOUT / "docs").glob("*.ko.md")])
LONGEST = 120
_FENCE = re.compile(r"^(?P<indent> *)```(?P<language>\w*)$")
_HEADING = re.compile(r"^(#+) (.+)$")
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


class Document(NamedTuple):
    """What two languages have in common, and what links need."""

    headings: list[tuple[int, str]]
    blocks: list[tuple[str, str]]
    tables: list[tuple[int, int]]
    links: list[str]

    @property
    def levels(self) -> list[int]:
        return [level for level, _text in self.headings]

    @property
    def anchors(self) -> set[str]:
        """As GitHub and GitLab make them of headings."""
        found: list[str] = []
        for _level, text in self.headings:
            kept = re.sub(r"[^\w\- ]", "", text.replace("`", "").lower()).replace(" ", "-")
            found.append(f"{kept}-{found.count(kept)}" if kept in found else kept)
        return set(found)


def read(path: Path) -> Document:
    document = Document([], [], [], [])
    language, block, table = None, list[str](), list[str]()
    for line in [*path.read_text("utf-8").splitlines(), ""]:
        fence = _FENCE.match(line)
        if language is not None:
            if fence and not fence["language"]:
                document.blocks.append((language, "\n".join(block)))
                language, block = None, []
            else:
                block.append(line)
            continue
        if fence:
            language = fence["language"]
        elif heading := _HEADING.match(line):
            document.headings.append((len(heading[1]), heading[2]))
        document.links.extend(_LINK.findall(line))
        if line.startswith("|"):
            table.append(line)
        elif table:
            document.tables.append((len(table), len(re.findall(r"(?<!\\)\|", table[0])) - 1))
            table = []
    assert language is None, f"{path.name}: a code block has no end"
    return document


def english(path: Path) -> Path:
    return path.with_name(path.name.replace(".ko.md", ".md"))


@pytest.fixture(params=KOREAN, ids=lambda path: str(path.name))
def korean(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    return path


def test_there_are_documents_in_both_languages() -> None:
    assert {"README.ko.md", "operators-guide.ko.md", "inventory.ko.md"} <= {p.name for p in KOREAN}


def test_headings_have_the_same_structure(korean: Path) -> None:
    assert read(korean).levels == read(english(korean)).levels


def test_commands_and_their_output_are_the_same(korean: Path) -> None:
    assert read(korean).blocks == read(english(korean)).blocks


def test_tables_have_the_same_rows_and_columns(korean: Path) -> None:
    assert read(korean).tables == read(english(korean)).tables


def test_variables_commands_and_files_are_the_same(korean: Path) -> None:
    """Whatever is written as code is in both, as often, but for the order in a sentence."""

    def code(path: Path) -> list[str]:
        prose = re.sub(r"```.*?```", "", path.read_text("utf-8"), flags=re.DOTALL)
        return sorted(" ".join(found.split()) for found in re.findall(r"`([^`]+)`", prose))

    assert code(korean) == code(english(korean))


def test_links_lead_to_a_file_and_a_heading(korean: Path) -> None:
    for path in (korean, english(korean)):
        for link in read(path).links:
            if re.match(r"[a-z]+:", link):
                continue
            name, _sign, anchor = link.partition("#")
            target = (path.parent / name).resolve() if name else path
            assert target.exists(), f"{path.name}: {link}"
            assert not anchor or anchor in read(target).anchors, f"{path.name}: {link}"


def test_lines_are_not_too_long_but_for_tables(korean: Path) -> None:
    for path in (korean, english(korean)):
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
            assert len(line) <= LONGEST or line.startswith("|"), f"{path.name}:{number}"
