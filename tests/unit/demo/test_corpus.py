# SPDX-FileCopyrightText: 2026 HMM pg_replication contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The demo's corpus: which files become documents, and where they are cut."""

from __future__ import annotations

import gzip
import math
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.demo.corpus import DIMENSIONS, LARGEST, Document, documents, embedding, spans

TEXTS = st.text(alphabet=st.sampled_from("ab.é \n\t"), max_size=400)
SIZES = st.integers(min_value=3, max_value=60)


def chunks(text: str, size: int, overlap: int = 0) -> list[str]:
    return [text[begin:end] for begin, end in spans(text, size, overlap)]


@pytest.mark.parametrize(
    ("text", "size", "expected"),
    [
        pytest.param("", 10, [], id="nothing"),
        pytest.param(" \n\n ", 10, [], id="blanks"),
        pytest.param("  one\n", 10, ["one"], id="short"),
        pytest.param("aaa bbb\n\nccc ddd", 14, ["aaa bbb", "ccc ddd"], id="paragraph"),
        pytest.param("aaa bbb\nccc ddd", 14, ["aaa bbb", "ccc ddd"], id="line"),
        pytest.param("Aaaa aa. Bb bb bb", 14, ["Aaaa aa.", "Bb bb bb"], id="sentence"),
        pytest.param("aaaa bbbb cccc", 11, ["aaaa bbbb", "cccc"], id="word"),
        pytest.param("aaaaaaaaaaaa", 5, ["aaaaa", "aaaaa", "aa"], id="anywhere"),
        pytest.param("a\n\nbbbbbbb ccc", 10, ["a\n\nbbbbbbb", "ccc"], id="no tiny chunk"),
    ],
)
def test_cuts(text: str, size: int, expected: list[str]) -> None:
    assert chunks(text, size) == expected


def test_overlaps_by_whole_words() -> None:
    assert chunks("aaaa bbbb cccc dddd", 14, 6) == ["aaaa bbbb cccc", "cccc dddd"]


@given(TEXTS, SIZES, st.data())
def test_loses_nothing(text: str, size: int, data: st.DataObject) -> None:
    overlap = data.draw(st.integers(min_value=0, max_value=(size - 1) // 2))
    found = spans(text, size, overlap)
    covered = {place for begin, end in found for place in range(begin, end)}
    assert {place for place, letter in enumerate(text) if not letter.isspace()} <= covered
    for begin, end in found:
        assert 0 < end - begin <= size
        assert text[begin:end] == text[begin:end].strip()
    for (begin, end), (next_begin, next_end) in zip(found, found[1:], strict=False):
        assert begin < next_begin
        assert end < next_end
        assert end - next_begin <= overlap


@pytest.mark.parametrize("overlap", [-1, 5])
def test_refuses_an_overlap_that_would_stand_still(overlap: int) -> None:
    with pytest.raises(ValueError, match="less than half of the size"):
        spans("text", 10, overlap)


@given(st.text(max_size=200))
def test_embeddings_are_directions(text: str) -> None:
    numbers = embedding(text)
    length = math.sqrt(sum(number * number for number in numbers))
    assert len(numbers) == DIMENSIONS
    assert length == pytest.approx(1, abs=0.01) or not any(numbers)
    assert numbers == embedding(text)


def test_like_texts_have_like_embeddings() -> None:
    def likeness(one: str, other: str) -> float:
        return sum(a * b for a, b in zip(embedding(one), embedding(other), strict=True))

    asked = "how to replicate a database to a ship"
    assert likeness(asked, "replicate this database to every ship") > likeness(
        asked, "copyright holders of a font"
    )


class TestDocuments:
    """Files of a machine made up for it."""

    @pytest.fixture
    def folders(self, tmp_path: Path) -> tuple[Path, Path]:
        licences, documentation = tmp_path / "licences", tmp_path / "doc"
        (documentation / "pack" / "more").mkdir(parents=True)
        licences.mkdir()
        return licences, documentation

    def found(self, folders: tuple[Path, Path], budget: int = 1 << 20) -> list[Document]:
        return list(documents(*folders, budget))

    def test_reads_in_order_of_worth(self, folders: tuple[Path, Path]) -> None:
        licences, documentation = folders
        (licences / "GPL-3").write_text("  GNU GENERAL\n")
        (documentation / "pack" / "changelog.Debian.gz").write_bytes(gzip.compress(b"pack (1)"))
        (documentation / "pack" / "copyright").write_text("Free.")
        (documentation / "pack" / "more" / "README.md.gz").write_bytes(
            gzip.compress(b"# The title\nWords")
        )
        os.utime(licences / "GPL-3", (0, 0))
        found = self.found(folders)
        assert [(one.kind, one.title) for one in found] == [
            ("licence", "GPL-3"),
            ("documentation", "more: The title"),
            ("copyright", "pack: copyright"),
            ("changelog", "pack: changelog"),
        ]
        assert found[0].written.isoformat() == "1970-01-01T00:00:00+00:00"
        assert found[1].source == f"{documentation}/pack/more/README.md.gz"

    def test_takes_the_same_text_once(self, folders: tuple[Path, Path]) -> None:
        licences, documentation = folders
        (licences / "BSD").write_text("The same")
        (documentation / "pack" / "copyright").write_text("The same")
        (licences / "link").symlink_to("BSD")
        assert [Path(one.source).name for one in self.found(folders)] == ["BSD"]

    def test_leaves_what_is_no_text(self, folders: tuple[Path, Path]) -> None:
        pack = folders[1] / "pack"
        (pack / "binary").write_bytes(b"a\0b")
        (pack / "broken.txt.gz").write_bytes(gzip.compress(b"words" * 100)[:-9])
        (pack / "empty.txt").write_text("\n")
        (pack / "huge.txt.gz").write_bytes(gzip.compress(b"x" * (LARGEST + 1)))
        (pack / "not.gz").write_text("no gzip")
        (pack / "picture.png").write_text("no suffix of a text")
        assert self.found(folders) == []

    def test_reads_the_letters_of_old_files(self, folders: tuple[Path, Path]) -> None:
        (folders[1] / "pack" / "AUTHORS").write_bytes("José".encode("iso-8859-1"))
        assert self.found(folders)[0].text == "José"

    def test_stops_at_the_budget(self, folders: tuple[Path, Path]) -> None:
        for name in "abc":
            (folders[0] / name).write_text(name * 10)
        assert [one.text[0] for one in self.found(folders, 20)] == ["a", "b"]
